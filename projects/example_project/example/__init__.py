"""The components of this project. Importing this registers them."""

from __future__ import annotations

from projects.example_project.example.lovasz import MaskLovaszLoss

__all__ = ['MaskLovaszLoss']
