# A small Mask2Former for the built-in Shapes data, trained from random weights on a CPU in
# minutes. All three tasks, as in the large configs.
_base_ = [
    '../_base_/methods/mask2former_small.py',
    '../_base_/datasets/shapes_panoptic.py',
    '../_base_/schedules/mask2former_small_muon.py',
    '../_base_/default_runtime.py',
]
num_points = 1024  # a 128 x 128 crop has 1024 mask pixels at stride 4
model = dict(
    **_base_.labels,
    backbone=dict(type='TimmBackbone', model_name='resnet10t'),
    head=dict(num_queries=20),
    criterion=dict(matcher=dict(num_points=num_points), sampler=dict(num_points=num_points)),
    # Lower than for a converged model, whose queries are surer of their classes.
    post_processors=dict(panoptic=dict(
        type='PanopticPostProcessor', object_threshold=0.2, overlap_threshold=0.6)))
# A backbone that starts from nothing learns as fast as the rest.
optim_wrapper = dict(paramwise_cfg=dict(backbone_lr_mult=1.0), optimizer=dict(lr=2e-3))
max_iters = 1600
train_cfg = dict(max_iters=max_iters, val_interval=10 * max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, begin=0, end=100, by_epoch=False),
    dict(type='PolyLR', power=0.9, by_epoch=False),
]
# Small batches: many updates count for more than smooth ones at the start.
train_dataloader = dict(batch_size=4)
# A little larger than they are, within the jitter of the training: small things gain.
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='Resize', scale_factor=1.1, keep_ratio=True),
    dict(type='LoadPanopticMap'),
    dict(type='PackSegInputs', derive=('semantic', 'instance')),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
default_hooks = dict(
    logger=dict(interval=50),
    checkpoint=dict(interval=200, max_keep_ckpts=1))
log_processor = dict(window_size=50)
auto_scale_lr = dict(base_batch_size=4)
randomness = dict(seed=0)
