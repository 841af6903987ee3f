"""unimask: train, evaluate and ship mask-classification segmentation models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unimask.version import __version__

if TYPE_CHECKING:
    from unimask.apis import Segmenter as Segmenter
    from unimask.own_data import train as train

__all__ = ['Segmenter', '__version__', 'train']


def __getattr__(name: str) -> object:
    """Import what is asked for, so that ``import unimask`` stays quick."""
    if name == 'train':
        from unimask.own_data import train
        return train
    if name == 'Segmenter':
        from unimask.apis import Segmenter
        return Segmenter
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
