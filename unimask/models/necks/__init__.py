"""Pixel decoders: backbone maps in, :class:`~unimask.structures.PixelFeatures` out."""

from __future__ import annotations

from unimask.models.necks.fapn import FaPNPixelDecoder, MSFaPNPixelDecoder
from unimask.models.necks.fpn import FPNPixelDecoder
from unimask.models.necks.msdeformattn import MSDeformAttnPixelDecoder
from unimask.models.necks.semantic_fpn import SemanticFPNPixelDecoder
from unimask.models.necks.transformer_encoder import TransformerEncoderPixelDecoder

__all__ = ['FPNPixelDecoder', 'FaPNPixelDecoder', 'MSDeformAttnPixelDecoder',
           'MSFaPNPixelDecoder', 'SemanticFPNPixelDecoder', 'TransformerEncoderPixelDecoder']
