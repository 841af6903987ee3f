"""The implementations that are compared: unimask's, MMDetection's, Hugging Face's.

A side does the same three things in its library's own way: the class and mask logits, the
training loss, and the panoptic result at the original size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn

from bench.parts import Part
from bench.workload import NUM_CLASSES, NUM_THINGS, Workload

CONFIG = Path(__file__).parents[3] / 'configs/mask2former/r50_8xb2_coco-panoptic.py'
MMDET_CONFIG = 'mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py'
SCORE_THRESHOLD = 0.8
OVERLAP_THRESHOLD = 0.8


class MissingPeerError(RuntimeError):
    """The library to compare with is not installed; the message says how to get it."""


class Side(ABC):
    """One implementation of Mask2Former R50 for COCO panoptic, on one workload.

    Attributes:
        model: the network, with frozen batch norms.
        class_head: the layer that makes the class logits.
    """

    model: nn.Module
    class_head: nn.Linear

    def __init__(self, workload: Workload, device: torch.device) -> None:
        self.workload = workload.to(device)
        self.device = device

    @abstractmethod
    def logits(self) -> tuple[Tensor, Tensor]:
        """Final class logits (B, Q, K+1) and mask logits (B, Q, H/4, W/4)."""

    @abstractmethod
    def loss(self) -> Tensor:
        """The total training loss, a scalar."""

    def compared_loss(self) -> Tensor:
        """That of it which every side has."""
        return self.loss()

    @abstractmethod
    def panoptic(self) -> list[Tensor]:
        """One panoptic map (H, W) per image, in the library's own encoding."""

    @abstractmethod
    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW as the library's users get it."""

    @abstractmethod
    def parts(self) -> list[Part]:
        """The parts whose time is worth telling apart."""

    def finish(self, weights: Mapping[str, Tensor] | None = None) -> None:
        """Load weights, move to the device."""
        if weights is not None:
            self.model.load_state_dict(weights, strict=True)
        self.model.to(self.device)


class Unimask(Side):
    """This library's Mask2Former."""

    def __init__(self, workload: Workload, device: torch.device) -> None:
        from unimask.registry import MODELS
        from unimask.utils import register_all_modules

        super().__init__(workload, device)
        register_all_modules()
        self.config = Config.fromfile(CONFIG)
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


class MMDetection(Side):
    """MMDetection, with the configuration that it ships."""

    def __init__(self, workload: Workload, device: torch.device) -> None:
        super().__init__(workload, device)
        try:
            import mmdet
            from mmdet.registry import MODELS
            from mmdet.utils import register_all_modules
        except ImportError as error:
            raise MissingPeerError(
                'the peer "mmdet" needs MMDetection: pip install onedl-mmdetection') from error
        register_all_modules(init_default_scope=False)
        self.config = Config.fromfile(Path(mmdet.__file__).parent / '.mim/configs' / MMDET_CONFIG)
        self.config.model.backbone.init_cfg = None
        self.config.model.test_cfg.instance_on = False
        with DefaultScope.overwrite_default_scope('mmdet'):
            self.model = MODELS.build(self.config.model)
        self.class_head = self.model.panoptic_head.cls_embed
        self._samples = [_mmdet_sample(self.workload, i) for i in range(len(workload.labels))]

    def logits(self) -> tuple[Tensor, Tensor]:
        classes, masks = self.model(self.workload.images, self._samples, mode='tensor')
        return classes[-1], masks[-1]

    def loss(self) -> Tensor:
        return sum(self.model(self.workload.images, self._samples, mode='loss').values())

    def panoptic(self) -> list[Tensor]:
        samples = self.model(self.workload.images, self._samples, mode='predict')
        return [sample.pred_panoptic_seg.sem_seg[0] for sample in samples]

    def optimizer(self) -> torch.optim.Optimizer:
        with DefaultScope.overwrite_default_scope('mmdet'):
            return build_optim_wrapper(self.model, self.config.optim_wrapper.copy()).optimizer

    def parts(self) -> list[Part]:
        head = self.model.panoptic_head
        return [
            Part('backbone', self.model.backbone),
            Part('pixel decoder', head.pixel_decoder),
            Part('head', head),
            Part('criterion', head, 'loss'),
            Part('matching', head, 'get_targets'),
            Part('post-processing', head, 'predict'),
            Part('post-processing', self.model.panoptic_fusion_head, 'predict'),
        ]


