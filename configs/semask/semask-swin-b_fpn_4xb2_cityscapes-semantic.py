_base_ = [
    '../_base_/backbones/semask-swin-b.py',
    '../_base_/methods/semask_fpn.py',
    '../_base_/datasets/cityscapes_semantic_768.py',
    '../_base_/schedules/semask_fpn_80k_cityscapes.py',
    '../_base_/default_runtime.py',
]
# Unlike the other sizes it warms up from 1e-6, as published.
param_scheduler = _base_.param_scheduler
param_scheduler[0]['start_factor'] = 1e-6
model = dict(**_base_.encoder, **_base_.labels)
