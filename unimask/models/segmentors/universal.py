"""The segmentor: backbone, pixel decoder, head, criterion and post-processors in a row.

Shapes: B batch, K classes, (H, W) padded input, (H_o, W_o) original image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from mmengine.model import BaseModel
from mmengine.model.weight_init import initialize
from torch import Tensor, nn

from unimask.errors import UserError
from unimask.models.backbones.info import out_channels
from unimask.models.post_processors import Readout, read
from unimask.models.segmentors.auxiliary import AuxiliaryBranch
from unimask.models.segmentors.freezing import freeze
from unimask.models.segmentors.prior import add_priors, find_prior_head
from unimask.models.segmentors.targets import make_target_batch
from unimask.ops.folding import fold_frozen_norms
from unimask.registry import DATASETS, MODELS, build
from unimask.structures import (
    BackboneFeatures,
    DensePrediction,
    MaskPrediction,
    TargetBatch,
    Taxonomy,
)

Prediction = MaskPrediction | DensePrediction

TASKS = ('semantic', 'instance', 'panoptic')
_POST_PROCESSORS = {
    'semantic': 'SemanticPostProcessor',
    'instance': 'InstancePostProcessor',
    'panoptic': 'PanopticPostProcessor',
}


@MODELS.register_module()
class UniversalSegmentor(BaseModel):
    """One model for semantic, instance and panoptic segmentation.

    Every part is a config or an object; configs may leave out the class count and widths, which
    are filled in.

    Args:
        backbone: Images to maps, fine to coarse, or to ``BackboneFeatures``.
        neck: The pixel decoder: maps to ``PixelFeatures``. None for a head that reads the
            backbone's ``BackboneFeatures`` itself; it may have the argument ``in_channels``.
        head: ``head(pixels, targets=None)`` gives a prediction; it gets targets in training only.
        taxonomy: A dataset's metainfo, or the registered name of a dataset with one.
        criterion: ``criterion(prediction, targets)`` gives weighted losses; None for a model that
            is only used.
        auxiliary: Name -> ``dict(head=..., criterion=...)``: branches that learn from the
            backbone's features; their losses get the name as prefix (``aux.loss_sem``).
        post_processors: Task -> config; tasks left out get the default one.
        test_cfg: ``dict(tasks=...)``: which of semantic, instance and panoptic to predict; by
            default all that the head serves. ``prior=True`` adds SeMask's semantic prior,
            ``pred_prior``, see :func:`unimask.models.segmentors.prior.add_priors`.
        frozen: Names of parts that do not learn, such as ``('backbone', 'neck.input_convs')``;
            they stay in evaluation mode.
        data_preprocessor: Config of the normalisation and padding.
        init_cfg: Applied after everything else was initialised (pretrained weights).

    Raises:
        UserError: A task is unknown or not served by the head, the taxonomy cannot be found,
            there is no semantic prior to add, or no part of a name in ``frozen``.
    """

    def __init__(self, *, backbone: dict | nn.Module, neck: dict | nn.Module | None = None,
                 head: dict | nn.Module, taxonomy: dict | str | Taxonomy,
                 criterion: dict | nn.Module | None = None,
                 auxiliary: Mapping[str, dict] | None = None,
                 post_processors: Mapping[str, dict] | None = None,
                 test_cfg: Mapping | None = None, frozen: Sequence[str] = (),
                 data_preprocessor: dict | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.taxonomy = find_taxonomy(taxonomy)
        classes = self.taxonomy.num_classes
        self.backbone = build(MODELS, backbone, num_classes=classes)
        fold_frozen_norms(self.backbone)
        channels = out_channels(self.backbone)
        self.neck = build(MODELS, neck, **_widths(channels, neck, self.backbone))
        self.head = build(MODELS, head, num_classes=classes, **_head_widths(self.neck, channels))
        self.criterion = build(MODELS, criterion)
        self.auxiliary = nn.ModuleDict({
            name: AuxiliaryBranch(**branch, facts=dict(num_classes=classes, in_channels=channels))
            for name, branch in (auxiliary or {}).items()})
        self.tasks = _tasks(test_cfg, self.head)
        self.with_prior = bool((test_cfg or {}).get('prior'))
        if self.with_prior:
            find_prior_head(self.auxiliary)
        self.post_processors = {
            task: build(MODELS, dict(dict(type=_POST_PROCESSORS[task]),
                                     **(post_processors or {}).get(task, {})),
                        resize_scores=self.tasks == ('semantic',))
            for task in _served(self.head)}
        self._frozen = freeze(self, frozen)
        # Convolutions are faster this way on CPU and GPU; the weights' names and shapes stay.
        self.to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> UniversalSegmentor:
        """Switch to training or evaluation; frozen parts stay in evaluation."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def init_weights(self) -> None:
        """Initialise the parts, then apply ``init_cfg``, which no part may overwrite."""
        if not self.is_init:
            init_cfg, self.init_cfg = self.init_cfg, None
            super().init_weights()
            self.init_cfg = init_cfg
            if init_cfg:
                initialize(self, init_cfg)

    def forward(self, inputs: Tensor, data_samples: Sequence | None = None,
                mode: str = 'tensor') -> Prediction | dict[str, Tensor] | list:
        """Run the model on preprocessed inputs (B, 3, H, W).

        Args:
            inputs: Normalised and padded images.
            data_samples: Ground truth for ``loss``, sizes for ``predict``.
            mode: ``loss``, ``predict`` or ``tensor``.

        Returns:
            Weighted losses, the data samples with predictions, or the prediction.

        Raises:
            ValueError: If the mode is unknown or needs what is missing.
        """
        if mode == 'tensor':
            return self.decode(self.encode(inputs))
        if mode not in ('loss', 'predict'):
            raise ValueError(f"mode must be 'loss', 'predict' or 'tensor', not {mode!r}.")
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        return self.predict(inputs, data_samples)

    def encode(self, inputs: Tensor) -> BackboneFeatures:
        """Images (B, 3, H, W) -> feature maps."""
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        return BackboneFeatures.of(self.backbone(inputs))

    def decode(self, features: BackboneFeatures, targets: TargetBatch | None = None) -> Prediction:
        """Feature maps -> what the head predicts."""
        return self.head(features if self.neck is None else self.neck(features.maps), targets)

    def loss(self, inputs: Tensor, data_samples: Sequence) -> dict[str, Tensor]:
        """Weighted losses by name; their sum is the total."""
        if self.criterion is None or data_samples is None:
            raise ValueError(
                "mode='loss' needs data samples with ground truth and a model with `criterion`.")
        targets = make_target_batch(
            data_samples, size=tuple(inputs.shape[-2:]), taxonomy=self.taxonomy,
            device=inputs.device)
        features = self.encode(inputs)
        losses = self.criterion(self.decode(features, targets), targets)
        for name, branch in self.auxiliary.items():
            losses |= {f'{name}.{key}': value for key, value in branch(features, targets).items()}
        return losses

    @torch.no_grad()
    def predict(self, inputs: Tensor, data_samples: Sequence) -> list:
        """Data samples with the predictions of all tasks, at the original image size."""
        if data_samples is None:
            raise ValueError("mode='predict' needs data samples, at least empty ones.")
        features = self.encode(inputs)
        readouts = partial(_readouts, padded=tuple(inputs.shape[-2:]), data_samples=data_samples)
        for sample, readout in zip(data_samples, readouts(self.decode(features)), strict=True):
            for task in self.tasks:
                processor = self.post_processors[task]
                setattr(sample, processor.field, processor(readout, self.taxonomy))
        if self.with_prior:
            add_priors(data_samples, features, head=find_prior_head(self.auxiliary),
                       readouts=readouts, taxonomy=self.taxonomy)
        return list(data_samples)

    @torch.no_grad()
    def readouts(self, inputs: Tensor, data_samples: Sequence) -> Iterator[Readout]:
        """The final prediction of every image, with the sizes that its data sample states."""
        return _readouts(self.decode(self.encode(inputs)), padded=tuple(inputs.shape[-2:]),
                         data_samples=data_samples)

    def semantic_scores(self, inputs: Tensor, data_samples: Sequence) -> Iterator[Tensor]:
        """Class scores (K, H_o, W_o) of every image, which may be averaged over views."""
        processor = self.post_processors['semantic']
        return (processor.scores(readout) for readout in self.readouts(inputs, data_samples))


