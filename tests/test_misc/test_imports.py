"""Who may import whom, inside the package (.importlinter) and outside of it."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

LIBRARIES = {
    'structures': {'torch', 'numpy'},
    'ops': {'torch', 'numpy', 'scipy'},
}
LAZY = {'structures': set(), 'ops': {'mmcv', 'torchvision'}}
LONGEST_FUNCTION = 80


def imports(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """(top-level name, whether in a function or for types alone) of every absolute import."""
    def visit(node: ast.AST, lazy: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.Import):
            yield from ((alias.name.split('.')[0], lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split('.')[0], lazy
        inner = lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or (
            isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING')
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inner)
    yield from visit(tree, False)


def test_import_contracts_hold(repo: Path) -> None:
    lint_imports = Path(sys.executable).with_name('lint-imports')
    done = subprocess.run([lint_imports, '--no-cache'], cwd=repo, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_contract_catches_a_wrong_import(repo: Path, tmp_path: Path) -> None:
    package = tmp_path / 'unimask'
    folders = ('apis', 'own_data', 'survey', 'report', 'engine', 'preflight', 'datasets',
               'evaluation', 'convert', 'visualization', 'models', 'checkpoints', 'ops',
               'structures', 'utils')
    for folder in folders:
        (package / folder).mkdir(parents=True)
        (package / folder / '__init__.py').touch()
    (package / '__init__.py').touch()
    for name in ('__main__', 'cli', 'registry', 'errors', 'literals', 'metadata', 'data_sample'):
        (package / f'{name}.py').touch()
    (package / 'structures' / '__init__.py').write_text('import mmengine\n')
    (package / 'models' / '__init__.py').write_text('import unimask.datasets\n')
    lint_imports = Path(sys.executable).with_name('lint-imports')
    done = subprocess.run(
        [lint_imports, '--no-cache', '--config', repo / '.importlinter'], cwd=tmp_path,
        env={'PYTHONPATH': str(tmp_path), 'PATH': '/usr/bin:/bin'}, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert 'unimask.models -> unimask.datasets' in done.stdout
    assert 'unimask.structures -> mmengine' in done.stdout


@pytest.mark.parametrize('part', sorted(LIBRARIES))
def test_lower_layers_use_few_libraries(repo: Path, part: str) -> None:
    allowed = LIBRARIES[part] | set(sys.stdlib_module_names) | {'unimask'}
    wrong = [
        f'{path.relative_to(repo)}: {name}'
        for path in (repo / 'unimask' / part).rglob('*.py')
        for name, lazy in imports(ast.parse(path.read_text()))
        if name not in allowed | (LAZY[part] if lazy else set())
    ]
    assert wrong == []


def test_package_needs_neither_tools_nor_projects(repo: Path) -> None:
    names = {
        name for path in (repo / 'unimask').rglob('*.py') if '.mim' not in path.parts
        for name, _ in imports(ast.parse(path.read_text()))
    }
    assert 'torch' in names
    assert not names & {'tools', 'projects', 'tests', 'configs'}


# Import name -> distribution, where they differ; those of mmengine's own requirements.
DISTRIBUTIONS = dict(cv2='opencv-python-headless', PIL='pillow', mmengine='onedl-mmengine',
                     rich='onedl-mmengine', yaml='onedl-mmengine')


def test_what_is_imported_at_once_comes_with_the_light_installation(repo: Path) -> None:
    lines = (repo / 'requirements' / 'runtime.txt').read_text().splitlines()
    declared = {re.split(r'[<>=!~ ]', line)[0] for line in lines if not line.startswith('#')}
    assert 'torch' in declared
    known = {*sys.stdlib_module_names, 'unimask'}
    missing = {
        f'{path.relative_to(repo)}: {name}'
        for path in (repo / 'unimask').rglob('*.py') if '.mim' not in path.parts
        for name, lazy in imports(ast.parse(path.read_text()))
        if not lazy and name not in known and DISTRIBUTIONS.get(name, name) not in declared}
    assert missing == set()


def test_functions_fit_on_a_screen(repo: Path) -> None:
    files = [path for folder in ('unimask', 'tools', 'projects')
             for path in (repo / folder).rglob('*.py') if '.mim' not in path.parts]
    assert files
    too_long = [
        f'{path.relative_to(repo)}: {node.name} has {node.end_lineno - node.lineno + 1} lines'
        for path in files for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno - node.lineno >= LONGEST_FUNCTION
    ]
    assert too_long == []
