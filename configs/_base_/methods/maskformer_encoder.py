# MaskFormer with 6 transformer encoder layers in the pixel decoder: the panoptic ResNet models.
_base_ = './maskformer.py'
model = dict(neck=dict(type='TransformerEncoderPixelDecoder', num_layers=6, dropout=0.1))
