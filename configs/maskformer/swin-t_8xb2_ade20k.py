_base_ = [
    '../_base_/models/maskformer_swin-t.py',
    '../_base_/datasets/ade20k_semantic_512.py',
    '../_base_/schedules/maskformer_160k_swin.py',
    '../_base_/default_runtime.py',
]
model = dict(taxonomy='ADE20KSemanticDataset', test_cfg=dict(tasks=('semantic',)))
