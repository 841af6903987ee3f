"""The built-in Shapes dataset."""

import hashlib
import importlib.util
import json
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import INSTANCE_OFFSET, DetDataSample
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData, PixelData
from pycocotools import mask as rle
from pycocotools.coco import COCO
from shapes_maker import ShapesSpec, make_shapes, writing
from shapes_maker.scene import EMPTY_SCENES, MIN_STUFF, VOID, draw_scene
from shapes_maker.writing import MANIFEST

from unimask.datasets.shapes import CLASSES, STUFF, THINGS, ShapesDataset
from unimask.errors import UserError
from unimask.registry import DATASETS, METRICS

SIZE = 64
COUNTS = dict(num_train=6, num_val=3)


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('data') / 'shapes'
    assert make_shapes(folder, **COUNTS, size=SIZE, seed=3)
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob('*')) if path.is_file()}


def read_ids(root: Path, split: str, file_name: str) -> np.ndarray:
    png = cv2.imread(str(root / f'annotations/panoptic_{split}' / file_name)).astype(np.int64)
    return png[..., 2] + 256 * png[..., 1] + 65536 * png[..., 0]


def load(root: Path, name: str) -> dict:
    return json.loads((root / 'annotations' / f'{name}.json').read_text())


# ---- scenes ----------------------------------------------------------------------------------

def scene(index: int, size: int = SIZE):
    return draw_scene(np.random.default_rng((0, 0, index)), size)


def test_scene_depends_on_its_seed_only():
    first, again, other = scene(1), scene(1), scene(2)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.segment_map, again.segment_map)
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)


def test_scene_numbers_its_segments_without_gaps():
    for index in range(20):
        drawn = scene(index)
        numbers = np.unique(drawn.segment_map)
        assert numbers[numbers != VOID].tolist() == list(range(1, len(drawn.classes) + 1))
        assert max(drawn.segment_map.shape) == SIZE
        assert drawn.image.shape == (*drawn.segment_map.shape, 3)
        stuff = [name for name in drawn.classes if name in STUFF]
        assert len(stuff) == len(set(stuff))
        for name in stuff:
            area = np.count_nonzero(drawn.segment_map == drawn.classes.index(name) + 1)
            assert area >= MIN_STUFF * drawn.segment_map.size


def test_scenes_are_varied():
    scenes = [scene(index) for index in range(150)]
    things = [sum(name in THINGS for name in drawn.classes) for drawn in scenes]
    assert {name for drawn in scenes for name in drawn.classes} == set(CLASSES)
    assert 0.01 < np.mean([count == 0 for count in things]) < 4 * EMPTY_SCENES
    assert 3 < np.mean(things) < 6 and max(things) >= 6
    void = np.array([np.mean(drawn.segment_map == VOID) for drawn in scenes])
    assert (void == 0).any() and (void > 0).any() and void.mean() < 0.05


def test_colour_alone_does_not_tell_the_class():
    """A nearest-mean classifier of the mean colour stays far below the shapes' own certainty."""
    colours, labels = [], []
    for index in range(120):
        drawn = scene(index, 96)
        for number, name in enumerate(drawn.classes, 1):
            if name in THINGS:
                colours.append(drawn.image[drawn.segment_map == number].mean(0))
                labels.append(THINGS.index(name))
    colours, labels = np.array(colours), np.array(labels)
    half = len(labels) // 2
    means = np.stack([colours[:half][labels[:half] == label].mean(0)
                      for label in range(len(THINGS))])
    nearest = np.linalg.norm(colours[half:, None] - means, axis=-1).argmin(1)
    accuracy = np.mean(nearest == labels[half:])
    assert 1.2 / len(THINGS) < accuracy < 0.7


def test_things_occlude_each_other():
    touching = 0
    for index in range(30):
        drawn = scene(index)
        is_thing = np.array([False, *[name in THINGS for name in drawn.classes]])
        left, right = drawn.segment_map[:, :-1], drawn.segment_map[:, 1:]
        touching += bool((is_thing[left] & is_thing[right] & (left != right)).any())
    assert touching > 10


# ---- files -----------------------------------------------------------------------------------

