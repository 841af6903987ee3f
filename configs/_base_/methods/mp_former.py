# MP-Former: Mask2Former with mask-piloted training, as published: one group, a fifth of the
# classes noised, masks not, and no query position.
_base_ = './mask2former.py'
model = dict(
    head=dict(
        type='MaskPilotedHead',
        pilot=dict(type='MaskPilot', groups=1, label_noise=0.2)))
