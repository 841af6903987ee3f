"""Broken annotation files: each fault is told with file, entry and key, never by a traceback."""

from collections.abc import Callable

import pytest
from tiny_data import instance_content, panoptic_content, write_instances, write_panoptic

from unimask.datasets import CocoInstanceDataset, InstanceDataset, PanopticDataset, coco_reading
from unimask.errors import UserError

KINDS = dict(instance=(InstanceDataset, instance_content, write_instances),
             panoptic=(PanopticDataset, panoptic_content, write_panoptic))


def _build(root, kind: str, change: Callable[[dict], object], **options):
    dataset, content, write = KINDS[kind]
    changed = content()
    change(changed)
    return dataset(**write(root, changed), **options)


def _set(*steps: object, to: object) -> Callable[[dict], None]:
    def change(content: dict) -> None:
        for step in steps[:-1]:
            content = content[step]
        content[steps[-1]] = to
    return change


def _drop(*steps: object) -> Callable[[dict], None]:
    def change(content: dict) -> None:
        for step in steps[:-1]:
            content = content[step]
        content[steps[-1]] = {k: v for k, v in content[steps[-1]].items() if k != lacking}
    *steps, lacking = steps
    return change


BOTH = [
    (_set('images', to=None), r'`images` is null, not a list'),
    (_set('annotations', to=None), r'`annotations` is null, not a list'),
    (_set('categories', to={}), r'`categories` is {}, not a list'),
    (_set('images', to=['a.jpg']), r"images\[0\]: it is 'a.jpg', not an object with id, file_name"),
    (_set('annotations', 0, to=[1]), r'annotations\[0\]: it is \[1\], not an object'),
    (_drop('images', 1, 'id'), r'images\[1\] .*2\.png.*`id` is missing'),
    (_drop('images', 1, 'height'), r'images\[1\] \(id 2, .*`height` is missing'),
    (_drop('images', 1, 'file_name'), r'images\[1\] \(id 2\): `file_name` is missing'),
    (_set('images', 0, 'file_name', to=None), r'images\[0\] \(id 1\): `file_name` is null, not a'),
    (_set('images', 0, 'width', to='8'), r"images\[0\] .*`width` is '8', not a number"),
    (_set('images', 0, 'id', to=[1]), r'images\[0\] .*`id` is \[1\], not a number or a text'),
    (_drop('categories', 1, 'name'), r'categories\[1\] \(id 3\): `name` is missing'),
    (_drop('categories', 1, 'id'), r'categories\[1\]: `id` is missing'),
    (_drop('annotations', 0, 'image_id'), r'annotations\[0\].*`image_id` is missing'),
    (_set('annotations', 0, 'image_id', to={}), r'annotations\[0\].*`image_id` is {}'),
    (_set('images', 1, 'id', to=1), r'`images` has the id 1 twice: 1\.png and 2\.png'),
    (_set('categories', 1, 'id', to=7), r'`categories` has the id 7 twice: cat and dog'),
    (_set('categories', 1, 'name', to='cat'), r"`categories` has the name 'cat' more than once"),
    (_set('categories', to=[]), r'`categories` is empty'),
]
INSTANCE = [
    (_drop('annotations', 1, 'category_id'), r'annotations\[1\] \(id 2.*`category_id` is missing'),
    (_set('annotations', 0, 'category_id', to=[]), r'annotations\[0\].*`category_id` is \[\]'),
    (_set('annotations', 0, 'segmentation', to=5), r'annotations\[0\].*`segmentation` is 5'),
    (_set('annotations', 0, 'segmentation', to=[1, 1, 3, 1, 3, 3]),
     r'annotations\[0\].*not of polygons'),
    (_set('annotations', 0, 'segmentation', to=[['1', '1', '3', '1', '3', '3']]),
     r'annotations\[0\].*of numbers'),
    (_set('annotations', 1, 'segmentation', to=dict(counts=[48])),
     r'annotations\[1\].*`size` \[height, width\]'),
    (_set('annotations', 0, 'bbox', to=[1, 2]), r'annotations\[0\].*`bbox` is \[1, 2\], not \[x'),
    (_set('annotations', to=panoptic_content()['annotations']),
     r'annotations\[0\].*`segments_info`.*PanopticDataset'),
]
PANOPTIC = [
    (_set('annotations', 0, 'file_name', to=None), r'annotations\[0\].*`file_name` is null'),
    (_set('annotations', 0, 'segments_info', to=None),
     r'annotations\[0\].*`segments_info` is null'),
    (_drop('annotations', 0, 'segments_info', 1, 'id'),
     r'annotations\[0\] \(image_id 1, file_name \'1\.png\'\)\.segments_info\[1\]: `id` is missing'),
    (_drop('annotations', 0, 'segments_info', 1, 'category_id'),
     r'segments_info\[1\] \(id 5\): `category_id` is missing'),
    (_set('annotations', 0, 'segments_info', 1, to='x'), r"segments_info\[1\]: it is 'x'"),
    (_set('annotations', 0, 'segments_info', 1, 'id', to=300),
     r'segments_info\[2\] \(id 300\): another segment'),
    (_set('annotations', 1, 'image_id', to=1), r'annotations\[1\].*second annotation of image 1'),
    (_set('annotations', to=[]), r'`annotations` is empty'),
]


@pytest.mark.parametrize(('kind', 'change', 'message'), [
    *((kind, *fault) for kind in KINDS for fault in BOTH),
    *(('instance', *fault) for fault in INSTANCE), *(('panoptic', *fault) for fault in PANOPTIC)])
