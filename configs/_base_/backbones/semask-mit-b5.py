# MiT-B5 with SeMask's semantic layers, otherwise as MiT-B0.
_base_ = './semask-mit-b0.py'
encoder = dict(
    backbone=dict(size='b5'),
    init_cfg=dict(
        checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segformer/'
                   'mit_b5_20220624-658746d9.pth'))
