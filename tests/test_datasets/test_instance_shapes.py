"""Outlines seen through a moving frame, against masks moved pixel by pixel."""

import numpy as np
import pytest
from pycocotools import mask as rle

from unimask.datasets import CocoInstanceDataset
from unimask.datasets.transforms import InstanceShapes
from unimask.datasets.transforms.geometry import pil_nearest

SHAPE = (30, 40)
POLYGON = [[4.0, 3.5, 30.2, 6.1, 22.7, 27.3, 9.4, 20.0], [33, 2, 38, 2, 38, 9, 33, 9]]


def _code(mask: np.ndarray) -> dict:
    return rle.encode(np.asfortranarray(mask.astype(np.uint8)))


def _masks() -> np.ndarray:
    random = np.random.RandomState(0)
    return (random.rand(2, *SHAPE) > 0.6).astype(np.uint8)


STEPS = [
    ('flip', lambda s: s.flip('horizontal'), lambda m: m[:, :, ::-1]),
    ('vertical', lambda s: s.flip('vertical'), lambda m: m[:, ::-1]),
    ('diagonal', lambda s: s.flip('diagonal'), lambda m: m[:, ::-1, ::-1]),
    ('crop', lambda s: s.crop(np.array([5, 7, 25, 19])), lambda m: m[:, 7:19, 5:25]),
    ('pad', lambda s: s.pad((50, 60)), lambda m: np.pad(m, ((0, 0), (0, 20), (0, 20)))),
    ('resize', lambda s: s.resize((17, 71)),
     lambda m: m[:, pil_nearest(30, 17)[:, None], pil_nearest(40, 71)]),
]


@pytest.mark.parametrize(('name', 'move', 'expect'), STEPS, ids=[s[0] for s in STEPS])
def test_codes_move_exactly(name, move, expect):
    masks = _masks()
    shapes = InstanceShapes([_code(m) for m in masks], shape=SHAPE)
    moved = move(shapes)
    np.testing.assert_array_equal(moved.to_ndarray(), expect(masks))
    assert (moved.height, moved.width) == expect(masks).shape[1:]


def test_chain_of_all():
    masks = _masks()
    shapes = InstanceShapes([_code(m) for m in masks], shape=SHAPE)
    shapes = shapes.flip().resize((60, 80)).crop(np.array([10, 0, 70, 50])).pad((64, 64))
    expected = masks[:, :, ::-1][:, pil_nearest(30, 60)[:, None], pil_nearest(40, 80)]
    expected = np.pad(expected[:, :50, 10:70], ((0, 0), (0, 14), (0, 4)))
    np.testing.assert_array_equal(shapes.to_ndarray(), expected)


def _drawn(polygons: list, shape: tuple[int, int]) -> np.ndarray:
    return rle.decode(rle.merge(rle.frPyObjects(polygons, *shape)))


def test_polygons_are_drawn_in_the_final_frame():
    shapes = InstanceShapes([POLYGON], shape=SHAPE)
    np.testing.assert_array_equal(shapes.to_ndarray()[0], _drawn(POLYGON, SHAPE))
    doubled = [[2 * v for v in polygon] for polygon in POLYGON]
    large = _drawn(doubled, (60, 80))
    moved = shapes.resize((60, 80))
    np.testing.assert_array_equal(moved.to_ndarray()[0], large)
    # a crop shows the same pixels, though corners lie outside of it
    window = moved.crop(np.array([20, 10, 63, 44])).to_ndarray()[0]
    assert (window != large[10:44, 20:63]).mean() < 0.01
    assert window.any()
    mirrored = [[80 - v if i % 2 == 0 else v for i, v in enumerate(p)] for p in doubled]
    np.testing.assert_array_equal(moved.flip().to_ndarray()[0], _drawn(mirrored, (60, 80)))


def test_nothing_reaches_the_padding():
    outside = [[30.0, 20.0, 60.0, 20.0, 60.0, 45.0, 30.0, 45.0]]
    mask = InstanceShapes([outside], shape=SHAPE).pad((50, 70)).to_ndarray()[0]
    assert mask[20:30, 30:40].all()
    assert mask.sum() == 100


def test_choice_of_instances():
    shapes = InstanceShapes([_code(m) for m in _masks()] + [POLYGON], shape=SHAPE)
    assert len(shapes) == 3
    assert len(shapes[np.array([True, False, True])]) == 2
    np.testing.assert_array_equal(shapes[2].to_ndarray()[0], _drawn(POLYGON, SHAPE))
    assert len(shapes[np.array([], int)]) == 0
    assert shapes[np.array([], int)].to_ndarray().shape == (0, *SHAPE)


def test_rescale_keeps_the_aspect():
    assert InstanceShapes([], shape=SHAPE).rescale((80, 60)).frame.shape == (60, 80)


def test_uncompressed_codes(shared_data):
    dataset = CocoInstanceDataset(
        data_root=str(shared_data / 'coco_polygons'), ann_file='instances.json',
        data_prefix=dict(img='images'))
    for index in range(len(dataset)):
        item = dataset[index]
        shape = item['height'], item['width']
        outlines = [instance['mask'] for instance in item['instances']]
        masks = InstanceShapes(outlines, shape=shape).to_ndarray()
        for mask, instance in zip(masks, item['instances'], strict=True):
            x0, y0, x1, y1 = instance['bbox']
            rows, columns = np.nonzero(mask)
            assert abs(columns.min() - x0) <= 5
            assert abs(rows.max() + 1 - y1) <= 5
