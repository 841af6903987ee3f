# A query for every class, whose mask is the class's map: MaskFormer's "PerPixelBaseline+".
# Semantic maps only.
_base_ = './per_pixel.py'
model = dict(head=dict(type='PerPixelQueryHead', num_layers=6, dropout=0.1))
