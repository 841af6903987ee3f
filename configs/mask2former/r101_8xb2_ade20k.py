# Published as "..._90k", but trained for 160k iterations, and the one ADE20K model with SyncBN.
_base_ = [
    '../_base_/models/mask2former_r101.py',
    '../_base_/datasets/ade20k_semantic_512.py',
    '../_base_/schedules/mask2former_160k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    taxonomy='ADE20KSemanticDataset',
    backbone=dict(norm_cfg=dict(type='SyncBN', requires_grad=True), norm_eval=False),
    test_cfg=dict(tasks=('semantic',)))
