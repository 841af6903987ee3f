"""What the command line tools share: options, exit statuses, messages, and the one way out.

Importing it is cheap, so that a tool can say something sensible about a Ctrl-C while the libraries
are still being imported: the tools import those in their ``main``.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import errno
import logging
import multiprocessing
import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from unimask.errors import Interrupted, UserError
from unimask.literals import plain_value

if TYPE_CHECKING:
    from mmengine.config import Config

__all__ = ['EXIT_CTRL_C', 'EXIT_DEFECT', 'EXIT_USER_ERROR', 'ConfigOptions',
           'add_common_options', 'config_from', 'leave', 'run_tool']

EXIT_DEFECT = 1
EXIT_USER_ERROR = 2
EXIT_CTRL_C = 130
_LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')
_PATIENCE = 5.0  # seconds for the others to take part in taking a process group down
_FULL = {errno.ENOSPC, errno.EDQUOT}


class ConfigOptions(argparse.Action):
    """Reads ``KEY=VALUE ...`` into a dictionary, as MMEngine's ``DictAction`` does.

    Beside MMEngine's values it takes Python literals with ``dict(...)`` in them, such as
    ``custom_hooks=[dict(type='EMAHook', momentum=0.01)]``.
    """

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
                 values: str | Sequence[Any] | None, option_string: str | None = None) -> None:
        """Add the pairs to those of earlier options of this name."""
        options = dict(getattr(namespace, self.dest, None) or {})
        for pair in [values] if isinstance(values, str) else values or []:
            key, equals, text = pair.partition('=')
            if not equals or not key:
                parser.error(f'{option_string} {pair}: give KEY=VALUE, such as data_root=FOLDER')
            options[key] = _value(parser, f'{option_string} {key}', text)
        setattr(namespace, self.dest, options)


def _value(parser: argparse.ArgumentParser, where: str, text: str) -> Any:
    """A value of the command line; a message of the parser where it has no meaning."""
    from mmengine.config import DictAction
    if 'dict(' in text or '{' in text:
        try:
            return plain_value(ast.parse(text.strip(), mode='eval').body)
        except (SyntaxError, TypeError, ValueError) as error:
            parser.error(f'{where}: {text} is no Python value ({error}). Lists, dict(key=...), '
                         'numbers and quoted strings can be given; mind the quotes of the shell.')
    try:
        return DictAction._parse_iterable(text)
    except (AssertionError, RecursionError, ValueError) as error:
        parser.error(f'{where}: {text} cannot be read ({error}). A list is [a,b], a tuple (a,b), '
                     "a dictionary dict(key='value').")


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of training and testing."""
    parser.add_argument('config', help='config file, such as configs/demo/mask2former_shapes.py')
    parser.add_argument('--work-dir', help='folder for logs, checkpoints and results '
                                           '(default: work_dirs/<name of the config>)')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, default={},
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
    from unimask.preflight.config import load_config
    if args.launcher != 'none':
        os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(
        Path('work_dirs') / Path(args.config).stem)
    _check_work_dir(Path(cfg.work_dir))
    if args.trust_checkpoint:
        cfg.trust_checkpoint = True
    return cfg


