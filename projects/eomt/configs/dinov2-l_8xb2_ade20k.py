# Crops of 512. With `--tta` pictures are tested in windows of 512, as published; without it (as in
# the course of a training) in one piece, with position embeddings that are resized on the way.
_base_ = [
    './_base_/dinov2-l.py',
    './_base_/eomt.py',
    '../../../configs/_base_/datasets/ade20k_semantic_512.py',
    './_base_/schedule_31e_ade20k.py',
    '../../../configs/_base_/default_runtime.py',
]
model = dict(**_base_.encoder, **_base_.labels)
model['backbone']['img_size'] = 512
model['head'] = dict(num_queries=100)
tta_model = dict(_delete_=True, type='SlidingWindow', size=512)
