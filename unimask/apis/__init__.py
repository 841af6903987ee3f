"""Using trained models."""

from __future__ import annotations

from unimask.apis.inferencer import Inferencer, Report
from unimask.apis.pictures import find_images
from unimask.apis.result import Instances, Result, Segment
from unimask.apis.segmenter import Segmenter

__all__ = ['Inferencer', 'Instances', 'Report', 'Result', 'Segment', 'Segmenter', 'find_images']
