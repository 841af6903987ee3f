# Swin-S of timm's modules: the numbers of swin-s.py without MMDetection.
_base_ = './swin-s.py'
encoder = dict(
    backbone=dict(
        _delete_=True,
        type='TimmSwin',
        embed_dims=96,
        depths=(2, 2, 18, 2),
        num_heads=(3, 6, 12, 24),
        window_size=7,
        drop_path_rate=0.3))
