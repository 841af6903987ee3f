"""Draws the scenes of the Shapes data set and writes them."""

from __future__ import annotations

from shapes_maker.writing import ShapesSpec, make_shapes

__all__ = ['ShapesSpec', 'make_shapes']
