# A small Mask2Former for the built-in Shapes data, trained from random weights on a CPU in
# minutes: `make demo`. All three tasks, as in the large configs.
_base_ = ['../_base_/datasets/shapes_panoptic.py', '../_base_/default_runtime.py']
max_iters = 2200
num_points = 1024  # a 128 x 128 crop has 1024 mask pixels at stride 4
model = dict(
    type='UniversalSegmentor',
    taxonomy='ShapesDataset',
    data_preprocessor=dict(
        type='ImgDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32),
    backbone=dict(type='TimmBackbone', model_name='resnet10t'),
    neck=dict(type='MSDeformAttnPixelDecoder', channels=128, mask_channels=128, num_layers=3,
              ffn_channels=512),
    head=dict(type='Mask2FormerHead', num_queries=20, num_layers=6, channels=128,
              ffn_channels=512),
    criterion=dict(
        type='SetCriterion',
        class_weight=2.0,
        no_object_weight=0.1,
        matcher=dict(
            type='HungarianMatcher',
            costs=[
                dict(type='ClassCost', weight=2.0),
                dict(type='MaskBCECost', weight=5.0),
                dict(type='DiceCost', weight=5.0),
            ],
            num_points=num_points),
        mask_losses=[
            dict(type='MaskBCELoss', weight=5.0),
            dict(type='MaskDiceLoss', weight=5.0),
        ],
        sampler=dict(
            type='UncertainPointSampler',
            num_points=num_points,
            oversample_ratio=3.0,
            importance_ratio=0.75)),
    # Lower than for a converged model, whose queries are surer of their classes.
    post_processors=dict(panoptic=dict(
        type='PanopticPostProcessor', object_threshold=0.2, overlap_threshold=0.6)),
    test_cfg=dict(tasks=('semantic', 'instance', 'panoptic')))
# As the published optimisation, but for a backbone that starts from nothing.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    paramwise_cfg=dict(backbone_lr_mult=1.0),
    optimizer=dict(type='AdamW', lr=8e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=0.01, norm_type=2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, begin=0, end=100, by_epoch=False),
    dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=max_iters + 1, by_epoch=False),
]
# Small batches: many updates count for more than smooth ones at the start.
train_dataloader = dict(batch_size=4)
# A little larger than they are, within the jitter of the training: small things gain.
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='mmdet.Resize', scale_factor=1.1, keep_ratio=True),
    dict(type='LoadPanopticMap'),
    dict(type='PackSegInputs', derive=('semantic', 'instance')),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=10 * max_iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    logger=dict(interval=50),
    checkpoint=dict(interval=200, max_keep_ckpts=1))
log_processor = dict(window_size=50)
randomness = dict(seed=0)
