"""What is read out of a prediction: resize, crop, resize, then pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from door import DensePrediction, MaskPrediction, build, taxonomy, to_numpy
from mmdet.structures import DetDataSample
from plain import sigmoid, softmax
from torch import Tensor, nn

CLASSES, THINGS, QUERIES, WIDTH = 5, (0, 1, 3), 14, 4
SMALL, PADDED, IMAGE, OUTPUT = (8, 10), (32, 40), (27, 40), (50, 33)
TASKS = ('semantic', 'instance', 'panoptic')


class Fixed(nn.Module):
    """Stands for a backbone, a pixel decoder or a head: gives the same, whatever comes in."""

    memory_channels, mask_channels, tasks = (4,), 4, TASKS

    def __init__(self, value: object, tasks: tuple[str, ...] = TASKS) -> None:
        super().__init__()
        self.value, self.tasks = value, tasks

    def forward(self, *_: object) -> object:
        return self.value


def segmentor(prediction: object, tasks: tuple[str, ...], processors: dict) -> nn.Module:
    """A whole segmentor, whose head gives ``prediction``."""
    return build(dict(
        type='UniversalSegmentor', backbone=Fixed([torch.zeros(2, 4, *SMALL)]), neck=Fixed(None),
        head=Fixed(prediction, tasks), taxonomy=taxonomy(CLASSES, THINGS).to_metainfo(),
        test_cfg=dict(tasks=tasks), post_processors=processors))


def samples_of(size: tuple[int, int], output: tuple[int, int]) -> list[DetDataSample]:
    return [DetDataSample(metainfo=dict(img_shape=size, ori_shape=output)) for _ in range(2)]


def predict(prediction: object, *, tasks: tuple[str, ...] = TASKS, size: tuple[int, int] = IMAGE,
            output: tuple[int, int] = OUTPUT, **processors: dict) -> DetDataSample:
    """The second image's result."""
    model = segmentor(prediction, tasks, processors)
    return model(torch.zeros(2, 3, *PADDED), samples_of(size, output), mode='predict')[1]


def semantic_scores(prediction: object, tasks: tuple[str, ...]) -> np.ndarray:
    """(K, H, W) of the second image, as test-time augmentation takes them."""
    model = segmentor(prediction, tasks, {})
    with torch.no_grad():
        _, scores = model.semantic_scores(torch.zeros(2, 3, *PADDED), samples_of(IMAGE, OUTPUT))
    return to_numpy(scores)


def queries(*, seed: int = 0, rough: float = 0.0) -> tuple[MaskPrediction, np.ndarray, np.ndarray]:
    """A prediction, and of its last layer and second image: class probabilities, mask logits."""
    torch.manual_seed(seed)
    logits = 4 * torch.randn(3, 2, QUERIES, CLASSES + 1)
    embeddings = 2 * torch.randn(3, 2, QUERIES, WIDTH)
    features = F.interpolate(torch.randn(2, WIDTH, 3, 4), SMALL, mode='bicubic')
    features += rough * torch.randn(features.shape)
    maps = np.einsum('qc,chw->qhw', to_numpy(embeddings[-1, 1]), to_numpy(features[1]))
    return (MaskPrediction(logits, embeddings, features), softmax(to_numpy(logits[-1, 1])), maps)


