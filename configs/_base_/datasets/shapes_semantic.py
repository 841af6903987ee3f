# Built-in Shapes data, a class for every pixel.
_base_ = '../shapes.py'
from unimask.pipelines import training

dataset_type = 'ShapesSemanticDataset'
labels = dict(taxonomy=dataset_type, test_cfg=dict(tasks=('semantic',)))
train_pipeline = training('LoadSemanticMap', _base_.augmentation)
# pictures are tested at their own size
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadSemanticMap'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(dataset=dict(
    type=dataset_type,
    data_prefix=dict(img_path='images/train/', seg_map_path='annotations/semantic_train/'),
    pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(
    type=dataset_type,
    data_prefix=dict(img_path='images/val/', seg_map_path='annotations/semantic_val/'),
    pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='MeanIoUMetric')
test_evaluator = val_evaluator
