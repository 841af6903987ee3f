"""The one door: every kind of file is read, none runs code, and what is wrong is said."""

import os
import pickle
import random
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from unimask.checkpoints import classes_of, read_checkpoint, read_weights, weights_of
from unimask.errors import UserError

WEIGHTS = {'a.weight': torch.arange(6.).reshape(2, 3), 'a.count': torch.tensor(3)}


class Payload:
    """Something that runs code when it is unpickled."""

    def __reduce__(self) -> tuple:
        return print, ('executed',)


def same(loaded: dict) -> bool:
    return loaded.keys() == WEIGHTS.keys() and all(
        torch.equal(loaded[name], WEIGHTS[name]) for name in WEIGHTS)


def arrays() -> dict:
    return OrderedDict((name, tensor.numpy()) for name, tensor in WEIGHTS.items())


@pytest.mark.parametrize('wrap', [
    lambda x: x, lambda x: {'model': x, 'iteration': 3}, lambda x: {'state_dict': x, 'meta': {}},
    lambda x: {'state_dict': {f'module.{name}': value for name, value in x.items()}},
    lambda x: {'model': {f'module._orig_mod.{name}': value for name, value in x.items()}},
    lambda x: {'params': x}, lambda x: {'state_dict': {'model': x}, 'model': 'resnet18'},
])
def test_torch_files(tmp_path: Path, wrap: Callable) -> None:
    torch.save(wrap(WEIGHTS), tmp_path / 'x.pth')
    assert same(read_weights(tmp_path / 'x.pth'))


@pytest.mark.parametrize('name', ['x.pth', 'x.pt', 'x.bin', 'x.ckpt', 'x.pkl', 'x'])
@pytest.mark.parametrize('write', [
    torch.save, lambda x, path: torch.save(x, path, _use_new_zipfile_serialization=False),
    lambda x, path: Path(path).write_bytes(pickle.dumps({'model': arrays()}))])
def test_the_content_says_what_a_file_is(tmp_path: Path, name: str, write: Callable) -> None:
    write({'model': WEIGHTS}, tmp_path / name)
    assert same(read_weights(tmp_path / name))


def test_a_prefix_that_only_some_names_have_stays() -> None:
    state = {'module.a': torch.ones(1), 'b': torch.ones(1)}
    assert weights_of(state).keys() == state.keys()


@pytest.mark.parametrize('name', ['x.safetensors', 'x.bin'])
def test_safetensors(tmp_path: Path, name: str) -> None:
    save = pytest.importorskip('safetensors.torch').save_file
    save(WEIGHTS, tmp_path / name)
    assert same(read_weights(tmp_path / name))
    (tmp_path / 'x.safetensors').write_bytes(b'broken')
    with pytest.raises(UserError, match='x.safetensors cannot be read'):
        read_checkpoint(tmp_path / 'x.safetensors')


@pytest.mark.parametrize('protocol', [2, 4])
def test_pickles_of_arrays(tmp_path: Path, protocol: int) -> None:
    content = {'model': arrays(), '__author__': 'someone', 'matching_heuristics': True}
    (tmp_path / 'x.pkl').write_bytes(pickle.dumps(content, protocol=protocol))
    assert same(read_weights(tmp_path / 'x.pkl'))


def test_pickles_that_name_old_numpy_modules(tmp_path: Path) -> None:
    data = pickle.dumps({'model': {'a': np.ones(2, np.float32)}}, protocol=2)
    data = data.replace(b'numpy._core.multiarray', b'numpy.core.multiarray')
    (tmp_path / 'x.pkl').write_bytes(data)
    assert read_weights(tmp_path / 'x.pkl')['a'].tolist() == [1, 1]


@pytest.mark.parametrize('write', [torch.save, lambda x, path: path.write_bytes(pickle.dumps(x)),
                                   lambda x, path: path.write_bytes(pickle.dumps(x, protocol=2))])
def test_arrays_of_any_kind_come_back(tmp_path: Path, write: Callable) -> None:
    fortran = np.asfortranarray(np.arange(6, dtype='>i2').reshape(2, 3))
    content = dict(a=fortran, b=[np.float32(0.5), (np.ones(0, bool), 'x')], c=np.array(['ab', 'c']),
                   d=np.array(2.5), e=np.arange(4, dtype=np.complex64)[::2])
    write(content, tmp_path / 'x')
    read = read_checkpoint(tmp_path / 'x')
    for name in 'acde':
        np.testing.assert_array_equal(read[name], content[name], strict=True)
        assert read[name].flags.writeable
    assert read['b'][0] == 0.5 and read['b'][1][0].dtype == bool and read['b'][1][1] == 'x'


