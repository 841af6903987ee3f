_base_ = [
    '../_base_/backbones/r50.py',
    '../_base_/methods/mp_former.py',
    '../_base_/datasets/coco_instance_lsj1024.py',
    '../_base_/schedules/mask2former_36e.py',
    '../_base_/default_runtime.py',
]
model = dict(**_base_.encoder, **_base_.labels)
