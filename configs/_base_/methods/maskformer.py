# MaskFormer with the FPN pixel decoder: the semantic models.
_base_ = './mask2former.py'
model = dict(
    neck=dict(type='FPNPixelDecoder'),
    head=dict(type='MaskFormerHead', num_layers=6, dropout=0.1),
    criterion=dict(
        class_weight=1.0,
        matcher=dict(
            costs=[
                dict(type='ClassCost', weight=1.0),
                dict(type='MaskFocalCost', weight=20.0),
                dict(type='DiceCost', weight=1.0),
            ],
            num_points=None),
        mask_losses=[
            dict(type='MaskFocalLoss', weight=20.0),
            dict(type='MaskDiceLoss', weight=1.0),
        ],
        sampler=None),
    post_processors=dict(panoptic=dict(inside_mask=False)))
