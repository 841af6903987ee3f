_base_ = [
    '../_base_/backbones/timm-swin-t.py',
    '../_base_/methods/mask2former.py',
    '../_base_/datasets/coco_panoptic_lsj1024.py',
    '../_base_/schedules/mask2former_50e.py',
    '../_base_/default_runtime.py',
]
model = dict(**_base_.encoder, **_base_.labels)