def _readouts(prediction: Prediction, *, padded: tuple[int, int], data_samples: Sequence
              ) -> Iterator[Readout]:
    for index, sample in enumerate(data_samples):
        size = tuple(getattr(sample, 'img_shape', padded))[:2]
        output = tuple(getattr(sample, 'ori_shape', size))[:2]
        yield read(prediction, index, padded=padded, size=size, output=output)


def find_taxonomy(source: Mapping | str | Taxonomy) -> Taxonomy:
    """Taxonomy from a metainfo, or from the ``METAINFO`` of a registered dataset."""
    if isinstance(source, Taxonomy):
        return source
    if not isinstance(source, str):
        return Taxonomy.from_metainfo(source)
    dataset = DATASETS.get(source)
    if dataset is None:
        raise UserError(
            f'model.taxonomy names the dataset {source!r}, which is not registered. Give the '
            f'registered name (with its prefix, as in mmdet.CocoDataset) or a metainfo: '
            f'dict(classes=(...)).')
    return Taxonomy.from_metainfo(dataset.METAINFO)


def _served(head: nn.Module) -> tuple[str, ...]:
    """Tasks that can be read out of a head's predictions."""
    return tuple(getattr(head, 'tasks', TASKS))


def _tasks(test_cfg: Mapping | None, head: nn.Module) -> tuple[str, ...]:
    served = _served(head)
    tasks = tuple((test_cfg or {}).get('tasks') or served)
    unknown = [task for task in tasks if task not in TASKS]
    if unknown:
        raise UserError(f'model.test_cfg.tasks names {unknown}; there are {list(TASKS)}.')
    missing = [task for task in tasks if task not in served]
    if missing:
        raise UserError(
            f'model.test_cfg.tasks asks for {", ".join(missing)}, but {type(head).__name__} '
            f'predicts no segments to read that out of: it serves {", ".join(served)}. Set '
            f'model.test_cfg=dict(tasks={served}) or use a head that does, as MaskFormerHead.')
    return tasks


def _widths(channels: Sequence[int] | None, neck: dict | nn.Module,
            backbone: nn.Module) -> dict[str, Sequence[int]]:
    """The fact ``in_channels``, which a neck's config may state itself."""
    if channels is None and isinstance(neck, Mapping) and 'in_channels' not in neck:
        raise UserError(
            f'{type(backbone).__name__} does not tell the channels of its feature maps: state '
            f'model.neck.in_channels, fine to coarse.')
    return dict(in_channels=channels)


def _head_widths(neck: nn.Module | None, channels: Sequence[int] | None) -> dict[str, object]:
    """What a head is told of what it will be given, for those of its options that it has."""
    if neck is None:
        return {} if channels is None else dict(in_channels=channels)
    return dict(memory_channels=neck.memory_channels, mask_channels=neck.mask_channels)
