_base_ = [
    '../_base_/models/mask2former_r50.py',
    '../_base_/datasets/mapillary_semantic_1024.py',
    '../_base_/schedules/mask2former_300k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    taxonomy='MapillarySemanticDataset',
    test_cfg=dict(tasks=('semantic',)))
