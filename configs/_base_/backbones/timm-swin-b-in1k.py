# Swin-B of timm's modules, pre-trained on ImageNet-1k at 384, as swin-b-in1k.py.
_base_ = './timm-swin-b.py'
encoder = dict(
    init_cfg=dict(
        checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
                   'swin_base_patch4_window12_384.pth'))
