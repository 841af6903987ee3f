"""What data sets say in the log, caught for tests."""

import logging

import pytest

from unimask.datasets import reporting


class Notes:
    """Texts of the log, in one string each for all that is said and for the warnings."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, str]] = []

    def __call__(self, text: str, logger: str, level: int = logging.INFO) -> None:
        assert logger == 'current'
        self.entries.append((level, text))

    @property
    def said(self) -> str:
        return '\n'.join(text for level, text in self.entries if level == logging.INFO)

    @property
    def warnings(self) -> str:
        return '\n'.join(text for level, text in self.entries if level == logging.WARNING)


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Notes:
    caught = Notes()
    monkeypatch.setattr(reporting, 'print_log', caught)
    return caught
