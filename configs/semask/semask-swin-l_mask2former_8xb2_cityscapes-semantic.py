_base_ = [
    '../_base_/backbones/semask-swin-l-w4-7.py',
    '../_base_/methods/semask_mask2former.py',
    '../_base_/datasets/cityscapes_semantic_512x1024.py',
    '../_base_/schedules/mask2former_90k.py',
    '../_base_/default_runtime.py',
]
model = dict(**_base_.encoder, **_base_.labels)
