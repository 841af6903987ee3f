_base_ = './maskformer_160k.py'
max_iters = 200000
train_cfg = dict(max_iters=max_iters)
