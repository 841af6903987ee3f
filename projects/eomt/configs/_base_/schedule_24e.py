# 24 epochs of COCO at a total batch of 16.
_base_ = './schedule_12e.py'
max_iters = 177408
train_cfg = dict(max_iters=max_iters)
