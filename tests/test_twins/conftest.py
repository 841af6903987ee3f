"""Fixtures of the twins."""

from __future__ import annotations

import pytest

from unimask.ops.cpu import native


@pytest.fixture(params=['compiled', 'plain'])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With and without the compiled CPU kernels."""
    if request.param == 'plain':
        monkeypatch.setattr(native, 'load', lambda: None)
    elif native.load() is None:
        pytest.skip('no compiler, hence no compiled kernels')
    return request.param
