# ResNet-101 whose batch norms learn, over all GPUs together.
_base_ = './r101.py'
encoder = dict(
    backbone=dict(norm_cfg=dict(type='SyncBN', requires_grad=True), norm_eval=False))
