# SeMask's Swin-B, windows and whole maps as in SeMask-FPN for ADE20K and COCO-Stuff; the weights
# are Swin-B's.
_base_ = './swin-b.py'
encoder = dict(backbone=dict(
    _delete_=True, type='SeMaskSwin', size='base', windows=(12, 12, 12, 12)))
