# 12 epochs of COCO at a total batch of 16.
_base_ = './schedule.py'
max_iters = 88704
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=7392)
