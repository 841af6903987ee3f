# SeMask's Swin-B, windows in all stages as in SeMask-FPN for all data sets; the weights
# are Swin-B's.
_base_ = './swin-b.py'
encoder = dict(backbone=dict(
    _delete_=True, type='SeMaskSwin', size='base', windows=(12, 12, 12, 12)))
