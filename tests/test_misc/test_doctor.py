"""tools/misc/doctor.py: what it says about a sound environment and about broken ones."""

import logging
import subprocess
import sys
from pathlib import Path

import doctor
import pytest


def run_doctor(repo: Path, *checks: str, python_path: Path | None = None) -> tuple[int, str]:
    """Exit status and output of the script, with modules of ``python_path`` before all others."""
    env = {'PATH': '/usr/bin:/bin', 'PYTHONPATH': str(python_path or '')}
    done = subprocess.run(
        [sys.executable, repo / 'tools' / 'misc' / 'doctor.py', '--only', *checks], env=env,
        capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def fake(folder: Path, module: str, code: str) -> Path:
    """A package ``module`` with this code, in ``folder``."""
    (folder / module).mkdir(parents=True)
    (folder / module / '__init__.py').write_text(code)
    return folder


@pytest.mark.slow
def test_sound_environment(repo: Path) -> None:
    status, output = run_doctor(
        repo, 'python', 'disk', 'setuptools', 'numpy', 'torch', 'torchvision', 'gpu',
        'distributions', 'mmcv-cpu', 'opencv')
    assert status == 0, output
    assert 'torchvision   ' in output
    assert 'matches torch 2.' in output
    assert 'compiled ops run' in output
    assert 'FAIL' not in output


def test_missing_torch(repo: Path, tmp_path: Path) -> None:
    path = fake(tmp_path, 'torch', 'raise ImportError("libcudart.so.13: cannot open")')
    status, output = run_doctor(repo, 'torch', 'torchvision', 'mmcv-cpu', python_path=path)
    assert status == 1
    assert output.count('libcudart.so.13: cannot open') == 3
    assert "pip install 'torch>=2.12,<2.13' 'torchvision>=0.27,<0.28'" in output
    assert '3 of 3 checks failed' in output


def test_torchvision_of_another_torch(repo: Path, tmp_path: Path) -> None:
    path = fake(tmp_path, 'torchvision',
                'raise RuntimeError("operator torchvision::nms does not exist")')
    status, output = run_doctor(repo, 'torch', 'torchvision', python_path=path)
    assert status == 1
    assert 'does not fit torch' in output
    assert 'operator torchvision::nms does not exist' in output
    assert "'torchvision>=0.27,<0.28'" in output


@pytest.mark.parametrize(('torch', 'vision', 'fit'), (
    ('2.12.1', '0.27.1', True), ('2.12.1', '0.26.0', False), ('2.13.0', '0.29.1', False),
    ('2.14.1', '0.29.1', True), ('2.14.1', '0.28.0', False), ('2.15.0+cu132', '0.29.2', True),
    ('2.15.0', '0.27.0', False)))
def test_which_torchvision_belongs_to_a_torch(torch: str, vision: str, fit: bool) -> None:
    assert doctor.fit(torch, vision) == fit


def test_mmcv_compiled_for_another_torch(repo: Path, tmp_path: Path) -> None:
    path = fake(tmp_path, 'mmcv', '')
    fake(tmp_path / 'mmcv', 'ops', 'raise ImportError("_ext.so: undefined symbol: _ZN3c10")')
    status, output = run_doctor(repo, 'mmcv-cpu', python_path=path)
    assert status == 1
    assert 'compiled against another torch' in output
    assert 'MMCV_WITH_OPS=1' in output
    assert '--no-cache-dir' in output
    assert '--no-build-isolation' in output


def test_mmcv_without_ops(repo: Path, tmp_path: Path) -> None:
    path = fake(tmp_path, 'mmcv', '')
    fake(tmp_path / 'mmcv', 'ops',
         'raise ModuleNotFoundError("No module named \'mmcv._ext\'")')
    status, output = run_doctor(repo, 'mmcv-cpu', python_path=path)
    assert status == 1
    assert 'installed without its compiled ops' in output


def test_opencv_without_its_system_library(repo: Path, tmp_path: Path) -> None:
    path = fake(tmp_path, 'cv2', 'raise ImportError("libGL.so.1: cannot open shared object file")')
    status, output = run_doctor(repo, 'opencv', python_path=path)
    assert status == 1
    assert 'opencv-python-headless' in output


@pytest.mark.parametrize(('release', 'word'), [('2.14.0', 'C++20'), ('2.13.1', 'only torch 2.12')])
def test_untested_torch_is_a_note(monkeypatch: pytest.MonkeyPatch, release: str,
                                  word: str) -> None:
    monkeypatch.setattr(doctor, 'is_light', lambda: False)
    monkeypatch.setattr('torch.__version__', release)
    finding = doctor.examine('torch')
    assert finding.status == doctor.NOTE
    assert word in finding.detail
    assert 'torch>=2.12,<2.13' in finding.remedy


@pytest.mark.parametrize(('release', 'status'), [
    ('2.12.1', doctor.OK), ('2.13.0', doctor.NOTE), ('2.14.1', doctor.OK)])
def test_torch_of_the_light_installation(monkeypatch: pytest.MonkeyPatch, release: str,
                                         status: str) -> None:
    monkeypatch.setattr(doctor, 'is_light', lambda: True)
    monkeypatch.setattr('torch.__version__', release)
    assert doctor.examine('torch').status == status


def test_torchvision_of_a_neighbouring_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('torchvision.__version__', '0.26.0')
    finding = doctor.examine('torchvision')
    assert finding.status == doctor.FAIL
    assert '0.26.0 was made for another torch' in finding.detail


@pytest.mark.parametrize(('found', 'word'), [
    ('69.5.1', 'rejects the metadata'), ('82.0', 'pkg_resources'), (None, 'not installed')])
def test_setuptools_out_of_range(monkeypatch: pytest.MonkeyPatch, found: str | None,
                                 word: str) -> None:
    monkeypatch.setattr(doctor, 'is_light', lambda: False)
    monkeypatch.setattr(doctor, '_installed', lambda name: found)
    finding = doctor.examine('setuptools')
    assert finding.status == doctor.FAIL
    assert word in finding.detail
    assert 'setuptools>=77,<81' in finding.remedy


def test_both_sets_of_distributions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, '_installed', lambda name: '1.0')
    finding = doctor.examine('distributions')
    assert finding.status == doctor.FAIL
    assert 'onedl-mmcv and mmcv' in finding.detail
    assert 'pip uninstall -y onedl-mmcv mmcv' in finding.remedy


