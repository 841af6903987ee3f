"""tools/misc/setup_env_{header,mmcv,wheel}.py: how the set-up compiles mmcv."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import setup_env
import setup_env_header as header
import setup_env_mmcv as builder
import setup_env_process as process
import setup_env_wheel as wheels

LINE = ('[1/1] c++ -MMD -MF /b/probe.o.d -g0 -fPIC -I"/t/in clude" -c -c /b/probe.cpp '
        '-o /b/probe.o -std=c++17 -DTORCH_EXTENSION_NAME=_ext')
PIP = """
import pathlib, sys
folder = pathlib.Path(sys.argv[sys.argv.index('--into') + 1])
print('[78/78] c++ a.cpp')
print('note: that took long')
{}
"""


class TestFlags:

    def test_compile_line_of_the_probe(self) -> None:
        words = header.compile_line(f'running build_ext\n{LINE}\nc++ -shared /b/probe.o -o x.so')
        assert words[0] == 'c++'
        assert '-I/t/in clude' in words

    def test_no_compile_line(self) -> None:
        with pytest.raises(header.Unusable, match='does not show how it compiles'):
            header.compile_line('running build_ext\nc++ -c other.cpp\n')

    def test_header_is_made_with_the_flags_of_the_line(self) -> None:
        command = header.header_command(header.compile_line(LINE), Path('/b/x.h'))
        assert command == ['c++', '-g0', '-fPIC', '-I/t/in clude', '-std=c++17',
                           '-DTORCH_EXTENSION_NAME=_ext', '-x', 'c++-header', '/b/x.h', '-o',
                           '/b/x.h.gch']

    @pytest.mark.parametrize(('output', 'used'), [
        ('! /b/x.h.gch\n. /usr/include/c++/vector\n', True),
        ('[1/1] c++ -c a.cpp\n! /b/x.h.gch\n', True),
        ('x /b/x.h.gch\n. /b/x.h\n', False),
        ('x /b/x.h.gch\n! /b/x.h.gch\n', False),
        ('. /b/x.h\n', False),
        ('! /b/other.h.gch\n', False),
    ])
    def test_marks_of_gcc(self, output: str, used: bool) -> None:
        assert header.is_used(output, Path('/b/x.h')) is used

    def test_flags_of_the_user_come_last(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv('CFLAGS', '-march=native')
        assert header.environment(['-g0', '-include', 'a b'])['CFLAGS'] == (
            "-g0 -include 'a b' -march=native")
        monkeypatch.delenv('CFLAGS')
        assert header.environment(['-g0'])['CFLAGS'] == '-g0'

    def test_the_doctor_compiles_with_the_same_flags(self) -> None:
        import doctor
        assert f'CFLAGS="{" ".join(header.FLAGS)}"' in doctor.rebuild_mmcv()


class TestPrecompile:

    @pytest.fixture(autouse=True)
    def gcc_on_linux(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(header.sys, 'platform', 'linux')
        monkeypatch.setattr(header, 'is_gcc', lambda command: True)

    @staticmethod
    def fake(monkeypatch: pytest.MonkeyPatch, mark: str) -> list[Sequence[str]]:
        """Replace the compiler; its ``-H`` prints ``mark``."""
        called = []

        def probe(folder: Path, flags: Sequence[str]) -> str:
            return f'{LINE}\n{mark} {folder}/unimask_precompiled.h.gch\n'
        monkeypatch.setattr(header, 'probe', probe)
        monkeypatch.setattr(header, 'call', lambda command, *, folder: called.append(command))
        return called

    def test_used(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        called = self.fake(monkeypatch, '!')
        flags = header.precompile(tmp_path)
        assert flags[:len(header.FLAGS)] == header.FLAGS
        assert flags[-2:] == ('-include', str(tmp_path / 'unimask_precompiled.h'))
        assert called[0][-1] == f'{flags[-1]}.gch'
        assert Path(flags[-1]).read_text() == '#include <torch/types.h>\n'

    def test_ignored(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fake(monkeypatch, 'x')
        with pytest.raises(header.Unusable, match='ignores the header'):
            header.precompile(tmp_path)

    @pytest.mark.parametrize(('platform', 'gcc'), [('darwin', True), ('linux', False)])
    def test_elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str,
                       gcc: bool) -> None:
        monkeypatch.setattr(header.sys, 'platform', platform)
        monkeypatch.setattr(header, 'is_gcc', lambda command: gcc)
        with pytest.raises(header.Unusable, match='gcc on Linux alone'):
            header.precompile(tmp_path)


def test_failing_command_is_no_header(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    command = [sys.executable, '-c', 'print("why"); raise SystemExit(4)']
    with pytest.raises(header.Unusable, match='ended with status 4'):
        header.call(command, folder=tmp_path)
    assert 'why' in capsys.readouterr().out
    with pytest.raises(header.Unusable, match='does not start'):
        header.call([str(tmp_path / 'missing')], folder=tmp_path)


@pytest.mark.parametrize(('macros', 'gcc'), [
    ('#define __GNUC__ 12', True),
    ('#define __GNUC__ 4\n#define __clang__ 1', False),
    ('', False),
])
def test_compilers(tmp_path: Path, macros: str, gcc: bool) -> None:
    path = tmp_path / 'cxx'
    path.write_text(f'#!/bin/sh\ncat <<END\n{macros}\nEND\n')
    path.chmod(0o755)
    assert header.is_gcc([str(path)]) is gcc
    assert not header.is_gcc([str(tmp_path / 'missing')])


def test_a_real_compiler_takes_or_refuses(tmp_path: Path) -> None:
    """The machine's gcc, with a small header in place of torch's."""
    if not shutil.which('g++') or not header.is_gcc(['g++']):
        pytest.skip('there is no gcc')
    (tmp_path / 'probe.cpp').write_text('int probe;\n')
    small = tmp_path / 'small.h'
    small.write_text('#include <cstddef>\n')
    line = shlex.split(f'g++ -g0 -O2 -std=c++17 -c {tmp_path}/probe.cpp -o {tmp_path}/probe.o')
    header.call(header.header_command(line, small), folder=tmp_path)
    same = header.call([*line, '-include', str(small), '-H'], folder=tmp_path)
    other = header.call([*line, '-std=c++14', '-include', str(small), '-H', '-Winvalid-pch'],
                        folder=tmp_path)
    assert header.is_used(same, small)
    assert not header.is_used(other, small)
    assert '[-Winvalid-pch]' in other


class TestBuilder:

    @pytest.fixture
    def built(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Sequence[str], Sequence[str]]]:
        """Commands and flags of the builds, none of which runs."""
        done = []
        monkeypatch.setattr(builder, 'build', lambda *what: done.append(what) or 0)
        monkeypatch.setattr(builder, 'is_kept', lambda requirement: False)
        monkeypatch.setattr(builder, 'for_gpu', lambda: False)
        monkeypatch.setattr(builder, 'precompile', lambda folder: ('-quick',))
        return done

    @pytest.mark.parametrize(('options', 'kept', 'quick', 'fresh'), [
        ((), False, True, False),
        ((), True, False, False),
        (('--fresh',), True, True, True),
        (('--fresh', '--plain'), False, False, True),
    ])
    def test_when_there_is_a_header(self, tmp_path: Path, built: list, options: tuple, kept: bool,
                                    quick: bool, fresh: bool,
                                    monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(builder, 'is_kept', lambda requirement: kept)
        builder.main(['onedl-mmcv>=2', '--into', str(tmp_path), *options])
        (command, flags), = built
        assert flags == (('-quick',) if quick else header.FLAGS)
        assert ('--no-cache-dir' in command) is fresh
        assert {'onedl-mmcv>=2', '--no-build-isolation', '--no-deps'} <= set(command)

    def test_falls_back_with_a_note(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                    built: list, capsys: pytest.CaptureFixture) -> None:
        def refuse(folder: Path) -> None:
            raise header.Unusable('for a test')
        monkeypatch.setattr(builder, 'precompile', refuse)
        builder.main(['onedl-mmcv', '--into', str(tmp_path)])
        assert built[0][1] == header.FLAGS
        assert capsys.readouterr().out.startswith('note: without a precompiled header')

    def test_no_header_for_a_gpu(self, tmp_path: Path, built: list,
                                 monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(builder, 'for_gpu', lambda: True)
        builder.main(['onedl-mmcv', '--into', str(tmp_path)])
        assert built[0][1] == header.FLAGS

    def test_forced_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv('FORCE_CUDA', '1')
        assert builder.for_gpu()

    def test_refused_headers_are_counted(self, capsys: pytest.CaptureFixture) -> None:
        code = 'print("warning: x.gch: not used [-Winvalid-pch]\\n" * 2); raise SystemExit(3)'
        assert builder.build([sys.executable, '-c', code], ['-g0']) == 3
        assert 'note: 2 files were compiled without' in capsys.readouterr().out

    @pytest.mark.parametrize(('listed', 'kept'), [
        ('/c/onedl_mmcv-2.3.6-py3-none-any.whl\n', True),
        ('/c/onedl_mmcv-2.4.0-py3-none-any.whl\n', False),
        ('/c/onedl_mmcv-2.3.6-cp27-cp27m-win32.whl\n', False),
        ('No locally built wheels cached.\n', False),
    ])
    def test_wheels_that_pip_keeps(self, listed: str, kept: bool,
                                   monkeypatch: pytest.MonkeyPatch) -> None:
        done = subprocess.CompletedProcess((), 0, stdout=listed)
        monkeypatch.setattr(builder.subprocess, 'run', lambda *arguments, **options: done)
        assert builder.is_kept('onedl-mmcv>=2.3.6,<2.4') is kept
        done.returncode = 1
        assert not builder.is_kept('onedl-mmcv>=2.3.6,<2.4')


@pytest.fixture
def wheel(tmp_path: Path) -> wheels.Wheel:
    """A build whose Python is the running one."""
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin' / 'python').symlink_to(sys.executable)
    return wheels.Wheel(tmp_path, requirement='onedl-mmcv', env={})


def replace_builder(wheel: wheels.Wheel, code: str) -> None:
    """Let a script with this code at its end stand for the build."""
    script = wheel.log.with_name('builder.py')
    script.write_text(PIP.format(code))
    wheel.command[1] = str(script)


class TestWheel:

    def test_is_found_and_the_note_shown(self, wheel: wheels.Wheel,
                                         capsys: pytest.CaptureFixture) -> None:
        replace_builder(wheel, '(folder / "a.whl").touch()')
        wheel.start()
        assert wheel.finish() == wheel.folder / 'a.whl'
        assert capsys.readouterr().out == '    note: that took long\n'
        wheel.discard()
        assert not wheel.folder.exists()
        assert '[78/78]' in wheel.log.read_text()

    def test_none_was_made(self, wheel: wheels.Wheel) -> None:
        replace_builder(wheel, '')
        wheel.start()
        with pytest.raises(process.CommandFailed) as caught:
            wheel.finish()
        assert caught.value.tail.endswith('0 wheels were made')

    def test_discarding_ends_the_build(self, wheel: wheels.Wheel) -> None:
        replace_builder(wheel, 'import time; time.sleep(60)')
        wheel.start()
        child = wheel.job.process
        begun = time.monotonic()
        wheel.discard()
        assert child.returncode is not None
        assert time.monotonic() - begun < 5

    def test_gpu_is_hidden_from_the_build_without_nvcc(self, tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv('CUDA_HOME', raising=False)
        monkeypatch.setattr(wheels.shutil, 'which', lambda name: None)
        env = wheels.build_environment(tmp_path)
        assert env['CUDA_VISIBLE_DEVICES'] == ''
        assert env['PATH'].split(os.pathsep)[0] == str(tmp_path / 'bin')
        monkeypatch.setattr(wheels.shutil, 'which', lambda name: '/usr/bin/nvcc')
        assert 'CUDA_VISIBLE_DEVICES' not in wheels.build_environment(tmp_path)


class TestSetup:
    """The part of setup_env.py that has to do with the wheel."""

    @pytest.fixture
    def setup(self, tmp_path: Path, repo: Path,
              monkeypatch: pytest.MonkeyPatch) -> setup_env.Setup:
        setup = setup_env.Setup(tmp_path)
        setup.venv.mkdir()
        monkeypatch.setattr(setup_env, 'openmmlab', lambda root: ['onedl-mmcv>=2', 'other'])
        return setup

    @pytest.fixture
    def installed(self, setup: setup_env.Setup, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """What was installed last in each call of pip."""
        done = []
        monkeypatch.setattr(setup, 'pip', lambda step, arguments: done.append(arguments[-1]))
        return done

    def prepare(self, setup: setup_env.Setup, *codes: str) -> wheels.Wheel:
        """A wheel whose n-th build runs the n-th code."""
        (setup.venv / 'bin').mkdir(exist_ok=True)
        (setup.venv / 'bin' / 'python').symlink_to(sys.executable)
        wheel = wheels.Wheel(setup.venv, requirement='onedl-mmcv', env={})
        start, rest = wheel.start, list(codes)

        def begin(*options: str) -> None:
            replace_builder(wheel, rest.pop(0))
            start(*options)
        wheel.start = begin
        return wheel

    def test_nothing_to_do(self, setup: setup_env.Setup, installed: list[str]) -> None:
        setup.do_mmcv(setup_env.steps(siblings=()).mmcv, self.prepare(setup))
        assert installed == []

    @pytest.mark.parametrize(('codes', 'answers', 'names'), [
        (['(folder / "a.whl").touch()'], [''], ['a.whl']),
        (['(folder / "a.whl").touch()', '(folder / "b.whl").touch()'], ['other torch', ''],
         ['a.whl', 'b.whl']),
        (['raise SystemExit("odd")', '(folder / "b.whl").touch()'], [''], ['b.whl']),
    ])
    def test_until_it_runs(self, setup: setup_env.Setup, installed: list[str], codes: list[str],
                           answers: list[str], names: list[str],
                           monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(setup, 'diagnosis', lambda step: answers.pop(0))
        wheel = self.prepare(setup, *codes)
        wheel.start()
        setup.do_mmcv(setup_env.steps(siblings=()).mmcv, wheel)
        assert [Path(path).name for path in installed] == names

    @pytest.mark.parametrize(('codes', 'words'), [
        (['raise SystemExit("odd")'] * 2, 'mmcv.log'),
        (['raise SystemExit("Errno 28")'], 'Free some space'),
    ])
    def test_cannot_be_built(self, setup: setup_env.Setup, codes: list[str], words: str) -> None:
        wheel = self.prepare(setup, *codes)
        wheel.start()
        with pytest.raises(setup_env.SetupError, match='step "mmcv with compiled ops"') as caught:
            setup.do_mmcv(setup_env.steps(siblings=()).mmcv, wheel)
        assert words in str(caught.value)

    def test_interrupt_ends_the_compilation(self, setup: setup_env.Setup,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
        wheel = self.prepare(setup, 'import time; time.sleep(60)')
        monkeypatch.setattr(setup_env, 'Wheel', lambda *arguments, **options: wheel)
        monkeypatch.setattr(setup, 'lacks_mmcv', lambda step: True)
        with pytest.raises(KeyboardInterrupt), setup.compiling(setup_env.Step('x')):
            child = wheel.job.process
            raise KeyboardInterrupt
        assert child.returncode is not None
        assert not wheel.folder.exists()

    @pytest.mark.parametrize(('status', 'diagnosis', 'lacks'), [
        (1, '', True), (0, 'broken', True), (0, '', False)])
    def test_when_it_is_compiled(self, setup: setup_env.Setup, status: int, diagnosis: str,
                                 lacks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        def answer(command: Sequence[str], **options: object) -> None:
            if status:
                raise process.CommandFailed(command, status, '')
        monkeypatch.setattr(setup_env, 'run', answer)
        monkeypatch.setattr(setup, 'diagnosis', lambda step: diagnosis)
        assert setup.lacks_mmcv(setup_env.Step('x')) is lacks
