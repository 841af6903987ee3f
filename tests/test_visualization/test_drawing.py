"""Painting of segmentations."""

import cv2
import numpy as np
import pytest

from unimask.structures.taxonomy import Taxonomy
from unimask.visualization import (
    draw_instances,
    draw_panoptic,
    draw_semantic,
    in_rows,
    legend,
    side_by_side,
)
from unimask.visualization.drawing import HATCH_COLOUR, SHADES, VOID_COLOUR

TAXONOMY = Taxonomy(('cat', 'dog', 'sky'), (True, True, False),
                    ((200, 40, 40), (40, 200, 40), (40, 40, 200)))
GREY = np.full((60, 80, 3), 100, np.uint8)
WHITE = [255, 255, 255]


def mixed(colour, alpha: float, background: int = 100) -> list[int]:
    return np.rint((1 - alpha) * background + alpha * np.array(colour)).astype(int).tolist()


def box(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros(GREY.shape[:2], bool)
    mask[top:bottom, left:right] = True
    return mask


def is_hatched(pixels: np.ndarray) -> bool:
    colours = {tuple(colour) for colour in pixels.reshape(-1, 3).tolist()}
    return colours == {VOID_COLOUR, HATCH_COLOUR}


@pytest.mark.parametrize('alpha', [0.5, 1.0])
def test_panoptic_colours(alpha):
    segment_map = np.zeros((60, 80), np.int32)
    segment_map[:, 40:] = 1
    segment_map[10:30, 50:70] = 2
    picture = draw_panoptic(GREY, segment_map, [2, 0], TAXONOMY, alpha=alpha, captions=False)
    assert picture[5, 75].tolist() == mixed((40, 40, 200), alpha)
    assert picture[20, 60].tolist() == mixed((200, 40, 40), alpha)
    assert is_hatched(picture[:, :40])
    assert picture[10, 60].tolist() == WHITE  # things are outlined
    assert picture[30, 40].tolist() == mixed((40, 40, 200), alpha)  # stuff is not
    assert (GREY == 100).all()


def test_things_of_a_class_get_different_shades():
    segment_map = np.zeros((60, 80), np.int32)
    segment_map[:, :40], segment_map[:, 40:] = 1, 2
    picture = draw_panoptic(GREY, segment_map, [1, 1], TAXONOMY, alpha=1.0, captions=False)
    assert picture[30, 20].tolist() == [40, 200, 40]
    assert picture[30, 60].tolist() == [round(SHADES[1] * v) for v in (40, 200, 40)]


def test_panoptic_without_segments_is_void():
    picture = draw_panoptic(GREY, np.zeros((60, 80), np.int32), [], TAXONOMY)
    assert is_hatched(picture)


def test_better_instances_cover_worse_ones():
    masks = np.stack([box(10, 10, 50, 50), box(20, 20, 40, 70)])
    first = draw_instances(GREY, masks, [0, 1], TAXONOMY, scores=[0.9, 0.4], alpha=1.0,
                           captions=False)
    assert first[30, 30].tolist() == [200, 40, 40]
    second = draw_instances(GREY, masks, [0, 1], TAXONOMY, scores=[0.4, 0.9], alpha=1.0,
                            captions=False)
    assert second[30, 30].tolist() == [40, 200, 40]
    assert first[30, 60].tolist() == second[30, 60].tolist() == [40, 200, 40]
    assert first[5, 5].tolist() == [100, 100, 100]


def test_no_instances_leave_the_image():
    masks = np.zeros((0, 60, 80), bool)
    assert np.array_equal(draw_instances(GREY, masks, [], TAXONOMY, scores=[]), GREY)


def test_holes_are_outlined():
    mask = box(5, 5, 55, 55) & ~box(20, 20, 40, 40)
    picture = draw_instances(GREY, mask[None], [0], TAXONOMY, captions=False)
    assert picture[30, 19].tolist() == WHITE and picture[30, 30].tolist() == [100, 100, 100]


def test_semantic_colours():
    label_map = np.zeros((60, 80), np.uint8)
    label_map[:, 40:] = 2
    label_map[50:] = 255
    picture = draw_semantic(GREY, label_map, TAXONOMY, alpha=0.5, captions=False)
    assert picture[20, 20].tolist() == mixed((200, 40, 40), 0.5)
    assert picture[20, 60].tolist() == mixed((40, 40, 200), 0.5)
    assert is_hatched(picture[50:])


def test_semantic_of_ignored_pixels_only():
    assert is_hatched(draw_semantic(GREY, np.full((60, 80), 255), TAXONOMY))


def test_captions_contrast_with_their_plate():
    label_map = np.zeros((60, 80), np.int64)
    for palette, ink in (((20, 20, 60), 255), ((240, 240, 200), 0)):
        taxonomy = Taxonomy(('cat',), (True,), (palette,))
        plain = draw_semantic(GREY, label_map, taxonomy, alpha=1.0, captions=False)
        written = draw_semantic(GREY, label_map, taxonomy, alpha=1.0)
        changed = written[(written != plain).any(-1)]
        assert len(changed) > 10
        assert abs(changed.astype(int) - ink).max(-1).min() < 40


@pytest.mark.parametrize('shape', [(1, 1), (3, 200), (200, 3), (7, 5)])
def test_captions_fit_any_picture(shape):
    image = np.zeros((*shape, 3), np.uint8)
    assert draw_semantic(image, np.zeros(shape, int), TAXONOMY).shape == image.shape
    panoptic = draw_panoptic(image, np.ones(shape, int), [0], TAXONOMY, scores=[0.5])
    assert panoptic.shape == image.shape


def test_in_rows():
    panels = {str(number): np.full((60, 80, 3), number, np.uint8) for number in range(5)}
    joined = in_rows(panels, columns=3)
    row = side_by_side({title: panels[title] for title in '012'})
    assert joined.shape == (2 * row.shape[0], *row.shape[1:])
    assert np.array_equal(joined[:row.shape[0]], row)
    assert joined[-1, 0, 0] == 3 and joined[-1, 100, 0] == 4
    assert (joined[row.shape[0]:, -80:] == 255).all()


def test_legend_breaks_rows():
    wide, narrow = (legend([2, 0, 1], TAXONOMY, width) for width in (400, 100))
    assert wide.shape == (25, 400, 3) and narrow.shape == (75, 100, 3)
    for picture, places in ((wide, [(12, 10)]), (narrow, [(12, 10), (37, 10), (62, 10)])):
        found = [tuple(picture[place].tolist()) for place in places]
        assert found == [TAXONOMY.palette[label] for label in (2, 0, 1)][:len(places)]
    assert legend([0], TAXONOMY, 20).shape == (25, 20, 3)


def test_side_by_side():
    other = np.full_like(GREY, 7)
    joined = side_by_side(dict(image=GREY, truth=other))
    assert joined.shape[1] > 2 * 80 and joined.shape[0] > 60
    assert np.array_equal(joined[-60:, :80], GREY) and np.array_equal(joined[-60:, -80:], other)
    title = joined[:-60, :80]
    assert (title < 128).any() and (title == 255).any()


def blobs(count: int, seed: int) -> np.ndarray:
    """Overlapping masks with holes, some empty, (count, 60, 80) bool."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, 60, 80), bool)
    for mask in masks[1:]:
        for value in (True, False):
            y, x = rng.integers(0, 50), rng.integers(0, 70)
            mask[y:y + rng.integers(2, 50), x:x + rng.integers(2, 50)] = value
    return masks


def whole_outline(picture: np.ndarray, mask: np.ndarray) -> None:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, (255, 255, 255), 1)


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('band', [1, 100, 10**6])
def test_bands_and_boxes_give_the_picture_of_whole_masks(seed, band, monkeypatch):
    monkeypatch.setattr('unimask.visualization.drawing.BAND', band)
    masks, labels = blobs(6, seed), [0, 1, 2, 0, 1, 0]
    image = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), np.uint8)
    expected = image.copy()
    seen = {}
    for mask, label in zip(masks, labels, strict=True):
        shade = SHADES[seen.get(label, 0)] if label < 2 else 1
        seen[label] = seen.get(label, 0) + 1
        colour = np.minimum(255, np.round(shade * np.array(TAXONOMY.palette[label])))
        expected[mask] = np.rint(0.4 * image[mask] + 0.6 * colour)
        whole_outline(expected, mask)
    drawn = draw_instances(image, masks, labels, TAXONOMY, alpha=0.6, captions=False)
    assert np.abs(drawn.astype(int) - expected).max() <= 1

    segment_map = np.zeros((60, 80), np.int32)
    for number, mask in enumerate(masks, 1):
        segment_map[mask] = number
    drawn = draw_panoptic(image, segment_map, labels, TAXONOMY, alpha=1.0, captions=False)
    lines = np.zeros_like(image)
    for number, label in enumerate(labels, 1):
        if label < 2:
            whole_outline(lines, segment_map == number)
    assert ((drawn == 255).all(-1) == (lines == 255).all(-1)).all()
    diagonal = np.add.outer(np.arange(60), np.arange(80)) % 8 == 0
    void = segment_map == 0
    assert (drawn[void & diagonal] == 96).all() and (drawn[void & ~diagonal] == 0).all()


def test_captions_stand_in_the_middle_of_their_mask():
    mask = box(20, 35, 60, 75)
    plain = draw_instances(GREY, mask[None], [0], TAXONOMY, captions=False)
    written = draw_instances(GREY, mask[None], [0], TAXONOMY)
    rows, columns = np.nonzero((plain != written).any(-1))
    assert abs(rows.mean() - 40) < 4 and abs(columns.mean() - 55) < 6


def test_names_give_way_to_each_other():
    """Four names of one place stand below and above each other, whole and inside the picture."""
    image = np.full((200, 300, 3), 100, np.uint8)
    centre = np.zeros((200, 300), bool)
    centre[90:110, 120:180] = True
    plain = draw_instances(image, [centre] * 4, [0] * 4, TAXONOMY, alpha=0.0, captions=False)
    picture = draw_instances(image, [centre] * 4, [0] * 4, TAXONOMY, alpha=0.0)
    one = draw_instances(image, [centre], [0], TAXONOMY, alpha=0.0)
    plate = (one != plain).any(-1)
    changed = (picture != plain).any(-1)
    assert changed.sum() == pytest.approx(4 * plate.sum(), rel=0.1)
    columns = np.flatnonzero(changed.any(0))
    assert len(columns) == pytest.approx(len(np.flatnonzero(plate.any(0))), abs=2)


def test_names_that_find_no_room_are_written_all_the_same():
    image = np.full((12, 30, 3), 100, np.uint8)
    whole = np.ones((12, 30), bool)
    picture = draw_instances(image, [whole] * 9, [1] * 9, TAXONOMY)
    assert picture.shape == image.shape
