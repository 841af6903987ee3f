# Cityscapes semantic, 19 classes, crops of 512 x 1024. Layout below data_root:
#   leftImg8bit/{train,val}/CITY/*_leftImg8bit.png
#   gtFine/{train,val}/CITY/*_gtFine_labelTrainIds.png
# The label maps are made by tools/dataset_converters/cityscapes.py. The official mIoU and iIoU need
# gtFine/val/CITY/*_gtFine_instanceIds.png as downloaded.
_base_ = '../loaders.py'
from unimask.pipelines import scale_and_crop, testing, training

dataset_type = 'CityscapesSemanticDataset'
data_root = 'data/cityscapes/'
crop_size = (512, 1024)
labels = dict(taxonomy=dataset_type, test_cfg=dict(tasks=('semantic',)))

train_pipeline = training('LoadSemanticMap', scale_and_crop(1024, crop_size, pad=False))
test_pipeline = testing('LoadSemanticMap', short_edge=1024, max_long=2048)

train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [dict(type='MeanIoUMetric'), dict(type='CityscapesSemanticMetric')]
test_evaluator = val_evaluator

# multi-scale and flipped testing
tta_model = dict(
    type='SemanticTTA', short_sides=(512, 768, 1024, 1280, 1536, 1792), max_long_side=4096)
