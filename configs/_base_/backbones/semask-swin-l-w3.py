# SeMask's Swin-L of the mask classifiers for ADE20K: windows in all stages but the last.
_base_ = './semask-swin-l.py'
encoder = dict(backbone=dict(windows=(12, 12, 12, None)))
