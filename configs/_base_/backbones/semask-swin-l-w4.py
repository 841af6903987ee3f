# SeMask's Swin-L of SeMask-FPN for Cityscapes: windows in all stages.
_base_ = './semask-swin-l.py'
encoder = dict(backbone=dict(windows=(12, 12, 12, 12)))
