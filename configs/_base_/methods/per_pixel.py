# A class for every pixel: MaskFormer's "PerPixelBaseline". Semantic maps only.
_base_ = './mask2former.py'
model = dict(
    neck=dict(type='FPNPixelDecoder'),
    head=dict(_delete_=True, type='PerPixelHead'),
    criterion=dict(_delete_=True, type='PixelCriterion'),
    test_cfg=dict(tasks=('semantic',)))
