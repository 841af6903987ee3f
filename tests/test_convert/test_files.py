"""Reading checkpoint files, and the command."""

import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from unimask.convert import load_file

WEIGHTS = {'a.weight': torch.arange(6.).reshape(2, 3), 'a.count': torch.tensor(3)}


class Payload:
    """Something that runs code when it is unpickled."""

    def __reduce__(self):
        return print, ('executed',)


def same(loaded: dict) -> bool:
    return loaded.keys() == WEIGHTS.keys() and all(
        torch.equal(loaded[name], WEIGHTS[name]) for name in WEIGHTS)


@pytest.mark.parametrize('wrap', [
    lambda x: x, lambda x: {'model': x, 'iteration': 3}, lambda x: {'state_dict': x, 'meta': {}},
    lambda x: {'state_dict': {f'module.{name}': value for name, value in x.items()}},
])
def test_torch_files(tmp_path: Path, wrap) -> None:
    torch.save(wrap(WEIGHTS), tmp_path / 'x.pth')
    assert same(load_file(tmp_path / 'x.pth'))


def test_safetensors(tmp_path: Path) -> None:
    save = pytest.importorskip('safetensors.torch').save_file
    save(WEIGHTS, tmp_path / 'x.safetensors')
    assert same(load_file(tmp_path / 'x.safetensors'))
    (tmp_path / 'x.safetensors').write_bytes(b'broken')
    with pytest.raises(ValueError, match='x.safetensors is not a readable'):
        load_file(tmp_path / 'x.safetensors')


@pytest.mark.parametrize('protocol', [2, 4])
def test_pickles_of_arrays(tmp_path: Path, protocol: int) -> None:
    arrays = OrderedDict((name, tensor.numpy()) for name, tensor in WEIGHTS.items())
    content = {'model': arrays, '__author__': 'someone', 'matching_heuristics': True}
    (tmp_path / 'x.pkl').write_bytes(pickle.dumps(content, protocol=protocol))
    assert same(load_file(tmp_path / 'x.pkl'))


def test_pickles_that_name_old_numpy_modules(tmp_path: Path) -> None:
    data = pickle.dumps({'model': {'a': np.ones(2, np.float32)}}, protocol=2)
    data = data.replace(b'numpy._core.multiarray', b'numpy.core.multiarray')
    (tmp_path / 'x.pkl').write_bytes(data)
    assert load_file(tmp_path / 'x.pkl')['a'].tolist() == [1, 1]


@pytest.mark.parametrize('name', ['x.pkl', 'x.pth'])
def test_code_runs_only_when_trusted(tmp_path: Path, name: str, capsys) -> None:
    path = tmp_path / name
    content = {'state_dict': dict(WEIGHTS), 'hook': Payload()}
    if name.endswith('pkl'):
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=f'{name}.*--trust-source'):
        load_file(path)
    assert 'executed' not in capsys.readouterr().out
    assert same(load_file(path, trust_source=True))
    assert 'executed' in capsys.readouterr().out


@pytest.mark.parametrize('name', ['x.pkl', 'x.pth'])
def test_damaged_files_are_named(tmp_path: Path, name: str) -> None:
    torch.save(WEIGHTS, tmp_path / 'whole.pth')
    (tmp_path / name).write_bytes((tmp_path / 'whole.pth').read_bytes()[:300])
    with pytest.raises(ValueError, match=f'{name} is not a readable checkpoint'):
        load_file(tmp_path / name)


def test_files_without_weights(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        load_file(tmp_path / 'nowhere.pth')
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(ValueError, match='holds no state dict, but list'):
        load_file(tmp_path / 'list.pth')
    torch.save({'epoch': 3}, tmp_path / 'numbers.pth')
    with pytest.raises(ValueError, match='epoch are no tensors'):
        load_file(tmp_path / 'numbers.pth')


def run(repo: Path, *words: str) -> subprocess.CompletedProcess:
    tool = repo / 'tools/model_converters/convert.py'
    return subprocess.run([sys.executable, str(tool), *words], cwd=repo, text=True, check=False,
                          capture_output=True, env={**os.environ, 'PYTHONPATH': str(repo)})


def test_command(tmp_path: Path, repo: Path) -> None:
    source = {'conv1.weight': torch.ones(2), 'bn1.running_var': torch.ones(2),
              'layer1.0.conv1.weight': torch.ones(1), 'fc.weight': torch.ones(3)}
    torch.save(source, tmp_path / 'in.pth')
    done = run(repo, str(tmp_path / 'in.pth'), str(tmp_path / 'new' / 'out.pth'))
    assert done.returncode == 0, done.stderr
    for line in ('source: torchvision', '3 tensors converted', '1 supplied',
                 '1 ignored: classifier'):
        assert line in done.stdout
    written = torch.load(tmp_path / 'new' / 'out.pth', weights_only=True)
    assert set(written) == {'state_dict', 'meta'}
    assert 'backbone.layer1.0.conv1.weight' in written['state_dict']
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['out.pth']


def test_command_reports_what_is_wrong(tmp_path: Path, repo: Path) -> None:
    torch.save({'x.y': torch.ones(1)}, tmp_path / 'in.pth')
    done = run(repo, str(tmp_path / 'in.pth'), str(tmp_path / 'out.pth'))
    assert done.returncode == 2
    assert 'no known source has such names: x.y' in done.stderr
    assert not (tmp_path / 'out.pth').exists()
