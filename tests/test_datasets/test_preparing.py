"""What all converters promise: whole files, nothing written over, runs that go on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from preparing import (
    check_instances,
    check_panoptic,
    convert_images,
    paired_names,
    write_json_once,
    write_map_once,
    write_photo_once,
)
from test_converters import _save, _tool
from tiny_data import id_map, instance_content, panoptic_content, write_image, write_panoptic

from unimask.datasets import InstanceDataset, MapillaryPanopticDataset, PanopticDataset
from unimask.errors import UserError

LABELS = [dict(readable='Road', instances=False, evaluate=True),
          dict(readable='Car', instances=True, evaluate=True),
          dict(readable='Unlabeled', instances=False, evaluate=False)]


def content_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes()
            for path in sorted(root.rglob('*')) if path.is_file()}


# ------------------------------------------------------------------------------------------ files

def test_maps_are_never_written_over(tmp_path):
    path, values = tmp_path / 'new/a.png', np.arange(300, dtype=np.uint16).reshape(10, 30)
    assert write_map_once(path, values) is True
    np.testing.assert_array_equal(np.asarray(Image.open(path)), values)
    before = path.stat()
    assert write_map_once(path, values) is False
    assert path.stat() == before
    with pytest.raises(UserError, match='a.png exists and has another content'):
        write_map_once(path, values + 1)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match='exists and has another content'):
        write_map_once(path, values)


def test_annotations_and_photos_are_never_written_over(tmp_path):
    path = tmp_path / 'a.json'
    lists = dict(images=[dict(id=1)], annotations=[], categories=[])
    for _ in range(2):
        write_json_once(path, **lists)
    assert json.loads(path.read_text()) == lists
    with pytest.raises(UserError, match='a.json exists'):
        write_json_once(path, **(lists | dict(images=[])))
    photo = np.zeros((4, 6, 3), np.uint8)
    for _ in range(2):
        write_photo_once(tmp_path / 'a.jpg', photo)
    with pytest.raises(UserError, match='a.jpg exists'):
        write_photo_once(tmp_path / 'a.jpg', photo[:3])


def test_a_disk_that_does_not_keep_what_it_gets(tmp_path, monkeypatch):
    monkeypatch.setattr('preparing.writing.atomic_write_bytes',
                        lambda content, path: path.write_bytes(content[:len(content) // 2]))
    with pytest.raises(UserError, match='reads otherwise than it was written'):
        write_map_once(tmp_path / 'a.png', np.ones((9, 9), np.uint8))
    with pytest.raises(UserError, match='reads otherwise than it was written'):
        write_json_once(tmp_path / 'a.json', images=[], annotations=[], categories=[])


def test_data_sets_that_are_unpacked_in_part(tmp_path):
    for name in ('x/1.jpg', 'x/2.jpg', 'maps/x/1_map.png'):
        write_image(tmp_path / name)
    images, maps = (tmp_path, '.jpg'), (tmp_path / 'maps', '_map.png')
    with pytest.raises(UserError, match='maps lacks 1 of 2 files, e.g. x/2_map.png'):
        paired_names(images, maps)
    write_image(tmp_path / 'maps/x/2_map.png')
    assert paired_names(images, maps) == ['x/1', 'x/2']
    with pytest.raises(UserError, match='none is not there'):
        paired_names(images, (tmp_path / 'none', '.png'))
    with pytest.raises(UserError, match=r'has no files \*.tif'):
        paired_names((tmp_path, '.tif'))


# ---------------------------------------------------------------------------------------- running

def test_a_run_goes_on_where_it_was_interrupted(tmp_path, capsys):
    made, journal = [], tmp_path / '.journal'

    def make(name):
        if name == 'c' and len(made) == 2:
            raise KeyboardInterrupt
        made.append(name)
        return (name, len(made))
    with pytest.raises(KeyboardInterrupt):
        convert_images(['a', 'b', 'c'], make, journal=journal)
    assert '2 of 3 images are done. Run the command again' in capsys.readouterr().out
    with journal.open('a') as file:
        file.write('["c", ["half')  # as a kill leaves it
    made.append('other')
    assert convert_images(['a', 'b', 'c'], make, journal=journal) == [['a', 1], ['b', 2], ['c', 4]]
    assert made == ['a', 'b', 'other', 'c']
    assert '2 of 3 images were done before' in capsys.readouterr().out
    assert [json.loads(line)[0] for line in journal.read_text().splitlines()] == ['a', 'b', 'c']
    with pytest.raises(UserError, match='with other images .such as b.'):
        convert_images(['a', 'c'], make, journal=journal)


# ---------------------------------------------------------------------------------------- sources

def ade20k(root: Path) -> list[str]:
    labels = np.full((6, 8), 13, np.uint8)
    labels[:3] = 1
    for split in ('training', 'validation'):
        for name in 'abc':
            write_image(root / f'images/{split}/{name}.jpg')
            _save(root / f'annotations/{split}/{name}.png', labels)
            _save(root / f'annotations_instance/{split}/{name}.png',
                  np.where(labels == 13, 4, 0)[..., None].repeat(3, -1).astype(np.uint8))
    return [str(root)]


def cityscapes(root: Path) -> list[str]:
    ids = np.full((6, 8), 7, np.uint16)
    ids[2:4], ids[4:] = 24_001, 4
    for split in ('train', 'val'):
        for number in range(3):
            stem = f'ulm/ulm_00000{number}_000019'
            write_image(root / f'leftImg8bit/{split}/{stem}_leftImg8bit.png')
            base = root / f'gtFine/{split}/{stem}_gtFine'
            _save(Path(f'{base}_instanceIds.png'), ids)
            _save(Path(f'{base}_labelIds.png'),
                  np.where(ids >= 1000, ids // 1000, ids).astype(np.uint8))
    return [str(root)]


def mapillary(root: Path) -> list[str]:
    codes = np.zeros((6, 8), np.uint16)
    codes[2:4, :4], codes[2:4, 4:], codes[5] = 256 + 1, 256, 512
    (root / 'config.json').write_text(json.dumps(dict(labels=LABELS)))
    for split in ('training', 'validation'):
        for name in 'abc':
            write_image(root / f'{split}/images/{name}.jpg')
            _save(root / f'{split}/instances/{name}.png', codes)
    return [str(root)]


def instances(root: Path) -> list[str]:
    content = instance_content()
    content['images'].append(dict(id=3, file_name='3.png', height=6, width=8))
    (root / 'instances.json').write_text(json.dumps(content))
    return [str(root / 'instances.json'), str(root / 'out/panoptic.json')]


def panoptic(root: Path) -> list[str]:
    write_panoptic(root)
    return [str(root / 'ann.json'), str(root / 'maps'), '--segments', str(root / 'seg')]


SOURCES = dict(ade20k_things=ade20k, cityscapes=cityscapes, mapillary=mapillary,
               instances_to_panoptic=instances, panoptic_to_semantic=panoptic)


@pytest.mark.parametrize('name', SOURCES)
def test_interrupted_and_run_again(name, tmp_path, capsys, monkeypatch):
    """Stopped at every file that it writes, the result is that of an unbroken run."""
    straight, broken = tmp_path / 'straight', tmp_path / 'broken'
    for root in (straight, broken):
        root.mkdir()
    arguments = SOURCES[name](straight)
    source = content_of(straight)
    assert _tool(name).main(arguments) == 0
    expected = content_of(straight)
    assert source.items() <= expected.items() and len(expected) > len(source)
    assert not [path for path in expected if '/.' in f'/{path}']
    SOURCES[name](broken)
    arguments = [text.replace(str(straight), str(broken)) for text in arguments]
    tool, stops = _tool(name), 0
    import unimask.checkpoints.writing as writing
    replace = writing.os.replace
    while stops < 40:
        writes = []

        def fail_at_second(*paths, writes=writes):
            writes.append(paths)
            if len(writes) == 2:
                raise KeyboardInterrupt
            replace(*paths)
        monkeypatch.setattr(writing.os, 'replace', fail_at_second)
        try:
            assert tool.main(arguments) == 0
            break
        except KeyboardInterrupt:
            stops += 1
    monkeypatch.setattr(writing.os, 'replace', replace)
    assert 1 < stops < 40
    assert content_of(broken) == expected
    capsys.readouterr()
    assert tool.main(arguments) == 0
    assert content_of(broken) == expected
    out = capsys.readouterr().out
    assert 'is there already' in out or '2 of them were there already' in out


# ------------------------------------------------------------------------------------- converters

def test_damaged_results_are_found(tmp_path):
    ade20k(tmp_path)
    tool = _tool('ade20k_things')
    assert tool.main([str(tmp_path)]) == 0
    path = tmp_path / 'ade20k_panoptic_val/b.png'
    ids = np.array(Image.open(path))
    ids[0, 0] = 0
    Image.fromarray(ids).save(path)
    with pytest.raises(UserError, match='b.png: segment 1 has 23 pixels, but 24 in'):
        tool.main([str(tmp_path)])
    file = tmp_path / 'ade20k_instance_train.json'
    content = json.loads(file.read_text())
    content['annotations'][0]['area'] += 1
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match='mask of annotation 1 has another area'):
        check_instances(file)
    with pytest.raises(UserError, match='has 3 images, the input 4'):
        check_instances(file, images=4)
    file.write_text('{')
    with pytest.raises(UserError, match='is not a JSON file'):
        check_panoptic(file, tmp_path)


def test_ade20k_classes_beyond_the_challenge(tmp_path):
    ade20k(tmp_path)
    path = tmp_path / 'annotations/validation/b.png'
    _save(path, np.full((6, 8), 151, np.uint8))
    with pytest.raises(UserError, match='validation/b.png or .* a class beyond the 150 labels'):
        _tool('ade20k_things').main([str(tmp_path)])
    _save(path, np.ones((6, 9), np.uint8))
    with pytest.raises(UserError, match=r'is \(6, 8\).*labels are \(6, 9\)'):
        _tool('ade20k_things').main([str(tmp_path)])


def test_cityscapes_maps_of_another_tool_stay(tmp_path):
    cityscapes(tmp_path)
    (tmp_path / 'gtFine/cityscapes_panoptic_train_trainId').mkdir()
    with pytest.raises(UserError, match='exists without cityscapes_panoptic_train_trainId.json'):
        _tool('cityscapes').main([str(tmp_path)])


def test_mapillary(tmp_path):
    mapillary(tmp_path)
    assert _tool('mapillary').main([str(tmp_path)]) == 0
    options = dict(data_root=str(tmp_path / 'training'), pipeline=[
        dict(type='LoadImage'), dict(type='LoadPanopticMap')])
    item = PanopticDataset(ann_file='v1.2/panoptic/panoptic_2018.json', **options,
                           data_prefix=dict(img='images', seg='v1.2/panoptic'))[0]
    assert [(s['category'], s['isthing']) for s in item['segments_info']] == [
        (0, False), (1, True), (1, True)]
    expected = np.ones((6, 8))
    expected[2:4, :4], expected[2:4, 4:], expected[5] = 3, 2, 0
    np.testing.assert_array_equal(item['gt_seg_map'], expected)
    data = InstanceDataset(ann_file='v1.2/instances_2018.json', data_prefix=dict(img='images'),
                           data_root=options['data_root'])
    assert data.metainfo['classes'] == ('Car',) and len(data[0]['instances']) == 2
    labels = np.asarray(Image.open(tmp_path / 'validation/v1.2/labels/c.png'))
    assert labels.tolist() == [[0] * 8] * 2 + [[1] * 8] * 2 + [[0] * 8, [2] * 8]


def test_mapillary_keeps_downloaded_panoptic_files(tmp_path):
    mapillary(tmp_path)
    for split in ('training', 'validation'):
        folder = tmp_path / split / 'v1.2/panoptic'
        folder.mkdir(parents=True)
        shutil.move(tmp_path / split / 'instances', tmp_path / split / 'v1.2/instances')
        (folder / 'a.png').write_bytes(b'as downloaded')
        (folder / 'panoptic_2018.json').write_text('{"annotations": []}')
    with pytest.raises(UserError, match='panoptic_2018.json has 0 images, the input 3'):
        _tool('mapillary').main([str(tmp_path)])
    assert (tmp_path / 'training/v1.2/panoptic/a.png').read_bytes() == b'as downloaded'
    assert check_instances(tmp_path / 'training/v1.2/instances_2018.json', images=3)


def test_mapillary_config_files(tmp_path):
    tool = _tool('mapillary')
    with pytest.raises(UserError, match='has no config_v1.2.json or config.json'):
        tool.main([str(tmp_path)])
    mapillary(tmp_path)
    (tmp_path / 'config.json').write_text(json.dumps(dict(labels=LABELS[:1])))
    with pytest.raises(UserError, match='a.png: a pixel has the label 2, the config file lists 1'):
        tool.main([str(tmp_path)])
    for content, message in (('{}', 'is not the config file'), ('{"labels": [{}]}', 'not all of')):
        (tmp_path / 'config.json').write_text(content)
        with pytest.raises(UserError, match=message):
            tool.main([str(tmp_path)])
    things = MapillaryPanopticDataset.METAINFO['thing_classes']
    assert len(things) == 37


def test_overlapping_instances(tmp_path, capsys):
    """The smaller one has the pixels, a crowd region none that another has."""
    content = instance_content()
    for number, (x0, x1, crowd) in enumerate(((0, 8, 0), (2, 5, 0), (2, 5, 0), (0, 1, 1)), 1):
        content['annotations'].append(dict(
            id=10 + number, image_id=2, category_id=7, iscrowd=crowd, area=1, bbox=[0, 0, 1, 1],
            segmentation=[[x0, 0, x1, 0, x1, 6, x0, 6]]))
    (tmp_path / 'a.json').write_text(json.dumps(content))
    assert _tool('instances_to_panoptic').main(
        [str(tmp_path / 'a.json'), str(tmp_path / 'b.json')]) == 0
    out = capsys.readouterr().out
    assert 'overlap in 2 of 2 images, in 26 pixels' in out and '2 instances have no pixel' in out
    ids = np.asarray(Image.open(tmp_path / 'b/2.png'))[..., 0]
    assert ids[0].tolist() == [1, 1, 3, 3, 3, 1, 1, 1]
    segments = json.loads((tmp_path / 'b.json').read_text())['annotations'][1]['segments_info']
    assert [(s['id'], s['area'], s['bbox']) for s in segments] == [
        (1, 30, [0, 0, 8, 6]), (3, 18, [2, 0, 3, 6])]
    content['annotations'][-1]['category_id'] = 8
    (tmp_path / 'a.json').write_text(json.dumps(content))
    with pytest.raises(UserError, match=r'annotations\[6\] .*does not list its category'):
        _tool('instances_to_panoptic').main([str(tmp_path / 'a.json'), str(tmp_path / 'c.json')])


@pytest.mark.parametrize('name', ['instances_to_panoptic', 'panoptic_to_semantic'])
def test_input_cannot_be_the_output(name, tmp_path):
    write_panoptic(tmp_path)
    target = dict(instances_to_panoptic='ann.json', panoptic_to_semantic='seg')[name]
    arguments = [str(tmp_path / 'ann.json'), str(tmp_path / target)]
    if name == 'panoptic_to_semantic':
        arguments += ['--segments', str(tmp_path / 'seg')]
    with pytest.raises(UserError, match='the input|of the input'):
        _tool(name).main(arguments)


def test_semantic_maps_of_panoptic_ones(tmp_path):
    arguments = panoptic(tmp_path)
    tool = _tool('panoptic_to_semantic')
    assert tool.main(arguments) == 0
    ids = id_map()
    expected = np.select([ids == 70_000, ids == 5, ids == 300], [0, 1, 2], 255)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'maps/1.png')), expected)
    assert (tmp_path / 'maps/classes.txt').read_text() == 'cat\ndog\nsky\n'
    content = panoptic_content()
    content['categories'][0]['name'] = 'lion'
    (tmp_path / 'ann.json').write_text(json.dumps(content))
    with pytest.raises(UserError, match='classes.txt lists other classes'):
        tool.main(arguments)
    content['annotations'][0]['segments_info'][1]['category_id'] = 4
    (tmp_path / 'ann.json').write_text(json.dumps(content))
    with pytest.raises(UserError, match=r'annotations\[0\].*category that `categories` does not'):
        tool.main(arguments)
    (tmp_path / 'seg/2.png').unlink()
    with pytest.raises(UserError, match='lacks 1 of the 2 PNGs .* e.g. 2.png'):
        tool.main(arguments)


def test_real_data_both_ways(shared_data, tmp_path):
    """The val images of coco_mini, whose files were made by others."""
    annotations = shared_data / 'coco_mini/annotations'
    content = json.loads((annotations / 'instances_val.json').read_text())
    content['images'] = content['images'][:12]
    kept = {image['id'] for image in content['images']}
    content['annotations'] = [one for one in content['annotations'] if one['image_id'] in kept]
    (tmp_path / 'instances.json').write_text(json.dumps(content))
    assert _tool('instances_to_panoptic').main(
        [str(tmp_path / 'instances.json'), str(tmp_path / 'panoptic.json')]) == 0
    official = {one['image_id']: one['segments_info'] for one in json.loads(
        (annotations / 'panoptic_val.json').read_text())['annotations']}
    things = {category['id'] for category in content['categories']}
    made = json.loads((tmp_path / 'panoptic.json').read_text())['annotations']
    for entry in made:
        ours, theirs = ([(s['category_id'], s['area'], tuple(s['bbox'])) for s in segments
                         if s['category_id'] in things]
                        for segments in (entry['segments_info'], official[entry['image_id']]))
        assert sorted(ours) == sorted(theirs)
    assert sum(len(entry['segments_info']) for entry in made) > 50
    panoptic = json.loads((annotations / 'panoptic_val.json').read_text())
    panoptic['images'], panoptic['annotations'] = (
        panoptic[key][:12] for key in ('images', 'annotations'))
    (tmp_path / 'val.json').write_text(json.dumps(panoptic))
    assert _tool('panoptic_to_semantic').main(
        [str(tmp_path / 'val.json'), str(tmp_path / 'maps'), '--segments',
         str(annotations / 'panoptic_val')]) == 0
    paths = list((tmp_path / 'maps').glob('*.png'))
    assert len(paths) == 12
    for path in paths:
        np.testing.assert_array_equal(
            np.asarray(Image.open(path)),
            np.asarray(Image.open(annotations / 'semantic_val' / path.name)))
