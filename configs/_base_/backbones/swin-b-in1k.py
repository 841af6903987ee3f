# Swin-B, pre-trained on ImageNet-1k at 384.
_base_ = './swin-b.py'
encoder = dict(
    init_cfg=dict(
        checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
                   'swin_base_patch4_window12_384.pth'))
