# MiT-B1 with SeMask's semantic layers, otherwise as MiT-B0.
_base_ = './semask-mit-b0.py'
encoder = dict(
    backbone=dict(size='b1'),
    init_cfg=dict(
        checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segformer/'
                   'mit_b1_20220624-02e5a6a1.pth'))
