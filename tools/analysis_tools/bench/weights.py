"""Random weights with which a network behaves like a trained one, as far as cost is concerned."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

# Spread of the class logits and share of the queries that see no object: these leave a few
# queries with a confident class, so that post-processing has something to do.
CLASS_LOGIT_SPREAD = 6.0
NO_OBJECT_SHARE = 0.8
# What attention adds is much the same for all queries; at full size it would make them equal.
ATTENTION_OUTPUT = 0.3


@torch.no_grad()
def randomise(model: nn.Module, seed: int) -> None:
    """Overwrite all weights of ``model`` by reproducible random ones.

    Default initialisations are degenerate for a comparison: zero sampling offsets, zero
    attention biases, identity norms, or (Hugging Face) batch norms with scales near zero.
    """
    rng = torch.Generator().manual_seed(seed)
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm | nn.GroupNorm | nn.LayerNorm):
            _randomise_norm(module, rng)
        else:
            _randomise_layer(name, module, rng)


@torch.no_grad()
def calibrate(class_head: nn.Linear, class_logits: Tensor) -> None:
    """Rescale the class head so that some queries are sure of a class and most of none.

    Random queries resemble each other and would all see the same class.

    Args:
        class_head: the layer that makes the class logits, 'no object' last.
        class_logits: what it makes now, (B, Q, K+1).
    """
    logits = class_logits.flatten(0, 1)
    mean = logits.mean(dim=0)
    scale = CLASS_LOGIT_SPREAD / float((logits - mean).std())
    class_head.weight *= scale
    class_head.bias.copy_(scale * (class_head.bias - mean))
    logits = scale * (logits - mean)
    lead = logits[:, :-1].amax(dim=1) - logits[:, -1]
    class_head.bias[-1] += lead.quantile(NO_OBJECT_SHARE)


def _randomise_norm(module: nn.Module, rng: torch.Generator) -> None:
    module.weight.uniform_(0.6, 1.0, generator=rng)
    module.bias.normal_(0, 0.1, generator=rng)
    if isinstance(module, _BatchNorm):
        module.running_mean.normal_(0, 0.1, generator=rng)
        module.running_var.uniform_(0.8, 1.6, generator=rng)


def _randomise_layer(name: str, module: nn.Module, rng: torch.Generator) -> None:
    """Draw the parameters that ``module`` itself holds."""
    is_offset = name.endswith('sampling_offsets')
    scale = ATTENTION_OUTPUT if name.endswith('out_proj') else 1.0
    for key, parameter in module.named_parameters(recurse=False):
        if isinstance(module, nn.Embedding) or key == 'level_embed':
            parameter.normal_(0, 1, generator=rng)
        elif parameter.dim() == 4:
            fan_in = parameter[0].numel()
            parameter.normal_(0, (2 / fan_in) ** 0.5, generator=rng)
        elif parameter.dim() == 2:
            parameter.normal_(0, scale * parameter.shape[1] ** -0.5, generator=rng)
        elif is_offset:  # up to 4 pixels in any direction, as in a trained encoder
            parameter.uniform_(-4, 4, generator=rng)
        else:
            parameter.normal_(0, 0.05, generator=rng)
