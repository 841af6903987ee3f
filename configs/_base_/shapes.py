# What the three forms of the built-in Shapes data share. Make the data first:
#   python tools/dataset_converters/make_shapes.py data/shapes
# Loading takes a few milliseconds: on the few cores that this data is meant for, workers would
# only take time and memory from the model.
data_root = 'data/shapes/'
crop_size = (128, 128)
augmentation = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='LargeScaleJitter', size=160, ratio_range=(0.8, 1.25)),
    dict(type='RandomCrop', size=crop_size),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(data_root=data_root))
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(data_root=data_root, test_mode=True))
test_dataloader = val_dataloader
