# Mask2Former with the pixel decoder FaPN: no attention, aligned maps.
_base_ = './mask2former.py'
model = dict(neck=dict(type='FaPNPixelDecoder'))
