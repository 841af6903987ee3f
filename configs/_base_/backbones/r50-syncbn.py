# ResNet-50 whose batch norms learn, over all GPUs together.
_base_ = './r50.py'
encoder = dict(
    backbone=dict(norm_cfg=dict(type='SyncBN', requires_grad=True), norm_eval=False))
