_base_ = [
    '../_base_/backbones/tf-efficientnet-lite0.py',
    '../_base_/methods/mask2former_small.py',
    '../_base_/datasets/coco_mini_panoptic.py',
    '../_base_/schedules/mask2former_small.py',
    '../_base_/default_runtime.py',
]
# Thresholds lower than for a converged model, whose queries are surer of their classes.
model = dict(
    **_base_.encoder, **_base_.labels,
    post_processors=dict(panoptic=dict(object_threshold=0.2, overlap_threshold=0.6)))
