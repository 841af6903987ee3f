# The same on EfficientNet-Lite0 with ImageNet weights: `make demo`.
_base_ = ['../_base_/backbones/tf-efficientnet-lite0.py', './mask2former_shapes.py']
from unimask.pipelines import training

# Enlarged: the shapes are small for features that were learned on photographs. Whole pictures,
# because a crop that cost the same would cut objects and show fewer.
crop_size = (256, 256)
augmentation = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='LargeScaleJitter', size=256, ratio_range=(0.8, 1.1)),
    dict(type='RandomCrop', size=crop_size),
]
train_pipeline = training('LoadPanopticMap', augmentation)
train_dataloader = dict(
    batch_size=6,
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(pipeline=train_pipeline))
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='Resize', scale_factor=1.6, keep_ratio=True),
    dict(type='LoadPanopticMap'),
    dict(type='PackSegInputs', derive=('semantic', 'instance')),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
model = dict(
    **_base_.encoder,
    # In minutes, more steps are worth more than better features or more layers.
    frozen=('backbone',),
    neck=dict(num_layers=2, autocast=True),
    head=dict(num_queries=50, num_layers=3),
    # After a short training, several queries find the same object.
    post_processors=dict(panoptic=dict(
        object_threshold=0.4, duplicate_iou=0.5, inside_mask=False)))
# As good as four pictures a step and half as many steps again, and faster.
optim_wrapper = dict(optimizer=dict(lr=2.5e-3))
auto_scale_lr = dict(base_batch_size=6)
max_iters = 640
train_cfg = dict(max_iters=max_iters, val_interval=10 * max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, begin=0, end=40, by_epoch=False),
    dict(type='PolyLR', power=0.9, by_epoch=False),
]
default_hooks = dict(checkpoint=dict(interval=200))
