"""Sphinx settings. `make docs` builds the pages; every page under docs/ is part of them."""

import inspect
import shutil
import sys
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
GENERATED = DOCS / '_generated'
sys.path.insert(0, str(ROOT))

project = 'unimask'
author = 'the unimask authors'
extensions = ['myst_parser']
exclude_patterns = ['_build']
myst_heading_anchors = 3
html_theme = 'alabaster'
# Links to files of the repository that are no pages, such as configs, are fine on the website
# of the repository.
suppress_warnings = ['myst.xref_missing']


def list_components(app: Sphinx) -> None:
    """Write the page of registered components and take over the pages of the repository's root."""
    GENERATED.mkdir(exist_ok=True)
    for name in ('README.md', 'CONTRIBUTING.md'):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, GENERATED / name)
    (GENERATED / 'components.md').write_text(components_page())


def components_page() -> str:
    """One section a registry, one row a component that unimask registers."""
    from unimask import registry
    from unimask.utils import register_all_modules
    register_all_modules()
    lines = ['# Components', '', 'What a config can name, straight from the registries.', '']
    for name in registry.__all__:
        members = getattr(getattr(registry, name), 'module_dict', {})
        if members:
            lines += [f'## {name}', '', '| type | what it is |', '|---|---|']
            lines += [f'| `{key}` | {summary(members[key])} |' for key in sorted(members)]
            lines.append('')
    return '\n'.join(lines)


def summary(component: type) -> str:
    """First sentence of a docstring, fit for a table."""
    paragraph = (inspect.getdoc(component) or '').split('\n\n')[0]
    return ' '.join(paragraph.split()).replace('|', '\\|').replace('``', '`')


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect('builder-inited', list_components)
