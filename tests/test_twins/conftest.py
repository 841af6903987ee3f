"""Fixtures of the twins."""

from __future__ import annotations

import pytest

from unimask.models.post_processors import readout
from unimask.ops.cpu import native


@pytest.fixture(params=['compiled', 'plain'])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With and without the compiled CPU kernels."""
    if request.param == 'plain':
        monkeypatch.setattr(native, 'load', lambda: None)
    elif native.load() is None:
        pytest.skip('no compiler, hence no compiled kernels')
    return request.param


@pytest.fixture(params=['whole', 'bands'])
def bands(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps are made at once, or a few output rows at a time as for large pictures."""
    if request.param == 'bands':
        monkeypatch.setattr(readout, 'row_tiles', lambda height, width, maps: [
            slice(start, min(height, start + 7)) for start in range(0, height, 7)])
