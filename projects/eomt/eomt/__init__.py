"""EoMT, the encoder-only mask transformer. Importing this registers its parts."""

from __future__ import annotations

from projects.eomt.eomt.annealing import MaskAnnealingHook
from projects.eomt.eomt.criterion import StagedCriterion, StagedPrediction
from projects.eomt.eomt.head import EoMTHead
from projects.eomt.eomt.optim import LayerDecayConstructor, TwoStageWarmupPolyLR
from projects.eomt.eomt.vit import OpenFeatures, PlainViT
from projects.eomt.eomt.weights import HUGGINGFACE_EOMT, PretrainedViT
from projects.eomt.eomt.windows import SlidingWindow

__all__ = [
    'HUGGINGFACE_EOMT', 'EoMTHead', 'LayerDecayConstructor', 'MaskAnnealingHook', 'OpenFeatures',
    'PlainViT', 'PretrainedViT', 'SlidingWindow', 'StagedCriterion', 'StagedPrediction',
    'TwoStageWarmupPolyLR',
]
