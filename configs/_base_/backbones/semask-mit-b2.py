# MiT-B2 with SeMask's semantic layers, otherwise as MiT-B0.
_base_ = './semask-mit-b0.py'
encoder = dict(
    backbone=dict(size='b2'),
    init_cfg=dict(
        checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segformer/'
                   'mit_b2_20220624-66e8bf70.pth'))