def test_same_parameters_give_the_same_bytes(root, tmp_path):
    make_shapes(tmp_path / 'again', **COUNTS, size=SIZE, seed=3)
    assert digests(tmp_path / 'again') == digests(root)


# Of annotations, as pixels and texts. Pictures come from floating-point noise and a JPEG encoder,
# whose last bits belong to the processor and to OpenCV's version.
RECORDED = 'b5138eb1ebea80e420d6feb045aa6d3320f2037510379fdac3276a4afb1ccdcf'
MEAN_COLOURS = [
    [96.77, 140.94, 154.77], [97.45, 113.04, 100.24], [115.19, 125.43, 79.54],
    [130.32, 138.46, 136.21], [130.64, 163.21, 121.88], [123.82, 127.17, 129.09],
    [71.56, 151.3, 77.0], [134.12, 149.25, 130.4], [112.62, 143.26, 133.11]]


def test_files_are_those_of_this_version(root):
    """What was published on Shapes holds for files made later; a change needs a new VERSION."""
    digest = hashlib.sha256()
    paths = [path for path in sorted(root.rglob('*')) if path.suffix in ('.json', '.png')]
    assert len(paths) == 23
    for path in paths:
        digest.update(path.read_bytes() if path.suffix == '.json' else
                      cv2.imread(str(path), cv2.IMREAD_UNCHANGED).tobytes())
    assert digest.hexdigest() == RECORDED
    pictures = [cv2.imread(str(path)) for path in sorted(root.glob('images/*/*.jpg'))]
    np.testing.assert_allclose(
        [picture.mean((0, 1)) for picture in pictures], MEAN_COLOURS, atol=0.1)


@pytest.mark.slow
def test_processes_share_the_work_and_write_the_same_bytes(root, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, 'SCENES_WORTH_A_PROCESS', 3)  # two draw the training scenes
    made = []
    make_shapes(tmp_path / 'shared', **COUNTS, size=SIZE, seed=3, processes=2,
                progress=lambda: made.append(1))
    assert len(made) == sum(COUNTS.values())
    assert digests(tmp_path / 'shared') == digests(root)


@pytest.mark.slow
def test_an_error_in_another_process_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, 'SCENES_WORTH_A_PROCESS', 3)
    monkeypatch.setattr(writing, '_make_scene', fails)  # goes to the processes by its name
    with pytest.raises(OSError, match='no space'):
        make_shapes(tmp_path / 'shared', **COUNTS, size=SIZE, processes=2)
    assert list(tmp_path.iterdir()) == []


def fails(*_) -> None:
    raise OSError('no space left')


def test_another_seed_gives_other_pictures(root, tmp_path):
    make_shapes(tmp_path / 'other', **COUNTS, size=SIZE, seed=4)
    ours, theirs = digests(root), digests(tmp_path / 'other')
    assert ours.keys() == theirs.keys()
    assert all(ours[name] != theirs[name] for name in ours if name.endswith('.jpg'))


def test_scenes_do_not_depend_on_how_many_there_are(root, tmp_path):
    make_shapes(tmp_path / 'fewer', num_train=2, num_val=1, size=SIZE, seed=3)
    ours, fewer = digests(root), digests(tmp_path / 'fewer')
    pictures = [name for name in fewer if not name.endswith('.json')]
    assert len(pictures) == 3 * 3
    assert all(ours[name] == fewer[name] for name in pictures)


def test_train_and_val_differ(root):
    files = digests(root)
    train = {value for name, value in files.items() if name.startswith('images/train/')}
    val = {value for name, value in files.items() if name.startswith('images/val/')}
    assert len(train) == COUNTS['num_train'] and len(val) == COUNTS['num_val']
    assert not train & val


