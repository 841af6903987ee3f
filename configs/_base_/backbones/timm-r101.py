# ResNet-101 of timm, with frozen batch norms: the numbers of r101.py without MMDetection.
_base_ = './r101.py'
encoder = dict(
    backbone=dict(
        _delete_=True,
        type='TimmBackbone',
        model_name='resnet101',
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True))
