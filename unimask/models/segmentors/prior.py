"""SeMask's semantic prior at test time: what the stages of the encoder say, and their sum.

Shapes: S stages, (H_o, W_o) original image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from mmengine.structures import PixelData
from torch import Tensor, nn

from unimask.errors import UserError
from unimask.models.heads import SemanticPriorHead
from unimask.models.post_processors import Readout, SemanticPostProcessor
from unimask.structures import BackboneFeatures, DensePrediction, Taxonomy

__all__ = ['add_priors', 'find_prior_head']

Readouts = Callable[[DensePrediction], Iterable[Readout]]


def find_prior_head(auxiliary: nn.ModuleDict) -> SemanticPriorHead:
    """The head among a model's auxiliary branches that adds up the stages' scores.

    Raises:
        UserError: There is none.
    """
    for branch in auxiliary.values():
        if isinstance(branch.head, SemanticPriorHead):
            return branch.head
    raise UserError(
        'the semantic prior is asked for (--prior, Inferencer(prior=True) or '
        'model.test_cfg.prior), but this model has none: none of the heads in model.auxiliary is '
        'a SemanticPriorHead. Models of configs/semask have one.')


def add_priors(samples: Sequence, features: BackboneFeatures, *, head: SemanticPriorHead,
               readouts: Readouts, taxonomy: Taxonomy) -> None:
    """Set ``pred_prior`` of data samples.

    It has ``sem_seg`` (1, H_o, W_o), the class of the highest sum of scores, and ``stages``
    (S, H_o, W_o), that of the highest score of each stage, fine to coarse; int64.

    Args:
        samples: One for each image.
        features: Of the encoder.
        head: What adds up.
        readouts: From a prediction of the batch to those of its images.
        taxonomy: The classes.
    """
    merged = _label_maps(head(features), readouts, taxonomy)
    stages = [_label_maps(DensePrediction(scores[None]), readouts, taxonomy)
              for scores in features.semantic]
    for sample, total, *parts in zip(samples, merged, *stages, strict=True):
        sample.pred_prior = PixelData(sem_seg=total, stages=torch.cat(parts))


def _label_maps(prediction: DensePrediction, readouts: Readouts, taxonomy: Taxonomy
                ) -> list[Tensor]:
    processor = SemanticPostProcessor()
    return [processor(readout, taxonomy).sem_seg for readout in readouts(prediction)]
