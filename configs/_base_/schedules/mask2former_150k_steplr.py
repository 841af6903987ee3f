# The steps of mask2former_90k_steplr, and 60000 iterations more at the lowest rate.
_base_ = './mask2former_90k_steplr.py'
max_iters = 150000
train_cfg = dict(max_iters=max_iters)
