# The same on EfficientNet-Lite0 with ImageNet weights: `make demo`.
_base_ = ['../_base_/backbones/tf-efficientnet-lite0.py', './mask2former_shapes.py']
from unimask.pipelines import training

# Enlarged by a half: the shapes are small, and more pixels take little more time.
crop_size = (192, 192)
augmentation = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='LargeScaleJitter', size=240, ratio_range=(0.8, 1.25)),
    dict(type='RandomCrop', size=crop_size),
]
train_pipeline = training('LoadPanopticMap', augmentation)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='Resize', scale_factor=1.5, keep_ratio=True),
    dict(type='LoadPanopticMap'),
    dict(type='PackSegInputs', derive=('semantic', 'instance')),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
model = dict(
    **_base_.encoder,
    # Edges and corners are those of photographs: the fine stages have nothing to learn.
    frozen=('backbone.body.conv_stem', 'backbone.body.bn1', 'backbone.body.blocks.0',
            'backbone.body.blocks.1', 'backbone.body.blocks.2'),
    neck=dict(autocast=True))
# Its features are of use from the beginning.
optim_wrapper = dict(paramwise_cfg=dict(backbone_lr_mult=0.5))
max_iters = 1000
train_cfg = dict(max_iters=max_iters, val_interval=10 * max_iters)
default_hooks = dict(checkpoint=dict(interval=250))
