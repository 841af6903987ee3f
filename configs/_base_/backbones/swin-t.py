# Swin-T, pre-trained on ImageNet-1k at 224.
encoder = dict(
    backbone=dict(
        type='mmdet.SwinTransformer',
        embed_dims=96,
        depths=(2, 2, 6, 2),
        num_heads=(3, 6, 12, 24),
        window_size=7,
        pretrain_img_size=224,
        drop_path_rate=0.3),
    init_cfg=dict(
        type='PretrainedBackbone',
        checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
                   'swin_tiny_patch4_window7_224.pth',
        source='swin'))
