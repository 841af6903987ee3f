"""Mean IoU against a slow twin."""

import numpy as np
import pytest
import torch

from unimask.errors import UserError
from unimask.evaluation import class_areas, iou_scores

K, IGNORE = 5, 255


def slow_scores(prediction, truth, average):
    """Twin: sets of pixels per class."""
    def pixels(values, label):
        return {i for i, value in enumerate(values) if value == label}

    counted = [i for i, value in enumerate(truth) if value != IGNORE]
    prediction, truth = [prediction[i] for i in counted], [truth[i] for i in counted]
    iou, accuracy, share = {}, {}, {}
    for label in range(K):
        own, guess = pixels(truth, label), pixels(prediction, label)
        if own or (guess and average == 'union_present'):
            iou[label] = len(own & guess) / len(own | guess)
        if own:
            accuracy[label] = len(own & guess) / len(own)
            share[label] = len(own) / len(truth)
    return dict(
        mIoU=sum(iou.values()) / len(iou), mAcc=sum(accuracy.values()) / len(accuracy),
        aAcc=sum(p == t for p, t in zip(prediction, truth, strict=True)) / len(truth),
        fwIoU=sum(share[label] * iou[label] for label in share))


@pytest.mark.parametrize('average', ['gt_present', 'union_present'])
@pytest.mark.parametrize('seed', range(10))
def test_equals_slow_twin(seed, average):
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(3):
        truth = rng.integers(0, K - 1, (6, 7))  # the last class is only predicted
        prediction = np.where(rng.random((6, 7)) < 0.6, truth, rng.integers(0, K, (6, 7)))
        truth[rng.random((6, 7)) < 0.2] = IGNORE
        images.append((prediction, truth))
    areas = sum(class_areas(
        torch.as_tensor(p), torch.as_tensor(t).to(torch.uint8), num_classes=K,
        ignore_index=IGNORE) for p, t in images)
    scores = iou_scores(areas, average=average)
    flat = [np.concatenate([image[i].ravel() for image in images]).tolist() for i in (0, 1)]
    for name, value in slow_scores(*flat, average).items():
        assert scores[name] == pytest.approx(value, rel=1e-12), name


def test_prediction_outside_the_classes_is_wrong():
    truth = torch.tensor([[0, 0, 1, 1]])
    areas = class_areas(
        torch.tensor([[0, 255, 1, -1]]), truth, num_classes=2, ignore_index=IGNORE)
    assert areas.tolist() == [[1, 1], [1, 1], [2, 2]]


def test_everything_ignored():
    maps = torch.zeros(2, 2, dtype=torch.int64), torch.full((2, 2), IGNORE)
    areas = class_areas(*maps, num_classes=K, ignore_index=IGNORE)
    assert not areas.any()
    assert all(np.isnan(value).all() for value in iou_scores(areas).values())


def test_errors():
    maps = torch.zeros(2, 2, dtype=torch.int64), torch.tensor([[0, 1], [K, 0]])
    with pytest.raises(UserError, match=f'label {K}, but .* {K} classes'):
        class_areas(*maps, num_classes=K, ignore_index=IGNORE)
    with pytest.raises(UserError, match=r'\(2, 2\).*\(2, 3\)'):
        class_areas(
            maps[0], torch.zeros(2, 3, dtype=torch.int64), num_classes=K, ignore_index=IGNORE)


def test_counts_beyond_float32_stay_exact():
    areas = np.array([[2**24 + 1, 1], [2**24 + 1, 1], [2**24 + 2, 1]], dtype=np.int64)
    assert iou_scores(areas)['IoU'][0] == (2**24 + 1) / (2**24 + 2)
