# ResNet-101 of timm whose batch norms learn, over all GPUs together.
_base_ = './timm-r101.py'
encoder = dict(
    backbone=dict(norm_cfg=dict(type='SyncBN', requires_grad=True), norm_eval=False))
