"""Public semantic data sets."""

from __future__ import annotations

from functools import partialmethod

from unimask.datasets import sources
from unimask.datasets.categories import all_classes
from unimask.datasets.label_survey import LabelSurvey
from unimask.datasets.reporting import warn
from unimask.datasets.semantic import SemanticDataset
from unimask.errors import UserError
from unimask.registry import DATASETS

__all__ = ['ADE20KSemanticDataset', 'COCOStuff10kDataset', 'CamVidDataset',
           'CityscapesSemanticDataset']


@DATASETS.register_module()
class ADE20KSemanticDataset(SemanticDataset):
    """ADE20K scene parsing: 150 classes; the files count from 1, 0 = unlabelled."""

    SOURCE = sources.ADE20K
    METAINFO = all_classes('ade20k')
    __init__ = partialmethod(SemanticDataset.__init__, reduce_zero_label=True)


@DATASETS.register_module()
class CityscapesSemanticDataset(SemanticDataset):
    """Cityscapes: 19 classes, label maps with train ids."""

    SOURCE = sources.CITYSCAPES
    METAINFO = all_classes('cityscapes')
    __init__ = partialmethod(SemanticDataset.__init__, img_suffix='_leftImg8bit.png',
                             seg_map_suffix='_gtFine_labelTrainIds.png')


@DATASETS.register_module()
class COCOStuff10kDataset(SemanticDataset):
    """COCO-Stuff 10k v1.1: 80 things and 91 kinds of stuff, 171 classes.

    The release holds MATLAB files with ids of 0 to 182. Label maps are made of them in two ways:

    - MMSegmentation's ``*_labelTrainIds.png`` (so does ``coco_stuff10k.py`` of our dataset
      converters): 0 = unlabelled, 1 to 171. This is the default, ``reduce_zero_label=True``.
    - MaskFormer's ``*.png``: 0 to 170, 255 = unlabelled. For these state
      ``reduce_zero_label=False, seg_map_suffix='.png'``.

    Raises:
        UserError: The maps looked at are of the other kind, which would move every label by one.
    """

    SOURCE = sources.COCO_STUFF_10K
    METAINFO = all_classes('coco_stuff')
    __init__ = partialmethod(SemanticDataset.__init__, reduce_zero_label=True,
                             seg_map_suffix='_labelTrainIds.png')

    def _judge(self, survey: LabelSurvey) -> None:
        if self.reduce_zero_label and 255 in survey.values:
            raise UserError(
                f'{self._name}: {survey.text} (such as {survey.example}) have the value 255, '
                'which maps that count from 1 (0 = unlabelled) do not have: these count from 0, '
                'as those of MaskFormer do. State reduce_zero_label=False for them.')
        if not self.reduce_zero_label and 255 not in survey.values and 0 in survey.values:
            warn(f'{self._name}: {survey.text} (such as {survey.example}) have no pixel of the '
                 'value 255. If 0 means "unlabelled", as in *_labelTrainIds.png, leave out '
                 'reduce_zero_label=False: every label is off by one now.')
        super()._judge(survey)


@DATASETS.register_module()
class CamVidDataset(SemanticDataset):
    """CamVid road scenes with the 11 classes of the SegNet version; 255 = unlabelled."""

    SOURCE = sources.CAMVID
    METAINFO = dict(
        classes=('sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign symbol', 'fence',
                 'car', 'pedestrian', 'bicyclist'),
        palette=[(128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222),
                 (128, 128, 0), (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0),
                 (0, 128, 192)])
