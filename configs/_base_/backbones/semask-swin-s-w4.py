# SeMask's Swin-S of SeMask-FPN for Cityscapes: windows in all stages.
_base_ = './semask-swin-s.py'
encoder = dict(backbone=dict(windows=(7, 7, 7, 7)))
