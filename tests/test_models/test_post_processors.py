"""Post-processors alone: the published numbers, and slow twins."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_tools import load_fill
from torch import Tensor

from unimask.models.post_processors import (
    DenseReadout,
    InstancePostProcessor,
    MaskReadout,
    PanopticPostProcessor,
    SemanticPostProcessor,
)
from unimask.ops.resize import ResizePlan
from unimask.structures import Taxonomy
from unimask.structures.masks import mask_boxes

CASE = 'mask2former_r50_coco_panoptic'


def readout_of(logits: Tensor, masks: Tensor, plan: ResizePlan | None = None) -> MaskReadout:
    size = tuple(masks.shape[-2:])
    return MaskReadout(
        logits, torch.eye(len(masks)), masks, plan or ResizePlan(size, size, size, size))


def panoptic(processor: PanopticPostProcessor, readout: MaskReadout, taxonomy: Taxonomy
             ) -> tuple[Tensor, list[dict]]:
    """The map (H, W) and its segments."""
    found = processor(readout, taxonomy)
    return found.sem_seg[0], found.segments_info


def taxonomy_of(classes: int, things: int) -> Taxonomy:
    return Taxonomy(tuple(f'c{i}' for i in range(classes)),
                    tuple(i < things for i in range(classes)), ((0, 0, 0),) * classes)


@pytest.fixture(scope='module')
def golden(goldens: Path) -> dict:
    info = json.loads((goldens / f'{CASE}.json').read_text())
    logits, masks = load_fill(goldens).make_predictions(
        0, 100, 133, 60, 80, info['postprocess_favoured_classes'])
    return dict(
        info=info, arrays=np.load(goldens / f'{CASE}.npz'), taxonomy=taxonomy_of(133, 80),
        readout=readout_of(torch.from_numpy(logits), torch.from_numpy(masks)))


@pytest.mark.parametrize('thresholds', ['0.8_0.8', '0.0_0.8', '0.5_0.3'])
def test_golden_panoptic(golden: dict, thresholds: str) -> None:
    key = f'postprocess.panoptic.{thresholds}'
    thing, overlap = map(float, thresholds.split('_'))
    processor = PanopticPostProcessor(object_threshold=thing, overlap_threshold=overlap)
    ids, segments = panoptic(processor, golden['readout'], golden['taxonomy'])
    expected = golden['info'][key]
    assert [s['category'] for s in segments] == [s['category_id'] for s in expected]
    table = {0: 133} | {e['id']: s['id'] for e, s in zip(expected, segments, strict=True)}
    assert np.array_equal(ids.numpy(), np.vectorize(table.get)(golden['arrays'][key]))
    assert len({s['id'] for s in segments}) == len(segments)


def test_golden_instance(golden: dict) -> None:
    found = InstancePostProcessor()(golden['readout'], golden['taxonomy'])
    arrays = {name: golden['arrays'][f'postprocess.instance.{name}']
              for name in ('scores', 'classes', 'areas')}
    areas = found.masks.sum((1, 2)).numpy()
    order = np.lexsort((areas, found.labels, -found.scores))
    np.testing.assert_allclose(found.scores[order], arrays['scores'], atol=1e-5)
    assert np.array_equal(found.labels[order], arrays['classes'])
    assert np.array_equal(areas[order], arrays['areas'])


def test_golden_semantic(golden: dict) -> None:
    scores = SemanticPostProcessor().scores(golden['readout'])
    steps = golden['info']['arrays']['postprocess.semantic.score']['steps']
    expected = golden['arrays']['postprocess.semantic.score']
    found = scores[tuple(slice(None, None, step) for step in steps)]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    found = SemanticPostProcessor()(golden['readout'], golden['taxonomy'])
    assert torch.equal(found.sem_seg[0], scores.argmax(0))


PLAN = ResizePlan(source=(16, 20), padded=(64, 80), image=(57, 80), output=(90, 41))


def random_readout() -> MaskReadout:
    return readout_of(3 * torch.randn(12, 6), 4 * torch.randn(12, 16, 20), PLAN)


def resized(masks: Tensor) -> Tensor:
    full = F.interpolate(masks[None], PLAN.padded, mode='bilinear')[..., :57, :80]
    return F.interpolate(full, PLAN.output, mode='bilinear')[0]


def test_semantic_orders_of_resizing() -> None:
    readout = random_readout()
    classes = readout.class_logits.softmax(-1)[:, :-1]
    late = torch.einsum('qk,qhw->khw', classes, resized(readout.features).sigmoid())
    torch.testing.assert_close(SemanticPostProcessor().scores(readout), late, atol=1e-4, rtol=1e-4)
    full = F.interpolate(readout.features[None], PLAN.padded, mode='bilinear')[0].sigmoid()
    early = torch.einsum('qk,qhw->khw', classes, full)[:, :57]
    early = F.interpolate(early[None], PLAN.output, mode='bilinear')[0]
    found = SemanticPostProcessor(resize_scores=True).scores(readout)
    torch.testing.assert_close(found, early, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(late, early, atol=1e-3)


def test_dense_logits_are_resized_and_compared_as_probabilities() -> None:
    logits = 3 * torch.randn(5, 16, 20)
    readout = DenseReadout(logits, PLAN)
    expected = resized(logits)
    labels = SemanticPostProcessor()(readout, taxonomy_of(5, 0)).sem_seg[0]
    assert (labels != expected.argmax(0)).float().mean() < 1e-3
    scores = SemanticPostProcessor(resize_scores=True).scores(readout)
    torch.testing.assert_close(scores, expected.softmax(0), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('dense', [False, True])
def test_confidence_is_the_share_of_the_class_in_all_scores(dense: bool) -> None:
    readout = DenseReadout(3 * torch.randn(5, 16, 20), PLAN) if dense else random_readout()
    taxonomy = taxonomy_of(5, 3)
    found = SemanticPostProcessor(confidence=True)(readout, taxonomy)
    plain = SemanticPostProcessor()(readout, taxonomy)
    assert (found.sem_seg == plain.sem_seg).all() and 'confidence' not in plain
    scores = SemanticPostProcessor().scores(readout)
    share = scores.gather(0, found.sem_seg)[0] / scores.sum(0)
    torch.testing.assert_close(found.confidence[0], share, atol=1e-5, rtol=1e-4)


def test_small_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    readout, taxonomy = random_readout(), taxonomy_of(5, 3)
    dense = DenseReadout(torch.randn(5, 16, 20), PLAN)
    processors = [
        lambda: SemanticPostProcessor()(readout, taxonomy).sem_seg,
        lambda: SemanticPostProcessor(resize_scores=True)(readout, taxonomy).sem_seg,
        lambda: SemanticPostProcessor()(dense, taxonomy).sem_seg,
        lambda: InstancePostProcessor()(readout, taxonomy).masks,
        lambda: PanopticPostProcessor(object_threshold=0.2)(readout, taxonomy).sem_seg]
    whole = [make() for make in processors]
    from unimask.models.post_processors import readout as module
    monkeypatch.setattr(
        module, 'row_tiles', lambda height, width, maps: [
            slice(start, min(height, start + 7)) for start in range(0, height, 7)])
    for before, make in zip(whole, processors, strict=True):
        assert (make() != before).float().mean() < 1e-3


def test_maskformer_keeps_what_a_query_won() -> None:
    masks = torch.tensor([[[5.0, 5, 5, 5, 5, 5, 5, 5, 5, -1]]])
    readout = readout_of(torch.tensor([[9.0, 0, 0]]), masks)
    taxonomy = taxonomy_of(2, 0)
    ids, segments = panoptic(PanopticPostProcessor(), readout, taxonomy)
    assert segments[0]['area'] == 9 and ids[0, -1] == 2
    ids, segments = panoptic(PanopticPostProcessor(inside_mask=False), readout, taxonomy)
    assert segments[0]['area'] == 10 and ids[0, -1] == 0


@pytest.mark.parametrize(('limit', 'found'), (
    (1.0, [(2, 9)]), (0.95, [(2, 9)]), (0.5, [(0, 10), (2, 9)])))
def test_queries_on_one_object_compete_as_one(limit: float, found: list[tuple[int, int]]) -> None:
    """Each wins every second pixel of a mask of ten, too little for a segment; a third query has
    the rest of the row."""
    first = torch.tensor([2.0, 9] * 5 + [-9] * 10)
    second = torch.tensor([9.0, 2] * 5 + [2] + [-9] * 9)
    rest = torch.tensor([-9.0] * 11 + [9] * 9)
    readout = readout_of(torch.tensor([[6.0, 0, 0, 0], [0, 5.9, 0, 0], [0, 0, 6, 0]]),
                         torch.stack([first, second, rest])[:, None])
    ids, segments = panoptic(PanopticPostProcessor(duplicate_iou=limit), readout, taxonomy_of(3, 0))
    assert sorted((each['category'], each['area']) for each in segments) == found
    assert (ids[0, 11:] == 2).all()


def probabilities_readout(scores: list[list[float]], masks: list[list[float]]) -> MaskReadout:
    """Queries with class probabilities (no-object is what is missing to 1) and, in one row of
    pixels, mask probabilities."""
    scores = torch.tensor(scores)
    return readout_of(torch.cat([scores, 1 - scores.sum(1, keepdim=True)], 1).log(),
                      torch.tensor(masks).logit()[:, None])


def test_unsure_queries_on_one_object_add_up() -> None:
    """Class 1 wins by the sum, though the surest query says 0; the mask is the weighted mean."""
    scores = [[0.4, 0.1], [0.02, 0.3], [0.02, 0.3], [0.02, 0.02]]
    mask, wider = [0.9, 0.9, 0.9, 0.6, 0.01], [0.9, 0.9, 0.9, 0.45, 0.6]
    readout = probabilities_readout(scores, [mask, wider, wider, mask])
    taxonomy = taxonomy_of(2, 0)
    processor = PanopticPostProcessor(object_threshold=0.5, duplicate_iou=0.5)
    ids, (segment,) = panoptic(processor, readout, taxonomy)
    # Mean probability inside all three masks: 3.3 / 4. The fourth query has no say.
    assert segment['category'] == 1 and segment['score'] == pytest.approx(0.7 * 0.825)
    # 0.4 * 0.6 + 0.6 * 0.45 = 0.51 of the fourth pixel, 0.4 * 0.01 + 0.6 * 0.6 of the fifth
    assert ids[0].tolist() == [1, 1, 1, 1, 2]
    for threshold, iou in ((0.6, 0.5), (0.5, 1.0), (0.5, 0.85)):
        processor = PanopticPostProcessor(object_threshold=threshold, duplicate_iou=iou)
        assert panoptic(processor, readout, taxonomy)[1] == []


def test_queries_that_share_nothing_compete_as_published() -> None:
    torch.manual_seed(0)
    scores = torch.rand(4, 4) / 16 + torch.eye(4) / 2
    masks = torch.eye(4).repeat_interleave(5, 1) * 0.9 + 0.05
    readout = probabilities_readout(scores.tolist(), masks.tolist())
    published, united = (
        panoptic(PanopticPostProcessor(object_threshold=0.3, duplicate_iou=limit), readout,
                 taxonomy_of(4, 0)) for limit in (1.0, 0.5))
    assert torch.equal(published[0], united[0]) and len(published[1]) == 4
    assert {each['category']: each['score'] for each in united[1]} == pytest.approx(
        {each['category']: 0.95 * each['score'] for each in published[1]})


def test_nothing_found() -> None:
    readout = readout_of(torch.tensor([[0.0, 0, 9]]).expand(4, -1), torch.randn(4, 5, 6))
    ids, segments = panoptic(PanopticPostProcessor(), readout, taxonomy_of(2, 1))
    assert segments == [] and (ids == 2).all() and ids.shape == (5, 6)
    found = InstancePostProcessor()(readout, taxonomy_of(2, 0))
    assert found.masks.shape == (0, 5, 6) and found.bboxes.shape == (0, 4)


def test_boxes() -> None:
    masks = torch.zeros(3, 6, 8, dtype=torch.bool)
    masks[0, 2:4, 1:7] = True
    masks[2, 5, 7] = True
    assert mask_boxes(masks).tolist() == [[1, 2, 7, 4], [0, 0, 0, 0], [7, 5, 8, 6]]


@pytest.mark.parametrize('min_score', [0.0, 0.05, 0.2, 1.0])
@pytest.mark.parametrize('packed', [False, True])
def test_leaving_out_low_scores_changes_nothing_else(min_score: float, packed: bool) -> None:
    torch.manual_seed(0)
    readout, taxonomy = random_readout(), taxonomy_of(5, 3)
    everything = InstancePostProcessor()(readout, taxonomy)
    found = InstancePostProcessor(min_score=min_score, packed=packed)(readout, taxonomy)
    kept = everything.scores >= min_score
    for name in ('labels', 'scores', 'bboxes'):
        assert torch.equal(found[name], everything[name][kept]), name
    masks = torch.stack(list(found.masks)) if kept.any() else torch.zeros(0, 90, 41)
    assert torch.equal(masks.bool(), everything.masks[kept])
    assert torch.equal(everything.bboxes, mask_boxes(everything.masks))
    assert len({int(count) for count in (kept.sum(), len(kept), 0)}) > 1 or min_score == 0
