# SeMask at the stages of EfficientNet-Lite0, for machines without a GPU; the weights are those of
# the undecorated encoder. As published; short trainings do better with trunk_norm=False, which
# leaves the pretrained encoder as it is (docs/semask.md).
_base_ = './tf-efficientnet-lite0.py'
encoder = dict(backbone=dict(
    _delete_=True,
    type='SeMaskEncoder',
    encoder=dict(type='TimmBackbone', model_name='tf_efficientnet_lite0', norm_eval=True),
    windows=(7, 7, None, None)))
