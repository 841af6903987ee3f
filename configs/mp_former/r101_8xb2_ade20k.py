# Published as "..._90k", but trained for 160k iterations, and the one ADE20K model with SyncBN.
_base_ = [
    '../_base_/backbones/r101-syncbn.py',
    '../_base_/methods/mp_former.py',
    '../_base_/datasets/ade20k_semantic_512.py',
    '../_base_/schedules/mask2former_160k.py',
    '../_base_/default_runtime.py',
]
model = dict(**_base_.encoder, **_base_.labels)
