# Swin-B of timm's modules: the numbers of swin-b.py without MMDetection.
_base_ = './swin-b.py'
encoder = dict(
    backbone=dict(
        _delete_=True,
        type='TimmSwin',
        embed_dims=128,
        depths=(2, 2, 18, 2),
        num_heads=(4, 8, 16, 32),
        window_size=12,
        drop_path_rate=0.3))
