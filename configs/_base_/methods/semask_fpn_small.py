# SeMask-FPN for small data sets and machines without a GPU.
_base_ = './semask_fpn.py'
model = dict(neck=dict(channels=128, norm_cfg=dict(type='BN')))
