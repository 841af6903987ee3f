_base_ = [
    '../_base_/models/maskformer_r50_encoder.py',
    '../_base_/datasets/coco_panoptic_detr.py',
    '../_base_/schedules/maskformer_554k.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=1)
model = dict(taxonomy='CocoPanopticDataset', test_cfg=dict(tasks=('semantic', 'panoptic')))
