"""Tiny data sets written to disk, for tests."""

import copy
import json
from pathlib import Path

import numpy as np
from PIL import Image

CATEGORIES = [dict(id=7, name='cat', isthing=1, color=[10, 20, 30]),
              dict(id=3, name='dog', isthing=1, color=[40, 50, 60]),
              dict(id=90, name='sky', isthing=0, color=[70, 80, 90])]
# segments of the first image: a cat, a crowd of dogs, the sky; a column stays void
SEGMENTS = [dict(id=70_000, category_id=7, iscrowd=0), dict(id=5, category_id=3, iscrowd=1),
            dict(id=300, category_id=90, iscrowd=0)]


def id_map() -> np.ndarray:
    """(6, 8) segment ids of the first image."""
    ids = np.zeros((6, 8), np.int64)
    ids[:3, :4], ids[:3, 4:7], ids[3:, :7] = 70_000, 5, 300
    return ids


def write_ids(path: Path, ids: np.ndarray) -> None:
    """A panoptic PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
    Image.fromarray(rgb).save(path)


def write_image(path: Path, height: int = 6, width: int = 8) -> np.ndarray:
    """A random RGB picture without loss; returns it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = np.random.RandomState(0).randint(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(rgb).save(path)
    return rgb


def write_json(path: Path, content: dict) -> None:
    """A JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def panoptic_content() -> dict:
    """Annotation of two images, the second without segments."""
    images = [dict(id=i, file_name=f'{i}.png', height=6, width=8) for i in (1, 2)]
    annotations = [dict(image_id=1, file_name='1.png', segments_info=copy.deepcopy(SEGMENTS)),
                   dict(image_id=2, file_name='2.png', segments_info=[])]
    return dict(images=images, annotations=annotations, categories=copy.deepcopy(CATEGORIES))


def write_panoptic(root: Path, content: dict | None = None) -> dict:
    """A panoptic data set; returns the options that load it."""
    for name in ('1', '2'):
        write_image(root / f'img/{name}.png')
    write_ids(root / 'seg/1.png', id_map())
    write_ids(root / 'seg/2.png', np.zeros((6, 8), np.int64))
    write_json(root / 'ann.json', content or panoptic_content())
    return dict(data_root=str(root), ann_file='ann.json', data_prefix=dict(img='img', seg='seg'))


def instance_content() -> dict:
    """A polygon, a compressed code, a crowd; the second image without objects."""
    images = [dict(id=i, file_name=f'{i}.png', height=6, width=8) for i in (1, 2)]
    shared = dict(image_id=1, area=4, bbox=[1, 1, 2, 2])
    annotations = [
        dict(id=1, category_id=7, segmentation=[[1, 1, 3, 1, 3, 3, 1, 3]], iscrowd=0, **shared),
        dict(id=2, category_id=3, segmentation=dict(size=[6, 8], counts=[0, 12, 36]), iscrowd=0,
             **shared),
        dict(id=3, category_id=3, segmentation=dict(size=[6, 8], counts=[42, 6]), iscrowd=1,
             **shared)]
    categories = [copy.deepcopy(c) for c in CATEGORIES if c['isthing']]
    return dict(images=images, annotations=annotations, categories=categories)


def write_instances(root: Path, content: dict | None = None) -> dict:
    """An instance data set; returns the options that load it."""
    for name in ('1', '2'):
        write_image(root / f'img/{name}.png')
    write_json(root / 'ann.json', content or instance_content())
    return dict(data_root=str(root), ann_file='ann.json', data_prefix=dict(img='img'))


def write_semantic(root: Path, labels: np.ndarray) -> dict:
    """A semantic data set of one image; returns the options that load it."""
    write_image(root / 'img/a.jpg', *labels.shape)
    (root / 'seg').mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels).save(root / 'seg/a.png')
    return dict(data_root=str(root), data_prefix=dict(img_path='img', seg_map_path='seg'))
