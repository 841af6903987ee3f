"""Using trained models."""

from unimask.apis.inferencer import Inferencer, find_images

__all__ = ['Inferencer', 'find_images']
