"""The segmentor: backbone, pixel decoder, head, criterion and post-processors in a row.

Shapes: B batch, (H, W) padded input, (H_o, W_o) original image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmengine.model import BaseModel
from mmengine.model.weight_init import initialize
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn

from unimask.models.backbones.info import out_channels
from unimask.models.post_processors import Readout
from unimask.models.segmentors.targets import make_target_batch
from unimask.ops.cpu.folding import fold_frozen_norms
from unimask.registry import DATASETS, MODELS
from unimask.structures import MaskPrediction, Taxonomy

TASKS = ('semantic', 'instance', 'panoptic')
_POST_PROCESSORS = {
    'semantic': 'SemanticPostProcessor',
    'instance': 'InstancePostProcessor',
    'panoptic': 'PanopticPostProcessor',
}


@MODELS.register_module()
class UniversalSegmentor(BaseModel):
    """One model for semantic, instance and panoptic segmentation.

    Args:
        backbone: Config; returns maps, fine to coarse.
        neck: Config of the pixel decoder; ``in_channels`` may be left out.
        head: Config; class count and widths are filled in.
        criterion: Config; None for a model that is only used.
        taxonomy: A dataset's metainfo, or the registered name of a dataset with one.
        post_processors: Task -> config; tasks left out get the default one.
        test_cfg: ``dict(tasks=...)``: which of semantic, instance and panoptic to predict.
        data_preprocessor: Config of the normalisation and padding.
        init_cfg: Applied after everything else was initialised (pretrained weights).

    Raises:
        ValueError: If a task is unknown or the taxonomy cannot be found.
    """

    def __init__(self, *, backbone: dict, neck: dict, head: dict, taxonomy: dict | str,
                 criterion: dict | None = None, post_processors: dict | None = None,
                 test_cfg: dict | None = None, data_preprocessor: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.taxonomy = find_taxonomy(taxonomy)
        self.tasks = _tasks(test_cfg)
        self.backbone = MODELS.build(backbone)
        fold_frozen_norms(self.backbone)
        self.neck = MODELS.build(_with_channels(neck, self.backbone))
        self.head = MODELS.build(dict(
            dict(num_classes=self.taxonomy.num_classes,
                 memory_channels=self.neck.memory_channels,
                 mask_channels=self.neck.mask_channels), **head))
        self.criterion = MODELS.build(criterion) if criterion else None
        self.post_processors = {
            task: MODELS.build(dict(dict(type=name), **(post_processors or {}).get(task, {})))
            for task, name in _POST_PROCESSORS.items()}
        # Convolutions are faster this way on CPU and GPU; the weights' names and shapes stay.
        self.to(memory_format=torch.channels_last)

    def init_weights(self) -> None:
        """Initialise the parts, then apply ``init_cfg``, which no part may overwrite."""
        if not self.is_init:
            init_cfg, self.init_cfg = self.init_cfg, None
            super().init_weights()
            self.init_cfg = init_cfg
            if init_cfg:
                initialize(self, init_cfg)

    def forward(self, inputs: Tensor, data_samples: Sequence | None = None,
                mode: str = 'tensor') -> MaskPrediction | dict[str, Tensor] | list:
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
            return self.predict_masks(inputs)
        if mode not in ('loss', 'predict'):
            raise ValueError(f"mode must be 'loss', 'predict' or 'tensor', not {mode!r}.")
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        return self.predict(inputs, data_samples)

    def predict_masks(self, inputs: Tensor) -> MaskPrediction:
        """Images (B, 3, H, W) -> queries' classes and masks."""
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        return self.head(self.neck(self.backbone(inputs)))

    def loss(self, inputs: Tensor, data_samples: Sequence) -> dict[str, Tensor]:
        """Weighted losses by name; their sum is the total."""
        if self.criterion is None or data_samples is None:
            raise ValueError(
                "mode='loss' needs data samples with ground truth and a model with `criterion`.")
        targets = make_target_batch(
            data_samples, size=tuple(inputs.shape[-2:]), taxonomy=self.taxonomy,
            device=inputs.device)
        return self.criterion(self.predict_masks(inputs), targets)

    @torch.no_grad()
    def predict(self, inputs: Tensor, data_samples: Sequence) -> list:
        """Data samples with the predictions of all tasks, at the original image size."""
        if data_samples is None:
            raise ValueError("mode='predict' needs data samples, at least empty ones.")
        prediction = self.predict_masks(inputs)
        for index, sample in enumerate(data_samples):
            readout = self.readout(prediction, index, sample, tuple(inputs.shape[-2:]))
            for task in self.tasks:
                getattr(self, f'_predict_{task}')(readout, sample)
        return list(data_samples)

    def readout(self, prediction: MaskPrediction, index: int, sample: object,
                padded: tuple[int, int]) -> Readout:
        """One image's final prediction with its sizes, from the sample's metainfo."""
        size = tuple(getattr(sample, 'img_shape', padded))[:2]
        output = tuple(getattr(sample, 'ori_shape', size))[:2]
        return Readout.of(prediction, index, padded=padded, size=size, output=output)

    @property
    def semantic_alone(self) -> bool:
        """Whether semantic maps are all that is predicted, which changes the order of resizing."""
        return self.tasks == ('semantic',)

    def _predict_semantic(self, readout: Readout, sample: object) -> None:
        labels = self.post_processors['semantic'](readout, alone=self.semantic_alone)
        sample.pred_sem_seg = PixelData(sem_seg=labels[None])

    def _predict_instance(self, readout: Readout, sample: object) -> None:
        result = self.post_processors['instance'](readout, self.taxonomy)
        sample.pred_instances = InstanceData(**result._asdict())

    def _predict_panoptic(self, readout: Readout, sample: object) -> None:
        result = self.post_processors['panoptic'](readout, self.taxonomy)
        sample.pred_panoptic_seg = PixelData(sem_seg=result.ids[None])
        sample.pred_panoptic_seg.set_metainfo(dict(segments_info=result.segments))


def find_taxonomy(source: Mapping | str | Taxonomy) -> Taxonomy:
    """Taxonomy from a metainfo, or from the ``METAINFO`` of a registered dataset."""
    if isinstance(source, Taxonomy):
        return source
    if not isinstance(source, str):
        return Taxonomy.from_metainfo(source)
    dataset = DATASETS.get(source)
    if dataset is None:
        raise ValueError(
            f'model.taxonomy names the dataset {source!r}, which is not registered. Give the '
            f'registered name (with its prefix, as in mmdet.CocoDataset) or a metainfo: '
            f'dict(classes=(...)).')
    return Taxonomy.from_metainfo(dataset.METAINFO)


def _tasks(test_cfg: Mapping | None) -> tuple[str, ...]:
    tasks = tuple((test_cfg or {}).get('tasks', TASKS))
    unknown = [task for task in tasks if task not in TASKS]
    if unknown:
        raise ValueError(f'model.test_cfg.tasks names {unknown}; there are {list(TASKS)}.')
    return tasks


def _with_channels(neck: dict, backbone: nn.Module) -> dict:
    """The neck's config, with the backbone's channels if it does not state them."""
    if 'in_channels' in neck:
        return neck
    channels = out_channels(backbone)
    if channels is None:
        raise ValueError(
            f'{type(backbone).__name__} does not tell the channels of its feature maps: state '
            f'model.neck.in_channels, fine to coarse.')
    return dict(neck, in_channels=channels)
