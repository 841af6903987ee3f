_base_ = [
    '../_base_/backbones/semask-tf-efficientnet-lite0.py',
    '../_base_/methods/semask_fpn_small.py',
    '../_base_/datasets/camvid_semantic.py',
    '../_base_/schedules/mask2former_small.py',
    '../_base_/default_runtime.py',
]
model = dict(**_base_.encoder, **_base_.labels)
max_iters = 560
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
