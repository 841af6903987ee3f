# At a total batch of 32.
_base_ = './maskformer_160k.py'
max_iters = 60000
train_cfg = dict(max_iters=max_iters)
auto_scale_lr = dict(base_batch_size=32)
