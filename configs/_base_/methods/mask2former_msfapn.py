# Mask2Former with the pixel decoder MSFaPN: deformable attention, then an aligned step.
_base_ = './mask2former.py'
model = dict(neck=dict(type='MSFaPNPixelDecoder'))
