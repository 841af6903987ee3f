_base_ = [
    '../_base_/models/mask2former_swin-l.py',
    '../_base_/datasets/coco_instance_lsj1024.py',
    '../_base_/schedules/mask2former_100e.py',
    '../_base_/default_runtime.py',
]
model = dict(
    taxonomy='CocoInstanceDataset',
    head=dict(num_queries=200),
    test_cfg=dict(tasks=('instance',)))
