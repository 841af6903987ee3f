"""Optional compiled CPU kernels: deformable attention and convolution, points, matching statistics.

Where they cannot be had (see :mod:`native_build`), :func:`load` gives None after one warning line
and :func:`supports` is False; callers then take their plain torch path, which computes the same.

Shapes: B images, S value rows, H heads, D channels per head, Q queries, L levels, P points,
M maps, R rows of logits, N targets.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from unimask.ops.cpu.native_build import load

__all__ = [
    'load', 'supports', 'ms_deform_attn', 'ms_deform_self_attn', 'deform_conv', 'sample_maps',
    'sample_labels', 'uncertain_points', 'uniform_points', 'draw_uncertain_points',
    'pair_statistics', 'row_statistics',
]

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_LABELS = (torch.bool, torch.uint8, torch.int16, torch.int32)


# ------------------------------------------------------------------------------------------ calling

def supports(*tensors: Tensor) -> bool:
    """Whether the kernels can be had and take these tensors: plain ones on the CPU, <= 32 bit.

    False while torch traces, compiles or exports: those need operators they know.
    """
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        return False
    return all(_is_plain(tensor) for tensor in tensors) and load() is not None


def _is_plain(tensor: Tensor) -> bool:
    return (type(tensor) in (Tensor, torch.nn.Parameter) and tensor.device.type == 'cpu'
            and tensor.layout == torch.strided and tensor.dtype in _DTYPES)


def _library() -> ctypes.CDLL:
    library = load()
    if library is None:
        raise RuntimeError('the compiled CPU kernels are not available; ask supports() first')
    return library


def _float32(name: str, tensor: Tensor) -> Tensor:
    """The tensor as float32 (half precision, as under autocast, is widened), or an error."""
    if tensor.device.type != 'cpu' or tensor.dtype not in _DTYPES:
        raise TypeError(f'{name} must be a float32 (or bfloat16, float16) tensor on the CPU, '
                        f'not {tensor.dtype} on {tensor.device}')
    return tensor.float()


def _check_shape(name: str, tensor: Tensor, expected: Sequence[int | None], legend: str) -> None:
    fits = tensor.dim() == len(expected) and all(
        want is None or want == have for want, have in zip(expected, tensor.shape, strict=True))
    if not fits:
        want = ', '.join('any' if size is None else str(size) for size in expected)
        raise ValueError(f'{name} {legend} must have shape ({want}), not {tuple(tensor.shape)}')


def _integers(*values: int) -> ctypes.Array:
    return (ctypes.c_int64 * len(values))(*values)


def _call(name: str, *arguments: ctypes.Array | Tensor | int | None) -> None:
    """Runs a kernel. Tensors must be contiguous; they are kept alive until it returns."""
    raw = [x.data_ptr() if isinstance(x, Tensor) else x for x in arguments]
    getattr(_library(), f'unimask_{name}')(*raw, torch.get_num_threads())


# ----------------------------------------------------------------------------- deformable attention

class _MSDeformAttn(torch.autograd.Function):

    @staticmethod
    def forward(ctx, value, shapes, locations, weights):
        value, locations, weights = value.contiguous(), locations.contiguous(), weights.contiguous()
        batch, rows, heads, channels = value.shape
        _, queries, _, levels, points, _ = locations.shape
        sizes = _integers(batch, rows, heads, channels, queries, levels, points)
        shapes = _integers(*(side for shape in shapes for side in shape))
        out = value.new_empty(batch, queries, heads * channels)
        _call('ms_deform_attn_forward', sizes, shapes, value, locations, weights, out)
        ctx.save_for_backward(value, locations, weights)
        ctx.sizes, ctx.shapes = sizes, shapes
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out):
        inputs = ctx.saved_tensors
        value, locations, weights = inputs
        grads = torch.zeros_like(value), torch.empty_like(locations), torch.empty_like(weights)
        _call('ms_deform_attn_backward', ctx.sizes, ctx.shapes, grad_out.contiguous(), *inputs,
              *grads)
        return grads[0], None, grads[1], grads[2]


def ms_deform_attn(value: Tensor, shapes: Sequence[tuple[int, int]], locations: Tensor,
                   weights: Tensor) -> Tensor:
    """Multi-scale deformable attention (Zhu et al. 2021, eq. 3), differentiable once.

    Each query sums bilinear samples of the value maps (zeros outside, align_corners False).

    Args:
        value: (B,S,H,D) with S = sum of h*w, the levels one after the other.
        shapes: (h, w) of each of the L levels, each at least 1.
        locations: (B,Q,H,L,P,2) as x,y in [0,1]; what touches no pixel, also inf and NaN, counts 0.
        weights: (B,Q,H,L,P).

    Returns:
        (B,Q,H*D) float32.

    Raises:
        TypeError: for tensors that are not floating point of at most 32 bit on the CPU.
        ValueError: for shapes that do not fit together.
    """
    value = _float32('value', value)
    locations, weights = _float32('locations', locations), _float32('weights', weights)
    shapes = _level_shapes(shapes, value)
    batch, _, heads, _ = value.shape
    _check_shape('locations', locations, (batch, None, heads, len(shapes), None, 2),
                 '(B,Q,H,L,P,2)')
    _check_shape('weights', weights, locations.shape[:-1], '(B,Q,H,L,P)')
    return _MSDeformAttn.apply(value, shapes, locations, weights)


def _level_shapes(shapes: Sequence[tuple[int, int]], value: Tensor) -> list[tuple[int, int]]:
    shapes = [(int(height), int(width)) for height, width in shapes]
    _check_shape('value', value, (None,) * 4, '(B,S,H,D)')
    rows = value.shape[1]
    if not shapes or min(map(min, shapes)) < 1 or sum(h * w for h, w in shapes) != rows:
        raise ValueError(f'the level shapes {shapes} do not add up to the {rows} rows of value')
    if rows >= 2 ** 31:
        raise ValueError(f'value (B,S,H,D) has too many rows: {rows}')
    return shapes


class _MSDeformSelfAttn(torch.autograd.Function):
    """:class:`_MSDeformAttn` from offsets and logits; their gradients take the others' memory."""

    @staticmethod
    def forward(ctx, value, shapes, reference, offsets, logits):
        ctx.sampling = _integers(value.shape[0] * value.shape[1], value.shape[1],
                                 value.shape[2], len(shapes), logits.shape[-1])
        locations, weights = torch.empty_like(offsets), torch.empty_like(logits)
        flat = _integers(*(side for shape in shapes for side in shape))
        _call('sampling_forward', ctx.sampling, flat, reference, offsets, logits, locations,
              weights)
        return _MSDeformAttn.forward(ctx, value, shapes, locations, weights)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out):
        value, _, offsets, logits = _MSDeformAttn.backward(ctx, grad_out)
        weights = ctx.saved_tensors[2]
        _call('sampling_backward', ctx.sampling, ctx.shapes, weights, offsets, logits)
        return value, None, None, offsets, logits


