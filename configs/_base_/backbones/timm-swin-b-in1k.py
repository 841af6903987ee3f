# Swin-B of timm's modules, pre-trained on ImageNet-1k: the numbers of swin-b-in1k.py without
# MMDetection.
_base_ = './swin-b-in1k.py'
encoder = dict(
    backbone=dict(
        _delete_=True,
        type='TimmSwin',
        embed_dims=128,
        depths=(2, 2, 18, 2),
        num_heads=(4, 8, 16, 32),
        window_size=12,
        drop_path_rate=0.3))
