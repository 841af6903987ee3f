# A short training for small data sets, in float32.
_base_ = './mask2former.py'
max_iters = 1000
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    paramwise_cfg=dict(backbone_lr_mult=0.3),
    optimizer=dict(type='AdamW', lr=4e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=0.01, norm_type=2))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, begin=0, end=50, by_epoch=False),
    dict(type='PolyLR', power=0.9, by_epoch=False),
]
auto_scale_lr = dict(base_batch_size=2)
