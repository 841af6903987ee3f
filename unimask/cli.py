"""What the command line tools share: options, exit codes and messages."""
from __future__ import annotations

import argparse
import errno
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config, DictAction

from unimask.engine.hooks import Interrupted
from unimask.errors import UserError
from unimask.preflight.config import load_config

__all__ = ['EXIT_USER_ERROR', 'add_common_options', 'config_from', 'run_tool']

EXIT_USER_ERROR = 2
EXIT_CTRL_C = 130
_LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')
_PACKAGE = f'{os.sep}unimask{os.sep}'


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of training and testing."""
    parser.add_argument('config', help='config file, such as configs/demo/mask2former_shapes.py')
    parser.add_argument('--work-dir', help='folder for logs, checkpoints and results '
                                           '(default: work_dirs/<name of the config>)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={},
                        metavar='KEY=VALUE', help='change keys of the config, such as '
                                                  'data_root=FOLDER train_cfg.max_iters=100')
    parser.add_argument('--launcher', choices=_LAUNCHERS, default='none',
                        help='how several processes are started (dist_*.sh and slurm_*.sh '
                             'set it)')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0,
                        help=argparse.SUPPRESS)
    parser.add_argument('--trust-checkpoint', action='store_true',
                        help='read checkpoints that can run code; only for files you trust')


def config_from(args: argparse.Namespace) -> Config:
    """Read the config that the options name and apply the common ones."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(
        Path('work_dirs') / Path(args.config).stem)
    if args.trust_checkpoint:
        cfg.trust_checkpoint = True
    return cfg


def run_tool(main: Callable[[], None], *, resume: str = '--resume') -> int:
    """Run a command line tool.

    Args:
        main: The tool.
        resume: Option of the tool that goes on from a checkpoint; empty for a tool that does so
            by itself.

    Returns:
        Exit status: 0; 2 with one message on stderr when the user can mend what is wrong; 130
        after Ctrl-C. Any other error keeps its traceback.
    """
    try:
        main()
    except Interrupted as stop:
        return _after_interrupt(stop, resume)
    except KeyboardInterrupt:
        print('\nstopped by Ctrl-C', file=sys.stderr)
        return EXIT_CTRL_C
    except Exception as error:
        message = _user_message(error)
        if message is None:
            raise
        print(f'\nerror: {message}', file=sys.stderr)
        return EXIT_USER_ERROR
    return 0


def _after_interrupt(stop: Interrupted, resume: str) -> int:
    print(f'\n{stop}', file=sys.stderr)
    if stop.checkpoint and resume:
        command = ' '.join(['python', *_without(sys.argv, resume), resume, stop.checkpoint])
        print(f'Everything so far is in {stop.checkpoint}. Go on with:\n  {command}',
              file=sys.stderr)
    elif stop.checkpoint:
        print(f'Everything so far is in {stop.checkpoint}. Run the command again to go on.',
              file=sys.stderr)
    return EXIT_CTRL_C if stop.signum == signal.SIGINT else 0


def _without(words: list[str], option: str) -> list[str]:
    """A command line without an option and its optional value."""
    if option not in words:
        return words
    at = words.index(option)
    takes_value = at + 1 < len(words) and not words[at + 1].startswith('-')
    return words[:at] + words[at + 1 + takes_value:]


def _user_message(error: BaseException) -> str | None:
    """The message for the user; None when the error is a defect of the program."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, torch.OutOfMemoryError):
        return (f'the GPU has too little memory ({str(error).splitlines()[0]}). Lower '
                'train_dataloader.batch_size or the crop size, or use --amp fp16.')
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f'the disk is full: {error}. Free some space, then resume with --resume auto.'
    if 'Original Traceback' in str(error):
        return _worker_message(str(error))
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError) or (
                isinstance(cause, (OSError, ValueError, ImportError)) and _is_ours(cause)):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    return None


def _is_ours(error: BaseException) -> bool:
    """Whether this package raised an error on purpose, in its last frame."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and _PACKAGE in frames[-1].filename and (
        frames[-1].line or '').startswith('raise')


def _worker_message(text: str) -> str | None:
    """The message of an error that a data loader worker met, from its printed traceback."""
    frames = list(re.finditer(r'^  File "(.+)", line \d+, in .+\n(.*\n)', text, re.MULTILINE))
    if not frames or _PACKAGE not in frames[-1][1]:
        return None
    found = re.search(r'^\w*(Error|Exception): ((?:.|\n)*)', text[frames[-1].end():],
                      re.MULTILINE)
    return found[2].strip() if found else None
