_base_ = [
    '../_base_/backbones/r101c.py',
    '../_base_/methods/maskformer.py',
    '../_base_/datasets/cityscapes_semantic_512x1024.py',
    '../_base_/schedules/maskformer_90k.py',
    '../_base_/default_runtime.py',
]
model = dict(**_base_.encoder, **_base_.labels)
