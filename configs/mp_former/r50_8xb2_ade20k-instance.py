# Published with semantic and panoptic outputs too, which mean nothing with things alone.
_base_ = [
    '../_base_/backbones/r50.py',
    '../_base_/methods/mp_former.py',
    '../_base_/datasets/ade20k_instance_640.py',
    '../_base_/schedules/mask2former_160k.py',
    '../_base_/default_runtime.py',
]
model = dict(**_base_.encoder, **_base_.labels)
