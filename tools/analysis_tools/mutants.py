"""Which small changes of the formulas do the tests miss?

``python tools/analysis_tools/mutants.py --count 100 --out mutants.json`` copies the repository to
a temporary folder (so that nothing of the working tree changes and ``../shared`` is absent), makes
random small changes there, one at a time, runs the tests that belong to the changed file, and
lists the changes that no test noticed. Each of these is either equivalent or shows a missing test.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TWINS, MODELS = 'tests/test_twins', 'tests/test_models'
TESTS = {  # start of a file's path -> tests that should notice its changes
    'unimask/models/losses': [f'{TWINS}/test_costs.py', f'{TWINS}/test_matching.py',
                              f'{MODELS}/test_criterion.py'],
    'unimask/models/layers': [f'{TWINS}/test_layers_slowly.py', f'{TWINS}/test_networks.py',
                              f'{MODELS}/test_layers.py'],
    'unimask/models/heads': [f'{TWINS}/test_networks.py'],
    'unimask/models/necks': [f'{TWINS}/test_networks.py'],
    'unimask/models/segmentors/targets.py': [f'{TWINS}/test_targets_slowly.py',
                                             f'{MODELS}/test_segmentor.py'],
    'unimask/models/segmentors/universal.py': [
        f'{TWINS}/test_readout_slowly.py', f'{TWINS}/test_optimiser_slowly.py',
        f'{MODELS}/test_segmentor.py'],
    'unimask/models/post_processors': [f'{TWINS}/test_readout_slowly.py',
                                       f'{MODELS}/test_post_processors.py'],
    'unimask/structures/panoptic.py': [f'{TWINS}/test_targets_slowly.py',
                                       f'{TWINS}/test_scores_slowly.py', 'tests/test_structures'],
    'unimask/structures/segment_targets.py': [f'{TWINS}/test_targets_slowly.py',
                                              'tests/test_structures'],
    'unimask/structures/target_batch.py': [f'{TWINS}/test_targets_slowly.py',
                                           f'{TWINS}/test_matching.py', 'tests/test_structures'],
    'unimask/evaluation/panoptic_quality.py': [f'{TWINS}/test_scores_slowly.py'],
    'unimask/evaluation/mean_iou.py': [f'{TWINS}/test_scores_slowly.py'],
    'unimask/engine/optim': [f'{TWINS}/test_optimiser_slowly.py',
                             'tests/test_engine/test_optim.py',
                             'tests/test_engine/test_schedules.py'],
    'unimask/ops/points.py': [f'{TWINS}/test_matching.py', f'{TWINS}/test_targets_slowly.py'],
    'unimask/ops/pairs.py': [f'{TWINS}/test_costs.py'],
    'unimask/ops/resize.py': [f'{TWINS}/test_readout_slowly.py'],
    'unimask/ops/deformable.py': [f'{TWINS}/test_layers_slowly.py'],
    'unimask/ops/assignment.py': [f'{TWINS}/test_matching.py', f'{MODELS}/test_criterion.py'],
}
COMPARED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
            ast.NotEq: ast.Eq}
COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
            ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr,
            ast.BitOr: ast.BitAnd, ast.Pow: ast.Mult}
NAMED = {'any': 'all', 'all': 'any', 'min': 'max', 'max': 'min', 'amin': 'amax', 'amax': 'amin',
         'argmax': 'argmin', 'sum': 'mean', 'mean': 'sum', 'sigmoid': 'tanh', 'sin': 'cos',
         'cos': 'sin', 'floor': 'ceil', 'softplus': 'relu', 'gt': 'ge', 'square': 'abs',
         'queries': 'segments', 'softplus_': 'relu_', 'image': 'output', 'mask_losses': 'sampler'}
WORDS = {'nearest': 'bilinear', 'bilinear': 'nearest', 'mean': 'sum', 'ij': 'xy', 'area': 'nearest',
         'none': 'mean', 'valid': 'all', 'all': 'valid'}


def main() -> None:
    """Make, try and list mutants."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--count', type=int, default=100, help='how many mutants')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--only', default='', help='part of the paths of the files to change')
    parser.add_argument('--limit', type=int, default=300, help="seconds for a mutant's tests")
    parser.add_argument('--out', type=Path, default=Path('mutants.json'))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / 'tree'
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(
            '.git', '.venv', '__pycache__', 'data', 'work_dirs', '.*_cache'))
        chosen = choose(tree, args.count, args.seed, args.only)
        _warm_up(tree)
        for tests in {tuple(_tests_of(file)) for file, _, _ in chosen}:
            if not _passes(tree, tests, args.limit):
                raise SystemExit(f'{" ".join(tests)} fail without any change: mend that first.')
        found = []
        for number, (file, place, change) in enumerate(chosen, 1):
            started = time.monotonic()
            caught = try_mutant(tree, file, place, limit=args.limit)
            found.append(dict(file=str(file), change=change, caught=caught))
            print(f'{number}/{len(chosen)} {"caught  " if caught else "SURVIVED"} {file}: {change} '
                  f'({time.monotonic() - started:.0f} s)', flush=True)
            args.out.write_text(json.dumps(found, indent=1))
    print(f"{len(found)} mutants, {sum(mutant['caught'] for mutant in found)} caught")


