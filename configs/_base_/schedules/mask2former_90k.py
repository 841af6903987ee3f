_base_ = './mask2former_160k.py'
max_iters = 90000
train_cfg = dict(max_iters=max_iters)
