"""What a folder holds: every format becomes data sets with the same objects."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import own_folders as folders
import pytest
from PIL import Image

from unimask.errors import UserError
from unimask.own_data import OwnData, Part, pairs, recognise
from unimask.own_data.parts import Splitting, known_split
from unimask.own_data.recipe import Machine, choose_settings, make_config
from unimask.own_data.training import write_config
from unimask.registry import DATASETS
from unimask.utils import register_all_modules


@pytest.fixture(autouse=True)
def registered() -> None:
    register_all_modules()


def prepared(folder: Path, *, task: str = 'auto', share: float = 0.34) -> OwnData:
    out = folder.parent / 'out'
    out.mkdir(exist_ok=True)
    return recognise(folder, task=task).prepare(out, Splitting(share))


def samples(data: OwnData) -> dict[str, dict]:
    """All that the data sets of a config give, by the names of the pictures."""
    cfg = make_config(data, choose_settings(data, Machine()))
    found = {}
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        # The pictures as they are: no augmentation, no resizing.
        steps = [step for step in loader.dataset.pipeline if step['type'].startswith('Load')]
        steps.append(dict(type='PackSegInputs'))
        dataset = DATASETS.build(dict(loader.dataset, pipeline=steps))
        for item in map(dataset.__getitem__, range(len(dataset))):
            sample = item['data_samples']
            name = Path(sample.img_path).stem
            assert name not in found
            found[name] = dict(sample=sample, classes=dataset.metainfo['classes'])
    return found


@pytest.mark.parametrize('make', folders.INSTANCE.values(), ids=folders.INSTANCE)
def test_instances_of_every_format_are_the_same(make: Callable[[Path], Path],
                                                tmp_path: Path) -> None:
    data = prepared(make(tmp_path / 'own data'))
    assert data.task == 'instance'
    assert data.train.objects == 2
    assert data.train.short_edge == 40 and data.train.long_edge == 48
    found = samples(data)
    assert found.keys() == folders.SCENES.keys()
    for name, scene in folders.SCENES.items():
        instances = found[name]['sample'].gt_instances
        expected = list(folders.masks(scene))
        assert [found[name]['classes'][label] for label in instances.labels] == [
            folders.CLASSES[label] for label, _ in expected]
        for mask, (_, truth) in zip(instances.masks, expected, strict=True):
            assert (mask.numpy().astype(bool) == truth).all()


def test_label_maps(tmp_path: Path) -> None:
    data = prepared(folders.label_maps(tmp_path / 'own'))
    assert (data.task, data.train.images, data.val.images) == ('semantic', 4, 2)
    assert data.train.objects == 3
    assert 'chosen at random' in data.notes[0]
    for name, entry in samples(data).items():
        assert entry['classes'] == ('background', 'disk', 'square')
        truth = folders.index_map(folders.SCENES[name])
        assert (entry['sample'].gt_sem_seg.sem_seg[0].numpy() == truth).all()


def test_label_maps_with_folders_for_training_and_validation(tmp_path: Path) -> None:
    data = prepared(folders.label_maps(tmp_path / 'own', split=True))
    assert (data.train.images, data.val.images, data.notes) == (3, 3, ())


def test_label_maps_beside_their_pictures(tmp_path: Path) -> None:
    for number, (name, scene) in enumerate(folders.SCENES.items()):
        place = tmp_path / 'own' / ('train', 'valid')[number % 2]
        folders.write_image(place / f'{name}.jpg')
        folders.write_map(place / f'{name}_mask.png', folders.index_map(scene))
        (place / '_classes.csv').write_text('Pixel Value, Class\n0, background\n1, disk\n'
                                            '2, square\n')
    data = prepared(tmp_path / 'own')
    assert (data.train.images, data.val.images) == (3, 3)
    assert data.train.dataset['metainfo']['classes'] == ('background', 'disk', 'square')
    assert len(samples(data)) == 6


def test_names_of_maps_may_have_an_ending(tmp_path: Path) -> None:
    for name, scene in folders.SCENES.items():
        folders.write_image(tmp_path / 'own' / 'images' / f'{name}.jpeg')
        folders.write_map(tmp_path / 'own' / 'labels' / f'{name}_seg.png',
                          folders.index_map(scene))
    data = prepared(tmp_path / 'own')
    assert data.train.dataset['metainfo']['classes'] == ('class_0', 'class_1', 'class_2')
    assert len(samples(data)) == 6


def test_panoptic(tmp_path: Path) -> None:
    data = prepared(folders.panoptic(tmp_path / 'own'))
    assert (data.task, data.train.objects) == ('panoptic', 3)
    found = samples(data)
    assert len(found) == 6
    for name, scene in folders.SCENES.items():
        assert found[name]['classes'] == ('ground', 'disk', 'square')
        segments = found[name]['sample'].gt_panoptic_seg.segments_info
        assert sorted(each['category'] for each in segments) == [
            0, *sorted(label + 1 for label, *_ in scene)]


def test_nuclei_have_folders_of_their_own(tmp_path: Path) -> None:
    for number in range(3):
        place = tmp_path / 'own' / f'{number}a'
        folders.write_image(place / 'images' / f'{number}a.png')
        for key, (_, mask) in enumerate(folders.masks(folders.SCENES['scene 0'])):
            folders.write_map(place / 'masks' / f'{key}.png', 255 * mask)
    data = prepared(tmp_path / 'own')
    assert (data.task, data.train.images, data.val.images) == ('instance', 2, 1)
    entry = samples(data)['0a']
    assert entry['classes'] == ('object',)
    assert len(entry['sample'].gt_instances) == 2


def test_several_kinds_of_labels_need_a_task(tmp_path: Path) -> None:
    own = folders.panoptic(folders.coco_whole(tmp_path / 'own'))
    with pytest.raises(UserError, match='labels of several kinds(?s:.*)--task'):
        recognise(own)
    assert recognise(own, task='panoptic').task == 'panoptic'
    assert recognise(own, task='instance').task == 'instance'
    with pytest.raises(UserError, match='no labels for the task semantic: it is\n  instance'):
        recognise(own, task='semantic')


def test_text_files_and_maps_of_the_same_pictures(tmp_path: Path) -> None:
    own = folders.yolo(tmp_path / 'own')
    for image in (own / 'images').rglob('*.jpg'):
        labels = own / 'masks' / image.relative_to(own / 'images').with_suffix('.png')
        folders.write_map(labels, folders.index_map(folders.SCENES[image.stem]))
    with pytest.raises(UserError, match='labels of several kinds:\n  instance: YOLO.*\n  semantic'):
        recognise(own)
    assert recognise(own, task='semantic').task == 'semantic'
    (own / 'labels').rename(own / 'txt')
    (own / 'masks').rename(own / 'labels')
    assert recognise(own).task == 'semantic'


class TestWrong:

    def test_two_label_maps_of_a_picture(self, tmp_path: Path) -> None:
        own = folders.label_maps(tmp_path / 'own')
        shutil.copytree(own / 'masks', own / 'gt')
        with pytest.raises(UserError, match='scene 0.jpg has two label maps, .*masks.* and .*gt'):
            recognise(own)

    def test_nothing_known(self, tmp_path: Path) -> None:
        folders.write_image(tmp_path / 'own' / 'a.jpg')
        with pytest.raises(UserError, match='no labelled pictures.*Known are(?s:.*)YOLO'):
            recognise(tmp_path / 'own')

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match='is no folder'):
            recognise(tmp_path / 'gone')

    def test_a_picture_without_map(self, tmp_path: Path) -> None:
        own = folders.label_maps(tmp_path / 'own')
        (own / 'masks' / 'scene 3.png').unlink()
        with pytest.raises(UserError, match='1 of 6 pictures have no label file.*scene 3'):
            recognise(own)

    def test_a_picture_without_folder_of_masks(self, tmp_path: Path) -> None:
        own = folders.object_masks(tmp_path / 'own')
        folders.write_image(own / 'images' / 'new.png')
        with pytest.raises(UserError, match='1 of 7 pictures have no folder of masks.*new'):
            recognise(own)

    def test_masks_of_a_class_that_is_not_listed(self, tmp_path: Path) -> None:
        own = folders.object_masks(tmp_path / 'own')
        (own / 'classes.txt').write_text('disk\ntriangle\n')
        with pytest.raises(UserError, match=r"square_1.png: the list of classes has no 'square'"):
            prepared(own)

    def test_boxes_alone(self, tmp_path: Path) -> None:
        own = folders.coco_whole(tmp_path / 'own')
        text = (own / 'labels.json').read_text().replace('"segmentation"', '"outline"')
        (own / 'labels.json').write_text(text)
        with pytest.raises(UserError, match='boxes or points, but no outlines'):
            recognise(own)

    def test_a_broken_file(self, tmp_path: Path) -> None:
        own = folders.coco_whole(tmp_path / 'own')
        text = (own / 'labels.json').read_text()
        (own / 'labels.json').write_text(text[:len(text) // 2])
        with pytest.raises(UserError, match=r'labels.json is no JSON file, or not a whole one'):
            recognise(own)

    def test_pictures_that_are_elsewhere(self, tmp_path: Path) -> None:
        own = folders.coco_whole(tmp_path / 'own')
        (own / 'images').rename(tmp_path / 'elsewhere')
        with pytest.raises(UserError, match=r'labels.json names images that are in no folder'):
            prepared(own)

    @pytest.mark.parametrize(('make', 'file'), [
        (folders.coco_split, 'train2017/scene 1.jpg'), (folders.panoptic, 'images/scene 1.jpg'),
        (folders.panoptic, 'annotations/panoptic/scene 4.png'),
        (folders.label_maps, 'images/scene 3.jpg'), (folders.object_masks, 'images/scene 3.png'),
        (folders.yolo, 'images/train/scene 2.jpg')])
    def test_a_file_that_is_no_picture_or_not_there(self, make: Callable, file: str,
                                                    tmp_path: Path) -> None:
        """Before the training, while `check` goes on and tells of all."""
        own = make(tmp_path / 'own')
        (own / file).write_bytes(b'no picture')
        with pytest.raises(UserError, match=f'{file} cannot be read .it is no picture'):
            write_config(own, tmp_path / 'run', weights=None)
        if make in (folders.coco_split, folders.panoptic):
            prepared(own)
            (own / file).unlink()
            with pytest.raises(UserError, match=f'{file} is not there'):
                write_config(own, tmp_path / 'run', weights=None)

    @pytest.mark.parametrize(('make', 'file'), [
        (folders.label_maps, 'masks/scene 3.png'),
        (folders.object_masks, 'masks/scene 3/square_1.png')])
    def test_labels_of_another_size(self, make: Callable, file: str, tmp_path: Path) -> None:
        own = make(tmp_path / 'own')
        folders.write_map(own / file, np.ones((10, 12)))
        with pytest.raises(UserError, match=f'{file} has 10 x 12 pixels.*scene 3.* 40 x 48'):
            prepared(own)

    def test_pictures_that_lie_on_their_side(self, tmp_path: Path) -> None:
        """Maps as the picture is stored and as it is looked at are both of its size."""
        own = folders.label_maps(tmp_path / 'own')
        exif = Image.Exif()
        exif[274] = 6  # a quarter turn
        Image.new('RGB', (40, 48)).save(own / 'images' / 'scene 3.jpg', exif=exif)
        Image.new('RGB', (48, 40)).save(own / 'images' / 'scene 4.jpg', exif=exif)
        prepared(own)

    def test_a_map_without_picture(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        own, told = folders.label_maps(tmp_path / 'own'), []
        monkeypatch.setattr(pairs, 'print_log', lambda text, logger, level: told.append(text))
        prepared(own)
        assert not told
        (own / 'images' / 'scene 3.jpg').unlink()
        prepared(own)
        assert '1 of 6 label files' in told[0] and 'scene 3.png' in told[0]

    def test_the_only_class_and_another(self, tmp_path: Path) -> None:
        own = folders.object_masks(tmp_path / 'own')
        (own / 'classes.txt').write_text('disk\n')
        with pytest.raises(UserError, match="'disk' alone, but 5 of 11 masks .*square_1"):
            prepared(own)
        (own / 'classes.txt').write_text('thing\n')  # the names of the files say nothing
        assert prepared(own).train.objects == 2

    def test_two_files_for_the_same(self, tmp_path: Path) -> None:
        own = folders.coco_split(tmp_path / 'own')
        (own / 'annotations' / 'more_train.json').write_text(
            (own / 'annotations' / 'instances_train2017.json').read_text())
        with pytest.raises(UserError, match='are both COCO instance files for train'):
            recognise(own)

    def test_one_picture(self, tmp_path: Path) -> None:
        own = folders.coco(tmp_path / 'own', ['scene 0'], 'labels.json', 'images')
        with pytest.raises(UserError, match='has 1 labelled images. Training needs two'):
            prepared(own)

    @pytest.mark.parametrize(('line', 'message'), [
        ('0 0.1 0.1 0.5 0.5', 'it has a box, not a polygon'),
        ('2 0.1 0.1 0.5 0.1 0.5 0.5', 'class 2 is not among the 2 names'),
        ('0 10 10 50 10 50 50', 'from 0 to 1; there is 50'),
        ('0 0.1 0.1 0.5 0.1 0.5', 'at least three corners'),
        ('disk 0.1 0.1 0.5 0.1 0.5 0.5', 'numbers alone'),
    ])
    def test_lines_of_yolo(self, line: str, message: str, tmp_path: Path) -> None:
        own = folders.yolo(tmp_path / 'own')
        (own / 'labels' / 'train' / 'scene 2.txt').write_text(f'\n{line}\n')
        with pytest.raises(UserError, match=rf'scene 2.txt, line 2: .*{message}'):
            prepared(own)

    def test_yolo_without_names(self, tmp_path: Path) -> None:
        own = folders.yolo(tmp_path / 'own')
        (own / 'data.yaml').unlink()
        with pytest.raises(UserError, match=r'no YAML file with `names`.*data.yaml'):
            recognise(own)


@pytest.mark.parametrize(('path', 'split'), [
    ('annotations/instances_train2017.json', 'train'), ('valid/_annotations.coco.json', 'val'),
    ('train/validation.json', 'val'), ('trained/a.json', None), ('test/x.json', 'test')])
def test_words_for_parts(path: str, split: str | None) -> None:
    assert known_split(Path(path)) == split


class TestSettings:

    def data(self, *, images: int = 100, objects: int = 5, edge: int = 500) -> OwnData:
        part = Part({}, images, objects, [(edge, 2 * edge)])
        return OwnData('any', 'instance', part, part)

    def test_without_gpu_the_model_is_small(self) -> None:
        settings = choose_settings(self.data(), Machine())
        assert 'small' in settings.model
        assert (settings.crop, settings.batch, settings.queries) == (384, 2, 50)

    def test_small_pictures_make_small_crops(self) -> None:
        assert choose_settings(self.data(edge=100), Machine()).crop == 128
        assert choose_settings(self.data(edge=500), Machine(80 * 10**9)).crop == 512

    def test_crowded_pictures_make_more_queries(self) -> None:
        assert choose_settings(self.data(objects=150), Machine()).queries == 250

    def test_the_learning_rate_follows_the_batch(self) -> None:
        small, large = (choose_settings(self.data(edge=1500, images=1000), Machine(memory),
                                        model='mask2former-r50')
                        for memory in (17 * 10**9, 140 * 10**9))
        assert (small.batch, large.batch) == (2, 16)
        assert large.lr == pytest.approx(1e-4)
        assert small.lr == pytest.approx(1e-4 / 8**0.5)

    @pytest.mark.parametrize(('model', 'optimizer', 'lr'), [
        ('auto', 'Muon', 1e-3), ('mask2former-r50', 'AdamW', 1e-4 / 8**0.5)])
    def test_muon_trains_small_models(self, model: str, optimizer: str, lr: float) -> None:
        data = self.data()
        chosen = make_config(data, choose_settings(data, Machine(), model=model)
                             ).optim_wrapper.optimizer
        assert (chosen.type, chosen.lr) == (optimizer, pytest.approx(lr))

    def test_steps(self) -> None:
        assert choose_settings(self.data(images=10), Machine()).iterations == 500
        assert choose_settings(self.data(images=60), Machine()).iterations == 1200
        assert choose_settings(self.data(), Machine(), iterations=7).iterations == 7

    def test_an_unknown_model(self) -> None:
        with pytest.raises(UserError, match="'mask2former-r5' is unknown.*mask2former-r50"):
            choose_settings(self.data(), Machine(), model='mask2former-r5')
