# A small Mask2Former for small data sets and machines without a GPU.
_base_ = './mask2former.py'
model = dict(
    neck=dict(channels=128, mask_channels=128, num_layers=3, ffn_channels=512),
    head=dict(num_queries=50, channels=128, num_layers=6, ffn_channels=512),
    criterion=dict(matcher=dict(num_points=3136), sampler=dict(num_points=3136)))
