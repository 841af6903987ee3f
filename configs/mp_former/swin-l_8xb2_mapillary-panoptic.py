_base_ = [
    '../_base_/backbones/swin-l.py',
    '../_base_/methods/mp_former.py',
    '../_base_/datasets/mapillary_panoptic_1024.py',
    '../_base_/schedules/mask2former_300k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    **_base_.encoder, **_base_.labels,
    head=dict(num_queries=200),
    post_processors=dict(panoptic=dict(object_threshold=0.0)))
