# COCO 2017 panoptic with large scale jittering at 1024. Layout below data_root:
#   train2017/*.jpg, val2017/*.jpg
#   annotations/panoptic_{train2017,val2017}.json, panoptic_{train2017,val2017}/*.png,
#     instances_val2017.json (for AP)
_base_ = '../loaders.py'
from unimask.pipelines import jitter_and_crop, testing, training

dataset_type = 'CocoPanopticDataset'
data_root = 'data/coco/'
crop_size = 1024
labels = dict(taxonomy=dataset_type, test_cfg=dict(tasks=('semantic', 'instance', 'panoptic')))

train_pipeline = training('LoadPanopticMap', jitter_and_crop(crop_size))
test_pipeline = testing('LoadPanopticMap', short_edge=800, max_long=1333)

train_dataloader = dict(
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/panoptic_train2017.json',
        data_prefix=dict(img='train2017/', seg='annotations/panoptic_train2017/'),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/panoptic_val2017.json',
        data_prefix=dict(img='val2017/', seg='annotations/panoptic_val2017/'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

# One pass: PQ and mIoU from the panoptic maps, AP against COCO's own instance file.
val_evaluator = [
    dict(type='PQMetric'),
    dict(
        type='MaskAPMetric', data_root=data_root,
        ann_file='annotations/instances_val2017.json'),
    dict(type='MeanIoUMetric'),
]
test_evaluator = val_evaluator
