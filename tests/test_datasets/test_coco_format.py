"""Datasets in COCO's formats: labels, classes and every broken file."""

import pytest
from tiny_data import (
    instance_content,
    panoptic_content,
    write_image,
    write_instances,
    write_json,
    write_panoptic,
)

from unimask.datasets import (
    ADE20KPanopticDataset,
    CityscapesPanopticDataset,
    CocoInstanceDataset,
    CocoPanopticDataset,
    InstanceDataset,
    MapillaryPanopticDataset,
    PanopticDataset,
)
from unimask.errors import UserError
from unimask.registry import DATASETS
from unimask.structures.taxonomy import Taxonomy


def test_classes_come_from_the_file(tmp_path):
    dataset = PanopticDataset(**write_panoptic(tmp_path))
    taxonomy = Taxonomy.from_metainfo(dataset.metainfo)
    assert taxonomy.classes == ('cat', 'dog', 'sky')
    assert taxonomy.things == (True, True, False)
    assert taxonomy.palette[2] == (70, 80, 90)
    lazy = PanopticDataset(**write_panoptic(tmp_path), lazy_init=True)
    assert lazy.metainfo == dataset.metainfo


def test_labels_follow_the_stated_classes(tmp_path):
    metainfo = dict(classes=('sky', 'dog', 'cat'), thing_classes=('cat', 'dog'))
    dataset = PanopticDataset(**write_panoptic(tmp_path), metainfo=metainfo)
    segments = dataset[0]['segments_info']
    assert [s['category'] for s in segments] == [2, 1, 0]
    assert [s['isthing'] for s in segments] == [True, True, False]
    assert [s['iscrowd'] for s in segments] == [False, True, False]
    assert dataset.get_cat_ids(0) == [2, 1, 0]
    assert dataset[1]['segments_info'] == []


def test_classes_left_out_are_not_used(tmp_path):
    metainfo = dict(classes=('dog',))
    panoptic = PanopticDataset(**write_panoptic(tmp_path / 'p'), metainfo=metainfo)
    assert [s['category'] for s in panoptic[0]['segments_info']] == [None, 0, None]
    instances = InstanceDataset(**write_instances(tmp_path / 'i'), metainfo=metainfo)[0]
    assert [i['bbox_label'] for i in instances['instances']] == [0, 0]


def test_stated_class_that_the_file_lacks(tmp_path):
    options = write_panoptic(tmp_path)
    with pytest.raises(UserError, match=r"ann.json.*not in the file: \['cow'\]"):
        PanopticDataset(**options, metainfo=dict(classes=('cat', 'cow')))


def test_file_with_foreign_categories(tmp_path):
    options = write_instances(tmp_path)
    with pytest.raises(UserError, match='ann.json are not its classes'):
        CocoInstanceDataset(**options)


def test_numbered_categories(tmp_path, notes):
    classes = ADE20KPanopticDataset.METAINFO['classes']
    content = panoptic_content()
    content['categories'] = [dict(id=i, name=f'other name {i}', isthing=0) for i in range(150)]
    for segment, number in zip(content['annotations'][0]['segments_info'], (0, 12, 149),
                               strict=True):
        segment['category_id'] = number
    options = write_panoptic(tmp_path, content)
    dataset = ADE20KPanopticDataset(**options)
    assert 'disagree on whether ' in notes.warnings
    assert [classes[s['category']] for s in dataset[0]['segments_info']] == [
        'wall', 'person', 'flag']
    assert [s['isthing'] for s in dataset[0]['segments_info']] == [False, True, True]
    content['categories'].append(dict(id=150, name='too many', isthing=0))
    with pytest.raises(UserError, match='not among the 150 classes'):
        ADE20KPanopticDataset(**write_panoptic(tmp_path, content))


