_base_ = [
    '../_base_/backbones/r101.py',
    '../_base_/methods/maskformer_encoder.py',
    '../_base_/datasets/ade20k_panoptic_640_no-instances.py',
    '../_base_/schedules/maskformer_720k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    **_base_.encoder, **_base_.labels,
    post_processors=dict(panoptic=dict(object_threshold=0.7)))
