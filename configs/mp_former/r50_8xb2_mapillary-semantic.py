_base_ = [
    '../_base_/backbones/r50.py',
    '../_base_/methods/mp_former.py',
    '../_base_/datasets/mapillary_semantic_1024.py',
    '../_base_/schedules/mask2former_300k.py',
    '../_base_/default_runtime.py',
]
model = dict(**_base_.encoder, **_base_.labels)
