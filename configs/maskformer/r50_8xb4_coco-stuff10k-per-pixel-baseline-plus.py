_base_ = [
    '../_base_/backbones/r50.py',
    '../_base_/methods/per_pixel_queries.py',
    '../_base_/datasets/coco_stuff10k_semantic_640.py',
    '../_base_/schedules/maskformer_60k.py',
    '../_base_/default_runtime.py',
]
model = dict(**_base_.encoder, **_base_.labels)
train_dataloader = dict(batch_size=4)
