"""The same small scenes in every format that is known."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (40, 48)  # height, width
CLASSES = ('disk', 'square')
Box = tuple[int, int, int, int, int]  # label, y0, x0, y1, x1
# Two objects of different classes in each scene, one alone in the last one.
SCENES: dict[str, list[Box]] = {
    f'scene {number}': [(0, 4, 4 + number, 16, 20), (1, 20, 8, 36, 30 + number)][:2 - number // 5]
    for number in range(6)}


def masks(scene: list[Box]) -> Iterator[tuple[int, np.ndarray]]:
    """Label and mask of every object."""
    for label, y0, x0, y1, x1 in scene:
        mask = np.zeros(SIZE, bool)
        mask[y0:y1, x0:x1] = True
        yield label, mask


def write_image(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(seed).randint(0, 255, (*SIZE, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def write_map(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)


def write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def index_map(scene: list[Box], *, first: int = 1) -> np.ndarray:
    """Label + ``first`` where an object is, 0 elsewhere."""
    values = np.zeros(SIZE, np.uint8)
    for label, mask in masks(scene):
        values[mask] = label + first
    return values


def label_maps(folder: Path, *, split: bool = False) -> Path:
    """``images`` and ``masks``, with a list of classes."""
    for number, (name, scene) in enumerate(SCENES.items()):
        part = ('train', 'val')[number % 2] if split else ''
        write_image(folder / 'images' / part / f'{name}.jpg')
        write_map(folder / 'masks' / part / f'{name}.png', index_map(scene))
    (folder / 'classes.txt').write_text('background\ndisk\nsquare\n')
    return folder


def object_masks(folder: Path) -> Path:
    """A PNG for every object."""
    for name, scene in SCENES.items():
        write_image(folder / 'images' / f'{name}.png')
        for number, (label, mask) in enumerate(masks(scene)):
            write_map(folder / 'masks' / name / f'{CLASSES[label]}_{number}.png', 255 * mask)
    (folder / 'classes.txt').write_text('\n'.join(CLASSES))
    return folder


def coco(folder: Path, names: list[str], file: str, images: str, *, roof: bool = False) -> Path:
    """Instances of some scenes in COCO's format."""
    first = int(roof)
    content: dict = dict(images=[], annotations=[], categories=[
        dict(id=i + first, name=name, supercategory='shapes') for i, name in enumerate(CLASSES)])
    if roof:
        content['categories'].insert(0, dict(id=0, name='shapes', supercategory='none'))
    for key, name in enumerate(names):
        write_image(folder / images / f'{name}.jpg')
        content['images'].append(dict(id=key, file_name=f'{name}.jpg', height=SIZE[0],
                                      width=SIZE[1]))
        for label, y0, x0, y1, x1 in SCENES[name]:
            content['annotations'].append(dict(
                id=len(content['annotations']) + 1, image_id=key, category_id=label + first,
                bbox=[x0, y0, x1 - x0, y1 - y0], area=(x1 - x0) * (y1 - y0), iscrowd=0,
                segmentation=[[x0, y0, x1, y0, x1, y1, x0, y1]]))
    write_json(folder / file, content)
    return folder


def coco_split(folder: Path) -> Path:
    """``annotations/instances_{train,val}2017.json`` and folders of pictures."""
    for split, names in (('train2017', list(SCENES)[:4]), ('val2017', list(SCENES)[4:])):
        coco(folder, names, f'annotations/instances_{split}.json', split)
    return folder


def coco_whole(folder: Path) -> Path:
    """One file for all pictures."""
    return coco(folder, list(SCENES), 'labels.json', 'images')


def roboflow(folder: Path) -> Path:
    """As Roboflow exports instances."""
    for split, names in (('train', list(SCENES)[:4]), ('valid', list(SCENES)[4:])):
        coco(folder, names, f'{split}/_annotations.coco.json', split, roof=True)
    return folder


def panoptic(folder: Path) -> Path:
    """COCO panoptic, one file; the background is stuff."""
    categories = [dict(id=7, name='ground', isthing=0)] + [
        dict(id=8 + i, name=name, isthing=1) for i, name in enumerate(CLASSES)]
    content: dict = dict(images=[], annotations=[], categories=categories)
    for key, (name, scene) in enumerate(SCENES.items()):
        write_image(folder / 'images' / f'{name}.jpg')
        ids = np.ones(SIZE, np.uint8)
        segments = [dict(id=1, category_id=7, iscrowd=0)]
        for number, (label, mask) in enumerate(masks(scene), 2):
            ids[mask] = number
            segments.append(dict(id=number, category_id=8 + label, iscrowd=0))
        for segment in segments:
            segment['area'] = int((ids == segment['id']).sum())
        path = folder / 'annotations' / 'panoptic' / f'{name}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.stack([ids, 0 * ids, 0 * ids], -1)).save(path)
        content['images'].append(dict(id=key, file_name=f'{name}.jpg', height=SIZE[0],
                                      width=SIZE[1]))
        content['annotations'].append(dict(image_id=key, file_name=f'{name}.png',
                                           segments_info=segments))
    write_json(folder / 'annotations' / 'panoptic.json', content)
    return folder


def yolo(folder: Path) -> Path:
    """Text files of polygons; the last scene is for validation."""
    height, width = SIZE
    for number, (name, scene) in enumerate(SCENES.items()):
        split = 'val' if number == len(SCENES) - 1 else 'train'
        write_image(folder / 'images' / split / f'{name}.jpg')
        lines = [f'{label} {x0 / width} {y0 / height} {x1 / width} {y0 / height} '
                 f'{x1 / width} {y1 / height} {x0 / width} {y1 / height}'
                 for label, y0, x0, y1, x1 in scene]
        labels = folder / 'labels' / split / f'{name}.txt'
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text('\n'.join(lines) + '\n')
    (folder / 'data.yaml').write_text('train: images/train\nval: images/val\n'
                                      'names:\n  0: disk\n  1: square\n')
    return folder


INSTANCE: dict[str, Callable[[Path], Path]] = {
    'COCO, split': coco_split, 'COCO, one file': coco_whole, 'Roboflow': roboflow,
    'a PNG for every object': object_masks, 'YOLO': yolo}
