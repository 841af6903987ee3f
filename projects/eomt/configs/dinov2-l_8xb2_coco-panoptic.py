_base_ = [
    './_base_/dinov2-l.py',
    './_base_/eomt.py',
    './_base_/coco_panoptic_640.py',
    './_base_/schedule_12e.py',
    '../../../configs/_base_/default_runtime.py',
]
model = dict(**_base_.encoder, **_base_.labels)
