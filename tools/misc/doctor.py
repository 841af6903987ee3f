"""Say what is right and wrong with this machine's environment: ``python tools/misc/doctor.py``.

Every finding that is wrong comes with the command that mends it. Starts with the standard library
alone, so that it also runs where torch or mmcv are missing or broken. The exit status is 1 where
something that is needed fails.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
OK, NOTE, FAIL = 'ok', 'note', 'FAIL'
# Import name -> the maintained distribution and the original one.
DISTRIBUTIONS = {
    'mmcv': ('onedl-mmcv', 'mmcv'),
    'mmengine': ('onedl-mmengine', 'mmengine'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
}

LIGHT = 'the light installation; the full one: pip install "unimask[mm]"'
FULL = ('mmdet.models', 'mmdet.datasets', 'mmseg.models', 'mmseg.datasets', 'cityscapesscripts')

# Releases of torch that were tried; mmcv compiles with one of them.
TESTED_FULL = ('2.12',)
TESTED_LIGHT = ('2.12', '2.14', '2.15')


@dataclass(eq=False)
class Problem(Exception):
    """Something is wrong: what, and the command or advice that mends it."""

    what: str
    remedy: str
    needed: bool = True


@dataclass(frozen=True)
class Finding:
    """Result of one check; ``status`` is one of ok, note and FAIL."""

    name: str
    status: str
    detail: str
    remedy: str = ''


CHECKS: dict[str, Callable[[], str]] = {}


def check(name: str) -> Callable[[Callable[[], str]], Callable[[], str]]:
    """Decorator that lists a function as the check ``name``, in the order of definition.

    The function returns a line for the reader or raises Problem.
    """
    def enlist(function: Callable[[], str]) -> Callable[[], str]:
        CHECKS[name] = function
        return function
    return enlist


def examine(name: str) -> Finding:
    """Run one check without what libraries print; whatever it raises becomes a finding."""
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            return Finding(name, OK, CHECKS[name]())
    except Problem as problem:
        return Finding(name, FAIL if problem.needed else NOTE, problem.what, problem.remedy)
    except Exception as error:
        return Finding(name, FAIL, _words(error), reinstall())


def _words(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or ['']
    return f'{type(error).__name__}: {lines[0]}'


# --- commands that mend -------------------------------------------------------------------------


def pip(*arguments: str) -> str:
    """A ``pip install`` command line for the running Python."""
    return ' '.join([shlex.quote(sys.executable), '-m pip install',
                     *(shlex.quote(argument) for argument in arguments)])


def reinstall() -> str:
    """The command that looks at everything again."""
    if in_project_environment():
        return 'make repair'
    return pip('-r', 'requirements/torch.txt', '-r', 'requirements/runtime.txt')


def in_project_environment() -> bool:
    """Whether the running Python is that of ``.venv``."""
    return Path(sys.prefix) == ROOT / '.venv'


def torch_pair() -> str:
    """Install a torch and a torchvision that fit each other."""
    return pip(*requirements('torch'))


def rebuild_mmcv(*, gpu: bool = False) -> str:
    """Compile mmcv's ops against the torch that is installed."""
    name = 'mmcv' if _installed('mmcv') else requirements('mminstall')[0]
    # Without debug information it takes half of the time; setup_env_header.py has the same flags.
    force = 'FORCE_CUDA=1 ' if gpu else 'CFLAGS="-g0 -O2 -DNDEBUG -fwrapv" '
    # torch compiles extensions in parallel only where it finds ninja by PATH.
    path = f'PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH'
    return (f'{path} {force}MMCV_WITH_OPS=1 MAX_JOBS={os.cpu_count()} '
            + pip('--no-cache-dir', '--force-reinstall', '--no-deps', '--no-build-isolation', name))


