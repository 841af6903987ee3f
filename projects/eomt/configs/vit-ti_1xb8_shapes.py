# A tiny ViT with random weights for the built-in Shapes data, all three tasks: it shows that the
# parts work together, on a CPU in minutes. ViTs need pre-training to be good at this.
_base_ = [
    './_base_/eomt.py',
    '../../../configs/_base_/datasets/shapes_panoptic.py',
    '../../../configs/_base_/schedules/mask2former_small.py',
    '../../../configs/_base_/default_runtime.py',
]
num_points = 1024  # a 128 x 128 crop has 1024 mask pixels at stride 4
model = dict(
    **_base_.labels,
    data_preprocessor=dict(pad_size_divisor=8),
    backbone=dict(
        type='PlainViT',
        model_name='vit_tiny_patch16_224',
        img_size=128,
        patch_size=8,
        model_args=dict(depth=6, embed_dim=96, num_heads=3)),
    head=dict(num_queries=20, num_upscales=1),
    criterion=dict(criterion=dict(
        matcher=dict(num_points=num_points), sampler=dict(num_points=num_points))),
    post_processors=dict(panoptic=dict(
        type='PanopticPostProcessor', object_threshold=0.2, overlap_threshold=0.6)))
max_iters = 1000
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(
    constructor='LayerDecayConstructor',
    paramwise_cfg=dict(_delete_=True, layer_decay=1.0))
param_scheduler = [
    dict(type='TwoStageWarmupPolyLR', warmup=(20, 50), power=0.9, by_epoch=False),
]
randomness = dict(seed=0)
