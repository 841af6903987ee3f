"""Batches of images that lie the same way."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import BatchSampler, Sampler

from unimask.registry import DATA_SAMPLERS

__all__ = ['AspectRatioBatchSampler']


@DATA_SAMPLERS.register_module()
class AspectRatioBatchSampler(BatchSampler):
    """Batches of upright images and batches of others, so that little is padded.

    The order is that of MMDetection's class of this name. The items of the data set have to state
    ``width`` and ``height``.

    Args:
        sampler: Draws the images; it has the ``dataset``, as MMEngine's samplers do.
        batch_size: Images of a batch.
        drop_last: Leave out the last batch where it is smaller.
    """

    def __init__(self, sampler: Sampler, batch_size: int, drop_last: bool = False) -> None:
        super().__init__(sampler, batch_size, drop_last)

    def __iter__(self) -> Iterator[list[int]]:
        upright: list[int] = []
        others: list[int] = []
        for index in self.sampler:
            item = self.sampler.dataset.get_data_info(index)
            waiting = upright if item['width'] < item['height'] else others
            waiting.append(index)
            if len(waiting) == self.batch_size:
                yield waiting[:]
                waiting.clear()
        left = upright + others
        for start in range(0, len(left), self.batch_size):
            batch = left[start:start + self.batch_size]
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch
