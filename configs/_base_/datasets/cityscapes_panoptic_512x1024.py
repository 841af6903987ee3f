# Cityscapes panoptic, 8 things and 11 stuff classes, crops of 512 x 1024. Layout below data_root:
#   leftImg8bit/{train,val}/CITY/*_leftImg8bit.png
#   gtFine/cityscapes_panoptic_{train,val}_trainId.json
#   gtFine/cityscapes_panoptic_{train,val}_trainId/*.png
# The latter are made by tools/dataset_converters/cityscapes.py. AP and
# the official mIoU are those of cityscapesscripts and need gtFine/val/CITY/*_gtFine_instanceIds.png
# as downloaded.
_base_ = '../loaders.py'
from unimask.pipelines import scale_and_crop, testing, training

dataset_type = 'CityscapesPanopticDataset'
data_root = 'data/cityscapes/'
crop_size = (512, 1024)
labels = dict(taxonomy=dataset_type, test_cfg=dict(tasks=('semantic', 'instance', 'panoptic')))

train_pipeline = training('LoadPanopticMap', scale_and_crop(1024, crop_size, pad=False))
test_pipeline = testing('LoadPanopticMap', short_edge=1024, max_long=2048)

train_dataloader = dict(
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='gtFine/cityscapes_panoptic_train_trainId.json',
        data_prefix=dict(
            img='leftImg8bit/train/', seg='gtFine/cityscapes_panoptic_train_trainId/'),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='gtFine/cityscapes_panoptic_val_trainId.json',
        data_prefix=dict(img='leftImg8bit/val/', seg='gtFine/cityscapes_panoptic_val_trainId/'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [
    dict(type='PQMetric'),
    dict(type='CityscapesInstanceMetric'),
    dict(type='MeanIoUMetric'),
    dict(type='CityscapesSemanticMetric'),
]
test_evaluator = val_evaluator

# multi-scale and flipped testing
tta_model = dict(
    type='SegmentorTTA', short_sides=(512, 768, 1024, 1280, 1536, 1792), max_long_side=4096)
