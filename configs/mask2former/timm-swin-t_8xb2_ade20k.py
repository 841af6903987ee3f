_base_ = [
    '../_base_/backbones/timm-swin-t.py',
    '../_base_/methods/mask2former.py',
    '../_base_/datasets/ade20k_semantic_512.py',
    '../_base_/schedules/mask2former_160k.py',
    '../_base_/default_runtime.py',
]
model = dict(**_base_.encoder, **_base_.labels)
