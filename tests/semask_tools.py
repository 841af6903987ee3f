"""Helpers to run our modules and models on the SeMask goldens."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from mmengine.structures import PixelData
from torch import Tensor

from unimask.convert import convert_state_dict
from unimask.registry import MODELS


def load_fill(folder: Path) -> ModuleType:
    """The module with the filling rules and the comparison."""
    spec = importlib.util.spec_from_file_location('fill_semask', folder / 'fill_semask.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class SeMaskCase:
    """One golden case: its numbers, our model with the same weights, its inputs."""

    def __init__(self, folder: Path, name: str, model: dict) -> None:
        self.fill = load_fill(folder)
        self.info, self.arrays = self.fill.load_case(str(folder), name)
        self.entries = {each[0]: (each[1], each[2]) for each in self.info['state_dict']}
        self.model = MODELS.build(model).eval()
        self.model.load_state_dict(convert_state_dict(self.official()))

    def official(self) -> dict[str, Tensor]:
        """Official names filled by the rules."""
        filled = self.fill.fill_all([(name, shape) for name, (shape, _) in self.entries.items()],
                                    self.info['tied'])
        return {name: torch.from_numpy(filled[name]) if name in filled
                else torch.zeros(shape, dtype=getattr(torch, dtype))
                for name, (shape, dtype) in self.entries.items()}

    def inputs(self, letter: str) -> Tensor:
        """Normalised images, padded as the model's config says."""
        spec = self.info['inputs'][letter]
        images = self.fill.normalize(
            self.fill.batch(spec['seeds'], spec['height'], spec['width']))
        divisor = self.model.data_preprocessor.pad_size_divisor
        right, bottom = -spec['width'] % divisor, -spec['height'] % divisor
        return torch.nn.functional.pad(torch.from_numpy(images), (0, right, 0, bottom))

    def size(self, letter: str) -> tuple[int, int]:
        """Height and width of the unpadded images."""
        spec = self.info['inputs'][letter]
        return spec['height'], spec['width']

    def labels(self) -> list[Tensor]:
        """Class maps of input A, 255 where ignored."""
        spec = self.info['inputs']['A']
        classes = self.model.taxonomy.num_classes
        return [torch.from_numpy(self.fill.target(seed, spec['height'], spec['width'], classes))
                for seed in spec['target_seeds']]

    def samples(self, labels: list[Tensor]) -> list:
        """Data samples with class maps."""
        from mmseg.structures import SegDataSample
        return [SegDataSample(gt_sem_seg=PixelData(sem_seg=each[None])) for each in labels]

    def our_names(self) -> dict[str, str]:
        """Official parameter name -> our name, found by converting tensors with a number."""
        names = [name for name, (_, dtype) in self.entries.items() if 'int' not in dtype]
        marked = {name: torch.full(self.entries[name][0], float(number))
                  for number, name in enumerate(names)}
        ours = convert_state_dict(marked)
        return {names[int(value.flatten()[0])]: name for name, value in ours.items()
                if value.is_floating_point()}

    def error(self, key: str, tensor: Tensor) -> float:
        """Largest difference from a golden array over its standard deviation."""
        return max(self.fill.compare(self.arrays, key, tensor.detach().numpy()))

    def gradient_errors(self, key: str) -> dict[str, float]:
        """Difference of each parameter's gradient norm from the golden one, in allowed steps."""
        ours, parameters = self.our_names(), dict(self.model.named_parameters())
        norms = self.arrays[key].astype(np.float64)
        errors = {}
        for official, norm in zip(self.info['grad_names'], norms, strict=True):
            gradient = parameters[ours[official]].grad
            if official.endswith('mlp_cls_k.bias'):
                continue  # zero but for rounding
            found = 0.0 if gradient is None else gradient.norm().item()
            errors[official] = abs(found - max(norm, 0.0)) / (1e-4 * max(norm, 0.0) + 1e-6)
        return errors
