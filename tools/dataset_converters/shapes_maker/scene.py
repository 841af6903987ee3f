"""Draws the scenes of the built-in Shapes dataset.

A scene is a background of textured stuff regions with wavy borders, on which textured, shaded and
rotated things lie one over the other. Neither colour nor texture alone tells the class of a thing:
both are drawn from wide distributions that merely favour some values for each class.

Everything random comes from one ``numpy.random.Generator``, so a scene is a function of its seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from unimask.datasets.shapes import STUFF, THINGS

__all__ = ['VOID', 'Scene', 'draw_scene']

VOID = 0  # segment number of unlabelled pixels

MIN_STUFF = 0.004  # part of the picture below which a stuff region is left unlabelled
MIN_VISIBLE = 0.4  # part of a thing that later things must leave visible
EMPTY_SCENES = 0.06  # share of the scenes without any thing
SMUDGED_SCENES = 0.15  # share of the scenes with an unlabelled smudge
SEAMED_SCENES = 0.4  # share of the scenes whose stuff regions have an unlabelled seam
SUBPIXEL = 4  # bits of sub-pixel precision of drawn vertices

# OpenCV's hue in [0, 180): every stuff class has several looks (hue, saturation, value).
_STUFF_LOOKS = {
    'sky': ((105, 110, 220), (12, 110, 225), (110, 30, 190)),
    'grass': ((50, 150, 130), (35, 140, 150), (62, 120, 90)),
    'water': ((108, 170, 150), (92, 150, 160), (105, 80, 110)),
    'sand': ((22, 110, 205), (17, 90, 175), (25, 50, 190)),
    'wall': ((6, 140, 150), (15, 60, 160), (110, 20, 140)),
}
_THING_HUES = dict(zip(THINGS, (0, 30, 60, 90, 120, 150), strict=True))
_THING_TEXTURES = dict(zip(
    THINGS, ('plain', 'stripes', 'dots', 'checks', 'plain', 'speckles'), strict=True))


@dataclass(frozen=True)
class Scene:
    """A drawn scene.

    Attributes:
        image: (h, w, 3) uint8, BGR.
        segment_map: (h, w) int32, numbers 1..n of the visible segments, ``VOID`` elsewhere.
        classes: Class names of segments 1..n; stuff classes occur at most once.
    """

    image: np.ndarray
    segment_map: np.ndarray
    classes: tuple[str, ...]


def draw_scene(rng: np.random.Generator, size: int) -> Scene:
    """Draw one scene, whose longer edge is ``size`` pixels."""
    height, width = _image_shape(rng, size)
    image, stuff_map = _background(rng, height, width)
    thing_map, thing_classes = _place_things(rng, image, size)
    label_map = np.where(thing_map > 0, thing_map + len(STUFF), stuff_map)
    _add_smudge(rng, image, label_map)
    _drop_slivers(label_map)
    names = (*STUFF, *thing_classes)
    present = np.unique(label_map[label_map != VOID])
    numbers = np.zeros(len(names) + 1, np.int32)
    numbers[present] = np.arange(1, len(present) + 1)
    return Scene(_finish(rng, image), numbers[label_map], tuple(names[i - 1] for i in present))


def _image_shape(rng: np.random.Generator, size: int) -> tuple[int, int]:
    short = size * 3 // 4
    return ((size, size), (short, size), (size, short))[rng.integers(3)]


def _finish(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Light the scene unevenly, blur it a little, add sensor noise and round: (h, w, 3) uint8."""
    height, width = image.shape[:2]
    lit = image * (1 + 0.12 * _clouds(rng, height, width, 2))[..., None]
    lit = cv2.GaussianBlur(lit, (3, 3), 0.6)
    lit += rng.standard_normal(lit.shape, dtype=np.float32) * 4
    return np.clip(np.rint(lit), 0, 255).astype(np.uint8)


# ---- patterns: (h, w) float32 in [-1, 1] -------------------------------------------------------

def _clouds(rng: np.random.Generator, height: int, width: int, cells: int) -> np.ndarray:
    """Smooth noise of about ``cells`` blobs along an edge."""
    grid = rng.uniform(-1, 1, (cells + 3, cells + 3)).astype(np.float32)
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC).clip(-1, 1)


def _grain(rng: np.random.Generator, height: int, width: int, blur: tuple[int, int]) -> np.ndarray:
    """Noise whose grains are ``blur`` (x, y; odd) pixels in size."""
    noise = rng.standard_normal((height, width), dtype=np.float32)
    noise = cv2.blur(noise, blur)
    return np.clip(noise * np.sqrt(blur[0] * blur[1]) / 2, -1, 1)


