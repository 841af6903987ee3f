# SeMask in the encoder and mask-piloted training in the head; nobody published this combination.
# Pixels of segments of several classes, which instances can have, are left out of SeMask's loss.
_base_ = './semask_mask2former.py'
model = dict(
    head=dict(
        type='MaskPilotedHead',
        query_position=True,
        pilot=dict(type='MaskPilot', groups=1, label_noise=0.2)),
    auxiliary=dict(aux=dict(criterion=dict(overlap='ignore'))))