def requirements(name: str) -> list[str]:
    """Requirement lines of ``requirements/<name>.txt``."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


def is_light() -> bool:
    """Whether of the OpenMMLab libraries MMEngine alone is installed, which suffices for much."""
    return not any(_installed(name) for key, pair in DISTRIBUTIONS.items() if key != 'mmengine'
                   for name in pair)


def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def import_torch() -> ModuleType:
    """The module torch, or the problem with it."""
    try:
        return importlib.import_module('torch')
    except Exception as error:
        raise Problem(f'torch does not import ({_words(error)})', torch_pair()) from error


def _release(text: str) -> tuple[int, int]:
    major, minor = re.match(r'(\d+)\.(\d+)', text).groups()
    return int(major), int(minor)


# --- checks -------------------------------------------------------------------------------------


@check('python')
def python() -> str:
    """Version of Python and where it is."""
    text = f'{sys.version.split()[0]} at {sys.executable}'
    newest = (3, 13) if is_light() else (3, 12)
    if not (3, 10) <= sys.version_info[:2] <= newest:
        raise Problem(f'{text}: 3.10 to {newest[0]}.{newest[1]} is needed',
                      'make env PYTHON=python3.11')
    return text


@check('compiler')
def compiler() -> str:
    """C++ compiler and Python's headers: for mmcv's ops and unimask's CPU kernels."""
    command = os.environ.get('CXX') or shutil.which('g++') or shutil.which('c++')
    if not command:
        raise Problem('no C++ compiler: mmcv and the fast CPU kernels cannot be compiled',
                      'apt-get install build-essential', needed=False)
    if not Path(sysconfig.get_paths()['include'], 'Python.h').exists():
        raise Problem('Python.h is missing: nothing can be compiled for this Python',
                      'apt-get install python3-dev', needed=False)
    done = subprocess.run([*shlex.split(command), '--version'], capture_output=True, text=True)
    return done.stdout.splitlines()[0] if done.stdout else command


@check('disk')
def disk() -> str:
    """Free disk space."""
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < 2:
        raise Problem(f'only {free:.1f} GB free under {ROOT}', f'du -sh {ROOT}/*', needed=False)
    return f'{free:.0f} GB free'


@check('setuptools')
def setuptools() -> str:
    """setuptools in the range with which mmcv can be built."""
    found = _installed('setuptools')
    wanted = requirements('build')[0]
    if is_light():
        return f'{found or "not installed"}; only mmcv would need it'
    if not found:
        raise Problem('not installed', pip(wanted))
    if _release(found)[0] < 77:
        raise Problem(f'{found} rejects the metadata of mmcv', pip(wanted))
    if _release(found)[0] >= 81:
        raise Problem(f'{found} has no pkg_resources, which older libraries import', pip(wanted))
    return found


@check('numpy')
def numpy() -> str:
    """numpy, and whether torch and pycocotools were compiled for it."""
    found = importlib.import_module('numpy').__version__
    wanted = next(line for line in requirements('build') if line.startswith('numpy'))
    if _installed('onedl-mmsegmentation') and _release(found)[0] < 2:
        raise Problem(f'{found}, but onedl-mmsegmentation needs numpy 2', pip(wanted))
    if _release(found) >= (2, 3):
        raise Problem(f'{found}: OpenCV 4.12 declares numpy below 2.3', pip(wanted), needed=False)
    if importlib.util.find_spec('torch'):
        try:
            importlib.import_module('torch').zeros(1).numpy()
        except RuntimeError as error:
            raise Problem(f'{found}: torch was compiled for another one ({_words(error)})',
                          pip(wanted)) from error
    return found


@check('torch')
def torch() -> str:
    """torch, in the range that was tested."""
    module = import_torch()
    text = f'{module.__version__}, built for ' + (
        f'CUDA {module.version.cuda}' if module.version.cuda else 'the CPU alone')
    release = _release(module.__version__)
    if release >= (2, 14) and not is_light():
        raise Problem(f'{text}: demands C++20, mmcv compiles with C++17', torch_pair(),
                      needed=False)
    tested = TESTED_LIGHT if is_light() else TESTED_FULL
    if '{}.{}'.format(*release) not in tested:
        raise Problem(f'{text}: works perhaps, but only torch {" and ".join(tested)} was tested',
                      torch_pair(), needed=False)
    return text


def fit(torch_version: str, vision_version: str) -> bool:
    """Whether a torchvision belongs to a torch; from 0.29 on it runs with every later one."""
    own, vision = _release(torch_version), _release(vision_version)
    return vision == (0, own[1] + 15) or (own >= (2, 14) and vision >= (0, 29))


