_base_ = [
    '../_base_/backbones/r50.py',
    '../_base_/methods/mp_former.py',
    '../_base_/datasets/ade20k_panoptic_640.py',
    '../_base_/schedules/mask2former_160k_steplr.py',
    '../_base_/default_runtime.py',
]
model = dict(**_base_.encoder, **_base_.labels)
