_base_ = [
    '../_base_/backbones/tf-efficientnet-lite0.py',
    '../_base_/methods/mask2former_small.py',
    '../_base_/datasets/camvid_semantic.py',
    '../_base_/schedules/mask2former_small.py',
    '../_base_/default_runtime.py',
]
# Few classes, each at most once in a picture: few queries.
model = dict(**_base_.encoder, **_base_.labels, head=dict(num_queries=20))
# About five minutes on two CPU cores.
max_iters = 560
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
