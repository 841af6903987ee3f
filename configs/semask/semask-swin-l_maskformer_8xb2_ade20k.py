_base_ = [
    '../_base_/backbones/semask-swin-l-w3.py',
    '../_base_/methods/semask_maskformer.py',
    '../_base_/datasets/ade20k_semantic_640_quarters.py',
    '../_base_/schedules/maskformer_160k_swin.py',
    '../_base_/default_runtime.py',
]
model = dict(**_base_.encoder, **_base_.labels)