@pytest.mark.parametrize('split', ['train', 'val'])
def test_panoptic_png_and_json_agree(root, split):
    document = load(root, f'panoptic_{split}')
    images = {image['id']: image for image in document['images']}
    assert len(images) == len(document['annotations']) == COUNTS[f'num_{split}']
    for annotation in document['annotations']:
        ids = read_ids(root, split, annotation['file_name'])
        image = images[annotation['image_id']]
        assert ids.shape == (image['height'], image['width'])
        assert set(np.unique(ids)) - {0} == {s['id'] for s in annotation['segments_info']}
        for segment in annotation['segments_info']:
            rows, columns = np.nonzero(ids == segment['id'])
            assert segment['area'] == len(rows)
            assert segment['bbox'] == [columns.min(), rows.min(), np.ptp(columns) + 1,
                                       np.ptp(rows) + 1]
            assert segment['iscrowd'] == 0


@pytest.mark.parametrize('split', ['train', 'val'])
def test_semantic_png_agrees_with_panoptic(root, split):
    document = load(root, f'panoptic_{split}')
    names = {category['id']: category['name'] for category in document['categories']}
    for annotation in document['annotations']:
        ids = read_ids(root, split, annotation['file_name'])
        expected = np.full(ids.shape, 255, np.uint8)
        for segment in annotation['segments_info']:
            expected[ids == segment['id']] = CLASSES.index(names[segment['category_id']])
        path = root / f'annotations/semantic_{split}' / annotation['file_name']
        assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), expected)


@pytest.mark.parametrize('split', ['train', 'val'])
def test_pycocotools_reads_the_instances(root, split):
    coco = COCO(root / 'annotations' / f'instances_{split}.json')
    panoptic = {a['image_id']: a for a in load(root, f'panoptic_{split}')['annotations']}
    things = {category['id'] for category in coco.loadCats(coco.getCatIds())}
    assert len(things) == len(THINGS)
    for image_id in coco.getImgIds():
        ids = read_ids(root, split, panoptic[image_id]['file_name'])
        segments = [s for s in panoptic[image_id]['segments_info'] if s['category_id'] in things]
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image_id))
        assert len(annotations) == len(segments)
        for annotation, segment in zip(annotations, segments, strict=True):
            assert np.array_equal(coco.annToMask(annotation) > 0, ids == segment['id'])
            assert annotation['category_id'] == segment['category_id']
            assert annotation['area'] == segment['area'] == rle.area(annotation['segmentation'])
            assert annotation['bbox'] == rle.toBbox(annotation['segmentation']).tolist()


# ---- skipping and rebuilding -----------------------------------------------------------------

def test_second_call_does_nothing(tmp_path):
    folder = tmp_path / 'shapes'
    assert make_shapes(folder, num_train=1, num_val=1, size=48)
    marker = folder / 'images/train/000001.jpg'
    marker.write_bytes(b'untouched')
    assert not make_shapes(folder, num_train=1, num_val=1, size=48)
    assert marker.read_bytes() == b'untouched'


@pytest.mark.parametrize('changed', [dict(seed=1), dict(size=56), dict(num_train=2)])
def test_other_parameters_rebuild(tmp_path, changed):
    folder = tmp_path / 'shapes'
    parameters = dict(num_train=1, num_val=1, size=48, seed=0)
    make_shapes(folder, **parameters)
    (folder / 'images/train/stale.jpg').write_bytes(b'')
    assert make_shapes(folder, **parameters | changed)
    assert json.loads((folder / MANIFEST).read_text()) == asdict(
        ShapesSpec(**parameters | changed))
    assert not (folder / 'images/train/stale.jpg').exists()
    assert [path.name for path in tmp_path.iterdir()] == ['shapes']


def test_damaged_dataset_is_rebuilt(tmp_path):
    folder = tmp_path / 'shapes'
    make_shapes(folder, num_train=2, num_val=1, size=48)
    before = digests(folder)
    (folder / 'images/train/000002.jpg').unlink()
    assert make_shapes(folder, num_train=2, num_val=1, size=48)
    assert digests(folder) == before


@pytest.mark.parametrize('old_seed', [None, 7])
def test_another_process_may_be_faster(tmp_path, old_seed):
    folder, parameters = tmp_path / 'shapes', dict(num_train=1, num_val=0, size=48)
    if old_seed is not None:
        make_shapes(folder, **parameters, seed=old_seed)
    made = []
    assert not make_shapes(folder, **parameters, progress=lambda: made.append(
        make_shapes(folder, **parameters)))
    assert made == [True]
    assert [path.name for path in tmp_path.iterdir()] == ['shapes']


