"""The study of mp_evidence.py: what mask piloting brings, one thing changed at a time."""

from __future__ import annotations

from evidence.plan import Instrument, Study, Task, described

__all__ = ['STUDY']

VARIANTS: dict[str, dict[str, str]] = {
    'mask2former': {},
    'mask2former, no position': {'model.head': 'dict(query_position=False)'},
    'mp-former': {'model.head': "dict(type='MaskPilotedHead')"},
    'mp-former, position': {
        'model.head': "dict(type='MaskPilotedHead', query_position=True)"},
    'mp-former, point noise': {
        'model.head': "dict(type='MaskPilotedHead', pilot=dict(type='MaskPilot', "
                      "mask_noise=dict(type='PointNoise', ratio=0.2)))"},
    'mp-former, no label noise': {
        'model.head': "dict(type='MaskPilotedHead', pilot=dict(type='MaskPilot', "
                      'label_noise=0.0))'},
}
TASKS = {
    'camvid': Task(
        'mask2former/tf-efficientnet-lite0_1xb2_camvid.py', 'camvid', 'semantic/mIoU',
        'CamVid semantic, mIoU', iterations=200, crop=(192, 192), short_edge=240, max_long=320,
        images=5, held_out=233, variants=VARIANTS),
    'pennfudan': Task(
        'mask2former/tf-efficientnet-lite0_1xb2_pennfudan.py', 'pennfudan', 'instance/AP',
        'Penn-Fudan instance, mask AP', iterations=200, crop=192, short_edge=192, max_long=320,
        images=1, held_out=50, variants=VARIANTS),
    'coco_mini27': Task(
        'mask2former/tf-efficientnet-lite0_1xb2_coco-mini27-panoptic.py', 'coco_mini',
        'panoptic/PQ', 'coco_mini panoptic, 27 classes, PQ', iterations=360, crop=160,
        short_edge=160, max_long=256, images=2, held_out=100, variants=VARIANTS,
        # The score that counts is PQ; AP would take as long as the rest of an evaluation.
        options={'val_evaluator': "[dict(type='PQMetric'), dict(type='MeanIoUMetric')]",
                 'model.test_cfg.tasks': "('semantic', 'panoptic')"}),
}
# So that a run takes a few minutes of one core.
COMMON = {
    'train_dataloader.num_workers': 0,
    'val_dataloader.num_workers': 0,
    'model.head.num_queries': 30,
    'model.neck.num_layers': 2,
    'model.criterion.matcher.num_points': 1024,
    'model.criterion.sampler.num_points': 1024,
    'default_hooks.logger.interval': 10,
    'log_processor.window_size': 10,
    'custom_hooks': "[dict(type='LayerConsistencyHook', num_images=25)]",
}

STUDY = Study(
    name='mp_former', tool='mp_evidence.py', tasks=TASKS, heading='change of the config',
    meanings={name: f'`{described(change)}`' for name, change in VARIANTS.items()},
    baselines={'mask2former': 'against Mask2Former'}, common=COMMON, prefix='consistency/',
    instruments={
        'iou': Instrument('IoU with the layer before', 'IoU', place='prediction'),
        'utilisation': Instrument('query utilisation', 'utilisation', place='prediction')})
