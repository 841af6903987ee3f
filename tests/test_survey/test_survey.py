"""A look at data: every planted fault is told, and clean data have none."""

import json
import logging
import shutil
from pathlib import Path

import own_folders as folders
import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger

from unimask.own_data import recognise
from unimask.own_data.parts import Splitting
from unimask.own_data.recipe import Machine, choose_settings, make_config
from unimask.survey import Finding, find, survey, write_page
from unimask.utils import register_all_modules


@pytest.fixture(autouse=True)
def registered() -> None:
    register_all_modules()


def config(folder: Path) -> Config:
    out = folder.parent / 'out'
    out.mkdir(exist_ok=True)
    data = recognise(folder).prepare(out, Splitting())
    return make_config(data, choose_settings(data, Machine()), weights=None)


def findings(cfg: Config) -> list[Finding]:
    return find(survey(cfg), cfg)


def told(cfg: Config, level: str) -> str:
    return '\n'.join(each.text for each in findings(cfg) if each.level == level)


def edit(file: Path, change) -> None:
    """Change a JSON file."""
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """COCO instances whose pictures differ."""
    own = folders.coco_split(tmp_path / 'own')
    for seed, path in enumerate(sorted(own.rglob('*.jpg'))):
        folders.write_image(path, seed)
    return own


TRAIN = 'annotations/instances_train2017.json'
VAL = 'annotations/instances_val2017.json'


def test_clean_data(own: Path) -> None:
    cfg = config(own)
    train, val = survey(cfg)
    assert (train.images, train.looked_at, train.complete) == (4, 4, True)
    assert train.taxonomy.classes == folders.CLASSES
    assert train.segments == {0: 4, 1: 4} and val.segments == {0: 2, 1: 1}
    assert train.pictures == {0: 4, 1: 4}
    assert set(train.counts.values()) == {2}
    areas = [int(mask.sum()) for name in list(folders.SCENES)[:4]
             for label, mask in folders.masks(folders.SCENES[name]) if label == 0]
    assert train.pixels[0] == sum(areas)
    assert train.before == 8 and 0 < train.after <= 8
    assert not [each for each in find([train, val], cfg)
                if each.level != 'note' and 'augmentation' not in each.text]


def test_labels_are_looked_at_up_to_a_limit(own: Path) -> None:
    train, _ = survey(config(own), limit=2)
    assert (train.looked_at, train.complete) == (2, False)
    assert len(train.counts) == 4  # the file says it


def test_pictures_that_show_nothing(own: Path) -> None:
    edit(own / TRAIN, lambda content: content.update(annotations=[
        each for each in content['annotations'] if each['image_id'] != 1]))
    assert 'train: 1 of 4 pictures show nothing that is labelled: ' in told(config(own), 'warning')


def test_pictures_in_both_parts(own: Path) -> None:
    shutil.copy(own / 'train2017' / 'scene 0.jpg', own / 'val2017' / 'scene 4.jpg')
    text = told(config(own), 'warning')
    assert 'val: 1 pictures occur more than once' in text
    assert 'train2017/scene 0.jpg = ' in text


def test_classes_of_one_part(own: Path) -> None:
    edit(own / TRAIN, lambda content: content.update(annotations=[
        each for each in content['annotations'] if each['category_id'] == 0]))
    text = told(config(own), 'warning')
    assert '1 classes occur for val and not for train: square.' in text
    assert 'is not learnt' in text


def test_degenerate_and_covered_segments(own: Path) -> None:
    def change(content: dict) -> None:
        first = content['annotations'][0]
        for outline in ([0, 0, 2, 0, 2, 2, 0, 2], [0.1, 0.1, 0.2, 0.1, 0.2, 0.2, 0.1, 0.2],
                        first['segmentation'][0]):
            content['annotations'].append(first | dict(
                id=len(content['annotations']) + 1, segmentation=[outline]))
    edit(own / TRAIN, change)
    notes = told(config(own), 'note')
    assert 'train: 1 of 11 segments have no pixel at all: disk of 0 pixels' in notes
    assert 'train: 1 of 11 segments have less than 16 pixels: disk of 4 pixels' in notes
    assert 'train: 2 of 11 segments are at least half under others' in notes


def test_more_segments_than_queries(own: Path) -> None:
    cfg = config(own)
    cfg.model.head.num_queries = 1
    text = told(cfg, 'warning')
    assert '4 pictures have more segments than the model has queries (1)' in text
    assert 'model.head.num_queries' in text


def test_broken_pictures_are_errors_and_the_others_are_looked_at(own: Path) -> None:
    path = own / 'train2017' / 'scene 1.jpg'
    path.write_bytes(path.read_bytes()[:200])
    cfg = config(own)
    assert 'scene 1.jpg' in told(cfg, 'error')
    assert survey(cfg)[0].looked_at == 3


@pytest.mark.parametrize('level', [logging.INFO, logging.ERROR])
def test_warnings_of_data_sets_are_among_them(own: Path, level: int) -> None:
    logger = MMLogger.get_current_instance()
    before, handlers = logger.level, logger.handlers
    logger.setLevel(level)
    edit(own / TRAIN, lambda content: content['annotations'][0].update(segmentation=[]))
    try:
        assert 'instances_train2017.json' in told(config(own), 'warning')
        assert (logger.level, logger.handlers) == (level, handlers)
    finally:
        logger.setLevel(before)


def test_the_page(own: Path, tmp_path: Path) -> None:
    cfg = config(own)
    splits = survey(cfg)
    write_page(tmp_path / 'new' / 'check.html', 'trees & <leaves>', splits,
               [Finding('warning', 'one <b>thing</b>')], pictures=3)
    text = (tmp_path / 'new' / 'check.html').read_text()
    assert '<h1>trees &amp; &lt;leaves&gt;</h1>' in text
    assert 'one &lt;b&gt;thing&lt;/b&gt;' in text
    assert text.count('data:image/jpeg') == 3 + 2
    assert all(f'<td>{name}</td>' in text for name in folders.CLASSES)
