"""Writing the Shapes data set in COCO's formats.

Layout below the root, ``{split}`` being ``train`` or ``val``::

    shapes.json                             manifest: what the files were made from
    images/{split}/000001.jpg
    annotations/panoptic_{split}.json       COCO panoptic (things and stuff)
    annotations/panoptic_{split}/000001.png segment id = R + 256 G + 65536 B, 0 = void
    annotations/instances_{split}.json      COCO instances (things), visible masks as RLE
    annotations/semantic_{split}/000001.png index of the class, 255 = void
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path

import cv2
import numpy as np

from shapes_maker.scene import VOID, Scene, draw_scene
from unimask.datasets.coco_writing import box_around
from unimask.datasets.shapes import CLASSES, PALETTE, STUFF, THINGS
from unimask.errors import UserError
from unimask.structures.panoptic import colour_ids
from unimask.utils.rle import run_length_code

__all__ = ['ShapesSpec', 'make_shapes']

MANIFEST = 'shapes.json'
VERSION = 1  # of the generator: raise it whenever the same parameters give other files
IGNORE_INDEX = 255
JPEG_QUALITY = 95
SCENES_WORTH_A_PROCESS = 256  # fewer are made before another process has started

# As in COCO, category ids have gaps: a loader that takes them for labels is found out.
CATEGORY_IDS = {name: i + 1 for i, name in enumerate(THINGS)} | {
    name: 101 + i for i, name in enumerate(STUFF)}
# An odd factor permutes the 24-bit numbers: ids are unique and spread over R, G and B.
ID_FACTOR = 0x9E3779

_Made = tuple[dict, list[dict], list[dict]]  # image, segments and objects of one scene


@dataclass(frozen=True)
class ShapesSpec:
    """Everything that the files depend on.

    Attributes:
        num_train: Scenes of the split ``train``.
        num_val: Scenes of the split ``val``, drawn from another random stream.
        size: Longer edge of the pictures, in pixels.
        seed: Not negative; another seed gives other scenes.
        version: Of the generator.

    Raises:
        UserError: If a number is out of range.
    """

    num_train: int
    num_val: int
    size: int
    seed: int
    version: int = VERSION

    def __post_init__(self) -> None:
        limits = dict(num_train=(0, 999_999), num_val=(0, 999_999), size=(48, 2048),
                      seed=(0, 2 ** 32 - 1))
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise UserError(f'Shapes: {name} is {getattr(self, name)}, '
                                f'but must be from {low} to {high}')

    @property
    def splits(self) -> dict[str, int]:
        """Number of scenes by split."""
        return dict(train=self.num_train, val=self.num_val)


def make_shapes(root: str | Path, *, num_train: int = 400, num_val: int = 100, size: int = 160,
                seed: int = 0, processes: int = 1,
                progress: Callable[[], None] | None = None) -> bool:
    """Generate the Shapes dataset below ``root``, unless it is there already.

    The same parameters give the same files. They are made in a temporary folder beside ``root``
    that takes its place when complete, so ``root`` never holds a part of a dataset.

    Args:
        root: Folder of the dataset; its parents are made when missing.
        num_train: Scenes of the split ``train``.
        num_val: Scenes of the split ``val``.
        size: Longer edge of the pictures, in pixels.
        seed: Seed of all scenes.
        processes: How many draw at the same time; one does where there are few scenes.
        progress: Called after every scene.

    Returns:
        Whether files were made; False if they were there.

    Raises:
        UserError: If a number is out of range, or if ``root`` holds anything but a Shapes dataset.
    """
    spec = ShapesSpec(num_train=num_train, num_val=num_val, size=size, seed=seed)
    root = Path(root).absolute()
    if _is_made(root, spec):
        return False
    _check_replaceable(root)
    root.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f'.{root.name}-', dir=root.parent))
    try:
        draft.chmod(0o755)  # mkdtemp makes private folders
        for stream, (split, count) in enumerate(spec.splits.items()):
            _write_split(draft, split, count, stream, spec, processes, progress)
        _write_json(draft / MANIFEST, asdict(spec))
        return _publish(draft, root, spec)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _is_made(root: Path, spec: ShapesSpec) -> bool:
    """Whether ``root`` has the manifest of ``spec`` and as many files as that promises."""
    try:
        same = json.loads((root / MANIFEST).read_text()) == asdict(spec)
        return same and all(
            len(list(folder.iterdir())) == count
            for split, count in spec.splits.items() for folder in _folders(root, split))
    except (OSError, ValueError):
        return False


def _folders(root: Path, split: str) -> tuple[Path, Path, Path]:
    """Where the pictures, the panoptic and the semantic maps of a split are."""
    annotations = root / 'annotations'
    return (root / 'images' / split, annotations / f'panoptic_{split}',
            annotations / f'semantic_{split}')


def _check_replaceable(root: Path) -> None:
    if root.exists() and not (root / MANIFEST).is_file() and (
            not root.is_dir() or any(root.iterdir())):
        raise UserError(f'{root} exists and is not a Shapes dataset (it has no {MANIFEST}): '
                        'nothing was written. Choose another folder or remove it.')


def _publish(draft: Path, root: Path, spec: ShapesSpec) -> bool:
    """Move the finished ``draft`` to ``root``; False if another process was faster."""
    if _is_made(root, spec):
        return False
    try:
        _discard(root)
        os.replace(draft, root)
    except OSError:  # another process may have done the same at the same moment
        if _is_made(root, spec):
            return False
        raise
    return True


def _discard(root: Path) -> None:
    """Remove ``root``, moving it aside first so that it never is there in part."""
    if root.exists():
        old = Path(tempfile.mkdtemp(prefix=f'.{root.name}-old-', dir=root.parent))
        os.replace(root, old)
        shutil.rmtree(old)


def _write_split(root: Path, split: str, count: int, stream: int, spec: ShapesSpec, processes: int,
                 progress: Callable[[], None] | None) -> None:
    for folder in _folders(root, split):
        folder.mkdir(parents=True)
    images, panoptic, instances = [], [], []
    make = partial(_make_scene, root, split, stream, spec)
    for image, segments, objects in _spread(make, count, processes):
        images.append(image)
        panoptic.append(dict(image_id=image['id'], file_name=f'{_stem(image["id"])}.png',
                             segments_info=segments))
        instances += [entry | dict(id=number)
                      for number, entry in enumerate(objects, len(instances) + 1)]
        if progress is not None:
            progress()
    annotations = root / 'annotations'
    _write_json(annotations / f'panoptic_{split}.json',
                _document(split, images, panoptic, CLASSES, isthing=True))
    _write_json(annotations / f'instances_{split}.json',
                _document(split, images, instances, THINGS, isthing=False))


def _spread(make: Callable[[int], _Made], count: int, processes: int) -> Iterator[_Made]:
    """What ``make`` returns for 0..count - 1, in this order, from several processes."""
    if min(processes, count // SCENES_WORTH_A_PROCESS) < 2:
        yield from map(make, range(count))
        return
    # Not forked: threads of the libraries may hold locks at that moment.
    pool = ProcessPoolExecutor(processes, get_context('spawn'), initializer=_begin_process)
    try:
        yield from pool.map(make, range(count), chunksize=max(1, SCENES_WORTH_A_PROCESS // 8))
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)


def _end_with_parent() -> None:
    """Also when that was killed: the pool's processes would wait for work for ever."""
    parent_process().join()
    os._exit(1)


