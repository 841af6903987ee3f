"""What is written is complete at every moment, and nothing is written twice."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from PIL import Image
from pycocotools import mask as rle

from tests.test_apis.conftest import noise
from unimask.apis import Inferencer
from unimask.apis.output import JsonList, OutputFolder
from unimask.apis.pictures import Picture
from unimask.datasets.transforms.io import read_index_map, read_segment_ids
from unimask.errors import UserError
from unimask.structures import Taxonomy

TAXONOMY = Taxonomy(('cat', 'sky'), (True, False), ((200, 40, 40), (40, 40, 200)))


def records(folder: Path) -> list[dict]:
    return json.loads((folder / 'predictions.json').read_text())


def test_a_list_is_complete_after_every_record(tmp_path: Path):
    path = tmp_path / 'x.json'
    path.write_text('old ' * 100)
    records = JsonList(path)
    assert json.loads(path.read_text()) == []
    for count in range(1, 4):
        records.append(dict(a='ä"' * count))
        assert [len(item['a']) for item in json.loads(path.read_text())] == [
            2 * number for number in range(1, count + 1)]


class FullDisk:
    """A file on a disk that gets full in the middle of a record."""

    def __init__(self, file: object) -> None:
        self.file = file
        self.left = 30

    def write(self, data: memoryview) -> int:
        if not self.left:
            self.left = 3  # what closes the list takes the place of what was there
            raise OSError(28, 'No space left on device')
        written = self.file.write(data[:self.left])
        self.left -= written
        return written

    def __getattr__(self, name: str) -> object:
        return getattr(self.file, name)


def test_a_full_disk_leaves_the_list_readable(tmp_path: Path):
    path = tmp_path / 'x.json'
    records = JsonList(path)
    records.append('first')
    records._file = FullDisk(records._file)
    with pytest.raises(OSError, match='No space'):
        records.append('second' * 10)
    assert json.loads(path.read_text()) == ['first']


def sample() -> DetDataSample:
    """Two overlapping cats below a sky, and a left-over row."""
    panoptic = torch.full((30, 40), 2)
    panoptic[:10], panoptic[10:20, :20], panoptic[10:20, 20:] = 1, 1000, 2000
    masks = torch.zeros((3, 30, 40), dtype=torch.bool)
    masks[0, 5:, :30], masks[1, 10:, 20:], masks[2, :3, :3] = True, True, True
    result = DetDataSample(metainfo=dict(img_path='a.jpg', ori_shape=(30, 40)))
    result.pred_panoptic_seg = PixelData(sem_seg=panoptic[None])
    result.pred_panoptic_seg.set_metainfo(dict(segments_info=[
        dict(id=2000, category=0, score=.9, area=200),
        dict(id=1000, category=0, score=.8, area=200),
        dict(id=1, category=1, score=.7, area=400)]))
    result.pred_sem_seg = PixelData(sem_seg=(panoptic[None] % 1000 == 1).long())
    result.pred_instances = InstanceData(
        labels=torch.zeros(3, dtype=torch.long), scores=torch.tensor([.9, .5, .1]), masks=masks,
        bboxes=torch.tensor([[0., 5, 30, 30], [20, 10, 40, 30], [0, 0, 3, 3]]))
    return result


def write(tmp_path: Path, **options) -> dict:
    with OutputFolder(tmp_path, TAXONOMY, **{'min_score': 0.3, **options}) as folder:
        folder.write(Picture('a.jpg', 'a.jpg', 'a'), noise(30, 40), sample())
    return records(tmp_path)[0]


def test_maps_and_records_say_the_same(tmp_path: Path):
    record, wanted = write(tmp_path), sample()
    assert record['files'] == dict(picture='a.png', semantic_map='semantic/a.png',
                                   panoptic_map='panoptic/a.png')
    semantic = read_index_map(tmp_path / 'semantic/a.png')
    assert np.array_equal(semantic, wanted.pred_sem_seg.sem_seg[0])
    assert record['semantic'] == dict(cat=800, sky=400)
    shown = np.asarray(Image.open(tmp_path / 'semantic/a.png').convert('RGB'))
    assert shown[0, 0].tolist() == [40, 40, 200] and shown[-1, 0].tolist() == [200, 40, 40]
    ids = read_segment_ids(tmp_path / 'panoptic/a.png')
    assert [(one['id'], one['class'], one['isthing']) for one in record['panoptic']] == [
        (1, 'cat', True), (2, 'cat', True), (3, 'sky', False)]
    for one, segment in zip(record['panoptic'], wanted.pred_panoptic_seg.segments_info,
                            strict=True):
        inside = (wanted.pred_panoptic_seg.sem_seg[0] == segment['id']).numpy()
        assert np.array_equal(ids == one['id'], inside) and inside.sum() == one['area']
    assert (ids[20:] == 0).all()


@pytest.mark.parametrize('min_score, count', [(0.3, 2), (0.0, 3), (0.6, 1)])
def test_low_scores_are_left_out(min_score: float, count: int, tmp_path: Path):
    record, wanted = write(tmp_path, min_score=min_score), sample().pred_instances
    assert len(record['instances']) == count
    for number, one in enumerate(record['instances']):
        assert np.array_equal(rle.decode(one['segmentation']), wanted.masks[number])
        assert one['box'] == wanted.bboxes[number].tolist() and one['class'] == 'cat'


def test_many_classes_need_deeper_maps(tmp_path: Path):
    names = tuple(map(str, range(300)))
    taxonomy = Taxonomy(names, (True,) * 300, ((9, 9, 9),) * 300)
    result = DetDataSample(metainfo=dict(img_path='a.jpg', ori_shape=(30, 40)))
    result.pred_sem_seg = PixelData(sem_seg=torch.arange(1200).view(1, 30, 40) % 300)
    with OutputFolder(tmp_path, taxonomy, min_score=0) as folder:
        folder.write(Picture('a.jpg', 'a.jpg', 'a'), noise(30, 40), result)
    assert np.array_equal(read_index_map(tmp_path / 'semantic/a.png'),
                          result.pred_sem_seg.sem_seg[0])


def test_no_picture_overwrites_another(inferencer: Inferencer, folder: Path, tmp_path: Path):
    out = tmp_path / 'out'
    pictures = [folder / 'x.jpg', folder / 'x.png', folder / 'sub/x.jpg', noise(), noise(seed=9)]
    samples = inferencer(pictures, out_dir=out)
    assert len(samples) == 5
    assert len(list(out.glob('*.png'))) == len(list((out / 'semantic').glob('*.png'))) == 5
    for sample, record in zip(samples, records(out), strict=True):
        assert record['image'] == sample.img_path
        assert np.array_equal(read_index_map(out / record['files']['semantic_map']),
                              sample.pred_sem_seg.sem_seg[0])
    assert {record['files']['picture'] for record in records(out)} >= {'array_3.png', 'array_4.png'}


def test_the_pictures_themselves_are_never_overwritten(inferencer: Inferencer, folder: Path):
    before = (folder / 'y.png').read_bytes()
    with pytest.raises(UserError, match=r'written over the picture .*y\.png'):
        inferencer(folder / 'y.png', out_dir=folder)
    (folder / 'semantic').symlink_to(folder)
    with pytest.raises(UserError, match='written over'):
        inferencer([folder / 'x.png', folder / 'y.png'], out_dir=folder)
    assert (folder / 'y.png').read_bytes() == before


def test_a_second_run_into_the_folder_reads_only_pictures(inferencer: Inferencer, folder: Path):
    first = inferencer.save(folder, folder / 'out', recursive=True, progress=False)
    second = inferencer.save(folder, folder / 'out', recursive=True, progress=False)
    assert first.total == second.total == second.done == 4


@pytest.mark.parametrize('batch_size', [1, 2, 3])
def test_a_bad_picture_does_not_stop_the_others(batch_size: int, inferencer: Inferencer,
                                                folder: Path, tmp_path: Path):
    (folder / 'x.png').write_text('no picture')
    (folder / 'z.png').write_bytes((folder / 'y.png').read_bytes()[:-500])
    report = inferencer.save(folder, tmp_path / 'out', batch_size=batch_size, progress=False)
    assert (report.total, report.done, len(report.failed)) == (4, 2, 2)
    assert [Path(one['image']).name for one in records(tmp_path / 'out')] == ['x.jpg', 'y.png']
    with pytest.raises(UserError, match=r'2 of 4 .*\n.*x\.png.*\n.*z\.png.*\n.*other 2 are done'):
        report.raise_failures()


def test_in_python_a_bad_picture_is_an_error(inferencer: Inferencer, folder: Path,
                                             tmp_path: Path):
    (folder / 'x.png').write_text('no picture')
    with pytest.raises(UserError, match=r'x\.png cannot be read'):
        inferencer(folder)
    with pytest.raises(UserError, match='1 of 3 pictures'):
        inferencer(folder, out_dir=tmp_path / 'out')
    assert len(records(tmp_path / 'out')) == 2
    with pytest.raises(UserError, match='array_1 holds int64'):
        inferencer([noise(), noise().astype(int)])


def test_too_little_memory_is_one_picture_s_failure(inferencer: Inferencer, folder: Path,
                                                    tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch):
    step, sizes = inferencer.model.test_step, iter([0, 10**15, 0])

    def greedy(batch: dict) -> list:
        torch.empty(next(sizes), dtype=torch.uint8)
        return step(batch)
    monkeypatch.setattr(inferencer.model, 'test_step', greedy)
    report = inferencer.save(folder, tmp_path / 'out', progress=False)
    assert report.done == 2 and 'too little memory' in report.failed[str(folder / 'x.png')]


def test_defects_keep_their_traceback(inferencer: Inferencer, folder: Path, tmp_path: Path,
                                      monkeypatch: pytest.MonkeyPatch):
    def broken(batch: dict) -> list:
        raise RuntimeError('a defect')
    monkeypatch.setattr(inferencer.model, 'test_step', broken)
    with pytest.raises(RuntimeError, match='a defect'):
        inferencer.save(folder, tmp_path / 'out', progress=False)


def test_ctrl_c_keeps_what_is_done(inferencer: Inferencer, folder: Path, tmp_path: Path,
                                   monkeypatch: pytest.MonkeyPatch,
                                   capsys: pytest.CaptureFixture):
    step, calls = inferencer.model.test_step, iter([False, False, True])

    def stopped(batch: dict) -> list:
        if next(calls):
            raise KeyboardInterrupt
        return step(batch)
    monkeypatch.setattr(inferencer.model, 'test_step', stopped)
    with pytest.raises(KeyboardInterrupt):
        inferencer.save(folder, tmp_path / 'out', progress=False)
    assert len(records(tmp_path / 'out')) == len(list((tmp_path / 'out').glob('*.png'))) == 2
    assert '2 of 3 pictures are done' in capsys.readouterr().err


@pytest.mark.slow
def test_a_kill_keeps_what_is_done(checkpoint: Path, tmp_path: Path):
    program = (
        'import sys, os, signal\n'
        'import numpy as np\n'
        'from unimask.apis import Inferencer\n'
        'from unimask.utils import register_all_modules\n'
        'register_all_modules()\n'
        'inferencer = Inferencer(sys.argv[1], device="cpu")\n'
        'step, calls = inferencer.model.test_step, iter(range(9))\n'
        'def killed(batch):\n'
        '    if next(calls) == 2: os.kill(os.getpid(), signal.SIGKILL)\n'
        '    return step(batch)\n'
        'inferencer.model.test_step = killed\n'
        'inferencer.save([np.zeros((40, 60, 3), np.uint8)] * 5, sys.argv[2], progress=False)\n')
    ended = subprocess.run([sys.executable, '-c', program, checkpoint, tmp_path / 'out'],
                           capture_output=True, cwd=Path(__file__).parents[2], check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert len(records(tmp_path / 'out')) == 2


def test_a_folder_that_cannot_be_written(inferencer: Inferencer, folder: Path, tmp_path: Path):
    (tmp_path / 'out').write_text('a file')
    with pytest.raises(UserError, match='out for the predictions cannot be written'):
        inferencer(folder, out_dir=tmp_path / 'out')


def test_progress_is_shown_on_stderr(inferencer: Inferencer, folder: Path, tmp_path: Path,
                                     capsys: pytest.CaptureFixture):
    inferencer.save(folder, tmp_path / 'out')
    captured = capsys.readouterr()
    assert '3/3' in captured.err and not captured.out


def test_batch_sizes_are_checked(inferencer: Inferencer, folder: Path):
    with pytest.raises(UserError, match='batch_size must be 1 or more, not 0'):
        inferencer(folder, batch_size=0)


def test_own_transforms_say_that_they_read_annotation(inferencer: Inferencer, checkpoint: Path):
    from mmcv.transforms import BaseTransform

    from tests.test_tools.conftest import CONFIG, SMALL
    from unimask.preflight import load_config
    from unimask.registry import TRANSFORMS

    @TRANSFORMS.register_module(force=True)
    class LoadMyLabels(BaseTransform):
        def transform(self, results: dict) -> dict:
            results['mine'] = results['my_labels_path']
            return results

    cfg = load_config(CONFIG, SMALL)
    cfg.test_dataloader.dataset.pipeline.insert(1, dict(type='LoadMyLabels'))
    with pytest.raises(UserError, match="LoadMyLabels .*needs 'my_labels_path'.*reads_annotation"):
        Inferencer(cfg, checkpoint, device='cpu')(noise())
    LoadMyLabels.reads_annotation = True
    [found] = Inferencer(cfg, checkpoint, device='cpu')(noise())
    [expected] = inferencer(noise())
    assert torch.equal(found.pred_sem_seg.sem_seg, expected.pred_sem_seg.sem_seg)