def test_numbered_categories_give_way_to_chosen_classes(tmp_path):
    dataset = MapillaryPanopticDataset(
        **write_panoptic(tmp_path), metainfo=dict(classes=('sky', 'cat'), thing_classes=('cat',)))
    assert [s['category'] for s in dataset[0]['segments_info']] == [1, None, 0]


@pytest.mark.parametrize(('kind', 'count', 'things'), [
    (CocoPanopticDataset, 133, list(range(80))), (CityscapesPanopticDataset, 19,
                                                  list(range(11, 19))),
    (ADE20KPanopticDataset, 150, None), (MapillaryPanopticDataset, 65, None)])
def test_published_taxonomies(kind, count, things):
    taxonomy = Taxonomy.from_metainfo(kind.METAINFO)
    assert taxonomy.num_classes == count
    if things is None:
        assert len(taxonomy.thing_ids) == {150: 100, 65: 37}[count]
    else:
        assert list(taxonomy.thing_ids) == things


def test_ade20k_order(shared_data):
    lines = (shared_data / 'ade_sample/objectInfo150.csv').read_text().splitlines()[1:]
    taxonomy = Taxonomy.from_metainfo(ADE20KPanopticDataset.METAINFO)
    names = [line.split(',')[-1].strip('"').split(';') for line in lines]
    assert len(names) == taxonomy.num_classes
    # the file separates synonyms and words alike: 'swimming;pool;swimming;bath;natatorium'
    for mine, theirs in zip(taxonomy.classes, names, strict=True):
        assert set(mine.split()) <= set(theirs)


def test_missing_image_is_named_at_once(tmp_path):
    options = write_panoptic(tmp_path)
    (tmp_path / 'img/2.png').unlink()
    with pytest.raises(UserError, match=r'ann.json names files.*img/2\.png'):
        PanopticDataset(**options)


def test_missing_panoptic_map_is_named_at_once(tmp_path):
    options = write_panoptic(tmp_path)
    (tmp_path / 'seg/1.png').unlink()
    with pytest.raises(UserError, match=r'seg/1\.png.*data_root'):
        PanopticDataset(**options)


def test_missing_and_broken_annotation_files(tmp_path):
    options = write_panoptic(tmp_path)
    with pytest.raises(UserError, match=r'other\.json.*`ann_file`'):
        PanopticDataset(**options | dict(ann_file='other.json'))
    (tmp_path / 'ann.json').write_text('{"images": [')
    with pytest.raises(UserError, match='ann.json is not a JSON file'):
        PanopticDataset(**options)
    write_json(tmp_path / 'ann.json', dict(images=[]))
    with pytest.raises(UserError, match=r"no \['annotations', 'categories'\]; it is no"):
        PanopticDataset(**options)


def _with(content: dict, **change: object) -> dict:
    content['annotations'][0] |= change
    return content


def test_annotation_of_an_unlisted_image(tmp_path):
    for write, kind, content in ((write_panoptic, PanopticDataset, panoptic_content()),
                                 (write_instances, InstanceDataset, instance_content())):
        with pytest.raises(UserError, match=r'annotations\[0\] .*annotation for image 77'):
            kind(**write(tmp_path, _with(content, image_id=77)))


def test_unknown_category(tmp_path):
    segments = [dict(id=5, category_id=44, iscrowd=0)]
    with pytest.raises(UserError, match=r'annotations\[0\] .*segments_info\[0\] .*category_id 44'):
        PanopticDataset(**write_panoptic(
            tmp_path, _with(panoptic_content(), segments_info=segments)))
    with pytest.raises(UserError, match='category_id 44'):
        InstanceDataset(**write_instances(tmp_path, _with(instance_content(), category_id=44)))


def test_no_images(tmp_path):
    with pytest.raises(UserError, match='lists no images'):
        InstanceDataset(**write_instances(tmp_path, instance_content() | dict(images=[])))


def test_instances_for_panoptic(tmp_path):
    content = instance_content()
    with pytest.raises(UserError, match='no `segments_info`.*InstanceDataset'):
        PanopticDataset(**write_panoptic(tmp_path, content))


