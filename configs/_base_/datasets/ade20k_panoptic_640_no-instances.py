# ADE20K panoptic for models that give no instances (MaskFormer). Layout: as in the base.
_base_ = './ade20k_panoptic_640.py'
labels = dict(test_cfg=dict(tasks=('semantic', 'panoptic')))
val_evaluator = [dict(type='PQMetric'), dict(type='MeanIoUMetric')]
test_evaluator = val_evaluator
