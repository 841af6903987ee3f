# SeMask-Mask2Former for small data sets and machines without a GPU.
_base_ = './mask2former_small.py'
model = dict(
    auxiliary=dict(aux=dict(
        head=dict(type='SemanticPriorHead', align_corners=True),
        criterion=dict(type='PixelCriterion', weight=0.4, align_corners=True))))
