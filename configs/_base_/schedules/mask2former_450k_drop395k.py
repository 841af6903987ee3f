_base_ = './mask2former.py'
max_iters = 450000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=5000)
param_scheduler = [
    dict(type='MultiStepLR', milestones=[395000, 425000], gamma=0.1, by_epoch=False),
]
