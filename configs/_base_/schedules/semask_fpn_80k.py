# SeMask-FPN's: one rate for the whole model, a warm-up of 1500 iterations, no clipping, no mixed
# precision. Norms and position tables are not decayed, but the batch norms of the decoder are, as
# published.
max_iters = 80000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=8000)
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    paramwise_cfg=dict(backbone_lr_mult=1.0, custom_keys={'.bn.': dict(decay_mult=1.0)}),
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4, betas=(0.9, 0.999), eps=1e-8))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, begin=0, end=1501, by_epoch=False),
    dict(type='PolyLR', power=1.0, by_epoch=False),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
