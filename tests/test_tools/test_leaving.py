"""Ways out of a tool: statuses, messages, and the one exit."""

import errno
import os
import runpy
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.test_tools.conftest import ROOT
from unimask.cli import ConfigOptions, run_tool
from unimask.errors import Interrupted, UserError

LAUNCHED = dict(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1',
                MASTER_PORT='0')


def run(code: str, *, env: dict | None = None, **options: object) -> subprocess.CompletedProcess:
    """A tool made of a few lines, in a process of its own."""
    text = 'from unimask.cli import leave, run_tool\n' + textwrap.dedent(code)
    return subprocess.run([sys.executable, '-c', text], text=True, cwd=ROOT, capture_output=True,
                          env={**os.environ, 'PYTHONPATH': str(ROOT), **(env or {})},
                          timeout=120, **options)


def raising(error: BaseException) -> Callable[[], None]:
    """A tool that meets an error."""
    def main() -> None:
        raise error
    return main


@pytest.mark.parametrize(('error', 'status', 'said'), [
    (UserError('mend it'), 2, 'error: mend it'),
    (OSError(errno.ENOSPC, 'No space left on device'), 2, 'the disk is full'),
    (torch.OutOfMemoryError('CUDA out of memory'), 2, 'the GPU has too little memory'),
    (ZeroDivisionError('a defect'), 1, 'ZeroDivisionError: a defect'),
    (KeyboardInterrupt(), 130, 'stopped by Ctrl-C'),
    (Interrupted(signum=signal.SIGINT, checkpoint='iter_3.pth'), 130, 'iter_3.pth. Go on with:'),
    (Interrupted(signum=signal.SIGTERM, checkpoint='iter_3.pth'), 0, 'iter_3.pth. Go on with:'),
    (SystemExit(2), 2, ''), (SystemExit('words'), 1, 'words'), (SystemExit(), 0, '')])
def test_statuses(error: BaseException, status: int, said: str,
                  capsys: pytest.CaptureFixture) -> None:
    assert run_tool(raising(error)) == status
    err = capsys.readouterr().err
    assert said in err
    assert ('Traceback' in err) == (status == 1 and not isinstance(error, SystemExit))


def test_one_of_several_processes_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch,
                                                    capsys: pytest.CaptureFixture) -> None:
    for rank, said in (('0', 'start it again with --resume'), ('1', '')):
        monkeypatch.setenv('RANK', rank)
        assert run_tool(raising(Interrupted(signum=signal.SIGTERM, checkpoint='iter_3.pth'))) == 0
        err = capsys.readouterr().err
        assert said in err and bool(err) == bool(said)


@pytest.mark.parametrize(('outer', 'inner', 'status'), [
    (RuntimeError('wrapped'), UserError('mend it'), 2),
    (RuntimeError('unexpected pos'), OSError(errno.ENOSPC, 'full'), 2),
    (SyntaxError('no format'), KeyboardInterrupt(), 130)])
def test_what_a_library_wrapped_is_found(outer: Exception, inner: BaseException,
                                         status: int) -> None:
    def main() -> None:
        try:
            raise inner
        except BaseException:
            raise outer  # noqa: B904
    assert run_tool(main) == status


def test_users_errors_are_known_by_their_class_alone(tmp_path: Path) -> None:
    """Not by the place of the code that raised them, nor by how its line reads."""
    module = tmp_path / 'unimask' / 'place.py'
    module.parent.mkdir()
    module.write_text('def meet(error):\n    raise error\n')
    meet = runpy.run_path(str(module))['meet']
    for error, status in ((ValueError('a defect'), 1), (OSError('a defect'), 1),
                          (UserError('mend it'), 2)):
        assert run_tool(lambda error=error: meet(error)) == status


def test_every_way_out_of_a_launched_process_is_the_same() -> None:
    """Nothing of the interpreter runs after it, not even what was registered for its exit."""
    done = run("""
        import atexit, os, sys, time
        import torch.distributed as dist
        import unimask.cli
        from unimask.errors import UserError

        def hang():  # the other processes are gone
            unimask.cli._PATIENCE = 0.1
            dist.destroy_process_group = lambda: time.sleep(1000)

        def refuse():
            raise UserError('mend it')

        endings = dict(done=lambda: None, defect=lambda: 1 / 0, user=refuse, hang=hang,
                       stopped=lambda: os.kill(os.getpid(), 2), exit=lambda: sys.exit(3))
        for name, ending in endings.items():
            child = os.fork()
            if child == 0:
                dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)
                atexit.register(print, 'the interpreter ended')
                print(name, end=' ')
                leave(run_tool(ending))
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    """)
    assert done.stdout.split('\n')[:-1] == [
        'done 0', 'defect 1', 'user 2', 'hang 0', 'stopped 130', 'exit 3'], done.stderr
    assert 'ZeroDivisionError' in done.stderr and 'error: mend it' in done.stderr