def _make_scene(root: Path, split: str, stream: int, spec: ShapesSpec, index: int) -> _Made:
    """Draw one scene and write its pictures."""
    # a generator of its own for every scene: scenes do not depend on how many there are
    scene = draw_scene(np.random.default_rng((spec.seed, stream, index)), spec.size)
    stem = _stem(index + 1)
    _write_scene(root, split, stem, scene)
    height, width = scene.segment_map.shape
    segments = _segments(scene)
    image = dict(id=index + 1, file_name=f'{stem}.jpg', height=height, width=width)
    return image, segments, _instances(scene, segments, image['id'])


def _stem(image_id: int) -> str:
    return f'{image_id:06d}'


def _write_scene(root: Path, split: str, stem: str, scene: Scene) -> None:
    pictures, panoptic, semantic = _folders(root, split)
    labels = np.array([IGNORE_INDEX, *map(CLASSES.index, scene.classes)], np.uint8)
    numbers = np.arange(len(scene.classes) + 1)
    ids = np.array([_segment_id(number) for number in numbers])
    bgr = colour_ids(ids)[:, ::-1]
    _write_image(pictures / f'{stem}.jpg', scene.image)
    _write_image(panoptic / f'{stem}.png', bgr[scene.segment_map])
    _write_image(semantic / f'{stem}.png', labels[scene.segment_map])


def _segment_id(number: int) -> int:
    """24-bit id of the segment with this number in its scene; 0 is void's."""
    return int(number) * ID_FACTOR & 0xFFFFFF


def _segments(scene: Scene) -> list[dict]:
    """COCO panoptic ``segments_info`` of a scene."""
    segments = []
    for number, name in enumerate(scene.classes, VOID + 1):
        mask = scene.segment_map == number
        segments.append(dict(
            id=_segment_id(number), category_id=CATEGORY_IDS[name],
            area=int(np.count_nonzero(mask)), bbox=box_around(mask), iscrowd=0))
    return segments


def _instances(scene: Scene, segments: list[dict], image_id: int) -> list[dict]:
    """COCO instance annotations of the things of a scene; their numbers are given later."""
    pairs = zip(scene.classes, segments, strict=True)
    return [segment | dict(image_id=image_id,
                           segmentation=run_length_code(scene.segment_map == number))
            for number, (name, segment) in enumerate(pairs, VOID + 1) if name in THINGS]


def _document(split: str, images: list[dict], annotations: list[dict], names: tuple[str, ...],
              *, isthing: bool) -> dict:
    """A COCO document; ``isthing`` says whether categories carry that key and a colour."""
    categories = []
    for name in names:
        kind = 'thing' if name in THINGS else 'stuff'
        category = dict(id=CATEGORY_IDS[name], name=name, supercategory=kind)
        if isthing:
            category |= dict(isthing=int(name in THINGS), color=PALETTE[CLASSES.index(name)])
        categories.append(category)
    return dict(info=dict(description=f'Shapes, {split}'), licenses=[], images=images,
                annotations=annotations, categories=categories)


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content))


def _write_image(path: Path, image: np.ndarray) -> None:
    # encoded in memory first: imwrite would lose the reason of a failure (full disk, no rights)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == '.jpg' else []
    path.write_bytes(cv2.imencode(path.suffix, image, options)[1].tobytes())
