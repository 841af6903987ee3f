# SeMask's Swin-L of the mask classifier for Cityscapes: windows of 7 tokens in all stages, as
# published, though those of the Swin blocks are of 12.
_base_ = './semask-swin-l.py'
encoder = dict(backbone=dict(windows=(7, 7, 7, 7)))