def test_a_single_process_leaves_as_usual() -> None:
    done = run("""
        import atexit
        atexit.register(print, 'the interpreter ended')
        leave(run_tool(lambda: 5))
    """)
    assert (done.returncode, done.stdout) == (5, 'the interpreter ended\n')


def test_workers_end_with_the_tool(tmp_path: Path) -> None:
    done = run(f"""
        import multiprocessing, pathlib, time
        def work():
            time.sleep(60)
        def main():
            children = [multiprocessing.get_context('fork').Process(target=work) for _ in '12']
            for child in children:
                child.start()
            pids = ' '.join(str(child.pid) for child in children)
            pathlib.Path({str(tmp_path / "pids")!r}).write_text(pids)
            raise ValueError('a defect')
        leave(run_tool(main))
    """, env=LAUNCHED)
    assert done.returncode == 1
    for pid in (tmp_path / 'pids').read_text().split():
        assert not Path(f'/proc/{pid}').exists()


@pytest.mark.skipif(sys.platform != 'linux', reason='closes a pipe as a shell does')
def test_a_reader_that_is_gone_changes_nothing() -> None:
    read, write = os.pipe()
    os.close(read)
    code = """
        def main():
            from unimask.errors import Interrupted
            print('progress')
            raise Interrupted(signum=2, checkpoint='iter_3.pth')
        leave(run_tool(main))
    """
    text = 'from unimask.cli import leave, run_tool\n' + textwrap.dedent(code)
    done = subprocess.run([sys.executable, '-c', text], cwd=ROOT, stdout=write, stderr=write,
                          env={**os.environ, 'PYTHONPATH': str(ROOT), 'PYTHONUNBUFFERED': ''},
                          timeout=120)
    os.close(write)
    assert done.returncode == 130


def test_tools_say_something_while_the_libraries_are_imported() -> None:
    """What a tool imports before it listens is small: no library, and nothing to wait for."""
    for name in ('train.py', 'test.py', 'misc/predict.py', 'model_converters/convert.py'):
        done = run(f"""
            import runpy, sys
            sys.modules['torch'] = sys.modules['mmengine'] = None  # cannot be imported
            sys.argv = ['tool', '--help']
            runpy.run_path({str(ROOT / "tools" / name)!r}, run_name='__main__')
        """)
        assert done.returncode == 0 and 'usage:' in done.stdout, done.stderr


def options(capsys: pytest.CaptureFixture, *pairs: str) -> dict | str:
    """What ``--cfg-options`` makes of pairs; its message where it refuses them."""
    import argparse
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, default={})
    try:
        return parser.parse_args(['--cfg-options', *pairs]).cfg_options
    except SystemExit as ending:
        assert ending.code == 2
        return capsys.readouterr().err


def test_config_options(capsys: pytest.CaptureFixture) -> None:
    read = options(capsys, "custom_hooks=[dict(type='EMAHook', momentum=0.01)]",
                   'a.b={"c": (1, -2)}', 'd=[1,x]', 'e=1e-3', 'f=path=x', 'g=None')
    assert read == {'custom_hooks': [dict(type='EMAHook', momentum=0.01)],
                    'a.b': dict(c=(1, -2)), 'd': [1, 'x'], 'e': 1e-3, 'f': 'path=x', 'g': None}
    for wrong in ('a', '=1', 'a=[dict(type=EMAHook)]', 'a=dict(b=open("x"))', 'a=[1,(2]'):
        assert '--cfg-options' in options(capsys, wrong), wrong


@pytest.mark.parametrize(('words', 'again'), [
    (['unimask train', '--data', 'my data', '--out', 'run'],
     "unimask train --data 'my data' --out run --resume"),
    (['tools/train.py', 'c.py', '--resume', 'run/iter_3.pth', '--seed', '1'],
     'python tools/train.py c.py --seed 1 --resume')])
def test_what_to_type_after_an_interrupt(words: list[str], again: str,
                                         monkeypatch: pytest.MonkeyPatch,
                                         capsys: pytest.CaptureFixture) -> None:
    def stopped() -> None:
        raise Interrupted(signum=signal.SIGINT, checkpoint='run/iter_7.pth')

    monkeypatch.setattr(sys, 'argv', words)
    assert run_tool(stopped) == 130
    said = capsys.readouterr().err
    assert 'Everything so far is in run/iter_7.pth' in said and said.endswith(f'\n  {again}\n')
