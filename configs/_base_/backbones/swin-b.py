# Swin-B, pre-trained on ImageNet-21k at 384.
_base_ = './swin-t.py'
encoder = dict(
    backbone=dict(
        embed_dims=128,
        depths=(2, 2, 18, 2),
        num_heads=(4, 8, 16, 32),
        window_size=12,
        pretrain_img_size=384),
    init_cfg=dict(
        checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
                   'swin_base_patch4_window12_384_22k.pth'))
