# Steps instead of the polynomial decay of mask2former_160k.
_base_ = './mask2former.py'
max_iters = 160000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=5000)
param_scheduler = [
    dict(type='MultiStepLR', milestones=[135000, 150000], gamma=0.1, by_epoch=False),
]
