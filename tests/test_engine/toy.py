"""A tiny model and dataset for tests of the engine alone. Imported by its configs too."""

import random
import time

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import nn

from unimask.registry import DATASETS, METRICS, MODELS

CLASSES = ('cat', 'dog', 'sky')


@DATASETS.register_module()
class ToyData(BaseDataset):
    """Vectors with random augmentation by all three generators."""

    METAINFO = dict(classes=CLASSES, thing_classes=CLASSES[:2])

    def __init__(self, *, length: int = 7, **kwargs) -> None:
        self._length = length
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        return [dict(value=float(number), width=4 + number % 2, height=4 + number % 3)
                for number in range(self._length)]

    def prepare_data(self, idx: int) -> dict:
        value = self.get_data_info(idx)['value']
        noise = random.random() + np.random.rand() + torch.rand(()).item()
        sample = BaseDataElement(metainfo=dict(img_id=idx, img_path=f'image_{idx}.png'))
        return dict(inputs=torch.tensor([value / 7, noise, 1.0]), data_samples=sample)


@MODELS.register_module()
class ToyModel(BaseModel):
    """A linear layer, a normalisation and dropout, with 30 loss terms like a real head."""

    class_parameters = ('class_embed',)

    def __init__(self, *, taxonomy: dict | str, fail_at: int = -1, slow: float = 0.0) -> None:
        super().__init__()
        self.classes = tuple(taxonomy['classes'])
        self.body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.3))
        self.class_embed = nn.Linear(4, len(self.classes) + 1)
        self.fail_at = fail_at
        self.slow = slow
        self.steps = 0

    def forward(self, inputs: list, data_samples: list | None = None, mode: str = 'tensor'):
        output = self.class_embed(self.body(torch.stack(inputs)))
        if mode != 'loss':
            return data_samples
        time.sleep(self.slow)
        self.steps += 1
        loss = (output * torch.rand_like(output)).pow(2).mean() + (output.sum() - 1).abs()
        if self.steps == self.fail_at:
            loss = loss * float('nan')
        names = ('loss_cls', 'loss_mask', 'loss_dice')
        return dict.fromkeys(names, loss / 9) | {
            f'd{layer}.{name}': loss / 90 for layer in range(9) for name in names}


@METRICS.register_module()
class ToyMetric(BaseMetric):
    """Draws random numbers, as a careless metric might."""

    default_prefix = 'toy'

    def process(self, data_batch: dict, data_samples: list) -> None:
        self.results.append(torch.rand(1).item())

    def compute_metrics(self, results: list) -> dict:
        return dict(score=float(len(results)))
