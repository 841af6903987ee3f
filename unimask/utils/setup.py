"""Registration of all components."""

from __future__ import annotations

from contextlib import suppress

from mmengine.registry import DefaultScope

from unimask.utils.extras import import_quietly

PACKAGES = (
    'unimask.models', 'unimask.datasets', 'unimask.evaluation', 'unimask.engine',
    'unimask.convert', 'unimask.visualization', 'unimask.apis',
)
# Where they are installed: the scopes `mmdet.` and `mmseg.`, and mmcv's transforms by bare name.
SIBLINGS = ('mmdet.registry', 'mmseg.registry', 'mmcv.transforms')


def register_all_modules(init_default_scope: bool = True) -> None:
    """Import every package of unimask, so that its components are registered.

    Args:
        init_default_scope: Also make ``unimask`` the current default scope, in which
            components are looked up by their bare name. A scope that another library left
            current is replaced.
    """
    for name in SIBLINGS:
        with suppress(ImportError):  # the registries tell whoever asks for one of theirs
            import_quietly([name])
    import_quietly(PACKAGES)
    if init_default_scope and (
            DefaultScope.get_current_instance() is None
            or DefaultScope.get_current_instance().scope_name != 'unimask'):
        name = 'unimask'
        if DefaultScope.check_instance_created(name):
            name = f'unimask-{len(DefaultScope._instance_dict)}'
        DefaultScope.get_instance(name, scope_name='unimask')
