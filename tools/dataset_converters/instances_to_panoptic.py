"""Make a panoptic data set (things alone) of one in COCO instance format.

    python tools/dataset_converters/instances_to_panoptic.py instances.json panoptic.json

Written are the JSON file and, in the folder of its name, a PNG of segment ids for every image.
A pixel can belong to one segment only: where instances overlap the smaller one has the pixels, and
crowd regions give way to all. How many pixels that was, and which instances were covered altogether
and so are left out, is said at the end. What no instance covers is void. A run that was interrupted
goes on where it stopped; nothing that exists is written over.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from preparing import check_panoptic, convert_split, write_json_once, write_map_once
from pycocotools import mask as coco_mask

from unimask.cli import leave, run_tool
from unimask.datasets.coco_reading import ID, CocoFile, read_coco
from unimask.datasets.coco_writing import box_around
from unimask.datasets.outlines import Outlines
from unimask.errors import UserError
from unimask.structures.panoptic import colour_ids

Instance = tuple[np.ndarray, dict]  # mask (h, w) and annotation


def draw(instances: Sequence[Instance], size: tuple[int, int]) -> tuple[np.ndarray, list[dict]]:
    """Segment ids (h, w), numbered from 1 in the order of the file, and their entries.

    An instance without a pixel left has no entry.
    """
    ids = np.zeros(size, np.int32)
    numbered = list(enumerate(instances, start=1))
    # Crowd regions first, then from large to small: what is drawn later lies on top.
    for number, (mask, _) in sorted(numbered, key=lambda item: (
            not item[1][1].get('iscrowd'), -np.count_nonzero(item[1][0]))):
        ids[mask] = number
    segments = []
    for number, (_, annotation) in numbered:
        mask = ids == number
        if mask.any():
            segments.append(dict(
                id=number, category_id=annotation['category_id'], area=int(mask.sum()),
                bbox=box_around(mask), iscrowd=int(bool(annotation.get('iscrowd')))))
    return ids, segments


def read_instances(file: CocoFile) -> dict[str, list[tuple[dict, list | dict]]]:
    """Annotations with their outlines, by image id (as text)."""
    outlines, found = Outlines(file), defaultdict(list)
    known = {category['id'] for category in file.categories}
    for number, annotation in file.checked(dict(image_id=ID, category_id=ID)):
        place = file.place(number)
        if annotation['category_id'] not in known:
            raise place.fault('`categories` does not list its category.')
        outline = outlines.take(place)
        if outline:
            found[str(annotation['image_id'])].append((annotation, outline))
    outlines.report()
    return found


def _mask(outline: list | dict, size: tuple[int, int]) -> np.ndarray:
    if isinstance(outline, dict) and isinstance(outline['counts'], str):
        return coco_mask.decode(outline).astype(bool)
    code = coco_mask.frPyObjects(outline, *size)
    return coco_mask.decode(coco_mask.merge(code) if isinstance(code, list) else code).astype(bool)


def convert(file: CocoFile, result: Path) -> None:
    """Write the panoptic data set."""
    instances = read_instances(file)
    images = {str(key): image for key, image in file.images.items()}
    folder = result.with_suffix('')

    def make(name: str) -> list:
        image = images[name]
        size = image['height'], image['width']
        masks = [(_mask(outline, size), annotation) for annotation, outline in instances[name]]
        ids, segments = draw(masks, size)
        write_map_once(folder / _png(image), colour_ids(ids))
        covered = np.sum([mask for mask, _ in masks], axis=0) if masks else ids
        return [segments, int((covered > 1).sum()), len(masks) - len(segments)]

    def publish(records: list) -> None:
        _tell_of_overlaps(records)
        write_json_once(
            result, images=list(images.values()),
            annotations=[dict(image_id=image['id'], file_name=_png(image), segments_info=segments)
                         for image, (segments, _, _) in zip(images.values(), records, strict=True)],
            categories=[dict(category, isthing=1) for category in file.categories])
    convert_split(list(images), make, results=(result,), publish=publish,
                  check=lambda: check_panoptic(result, folder, images=len(images)))


def _png(image: dict) -> str:
    return str(Path(image['file_name']).with_suffix('.png'))


def _tell_of_overlaps(records: Sequence[list]) -> None:
    pixels = [overlap for _, overlap, _ in records if overlap]
    if pixels:
        hidden = sum(lost for _, _, lost in records)
        print(f'\nInstances overlap in {len(pixels)} of {len(records)} images, in {sum(pixels)} '
              f'pixels: the smaller ones have them. {hidden} instances have no pixel left and '
              'are left out.')


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description='A panoptic data set of instances.')
    parser.add_argument('source', type=Path, help='the instance annotation file')
    parser.add_argument('result', type=Path, help='the panoptic annotation file to be made')
    args = parser.parse_args(argv)
    if args.result.suffix != '.json' or args.result.resolve() == args.source.resolve():
        raise UserError(f'{args.result}: name a new file that ends with .json; the input is only '
                        'read.')
    convert(read_coco(str(args.source), owner='instances_to_panoptic'), args.result)
    return 0


if __name__ == '__main__':
    leave(run_tool(main, resume=''))
