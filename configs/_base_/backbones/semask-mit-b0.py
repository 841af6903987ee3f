# MiT-B0 with SeMask's semantic layers, windows in the first two stages as in SeMask's Swin-T for
# ADE20K; pre-trained on ImageNet-1k by SegFormer's authors, whose licence forbids commercial use.
encoder = dict(
    backbone=dict(type='SeMaskMiT', size='b0', windows=(7, 7, None, None)),
    init_cfg=dict(
        type='PretrainedBackbone',
        checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segformer/'
                   'mit_b0_20220624-7e0fe6dd.pth'))
