# SeMask-FPN's for Cityscapes: half of the batch, ten times the rate, more decay, and a warm-up that
# starts at a higher rate.
_base_ = './semask_fpn_80k.py'
optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=0.05))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-5, begin=0, end=1501, by_epoch=False),
    dict(type='PolyLR', power=1.0, by_epoch=False),
]
auto_scale_lr = dict(base_batch_size=8)
