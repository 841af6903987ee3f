"""Registries: parts of components, and components of libraries that are not installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import Registry

from unimask.apis.stored_config import stored_config
from unimask.errors import UserError
from unimask.preflight.components import check_components
from unimask.registry import METRICS, MODELS, build
from unimask.utils import extras

PARTS = Registry('part for tests')


@PARTS.register_module()
class Part:
    def __init__(self, *, width: int, depth: int = 2) -> None:
        self.width, self.depth = width, depth


def test_facts_fill_the_options_that_there_are() -> None:
    part = build(PARTS, dict(type='Part'), width=3, colour='red')
    assert (part.width, part.depth) == (3, 2)
    assert build(PARTS, dict(type=Part, width=5), width=3).width == 5


def test_objects_and_nothing_go_through() -> None:
    part = Part(width=1)
    assert build(PARTS, part, width=7) is part and part.width == 1
    assert build(PARTS, None, width=7) is None


def test_unknown_names_stay_the_registrys_error() -> None:
    with pytest.raises(KeyError, match='NoSuchPart'):
        build(PARTS, dict(type='NoSuchPart'), width=3)


def without(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """Importing a library fails from now on."""
    def fails(name: str) -> None:
        if name.partition('.')[0] == library:
            raise ModuleNotFoundError(f"No module named '{library}'")

    monkeypatch.setattr(extras, 'import_module', fails)


@pytest.mark.parametrize(('library', 'words'), [('mmdet', 'MMDetection'),
                                                ('mmseg', 'MMSegmentation'), ('mmcv', 'mmcv')])
def test_what_to_type_where_a_library_is_missing(monkeypatch: pytest.MonkeyPatch, library: str,
                                                 words: str) -> None:
    without(monkeypatch, library)
    line = rf'{library}\.Thing needs {words}.*No module named.*pip install "unimask\[mm\]"'
    with pytest.raises(UserError, match=line):
        MODELS.build(dict(type=f'{library}.Thing'))
    with pytest.raises(UserError, match=line):
        check_components(Config(dict(model=dict(type=f'{library}.Thing'))))
    with pytest.raises(UserError, match=rf'{library}\.Thing, needs {words}.*unimask\[mm\]'):
        stored_config(dict(meta=dict(cfg=f"""
model = dict(type='UniversalSegmentor', backbone=dict(type='{library}.Thing'))
test_dataloader = dict(dataset=dict(pipeline=[dict(type='LoadImage')]))
""")), path='a.pth')


@pytest.mark.parametrize(('registry', 'component', 'library'), [
    (MODELS, dict(type='StagedResNet', depths=(1,), widths=(8,), strides=(1,)), 'mmdet'),
    (MODELS, dict(type='SeMaskMiT', size='b0', num_classes=3), 'mmseg'),
    (METRICS, dict(type='CityscapesInstanceMetric'), 'cityscapesscripts'),
    (METRICS, dict(type='CityscapesSemanticMetric'), 'cityscapesscripts')])
def test_components_that_need_a_library(monkeypatch: pytest.MonkeyPatch, registry: Registry,
                                        component: dict, library: str) -> None:
    without(monkeypatch, library)
    with pytest.raises(UserError, match=r'pip install "unimask\[mm\]"'):
        registry.build(component)


def test_announcements_of_libraries_are_dropped(tmp_path: Path, capsys: pytest.CaptureFixture,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'loud_library.py').write_text(
        "print('Could not import OneDL. Skipping it.')\nprint('something else')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    extras.import_quietly(['loud_library'])
    assert capsys.readouterr().out == 'something else\n'