@pytest.mark.parametrize('state', [
    (3, '<', None, None, None, 8, 8, 63), (3, '?', None, None, None, -1, -1, 0), 3, ()])
def test_numpy_is_given_no_state_of_the_file(tmp_path: Path, state: object) -> None:
    """A type's flags that say objects where numbers are make NumPy run wild."""
    class Kind:
        def __reduce__(self) -> tuple:
            return np.dtype, ('i8', False, True), state

    for write in (torch.save, lambda x, path: path.write_bytes(pickle.dumps(x))):
        write(dict(a=[np.arange(3), Kind()]), tmp_path / 'x')
        try:
            read = read_checkpoint(tmp_path / 'x')
        except UserError:
            continue
        assert not isinstance(read['a'][1], np.dtype)


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    (tmp_path / 'x.pkl').write_bytes(pickle.dumps(dict(a=np.array([{}, []], object))))
    with pytest.raises(UserError, match="x.pkl holds more than tensors.*array of 'O8'"):
        read_checkpoint(tmp_path / 'x.pkl')


def test_numpy_values_of_other_projects_can_be_read(tmp_path: Path) -> None:
    torch.save(dict(mean=np.ones(3, np.float32), best=np.float64(0.5)), tmp_path / 'a.pth')
    assert read_checkpoint(tmp_path / 'a.pth')['best'] == 0.5


