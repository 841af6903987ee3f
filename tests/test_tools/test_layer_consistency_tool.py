"""tools/analysis_tools/layer_consistency.py: measuring a checkpoint, drawing measurements."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.test_tools.conftest import CONFIG, ROOT, SMALL
from unimask.errors import UserError
from unimask.preflight import load_config
from unimask.registry import MODELS

TOOL = 'analysis_tools/layer_consistency.py'


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = MODELS.build(load_config(CONFIG, {
        key: value for key, value in SMALL.items() if key.startswith('model.')}).model)
    file = tmp_path_factory.mktemp('weights') / 'model.pth'
    torch.save(dict(state_dict=model.state_dict()), file)
    return file


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(str(ROOT / 'tools/analysis_tools'))
    return importlib.import_module('layer_consistency')


@pytest.mark.slow
def test_measure_writes_what_draw_reads(shapes: Path, checkpoint: Path, tool: Callable,
                                        module: object, tmp_path: Path) -> None:
    files = []
    for number, words in enumerate((['--num-images', 2], ['--num-images', 2], [])):
        files.append(tmp_path / f'{number}.json')
        result = tool(TOOL, 'measure', CONFIG, checkpoint, '--out', files[-1], '--work-dir',
                      tmp_path / 'work', '--name', 'mine', *words, data_root=shapes)
        assert result.status == 0, result.err
    first, again, everything = (json.loads(file.read_text()) for file in files)
    assert first == again and (first['images'], everything['images']) == (2, 3)
    assert first['name'] == 'mine' and first['pairs'] > 0
    assert len(first['iou']) == len(first['utilisation']) == SMALL['model.head.num_layers']
    module.draw([module.read_measurement(file) for file in files], tmp_path / 'new/layers.png')
    assert (tmp_path / 'new/layers.png').read_bytes().startswith(b'\x89PNG')


def test_steps_without_a_value_are_drawn_as_gaps(module: object, tmp_path: Path) -> None:
    record = dict(name='a', iou=[None, 0.5], utilisation=[0.1, 1.0])
    module.draw([record, dict(record, name='b')], tmp_path / 'a.png')
    assert (tmp_path / 'a.png').is_file()


@pytest.mark.parametrize(('content', 'said'), [
    (None, 'cannot be read'), ('{', 'is no JSON file'), ('{"name": "a"}', 'is no measurement'),
    ('[1]', 'is no measurement')])
def test_other_files_are_refused(module: object, tmp_path: Path, content: str | None,
                                 said: str) -> None:
    file = tmp_path / 'a.json'
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=said):
        module.read_measurement(file)


def test_no_images_asked_for(checkpoint: Path, shapes: Path, tool: Callable,
                             tmp_path: Path) -> None:
    result = tool(TOOL, 'measure', CONFIG, checkpoint, '--out', tmp_path / 'a.json', '--num-images',
                  0, '--work-dir', tmp_path, data_root=shapes)
    assert result.status == 2 and '--num-images must be at least 1' in result.err
