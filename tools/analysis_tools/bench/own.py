"""This library's methods: Mask2Former, MP-Former, and Swin with and without SeMask."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.structures import PixelData
from torch import Tensor

from bench.parts import Part
from bench.side import Side, metainfo
from bench.workload import NUM_THINGS, Workload
from unimask.data_sample import DataSample
from unimask.models.layers.feature_alignment import FeatureAlignment

CONFIGS = Path(__file__).parents[3] / 'configs/mask2former'


class Unimask(Side):
    """This library's Mask2Former.

    Attributes:
        config_file: Of the model.
        encoder: What tables call its encoder.
        alike: Whether it computes what a Mask2Former with the same encoder does.
    """

    alike = True
    config_file = 'r50_8xb2_coco-panoptic.py'
    encoder = 'R50'

    def __init__(self, workload: Workload, device: torch.device) -> None:
        from unimask.registry import MODELS
        from unimask.utils import register_all_modules

        super().__init__(workload, device)
        register_all_modules()
        self.config = Config.fromfile(CONFIGS / self.config_file)
        self.config.model.init_cfg = None
        self.config.model.test_cfg = dict(tasks=('panoptic',))
        self.change(self.config.model)
        self.model = MODELS.build(self.config.model)
        self.class_head = self.model.head.class_embed
        self._samples = [_panoptic_sample(self.workload, i) for i in range(len(workload.labels))]

    def change(self, model: dict) -> None:
        """Make another method of the model's config."""

    def logits(self) -> tuple[Tensor, Tensor]:
        prediction = self.model(self.workload.images, None, mode='tensor')
        return prediction.class_logits[-1], prediction.mask_logits()

    def loss(self) -> Tensor:
        return sum(self.model(self.workload.images, self._samples, mode='loss').values())

    def panoptic(self) -> list[Tensor]:
        samples = self.model(self.workload.images, self._samples, mode='predict')
        return [sample.pred_panoptic_seg.sem_seg[0] for sample in samples]

    def encoder_loss(self) -> Tensor:
        """A number that every map and class score of the encoder takes part in."""
        features = self.model.encode(self.workload.images)
        return sum(each.square().mean() for each in (*features.maps, *features.semantic))

    def optimizer(self) -> torch.optim.Optimizer:
        config = self.config.optim_wrapper
        return build_optim_wrapper(self.model, dict(
            type='OptimWrapper', optimizer=config.optimizer, constructor=config.constructor,
            paramwise_cfg=config.paramwise_cfg)).optimizer

    def parts(self) -> list[Part]:
        return [
            Part('backbone', self.model.backbone),
            Part('pixel decoder', self.model.neck),
            Part('head', self.model.head),
            Part('criterion', self.model, 'loss'),  # the network inside it counts for itself
            Part('matching', self.model.criterion, 'matcher'),
            Part('post-processing', self.model, 'predict'),
        ]


class MPFormer(Unimask):
    """This library's MP-Former, with a query position, so that it has Mask2Former's weights."""

    def change(self, model: dict) -> None:
        model.head = dict(model.head, type='MaskPilotedHead', query_position=True, pilot=dict(
            type='MaskPilot', mask_noise=dict(type='PointNoise', ratio=0.2)))

    def compared_loss(self) -> Tensor:
        losses = self.model(self.workload.images, self._samples, mode='loss')
        return sum(value for name, value in losses.items() if 'mp.' not in name)

    def finish(self, weights: Mapping[str, Tensor] | None = None) -> None:
        if weights is not None:
            classes = {f'head.pilot.{name}': value
                       for name, value in self.model.head.pilot.state_dict().items()}
            weights = classes | dict(weights)
        super().finish(weights)


class FaPN(Unimask):
    """This library's Mask2Former with FaPN's pixel decoder: another network."""

    alike = False
    neck = 'FaPNPixelDecoder'

    def change(self, model: dict) -> None:
        model.neck = dict(type=self.neck)

    def parts(self) -> list[Part]:
        return [*super().parts(), *(Part('feature alignment', module)
                                    for module in self.model.modules()
                                    if isinstance(module, FeatureAlignment))]

    def finish(self, weights: Mapping[str, Tensor] | None = None) -> None:
        if weights is not None:
            of_neck = {f'neck.{name}': value for name, value in
                       self.model.neck.state_dict().items()}
            weights = of_neck | {name: value for name, value in weights.items()
                                 if not name.startswith('neck.')}
        super().finish(weights)


class MSFaPN(FaPN):
    """The same with MSFaPN's pixel decoder."""

    neck = 'MSFaPNPixelDecoder'


class Plain(Unimask):
    """Mask2Former with a Swin-T, every block of which is always computed."""

    config_file = 'swin-t_8xb2_coco-panoptic.py'
    encoder = 'Swin-T'

    def change(self, model: dict) -> None:
        model.backbone.drop_path_rate = 0.0


class SeMask(Plain):
    """The same with SeMask, which changes no prediction here.

    The gates are closed, as at the start of every training, and the layers' norm is kept off what
    goes on to the next stage; all that SeMask computes is computed nevertheless.
    """

    def change(self, model: dict) -> None:
        super().change(model)
        model.backbone = dict(type='SeMaskEncoder', encoder=model.backbone, trunk_norm=False,
                              windows=(7, 7, None, None))
        model.auxiliary = dict(aux=dict(
            head=dict(type='SemanticPriorHead', align_corners=True),
            criterion=dict(type='PixelCriterion', weight=0.4, align_corners=True)))

    def compared_loss(self) -> Tensor:
        losses = self.model(self.workload.images, self._samples, mode='loss')
        return sum(value for name, value in losses.items() if not name.startswith('aux.'))

    def parts(self) -> list[Part]:
        layers = self.model.backbone.semantic_layers
        return [*super().parts(), *(Part('semantic layers', layer) for layer in layers),
                Part('auxiliary loss', self.model.auxiliary['aux'])]

    def finish(self, weights: Mapping[str, Tensor] | None = None) -> None:
        if weights is not None:
            layers = {f'backbone.semantic_layers.{name}': value for name, value in
                      self.model.backbone.semantic_layers.state_dict().items()}
            weights = layers | dict(weights)
        super().finish(weights)


def _panoptic_sample(workload: Workload, index: int) -> DataSample:
    """unimask's ground truth: the id map and the list of segments."""
    segments = [
        dict(id=number + 1, category=int(label), isthing=bool(label < NUM_THINGS), iscrowd=0)
        for number, label in enumerate(workload.labels[index])]
    panoptic = PixelData(sem_seg=workload.segment_ids[index][None].int())
    panoptic.set_metainfo(dict(segments_info=segments))
    sample = DataSample(metainfo=metainfo(workload))
    sample.gt_panoptic_seg = panoptic
    return sample
