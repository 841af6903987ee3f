"""tools/misc/setup_env.py: choice of Python, stamp, order of the steps, texts of failures."""

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import setup_env
import setup_env_process as process
import setup_env_python as choice
import setup_env_wheel as wheels

GOOD = {'version': [3, 11, 4], 'bits': 64, 'ensurepip': True, 'headers': True}


def fake_python(folder: Path, name: str, **facts: object) -> str:
    """A command that answers the probe like a Python with these facts."""
    text = str({**GOOD, **facts}).replace("'", '"').replace('True', 'true').replace(
        'False', 'false')
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{text}'\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def checkout(tmp_path: Path, repo: Path) -> setup_env.Setup:
    """A checkout with requirement files and an empty environment."""
    for name in setup_env.STAMPED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((repo / name).read_bytes())
    setup = setup_env.Setup(tmp_path)
    setup.venv.mkdir()
    return setup


class TestChoice:

    def test_first_usable_one_wins(self, tmp_path: Path) -> None:
        paths = [
            str(tmp_path / 'missing'),
            fake_python(tmp_path, 'old', version=[3, 9, 2]),
            fake_python(tmp_path, 'bare', ensurepip=False),
            fake_python(tmp_path, 'good'),
            fake_python(tmp_path, 'better', version=[3, 12, 1]),
        ]
        assert choice.choose(paths).path == paths[3]

    def test_none_usable_says_why_for_each(self, tmp_path: Path) -> None:
        paths = [
            fake_python(tmp_path, 'new', version=[3, 14, 0]),
            fake_python(tmp_path, 'bare', version=[3, 10, 1], ensurepip=False, headers=False),
            fake_python(tmp_path, 'small', bits=32),
        ]
        with pytest.raises(choice.SetupError) as caught:
            choice.choose(paths)
        text = str(caught.value)
        assert 'version 3.14 is not supported (3.10, 3.11, 3.12 are)' in text
        assert 'apt-get install python3.10-venv' in text
        assert 'apt-get install python3.10-dev' in text
        assert '32-bit' in text

    def test_the_running_python(self) -> None:
        python = choice.examine(sys.executable)
        assert python.version == sys.version_info[:3]
        assert sys._base_executable in choice.candidates()


