# MiT-B3 with SeMask's semantic layers, otherwise as MiT-B0.
_base_ = './semask-mit-b0.py'
encoder = dict(
    backbone=dict(size='b3'),
    init_cfg=dict(
        checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segformer/'
                   'mit_b3_20220624-13b1141c.pth'))
