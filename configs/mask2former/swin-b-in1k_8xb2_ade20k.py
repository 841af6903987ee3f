_base_ = [
    '../_base_/models/mask2former_swin-b-in1k.py',
    '../_base_/datasets/ade20k_semantic_640.py',
    '../_base_/schedules/mask2former_160k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    taxonomy='ADE20KSemanticDataset',
    test_cfg=dict(tasks=('semantic',)))
