"""The study of semask_evidence.py: what SeMask brings, and which of its parts."""

from __future__ import annotations

from pathlib import Path

from evidence.plan import Instrument, Study, Task
from unimask.checkpoints import latest_checkpoint, read_weights

__all__ = ['STUDY']

LITE0 = "dict({}type='TimmBackbone', model_name='tf_efficientnet_lite0', norm_eval=True)"
# Half as wide and deep as Swin-T.
SWIN = ("dict({}type='mmdet.SwinTransformer', embed_dims=48, depths=(1, 1, 3, 1), "
        'num_heads=(3, 6, 12, 24), drop_path_rate=0.1)')
DELETE = '_delete_=True, '
MEANINGS = {
    'plain': 'the encoder as it is, no auxiliary loss',
    'semask': 'semantic layers at all stages and the auxiliary loss, as published',
    'semask, no norm': 'without the extra norm: `model.backbone.trunk_norm=False`',
    'semask, no loss': 'without the auxiliary loss: `model.auxiliary=None`',
    'semask, no residual': 'without the semantic residual, which never learns then: '
                           "`model.backbone.semantic_init='zero_res'`",
}
PARTS: dict[str, dict[str, str]] = {
    'semask, no norm': {'model.backbone.trunk_norm': 'False'},
    'semask, no loss': {'model.auxiliary': 'None'},
    'semask, no residual': {'model.backbone.semantic_init': 'zero_res'},
}
FPN = 'semask/semask-tf-efficientnet-lite0_fpn_1xb2_camvid.py'
MASK2FORMER = 'semask/semask-tf-efficientnet-lite0_mask2former_1xb2_camvid.py'
SMALL_MASK2FORMER = {
    'model.head.num_layers': 3,
    'model.neck.num_layers': 2,
    'model.criterion.matcher.num_points': 1024,
    'model.criterion.sampler.num_points': 1024,
}
# Nothing is known beforehand: every part learns at the full rate.
FROM_SCRATCH = {'model.init_cfg': 'None', 'optim_wrapper.paramwise_cfg.backbone_lr_mult': 1.0}


def _plain(encoder: str) -> dict[str, str]:
    return {'model.backbone': encoder.format(DELETE), 'model.auxiliary': 'None'}


def _task(config: str, label: str, *, pretrained: bool, options: dict[str, object]) -> Task:
    swin = {'model.backbone': f"dict({DELETE}type='SeMaskEncoder', encoder={SWIN.format('')})"}
    variants = (dict(plain=_plain(LITE0), semask={}) | PARTS if pretrained
                else dict(plain=_plain(SWIN), semask=swin))
    return Task(config, 'camvid', 'semantic/mIoU', label, iterations=200, crop=(160, 160),
                short_edge=240, max_long=320, images=8, held_out=233, variants=variants,
                pretrained=pretrained, options=options)


def gates(folder: Path) -> dict[str, float]:
    """|gamma| of every stage when a run is over: how far the semantic residual has opened."""
    weights = read_weights(latest_checkpoint(folder))
    found = [value for name, value in weights.items()
             if 'semantic_layers.' in name and name.endswith('.gamma')]
    return {f'semask/gate_{stage}': float(value.abs().max())
            for stage, value in enumerate(found, 1)}


STUDY = Study(
    name='semask', tool='semask_evidence.py',
    tasks={
        'lite0_fpn': _task(FPN, 'EfficientNet-Lite0 (ImageNet), semantic FPN: CamVid, mIoU',
                           pretrained=True, options={}),
        'lite0_mask2former': _task(
            MASK2FORMER, 'EfficientNet-Lite0 (ImageNet), Mask2Former: CamVid, mIoU',
            pretrained=True, options=SMALL_MASK2FORMER),
        'swin_fpn': _task(FPN, 'small Swin (random weights), semantic FPN: CamVid, mIoU',
                          pretrained=False, options=FROM_SCRATCH),
        'swin_mask2former': _task(
            MASK2FORMER, 'small Swin (random weights), Mask2Former: CamVid, mIoU',
            pretrained=False, options=FROM_SCRATCH | SMALL_MASK2FORMER)},
    meanings=MEANINGS, heading='what it is',
    baselines={'plain': 'against plain', 'semask': 'against semask'},
    common={
        'train_dataloader.num_workers': 0,
        'val_dataloader.num_workers': 0,
        # Around the size of the test images, so that a crop shows a third to all of one.
        'train_dataloader.dataset.pipeline.2.short_edge': '(180, 220, 260, 300)',
        'default_hooks.logger.interval': 10,
        'log_processor.window_size': 10},
    prefix='semask/',
    instruments={'gate': Instrument('opening of the residual, |gamma|', 'gate', place='stage',
                                    limits=(0, None), digits=4)},
    first=('plain', 'semask'), measure=gates)
