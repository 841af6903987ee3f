_base_ = [
    '../_base_/backbones/semask-swin-s.py',
    '../_base_/methods/semask_fpn.py',
    '../_base_/datasets/coco_stuff10k_semantic_512_choice.py',
    '../_base_/schedules/semask_fpn_80k.py',
    '../_base_/default_runtime.py',
]
# The loss counts 100000 pixels per picture, those of the batch that are hardest.
model = dict(criterion=dict(hardest=100000), **_base_.encoder, **_base_.labels)
