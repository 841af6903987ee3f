# SeMask's Swin-T, windows and whole maps as in SeMask-FPN for ADE20K and COCO-Stuff; the weights
# are Swin-T's.
_base_ = './swin-t.py'
encoder = dict(backbone=dict(
    _delete_=True, type='SeMaskSwin', size='tiny', windows=(7, 7, None, None)))
