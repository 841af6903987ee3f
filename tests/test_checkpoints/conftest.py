"""The toy run of the engine's tests, and a server."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_engine.conftest import config, config_file  # noqa: F401


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Address of the folder of this test."""
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=tmp_path)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{serving.server_address[1]}'
        serving.shutdown()
