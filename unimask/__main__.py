"""``unimask COMMAND``, also ``python -m unimask COMMAND``: the tools under one name."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

from unimask.errors import did_you_mean
from unimask.version import __version__

__all__ = ['COMMANDS', 'main']

# Command: the tool, and what it does.
COMMANDS = {
    'train': ('train.py', 'train a model: on a folder of pictures and labels (--data FOLDER --out '
                          'RUN), or as a config says'),
    'test': ('test.py', 'measure how good a checkpoint is'),
    'predict': ('misc/predict.py', 'predict pictures'),
    'check': ('misc/check.py', 'look at data before a training: what there is, what looks wrong'),
    'browse': ('misc/browse.py', 'write pictures as the network sees them'),
    'report': ('analysis_tools/report.py', 'write a page about a training: curves, scores, worst '
                                           'pictures'),
    'convert': ('model_converters/convert.py', 'bring checkpoints of other libraries here, and '
                                               'back'),
    'demo': ('misc/demo.py', 'train a small model on drawn scenes, and evaluate it'),
    'doctor': ('misc/doctor.py', 'say what is right and wrong with the installation'),
}
_OWN_DATA = 'misc/train_folder.py'
_EXIT_USER_ERROR = 2
_EXIT_CTRL_C = 130


def main() -> None:
    """Run a command; its exit status is that of the tool."""
    words = sys.argv[1:]
    if not words or words[0] in ('-h', '--help', 'help'):
        print(_usage())
        return
    if words[0] == '--version':
        print(f'unimask {__version__}')
        return
    name, options = words[0], words[1:]
    if name not in COMMANDS:
        print(f'error: there is no command {name!r}.{did_you_mean(name, COMMANDS)}\n\n{_usage()}',
              file=sys.stderr)
        sys.exit(_EXIT_USER_ERROR)
    _run(_tool(name, options), name, options)


def _usage() -> str:
    lines = [f'  {name:<9}{text}' for name, (_, text) in COMMANDS.items()]
    return ('usage: unimask COMMAND [options]\n\n' + '\n'.join(lines)
            + '\n\n`unimask COMMAND --help` says what a command takes.')


def _tool(name: str, options: list[str]) -> str:
    """The tool of a command: `train` has two."""
    own = any(word == '--data' or word.startswith('--data=') for word in options)
    return _OWN_DATA if name == 'train' and own else COMMANDS[name][0]


def _run(tool: str, name: str, options: list[str]) -> None:
    path = _tools() / tool
    sys.argv = [f'unimask {name}', *options]
    sys.path.insert(0, str(path.parent))  # as Python does for a script
    try:
        run_script(path)
    except KeyboardInterrupt:  # while the tool was still being imported; later it says more
        print('stopped by Ctrl-C', file=sys.stderr)
        sys.exit(_EXIT_CTRL_C)


def run_script(path: Path) -> None:
    """Run a file as ``python FILE`` does, but with ``sys.argv`` as it is: ``runpy`` would put the
    file's name first, and every usage line would say that in place of the command."""
    module = ModuleType('__main__')
    module.__file__, module.__spec__ = str(path), None
    sys.modules['__main__'] = module
    exec(compile(path.read_bytes(), str(path), 'exec'), vars(module))


def _tools() -> Path:
    """The folder of the tools: beside the package when installed, above it in a checkout."""
    package = Path(__file__).parent
    installed = package / '.mim' / 'tools'
    return installed if installed.is_dir() else package.parent / 'tools'


if __name__ == '__main__':
    main()
