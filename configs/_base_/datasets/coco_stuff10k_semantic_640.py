# COCO-Stuff 10k v1.1, 171 classes, crops of 640, as MaskFormer is trained on it. Layout below
# data_root:
#   images/{train2014,test2014}/*.jpg
#   annotations/{train2014,test2014}/*_labelTrainIds.png     (0 = unlabelled, 1 to 171)
# tools/dataset_converters/coco_stuff10k.py makes it of the release.
_base_ = '../loaders.py'
from unimask.pipelines import scale_and_crop, testing, training

dataset_type = 'COCOStuff10kDataset'
data_root = 'data/coco_stuff10k/'
crop_size = (640, 640)
labels = dict(taxonomy=dataset_type, test_cfg=dict(tasks=('semantic',)))

train_pipeline = training('LoadSemanticMap', scale_and_crop(640, crop_size, largest=1.5))
test_pipeline = testing('LoadSemanticMap', short_edge=640, max_long=2560)

train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/train2014', seg_map_path='annotations/train2014'),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/test2014', seg_map_path='annotations/test2014'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [dict(type='MeanIoUMetric')]
test_evaluator = val_evaluator

# multi-scale and flipped testing
tta_model = dict(
    type='SemanticTTA', short_sides=(320, 480, 640, 800, 960, 1120), max_long_side=4480)
