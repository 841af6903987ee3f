_base_ = [
    '../_base_/backbones/tf-efficientnet-lite0.py',
    '../_base_/methods/mask2former_small.py',
    '../_base_/datasets/pennfudan_instance.py',
    '../_base_/schedules/mask2former_small.py',
    '../_base_/default_runtime.py',
]
model = dict(**_base_.encoder, **_base_.labels)