def test_fault(tmp_path, kind, change, message):
    with pytest.raises(UserError, match=rf'Dataset: .*ann\.json: .*{message}'):
        _build(tmp_path, kind, change)


@pytest.mark.parametrize(('text', 'message'), [
    ('[' * 100_000 + ']' * 100_000, r'ann\.json is nested too deeply'),
    ('null', r"no \['images', 'annotations', 'categories'\]"),
    ('[]', 'no annotation file in COCO format'),
    (b'\xff\xfe', r'ann\.json is not a JSON file')])
def test_strange_content(tmp_path, text, message):
    options = write_instances(tmp_path)
    (tmp_path / 'ann.json').write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message):
        InstanceDataset(**options)


def test_folders_that_are_not_stated(tmp_path):
    options = write_instances(tmp_path) | dict(data_prefix=dict(img_path='img'))
    with pytest.raises(UserError, match=r"`data_prefix` has no \['img'\].*dict\(img=\.\.\.\)"):
        InstanceDataset(**options)


def _polygon(*points: float, number: int = 0) -> Callable[[dict], None]:
    return _set('annotations', number, 'segmentation', to=[list(points)])


def test_normalised_polygons(tmp_path, notes):
    small = 0.1, 0.1, 0.5, 0.1, 0.5, 0.5
    _build(tmp_path, 'instance', _polygon(*small))
    assert '1 of 3 annotations have polygons whose coordinates all lie between 0 and 1' in (
        notes.warnings)
    assert 'annotations[0] (id 1, image_id 1) of 1.png' in notes.warnings

    def all_of_them(content: dict) -> None:
        for number in range(3):
            _polygon(*small, number=number)(content)
    with pytest.raises(UserError, match=r'ann\.json: 3 of 3 annotations.*in pixels.*1\.png'):
        _build(tmp_path, 'instance', all_of_them)


@pytest.mark.parametrize('points', [
    (9, 1, 12, 1, 12, 4), (1, 6, 4, 6, 4, 9), (-4, 1, -1, 1, -1, 4), (1, -4, 4, -4, 4, 0)])
def test_polygons_outside_of_the_image(tmp_path, notes, points):
    _build(tmp_path, 'instance', _polygon(*points))
    assert '1 of 3 annotations have outlines outside of the image' in notes.warnings
    assert 'annotations[0] (id 1' in notes.warnings


def test_polygons_over_the_edge_are_fine(tmp_path, notes):
    _build(tmp_path, 'instance', _polygon(-2, -2, 12, -2, 12, 3))
    assert notes.warnings == ''


def test_boxes_without_outlines(tmp_path, notes):
    _build(tmp_path, 'instance', _set('annotations', 0, 'segmentation', to=[]))
    assert '1 of 3 annotations have no `segmentation`' in notes.warnings

    def boxes_only(content: dict) -> None:
        for annotation in content['annotations']:
            del annotation['segmentation']
    with pytest.raises(UserError, match=r'3 of 3 annotations have no `segmentation`'):
        _build(tmp_path, 'instance', boxes_only)


def test_the_log_says_what_there_is(tmp_path, notes):
    _build(tmp_path, 'instance', lambda content: None)
    assert notes.said.endswith('ann.json: 2 images with 2 objects; 1 images have none')
    assert notes.said.startswith('InstanceDataset, training, ')
    notes.entries.clear()
    _build(tmp_path, 'instance', lambda content: None,
           filter_cfg=dict(filter_empty_gt=True))
    assert notes.said.endswith('1 images have none, and are left out')
    notes.entries.clear()
    _build(tmp_path, 'panoptic', lambda content: None, test_mode=True)
    assert notes.said.startswith('PanopticDataset, evaluation, ')
    assert notes.said.endswith('2 images with 2 segments; 1 images have none')


def test_class_that_never_occurs_in_training(tmp_path, notes):
    def no_dogs(content: dict) -> None:
        content['annotations'] = content['annotations'][:1]
    _build(tmp_path, 'instance', no_dogs)
    assert 'ann.json has no objects of 1 of the 2 classes: dog. ' in notes.warnings
    notes.entries.clear()
    _build(tmp_path, 'instance', no_dogs, test_mode=True)
    assert notes.warnings == ''


@pytest.mark.parametrize('test_mode', [True, False])
def test_no_objects_at_all(tmp_path, notes, test_mode):
    _build(tmp_path, 'instance', _set('annotations', to=[]), test_mode=test_mode)
    assert 'ann.json has no objects of the classes cat, dog at all' in notes.warnings


def test_images_without_panoptic_annotation(tmp_path, notes):
    dataset = _build(tmp_path, 'panoptic', lambda content: content['annotations'].pop())
    assert len(dataset) == 1
    assert '1 images without annotation, which are not used: 2.png' in notes.warnings


def test_a_large_file_is_read_once(tmp_path, monkeypatch):
    reads = []
    get = coco_reading.get_text
    monkeypatch.setattr(coco_reading, 'get_text',
                        lambda path, **options: reads.append(path) or get(path, **options))
    dataset = InstanceDataset(**write_instances(tmp_path))
    assert dataset.metainfo['classes'] == ('cat', 'dog')
    assert len(reads) == 1
    lazy = CocoInstanceDataset(ann_file='no.json', data_prefix=dict(img='i'), lazy_init=True)
    assert len(lazy.metainfo['classes']) == 80
    assert len(reads) == 1
