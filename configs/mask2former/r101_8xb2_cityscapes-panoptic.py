_base_ = [
    '../_base_/models/mask2former_r101.py',
    '../_base_/datasets/cityscapes_panoptic_512x1024.py',
    '../_base_/schedules/mask2former_90k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    taxonomy='CityscapesPanopticDataset',
    backbone=dict(norm_cfg=dict(type='SyncBN', requires_grad=True), norm_eval=False))