class TestProcess:

    def test_output_goes_to_the_log_and_comes_back(self, tmp_path: Path) -> None:
        log = tmp_path / 'log'
        process.run([sys.executable, '-c', 'print("one")'], log=log, title='x')
        output = process.run([sys.executable, '-c', 'print("two")'], log=log, title='x')
        assert output.strip() == 'two'
        assert 'one' in log.read_text()

    def test_failure_carries_status_and_tail(self, tmp_path: Path) -> None:
        code = 'print("\\n".join(map(str, range(99)))); raise SystemExit(3)'
        with pytest.raises(process.CommandFailed) as caught:
            process.run([sys.executable, '-c', code], log=tmp_path / 'log', title='x')
        assert caught.value.status == 3
        assert caught.value.tail.splitlines() == [str(n) for n in range(84, 99)]

    def test_heartbeat_tells_time_and_progress(self, tmp_path: Path,
                                               capsys: pytest.CaptureFixture) -> None:
        code = 'import time; print("[7/120] c++ a.cpp", flush=True); time.sleep(0.9)'
        process.run([sys.executable, '-c', code], log=tmp_path / 'log', title='mmcv', beat=0.4)
        assert '... mmcv: ' in capsys.readouterr().out
        assert process.progress('x\n  [7/120] c++ a\n  [8/120] c++ b\n') == ', 8 of 120 files'

    def test_environment_of_the_caller_does_not_leak(self, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv('PYTHONPATH', 'elsewhere')
        code = 'import os; print(os.environ.get("PYTHONPATH"), os.environ["MAX_JOBS"])'
        output = process.run([sys.executable, '-c', code], log=tmp_path / 'log', title='x',
                             extra_env={'MAX_JOBS': '3'})
        assert output.strip() == 'None 3'

    @pytest.mark.parametrize(('output', 'word'), [
        ('OSError: [Errno 28] No space left on device', 'disk is full'),
        ('Failed to establish: Temporary failure in name resolution', 'network'),
        ('x.h:1: fatal error: Python.h: No such file or directory', 'python3-dev'),
        ("error: command 'g++' failed: No such file or directory", 'build-essential'),
        ('#error You need C++20 to compile PyTorch', 'below 2.13'),
        ("ModuleNotFoundError: No module named 'pkg_resources'", 'setuptools is too new'),
        ('g++: fatal error: Killed signal terminated program cc1plus', 'MAX_JOBS=1'),
        ('ERROR: No matching distribution found for torch', 'index cannot be reached'),
    ])
    def test_known_failures(self, output: str, word: str) -> None:
        assert word in process.diagnose(f'begin\n{output}\nend')

    def test_unknown_failure(self) -> None:
        assert process.diagnose('something else') is None


class TestStamp:

    def test_not_ready_without_a_stamp(self, checkout: setup_env.Setup) -> None:
        assert not checkout.ready()

    def test_damaged_stamp(self, checkout: setup_env.Setup) -> None:
        checkout.stamp.write_text('{')
        assert not checkout.ready()

    @pytest.mark.parametrize('change', ['requirements', 'installed'])
    def test_ready_until_something_changes(self, checkout: setup_env.Setup, change: str) -> None:
        checkout.stamp.write_text(setup_env.json.dumps(checkout.state()))
        assert checkout.ready()
        if change == 'requirements':
            (checkout.root / 'requirements' / 'torch.txt').write_text('torch==2.12.1\n')
        else:
            site = checkout.venv / 'lib' / 'python3.11' / 'site-packages'
            (site / 'torch-2.14.0.dist-info').mkdir(parents=True)
        assert not checkout.ready()

    def test_second_run_is_quick_and_silent(self, repo: Path) -> None:
        if not setup_env.Setup(repo).ready():
            pytest.skip('this environment was not made by setup_env.py')
        begun = time.monotonic()
        done = subprocess.run([sys.executable, repo / 'tools' / 'misc' / 'setup_env.py'],
                              capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
        assert time.monotonic() - begun < 10


class TestSteps:

    def test_siblings_of_mmcv_do_not_wait_for_it(self, repo: Path) -> None:
        lines = setup_env.openmmlab(repo)
        mmcv = setup_env.requirement(repo, 'onedl-mmcv')
        assert mmcv.startswith('onedl-mmcv>=') and mmcv in lines
        todo = setup_env.steps(siblings=['onedl-mmengine>=1'])
        assert todo.libraries.install[-1] == 'onedl-mmengine>=1'
        assert 'requirements/mminstall.txt' not in todo.libraries.install
        assert '--no-build-isolation' in todo.libraries.install

    def test_torch_and_build_tools_come_in_one_go(self) -> None:
        todo = setup_env.steps(siblings=())
        assert {'requirements/torch.txt', 'requirements/build.txt'} <= set(todo.torch.install)
        assert '--no-deps' in todo.torch.repair

    def test_checks_are_those_of_the_doctor(self) -> None:
        import doctor
        todo = setup_env.steps(siblings=())
        named = {name for step in vars(todo).values() for name in step.checks}
        assert named <= set(doctor.CHECKS)

    @pytest.mark.parametrize(('answers', 'commands'), [
        ([''], ['a']), (['broken', ''], ['a', 'b'])])
    def test_repairs_only_what_fails(self, checkout: setup_env.Setup, answers: list[str],
                                     commands: list[str],
                                     monkeypatch: pytest.MonkeyPatch) -> None:
        done = []
        step = setup_env.Step('x', ('a',), ('torch',), ('b',))
        monkeypatch.setattr(checkout, 'pip', lambda step, arguments: done.extend(arguments))
        monkeypatch.setattr(checkout, 'diagnosis', lambda step: answers.pop(0))
        checkout.do(step)
        assert done == commands

    def test_pip_finds_the_ninja_of_the_environment(self, checkout: setup_env.Setup,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
        seen = {}
        monkeypatch.setattr(checkout, 'command', lambda command, *, title, env: seen.update(env))
        checkout.pip(setup_env.Step('x'), ('a',))
        assert seen['PATH'].split(os.pathsep)[0] == str(checkout.venv / 'bin')
        assert seen['MMCV_WITH_OPS'] == '1'

    def test_check_that_stays_broken(self, checkout: setup_env.Setup,
                                     monkeypatch: pytest.MonkeyPatch) -> None:
        step = setup_env.Step('build tools', ('a',), ('torch',), ('b',))
        monkeypatch.setattr(checkout, 'pip', lambda step, arguments: None)
        monkeypatch.setattr(checkout, 'diagnosis', lambda step: 'FAIL  torch  too old')
        with pytest.raises(choice.SetupError, match='step "build tools" failed.\n  FAIL  torch'):
            checkout.do(step)

    def test_failing_command_names_step_reason_and_remedy(self, checkout: setup_env.Setup) -> None:
        code = 'print("OSError: [Errno 28] No space left on device"); raise SystemExit(1)'
        with pytest.raises(choice.SetupError) as caught:
            checkout.command([sys.executable, '-c', code], title='torch and torchvision')
        text = str(caught.value)
        assert 'step "torch and torchvision" failed' in text
        assert 'No space left on device' in text
        assert 'Free some space' in text

    def test_missing_compiler(self, checkout: setup_env.Setup,
                              monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv('CXX', raising=False)
        monkeypatch.setattr(setup_env, 'DISK_NEEDED', 0)
        monkeypatch.setattr(setup_env.shutil, 'which', lambda name: None)
        with pytest.raises(choice.SetupError, match='apt-get install build-essential'):
            checkout.check_machine()

    def test_full_disk(self, checkout: setup_env.Setup, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(setup_env, 'DISK_NEEDED', 1e18)
        with pytest.raises(choice.SetupError, match='GB are free under .* are needed'):
            checkout.check_machine()

    def test_environment_of_an_unsupported_python(self, checkout: setup_env.Setup,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checkout, 'version', lambda: (3, 13))
        with pytest.raises(choice.SetupError, match='made with Python 3.13'):
            checkout.make_venv()

    def test_broken_environment_is_made_anew(self, checkout: setup_env.Setup) -> None:
        (checkout.venv / 'bin').mkdir()
        (checkout.venv / 'bin' / 'python').symlink_to('gone')
        (checkout.venv / 'lib64').symlink_to('lib')
        checkout.log.write_text('earlier\n')
        assert checkout.version() is None
        checkout.make_venv()
        assert checkout.version() == sys.version_info[:2]
        assert checkout.log.read_text().startswith('earlier\n')

    def test_the_steps_in_order(self, checkout: setup_env.Setup, monkeypatch: pytest.MonkeyPatch,
                                capsys: pytest.CaptureFixture) -> None:
        def compiles(step: setup_env.Step, wheel: wheels.Wheel) -> None:
            checkout.announce(step.title)

        for name in ('pip', 'diagnosis', 'check_machine'):
            monkeypatch.setattr(checkout, name, lambda *arguments: '')
        monkeypatch.setattr(checkout, 'warming_up', nullcontext)
        monkeypatch.setattr(checkout, 'version', lambda: (3, 11))
        monkeypatch.setattr(checkout, 'lacks_mmcv', lambda step: False)
        monkeypatch.setattr(checkout, 'do_mmcv', compiles)
        checkout.make()
        assert [line for line in capsys.readouterr().out.splitlines() if line[0] == '['] == [
            '[1/6] virtual environment',
            '[2/6] torch, torchvision and build tools (downloads about 3 GB the first time)',
            '[3/6] other libraries', '[4/6] OpenCV', '[5/6] mmcv with compiled ops',
            '[6/6] unimask itself']
        assert checkout.ready()

    def test_kernels_that_cannot_be_compiled_are_a_note(
            self, checkout: setup_env.Setup, capsys: pytest.CaptureFixture) -> None:
        python_that(checkout, 'echo no compiler; exit 1')
        with checkout.warming_up():
            pass
        assert 'note: the CPU kernels of unimask could not be compiled' in capsys.readouterr().out
        assert 'no compiler' in (checkout.venv / 'kernels.log').read_text()

    def test_kernels_are_given_up_with_the_step_beside_them(
            self, checkout: setup_env.Setup) -> None:
        told = checkout.root / 'pid'
        told.touch()
        python_that(checkout, f'echo $$ > {told}; exec sleep 60')
        begun = time.monotonic()
        with pytest.raises(choice.SetupError), checkout.warming_up():
            while not told.read_text():
                time.sleep(0.01)
            raise choice.SetupError('the step failed')
        assert time.monotonic() - begun < 30
        with pytest.raises(ProcessLookupError):
            os.kill(int(told.read_text()), 0)


def python_that(checkout: setup_env.Setup, does: str) -> None:
    """Put a script in place of the environment's Python."""
    python = Path(checkout.python)
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\n{does}\n')
    python.chmod(0o755)


def test_interrupt_ends_the_child(tmp_path: Path) -> None:
    code = 'import os, time; print(os.getpid(), flush=True); time.sleep(60)'
    child = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True,
                             start_new_session=True)
    pid = int(child.stdout.readline())
    process.stop(child)
    assert child.returncode == -signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_commands_of_the_set_up_may_write_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries are installed without it: else every later process would make it again."""
    monkeypatch.setenv('PYTHONDONTWRITEBYTECODE', '1')
    monkeypatch.setenv('PYTHONPATH', 'elsewhere')
    assert not {'PYTHONDONTWRITEBYTECODE', 'PYTHONPATH'} & process.clean_environment().keys()
    assert process.clean_environment({'PYTHONPATH': 'x'})['PYTHONPATH'] == 'x'


def test_make_lets_python_write_bytecode(repo: Path) -> None:
    assert 'unexport PYTHONDONTWRITEBYTECODE' in (repo / 'Makefile').read_text().splitlines()