def ms_deform_self_attn(value: Tensor, shapes: Sequence[tuple[int, int]], reference: Tensor,
                        offsets: Tensor, logits: Tensor) -> Tensor:
    """Multi-scale deformable attention of the value rows among themselves.

    :func:`ms_deform_attn` at ``reference + offsets / (w, h)`` with the softmax of the logits over
    a head's samples as weights, in fewer passes.

    Args:
        value: (B,S,H,D).
        shapes: (h, w) of each of the L levels.
        reference: (S,2) as x,y in [0,1], without gradient.
        offsets: (B,S,H,L,P,2) in pixels of the level.
        logits: (B,S,H,L,P).

    Returns:
        (B,S,H*D) float32.

    Raises:
        TypeError, ValueError: see :func:`ms_deform_attn`.
    """
    value, reference = _float32('value', value), _float32('reference', reference)
    offsets, logits = _float32('offsets', offsets), _float32('logits', logits)
    shapes = _level_shapes(shapes, value)
    batch, rows, heads, _ = value.shape
    _check_shape('reference', reference, (rows, 2), '(S,2)')
    _check_shape('offsets', offsets, (batch, rows, heads, len(shapes), None, 2), '(B,S,H,L,P,2)')
    _check_shape('logits', logits, offsets.shape[:-1], '(B,S,H,L,P)')
    return _MSDeformSelfAttn.apply(
        value, shapes, reference.detach().contiguous(), offsets.contiguous(), logits.contiguous())