@pytest.mark.parametrize('name', ['x.pkl', 'x.pth'])
@pytest.mark.parametrize('protocol', [None, 2, 4, 5])
def test_code_runs_only_when_trusted(tmp_path: Path, name: str, protocol: int | None,
                                     capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / name
    content = {'state_dict': dict(WEIGHTS), 'hook': Payload()}
    if protocol is None:
        torch.save(content, path)
    else:
        content['state_dict'] = arrays()
        path.write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(UserError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert name in message and 'holds more than tensors' in message and 'print' in message
    assert '--trust-checkpoint' in message and 'weights_only' not in message
    assert 'executed' not in capsys.readouterr().out
    assert same(weights_of(read_checkpoint(path, trust=True)))
    assert 'executed' in capsys.readouterr().out


def test_torchscript_is_refused_without_torchs_advice(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / 'x.pt')
    with pytest.raises(UserError, match='TorchScript program.*--trust-checkpoint') as caught:
        read_checkpoint(tmp_path / 'x.pt')
    assert 'weights_only' not in str(caught.value)


@pytest.mark.parametrize('name', ['x.pkl', 'x.pth', 'x.safetensors'])
@pytest.mark.parametrize('content', [
    b'', b'no checkpoint at all', b'PK\x03\x04 cut short', b'\x80\x04\x95', os.urandom(0) + bytes(
        random.Random(0).randbytes(3000)), b'\x80\x02}q\x00(X\x01\x00\x00\x00a'])
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f'{name} cannot be read'):
        read_checkpoint(tmp_path / name)


def test_a_cut_off_file_and_another_archive_are_named(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / 'whole.pth')
    (tmp_path / 'half.pth').write_bytes((tmp_path / 'whole.pth').read_bytes()[:300])
    with zipfile.ZipFile(tmp_path / 'other.pth', 'w') as archive:
        archive.writestr('a.txt', 'text')
    for name in ('half.pth', 'other.pth'):
        with pytest.raises(UserError, match=f'{name} cannot be read.*damaged'):
            read_checkpoint(tmp_path / name)


def write_torch(content: dict, path: Path) -> None:
    torch.save(content, path)


def write_old(content: dict, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def write_pickle(content: dict, path: Path) -> None:
    path.write_bytes(pickle.dumps(content | {'state_dict': arrays()}, protocol=2))


def write_safetensors(content: dict, path: Path) -> None:
    pytest.importorskip('safetensors.torch').save_file(WEIGHTS, path)


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('write', [write_torch, write_old, write_pickle, write_safetensors])
def test_mutated_files_are_read_or_refused(tmp_path: Path, write: Callable) -> None:
    path = tmp_path / 'x.pth'
    write(dict(state_dict=WEIGHTS, meta=dict(iter=3, classes=['a']), best=np.float32(0.5)), path)
    whole = path.read_bytes()
    chance = random.Random(7)
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(chance.choice([1, 1, 2, 8])):
            content[chance.randrange(len(content))] = chance.randrange(256)
        if chance.random() < 0.2:
            del content[chance.randrange(len(content)):]
        path.write_bytes(content)
        try:
            weights = weights_of(read_checkpoint(path), path=path)
        except UserError as error:
            assert 'weights_only' not in str(error) and 'x.pth' in str(error)
        else:
            assert all(type(value) is torch.Tensor for value in weights.values())


def holding_itself() -> dict:
    state: dict = {}
    state['state_dict'] = state
    return state


@pytest.mark.parametrize(('content', 'message'), [
    ({'state_dict': [1, 2]}, 'holds no weights, but a list'),
    ({'state_dict': None}, 'holds no weights, but a NoneType'),
    ({'state_dict': {}}, 'holds no weights, but nothing'),
    (holding_itself(), 'holds no weights'),
    ({'state_dict': {'a': 3}}, "no plain weights by name: 'a' is none"),
    ({'state_dict': {3: torch.ones(1)}}, 'no plain weights by name: 3 is none'),
    ({'epoch': 3}, "'epoch' is none"),
    ({'a': np.array(['x', 'y'])}, "'a' is none"),
    ({'a': torch.ones(2, device='meta')}, "'a' is none"),
    ({'a': torch.eye(2).to_sparse()}, "'a' is none"),
])
def test_files_without_weights(content: dict, message: str) -> None:
    with pytest.raises(UserError, match=f'somewhere.pth .*{message}'):
        weights_of(content, path='somewhere.pth')


def test_string_arrays_in_a_pickle_are_no_weights(tmp_path: Path) -> None:
    (tmp_path / 'x.pkl').write_bytes(pickle.dumps({'model': {'a': np.array(['x'])}}))
    with pytest.raises(UserError, match="x.pkl .*'a' is none"):
        read_weights(tmp_path / 'x.pkl')


def test_a_list_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(UserError, match='holds a list, not a checkpoint'):
        read_checkpoint(tmp_path / 'list.pth')


def test_classes_of_a_checkpoint() -> None:
    known = dict(classes=('cat', 'dog'), palette=[[0, 0, 0]] * 2)
    assert classes_of(dict(meta=dict(dataset_meta=known))) == known
    for nothing in ({}, dict(meta=3), dict(meta={}), dict(meta=dict(dataset_meta=None)),
                    dict(meta=dict(dataset_meta=dict(classes=None))),
                    dict(meta=dict(dataset_meta=dict(classes=[])))):
        assert classes_of(nothing) is None
    for wrong in ('cat', 3, [3], {'cat': 1}):
        with pytest.raises(UserError, match='a.pth: meta.dataset_meta.classes is no list'):
            classes_of(dict(meta=dict(dataset_meta=dict(classes=wrong))), path='a.pth')


def run(repo: Path, *words: str) -> subprocess.CompletedProcess:
    tool = repo / 'tools/model_converters/convert.py'
    return subprocess.run([sys.executable, str(tool), *words], cwd=repo, text=True, check=False,
                          capture_output=True, env={**os.environ, 'PYTHONPATH': str(repo)})


@pytest.mark.slow
def test_command(tmp_path: Path, repo: Path) -> None:
    source = {'conv1.weight': torch.ones(2), 'bn1.running_var': torch.ones(2),
              'layer1.0.conv1.weight': torch.ones(1), 'fc.weight': torch.ones(3)}
    torch.save(source, tmp_path / 'in.pth')
    done = run(repo, str(tmp_path / 'in.pth'), str(tmp_path / 'new' / 'out.pth'))
    assert done.returncode == 0, done.stderr
    for line in ('source: torchvision', '3 tensors converted', '1 supplied',
                 '1 ignored: classifier'):
        assert line in done.stdout
    out = tmp_path / 'new' / 'out.pth'
    written = torch.load(out, weights_only=True)
    assert set(written) == {'state_dict', 'meta'}
    assert 'backbone.layer1.0.conv1.weight' in written['state_dict']
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['out.pth']
    assert out.stat().st_mode == (tmp_path / 'in.pth').stat().st_mode  # colleagues can read it


@pytest.mark.slow
def test_command_reports_what_is_wrong(tmp_path: Path, repo: Path) -> None:
    torch.save({'x.y': torch.ones(1)}, tmp_path / 'in.pth')
    done = run(repo, str(tmp_path / 'in.pth'), str(tmp_path / 'out.pth'))
    assert done.returncode == 2
    assert 'no known source has such names: x.y' in done.stderr
    assert not (tmp_path / 'out.pth').exists()
