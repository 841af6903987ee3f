"""Which images are for training and which for validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from unimask.errors import UserError
from unimask.own_data.parts import Splitting

__all__ = ['split_off', 'train_and_val']

Item = TypeVar('Item')


def train_and_val(found: Mapping[str | None, Sequence[Item]], splitting: Splitting, *, where: str
                  ) -> tuple[list[Item], list[Item], str | None]:
    """Items for training and validation.

    What has the word is taken as it says. Without images for validation those for testing take
    their place, or else some of those for training do.

    Args:
        found: Items by ``train``, ``val``, ``test``, and None where nothing says what they are for.
        splitting: How some are split off.
        where: The data, for messages.

    Returns:
        Both, and a sentence on what was assumed, None where nothing was.

    Raises:
        UserError: There is nothing to train with, or one image alone.
    """
    train = [*found.get('train', ()), *found.get(None, ())]
    for name in ('val', 'test'):
        if found.get(name) and train:
            note = None if name == 'val' else (
                f'{where} has no images for validation; those for testing are used')
            return train, list(found[name]), note
    rest = train or [*found.get('val', ()), *found.get('test', ())]
    train, val = split_off(rest, splitting, where=where)
    return train, val, (f'{where} has no images for validation; {len(val)} of {len(rest)} were '
                        f'chosen at random (seed {splitting.seed})')


def split_off(items: Sequence[Item], splitting: Splitting, *, where: str
              ) -> tuple[list[Item], list[Item]]:
    """Choose a share of the items, one at least; both parts keep the order.

    Raises:
        UserError: There are less than two.
    """
    if len(items) < 2:
        raise UserError(f'{where} has {len(items)} labelled images. Training needs two at least: '
                        'one to learn from and one to judge by.')
    count = min(max(1, round(splitting.share * len(items))), len(items) - 1)
    order = np.random.RandomState(splitting.seed).permutation(len(items)).tolist()
    chosen = set(order[:count])
    return ([item for number, item in enumerate(items) if number not in chosen],
            [item for number, item in enumerate(items) if number in chosen])
