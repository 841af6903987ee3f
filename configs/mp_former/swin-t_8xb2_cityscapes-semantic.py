_base_ = [
    '../_base_/backbones/swin-t.py',
    '../_base_/methods/mp_former.py',
    '../_base_/datasets/cityscapes_semantic_512x1024.py',
    '../_base_/schedules/mask2former_90k.py',
    '../_base_/default_runtime.py',
]
model = dict(**_base_.encoder, **_base_.labels)
