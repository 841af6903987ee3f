"""Helpers to run our models on the golden cases."""

from __future__ import annotations

import importlib.util
import json
import zlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from unimask.convert import as_in, convert_state_dict
from unimask.models.losses import matcher, samplers
from unimask.models.segmentors.targets import make_target_batch
from unimask.ops import most_uncertain
from unimask.registry import MODELS
from unimask.structures import TargetBatch

MEAN = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
STD = torch.tensor([58.395, 57.12, 57.375])[:, None, None]
SETS = {'pair': ([(0, 128, 160), (1, 96, 128)], None), 'odd': ([(2, 101, 133)], (150, 197))}


class GoldenCase:
    """One golden case: its numbers, our model with the same weights, its inputs."""

    def __init__(self, folder: Path, name: str, model: dict) -> None:
        self.info = json.loads((folder / f'{name}.json').read_text())
        archive = folder / f'{name}.npz'
        self.arrays = np.load(archive)
        self.fill = load_fill(folder)
        self.model = MODELS.build(model).eval()
        self.model.load_state_dict(self.weights())

    def weights(self) -> dict[str, Tensor]:
        """Official names filled by the rules, converted to ours."""
        official = {}
        for entry in self.info['state_dict']:
            name, shape = entry[0], entry[1]
            value = self.fill.fill(name, shape)
            if value is None:
                value = np.zeros(shape, entry[2])
            official[name] = torch.from_numpy(np.asarray(value))
        return self._converted(official)

    def _converted(self, official: dict[str, Tensor]) -> dict[str, Tensor]:
        """Under our names, with those of timm where the backbone is."""
        return as_in(self.model.state_dict().keys(),
                     convert_state_dict(official, source='detectron2'))

    def batch(self, name: str) -> tuple[Tensor, list[tuple[int, int]]]:
        """Normalised, padded images of a set, and their sizes."""
        images = [torch.from_numpy(self.fill.make_image(*spec)).float() for spec in SETS[name][0]]
        images = [(image - MEAN) / STD for image in images]
        sizes = [tuple(image.shape[-2:]) for image in images]
        divisor = self.info['config_values'].get('size_divisibility') or 1
        height, width = (-(-max(side) // divisor) * divisor for side in zip(*sizes, strict=True))
        batch = torch.zeros(len(images), 3, height, width)
        for target, image in zip(batch, images, strict=True):
            target[:, :image.shape[1], :image.shape[2]] = image
        return batch, sizes

    def samples(self, counts: list[int]) -> list:
        """Data samples with the targets of the set "pair"."""
        from mmdet.structures import DetDataSample
        kind = self.info['config_values']['targets']
        classes = self.model.taxonomy.num_classes
        samples = []
        for (seed, height, width), count in zip(SETS['pair'][0], counts, strict=True):
            labels, masks = self.fill.make_targets(kind, seed, height, width, classes, count)
            sample = DetDataSample()
            if kind == 'overlap':
                sample.gt_instances = InstanceData(
                    labels=torch.from_numpy(labels), masks=torch.from_numpy(masks))
            else:
                ids = (masks * np.arange(1, count + 1)[:, None, None]).sum(0)
                sample.gt_panoptic_seg = PixelData(sem_seg=torch.from_numpy(ids)[None])
                sample.gt_panoptic_seg.set_metainfo(dict(segments_info=[
                    dict(id=i + 1, category=int(label)) for i, label in enumerate(labels)]))
            samples.append(sample)
        return samples

    def targets(self, counts: list[int]) -> TargetBatch:
        """The same as a batch of targets."""
        inputs, _ = self.batch('pair')
        return make_target_batch(
            self.samples(counts), size=tuple(inputs.shape[-2:]), taxonomy=self.model.taxonomy,
            device=inputs.device)

    def official_names(self) -> dict[str, str]:
        """Official name -> our name, found by converting tensors that carry a number."""
        entries = [entry for entry in self.info['state_dict'] if 'int' not in entry[2]]
        marked = {entry[0]: torch.full(entry[1], float(i)) for i, entry in enumerate(entries)}
        ours = self._converted(marked)
        names = {}
        for name, value in ours.items():
            number = int(value.flatten()[0])
            if value.is_floating_point() and number < len(entries):
                names[entries[number][0]] = name
        return names

    def golden(self, key: str) -> tuple[np.ndarray, tuple[slice, ...]]:
        """A stored array and the slices of the full tensor it was taken from."""
        steps = self.info['arrays'].get(key, {}).get('steps', ())
        return self.arrays[key], tuple(slice(None, None, step) for step in steps)

    def error(self, key: str, tensor: Tensor) -> float:
        """Largest difference from a golden array over the size of the tensor."""
        expected, slices = self.golden(key)
        ours = tensor.detach().numpy()[slices]
        assert ours.shape == expected.shape, (key, ours.shape, expected.shape)
        return float(np.abs(ours - expected).max() / max(np.abs(expected).max(), 1e-12))


def load_fill(folder: Path) -> ModuleType:
    """The module with the filling rules."""
    spec = importlib.util.spec_from_file_location('golden_fill', folder / 'fill.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fix_random(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the random points of matcher and sampler by those of mode "shape"."""
    monkeypatch.setattr(matcher, 'uniform_points', shape_random)
    num_predictions = None

    def draw(maps: Tensor, candidates: int, count: int, others: int) -> Tensor:
        sets = (num_predictions, len(maps) // num_predictions)
        points = shape_random(sets, candidates, 'cpu').flatten(0, 1)
        rest = shape_random(sets, others, 'cpu').flatten(0, 1)
        return torch.cat([most_uncertain(maps, points, count), rest], dim=1)

    original = samplers.UncertainPointSampler.__call__

    def call(self: samplers.UncertainPointSampler, logits: Tensor) -> Tensor:
        nonlocal num_predictions
        num_predictions = len(logits)
        return original(self, logits)

    monkeypatch.setattr(samplers, 'draw_uncertain', draw)
    monkeypatch.setattr(samplers.UncertainPointSampler, '__call__', call)


def shape_random(sets: tuple[int, ...], count: int, device: torch.device | str) -> Tensor:
    """Random numbers of mode "shape": they depend on the shape of one official call alone.

    Officially a call serves one image (matcher) or the pairs of one prediction (losses); ours
    serve all of them, and hence repeat what that call gives.
    """
    rows, copies = (sets[-1], sets[0]) if len(sets) == 2 else (1, sets[0])
    shape = (rows, count, 2)
    rng = np.random.default_rng(zlib.crc32(repr(shape).encode()))
    values = torch.from_numpy(rng.random(shape).astype(np.float32))
    return values.expand(copies, *shape) if len(sets) == 2 else values.expand(copies, count, 2)
