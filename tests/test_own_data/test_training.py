"""`unimask train --data`: from a folder to a checkpoint that predicts."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import own_folders as folders
import pytest

from unimask.apis import Segmenter
from unimask.errors import UserError
from unimask.own_data.recipe import models
from unimask.own_data.training import train, write_config


def unimask(*words: object, status: int = 0) -> str:
    """What a command prints."""
    done = subprocess.run([sys.executable, '-m', 'unimask', *map(str, words)],
                          capture_output=True, text=True, timeout=600)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(('make', 'task'), [
    pytest.param(folders.label_maps, 'semantic', marks=pytest.mark.slow),
    pytest.param(folders.yolo, 'instance', marks=pytest.mark.slow),
    pytest.param(folders.panoptic, 'panoptic', marks=pytest.mark.slow)])
def test_from_a_folder_to_results(make: Callable[[Path], Path], task: str, tmp_path: Path) -> None:
    own, run = make(tmp_path / 'own'), tmp_path / 'run'
    before = {path: path.stat().st_mtime for path in own.rglob('*')}
    best = train(own, run, iterations=2, weights=None, seed=1)
    assert best.name.startswith('best_') and best.parent == run
    config = (run / 'config.py').read_text()
    assert 'num_queries=50' in config
    assert ('duplicate_iou=0.5' in config) is (task == 'panoptic')
    assert {path: path.stat().st_mtime for path in own.rglob('*')} == before

    result = Segmenter.from_pretrained(best)(next(own.rglob('*.jpg')))
    predicted = dict(semantic=result.semantic, instance=result.instances, panoptic=result.panoptic)
    assert predicted[task] is not None
    assert result.image.shape == (*folders.SIZE, 3)
    with pytest.raises(UserError, match='holds a run already'):
        train(own, run)
    train(own, run, resume=True)


@pytest.mark.slow
def test_commands(tmp_path: Path) -> None:
    own, run = folders.label_maps(tmp_path / 'own'), tmp_path / 'run'
    said = unimask('train', '--data', own, '--out', run, '--iters', 2, '--weights', 'none')
    assert 'for the task semantic' in said
    best = next(run.glob('best_*.pth'))
    assert f'unimask predict PICTURES --checkpoint {best}' in said
    unimask('predict', own / 'images', '--checkpoint', best, '--out', tmp_path / 'predicted')
    assert len(list((tmp_path / 'predicted').glob('scene *.png'))) == 6
    refused = unimask('train', '--data', own, '--out', run, status=2)
    assert 'holds a run already' in refused
    assert 'Traceback' not in refused


class TestRefused:

    def refused(self, own: Path, out: Path, match: str, **options: object) -> None:
        with pytest.raises(UserError, match=match):
            write_config(own, out, **options)
        assert not (out / 'config.py').exists()

    def test_settings(self, tmp_path: Path) -> None:
        own = folders.label_maps(tmp_path / 'own')
        self.refused(own, tmp_path / 'run', 'val_share is 1', val_share=1.0)
        self.refused(own, tmp_path / 'run', 'iterations is 0', iterations=0)
        self.refused(own, tmp_path / 'run', 'there is no file', weights=tmp_path / 'gone.pth')
        self.refused(own, tmp_path / 'run', 'unknown.*mask2former-r50', model='mask2former-50')

    def test_folders(self, tmp_path: Path) -> None:
        own = folders.label_maps(tmp_path / 'own')
        self.refused(own, own / 'run', 'lies in the folder of the data')
        (tmp_path / 'file').touch()
        self.refused(own, tmp_path / 'file', 'is a file')

    def test_nothing_half_done(self, tmp_path: Path) -> None:
        """What was there before stays."""
        own, out = folders.label_maps(tmp_path / 'own'), tmp_path / 'run'
        (own / 'images' / 'scene 3.jpg').write_bytes(b'no picture')
        self.refused(own, out, 'scene 3.jpg cannot be read')
        assert not out.exists()
        out.mkdir()
        (out / 'mine.txt').touch()
        self.refused(own, out, 'scene 3.jpg cannot be read')
        assert [path.name for path in out.iterdir()] == ['mine.txt']

    def test_nothing_to_go_on_with(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match='no run to go on with'):
            train(folders.label_maps(tmp_path / 'own'), tmp_path / 'run', resume=True)


def test_models_take_backbones_of_timm_where_there_are_equal_ones() -> None:
    known = models()
    assert known['mask2former-r50'] == ('mask2former', 'timm-r50')
    assert known['mp-former-swin-l'] == ('mp_former', 'timm-swin-l')
    assert known['mask2former-convnext-t'] == ('mask2former', 'convnext-t')
    assert known['mask2former-r101c'] == ('mask2former', 'r101c')  # timm has none
    assert not [name for name in known if 'timm' in name or 'semask' in name]


def test_weights_of_a_trained_model(tmp_path: Path) -> None:
    from mmengine.config import Config
    own = folders.label_maps(tmp_path / 'own')
    (tmp_path / 'model.pth').touch()
    write_config(own, tmp_path / 'run', weights=tmp_path / 'model.pth', model='mask2former-r50')
    cfg = Config.fromfile(tmp_path / 'run' / 'config.py')
    assert cfg.load_from == str(tmp_path / 'model.pth')
    assert cfg.model.init_cfg is None
    assert cfg.model.backbone.type == 'TimmBackbone'
    assert cfg.train_dataloader.dataset.metainfo.classes == ('background', 'disk', 'square')
