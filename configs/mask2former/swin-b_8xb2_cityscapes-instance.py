_base_ = [
    '../_base_/models/mask2former_swin-b.py',
    '../_base_/datasets/cityscapes_instance_512x1024.py',
    '../_base_/schedules/mask2former_90k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    taxonomy='CityscapesInstanceDataset',
    test_cfg=dict(tasks=('instance',)))
