# A small part of COCO panoptic with 27 super-categories. Layout below data_root:
#   images/{train,val}/*.jpg
#   annotations/panoptic27_{train,val}.json, annotations/panoptic27_{train,val}/*.png
# Sizes suit a CPU.
# The classes are those of the annotation file: a data set of one's own in COCO panoptic format
# needs nothing but its data_root.
_base_ = './coco_mini_panoptic.py'
dataset_type = 'PanopticDataset'
# Lets the model be built without the data; a training takes the classes from the annotation file.
things = (
    'person', 'vehicle', 'outdoor', 'animal', 'accessory', 'sports', 'kitchen', 'food',
    'furniture', 'electronic', 'appliance', 'indoor',
)
stuff = (
    'textile', 'building', 'raw-material', 'furniture-stuff', 'floor', 'plant', 'food-stuff',
    'ground', 'structural', 'water', 'wall', 'window', 'ceiling', 'sky', 'solid',
)
labels = dict(taxonomy=dict(_delete_=True, classes=things + stuff, thing_classes=things))
train_dataloader = dict(dataset=dict(
    type=dataset_type,
    ann_file='annotations/panoptic27_train.json',
    data_prefix=dict(seg='annotations/panoptic27_train/')))
val_dataloader = dict(dataset=dict(
    type=dataset_type,
    ann_file='annotations/panoptic27_val.json',
    data_prefix=dict(seg='annotations/panoptic27_val/')))
test_dataloader = val_dataloader
