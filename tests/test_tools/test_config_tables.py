"""The tables of methods and configs say what the metafiles say."""

import runpy
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
METAFILES = sorted(ROOT.glob('configs/*/metafile.yml'))


@pytest.fixture(scope='module')
def updated() -> Callable:
    return runpy.run_path(str(ROOT / 'tools/misc/config_tables.py'))['updated']


def test_committed_tables_are_what_the_tool_makes(updated: Callable) -> None:
    files = dict(updated(ROOT))
    assert {ROOT / 'README.md', ROOT / 'configs/maskformer/README.md'} <= set(files)
    for path, text in files.items():
        assert path.read_text() == text, 'run python tools/misc/config_tables.py'


def test_tables_follow_the_metafile(updated: Callable, tmp_path: Path) -> None:
    for path in (*METAFILES, *(path.with_name('README.md') for path in METAFILES),
                 ROOT / 'README.md'):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    metafile = tmp_path / 'configs/maskformer/metafile.yml'
    content = yaml.safe_load(metafile.read_text())
    model = content['Models'][0]
    model['Config'] = 'configs/maskformer/r18_8xb2_moon.py'
    model['Metadata'] |= {'Training Data': 'Moon', 'Trainable Parameters': 1230000}
    model['Results'] = [{'Task': 'Panoptic Segmentation', 'Metrics': {'PQ': 12.5}}]
    metafile.write_text(yaml.safe_dump(content))
    texts = dict(updated(tmp_path))
    table = texts[tmp_path / 'configs/maskformer/README.md']
    assert '### Moon, panoptic' in table and '| 1.23 M | 12.5 |' in table
    assert '[`r18_8xb2_moon`](r18_8xb2_moon.py)' in table
    assert 'Moon (panoptic)' in texts[tmp_path / 'README.md']
    assert table.split('<!--')[0] == (tmp_path / 'configs/maskformer/README.md').read_text(
        ).split('<!--')[0]


@pytest.mark.parametrize('metafile', METAFILES, ids=lambda path: path.parent.name)
def test_every_config_is_in_its_readme(metafile: Path) -> None:
    readme = metafile.with_name('README.md').read_text()
    names = [Path(model['Config']).name for model in yaml.safe_load(metafile.read_text())['Models']]
    assert [name for name in names if f'({name})' not in readme] == []
