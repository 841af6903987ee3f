# 300 epochs of COCO at a total batch of 64.
_base_ = './maskformer.py'
train_cfg = dict(type='IterBasedTrainLoop', max_iters=554400, val_interval=554400)
param_scheduler = [
    dict(type='MultiStepLR', milestones=[369600], gamma=0.1, by_epoch=False),
]
auto_scale_lr = dict(base_batch_size=64)
