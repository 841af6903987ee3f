# ResNet-50 of timm, with frozen batch norms: the numbers of r50.py without MMDetection.
_base_ = './r50.py'
encoder = dict(
    backbone=dict(
        _delete_=True,
        type='TimmBackbone',
        model_name='resnet50',
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True))
