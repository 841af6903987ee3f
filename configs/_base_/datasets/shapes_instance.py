# Built-in Shapes data, things only.
_base_ = '../shapes.py'
from unimask.pipelines import training

dataset_type = 'ShapesInstanceDataset'
labels = dict(taxonomy=dataset_type, test_cfg=dict(tasks=('instance',)))
train_pipeline = training('LoadInstances', _base_.augmentation, drop_empty=True)
# pictures are tested at their own size
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadInstances', keep_crowd=True),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(dataset=dict(
    type=dataset_type,
    ann_file='annotations/instances_train.json',
    data_prefix=dict(img='images/train/'),
    pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(
    type=dataset_type,
    ann_file='annotations/instances_val.json',
    data_prefix=dict(img='images/val/'),
    pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='MaskAPMetric')
test_evaluator = val_evaluator
