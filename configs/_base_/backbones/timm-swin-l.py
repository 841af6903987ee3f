# Swin-L of timm's modules: the numbers of swin-l.py without MMDetection.
_base_ = './swin-l.py'
encoder = dict(
    backbone=dict(
        _delete_=True,
        type='TimmSwin',
        embed_dims=192,
        depths=(2, 2, 18, 2),
        num_heads=(6, 12, 24, 48),
        window_size=12,
        drop_path_rate=0.3))
