_base_ = [
    '../_base_/models/mask2former_tf-efficientnet-lite0.py',
    '../_base_/datasets/camvid_semantic.py',
    '../_base_/schedules/mask2former_small.py',
    '../_base_/default_runtime.py',
]
# Few classes, each at most once in a picture: few queries.
model = dict(
    taxonomy='CamVidDataset', head=dict(num_queries=20), test_cfg=dict(tasks=('semantic',)))
# About five minutes on two CPU cores.
max_iters = 560
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, begin=0, end=50, by_epoch=False),
    dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=max_iters + 1, by_epoch=False),
]
