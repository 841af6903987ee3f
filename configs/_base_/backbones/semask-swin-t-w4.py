# SeMask's Swin-T of SeMask-FPN for Cityscapes: windows in all stages.
_base_ = './semask-swin-t.py'
encoder = dict(backbone=dict(windows=(7, 7, 7, 7)))
