# ViT-L, pre-trained without labels (DINOv2 with registers), at 640.
encoder = dict(
    backbone=dict(
        type='PlainViT',
        model_name='vit_large_patch14_reg4_dinov2',
        img_size=640,
        patch_size=16),
    init_cfg=dict(
        type='PretrainedViT',
        checkpoint='https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/'
                   'dinov2_vitl14_reg4_pretrain.pth'))