def choose(tree: Path, count: int, seed: int, only: str) -> list[tuple[Path, int, str]]:
    """Random mutants: file, number of the change in it, description. Files take turns."""
    rng = random.Random(seed)
    queues = []
    for start in TESTS:
        path = tree / start
        for file in sorted(path.rglob('*.py')) if path.is_dir() else [path]:
            relative = file.relative_to(tree)
            changes = [(relative, place, text)
                       for place, text in enumerate(descriptions(file.read_text()))]
            rng.shuffle(changes)
            if only in str(relative):
                # A long file gets more turns than a short one.
                queues += [changes[i::4] for i in range(min(4, len(changes) // 8 + 1))]
    chosen = []
    while len(chosen) < count and any(queues):
        for queue in rng.sample(queues, len(queues)):
            if queue and len(chosen) < count:
                chosen.append(queue.pop())
    return chosen


def descriptions(source: str) -> list[str]:
    """What can be changed, in order."""
    return [f'line {line}: {text}' for line, text, _ in _changes(ast.parse(source))]


def mutant_of(source: str, place: int) -> str:
    """The source with one change."""
    tree = ast.parse(source)
    _, _, apply = list(_changes(tree))[place]
    apply()
    return ast.unparse(ast.fix_missing_locations(tree))


def _changes(tree: ast.AST) -> Iterator[tuple[int, str, Callable]]:
    """Line, description and function of every change. Messages, types and texts stay."""
    for node in _relevant(tree):
        text = ast.unparse(node)[:70] if isinstance(node, ast.expr) else ''
        if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARED:
            yield node.lineno, f'turn {text}', _setter(
                node, 'ops', [COMPARED[type(node.ops[0])](), *node.ops[1:]])
        elif isinstance(node, ast.BinOp) and type(node.op) in COMPUTED:
            yield node.lineno, f'operator of {text}', _setter(
                node, 'op', COMPUTED[type(node.op)]())
            yield node.lineno, f'left side of {text}', _becomes(node, node.left)
            yield node.lineno, f'right side of {text}', _becomes(node, node.right)
        elif isinstance(node, ast.UnaryOp):
            yield node.lineno, f'operand of {text}', _becomes(node, node.operand)
        elif isinstance(node, ast.BoolOp):
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield node.lineno, f'and/or in {text}', _setter(node, 'op', other)
        elif isinstance(node, ast.Constant):
            yield from _constants(node)
        elif isinstance(node, ast.Attribute) and node.attr in NAMED:
            yield node.lineno, f'{NAMED[node.attr]} for {text}', _setter(
                node, 'attr', NAMED[node.attr])
        elif isinstance(node, ast.Call) and len(node.args) > 1 and not any(
                isinstance(arg, ast.Starred) for arg in node.args):
            yield node.lineno, f'swapped arguments of {text}', _setter(
                node, 'args', [node.args[1], node.args[0], *node.args[2:]])
        elif isinstance(node, ast.IfExp):
            yield node.lineno, f'turned choice {text}', _setter(
                node, 'test', ast.UnaryOp(ast.Not(), node.test))
        for field in ('body', 'orelse'):
            if not isinstance(node, ast.ClassDef | ast.Module | ast.expr):
                yield from _statements(getattr(node, field, None) or [])


def _constants(node: ast.Constant) -> Iterator[tuple[int, str, Callable]]:
    value = node.value
    if isinstance(value, bool):
        yield node.lineno, f'{not value} for {value}', _setter(node, 'value', not value)
    elif isinstance(value, int):
        yield node.lineno, f'{value + 1} for {value}', _setter(node, 'value', value + 1)
    elif isinstance(value, float):
        other = 2 * value if value else 1.0
        yield node.lineno, f'{other} for {value}', _setter(node, 'value', other)
    elif isinstance(value, str) and value in WORDS:
        yield node.lineno, f'{WORDS[value]!r} for {value!r}', _setter(node, 'value', WORDS[value])


def _statements(body: list[ast.stmt]) -> Iterator[tuple[int, str, Callable]]:
    for index, statement in enumerate(body[:-1]):
        following = body[index + 1]
        simple = ast.Assign | ast.AugAssign
        text = ast.unparse(statement)[:70].replace('\n', ' ')
        if isinstance(statement, simple) and isinstance(following, simple):
            yield statement.lineno, f'order of {text}', _swapper(body, index)
        if isinstance(statement, ast.AugAssign) or (
                isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)):
            yield statement.lineno, f'without {text}', _setter_at(body, index, ast.Pass())
        if isinstance(statement, ast.If) and not isinstance(statement.body[0], ast.Raise):
            yield statement.lineno, f'turned {text}', _setter(
                statement, 'test', ast.UnaryOp(ast.Not(), statement.test))


def _relevant(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes but those of messages, annotations, decorators, imports and documentation."""
    yield node
    skipped = ('annotation', 'returns', 'decorator_list', 'bases')
    for name, value in ast.iter_fields(node):
        if name in skipped:
            continue
        for child in value if isinstance(value, list) else [value]:
            document = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if isinstance(child, ast.AST) and not document and not isinstance(
                    child, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
                yield from _relevant(child)


def _setter(node: ast.AST, name: str, value: object) -> Callable:
    return lambda: setattr(node, name, value)


def _setter_at(body: list, index: int, value: object) -> Callable:
    return lambda: body.__setitem__(index, value)


def _swapper(body: list, index: int) -> Callable:
    return lambda: body.__setitem__(slice(index, index + 2), body[index:index + 2][::-1])


def _becomes(node: ast.AST, other: ast.expr) -> Callable:
    """The node turns into its part: the parent keeps its reference."""
    def apply() -> None:
        node.__class__ = other.__class__
        node.__dict__ = other.__dict__
    return apply


def try_mutant(tree: Path, file: Path, place: int, *, limit: int) -> bool:
    """Whether the tests of the file fail with its change number ``place``."""
    path = tree / file
    source = path.read_text()
    path.write_text(mutant_of(source, place))
    try:
        return not _passes(tree, _tests_of(file), limit)
    finally:
        path.write_text(source)


def _tests_of(file: Path) -> list[str]:
    return next(tests for start, tests in TESTS.items() if str(file).startswith(start))


def _warm_up(tree: Path) -> None:
    """Import what takes long and is never changed; mutants run in forks of this process."""
    os.environ |= {'UNIMASK_SHARED': '/nonexistent', 'PYTHONDONTWRITEBYTECODE': '1'}
    sys.dont_write_bytecode = True
    sys.path[:] = [str(tree)] + [p for p in sys.path if Path(p or '.').resolve() != ROOT]
    os.chdir(tree)
    import mmdet.datasets
    import mmdet.models
    import mmseg.datasets
    import pycocotools.cocoeval
    import pytest
    import torch
    torch.set_num_threads(1)
    assert 'unimask' not in sys.modules and (
        mmdet, mmseg, pycocotools, pytest)  # only imported to be there


def _passes(tree: Path, tests: Sequence[str], limit: int) -> bool:
    child = os.fork()
    if child == 0:
        import pytest
        signal.alarm(limit)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        status = pytest.main(['-x', '-q', '-p', 'no:cacheprovider', '--rootdir', str(tree),
                              *[str(tree / test) for test in tests]])
        os._exit(int(status))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


if __name__ == '__main__':
    main()
