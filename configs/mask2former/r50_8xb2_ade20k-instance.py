# Published with semantic and panoptic outputs too, which mean nothing with things alone.
_base_ = [
    '../_base_/models/mask2former_r50.py',
    '../_base_/datasets/ade20k_instance_640.py',
    '../_base_/schedules/mask2former_160k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    taxonomy='ADE20KInstanceDataset',
    test_cfg=dict(tasks=('instance',)))
