"""The implementations that are compared: unimask's, MMDetection's, Hugging Face's.

A side does the same three things in its library's own way: the class and mask logits, the
training loss, and the panoptic result at the original size.
"""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from torch import Tensor, nn

from bench.own import FaPN, MPFormer, MSFaPN, Plain, SeMask, Unimask
from bench.parts import Part
from bench.side import Side, metainfo
from bench.workload import NUM_CLASSES, NUM_THINGS, Workload

MMDET_CONFIG = 'mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py'
SCORE_THRESHOLD = 0.8
OVERLAP_THRESHOLD = 0.8


class MissingPeerError(RuntimeError):
    """The library to compare with is not installed; the message says how to get it."""


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
    'mask2former': Unimask, 'mp_former': MPFormer, 'plain': Plain, 'semask': SeMask,
    'fapn': FaPN, 'msfapn': MSFaPN, 'mmdet': MMDetection, 'huggingface': HuggingFace}
OWN = ('mask2former', 'mp_former', 'plain', 'semask', 'fapn', 'msfapn')


def _mmdet_sample(workload: Workload, index: int) -> BaseDataElement:
    """MMDetection's ground truth: things as bitmaps, stuff in a map of classes."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    labels, masks = workload.labels[index], workload.masks(index)
    things = labels < NUM_THINGS
    height, width = workload.size
    bitmaps = BitmapMasks(masks[things].cpu().numpy().astype('uint8'), height, width)
    classes = labels[workload.segment_ids[index] - 1]
    sample = DetDataSample(metainfo=metainfo(workload))
    sample.gt_instances = InstanceData(labels=labels[things], masks=bitmaps)
    sample.gt_sem_seg = PixelData(sem_seg=classes[None])
    return sample