def test_code_of_another_size(tmp_path):
    content = _with(instance_content(), segmentation=dict(size=[8, 6], counts=[0, 48]))
    with pytest.raises(UserError, match=r'annotations\[0\] \(id 1.*\[8, 6\].*1\.png \[6, 8\]'):
        InstanceDataset(**write_instances(tmp_path, content))


def test_images_without_objects_are_filtered_on_demand(tmp_path):
    options = write_instances(tmp_path)
    assert len(InstanceDataset(**options)) == 2
    filtered = options | dict(filter_cfg=dict(filter_empty_gt=True))
    assert len(InstanceDataset(**filtered)) == 1
    assert len(InstanceDataset(**filtered, test_mode=True)) == 2
    with pytest.raises(UserError, match='min_size'):
        InstanceDataset(**options, filter_cfg=dict(min_size=32))
    with pytest.raises(UserError, match='no image .* has an object'):
        InstanceDataset(**write_instances(tmp_path, instance_content() | dict(annotations=[])),
                        filter_cfg=dict(filter_empty_gt=True))


def test_polygons_with_two_corners_are_left_out(tmp_path):
    content = _with(instance_content(), segmentation=[[1, 1, 2, 2]])
    dataset = InstanceDataset(**write_instances(tmp_path, content))
    assert [i['ignore_flag'] for i in dataset[0]['instances']] == [0, 1]


def test_cityscapes_image_names():
    dataset = CityscapesPanopticDataset(
        ann_file='x.json', data_prefix=dict(img='img', seg='seg'), lazy_init=True)
    assert dataset.image_path(dict(id='ulm_000001_000019', file_name='wrong')) == (
        'img/ulm/ulm_000001_000019_leftImg8bit.png')


def test_real_data(shared_data):
    root = shared_data / 'coco_mini'
    dataset = CocoPanopticDataset(
        data_root=str(root), ann_file='annotations/panoptic_val.json',
        data_prefix=dict(img='images/val', seg='annotations/panoptic_val'), test_mode=True)
    segments = [s for i in range(len(dataset)) for s in dataset[i]['segments_info']]
    assert len(segments) == 1078
    assert sum(s['isthing'] for s in segments) == 712
    assert sum(s['iscrowd'] for s in segments) == 5
    polygons = CocoInstanceDataset(
        data_root=str(shared_data / 'coco_polygons'), ann_file='instances.json',
        data_prefix=dict(img='images'))
    counts = [len(polygons[i]['instances']) for i in range(len(polygons))]
    assert len(counts) == 24
    assert sum(counts) == 220
    assert counts.count(0) == 2


def test_images_may_lie_in_subfolders(tmp_path):
    content = panoptic_content()
    content['images'][0]['file_name'] = 'deep/er/1.png'
    options = write_panoptic(tmp_path, content)
    write_image(tmp_path / 'img/deep/er/1.png')
    assert PanopticDataset(**options)[0]['img_path'].endswith('img/deep/er/1.png')


def test_file_is_read_by_the_stated_backend(tmp_path):
    options = write_instances(tmp_path)
    assert len(InstanceDataset(**options, backend_args=dict(backend='local'))) == len(
        InstanceDataset(**options))
    with pytest.raises(UserError, match='no-such-backend'):
        InstanceDataset(**options, backend_args=dict(backend='no-such-backend'))


def test_labels_of_an_image_for_balanced_sampling(tmp_path):
    options = write_instances(tmp_path)
    dataset = InstanceDataset(**options)
    labels = [dataset.get_cat_ids(index) for index in range(len(dataset))]
    assert labels == [[each['bbox_label'] for each in item['instances']] for item in dataset]
    assert any(labels)
    balanced = DATASETS.build(dict(
        type='ClassBalancedDataset', oversample_thr=1.0,
        dataset=dict(type='InstanceDataset', **options)))
    assert len(balanced) >= sum(map(bool, labels))
