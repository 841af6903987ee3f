# Mask2Former. A config adds a backbone and what the data say:
# `model = dict(**_base_.encoder, **_base_.labels)`.
model = dict(
    type='UniversalSegmentor',
    data_preprocessor=dict(
        type='ImagePreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32),
    neck=dict(type='MSDeformAttnPixelDecoder'),
    head=dict(type='Mask2FormerHead', num_queries=100),
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
            num_points=12544),
        mask_losses=[
            dict(type='MaskBCELoss', weight=5.0),
            dict(type='MaskDiceLoss', weight=5.0),
        ],
        sampler=dict(
            type='UncertainPointSampler',
            num_points=12544,
            oversample_ratio=3.0,
            importance_ratio=0.75)),
    test_cfg=dict(tasks=('semantic', 'instance', 'panoptic')))
