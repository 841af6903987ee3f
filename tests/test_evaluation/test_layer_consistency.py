"""The instruments of MP-Former on predictions whose numbers are known."""

import math

import pytest
import torch
from torch import Tensor

from unimask.evaluation import LayerConsistency
from unimask.structures import MaskPrediction, Matches

# Four cells in a row: a mask embedding is a query's logits at them.
FEATURES = torch.eye(4).view(4, 1, 4)


def masks(*layers: list[str]) -> Tensor:
    """(L, 1, Q, 4) embeddings from strings such as ``'xx..'``."""
    return torch.tensor([[[[1.0 if cell == 'x' else -1.0 for cell in mask] for mask in layer]]
                         for layer in layers])


def prediction(embeddings: Tensor) -> MaskPrediction:
    layers, batch, queries, _ = embeddings.shape
    return MaskPrediction(torch.zeros(layers, batch, queries, 3), embeddings,
                          FEATURES.expand(batch, -1, -1, -1))


def matches(queries: list, segments: list, counts: tuple[int, ...]) -> Matches:
    images = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    shape = (len(queries), sum(counts))
    return Matches(torch.tensor(queries).reshape(shape).long(),
                   torch.tensor(segments).reshape(shape).long(), images, counts)


def measured(*batches: tuple) -> object:
    consistency = LayerConsistency()
    for embeddings, pairs in batches:
        consistency.update(prediction(embeddings), pairs)
    return consistency.result()


CHANGING = masks(['xx..', '..xx', 'xxxx'], ['xx..', '.xxx', 'x...'], ['x...', '.xxx', 'x...'])


def test_numbers_that_are_known() -> None:
    # Step 1: queries 0 and 1 keep their segments; IoU 2/2 and 2/3.
    # Step 2: query 2 takes segment 0 (IoU 1/1, whatever it was before), query 1 keeps 1 (3/3).
    result = measured((CHANGING, matches([[0, 1], [0, 1], [1, 2]], [[0, 1], [0, 1], [1, 0]], (2,))))
    assert result.iou == pytest.approx((5 / 6, 1.0))
    assert result.utilisation == (1.0, 0.5)
    assert result.mean_iou == pytest.approx(11 / 12) and result.mean_utilisation == 0.75
    assert (result.pairs, result.images) == (2, 1)


def test_pairs_of_the_later_prediction_count() -> None:
    # The earlier prediction's pair (query 2) would have IoU 1/4.
    result = measured((CHANGING[:2], matches([[2], [0]], [[0], [0]], (1,))))
    assert result.iou == (1.0,) and result.utilisation == (0.0,)


def test_the_same_queries_with_other_segments_are_not_utilised_again() -> None:
    result = measured((CHANGING[:2], matches([[0, 1], [0, 1]], [[0, 1], [1, 0]], (2,))))
    assert result.utilisation == (0.0,)


def test_a_logit_of_zero_is_inside() -> None:
    embeddings = torch.stack([torch.zeros(1, 1, 4), torch.ones(1, 1, 4)])
    assert measured((embeddings, matches([[0], [0]], [[0], [0]], (1,)))).iou == (1.0,)


def test_two_empty_masks_are_not_compared() -> None:
    empty = masks(['....', 'xx..'], ['....', 'x...'])
    pairs = matches([[0, 1], [0, 1]], [[0, 1], [0, 1]], (2,))
    result = measured((empty, pairs))
    assert result.iou == (0.5,) and result.utilisation == (1.0,)
    assert math.isnan(measured((empty, matches([[0], [0]], [[0], [0]], (1,)))).iou[0])


def test_images_count_by_their_segments() -> None:
    two = torch.cat([CHANGING[:2], CHANGING[:2]], dim=1)
    pairs = matches([[0, 0, 1], [1, 0, 1]], [[0, 1, 2], [0, 1, 2]], (1, 2))
    together = measured((two, pairs))
    assert together.iou[0] == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert together.utilisation[0] == pytest.approx(2 / 3)
    apart = measured(
        (two[:, :1], matches([[0], [1]], [[0], [0]], (1,))),
        (two[:, 1:], matches([[0, 1], [0, 1]], [[0, 1], [0, 1]], (2,))))
    assert apart == together


def test_padding_is_left_out() -> None:
    consistency = LayerConsistency()
    consistency.update(prediction(CHANGING[:2]), matches([[1], [1]], [[0], [0]], (1,)),
                       sizes=[(1, 3)])
    assert consistency.result().iou == (0.5,)  # of '..x' and '.xx'


def test_no_segments() -> None:
    result = measured((CHANGING, matches([[], [], []], [[], [], []], (0,))))
    assert all(math.isnan(value) for value in (*result.iou, *result.utilisation, result.mean_iou))
    assert (len(result.iou), result.pairs, result.images) == (2, 0, 1)


def test_one_layer_has_no_step() -> None:
    result = measured((CHANGING[:1], matches([[0]], [[0]], (1,))))
    assert result.iou == () == result.utilisation and math.isnan(result.mean_utilisation)


def test_nothing_seen() -> None:
    result = LayerConsistency().result()
    assert result.images == 0 and math.isnan(result.mean_iou)


def test_merging_is_as_seeing_everything() -> None:
    parts = [(CHANGING, matches([[0, 1]] * 3, [[0, 1]] * 3, (2,))),
             (CHANGING, matches([[2], [2], [1]], [[0]] * 3, (1,)))]
    total = LayerConsistency()
    for embeddings, pairs in parts:
        part = LayerConsistency()
        part.update(prediction(embeddings), pairs)
        total.merge(part)
    total.merge(LayerConsistency())
    assert total.result() == measured(*parts)


def test_models_of_different_depth_are_refused() -> None:
    consistency = LayerConsistency()
    consistency.update(prediction(CHANGING), matches([[0]] * 3, [[0]] * 3, (1,)))
    with pytest.raises(ValueError, match='one model at a time'):
        consistency.update(prediction(CHANGING[:2]), matches([[0]] * 2, [[0]] * 2, (1,)))
