# Swin-L, pre-trained on ImageNet-21k at 384.
_base_ = './swin-b.py'
encoder = dict(
    backbone=dict(embed_dims=192, num_heads=(6, 12, 24, 48)),
    init_cfg=dict(
        checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
                   'swin_large_patch4_window12_384_22k.pth'))
