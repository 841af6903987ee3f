_base_ = [
    '../_base_/backbones/r50.py',
    '../_base_/methods/per_pixel_queries.py',
    '../_base_/datasets/ade20k_full_semantic_512.py',
    '../_base_/schedules/maskformer_200k.py',
    '../_base_/default_runtime.py',
]
model = dict(**_base_.encoder, **_base_.labels)
