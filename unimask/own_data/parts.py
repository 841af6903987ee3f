"""What is known of a user's data once they are recognised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

__all__ = ['Layout', 'OwnData', 'Part', 'Splitting', 'known_split']

# Words in the names of files and folders that tell what the images are for.
_SPLITS = {
    'train': ('train', 'training'),
    'val': ('val', 'valid', 'validation', 'dev'),
    'test': ('test', 'testing'),
}


@dataclass(frozen=True)
class Splitting:
    """How a validation set is split off where the data have none.

    Attributes:
        share: Share of the images, more than 0 and less than 1.
        seed: Of the random choice.
    """

    share: float = 0.2
    seed: int = 0


@dataclass(frozen=True)
class Part:
    """The images for training or for validation.

    Attributes:
        dataset: Config of a data set, without its pipeline.
        images: How many there are.
        objects: Most objects in one of them; for label maps, classes.
        sizes: Height and width of images, of all or of some, in pixels.
        files: The pictures and the PNGs of their labels.
    """

    dataset: dict[str, Any]
    images: int
    objects: int
    sizes: Sequence[tuple[int, int]]
    files: Sequence[Path] = ()

    @property
    def short_edge(self) -> int:
        """Median of the shorter edges in pixels."""
        return round(median(min(size) for size in self.sizes))

    @property
    def long_edge(self) -> int:
        """Median of the longer edges in pixels."""
        return round(median(max(size) for size in self.sizes))


@dataclass(frozen=True)
class OwnData:
    """A user's data, ready for a config.

    Attributes:
        format: What they were recognised as, for people.
        task: ``semantic``, ``instance`` or ``panoptic``.
        train: The images for training.
        val: The images for validation.
        notes: What was assumed, for people.
    """

    format: str
    task: str
    train: Part
    val: Part
    notes: tuple[str, ...] = ()


class Layout(Protocol):
    """Data of one format that were found in a folder.

    Attributes:
        format: Its name, for people.
        task: What it has labels for.
    """

    format: str
    task: str

    def prepare(self, out: Path, splitting: Splitting) -> OwnData:
        """Read and check the annotation; write into ``out`` what a data set cannot read as it is.

        Raises:
            UserError: The data contradict themselves.
        """


def known_split(path: Path) -> str | None:
    """``train``, ``val`` or ``test``, if a word in a relative path says so; the last one counts."""
    for part in reversed(path.parts):
        words = ''.join(c if c.isalpha() else ' ' for c in part.lower()).split()
        for split, names in _SPLITS.items():
            if any(word in names for word in words):
                return split
    return None