def _check_work_dir(folder: Path) -> None:
    """Make the work directory; say what is in the way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'--work-dir {folder}: the folder cannot be made ({error.strerror}). '
                        'Name a folder that can be written, --work-dir DIR.') from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f'--work-dir {folder}: nothing can be written there. Change its '
                        'permissions or name another folder, --work-dir DIR.')


def run_tool(main: Callable[[], int | None], *, resume: str = '--resume') -> int:
    """Run a command line tool and print what ended it.

    Args:
        main: The tool. It imports what it needs itself and may return an exit status.
        resume: Option of the tool that goes on from the last checkpoint; empty for a tool that
            does so by itself.

    Returns:
        Exit status: 0; 2 with one message on stderr when the user can mend what is wrong; 130
        after Ctrl-C; 1 after any other error, whose traceback is printed. Other signals that a
        training answers with a checkpoint give 0.
    """
    try:
        return main() or 0
    except SystemExit as ending:
        return _status_of(ending)
    except BaseException as error:
        return _report(error, resume)


def leave(status: int) -> NoReturn:
    """End this process; every tool ends here, whatever ended its work.

    Data workers are ended first. Among several processes the process group is taken down and the
    interpreter is not: a thread of gloo may still drop the last reference to a Python object, which
    ends in ``terminate called without an active exception`` when the interpreter is going.

    Args:
        status: Exit status.
    """
    among_others = _is_launched()
    _end_workers()
    _flush()
    if not among_others:
        sys.exit(status)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(signum, signal.SIG_IGN)
    logging.shutdown()
    _destroy_process_group()
    _flush()
    os._exit(status)


def _is_launched() -> bool:
    """Whether this process is one of several, or may be."""
    distributed = sys.modules.get('torch.distributed')
    return bool({'LOCAL_RANK', 'WORLD_SIZE'} & os.environ.keys()) or bool(
        distributed and distributed.is_available() and distributed.is_initialized())


def _end_workers() -> None:
    """End the processes that multiprocessing started; they obey within a moment."""
    children = multiprocessing.active_children()
    if children and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would call it a failure
    for end in ('terminate', 'kill'):
        for child in children:
            getattr(child, end)()
        for child in children:
            child.join(_PATIENCE / 5)
        children = [child for child in children if child.is_alive()]


def _destroy_process_group() -> None:
    """Take the process group down; after an error the others may not be there to take part."""
    distributed = sys.modules.get('torch.distributed')
    if not distributed or not distributed.is_available() or not distributed.is_initialized():
        return

    def destroy() -> None:
        with contextlib.suppress(Exception):  # it ends with the process anyway
            distributed.destroy_process_group()
    thread = threading.Thread(target=destroy, daemon=True)
    thread.start()
    thread.join(_PATIENCE)


def _flush() -> None:
    """Write out what is buffered; where the reader is gone, give it up for good."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            _discard(stream)


def _discard(stream: Any) -> None:
    """Let a stream end nowhere, so that the interpreter can close it without an error."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):
        pass


def _say(text: str) -> None:
    """Print to stderr; the reader of a pipe may be gone."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def _status_of(ending: SystemExit) -> int:
    """Status of ``sys.exit(...)``, whose text is printed as Python would."""
    if ending.code is None or isinstance(ending.code, int):
        return ending.code or 0
    _say(str(ending.code))
    return EXIT_DEFECT


def _report(error: BaseException, resume: str) -> int:
    """Print what ended a tool; return its status."""
    chain = list(_chain(error))
    stop = next((one for one in chain if isinstance(one, Interrupted)), None)
    if stop is not None:
        return _after_interrupt(stop, resume)
    if any(isinstance(one, KeyboardInterrupt) for one in chain):  # some libraries translate it
        _say('\nstopped by Ctrl-C')
        return EXIT_CTRL_C
    message = next(filter(None, map(_user_message, chain)), None)
    if message is not None:
        _say(f'\nerror: {message}')
        return EXIT_USER_ERROR
    _say(''.join(traceback.format_exception(error)))
    return EXIT_DEFECT


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it came from."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _after_interrupt(stop: Interrupted, resume: str) -> int:
    if os.environ.get('RANK', '0') == '0':
        _say_how_to_go_on(stop, resume)
    return EXIT_CTRL_C if stop.signum == signal.SIGINT else 0


def _say_how_to_go_on(stop: Interrupted, resume: str) -> None:
    _say(f'\n{stop}')
    if stop.checkpoint and resume and 'RANK' in os.environ:
        _say(f'Everything so far is in {stop.checkpoint}. To go on, start it again with {resume}')
    elif stop.checkpoint and resume:
        _say(f'Everything so far is in {stop.checkpoint}. Go on with:\n  {_again(resume)}')
    elif stop.checkpoint:
        _say(f'Everything so far is in {stop.checkpoint}. Run the command again to go on.')


def _again(option: str) -> str:
    """The command line of this process with an option; of a script or of ``unimask COMMAND``."""
    program, *words = _without(sys.argv, option)
    program = f'python {shlex.quote(program)}' if program.endswith('.py') else program
    return ' '.join([program, *map(shlex.quote, words), option])


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
    if isinstance(error, OSError) and error.errno in _FULL:
        return (f'the disk is full: {error}. What was being written is gone, earlier files are '
                'whole. Free some space; a training then goes on with --resume auto.')
    torch = sys.modules.get('torch')
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return (f'the GPU has too little memory ({str(error).splitlines()[0]}). Lower '
                'train_dataloader.batch_size or the crop size, or use --amp fp16.')
    return None
