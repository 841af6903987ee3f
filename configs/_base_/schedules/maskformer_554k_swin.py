# The MaskFormers with Swin: one rate for the whole model, and a warm-up of 1500 iterations.
_base_ = './maskformer_554k.py'
optim_wrapper = dict(
    paramwise_cfg=dict(backbone_lr_mult=1.0),
    optimizer=dict(lr=6e-5, weight_decay=0.01))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, begin=0, end=1501, by_epoch=False),
    dict(type='MultiStepLR', milestones=[369600], gamma=0.1, by_epoch=False),
]
