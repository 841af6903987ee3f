_base_ = './maskformer_160k.py'
max_iters = 300000
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
