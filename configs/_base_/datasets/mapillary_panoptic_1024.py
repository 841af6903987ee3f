# Mapillary Vistas v1.2 panoptic, 37 things and 28 stuff classes, crops of 1024.
# Layout below data_root:
#   {training,validation}/images/*.jpg
#   {training,validation}/v1.2/panoptic/{panoptic_2018.json,*.png}
_base_ = '../loaders.py'
from unimask.pipelines import scale_and_crop, testing, training

dataset_type = 'MapillaryPanopticDataset'
data_root = 'data/mapillary/'
crop_size = (1024, 1024)
labels = dict(taxonomy=dataset_type, test_cfg=dict(tasks=('semantic', 'panoptic')))

train_pipeline = training('LoadPanopticMap', scale_and_crop(2048, crop_size))
test_pipeline = testing('LoadPanopticMap', short_edge=2048, max_long=2048)

train_dataloader = dict(
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='training/v1.2/panoptic/panoptic_2018.json',
        data_prefix=dict(img='training/images/', seg='training/v1.2/panoptic/'),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='validation/v1.2/panoptic/panoptic_2018.json',
        data_prefix=dict(img='validation/images/', seg='validation/v1.2/panoptic/'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [dict(type='PQMetric'), dict(type='MeanIoUMetric')]
test_evaluator = val_evaluator