def resized(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    made = F.interpolate(torch.as_tensor(maps)[None], size, mode='bilinear', align_corners=False)
    return made[0].numpy()


def at_output(maps: np.ndarray) -> np.ndarray:
    """To the padded input, cropped to the image, to the original size."""
    return resized(resized(maps, PADDED)[:, :IMAGE[0], :IMAGE[1]], OUTPUT)


def assert_same_labels(found: Tensor, expected: np.ndarray) -> None:
    """A pixel may lie between two classes within rounding."""
    assert found.shape[-2:] == expected.shape
    assert (to_numpy(found) != expected).mean() < 2e-3


@pytest.mark.parametrize('alone', [True, False])
def test_semantic(alone: bool, bands: None) -> None:
    """Scores are made at the padded size where nothing else is predicted, masks resized first
    elsewhere."""
    prediction, classes, maps = queries(rough=5)
    tasks = ('semantic',) if alone else TASKS
    sample = predict(prediction, tasks=tasks)
    if alone:
        scores = np.einsum('qk,qhw->khw', classes[:, :-1], sigmoid(resized(maps, PADDED)))
        scores = resized(scores[:, :IMAGE[0], :IMAGE[1]], OUTPUT)
    else:
        scores = np.einsum('qk,qhw->khw', classes[:, :-1], sigmoid(at_output(maps)))
    assert_same_labels(sample.pred_sem_seg.sem_seg[0], scores.argmax(0))
    assert sample.pred_sem_seg.sem_seg.dtype == torch.int64
    np.testing.assert_allclose(semantic_scores(prediction, tasks), scores, atol=2e-3)


def test_the_two_orders_differ() -> None:
    prediction, _, _ = queries(rough=5)
    alone, among = (predict(prediction, tasks=tasks).pred_sem_seg.sem_seg
                    for tasks in (('semantic',), TASKS))
    assert (alone != among).float().mean() > 0.01


def test_dense_prediction(bands: None) -> None:
    logits = F.interpolate(torch.randn(6, CLASSES, 3, 4), SMALL, mode='bicubic').unflatten(
        0, (3, 2))
    prediction, resized_logits = DensePrediction(logits), at_output(to_numpy(logits[-1, 1]))
    sample = predict(prediction, tasks=('semantic',))
    assert_same_labels(sample.pred_sem_seg.sem_seg[0], resized_logits.argmax(0))
    shares = softmax(np.moveaxis(resized_logits, 0, -1))
    np.testing.assert_allclose(semantic_scores(prediction, ('semantic',)),
                               np.moveaxis(shares, -1, 0), atol=1e-4)


@pytest.mark.parametrize('limit', [100, 9])
def test_instances(limit: int, bands: None) -> None:
    """The best pairs of query and class; stuff is dropped after that."""
    prediction, classes, maps = queries()
    found = predict(prediction, instance=dict(max_per_image=limit)).pred_instances
    logits, expected = at_output(maps), []
    pairs = [(classes[q, k], q, k) for q in range(QUERIES) for k in range(CLASSES)]
    for score, query, label in sorted(pairs, reverse=True)[:limit]:
        if label not in THINGS:
            continue
        inside = logits[query] > 0
        mean = sigmoid(logits[query])[inside].sum() / (inside.sum() + 1e-6)
        expected.append((label, score * mean, inside))
    assert found.labels.tolist() == [label for label, _, _ in expected]
    np.testing.assert_allclose(found.scores, [score for _, score, _ in expected], rtol=2e-3)
    for mask, box, (_, _, inside) in zip(found.masks, found.bboxes, expected, strict=True):
        assert_same_labels(mask, inside)
        assert box.tolist() == box_of(to_numpy(mask))
    if limit == 9:
        assert 0 < len(expected) < 9, 'the filter of things must matter'


def box_of(mask: np.ndarray) -> list[int]:
    rows, columns = np.nonzero(mask)
    if len(rows) == 0:
        return [0, 0, 0, 0]
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def panoptic(classes: np.ndarray, logits: np.ndarray, *, threshold: float, overlap: float,
             inside: bool) -> tuple[np.ndarray, list[tuple]]:
    """Query by query: the map and (id, class, score, area) of its segments."""
    kept = [q for q in range(len(classes))
            if classes[q].argmax() != CLASSES and classes[q].max() > threshold]
    out = np.full(logits.shape[1:], CLASSES)
    if not kept:
        return out, []
    winner = np.argmax([classes[q].max() * sigmoid(logits[q]) for q in kept], 0)
    segments, number, stuff = [], 0, {}
    for place, query in enumerate(kept):
        won, own = winner == place, sigmoid(logits[query]) >= 0.5
        final = won & own if inside else won
        if not won.any() or not own.any() or not final.any() or won.sum() / own.sum() < overlap:
            continue
        label = int(classes[query].argmax())
        if label in THINGS:
            number += 1
            identity = label + 1000 * number
        elif label in stuff:
            segments[stuff[label]][3] += final.sum()
            out[final] = label
            continue
        else:
            identity, stuff[label] = label, len(segments)
        segments.append([identity, label, classes[query].max(), final.sum()])
        out[final] = identity
    return out, segments


@pytest.mark.parametrize('inside', [True, False])
@pytest.mark.parametrize('threshold, overlap', [(0.8, 0.8), (0.0, 0.4), (0.6, 0.1), (1.0, 0.8)])
def test_panoptic(inside: bool, threshold: float, overlap: float, bands: None) -> None:
    merged = dropped = 0
    for seed in range(3):
        prediction, classes, maps = queries(seed=seed)
        sample = predict(prediction, panoptic=dict(
            object_threshold=threshold, overlap_threshold=overlap, inside_mask=inside))
        expected, segments = panoptic(classes, at_output(maps), threshold=threshold,
                                      overlap=overlap, inside=inside)
        assert_same_labels(sample.pred_panoptic_seg.sem_seg[0], expected)
        found = sample.pred_panoptic_seg.segments_info
        assert [(s['id'], s['category']) for s in found] == [tuple(s[:2]) for s in segments]
        np.testing.assert_allclose([s['score'] for s in found], [s[2] for s in segments], rtol=1e-4)
        for own, other in zip(found, segments, strict=True):
            assert own['area'] == int((sample.pred_panoptic_seg.sem_seg == own['id']).sum())
            assert abs(own['area'] - other[3]) <= 5
        strong = classes[(classes.max(1) > threshold) & (classes.argmax(1) != CLASSES)].argmax(1)
        dropped += len(strong) > len(segments)
        merged += sum(np.count_nonzero(strong == k) > 1 for k in range(CLASSES) if k not in THINGS)
    assert threshold != 0.0 or (merged and dropped)


def corner_case(logits: list[list[float]], masks: list[list[float]]) -> MaskPrediction:
    """Masks of one row at the final size: what is asked is exactly at a threshold."""
    classes = torch.full((1, 2, len(logits), CLASSES + 1), -30.0)
    classes[..., :len(logits[0])] = torch.tensor(logits)
    features = torch.tensor(masks)[:, None]
    return MaskPrediction(classes, torch.eye(len(masks)).expand(1, 2, -1, -1),
                          features.expand(2, -1, -1, -1).repeat(1, 1, *PADDED)[..., :32, :40])


def rows(prediction: MaskPrediction, **processors: dict) -> DetDataSample:
    return predict(prediction, size=PADDED, output=PADDED, **processors)


def test_a_probability_of_one_half() -> None:
    """Inside of a panoptic segment, outside of an instance."""
    prediction = corner_case([[9.0]], [[0.0]])
    sample = rows(prediction)
    assert (sample.pred_panoptic_seg.sem_seg == 1000).all()
    assert not sample.pred_instances.masks[0].any()
    assert sample.pred_instances.scores[0] == 0
    assert sample.pred_instances.bboxes[0].tolist() == [0, 0, 0, 0]


def test_scores_must_exceed_the_threshold() -> None:
    prediction = corner_case([[0.0, 0.0]], [[3.0]])  # one half for each of two classes
    for threshold, count in ((0.5, 0), (0.499, 1)):
        sample = rows(prediction, panoptic=dict(object_threshold=threshold))
        assert len(sample.pred_panoptic_seg.segments_info) == count


def test_overlap_must_reach_the_threshold() -> None:
    """The second query wins four fifths of its mask."""
    prediction = corner_case([[20.0], [19.0]], [[3.0, -3, -3, -3, -3], [2.0, 2, 2, 2, 2]])
    kept = rows(prediction, panoptic=dict(overlap_threshold=0.8))
    dropped = rows(prediction, panoptic=dict(overlap_threshold=0.81))
    assert [s['id'] for s in kept.pred_panoptic_seg.segments_info] == [1000, 2000]
    assert [s['id'] for s in dropped.pred_panoptic_seg.segments_info] == [1000]
    assert (dropped.pred_panoptic_seg.sem_seg == CLASSES).sum() == 32 * 32


def test_sizes_may_have_channels() -> None:
    """MMDetection states some shapes as (height, width, channels)."""
    prediction, _, _ = queries()
    with_channels, without = (
        predict(prediction, size=(*IMAGE, *extra), output=(*OUTPUT, *extra)).pred_sem_seg.sem_seg
        for extra in ((3,), ()))
    assert torch.equal(with_channels, without) and without.shape == (1, *OUTPUT)


def test_no_object_wins() -> None:
    """A query whose best class is none counts neither with its second best."""
    logits = torch.zeros(1, 2, 1, CLASSES + 1)
    logits[..., 2], logits[..., -1] = 8.0, 9.0
    features = torch.full((2, 1, *PADDED), 5.0)
    sample = rows(MaskPrediction(logits, torch.ones(1, 2, 1, 1), features),
                  panoptic=dict(object_threshold=0.1))
    assert sample.pred_panoptic_seg.segments_info == []
    assert (sample.pred_panoptic_seg.sem_seg == CLASSES).all()
