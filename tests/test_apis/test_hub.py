"""Models by their name on the Hugging Face hub, which is never asked here."""

from pathlib import Path

import numpy as np
import pytest

from unimask.apis import Segmenter
from unimask.apis.hub import located
from unimask.errors import UserError

hub = pytest.importorskip('huggingface_hub')


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network."""
    def unreachable(name: str) -> list[str]:
        raise ConnectionError('no route to the hub\nand more')
    monkeypatch.setattr(hub, 'list_repo_files', unreachable)
    monkeypatch.setattr(hub.constants, 'HF_HUB_CACHE', str(tmp_path / 'cache'))
    monkeypatch.chdir(tmp_path)
    return tmp_path / 'cache'


def keep(cache: Path, name: str, file: str, content: bytes) -> None:
    """What the hub's own library leaves in its cache."""
    folder = cache / f'models--{name.replace("/", "--")}'
    path = folder / 'snapshots' / 'f00' / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    (folder / 'refs').mkdir(exist_ok=True)
    (folder / 'refs' / 'main').write_text('f00')


def test_a_model_that_was_fetched_before(cache: Path, checkpoint: Path) -> None:
    keep(cache, 'someone/leaves', 'best.pth', checkpoint.read_bytes())
    segment = Segmenter.from_pretrained('someone/leaves', device='cpu')
    assert segment(np.zeros((20, 30, 3), np.uint8)).image.shape == (20, 30, 3)


def test_weights_without_code_come_first(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(cache, 'someone/both', 'a.pth', b'')
    keep(cache, 'someone/both', 'z/model.safetensors', b'')
    assert str(located('someone/both')).endswith('z/model.safetensors')
    files = ['README.md', 'a.pth', 'b.safetensors']
    monkeypatch.setattr(hub, 'list_repo_files', lambda name: files)
    monkeypatch.setattr(hub, 'hf_hub_download', lambda name, file: f'{name}:{file}')
    assert located('someone/both') == 'someone/both:b.safetensors'
    monkeypatch.setattr(hub, 'list_repo_files', lambda name: files[:1])
    with pytest.raises(UserError, match='has no .safetensors or .pth file'):
        located('someone/both')


def test_without_network(cache: Path) -> None:
    with pytest.raises(UserError, match=r'no file or folder someone/other.*no route to the hub\)'):
        Segmenter.from_pretrained('someone/other')


def test_files_are_not_looked_for_there(cache: Path, tmp_path: Path) -> None:
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'best.pth').touch()
    for name in ('run/best.pth', './run', 'a/b/c.pth', 'best.pth', 'https://place/x.pth'):
        assert located(name) == name