class HuggingFace(Side):
    """Hugging Face ``transformers``, from an equal configuration."""

    def __init__(self, workload: Workload, device: torch.device) -> None:
        super().__init__(workload, device)
        try:
            import transformers
        except ImportError as error:
            raise MissingPeerError(
                'the peer "huggingface" needs transformers: pip install transformers') from error
        transformers.logging.set_verbosity_error()  # it warns that its ResNet is unusual
        stages = ['stage1', 'stage2', 'stage3', 'stage4']
        backbone = transformers.ResNetConfig(out_features=stages)
        config = transformers.Mask2FormerConfig(backbone_config=backbone, num_labels=NUM_CLASSES)
        self.model = transformers.Mask2FormerForUniversalSegmentation(config)
        self.class_head = self.model.class_predictor
        self._processor = transformers.Mask2FormerImageProcessor()
        self._freeze_norms()
        # The library's image processor makes these masks while loading data.
        count = len(workload.labels)
        self._masks = [self.workload.masks(index).float() for index in range(count)]

    def _freeze_norms(self) -> None:
        """Batch norms neither learn nor collect statistics, as in the other sides' configs."""
        for module in self.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.requires_grad_(False)
                module.train = lambda mode=True, module=module: nn.Module.train(module, False)
                module.train()

    def logits(self) -> tuple[Tensor, Tensor]:
        outputs = self.model(self.workload.images)
        return outputs.class_queries_logits, outputs.masks_queries_logits

    def loss(self) -> Tensor:
        labels = list(self.workload.labels)
        return self.model(
            self.workload.images, mask_labels=self._masks, class_labels=labels).loss.squeeze()

    def panoptic(self) -> list[Tensor]:
        outputs = self.model(self.workload.images)
        results = self._post_process(outputs)
        return [result['segmentation'] for result in results]

    def _post_process(self, outputs: object) -> list[dict]:
        return self._processor.post_process_panoptic_segmentation(
            outputs, threshold=SCORE_THRESHOLD, overlap_mask_area_threshold=OVERLAP_THRESHOLD,
            label_ids_to_fuse=set(range(NUM_THINGS, NUM_CLASSES)),
            target_sizes=[self.workload.size] * len(self.workload.labels))

    def optimizer(self) -> torch.optim.Optimizer:
        trained = [each for each in self.model.parameters() if each.requires_grad]
        return torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.05, fused=True)

    def parts(self) -> list[Part]:
        return [
            Part('backbone', self.model.model.pixel_level_module.encoder),
            Part('pixel decoder', self.model.model.pixel_level_module.decoder),
            Part('head', self.model.model.transformer_module),
            Part('head', self.model.class_predictor),
            Part('criterion', self.model.criterion),
            Part('matching', self.model.criterion.matcher),
            Part('post-processing', self, '_post_process'),
        ]


SIDES: dict[str, type[Side]] = {
    'mask2former': Unimask, 'mp_former': MPFormer, 'mmdet': MMDetection,
    'huggingface': HuggingFace}
OWN = ('mask2former', 'mp_former')


def _metainfo(workload: Workload) -> dict:
    height, width = workload.size
    return dict(
        img_id=0, img_path='synthetic', img_shape=(height, width), ori_shape=(height, width),
        batch_input_shape=(height, width), pad_shape=(height, width), scale_factor=(1.0, 1.0))


def _panoptic_sample(workload: Workload, index: int) -> DetDataSample:
    """unimask's ground truth: the id map and the list of segments."""
    segments = [
        dict(id=number + 1, category=int(label), isthing=bool(label < NUM_THINGS), iscrowd=0)
        for number, label in enumerate(workload.labels[index])]
    panoptic = PixelData(sem_seg=workload.segment_ids[index][None].int())
    panoptic.set_metainfo(dict(segments_info=segments))
    sample = DetDataSample(metainfo=_metainfo(workload))
    sample.gt_panoptic_seg = panoptic
    return sample


def _mmdet_sample(workload: Workload, index: int) -> DetDataSample:
    """MMDetection's ground truth: things as bitmaps, stuff in a map of classes."""
    labels, masks = workload.labels[index], workload.masks(index)
    things = labels < NUM_THINGS
    height, width = workload.size
    bitmaps = BitmapMasks(masks[things].cpu().numpy().astype('uint8'), height, width)
    classes = labels[workload.segment_ids[index] - 1]
    sample = DetDataSample(metainfo=_metainfo(workload))
    sample.gt_instances = InstanceData(labels=labels[things], masks=bitmaps)
    sample.gt_sem_seg = PixelData(sem_seg=classes[None])
    return sample
