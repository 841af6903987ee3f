"""SeMask in the encoder and mask piloting in the head, for all tasks."""

from __future__ import annotations

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from test_models.test_segmentor import config, sample_of_size

from unimask.errors import UserError
from unimask.models.segmentors import UniversalSegmentor
from unimask.registry import MODELS

SIZE = (64, 96)


def model(**criterion: object) -> UniversalSegmentor:
    torch.manual_seed(0)
    return MODELS.build(config(
        backbone=dict(type='SeMaskEncoder', windows=(4, 4, None, None),
                      encoder=dict(type='TimmBackbone', model_name='resnet10t')),
        auxiliary=dict(aux=dict(head=dict(type='SemanticPriorHead'),
                                criterion=dict(type='PixelCriterion', weight=0.4, **criterion))),
        head=dict(type='MaskPilotedHead', channels=32, num_queries=6, num_layers=2, num_heads=2,
                  ffn_channels=32)))


def semantic() -> DetDataSample:
    labels = torch.zeros(1, *SIZE, dtype=torch.int64)
    labels[:, 20:, 30:] = 2
    return DetDataSample(gt_sem_seg=PixelData(sem_seg=labels),
                         metainfo=dict(img_shape=SIZE, ori_shape=SIZE))


def instance() -> DetDataSample:
    """Two objects of different classes that overlap."""
    masks = torch.zeros(2, *SIZE, dtype=torch.bool)
    masks[0, 5:40, 10:50] = masks[1, 30:60, 40:90] = True
    return DetDataSample(gt_instances=InstanceData(masks=masks, labels=torch.tensor([0, 1])),
                         metainfo=dict(img_shape=SIZE, ori_shape=SIZE))


def panoptic() -> DetDataSample:
    return sample_of_size(*SIZE)


@pytest.mark.parametrize('sample', [semantic, instance, panoptic])
def test_every_task(sample: object) -> None:
    segmentor = model(overlap='ignore').train()
    losses = segmentor(torch.randn(2, 3, *SIZE), [sample(), sample()], mode='loss')
    assert len(losses) == 3 * 3 * 2 + 1
    assert losses['aux.loss_sem'] > 0 and losses['mp.loss_mask'] > 0
    sum(losses.values()).backward()
    missing = [n for n, p in segmentor.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing
    assert float(segmentor.backbone.semantic_layers[0].blocks[0].gamma.grad) != 0
    found = segmentor.eval()(torch.randn(1, 3, *SIZE), [sample()], mode='predict')[0]
    assert found.pred_panoptic_seg.sem_seg.shape == (1, *found.ori_shape)


def test_overlapping_segments_are_refused_by_default() -> None:
    with pytest.raises(UserError, match="PixelCriterion's overlap='ignore'"):
        model()(torch.randn(1, 3, *SIZE), [instance()], mode='loss')
