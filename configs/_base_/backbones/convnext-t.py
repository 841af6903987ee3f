# ConvNeXt-Tiny of timm, pre-trained on ImageNet-1k at 224.
encoder = dict(
    backbone=dict(
        type='TimmBackbone', model_name='convnext_tiny', model_args=dict(drop_path_rate=0.3)),
    init_cfg=dict(
        type='PretrainedBackbone',
        checkpoint='torchvision://convnext_tiny',
        source='torchvision'))