def test_files_do_not_depend_on_the_number_of_threads(root, tmp_path):
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1 if threads > 1 else 2)
    try:
        make_shapes(tmp_path / 'again', **COUNTS, size=SIZE, seed=3)
    finally:
        cv2.setNumThreads(threads)
    assert digests(tmp_path / 'again') == digests(root)


def test_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / 'photo.jpg').write_bytes(b'precious')
    with pytest.raises(UserError, match='not a Shapes dataset'):
        make_shapes(tmp_path, num_train=1, num_val=1, size=48)
    assert [path.name for path in tmp_path.iterdir()] == ['photo.jpg']


def test_interruption_leaves_the_old_dataset_and_no_rubbish(tmp_path):
    folder = tmp_path / 'shapes'
    make_shapes(folder, num_train=1, num_val=1, size=48)
    before = digests(folder)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_shapes(folder, num_train=3, num_val=1, size=48, progress=interrupt)
    assert digests(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ['shapes']


@pytest.mark.parametrize('name, value', [('size', 8), ('num_train', -1), ('seed', -1)])
def test_numbers_out_of_range_are_named(tmp_path, name, value):
    with pytest.raises(UserError, match=f'{name} is {value}'):
        make_shapes(tmp_path / 'shapes', **{name: value})


def test_progress_counts_every_scene(tmp_path):
    calls = []
    make_shapes(tmp_path / 'shapes', num_train=2, num_val=1, size=48,
                progress=lambda: calls.append(1))
    assert len(calls) == 3


# ---- dataset classes and the command -----------------------------------------------------------

def test_panoptic_dataset(root):
    dataset = DATASETS.build(dict(
        type='ShapesDataset', data_root=str(root), ann_file='annotations/panoptic_train.json',
        data_prefix=dict(img='images/train', seg='annotations/panoptic_train'), pipeline=[]))
    assert dataset.metainfo['classes'] == CLASSES and len(dataset) == COUNTS['num_train']
    document = load(root, 'panoptic_train')
    names = {category['id']: category['name'] for category in document['categories']}
    for index, annotation in enumerate(document['annotations']):
        info = dataset.get_data_info(index)
        assert Path(info['img_path']).is_file() and Path(info['seg_map_path']).is_file()
        expected = [names[s['category_id']] for s in annotation['segments_info']]
        assert [CLASSES[s['category']] for s in info['segments_info']] == expected


def test_instance_dataset(root):
    dataset = DATASETS.build(dict(
        type='ShapesInstanceDataset', data_root=str(root),
        ann_file='annotations/instances_val.json', data_prefix=dict(img='images/val'),
        test_mode=True, pipeline=[]))
    annotations = load(root, 'instances_val')['annotations']
    labels = [i['bbox_label'] for item in map(dataset.get_data_info, range(len(dataset)))
              for i in item['instances']]
    assert labels == [annotation['category_id'] - 1 for annotation in annotations]
    assert dataset.metainfo['classes'] == THINGS


def test_semantic_dataset(root):
    dataset = DATASETS.build(dict(
        type='ShapesSemanticDataset', data_root=str(root),
        data_prefix=dict(img_path='images/val', seg_map_path='annotations/semantic_val'),
        pipeline=[]))
    assert len(dataset) == COUNTS['num_val']
    assert all(Path(dataset.get_data_info(i)['seg_map_path']).is_file() for i in range(3))


def samples(repo: Path, root: Path, task: str, loader: str) -> list:
    config = Config.fromfile(repo / f'configs/_base_/datasets/shapes_{task}.py')
    dataset = config[loader].dataset | dict(data_root=str(root))
    packed = [dict(item) for item in DATASETS.build(dataset)]
    for item in packed:
        assert item['inputs'].dtype == torch.uint8 and item['inputs'].shape[0] == 3
        assert tuple(item['inputs'].shape[1:]) == item['data_samples'].img_shape
    return [item['data_samples'] for item in packed]


def test_validation_samples_agree_between_the_tasks(repo, root):
    panoptic, instance, semantic = (
        samples(repo, root, task, 'val_dataloader')
        for task in ('panoptic', 'instance', 'semantic'))
    assert len(panoptic) == len(instance) == len(semantic) == COUNTS['num_val']
    for full, things, classes in zip(panoptic, instance, semantic, strict=True):
        assert full.img_shape == full.ori_shape
        assert torch.equal(full.gt_sem_seg.sem_seg, classes.gt_sem_seg.sem_seg)
        assert torch.equal(full.gt_instances.labels, things.gt_instances.labels)
        assert torch.equal(full.gt_instances.masks, things.gt_instances.masks)
        ids = set(full.gt_panoptic_seg.sem_seg.unique().tolist()) - {0}
        assert ids == {info['id'] for info in full.gt_panoptic_seg.segments_info}


def perfect(sample: DetDataSample) -> DetDataSample:
    """Add predictions that equal the truth."""
    ids, infos = sample.gt_panoptic_seg.sem_seg, sample.gt_panoptic_seg.segments_info
    encoded = torch.full(ids.shape, len(CLASSES))
    for info in infos:
        encoded[ids == info['id']] = info['category'] + INSTANCE_OFFSET * info['id']
    truth = sample.gt_instances
    sample.pred_panoptic_seg = PixelData(sem_seg=encoded)
    sample.pred_instances = InstanceData(
        labels=truth.labels, masks=truth.masks, bboxes=truth.bboxes,
        scores=torch.ones(len(truth.labels)))
    sample.pred_sem_seg = PixelData(sem_seg=sample.gt_sem_seg.sem_seg.long() % 255)
    return sample


def test_perfect_predictions_score_100(repo, root):
    config = Config.fromfile(repo / 'configs/_base_/datasets/shapes_panoptic.py')
    evaluator = Evaluator([METRICS.build(metric) for metric in config.val_evaluator])
    evaluator.dataset_meta = ShapesDataset.METAINFO
    found = samples(repo, root, 'panoptic', 'val_dataloader')
    evaluator.process([perfect(sample) for sample in found])
    scores = evaluator.evaluate(len(found))
    for name in ('panoptic/PQ', 'panoptic/PQ_th', 'panoptic/PQ_st', 'instance/AP',
                 'semantic/mIoU'):
        assert scores[name] == pytest.approx(100), name


@pytest.mark.parametrize('task, field', [
    ('panoptic', 'gt_panoptic_seg'), ('instance', 'gt_instances'), ('semantic', 'gt_sem_seg')])
def test_training_samples_are_augmented(repo, root, task, field):
    np.random.seed(0)
    first, second = (samples(repo, root, task, 'train_dataloader') for _ in range(2))
    assert len(first) == COUNTS['num_train']
    assert any(a.scale_factor != b.scale_factor for a, b in zip(first, second, strict=True))
    assert {sample.flip for sample in first + second} == {True, False}
    for sample in first:
        assert field in sample and max(sample.img_shape) <= 128


def tool_at(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f'{path.stem}_tool', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


@pytest.mark.parametrize('arguments, code, text', [
    (['--num-train', '1', '--num-val', '1', '--size', '48'], 0, 'made'),
    (['--size', '1'], 1, 'size is 1'),
])
def test_command(repo, tmp_path, capsys, arguments, code, text):
    tool = tool_at(repo / 'tools/dataset_converters/make_shapes.py')
    assert tool.main([str(tmp_path / 'shapes'), *arguments]) == code
    captured = capsys.readouterr()
    assert text in captured.out + captured.err
    assert (tmp_path / 'shapes' / MANIFEST).exists() == (code == 0)


@pytest.mark.slow
def test_demo_makes_its_data(repo, tmp_path):
    demo = tool_at(repo / 'tools/misc/demo.py')
    demo._make_data(Namespace(data_root=tmp_path / 'shapes', scenes=(1, 1)))
    assert len(list((tmp_path / 'shapes/images').glob('*/*.jpg'))) == 2
    with pytest.raises(SystemExit) as stop:
        demo._make_data(Namespace(data_root=tmp_path / 'shapes', scenes=(-1, 1)))
    assert stop.value.code == 1
