# SeMask-MaskFormer: MaskFormer, and semantic priors in the encoder (see ../backbones/semask-*.py)
# that learn through their sum.
_base_ = './maskformer.py'
model = dict(
    auxiliary=dict(aux=dict(
        head=dict(type='SemanticPriorHead', align_corners=True),
        criterion=dict(type='PixelCriterion', weight=0.4, align_corners=True))))
