_base_ = [
    '../_base_/models/mask2former_tf-efficientnet-lite0.py',
    '../_base_/datasets/coco_mini_panoptic27.py',
    '../_base_/schedules/mask2former_small.py',
    '../_base_/default_runtime.py',
]
# Lets the model be built without the data; a training takes the classes from the annotation file.
things = (
    'person', 'vehicle', 'outdoor', 'animal', 'accessory', 'sports', 'kitchen', 'food',
    'furniture', 'electronic', 'appliance', 'indoor',
)
stuff = (
    'textile', 'building', 'raw-material', 'furniture-stuff', 'floor', 'plant', 'food-stuff',
    'ground', 'structural', 'water', 'wall', 'window', 'ceiling', 'sky', 'solid',
)
model = dict(
    taxonomy=dict(classes=things + stuff, thing_classes=things),
    # Lower than for a converged model, whose queries are surer of their classes.
    post_processors=dict(panoptic=dict(object_threshold=0.2, overlap_threshold=0.6)))
