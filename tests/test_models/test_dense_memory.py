"""Dense losses piece by piece: the numbers of all at once, in less memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from unimask.models.losses import PixelCriterion, criterion, pixel_criterion
from unimask.ops.recompute import in_pieces
from unimask.ops.resize import resize_band, row_bands
from unimask.structures import DensePrediction, MaskPrediction, SegmentTargets, TargetBatch

TOOLS = Path(__file__).resolve().parents[2] / 'tools/analysis_tools'


def test_pieces_give_the_same_values_and_gradients() -> None:
    """Overlapping pieces; a value that the function uses beside them learns, too."""
    source, scale = torch.randn(6, 5), torch.randn(5)
    pieces, calls = [(slice(0, 3),), (slice(2, 6),)], []

    def function(part: torch.Tensor, number: int) -> torch.Tensor:
        calls.append(number)
        return ((number + 1) * part * weight).exp().sum(1)

    found = []
    for together in (True, False):
        x, weight = (each.clone().requires_grad_() for each in (source, scale))
        parts = [function(x[piece], i) for i, piece in enumerate(pieces)]
        calls.clear()
        values = torch.cat(parts) if together else in_pieces(function, x, pieces, [3, 4])
        (values * torch.arange(7)).sum().backward()
        found.append((values, x.grad, weight.grad))
    assert calls == [0, 1, 0, 1]  # in the forward pass and again in the backward pass
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
    calls.clear()
    in_pieces(function, x, pieces[:1], [3]).sum().backward()
    assert calls == [0]


@pytest.mark.parametrize(('old', 'new', 'bands'), [(8, 32, 4), (7, 14, 4), (5, 20, 3), (6, 15, 1)])
def test_bands_of_rows_are_those_of_the_whole(old: int, new: int, bands: int) -> None:
    maps = torch.randn(2, 3, old, 4)
    whole = F.interpolate(maps, (new, 12), mode='bilinear', align_corners=False)
    made = row_bands(old, new, values_per_row=36, budget=36 * 2 * max(1, new // old))
    assert len(made) == bands
    parts = [resize_band(maps[:, :, band.source], band, (new, 12), whole=old) for band in made]
    torch.testing.assert_close(torch.cat(parts, 2), whole)


def targets(size: int) -> TargetBatch:
    """Two images with three and one segments."""
    maps = torch.randint(4, (2, size, size), generator=torch.Generator().manual_seed(1)).int()
    return TargetBatch.stack([SegmentTargets.from_id_map(maps[0], [0, 1, 2], [0, 2, 1]),
                              SegmentTargets.from_id_map(maps[1], [3], [1])])


def test_mask_losses_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair at a time, beside the definition: all upsampled at once."""
    monkeypatch.syspath_prepend(str(TOOLS))
    from bench.dense import CRITERION, published_masks

    from unimask.registry import MODELS
    shapes = ((2, 2, 5, 4), (2, 2, 5, 6), (2, 6, 16, 16))
    values = [torch.randn(shape) for shape in shapes]
    wanted, sizes, found = targets(64), [], []
    pairs = criterion.pair_pieces
    monkeypatch.setattr(criterion, 'pair_pieces', lambda layers, count, size, device: sizes.append(
        size) or pairs(layers, count, (2**9, 2**9), device))
    for published in (False, True):
        leaves = [value.clone().requires_grad_() for value in values]
        made, ours = MaskPrediction(*leaves), MODELS.build(CRITERION)
        matches = ours.matcher(made, wanted)
        loss = (published_masks(made, wanted, matches, ours) if published
                else sum(ours(made, wanted).values()))
        loss.backward()
        found.append([loss, *(leaf.grad for leaf in leaves)])
    assert sizes == [(64, 64)]
    assert len(pairs(2, 4, (2**9, 2**9), torch.device('cpu'))) == 8  # what it was made of
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize('options', [dict(), dict(hardest=100), dict(average='all'),
                                     dict(align_corners=True)])
def test_pixel_losses_in_pieces(options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    values, found, counts = torch.randn(2, 2, 3, 16, 16), [], []
    bands = pixel_criterion.row_bands
    for budget in (10**9, 3 * 64 * 8):
        monkeypatch.setattr(pixel_criterion, 'row_bands', lambda old, new, *, values_per_row, budget
                            , limit=budget: bands(old, new, values_per_row=values_per_row,
                                                  budget=limit))
        logits, ours = values.clone().requires_grad_(), PixelCriterion(**options)
        counts.append(len(ours.bands(logits, (64, 64))))
        losses = ours(DensePrediction(logits), targets(64))
        sum(losses.values()).backward()
        found.append([*losses.values(), logits.grad])
    assert counts == ([1, 1] if 'align_corners' in options else [1, 8])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.slow
@pytest.mark.parametrize('options', [('--kind', 'masks'), ('--kind', 'pixels', '--layers', '6')])
def test_a_third_of_the_memory(options: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / 'report.json'
    subprocess.run([
        sys.executable, TOOLS / 'dense_losses.py', '--size', '256', '--layers', '4', *options,
        '--json', file], check=True, stdout=subprocess.PIPE)
    report = json.loads(file.read_text())
    assert report['agree'] and report['memory_ratio'] < 1 / 3
