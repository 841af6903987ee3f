_base_ = [
    '../_base_/backbones/semask-swin-l-w4.py',
    '../_base_/methods/semask_fpn.py',
    '../_base_/datasets/cityscapes_semantic_768.py',
    '../_base_/schedules/semask_fpn_80k_cityscapes.py',
    '../_base_/default_runtime.py',
]
model = dict(**_base_.encoder, **_base_.labels)
