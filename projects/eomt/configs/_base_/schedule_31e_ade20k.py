# 31 epochs of ADE20K at a total batch of 16.
_base_ = './schedule.py'
max_iters = 39153
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=5052)
