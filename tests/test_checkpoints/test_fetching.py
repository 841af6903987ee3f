"""Files from the web."""

from pathlib import Path

import pytest
import torch

from unimask.checkpoints import fetch, read_checkpoint
from unimask.checkpoints.fetching import check_reachable
from unimask.errors import UserError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    return tmp_path / 'hub' / 'checkpoints'


def test_a_file_is_fetched_once(server: str, tmp_path: Path, cache: Path) -> None:
    (tmp_path / 'a.pth').write_bytes(b'first')
    assert fetch(f'{server}/a.pth?download=true') == cache / 'a.pth'
    (tmp_path / 'a.pth').unlink()
    assert fetch(f'{server}/a.pth?download=true').read_bytes() == b'first'


def test_files_of_one_name_from_two_places_are_two(server: str, tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f'm{number}').mkdir()
        torch.save(dict(number=number), tmp_path / f'm{number}' / 'model.pth')
    for number in (1, 2, 1):
        assert read_checkpoint(f'{server}/m{number}/model.pth') == dict(number=number)


def test_a_file_that_the_user_put_there_is_taken(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / 'a.pth').write_bytes(b'mine')
    assert fetch('http://127.0.0.1:9/a.pth').read_bytes() == b'mine'
    check_reachable('http://127.0.0.1:9/a.pth')


def test_what_cannot_be_had_is_said(server: str, cache: Path) -> None:
    for url in (f'{server}/none.pth', 'http://127.0.0.1:9/none.pth'):
        for attempt in (fetch, check_reachable):
            with pytest.raises(UserError, match='cannot be downloaded') as caught:
                attempt(url, without='Do without.')
            for part in (url, str(cache / 'none.pth'), 'Do without.'):
                assert part in str(caught.value)
