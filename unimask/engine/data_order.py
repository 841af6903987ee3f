"""Training data that depend on the seed and the position in the run, and on nothing else.

The sampler numbers the indices it yields; the dataset seeds its random augmentation with that
number. So the images of iteration n are the same with any number of worker processes, and a
resumed run sees what the unbroken one would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from torch.utils.data import BatchSampler, Dataset, Sampler

from unimask.engine.rng import isolated_rng

__all__ = ['NumberedIndex', 'NumberedSampler', 'SeededDataset', 'SkippingBatches']


class NumberedIndex(int):
    """A dataset index that knows its number in the stream of one process."""

    number: int

    def __new__(cls, index: int, number: int) -> NumberedIndex:
        made = super().__new__(cls, index)
        made.number = number
        return made

    def __reduce__(self) -> tuple:
        return NumberedIndex, (int(self), self.number)


class NumberedSampler(Sampler):
    """Numbers the indices of another sampler and can start in the middle.

    Args:
        sampler: MMEngine's ``InfiniteSampler``, ``DefaultSampler`` or any other.
    """

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler
        self.epoch = 0
        self._skip = 0

    def __iter__(self) -> Iterator[NumberedIndex]:
        offset = self.epoch * len(self.sampler)
        skip, self._skip = self._skip, 0
        for number, index in enumerate(islice(iter(self.sampler), skip, None), skip + offset):
            yield NumberedIndex(index, number)

    def __len__(self) -> int:
        return len(self.sampler)

    def __getattr__(self, name: str) -> Any:
        if name == 'sampler':
            raise AttributeError(name)
        inner = getattr(self.sampler, name)
        # MMEngine's loop asks samplers that never end to skip; those that end are restarted.
        return self.start_at if name == 'skip' else inner

    def __deepcopy__(self, memo: dict) -> NumberedSampler:
        return self  # MMEngine copies dataloader configs, but generators have no copies

    def set_epoch(self, epoch: int) -> None:
        """Pass the epoch on to the sampler; it offsets the numbers."""
        self.epoch = epoch
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)

    def start_at(self, num_samples: int) -> None:
        """Let the next iteration start after ``num_samples`` indices of this process."""
        self._skip = num_samples


class SkippingBatches(Sampler):
    """A batch sampler that can start in the middle without loading what it skips.

    Args:
        batches: Any batch sampler, such as ``AspectRatioBatchSampler``.
    """

    def __init__(self, batches: Sampler | BatchSampler) -> None:
        self.batches = batches
        self._skip = 0

    def __iter__(self) -> Iterator[list[int]]:
        skip, self._skip = self._skip, 0
        yield from islice(iter(self.batches), skip, None)

    def __len__(self) -> int:
        return len(self.batches)

    def __getattr__(self, name: str) -> Any:
        if name == 'batches':
            raise AttributeError(name)
        return getattr(self.batches, name)

    def __deepcopy__(self, memo: dict) -> SkippingBatches:
        return self

    def start_at(self, num_batches: int) -> None:
        """Let the next iteration start after so many batches."""
        self._skip = num_batches


class SeededDataset(Dataset):
    """A dataset whose random augmentation is seeded by the number of the sample.

    Args:
        dataset: The dataset to draw from.
        seed: Seed of the run.
        rank: Rank of this process, so that processes differ.
    """

    def __init__(self, *, dataset: Dataset, seed: int, rank: int) -> None:
        self.dataset = dataset
        self.seed = seed
        self.rank = rank

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        number = getattr(index, 'number', None)
        if number is None:
            return self.dataset[index]
        with isolated_rng(self._seed_of(number)):
            return self.dataset[int(index)]

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset':
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __deepcopy__(self, memo: dict) -> SeededDataset:
        # MMEngine copies dataloader configs; the annotations need not be copied with them.
        return self

    def _seed_of(self, number: int) -> int:
        words = np.random.SeedSequence((self.seed, self.rank, number)).generate_state(1)
        return int(words[0])
