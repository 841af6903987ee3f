# SeMask's Swin-S, windows and whole maps as in SeMask-FPN for ADE20K and COCO-Stuff; the weights
# are Swin-S's.
_base_ = './swin-s.py'
encoder = dict(backbone=dict(
    _delete_=True, type='SeMaskSwin', size='small', windows=(7, 7, None, None)))
