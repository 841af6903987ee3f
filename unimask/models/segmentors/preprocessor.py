"""From what a data loader gives to what a segmentor takes."""

from __future__ import annotations

from mmengine.model import ImgDataPreprocessor

from unimask.registry import MODELS

__all__ = ['ImagePreprocessor']


@MODELS.register_module()
class ImagePreprocessor(ImgDataPreprocessor):
    """Normalises and pads images on the model's device; in training, annotation stays behind.

    Segments are made of annotation on the host, where counting classes and looking up ids needs
    no wait for a GPU; only their compact form travels. The options are MMEngine's.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """``inputs``, a list of (3, h, w) images, -> (B, 3, H, W); ``data_samples`` as they are."""
        if not training:
            return super().forward(data, training)
        moved = super().forward(dict(inputs=data['inputs']), training)
        return dict(moved, data_samples=data.get('data_samples'))