# --------------------------------------------------------------------------- deformable convolution

_BLOCK = 1024  # positions whose columns are held at once


class _DeformConv(torch.autograd.Function):
    """Columns are made a block at a time, in the backward pass again: all would be large."""

    @staticmethod
    def forward(ctx, x, offset, mask, weight):
        value, rows = _rows(x), _rows(mask)
        places = _tap_places(offset, weight.shape[2:])
        matrix = _as_matrix(weight, mask)
        ctx.sizes = (*x.shape[2:], rows.shape[2] // weight[0, 0].numel(), weight[0, 0].numel())
        ctx.weight_shape = weight.shape
        out = value.new_empty(*value.shape[:2], len(weight))
        for image, block in _blocks(value):
            columns = _columns(ctx.sizes, value[image], places[image, block], rows[image, block])
            torch.mm(columns, matrix, out=out[image, block])
        ctx.save_for_backward(value, places, rows, matrix)
        return _maps(out, x.shape[2:])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out):
        value, places, rows, matrix = ctx.saved_tensors
        height, width, groups, taps = ctx.sizes
        grad_out = _rows(grad_out)
        grad_value, grad_matrix = torch.zeros_like(value), torch.zeros_like(matrix)
        grad_places, grad_rows = torch.empty_like(places), torch.empty_like(rows)
        for image, block in _blocks(value):
            grad, own = grad_out[image, block], (image, block)
            columns = _columns(ctx.sizes, value[image], places[own], rows[own])
            grad_matrix.addmm_(columns.T, grad)
            torch.mm(grad, matrix.T, out=columns)
            sizes = _integers(height, width, groups, value.shape[2] // groups, len(grad), taps)
            _call('deform_columns_backward', sizes, columns, value[image], places[own],
                  rows[own], grad_value[image], grad_places[own], grad_rows[own])
        outputs, inputs, *kernel = ctx.weight_shape
        grad_weight = grad_matrix.view(groups, taps, inputs // groups, outputs)
        return (*(_maps(each, (height, width)) for each in (grad_value, grad_places, grad_rows)),
                grad_weight.permute(3, 0, 2, 1).reshape(outputs, inputs, *kernel))


def _rows(maps: Tensor) -> Tensor:
    """(B,C,h,w) -> (B,h*w,C), contiguous."""
    return maps.permute(0, 2, 3, 1).flatten(1, 2).contiguous()


def _maps(rows: Tensor, size: Sequence[int]) -> Tensor:
    """(B,h*w,C) -> (B,C,h,w), channels last in memory."""
    return rows.unflatten(1, tuple(size)).permute(0, 3, 1, 2)


def _tap_places(offset: Tensor, kernel: Sequence[int]) -> Tensor:
    """Where each tap looks, (B,h*w,2GT) in pixels as y,x."""
    height, width = offset.shape[2:]
    y, x = (torch.arange(float(side)) - side // 2 for side in kernel)
    taps = torch.stack(torch.meshgrid(y, x, indexing='ij'), -1).view(-1, 2)
    y, x = torch.arange(float(height)), torch.arange(float(width))
    cells = torch.stack(torch.meshgrid(y, x, indexing='ij'), -1).view(-1, 1, 1, 2)
    offset = _rows(offset)
    return (offset.unflatten(2, (-1, len(taps), 2)) + (cells + taps)).view_as(offset)


def _as_matrix(weight: Tensor, mask: Tensor) -> Tensor:
    """Weight (O,C,kh,kw) in the order of the columns, (G*T*D,O)."""
    taps = weight.flatten(2).shape[2]
    ordered = weight.flatten(2).unflatten(1, (mask.shape[1] // taps, -1)).permute(1, 3, 2, 0)
    return ordered.flatten(0, 2).contiguous()


def _blocks(value: Tensor) -> list[tuple[int, slice]]:
    """Pieces of every image's positions."""
    return [(image, slice(start, start + _BLOCK))
            for image in range(len(value)) for start in range(0, value.shape[1], _BLOCK)]


def _columns(sizes: Sequence[int], value: Tensor, places: Tensor, mask: Tensor) -> Tensor:
    """(positions,G*T*D) of a block of one image."""
    height, width, groups, taps = sizes
    channels = value.shape[1] // groups
    out = value.new_empty(len(mask), groups * taps * channels)
    _call('deform_columns_forward',
          _integers(height, width, groups, channels, len(mask), taps), value, places, mask, out)
    return out


def deform_conv(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Modulated deformable convolution (Zhu et al. 2019, eq. 1) with stride 1 that keeps the size.

    Differentiable once. Samples are bilinear, zeros outside.

    Args:
        x: (B,C,h,w).
        offset: (B,2GT,h,w) in pixels, channel g*2T + 2t + (0 for y, 1 for x), T taps row by row.
        mask: (B,GT,h,w), channel g*T + t.
        weight: (O,C,kh,kw), odd sides, kh*kw = T; G divides C.

    Returns:
        (B,O,h,w) float32.

    Raises:
        TypeError, ValueError: see :func:`ms_deform_attn`.
    """
    x, offset = _float32('x', x), _float32('offset', offset)
    mask, weight = _float32('mask', mask), _float32('weight', weight)
    _check_shape('x', x, (None,) * 4, '(B,C,h,w)')
    batch, channels, *size = x.shape
    _check_shape('weight', weight, (None, channels, None, None), '(O,C,kh,kw)')
    taps = weight.shape[2] * weight.shape[3]
    groups = mask.shape[1] // taps
    if not groups or channels % groups or taps % 2 == 0:
        raise ValueError(f'{mask.shape[1]} channels of mask fit no groups of {channels} channels '
                         f'and a kernel of {taps} taps')
    _check_shape('mask', mask, (batch, groups * taps, *size), '(B,GT,h,w)')
    _check_shape('offset', offset, (batch, 2 * groups * taps, *size), '(B,2GT,h,w)')
    return _DeformConv.apply(x, offset, mask, weight)


# ------------------------------------------------------------------------------------------- points

def _map_sizes(maps: Tensor, points: Tensor) -> tuple[ctypes.Array, Tensor]:
    """Sizes for the kernels, and the points laid out so (points shared by all maps stay shared)."""
    shared = points.stride(0) == 0 and points[:1].is_contiguous()
    points = points if shared else points.contiguous()
    return _integers(*maps.shape, points.shape[1], 0 if shared else points.shape[1] * 2), points


class _SampleMaps(torch.autograd.Function):

    @staticmethod
    def forward(ctx, maps, points):
        maps = maps.contiguous()
        sizes, points = _map_sizes(maps, points)
        out = maps.new_empty(points.shape[:2])
        _call('sample_maps_forward', sizes, maps, points, out)
        ctx.save_for_backward(points)
        ctx.sizes, ctx.shape = sizes, maps.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out):
        points, = ctx.saved_tensors
        grad_maps = grad_out.new_zeros(ctx.shape)
        _call('sample_maps_backward', ctx.sizes, grad_out.contiguous(), points, grad_maps)
        return grad_maps, None


def _check_maps(maps: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    maps, points = _float32('maps', maps), _float32('points', points)
    _check_shape('maps', maps, (None,) * 3, '(M,h,w)')
    _check_shape('points', points, (maps.shape[0], None, 2), '(M,P,2)')
    if maps.shape[0] and maps[0].numel() == 0:
        raise ValueError(f'maps (M,h,w) must have pixels, not shape {tuple(maps.shape)}')
    if maps.shape[1] * maps.shape[2] >= 2 ** 31:
        raise ValueError(f'maps (M,h,w) are too large: {tuple(maps.shape)}')
    return maps, points


def sample_maps(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear samples of each map at its own points, differentiable once w.r.t. the maps.

    Args:
        maps: (M,h,w).
        points: (M,P,2) as x,y in [0,1]; zeros outside, align_corners False. May be one row
            expanded to M. Points get no gradient.

    Returns:
        (M,P) float32.

    Raises:
        TypeError, ValueError: see :func:`ms_deform_attn`.
    """
    maps, points = _check_maps(maps, points)
    return _SampleMaps.apply(maps, points.detach())


def sample_labels(maps: Tensor, sources: Tensor, wanted: Tensor, points: Tensor) -> Tensor:
    """Bilinear samples of ``maps[sources] == wanted``, as 0 and 1, which are never stored.

    Args:
        maps: (S,h,w) bool, uint8, int16 or int32.
        sources: (M,) int64, the map of each row.
        wanted: (M,) int64, the label of each row.
        points: (M,P,2) as x,y in [0,1]; zeros outside, align_corners False. May be one row
            expanded to M.

    Returns:
        (M,P) float32.

    Raises:
        TypeError, ValueError: see :func:`ms_deform_attn`.
        IndexError: a source that is not there.
    """
    points = _float32('points', points)
    if maps.dtype not in _LABELS or maps.device.type != 'cpu':
        raise TypeError(f'maps must be bool, uint8, int16 or int32 on the CPU, '
                        f'not {maps.dtype} on {maps.device}')
    _check_shape('maps', maps, (None,) * 3, '(S,h,w)')
    _check_shape('sources', sources, (None,), '(M,)')
    _check_shape('wanted', wanted, sources.shape, '(M,)')
    _check_shape('points', points, (len(sources), None, 2), '(M,P,2)')
    if len(sources) and not 0 <= int(sources.min()) <= int(sources.max()) < len(maps):
        raise IndexError(f'sources must lie in 0 ... {len(maps) - 1}')
    shared = points.stride(0) == 0 and points[:1].is_contiguous()
    points = points.detach() if shared else points.detach().contiguous()
    sizes = _integers(len(sources), *maps.shape[1:], points.shape[1],
                      0 if shared else points.shape[1] * 2)
    out = points.new_empty(points.shape[:2])
    _call('sample_labels', sizes, maps.element_size(), maps.contiguous(),
          sources.long().contiguous(), wanted.long().contiguous(), points, out)
    return out


@torch.no_grad()
def uncertain_points(maps: Tensor, points: Tensor, k: int) -> Tensor:
    """The k points of each row where the map's sampled logit is closest to 0, without gradient.

    They keep their order. Equal ones: the first wins. NaN counts as the most certain of all.

    Args:
        maps: (M,h,w) logits.
        points: (M,P,2) as x,y in [0,1].
        k: number of points to keep, 0 <= k <= P.

    Returns:
        (M,k,2) float32.

    Raises:
        TypeError, ValueError: see :func:`ms_deform_attn`.
    """
    maps, points = _check_maps(maps, points)
    sizes, points = _map_sizes(maps, points)
    return _uncertain(maps, sizes, points, k=k, seed=0)


@torch.no_grad()
def draw_uncertain_points(maps: Tensor, count: int, k: int, others: int = 0) -> Tensor:
    """:func:`uncertain_points` of ``uniform_points(M, count)`` for the same seed, and others.

    The candidates are drawn where they are needed and never stored, which saves time and memory.

    Args:
        maps: (M,h,w) logits.
        count: number of candidates per map.
        k: number of points to keep, 0 <= k <= count.
        others: number of further uniform points per map, behind the kept ones.

    Returns:
        (M,k+others,2) float32.

    Raises:
        TypeError, ValueError: see :func:`ms_deform_attn`.
    """
    maps, _ = _check_maps(maps, maps.new_empty(maps.shape[0], 0, 2))
    sizes = _integers(*maps.shape, count, 0)
    return _uncertain(maps, sizes, None, k=k, others=others, seed=_draw_seed())


def _uncertain(maps: Tensor, sizes: ctypes.Array, points: Tensor | None, *, k: int,
               others: int = 0, seed: int) -> Tensor:
    if not 0 <= k <= sizes[3]:
        raise ValueError(f'k={k} of {sizes[3]} points cannot be chosen')
    out = maps.new_empty(maps.shape[0], k + others, 2)
    if out.numel():
        _call('uncertain_points', sizes, k, others, seed, maps.contiguous(), points, out)
    return out


def uniform_points(*sizes: int) -> Tensor:
    """Random points, uniform in [0,1): (*sizes,2) float32, drawn by all threads.

    The seed is drawn from torch's default CPU generator, so ``torch.manual_seed`` decides; but the
    numbers are not those of ``torch.rand``.
    """
    out = torch.empty(*sizes, 2)
    _call('uniform_points', _draw_seed(), out.numel() // 2, out)
    return out


def _draw_seed() -> int:
    return int(torch.randint(2 ** 63 - 1, ()))


# ----------------------------------------------------------------------------------------- matching

@torch.no_grad()
def pair_statistics(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What mask costs need of logits x against targets t, in one pass, without gradient.

    Args:
        logits: x (R,P).
        targets: t (N,P).

    Returns:
        sum of softplus(x) (R,), sum of sigmoid(x) (R,), x t^T (R,N), sigmoid(x) t^T (R,N).

    Raises:
        TypeError, ValueError: see :func:`ms_deform_attn`.
    """
    logits, targets = _float32('logits', logits), _float32('targets', targets)
    _check_shape('logits', logits, (None, None), '(R,P)')
    _check_shape('targets', targets, (None, logits.shape[1]), '(N,P)')
    logits, targets = logits.contiguous(), targets.contiguous()
    rows, count = logits.shape[0], targets.shape[0]
    sums = logits.new_empty(2, rows)
    dots = logits.new_empty(2, rows, count)
    _call('pair_statistics', _integers(rows, count, logits.shape[1]), logits, targets, *sums, *dots)
    return sums[0], sums[1], dots[0], dots[1]


# ------------------------------------------------------------------------------------------- losses

class _RowStatistics(torch.autograd.Function):

    @staticmethod
    def forward(ctx, logits, targets):
        logits, targets = logits.contiguous(), targets.contiguous()
        sizes = _integers(*logits.shape)
        sums = logits.new_empty(5, logits.shape[0])
        _call('row_statistics_forward', sizes, logits, targets, sums)
        ctx.save_for_backward(logits, targets)
        ctx.sizes = sizes
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_sums):
        logits, targets = ctx.saved_tensors
        grad_logits = torch.empty_like(logits)
        _call('row_statistics_backward', ctx.sizes, logits, targets, grad_sums.contiguous(),
              grad_logits)
        return grad_logits, None


def row_statistics(logits: Tensor, targets: Tensor) -> Tensor:
    """What mask losses need of matched rows, in one pass, differentiable once w.r.t. the logits.

    Args:
        logits: x (R,P).
        targets: t (R,P), without gradient.

    Returns:
        (5,R): the sums over the points of softplus(x), sigmoid(x), x t, sigmoid(x) t and t.

    Raises:
        TypeError, ValueError: see :func:`ms_deform_attn`.
    """
    logits, targets = _float32('logits', logits), _float32('targets', targets)
    _check_shape('logits', logits, (None, None), '(R,P)')
    _check_shape('targets', targets, logits.shape, '(R,P)')
    return _RowStatistics.apply(logits, targets.detach())
