# ResNet-101 with a stem of three 3x3 convolutions, whose last stage looks 1, 2 and 4 pixels far
# ("multi-grid") at the stride of 32 that it has anyway. The ImageNet weights are those of
# Detectron2's DeepLab.
_base_ = './r101.py'
encoder = dict(
    backbone=dict(
        type='mmseg.ResNetV1c',
        stem_channels=128,
        strides=(1, 2, 2, 2),
        dilations=(1, 1, 1, 1),
        multi_grid=(1, 2, 4)),
    init_cfg=dict(
        checkpoint='https://dl.fbaipublicfiles.com/detectron2/DeepLab/R-103.pkl',
        source='detectron2-resnet'))
