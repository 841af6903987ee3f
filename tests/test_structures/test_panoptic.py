"""Panoptic ids and segments."""

import numpy as np
import pytest
import torch

from unimask.errors import UserError
from unimask.structures.panoptic import (
    INSTANCE_OFFSET,
    colour_ids,
    dense_ids,
    encode_id,
    ids_of_colours,
    lookup,
    segment_entry,
    segments_of,
)

K = 3


def test_a_list_explains_arbitrary_ids():
    infos = [dict(id=7, category=2, score=.5), dict(id=90000, category=0, iscrowd=1, score=.25)]
    found = segments_of(torch.tensor([[0, 7], [7, 90000]]), infos, num_classes=K)
    assert found.ids.tolist() == [7, 90000] and found.labels.tolist() == [2, 0]
    assert found.crowd.tolist() == [False, True] and found.scores.tolist() == [.5, .25]
    assert found.void == 0
    alone = found.without_crowd()
    assert alone.ids.tolist() == [7] and alone.scores.tolist() == [.5] and len(alone) == 1


def test_predictions_have_another_void():
    found = segments_of(torch.tensor([[K]]), [], num_classes=K, listed_void=K)
    assert len(found) == 0 and found.void == K and found.scores is None


def test_without_a_list_ids_say_the_class():
    ids = [encode_id(1, 1), encode_id(1, 2), encode_id(2), K]
    found = segments_of(torch.tensor([ids]), None, num_classes=K)
    assert found.ids.tolist() == [2, 1 + INSTANCE_OFFSET, 1 + 2 * INSTANCE_OFFSET]
    assert found.labels.tolist() == [2, 1, 1] and found.void == K


def test_scores_must_be_complete():
    infos = [dict(id=1, category=0, score=.5), dict(id=2, category=0)]
    assert segments_of(torch.tensor([[1, 2]]), infos, num_classes=K).scores is None


def test_the_map_is_not_read_where_there_is_a_list():
    # A map without values: reading it would fail, on a GPU it would make the host wait.
    id_map = torch.empty((4, 4), dtype=torch.int64, device='meta')
    assert len(segments_of(id_map, [dict(id=1, category=0)], num_classes=K)) == 1


@pytest.mark.parametrize('infos, message', [
    ([dict(id=1, category=K)], f'segment 1 has the label {K}, .* {K} classes'),
    ([dict(id=1, category=-1)], 'segment 1 has the label -1'),
    ([dict(id=5, category=0), dict(id=5, category=1)], 'id 5 more than once'),
    ([dict(id=1, category=0), dict(category=0)], 'entry 1 has no `id`'),
    ([dict(id=1, category=None)], 'entry 0 has no `id` or no `category`'),
])
def test_wrong_lists_are_errors(infos, message):
    with pytest.raises(UserError, match=message):
        segments_of(torch.tensor([[1]]), infos, num_classes=K)


def test_ids_alone_cannot_tell_many_classes():
    with pytest.raises(UserError, match='1203 classes needs segments_info'):
        segments_of(torch.tensor([[1]]), None, num_classes=1203)


def test_an_id_outside_the_classes_is_an_error():
    with pytest.raises(UserError, match='segment 255 has the label 255'):
        segments_of(torch.tensor([[1, 255]]), None, num_classes=K)


@pytest.mark.parametrize('offset', [0, -5, 1 << 21])
def test_dense_ids_are_those_of_unique(offset):
    ids = torch.randint(0, 9, (11, 13), generator=torch.Generator().manual_seed(0)) * 3 + offset
    present, position = dense_ids(ids)
    expected, inverse = torch.unique(ids, return_inverse=True)
    assert torch.equal(present, expected) and torch.equal(position, inverse.flatten())


@pytest.mark.parametrize('shift', [0, -3, 1 << 21])
@pytest.mark.parametrize('kind', [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_lookup_is_the_comparison_with_every_id(shift, kind):
    shift = shift if kind in (torch.int32, torch.int64) else 0
    ids = torch.randint(0, 6, (9, 8), generator=torch.Generator().manual_seed(1)) + shift
    values = lookup(ids.to(kind), [4 + shift, 1 + shift, 77 + shift, -50], [10, 20, 30, 40],
                    other=-1)
    expected = torch.full((9, 8), -1)
    expected[ids == 4 + shift], expected[ids == 1 + shift] = 10, 20
    assert torch.equal(values, expected) and values.dtype == torch.int64
    assert torch.equal(lookup(ids, [4 + shift], [9], other=0, dtype=torch.int32),
                       ((ids == 4 + shift) * 9).int())


def test_lookup_of_nothing():
    assert lookup(torch.zeros((0, 3), dtype=torch.int32), [1], [2], other=0).shape == (0, 3)
    assert lookup(torch.ones((2, 3), dtype=torch.int32), [], [], other=7).unique().tolist() == [7]


def test_entries_of_predictions():
    assert segment_entry(2, number=3, score=.5, area=9) == dict(
        id=2 + 3 * INSTANCE_OFFSET, category=2, score=.5, area=9)


def test_colours_hold_24_bits():
    ids = np.array([[0, 1, 255, 256], [65535, 65536, 2**24 - 1, 513]])
    rgb = colour_ids(ids)
    assert rgb[0, 3].tolist() == [0, 1, 0] and rgb[1, 1].tolist() == [0, 0, 1]
    assert np.array_equal(ids_of_colours(rgb), ids)
