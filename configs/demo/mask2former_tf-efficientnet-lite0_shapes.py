# The same on EfficientNet-Lite0 with ImageNet weights: `make demo`.
_base_ = ['../_base_/backbones/tf-efficientnet-lite0.py', './mask2former_shapes.py']
from unimask.pipelines import training

# Enlarged: the shapes are small for features that were learned on photographs. More than by a half
# would cut too many of them at the edge of the crop.
crop_size = (192, 192)
augmentation = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='LargeScaleJitter', size=240, ratio_range=(0.8, 1.25)),
    dict(type='RandomCrop', size=crop_size),
]
train_pipeline = training('LoadPanopticMap', augmentation)
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='Resize', scale_factor=1.8, keep_ratio=True),
    dict(type='LoadPanopticMap'),
    dict(type='PackSegInputs', derive=('semantic', 'instance')),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
model = dict(
    **_base_.encoder,
    # In minutes, more steps are worth more than better features.
    frozen=('backbone',),
    neck=dict(autocast=True),
    head=dict(num_queries=50),
    # After a short training, two queries often find the same object.
    post_processors=dict(panoptic=dict(object_threshold=0.3, duplicate_iou=0.5)))
max_iters = 650
train_cfg = dict(max_iters=max_iters, val_interval=10 * max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, begin=0, end=60, by_epoch=False),
    dict(type='PolyLR', power=0.9, by_epoch=False),
]
default_hooks = dict(checkpoint=dict(interval=250))
auto_scale_lr = dict(base_batch_size=8)
