_base_ = [
    '../_base_/models/mask2former_tf-efficientnet-lite0.py',
    '../_base_/datasets/camvid_semantic.py',
    '../_base_/schedules/mask2former_small.py',
    '../_base_/default_runtime.py',
]
model = dict(taxonomy='CamVidDataset', test_cfg=dict(tasks=('semantic',)))
