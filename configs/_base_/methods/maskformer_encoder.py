# MaskFormer with 6 transformer encoder layers in the pixel decoder: the panoptic ResNet models.
# COCO panoptic pads a batch to its largest image and nothing more.
_base_ = './maskformer.py'
model = dict(
    data_preprocessor=dict(pad_size_divisor=1),
    neck=dict(type='TransformerEncoderPixelDecoder', num_layers=6, dropout=0.1))
