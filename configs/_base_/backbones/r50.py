# ResNet-50 with frozen batch norms. `encoder` is what a config adds to the model of a method:
# `model = dict(**_base_.encoder, ...)`.
encoder = dict(
    backbone=dict(
        type='mmdet.ResNet',
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        style='pytorch'),
    init_cfg=dict(
        type='PretrainedBackbone', checkpoint='torchvision://resnet50', source='torchvision'))
