"""SeMask's semantic layer: tokens attend to tokens of like classes.

Shapes: B images, (H, W) tokens of a stage, G groups of N tokens that attend among themselves
(windows, or whole maps), C width, K classes.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from unimask.errors import UserError
from unimask.models.layers.linear import Linear
from unimask.ops.attention import unscaled_attention

SemanticInit = Literal['trunc_normal', 'zero_res']


class SemanticAttention(nn.Module):
    """softmax(S_Q S_K^T) Y_V behind a gate (SeMask, section 3.1): one head, no scale, no position.

    Its queries are class scores; they are the semantic map of the stage.

    Args:
        width: C.
        num_classes: K.
        init: ``trunc_normal`` starts all weights at random, so that the gate, which is closed at
            first, gets a gradient. ``zero_res`` is what the published mask classifiers do: gate
            and last projection start at zero, neither of them ever gets a gradient, and the
            attention stays without effect.

    Attributes:
        class_parameters: Parts whose shapes depend on the number of classes.
    """

    class_parameters = ('query', 'key')

    def __init__(self, width: int, num_classes: int, *, init: SemanticInit = 'trunc_normal'
                 ) -> None:
        super().__init__()
        self.query = Linear(width, num_classes)
        self.key = Linear(width, num_classes)
        self.value = Linear(width, width)
        self.output = Linear(width, width)
        self.dropout = nn.Dropout(0.1)
        self.gamma = nn.Parameter(self.query.weight.new_zeros(1))
        _INITIALISE[init](self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(G, N, C) -> class scores (G, N, K), tokens (G, N, C)."""
        semantic = self.query(x)
        mixed = unscaled_attention(semantic, self.key(x), self.value(x))
        return semantic, self.gamma * self.dropout(self.output(mixed)) + x


class SemanticLayer(nn.Module):
    """Norm and semantic attention (SeMask, section 3.1).

    As published, no residual leads around the norm: even with a closed gate the tokens come out
    normalised, and so they go to the next stage.

    Args:
        width: C.
        num_classes: K.
        window: Side of the windows in tokens within which tokens attend to each other; None for
            the whole map. Both have the same parameters.
        blocks: Attentions in a row; the class scores are those of the last.
        init: See :class:`SemanticAttention`.
        trunk_norm: Whether the normalised tokens go on, as published. False: the tokens as they
            came and what attention adds to them, so that a pretrained encoder starts unchanged.

    Raises:
        UserError: A window, a number of blocks or a kind of initialisation that there cannot be.
    """

    def __init__(self, width: int, num_classes: int, *, window: int | None, blocks: int = 1,
                 init: SemanticInit = 'trunc_normal', trunk_norm: bool = True) -> None:
        super().__init__()
        if init not in _INITIALISE:
            raise UserError(f'SeMask: semantic_init must be one of {", ".join(_INITIALISE)}, '
                            f'not {init!r}.')
        if window is not None and window < 1 or blocks < 1:
            raise UserError(
                f'SeMask: a stage needs windows of at least 1 token, or None for the whole map, '
                f'and at least 1 block, not windows of {window} and {blocks} blocks.')
        self.window = window
        self.trunk_norm = trunk_norm
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            SemanticAttention(width, num_classes, init=init) for _ in range(blocks))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, W, C) -> class scores (B, H, W, K), tokens (B, H, W, C)."""
        size = tuple(x.shape[1:3])
        window = size if self.window is None else (self.window, self.window)
        normed = self.norm(x)
        groups = split(normed, window)
        for block in self.blocks:
            semantic, groups = block(groups)
        out = join(groups, window, size)
        return join(semantic, window, size), out if self.trunk_norm else x + (out - normed)


def split(x: Tensor, window: tuple[int, int]) -> Tensor:
    """(B, H, W, C) -> (G, N, C), windows row by row; missing tokens at the end are zeros.

    They take part in the attention like the others, as in the published models.
    """
    rows, columns = window
    height, width = x.shape[1:3]
    x = F.pad(x, (0, 0, 0, -width % columns, 0, -height % rows))
    x = x.unflatten(2, (-1, columns)).unflatten(1, (-1, rows))
    return x.transpose(2, 3).flatten(3, 4).flatten(0, 2)


def join(groups: Tensor, window: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """The inverse of :func:`split`: (G, N, C) -> (B, H, W, C) without the padding."""
    counts = [-(-side // length) for side, length in zip(size, window, strict=True)]
    x = groups.unflatten(1, window).unflatten(0, (-1, *counts)).transpose(2, 3)
    return x.flatten(3, 4).flatten(1, 2)[:, :size[0], :size[1]]


def _trunc_normal(attention: SemanticAttention) -> None:
    for part in (attention.query, attention.key, attention.value, attention.output):
        nn.init.trunc_normal_(part.weight, std=0.02)
        nn.init.zeros_(part.bias)


def _zero_res(attention: SemanticAttention) -> None:
    for part in (attention.query, attention.key, attention.value):
        nn.init.kaiming_normal_(part.weight)
        nn.init.zeros_(part.bias)
    nn.init.zeros_(attention.output.weight)
    nn.init.zeros_(attention.output.bias)


_INITIALISE = {'trunc_normal': _trunc_normal, 'zero_res': _zero_res}
