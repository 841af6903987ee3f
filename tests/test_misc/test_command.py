"""`unimask COMMAND` and `python -m unimask COMMAND`."""

import runpy
import sys
from pathlib import Path

import pytest

import unimask
from unimask.__main__ import COMMANDS, main
from unimask.version import __version__


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    """The tool that a command line starts, and what it is given."""
    seen = []
    monkeypatch.setattr(runpy, 'run_path', lambda path, run_name: seen.extend(
        [path, run_name, sys.path[0], *sys.argv]))
    monkeypatch.setattr(sys, 'argv', ['unimask', *words])
    monkeypatch.setattr(sys, 'path', [*sys.path])
    main()
    return seen


@pytest.mark.parametrize('name', COMMANDS)
def test_every_command_is_a_tool(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path, run_name, first, *words = run(monkeypatch, name, '--option', 'x')
    assert Path(path).is_file()
    assert Path(path).parent == Path(first)
    assert run_name == '__main__'
    assert words == [f'unimask {name}', '--option', 'x']


@pytest.mark.parametrize('words', [('--data', 'x'), ('--out', 'y', '--data=x')])
def test_data_in_place_of_a_config(words: tuple[str, ...],
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, 'train', *words)[0].endswith('train_folder.py')
    assert run(monkeypatch, 'test', *words)[0].endswith('test.py')


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
    def interrupted(path: str, run_name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runpy, 'run_path', interrupted)
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
