# 300 epochs of COCO at a total batch of 64.
_base_ = './maskformer.py'
max_iters = 554400
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type='MultiStepLR', milestones=[369600], gamma=0.1, by_epoch=False),
]
auto_scale_lr = dict(base_batch_size=64)