@check('torchvision')
def torchvision() -> str:
    """torchvision of torch's release, its compiled operators run."""
    module = import_torch()
    try:
        vision = importlib.import_module('torchvision')
        boxes = module.tensor([[0., 0., 4., 4.], [0., 0., 4., 4.]])
        kept = vision.ops.nms(boxes, module.tensor([0.5, 0.9]), 0.5).tolist()
    except Exception as error:
        raise Problem(f'does not fit torch {module.__version__} ({_words(error)})',
                      torch_pair()) from error
    if kept != [1]:
        raise Problem(f'its nms computed {kept} instead of [1]', torch_pair())
    if not fit(module.__version__, vision.__version__):
        raise Problem(f'{vision.__version__} was made for another torch than '
                      f'{module.__version__}', torch_pair())
    return f'{vision.__version__} matches torch {module.__version__}'


@check('gpu')
def gpu() -> str:
    """GPUs that torch sees."""
    module = import_torch()
    if module.cuda.is_available():
        count = module.cuda.device_count()
        return f'{count} x {module.cuda.get_device_name(0)}'
    if shutil.which('nvidia-smi'):
        raise Problem(
            f'there is an NVIDIA driver, but torch (CUDA {module.version.cuda}) sees no GPU',
            torch_pair() if module.version.cuda is None else
            'nvidia-smi   # shows the driver: it must be new enough for that CUDA', needed=False)
    return 'none, the CPU is used'


@check('distributions')
def distributions() -> str:
    """Which OpenMMLab distributions there are: the maintained or the original ones, not both."""
    found, both, missing = [], [], []
    for name, pair in DISTRIBUTIONS.items():
        here = [distribution for distribution in pair if _installed(distribution)]
        found += [f'{distribution} {_installed(distribution)}' for distribution in here]
        both += here if len(here) == 2 else []
        missing += [name] if not here else []
    if both:
        raise Problem(f'{" and ".join(both)} install the same import names and overwrite each '
                      'other', f'{shlex.quote(sys.executable)} -m pip uninstall -y '
                      f'{" ".join(both)} && {_install_libraries()}')
    if missing and ('mmengine' in missing or not is_light()):
        raise Problem(f'no distribution of {", ".join(missing)}', _install_libraries())
    return ', '.join(found) + (f'; {LIGHT}' if is_light() else '')


def _install_libraries() -> str:
    return 'MMCV_WITH_OPS=1 ' + pip('--no-build-isolation', *_mmengine(),
                                    *requirements('mminstall'))


def _mmengine() -> list[str]:
    return [line for line in requirements('runtime') if line.startswith('onedl-mmengine')]


@check('mmcv-cpu')
def mmcv_cpu() -> str:
    """mmcv's compiled ops on the CPU."""
    if is_light():
        return LIGHT
    module = import_torch()
    try:
        ops = importlib.import_module('mmcv.ops')
        boxes = module.tensor([[0., 0., 4., 4.], [0., 0., 4., 4.]])
        kept = ops.nms(boxes, module.tensor([0.5, 0.9]), 0.5)[1].tolist()
    except Exception as error:
        raise Problem(_mmcv_words(error), rebuild_mmcv()) from error
    if kept != [1]:
        raise Problem(f'its nms computed {kept} instead of [1]', rebuild_mmcv())
    return f'mmcv {importlib.import_module("mmcv").__version__}: compiled ops run'


def _mmcv_words(error: Exception) -> str:
    if importlib.util.find_spec('mmcv') is None:
        return 'mmcv is not installed'
    text = _words(error)
    if 'undefined symbol' in text:
        return f'mmcv was compiled against another torch ({text[:160]})'
    if "'mmcv._ext'" in text:
        return f'mmcv was installed without its compiled ops ({text})'
    return f'the compiled ops do not load ({text})'


@check('mmcv-gpu')
def mmcv_gpu() -> str:
    """mmcv's deformable attention on the GPU against the CPU's."""
    if is_light():
        return LIGHT
    module = import_torch()
    if not module.cuda.is_available():
        return 'not looked at, there is no GPU'
    try:
        difference = _deformable_difference(module)
    except Exception as error:
        needs = f'needs nvcc of CUDA {module.version.cuda}'
        raise Problem(f'does not run on the GPU ({_words(error)})',
                      f'{rebuild_mmcv(gpu=True)}   # {needs}') from error
    if difference > 1e-3:
        raise Problem(f'GPU and CPU differ by {difference:.2g}', rebuild_mmcv(gpu=True))
    return 'deformable attention runs on the GPU'


