# EoMT. A config adds a ViT and what the data say:
# `model = dict(**_base_.encoder, **_base_.labels)`.
# The losses are Mask2Former's, for every prediction.
custom_imports = dict(imports=['projects.eomt.eomt'], allow_failed_imports=False)
model = dict(
    type='UniversalSegmentor',
    data_preprocessor=dict(
        type='ImagePreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=16),
    head=dict(type='EoMTHead', num_queries=200),
    criterion=dict(
        type='StagedCriterion',
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
            sampler=dict(type='UncertainPointSampler', num_points=12544))))
custom_hooks = [dict(type='MaskAnnealingHook')]
