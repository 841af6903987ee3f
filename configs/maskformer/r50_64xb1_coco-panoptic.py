_base_ = [
    '../_base_/backbones/r50.py',
    '../_base_/methods/maskformer_encoder.py',
    '../_base_/datasets/coco_panoptic_detr.py',
    '../_base_/schedules/maskformer_554k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    **_base_.encoder, **_base_.labels,
    data_preprocessor=dict(pad_size_divisor=1))  # a batch is as large as its largest picture
train_dataloader = dict(batch_size=1)
