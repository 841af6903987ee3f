_base_ = [
    '../_base_/backbones/semask-mit-b0.py',
    '../_base_/methods/semask_fpn.py',
    '../_base_/datasets/ade20k_semantic_512_choice.py',
    '../_base_/schedules/semask_fpn_80k.py',
    '../_base_/default_runtime.py',
]
model = dict(**_base_.encoder, **_base_.labels)
