_base_ = [
    '../_base_/models/mask2former_tf-efficientnet-lite0.py',
    '../_base_/datasets/pennfudan_instance.py',
    '../_base_/schedules/mask2former_small.py',
    '../_base_/default_runtime.py',
]
model = dict(taxonomy='PennFudanDataset', test_cfg=dict(tasks=('instance',)))