def _rotated(rng: np.random.Generator, height: int, width: int, angle: float,
             period: float) -> tuple[np.ndarray, np.ndarray]:
    """Pixel coordinates in turned axes with random origin, in units of ``period``."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    offset = rng.uniform(0, 1, 2)
    u = (x * np.cos(angle) + y * np.sin(angle)) / period + offset[0]
    v = (y * np.cos(angle) - x * np.sin(angle)) / period + offset[1]
    return u, v


def _sky(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    fade = np.linspace(-0.6, 0.6, height, dtype=np.float32)[:, None]
    return fade + 0.5 * _clouds(rng, height, width, 4)


def _grass(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return _grain(rng, height, width, (1, 5)) + 0.3 * _clouds(rng, height, width, 5)


def _water(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    bend = 4 * _clouds(rng, height, width, 4)
    period = rng.uniform(7, 11)
    rows = np.arange(height, dtype=np.float32)[:, None]
    return 0.8 * np.sin(2 * np.pi * rows / period + bend) + 0.2 * _clouds(rng, height, width, 8)


def _sand(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return 0.8 * _grain(rng, height, width, (1, 1)) + 0.3 * _clouds(rng, height, width, 3)


def _wall(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Bricks, each of its own brightness, in bright mortar."""
    tall = rng.integers(7, 11)
    wide, joint = 2 * tall, 2
    y, x = np.mgrid[:height, :width] + rng.integers(0, 64, 2)[:, None, None]
    row = y // tall
    shifted = x + row % 2 * (wide // 2)
    shades = rng.uniform(-0.6, 0.2, (row.max() + 1, shifted.max() // wide + 1)).astype(np.float32)
    mortar = (y % tall < joint) | (shifted % wide < joint)
    return np.where(mortar, np.float32(0.9), shades[row, shifted // wide])


def _plain(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return 0.5 * _clouds(rng, height, width, 2)


def _stripes(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    u, _ = _rotated(rng, height, width, rng.uniform(0, np.pi), rng.uniform(7, 11))
    return np.where(u % 1 < 0.5, np.float32(0.8), np.float32(-0.8))


def _dots(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    u, v = _rotated(rng, height, width, rng.uniform(0, np.pi), rng.uniform(7, 11))
    near = (u % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2 < 0.09
    return np.where(near, np.float32(0.9), np.float32(-0.6))


def _checks(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    u, v = _rotated(rng, height, width, rng.uniform(0, np.pi), rng.uniform(6, 9))
    return np.where((u % 2 < 1) ^ (v % 2 < 1), np.float32(0.8), np.float32(-0.8))


def _speckles(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return _grain(rng, height, width, (3, 3))


Pattern = Callable[[np.random.Generator, int, int], np.ndarray]
_STUFF_PATTERNS: dict[str, Pattern] = dict(
    sky=_sky, grass=_grass, water=_water, sand=_sand, wall=_wall)
_THING_PATTERNS: dict[str, Pattern] = dict(
    plain=_plain, stripes=_stripes, dots=_dots, checks=_checks, speckles=_speckles)


def _colour(hsv: np.ndarray) -> np.ndarray:
    """BGR (3,) float32 of one hue (any number, 180 to a turn), saturation and value."""
    hue, rest = hsv[0] % 180, np.clip(hsv[1:], 0, 255)
    pixel = np.array([[[hue, *rest]]]).astype(np.uint8)
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0].astype(np.float32)


# ---- stuff -------------------------------------------------------------------------------------

def _background(rng: np.random.Generator, height: int,
                width: int) -> tuple[np.ndarray, np.ndarray]:
    """Paint two to four stuff regions.

    Returns:
        The picture (h, w, 3) float32 and the map (h, w) int32 of stuff numbers (index in
        ``STUFF`` + 1), ``VOID`` on the seams.
    """
    regions, seam = _regions(rng, height, width)
    order = rng.permutation(len(STUFF))[:regions.max() + 1]
    image = np.zeros((height, width, 3), np.float32)
    for region, stuff in enumerate(order):
        inside = regions == region
        image[inside] = _stuff_texture(rng, STUFF[stuff], height, width)[inside]
    stuff_map = (order[regions] + 1).astype(np.int32)
    stuff_map[seam] = VOID
    return image, stuff_map


def _stuff_texture(rng: np.random.Generator, name: str, height: int, width: int) -> np.ndarray:
    looks = _STUFF_LOOKS[name]
    hsv = np.array(looks[rng.integers(len(looks))]) + rng.normal(0, (5, 15, 15))
    pattern = _STUFF_PATTERNS[name](rng, height, width)
    return _colour(hsv) * (1 + 0.25 * pattern[..., None])


def _regions(rng: np.random.Generator, height: int,
             width: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut the picture into wavy bands, or into cells around random points with wavy borders.

    Returns:
        Region numbers (h, w), and the mask (h, w) of an unlabelled seam along the borders.
    """
    count = int(rng.integers(2, 5))
    y, x = np.mgrid[:height, :width].astype(np.float32) / max(height, width)
    x, y = (axis + 0.10 * _clouds(rng, height, width, 4) for axis in (x, y))
    if rng.random() < 0.5:
        regions = _bands(rng, x, y, count)
    else:
        points = _spread_points(rng, count)
        distance = [(x - px) ** 2 + (y - py) ** 2 for px, py in points]
        regions = np.argmin(np.stack(distance), 0)
    regions = np.unique(regions, return_inverse=True)[1].reshape(height, width)
    return regions, _borders(regions) & (rng.random() < SEAMED_SCENES)


def _bands(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, count: int) -> np.ndarray:
    angle = rng.uniform(-np.pi / 2, np.pi / 2)
    along = x * np.sin(angle) + y * np.cos(angle)
    low, high = float(along.min()), float(along.max())
    # equal bands, then every cut moves by at most a quarter of a band
    cuts = np.arange(1, count) + rng.uniform(-0.25, 0.25, count - 1)
    return np.searchsorted(low + (high - low) * cuts / count, along)


def _spread_points(rng: np.random.Generator, count: int) -> np.ndarray:
    """Of several random sets of points in the unit square the one that is spread most."""
    sets = rng.uniform(0, 1, (8, count, 2))
    gaps = np.linalg.norm(sets[:, :, None] - sets[:, None], axis=-1)
    gaps[:, np.arange(count), np.arange(count)] = np.inf
    return sets[gaps.min((1, 2)).argmax()]


def _borders(regions: np.ndarray) -> np.ndarray:
    """Mask of the pixels whose right or lower neighbour is of another region."""
    border = np.zeros(regions.shape, bool)
    border[:, :-1] |= regions[:, :-1] != regions[:, 1:]
    border[:-1] |= regions[:-1] != regions[1:]
    return border


def _add_smudge(rng: np.random.Generator, image: np.ndarray, label_map: np.ndarray) -> None:
    """In some scenes, paint a small smudge that is not labelled over whatever is there."""
    if rng.random() >= SMUDGED_SCENES:
        return
    height, width = label_map.shape
    centre = rng.uniform(0.1, 0.9, 2) * (width, height)
    axes = rng.uniform(0.03, 0.06, 2) * max(height, width)
    mask = np.zeros((height, width), np.uint8)
    _fill(mask, [centre + _turn(_circle(), rng.uniform(0, np.pi)) * axes])
    inside = mask > 0
    grey = np.float32(rng.uniform(20, 60)) * (1 + 0.5 * _grain(rng, height, width, (3, 3)))
    image[inside] = grey[inside][:, None]
    label_map[inside] = VOID


def _drop_slivers(label_map: np.ndarray) -> None:
    """Unlabel the stuff classes of which next to nothing is visible."""
    areas = np.bincount(label_map.ravel(), minlength=len(STUFF) + 1)[:len(STUFF) + 1]
    sliver = np.flatnonzero(areas < MIN_STUFF * label_map.size)
    label_map[np.isin(label_map, sliver)] = VOID


# ---- things ------------------------------------------------------------------------------------

def _place_things(rng: np.random.Generator, image: np.ndarray,
                  size: int) -> tuple[np.ndarray, list[str]]:
    """Paint up to seven things into ``image``, later ones over earlier ones.

    Returns:
        The map (h, w) int32 of thing numbers 1..n (0: none) and the n class names.
    """
    height, width = image.shape[:2]
    thing_map = np.zeros((height, width), np.int32)
    count = 0 if rng.random() < EMPTY_SCENES else int(rng.integers(2, 8))
    full_areas, names = np.zeros(count + 1), []
    for _ in range(count):
        name = THINGS[rng.integers(len(THINGS))]
        mask = _free_mask(rng, name, size, thing_map, full_areas)
        if mask is None:
            continue
        names.append(name)
        full_areas[len(names)] = mask.sum()
        _shade(rng, image, mask, name)
        thing_map[mask] = len(names)
    return thing_map, names


def _free_mask(rng: np.random.Generator, name: str, size: int, thing_map: np.ndarray,
               full_areas: np.ndarray) -> np.ndarray | None:
    """A mask (h, w) bool for a new thing that hides no other too much; None if none was found."""
    height, width = thing_map.shape
    for _ in range(10):
        radius = size * np.exp(rng.uniform(np.log(0.065), np.log(0.22)))
        centre = _centre(rng, thing_map, radius)
        outlines = [centre + radius * part for part in _outlines(rng, name)]
        mask = np.zeros((height, width), np.uint8)
        _fill(mask, outlines)
        mask = mask > 0
        left = np.bincount(thing_map[~mask], minlength=len(full_areas))
        if mask.any() and (left >= MIN_VISIBLE * full_areas)[1:].all():
            return mask
    return None


def _centre(rng: np.random.Generator, thing_map: np.ndarray, radius: float) -> np.ndarray:
    """Centre (x, y) of a new thing: half of the time near an earlier one, so that they overlap."""
    height, width = thing_map.shape
    rows, columns = np.nonzero(thing_map)
    if len(rows) and rng.random() < 0.5:
        pixel = rng.integers(len(rows))
        centre = np.array([columns[pixel], rows[pixel]]) + rng.normal(0, radius / 2, 2)
    else:
        centre = rng.uniform(0, 1, 2) * (width, height)
    # at least a good half of the thing stays inside of the picture
    margin = 0.5 * radius
    return np.clip(centre, margin, np.array([width, height]) - margin)


def _outlines(rng: np.random.Generator, name: str) -> list[np.ndarray]:
    """Outlines [(n, 2), ...] of a thing of radius 1 around the origin, even-odd filled."""
    stretch = rng.uniform(0.85, 1.15, 2)
    turn = rng.uniform(0, 2 * np.pi)
    if name == 'disk':
        parts = [_circle()]
    elif name == 'ring':
        parts = [_circle(), _circle() * rng.uniform(0.45, 0.6)]
    elif name == 'cross':
        parts = [_cross(rng.uniform(0.25, 0.36))]
    elif name == 'star':
        radii = np.tile([1.15, rng.uniform(0.42, 0.52)], 5)
        parts = [_polygon(10) * radii[:, None]]
    else:
        parts = [_polygon({'triangle': 3, 'square': 4}[name]) * 1.1]
    return [_turn(part, turn) * stretch for part in parts]


def _polygon(corners: int) -> np.ndarray:
    angles = 2 * np.pi * np.arange(corners) / corners
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def _circle() -> np.ndarray:
    return _polygon(48)


def _cross(half: float) -> np.ndarray:
    """Outline (12, 2) of a plus sign whose bars are ``2 * half`` wide."""
    corner = np.array([(1.0, -half), (1.0, half), (half, half)])
    return np.concatenate([_turn(corner, quarter * np.pi / 2) for quarter in range(4)])


def _turn(points: np.ndarray, angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def _fill(mask: np.ndarray, outlines: list[np.ndarray]) -> None:
    """Set ``mask`` (h, w) uint8 to 1 inside of the outlines (pixel coordinates, even-odd rule)."""
    fixed = [np.rint(outline * 2 ** SUBPIXEL).astype(np.int32) for outline in outlines]
    cv2.fillPoly(mask, fixed, 1, shift=SUBPIXEL)


def _shade(rng: np.random.Generator, image: np.ndarray, mask: np.ndarray, name: str) -> None:
    """Cast a soft shadow of ``mask`` on ``image`` and paint the mask with the thing's texture."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    _cast_shadow(image, mask)
    typical = rng.random() < 0.6
    texture = _THING_TEXTURES[name] if typical else rng.choice(list(_THING_PATTERNS))
    hue = _THING_HUES[name] + rng.normal(0, 25)
    colour = _colour(np.array([hue, rng.uniform(110, 230), rng.uniform(110, 220)]))
    pattern = _THING_PATTERNS[str(texture)](rng, height, width)
    slope = np.add.outer(np.linspace(0.2, -0.2, height), np.linspace(0.1, -0.1, width))
    painted = colour * (1 + 0.3 * pattern + slope)[..., None]
    window = np.s_[y:y + height, x:x + width]
    image[window][mask[window]] = painted[mask[window]]


def _cast_shadow(image: np.ndarray, mask: np.ndarray) -> None:
    shift = np.float32([[1, 0, 2], [0, 1, 3]])
    moved = cv2.warpAffine(mask.astype(np.float32), shift, mask.shape[::-1])
    image *= 1 - 0.35 * cv2.GaussianBlur(moved, (7, 7), 0)[..., None]
