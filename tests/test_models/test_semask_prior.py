"""The semantic prior at test time: what it says, what it costs when nobody asks, its absence."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from test_models.test_segmentor import config
from torch.utils._python_dispatch import TorchDispatchMode

from unimask.errors import UserError
from unimask.models.segmentors import UniversalSegmentor
from unimask.registry import MODELS

SIZE = (64, 96)
SEMASK = dict(
    backbone=dict(type='SeMaskEncoder', windows=(4, 4, None, None),
                  encoder=dict(type='TimmBackbone', model_name='resnet10t')),
    auxiliary=dict(aux=dict(head=dict(type='SemanticPriorHead'),
                            criterion=dict(type='PixelCriterion', weight=0.4))))


def model(**changes: object) -> UniversalSegmentor:
    torch.manual_seed(0)
    return MODELS.build(config(**SEMASK | changes)).eval()


def sample(**meta: tuple[int, int]) -> DetDataSample:
    return DetDataSample(metainfo=dict(img_shape=SIZE, ori_shape=SIZE) | meta)


def test_it_is_what_the_stages_say_and_their_sum() -> None:
    segmentor = model(test_cfg=dict(prior=True))
    images = torch.randn(2, 3, *SIZE)
    found = segmentor(images, [sample(), sample(img_shape=(48, 80), ori_shape=(96, 160))],
                      mode='predict')
    with torch.no_grad():
        features = segmentor.encode(images)
        merged = segmentor.auxiliary['aux'].head(features).logits[0]
    assert found[0].pred_prior.stages.shape == (4, *SIZE)
    assert found[1].pred_prior.stages.shape == (4, 96, 160)
    for scores, maps in [(merged, [each.pred_prior.sem_seg[0] for each in found]),
                         *((scores, [each.pred_prior.stages[stage] for each in found])
                           for stage, scores in enumerate(features.semantic))]:
        whole = F.interpolate(scores, SIZE, mode='bilinear')
        assert torch.equal(maps[0], whole[0].argmax(0))
        # Without the padding, at the size of the file.
        other = F.interpolate(whole[1:, :, :48, :80], (96, 160), mode='bilinear')[0].argmax(0)
        assert (maps[1] == other).float().mean() > 0.99
    assert not torch.equal(found[0].pred_prior.stages[0], found[0].pred_prior.stages[3])


class Counted(TorchDispatchMode):
    """Counts the operations of torch by name."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter = Counter()

    def __torch_dispatch__(self, func: object, types: object, args: tuple = (),
                           kwargs: dict | None = None) -> object:
        self.counts[str(func)] += 1
        return func(*args, **(kwargs or {}))


def operations(segmentor: UniversalSegmentor) -> tuple[Counter, DetDataSample]:
    images = torch.randn(1, 3, *SIZE)
    segmentor(images, [sample()], mode='predict')  # what is computed once for a size
    with Counted() as counted:
        (found,) = segmentor(images, [sample()], mode='predict')
    return counted.counts, found


def test_nobody_pays_who_does_not_ask() -> None:
    """As many operations as without the branch that makes it, kind by kind."""
    unasked, found = operations(model())
    assert 'pred_prior' not in found
    assert unasked == operations(model(auxiliary=None))[0]
    asked, found = operations(model(test_cfg=dict(prior=True)))
    assert 'pred_prior' in found
    more = asked - unasked
    assert 4 <= more['aten.argmax.default'] <= 5 and not unasked - asked
    assert not more['aten.convolution.default'], 'the encoder runs once'


def test_asking_changes_no_prediction() -> None:
    with_prior, without = (
        operations(model(test_cfg=dict(prior=asked)))[1] for asked in (True, False))
    assert torch.equal(with_prior.pred_sem_seg.sem_seg, without.pred_sem_seg.sem_seg)


@pytest.mark.parametrize('changes', [
    dict(auxiliary=None),
    dict(auxiliary=dict(aux=dict(head=dict(type='PerPixelHead', num_classes=3, mask_channels=64),
                                 criterion=dict(type='PixelCriterion'))))])
def test_a_model_without_one_is_named(changes: dict) -> None:
    with pytest.raises(UserError, match='this model has none: none of the heads in'):
        model(test_cfg=dict(prior=True), **changes)