def test_original_distributions_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    originals = {original for _, original in doctor.DISTRIBUTIONS.values()}
    monkeypatch.setattr(doctor, '_installed', lambda name: '1.0' if name in originals else None)
    finding = doctor.examine('distributions')
    assert finding.status == doctor.OK
    assert 'mmsegmentation 1.0' in finding.detail


def test_missing_distributions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, '_installed', lambda name: None)
    finding = doctor.examine('distributions')
    assert finding.status == doctor.FAIL
    assert 'no distribution of mmcv, mmengine, mmdet, mmseg' in finding.detail
    assert 'onedl-mmdetection' in finding.remedy


def test_missing_compiler_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('CXX', raising=False)
    monkeypatch.setattr(doctor.shutil, 'which', lambda name: None)
    finding = doctor.examine('compiler')
    assert finding.status == doctor.NOTE
    assert 'build-essential' in finding.remedy


def test_missing_kernels_are_a_note_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('UNIMASK_NATIVE', raising=False)
    monkeypatch.setattr('unimask.ops.cpu.native.load',
                        lambda: logging.getLogger('unimask').warning('no C++ compiler'))
    finding = doctor.examine('cpu-kernels')
    assert finding.status == doctor.NOTE
    assert 'slower torch code' in finding.detail
    assert 'no C++ compiler' in finding.detail


def test_kernels_that_are_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('UNIMASK_NATIVE', '0')
    monkeypatch.setattr('unimask.ops.cpu.native.load', lambda: None)
    finding = doctor.examine('cpu-kernels')
    assert finding.status == doctor.NOTE
    assert finding.remedy == 'unset UNIMASK_NATIVE'


def test_a_crashing_check_does_not_end_the_others(monkeypatch: pytest.MonkeyPatch,
                                                  capsys: pytest.CaptureFixture) -> None:
    def crash() -> str:
        raise ValueError('boom\nsecond line')
    monkeypatch.setitem(doctor.CHECKS, 'numpy', crash)
    assert doctor.main(['--only', 'numpy', 'disk']) == 1
    output = capsys.readouterr().out
    assert 'ValueError: boom\n' in output
    assert 'GB free' in output
    assert '1 of 2 checks failed: numpy' in output


def test_light_installation_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """MMEngine alone is enough; what only the others need is not looked at."""
    monkeypatch.setattr(doctor, '_installed',
                        lambda name: '0.10.12' if name == 'onedl-mmengine' else None)
    looked_at = []
    monkeypatch.setattr(doctor.importlib, 'import_module', looked_at.append)
    for name in ('distributions', 'mmcv-cpu', 'mmcv-gpu', 'setuptools', 'libraries'):
        assert doctor.examine(name).status == doctor.OK, name
    assert 'unimask[mm]' in doctor.examine('distributions').detail
    assert 'timm' in looked_at and not {'mmdet.models', 'mmcv.ops'} & set(looked_at)


def test_half_of_the_libraries_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    there = ('onedl-mmengine', 'onedl-mmcv')
    monkeypatch.setattr(doctor, '_installed', lambda name: '1.0' if name in there else None)
    finding = doctor.examine('distributions')
    assert finding.status == doctor.FAIL
    assert 'no distribution of mmdet, mmseg' in finding.detail


@pytest.mark.parametrize(('light', 'status'), [(True, doctor.OK), (False, doctor.FAIL)])
def test_newest_python_is_for_the_light_installation(monkeypatch: pytest.MonkeyPatch, light: bool,
                                                     status: str) -> None:
    monkeypatch.setattr(doctor, 'is_light', lambda: light)
    monkeypatch.setattr(doctor.sys, 'version_info', (3, 13, 0))
    assert doctor.examine('python').status == status
