# SeMask's Swin-L, windows and whole maps as in SeMask-FPN for ADE20K and COCO-Stuff; the weights
# are Swin-L's.
_base_ = './swin-l.py'
encoder = dict(backbone=dict(
    _delete_=True, type='SeMaskSwin', size='large', windows=(12, 12, None, None)))
