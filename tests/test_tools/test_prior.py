"""SeMask's semantic prior from Python and from the command line, and its picture."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import PixelData
from PIL import Image

from tests.test_apis.conftest import METAINFO, checkpoint, folder, noise  # noqa: F401
from tests.test_tools.conftest import CONFIG, ROOT, SMALL
from unimask.apis import Inferencer, Segmenter
from unimask.apis.output import OutputFolder
from unimask.apis.pictures import Picture
from unimask.cli import run_tool
from unimask.errors import UserError
from unimask.preflight import load_config, prepare_config
from unimask.registry import MODELS
from unimask.structures import Taxonomy
from unimask.visualization import UniversalVisualizer

TAXONOMY = Taxonomy(('cat', 'sky'), (True, False), ((200, 40, 40), (40, 40, 200)))
SEMASK = dict(
    backbone=dict(_delete_=True, type='SeMaskEncoder',
                  encoder=dict(type='TimmBackbone', model_name='resnet10t')),
    auxiliary=dict(aux=dict(head=dict(type='SemanticPriorHead'),
                            criterion=dict(type='PixelCriterion', weight=0.4))))


@pytest.fixture(scope='module')
def semask(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a small SeMask model with its config."""
    small = {key: value for key, value in SMALL.items() if 'model_name' not in key}
    loaded = load_config(CONFIG, {**small, 'model.backbone': SEMASK['backbone'],
                                  'model.auxiliary': SEMASK['auxiliary']})
    torch.manual_seed(0)
    model = MODELS.build(dict(prepare_config(loaded, mode='predict').model, taxonomy=METAINFO))
    path = tmp_path_factory.mktemp('semask') / 'semask.pth'
    torch.save(dict(state_dict=model.state_dict(),
                    meta=dict(dataset_meta=METAINFO, cfg=loaded.pretty_text)), path)
    return path


def test_it_is_given_to_those_who_ask(semask: Path, tmp_path: Path) -> None:
    for asked in (True, False):
        out = tmp_path / str(asked)
        (sample,) = Inferencer(semask, device='cpu', prior=asked)(noise(50, 70), out_dir=out)
        assert ('pred_prior' in sample) is asked is (out / 'prior').exists()
        if asked:
            assert sample.pred_prior.sem_seg.shape == (1, 50, 70)
            assert sample.pred_prior.stages.shape == (4, 50, 70)
            assert int(sample.pred_prior.stages.max()) <= 1


def test_results_have_it_if_they_should(semask: Path, tmp_path: Path) -> None:
    image = noise(50, 70)
    (sample,) = Inferencer(semask, device='cpu', prior=True)(image)
    result = Segmenter.from_pretrained(semask, device='cpu', prior=True)(image)
    assert result.prior.shape == (5, 50, 70)
    np.testing.assert_array_equal(result.prior[:4], sample.pred_prior.stages)
    np.testing.assert_array_equal(result.prior[4], sample.pred_prior.sem_seg[0])
    assert result.overlay('prior').shape[0] > 2 * 50  # two rows of panels
    result.save(tmp_path)
    assert len(list((tmp_path / 'prior').glob('*.png'))) == 1


def test_results_have_none_otherwise(semask: Path) -> None:
    result = Segmenter.from_pretrained(semask, device='cpu')(noise(50, 70))
    assert result.prior is None
    with pytest.raises(UserError, match='prior=True'):
        result.overlay('prior')


def predict(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, 'argv', ['predict.py', *map(str, words), '--prior'])
    return run_tool(runpy.run_path(str(ROOT / 'tools/misc/predict.py'))['main'])


def test_the_command_draws_it(semask: Path, folder: Path, tmp_path: Path,  # noqa: F811
                              monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / 'out'
    assert predict(monkeypatch, folder, semask, '--out-dir', out) == 0
    names = sorted(path.name for path in out.glob('*.png'))
    assert len(names) == 3
    assert sorted(path.name for path in (out / 'prior').glob('*.png')) == names
    pictures = [path.read_bytes() for path in out.glob(f'**/{names[0]}')]
    assert len(set(pictures)) == len(pictures) == 4  # prediction, two maps, prior


def test_a_model_without_one_says_so(
        checkpoint: Path, folder: Path, tmp_path: Path,  # noqa: F811
        monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> None:
    assert predict(monkeypatch, folder, checkpoint, '--out-dir', tmp_path / 'out') == 2
    said = capfd.readouterr().err
    assert '--prior' in said and 'this model has none' in said
    assert not (tmp_path / 'out').exists()


def prior(height: int, width: int) -> PixelData:
    """Four stages that see less and less sky, and a sum that sees a half."""
    stages = torch.zeros(4, height, width, dtype=torch.int64)
    for stage in range(4):
        stages[stage, :height * (4 - stage) // 4] = 1
    total = torch.zeros(1, height, width, dtype=torch.int64)
    total[:, :, :width // 2] = 1
    return PixelData(sem_seg=total, stages=stages)


@pytest.mark.parametrize(('size', 'panel'), [
    ((300, 400), (300, 400)), ((32, 40), (320, 400)), ((1000, 2000), (320, 640))])
def test_a_panel_for_each_stage_and_one_for_the_sum(
        size: tuple[int, int], panel: tuple[int, int]) -> None:
    visualizer = UniversalVisualizer()
    visualizer.dataset_meta = TAXONOMY.to_metainfo()
    picture = visualizer.draw_prior(np.full((*size, 3), 128, np.uint8), prior(*size))
    height, width = panel
    strip, gap = 21, 4
    assert picture.shape == (2 * (height + strip) + 25, 3 * width + 2 * gap, 3)
    assert (picture[-10, 10] == (40, 40, 200)).all()  # what there is most of is named first
    panels = [picture[top + strip:top + strip + height, left:left + width]
              for top in (0, height + strip) for left in (0, width + gap, 2 * (width + gap))]
    assert (panels[0] == 128).all()
    sky = [(each[..., 2] > each[..., 0]).mean() for each in panels]
    assert sky == pytest.approx([0, 1, 0.75, 0.5, 0.25, 0.5], abs=0.01)


def test_it_is_not_written_over_a_picture_that_is_read(tmp_path: Path) -> None:
    source = tmp_path / 'prior/a.png'
    source.parent.mkdir()
    Image.fromarray(noise(30, 40)).save(source)
    with OutputFolder(tmp_path, TAXONOMY, min_score=0.3) as out, pytest.raises(
            UserError, match='would be written over the picture'):
        out.check([Picture(str(source), str(source), 'a')])


def test_a_record_names_it(tmp_path: Path) -> None:
    sample = DetDataSample(metainfo=dict(img_path='a.jpg', ori_shape=(30, 40)))
    sample.pred_prior = prior(30, 40)
    with OutputFolder(tmp_path, TAXONOMY, min_score=0.3) as out:
        out.write(Picture('a.jpg', 'a.jpg', 'a'), noise(30, 40), sample)
    assert '"prior": "prior/a.png"' in (tmp_path / 'predictions.json').read_text()
    assert Image.open(tmp_path / 'prior/a.png').size == (3 * 400 + 8, 2 * 321 + 25)
