"""`unimask COMMAND` and `python -m unimask COMMAND`."""

import pickle
import sys
from pathlib import Path

import pytest

import unimask
import unimask.__main__ as command
from unimask.__main__ import COMMANDS, main, run_script
from unimask.version import __version__


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    """The tool that a command line starts, and what it is given."""
    seen = []
    monkeypatch.setattr(command, 'run_script', lambda path: seen.extend(
        [str(path), sys.path[0], *sys.argv]))
    monkeypatch.setattr(sys, 'argv', ['unimask', *words])
    monkeypatch.setattr(sys, 'path', [*sys.path])
    main()
    return seen


@pytest.mark.parametrize('name', COMMANDS)
def test_every_command_is_a_tool(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path, first, *words = run(monkeypatch, name, '--option', 'x')
    assert Path(path).is_file()
    assert Path(path).parent == Path(first)
    assert words == [f'unimask {name}', '--option', 'x']


@pytest.mark.parametrize('words', [('--data', 'x'), ('--out', 'y', '--data=x')])
def test_data_in_place_of_a_config(words: tuple[str, ...],
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, 'train', *words)[0].endswith('train_folder.py')
    assert run(monkeypatch, 'test', *words)[0].endswith('test.py')


@pytest.mark.parametrize(('words', 'usage'), [
    (('train', '--help'), 'usage: unimask train '), (('check', '--help'), 'usage: unimask check ')])
def test_usage_names_the_command(words: tuple[str, ...], usage: str,
                                 monkeypatch: pytest.MonkeyPatch,
                                 capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys, 'argv', ['unimask', *words])
    monkeypatch.setattr(sys, 'path', [*sys.path])
    monkeypatch.setitem(sys.modules, '__main__', sys.modules['__main__'])
    with pytest.raises(SystemExit) as caught:
        main()
    said = capsys.readouterr().out
    assert caught.value.code == 0 and said.startswith(usage)
    if words[0] == 'train':
        assert 'unimask train --data FOLDER --out RUN' in ' '.join(said.split())


def test_a_script_is_the_main_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it can pickle what it defines, which other processes need."""
    monkeypatch.setitem(sys.modules, '__main__', sys.modules['__main__'])
    script = tmp_path / 'script.py'
    script.write_text('import pickle\nclass Own: pass\nif __name__ == "__main__":\n'
                      '    told = pickle.dumps(Own()), __file__, __spec__\n')
    run_script(script)
    data, *rest = sys.modules['__main__'].told
    assert type(pickle.loads(data)).__name__ == 'Own' and rest == [str(script), None]


def test_help_lists_the_commands(monkeypatch: pytest.MonkeyPatch,
                                 capsys: pytest.CaptureFixture) -> None:
    for words in ((), ('--help',)):
        run(monkeypatch, *words)
        said = capsys.readouterr().out
        assert all(f'\n  {name} ' in said for name in COMMANDS)


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    run(monkeypatch, '--version')
    assert capsys.readouterr().out == f'unimask {__version__}\n'


def test_an_unknown_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, 'trian')
    assert caught.value.code == 2
    assert 'Did you mean' in capsys.readouterr().err


def test_ctrl_c_while_a_tool_is_imported(monkeypatch: pytest.MonkeyPatch,
                                         capsys: pytest.CaptureFixture) -> None:
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, 'run_script', interrupted)
    monkeypatch.setattr(sys, 'argv', ['unimask', 'demo'])
    monkeypatch.setattr(sys, 'path', [*sys.path])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 130
    assert capsys.readouterr().err == 'stopped by Ctrl-C\n'


def test_what_the_package_gives() -> None:
    assert unimask.train.__module__ == 'unimask.own_data.training'
    with pytest.raises(AttributeError, match="no attribute 'tarin'"):
        _ = unimask.tarin