def _deformable_difference(module: ModuleType) -> float:
    """Largest difference of one deformable attention layer on the GPU and on the CPU."""
    attention = importlib.import_module('mmcv.ops').MultiScaleDeformableAttention(
        embed_dims=32, num_heads=4, num_levels=1, num_points=2, batch_first=True).eval()
    query = module.rand(1, 9, 32)
    inputs = {'query': query, 'value': query, 'reference_points': module.rand(1, 9, 1, 2),
              'spatial_shapes': module.tensor([[3, 3]]),
              'level_start_index': module.tensor([0])}
    with module.no_grad():
        slow = attention(**inputs)
        fast = attention.cuda()(**{name: value.cuda() for name, value in inputs.items()})
    return float((slow - fast.cpu()).abs().max())


@check('opencv')
def opencv() -> str:
    """cv2, of one distribution."""
    try:
        module = importlib.import_module('cv2')
    except ImportError as error:
        raise Problem(f'{_words(error)}: a system library of the build with windows is missing',
                      pip('--force-reinstall', '--no-deps', 'opencv-python-headless<4.13')
                      ) from error
    return module.__version__


@check('libraries')
def libraries() -> str:
    """The other libraries import."""
    names = ('mmengine.runner', 'timm', 'pycocotools.mask', 'scipy.optimize', 'safetensors')
    for name in names if is_light() else names + FULL:
        try:
            importlib.import_module(name)
        except Exception as error:
            raise Problem(f'{name} does not import ({_words(error)})', reinstall()) from error
    return ', '.join(f'{name} {_installed(name)}'
                     for name in ('timm', 'pycocotools', 'scipy', 'safetensors'))


@check('unimask')
def unimask() -> str:
    """unimask itself registers all its components."""
    try:
        module = importlib.import_module('unimask')
    except ImportError as error:
        raise Problem(_words(error), pip('-e', '.', '--no-deps', '--no-build-isolation')) from error
    importlib.import_module('unimask.utils').register_all_modules()
    return f'{module.__version__} at {Path(module.__file__).parent}'


@check('cpu-kernels')
def cpu_kernels() -> str:
    """unimask's own compiled CPU kernels, which are optional."""
    native = importlib.import_module('unimask.ops.cpu.native')
    reasons: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: reasons.append(record.getMessage())
    logger = logging.getLogger('unimask')
    logger.addHandler(handler)
    try:
        library = native.load()
    finally:
        logger.removeHandler(handler)
    if library is not None:
        return 'compiled'
    if os.environ.get('UNIMASK_NATIVE') == '0':
        raise Problem('switched off by UNIMASK_NATIVE=0, slower torch code is used instead',
                      'unset UNIMASK_NATIVE', needed=False)
    raise Problem(' '.join(['not compiled, slower torch code is used instead.', *reasons]),
                  'apt-get install build-essential', needed=False)


# --- command line -------------------------------------------------------------------------------


def report(findings: Sequence[Finding]) -> str:
    """The findings as text, one line each and a second one for the remedy."""
    lines = []
    for finding in findings:
        lines.append(f'{finding.status:>4}  {finding.name:<14}{finding.detail}')
        if finding.remedy:
            lines.append(f'      {"":<14}-> {finding.remedy}')
    return '\n'.join(lines)


def prefer_project_environment() -> None:
    """Go on with the Python of ``.venv`` where the running one has no torch."""
    own = ROOT / '.venv' / 'bin' / 'python'
    if importlib.util.find_spec('torch') or in_project_environment() or not own.exists():
        return
    print(f'({sys.executable} has no torch, looking at {own} instead)', flush=True)
    os.execv(own, [str(own), *sys.argv])


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', nargs='+', choices=list(CHECKS), metavar='CHECK',
                        help=f'run these checks alone: {", ".join(CHECKS)}')
    options = parser.parse_args(arguments)
    findings = []
    for name in options.only or CHECKS:
        findings.append(examine(name))
        print(report(findings[-1:]), flush=True)
    failed = [finding.name for finding in findings if finding.status == FAIL]
    if failed:
        print(f'{len(failed)} of {len(findings)} checks failed: {", ".join(failed)}')
    elif not options.only:
        print('All that is needed works.')
    return 1 if failed else 0


if __name__ == '__main__':
    prefer_project_environment()
    sys.exit(main())
