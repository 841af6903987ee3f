_base_ = [
    '../_base_/models/mask2former_r50.py',
    '../_base_/datasets/coco_instance_lsj1024.py',
    '../_base_/schedules/mask2former_50e.py',
    '../_base_/default_runtime.py',
]
model = dict(
    taxonomy='CocoInstanceDataset',
    test_cfg=dict(tasks=('instance',)))
