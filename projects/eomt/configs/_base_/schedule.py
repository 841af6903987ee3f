# How EoMT is optimised; lr is for a total batch of 16. What a config adds is `max_iters`.
optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='float16',
    loss_scale='dynamic',
    constructor='LayerDecayConstructor',
    paramwise_cfg=dict(layer_decay=0.8),
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=0.01, norm_type=2))
param_scheduler = [
    dict(type='TwoStageWarmupPolyLR', warmup=(500, 1000), power=0.9, by_epoch=False),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
