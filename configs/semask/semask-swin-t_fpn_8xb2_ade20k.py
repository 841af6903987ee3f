_base_ = [
    '../_base_/backbones/semask-swin-t.py',
    '../_base_/methods/semask_fpn.py',
    '../_base_/datasets/ade20k_semantic_512_choice.py',
    '../_base_/schedules/semask_fpn_80k.py',
    '../_base_/default_runtime.py',
]
from unimask.pipelines import choose_scale_and_crop, training

crop_size = (512, 512)
train_pipeline = training(
    'LoadSemanticMap', choose_scale_and_crop(512, crop_size, max_area=0.75))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
model = dict(**_base_.encoder, **_base_.labels)
