# Built-in Shapes data, things and stuff.
_base_ = '../shapes.py'
from unimask.pipelines import training

dataset_type = 'ShapesDataset'
labels = dict(taxonomy=dataset_type, test_cfg=dict(tasks=('semantic', 'instance', 'panoptic')))
train_pipeline = training('LoadPanopticMap', _base_.augmentation)
# pictures are tested at their own size
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadPanopticMap'),
    dict(type='PackSegInputs', derive=('semantic', 'instance')),
]
train_dataloader = dict(dataset=dict(
    type=dataset_type,
    ann_file='annotations/panoptic_train.json',
    data_prefix=dict(img='images/train/', seg='annotations/panoptic_train/'),
    pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(
    type=dataset_type,
    ann_file='annotations/panoptic_val.json',
    data_prefix=dict(img='images/val/', seg='annotations/panoptic_val/'),
    pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = [dict(type='PQMetric'), dict(type='MaskAPMetric'), dict(type='MeanIoUMetric')]
test_evaluator = val_evaluator
