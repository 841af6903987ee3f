# 12 epochs of COCO at a total batch of 16.
_base_ = './mask2former.py'
max_iters = 88500
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=5000)
param_scheduler = [
    dict(type='MultiStepLR', milestones=[73750, 81125], gamma=0.1, by_epoch=False),
]
