"""From what a data loader gives to what a segmentor takes."""

from __future__ import annotations

from mmengine.model import ImgDataPreprocessor
from mmengine.structures import BaseDataElement

from unimask.registry import MODELS

__all__ = ['ImagePreprocessor']


@MODELS.register_module()
class ImagePreprocessor(ImgDataPreprocessor):
    """Normalises and pads images on the model's device; annotation stays where it is.

    Segments are made of annotation on the host, where counting classes and looking up ids needs
    no wait for a GPU; only their compact form travels. The options are MMEngine's.
    """

    def cast_data(self, data: object) -> object:
        """Move tensors, leave data samples alone."""
        return data if isinstance(data, BaseDataElement) else super().cast_data(data)
