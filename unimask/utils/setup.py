"""Registration of all components."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO

from mmengine.registry import DefaultScope

PACKAGES = (
    'unimask.models', 'unimask.datasets', 'unimask.evaluation', 'unimask.engine',
    'unimask.convert', 'unimask.visualization', 'unimask.apis',
)
# Sibling scopes: importing their registries makes the prefixes `mmdet.` and `mmseg.` known.
SIBLINGS = ('mmdet.registry', 'mmseg.registry')


def register_all_modules(init_default_scope: bool = True) -> None:
    """Import every package of unimask, so that its components are registered.

    Args:
        init_default_scope: Also make ``unimask`` the current default scope, in which
            components are looked up by their bare name. A scope that another library left
            current is replaced.
    """
    import_quietly(SIBLINGS + PACKAGES)
    if init_default_scope and (
            DefaultScope.get_current_instance() is None
            or DefaultScope.get_current_instance().scope_name != 'unimask'):
        name = 'unimask'
        if DefaultScope.check_instance_created(name):
            name = f'unimask-{len(DefaultScope._instance_dict)}'
        DefaultScope.get_instance(name, scope_name='unimask')


def import_quietly(names: Iterable[str]) -> None:
    """Import modules without the lines in which onedl-mmdetection and -mmsegmentation announce an
    optional package that concerns nobody here."""
    printed = StringIO()
    with redirect_stdout(printed):
        for name in names:
            import_module(name)
    lines = [line for line in printed.getvalue().splitlines() if 'import OneDL' not in line]
    if lines:
        print('\n'.join(lines))
