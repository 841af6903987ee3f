"""Panoptic quality against a slow twin, and its rules one by one."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from unimask.errors import UserError
from unimask.evaluation import SegmentMap, panoptic_quality, panoptic_statistics


def segment_map(ids, segments, void=0):
    """``segments``: id -> (label, crowd)."""
    return SegmentMap(
        torch.as_tensor(ids), np.array(list(segments), dtype=int),
        np.array([label for label, _ in segments.values()], dtype=int),
        np.array([crowd for _, crowd in segments.values()], dtype=bool), void)


def slow_statistics(truth, truth_segments, prediction, predicted_segments, num_classes):
    """Twin: sets of pixels, exact fractions, one rule after the other."""
    def pixels(ids, value):
        return {tuple(p) for p in np.argwhere(np.asarray(ids) == value)}

    void = pixels(truth, 0)
    table = [dict(tp=0, fp=0, fn=0, iou=Fraction(0)) for _ in range(num_classes)]
    partner = {}
    for t, (label, crowd) in truth_segments.items():
        if crowd:
            continue
        for p, (other, _) in predicted_segments.items():
            own, guess = pixels(truth, t), pixels(prediction, p) - void
            if label == other and own | guess:
                iou = Fraction(len(own & guess), len(own | guess))
                if iou > Fraction(1, 2):
                    partner[p] = t
                    table[label]['tp'] += 1
                    table[label]['iou'] += iou
        if t not in partner.values():
            table[label]['fn'] += 1
    for p, (label, _) in predicted_segments.items():
        guess = pixels(prediction, p)
        if p in partner or not guess:
            continue
        crowds = [t for t, (other, crowd) in truth_segments.items() if crowd and other == label]
        ignored = void | (pixels(truth, crowds[-1]) if crowds else set())
        if Fraction(len(guess & ignored), len(guess)) <= Fraction(1, 2):
            table[label]['fp'] += 1
    return table


def random_case(rng, num_classes=3):
    """A truth of blocks and a prediction that is a shifted, partly relabelled copy."""
    blocks = rng.integers(0, 6, (4, 5))
    truth = np.kron(blocks, np.ones((4, 4), dtype=int))
    prediction = np.roll(truth, rng.integers(-1, 2, 2), axis=(0, 1))
    noise = rng.random(truth.shape) < 0.1
    prediction[noise] = rng.integers(0, 6, noise.sum())
    truth_segments = {
        i: (int(rng.integers(num_classes)), bool(rng.random() < 0.3))
        for i in np.unique(truth).tolist() if i}
    predicted_segments = {
        i: (truth_segments.get(i, (0, False))[0] if rng.random() < 0.8
            else int(rng.integers(num_classes)), False)
        for i in np.unique(prediction).tolist() if i}
    return truth, truth_segments, prediction, predicted_segments


@pytest.mark.parametrize('seed', range(30))
@pytest.mark.parametrize('scale', [1, 1 << 20])
def test_equals_slow_twin(seed, scale):
    """Also with ids too large for the table."""
    truth, truth_segments, prediction, predicted_segments = random_case(
        np.random.default_rng(seed))
    expected = slow_statistics(truth, truth_segments, prediction, predicted_segments, 3)
    rows = panoptic_statistics(
        segment_map(truth * scale, {i * scale: s for i, s in truth_segments.items()}),
        segment_map(prediction * scale, {i * scale: s for i, s in predicted_segments.items()}))
    assert len(rows) == sum(any(v for v in row.values()) for row in expected)
    for label, tp, fp, fn, iou in rows:
        row = expected[int(label)]
        assert (tp, fp, fn) == (row['tp'], row['fp'], row['fn'])
        assert iou == pytest.approx(float(row['iou']), rel=1e-14)


def row(ids):
    return np.array([ids])


def test_iou_of_one_half_is_no_match():
    truth = segment_map(row([1, 1, 1, 2]), {1: (0, False), 2: (1, False)})
    found = segment_map(row([5, 5, 5, 5]), {5: (0, False)})
    assert panoptic_statistics(truth, found).tolist() == [[0, 1, 0, 0, 0.75], [1, 0, 0, 1, 0]]
    truth = segment_map(row([1, 1, 2, 2]), {1: (0, False), 2: (1, False)})
    assert panoptic_statistics(truth, found).tolist() == [[0, 0, 1, 1, 0], [1, 0, 0, 1, 0]]


def test_void_pixels_do_not_lower_the_iou():
    truth = segment_map(row([1, 0, 0, 0]), {1: (0, False)})
    found = segment_map(row([5, 5, 5, 5]), {5: (0, False)})
    assert panoptic_statistics(truth, found).tolist() == [[0, 1, 0, 0, 1.0]]


@pytest.mark.parametrize(('ids', 'false_positives'), [([0, 0, 1, 1], 1), ([0, 0, 0, 1], 0)])
@pytest.mark.parametrize('crowd_label', [None, 0, 1])
def test_more_than_half_on_void_or_own_crowd_is_ignored(ids, false_positives, crowd_label):
    """``ids``: 0 is void, or a crowd region of ``crowd_label``; 1 another class."""
    segments = {1: (2, False)}
    if crowd_label is not None:
        ids = [7 if value == 0 else value for value in ids]
        segments[7] = (crowd_label, True)
    truth = segment_map(row(ids), segments)
    found = segment_map(row([5, 5, 5, 5]), {5: (0, False)})
    rows = {int(r[0]): r[1:].tolist() for r in panoptic_statistics(truth, found)}
    if crowd_label == 1:
        false_positives = 1
    assert rows.pop(2) == [0, 0, 1, 0]
    assert rows == ({0: [0, 1, 0, 0]} if false_positives else {})


def test_the_last_crowd_region_of_a_class_counts():
    """A peculiarity of panopticapi that its numbers depend on."""
    found = segment_map(row([5, 5, 5, 5]), {5: (0, False)})
    ids = row([1, 1, 1, 2])
    assert len(panoptic_statistics(segment_map(ids, {2: (0, True), 1: (0, True)}), found)) == 0
    rows = panoptic_statistics(segment_map(ids, {1: (0, True), 2: (0, True)}), found)
    assert rows.tolist() == [[0, 0, 1, 0, 0]]


def test_listed_segments_without_pixels():
    """One of the truth is missed; one of the prediction does not count."""
    truth = segment_map(row([1, 1]), {1: (0, False), 2: (1, False)})
    found = segment_map(row([5, 5]), {5: (0, False), 6: (1, False)})
    assert panoptic_statistics(truth, found).tolist() == [[0, 1, 0, 0, 1.0], [1, 0, 0, 1, 0]]


def test_nothing_anywhere():
    empty = segment_map(row([0, 0]), {})
    assert panoptic_statistics(empty, empty).shape == (0, 5)
    quality = panoptic_quality([panoptic_statistics(empty, empty)], [True, False])
    assert np.isnan(quality['all']).all()
    assert np.isnan(panoptic_quality([], [True])['per_class']).all()


def test_only_false_positives_or_misses():
    full = segment_map(row([1, 1]), {1: (1, False)})
    empty = segment_map(row([0, 0]), {})
    assert panoptic_statistics(full, empty).tolist() == [[1, 0, 0, 1, 0]]
    # Everything that is predicted lies on void.
    assert panoptic_statistics(empty, full).tolist() == []
    other = segment_map(row([2, 2]), {2: (0, False)})
    assert panoptic_statistics(other, full).tolist() == [[0, 0, 0, 1, 0], [1, 0, 1, 0, 0]]


def test_averages():
    rows = np.array([[0, 1, 0, 0, 0.8], [2, 1, 1, 1, 0.6]])
    quality = panoptic_quality([rows], [True, True, False, False])
    np.testing.assert_allclose(quality['things'], [0.8, 0.8, 1.0])
    np.testing.assert_allclose(quality['stuff'], [0.3, 0.6, 0.5])
    np.testing.assert_allclose(quality['all'], [0.55, 0.7, 0.75])
    assert np.isnan(quality['per_class'][[1, 3]]).all()


def test_order_of_images_does_not_matter():
    rng = np.random.default_rng(0)
    rows = [np.array([[0, 1, 0, 0, value]]) for value in rng.random(200)]
    results = {panoptic_quality(order, [True])['all'][0] for order in (
        rows, rows[::-1], sorted(rows, key=lambda r: r[0, 4]))}
    assert len(results) == 1


def test_errors():
    truth = segment_map(row([1, 1, 3]), {1: (0, False)})
    found = segment_map(row([1, 1, 1]), {1: (0, False)})
    with pytest.raises(UserError, match='ground truth has the id 3'):
        panoptic_statistics(truth, found)
    with pytest.raises(UserError, match='prediction has the id 3'):
        panoptic_statistics(found, truth)
    with pytest.raises(UserError, match=r'\(1, 3\).*\(1, 2\)'):
        panoptic_statistics(segment_map(row([1, 1]), {1: (0, False)}), found)
