# SeMask-FPN: a class for every pixel, from the sum of all maps, and semantic priors in the
# encoder (see ../backbones/semask-*.py) that learn through their own sum.
_base_ = './per_pixel.py'
model = dict(
    data_preprocessor=dict(pad_size_divisor=1),
    neck=dict(type='SemanticFPNPixelDecoder', norm_cfg=dict(type='SyncBN')),
    head=dict(dropout=0.1, init_cfg=dict(type='Normal', layer='Conv2d', std=0.01)),
    criterion=dict(average='all'),
    auxiliary=dict(aux=dict(
        head=dict(type='SemanticPriorHead'),
        criterion=dict(type='PixelCriterion', weight=0.4, average='all'))))
