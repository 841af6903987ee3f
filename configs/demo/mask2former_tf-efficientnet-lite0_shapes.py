# The same on EfficientNet-Lite0 with ImageNet weights: `make demo`.
_base_ = ['../_base_/backbones/tf-efficientnet-lite0.py', './mask2former_shapes.py']
model = dict(**_base_.encoder)
# Its features are of use from the beginning.
optim_wrapper = dict(paramwise_cfg=dict(backbone_lr_mult=0.5))
max_iters = 1500
train_cfg = dict(max_iters=max_iters, val_interval=10 * max_iters)
default_hooks = dict(checkpoint=dict(interval=250))
