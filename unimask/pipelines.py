"""The published data pipelines, each stated once: functions that give lists of steps.

The files in ``configs/_base_/datasets`` call them, and so may a config of one's own. What comes
out are plain dictionaries, as though they had been written down there. Nothing is imported here,
so that a config is read in milliseconds.
"""

from __future__ import annotations

__all__ = ['choose_scale_and_crop', 'crop_and_colour', 'detr_crop', 'draw_scale_and_crop',
           'jitter_and_crop', 'scale_and_crop', 'testing', 'training']

Step = dict
MEAN_COLOUR = (104, 116, 124)  # blue, green, red: what normalisation makes 0, but for rounding
DETR_EDGES = (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)


def training(load: str | Step, augmentation: list[Step], *, drop_empty: bool = False
             ) -> list[Step]:
    """Steps of training: the picture, its annotation, the augmentation, and packing.

    Args:
        load: Step that reads the annotation, such as ``'LoadPanopticMap'``.
        augmentation: Steps of one of the functions below, or others.
        drop_empty: Draw another picture where no object is left after the augmentation.
    """
    pack = dict(type='PackSegInputs')
    return [dict(type='LoadImage'), _step(load), *augmentation,
            pack | dict(drop_empty=True) if drop_empty else pack]


def testing(load: str | Step, *, short_edge: int | None = None, max_long: int | None = None
            ) -> list[Step]:
    """Steps of testing: the annotation is read last, at the size of the file.

    Args:
        load: Step that reads the annotation.
        short_edge: Length of the shorter edge in pixels; None leaves the picture as it is.
        max_long: Limit of the longer edge in pixels.
    """
    resize = [dict(type='ResizeShortestEdge', short_edge=short_edge, max_long=max_long)]
    return [dict(type='LoadImage'), *(resize if short_edge else []), _step(load),
            dict(type='PackSegInputs')]


def scale_and_crop(short_edge: int, crop_size: tuple[int, int], *, largest: float = 2.0,
                   pad: bool = True) -> list[Step]:
    """A random scale in steps of 0.1, a crop, colours and mirroring (Mask2Former but for COCO).

    Args:
        short_edge: Length of the shorter edge at scale 1, in pixels.
        crop_size: Height and width of the crop in pixels.
        largest: The scale is between 0.5 and this.
        pad: Pad smaller pictures to the size of the crop.
    """
    edges = [int(0.1 * step * short_edge) for step in range(5, round(10 * largest) + 1)]
    resize = dict(type='ResizeShortestEdge', short_edge=edges, max_long=4 * short_edge)
    return [resize, *crop_and_colour(crop_size, pad=pad)]


def choose_scale_and_crop(short_edge: int, crop_size: tuple[int, int], *, max_area: float = 1.0
                          ) -> list[Step]:
    """One of six scales of 0.5 to 1.75, a crop, colours and mirroring (SeMask-FPN).

    Args:
        short_edge: Length of the shorter edge at scale 1, in pixels; the longer one may be four
            times as long.
        crop_size: Height and width of the crop in pixels.
        max_area: Largest share of the crop that one class may cover, see ``RandomCrop``.
    """
    resize = dict(type='ResizeInto', size=(4 * short_edge, short_edge),
                  ratios=[step / 4 for step in range(2, 8)])
    return [resize, *crop_and_colour(crop_size, max_area=max_area, padding=MEAN_COLOUR)]


def draw_scale_and_crop(size: tuple[int, int], crop_size: tuple[int, int], *,
                        max_area: float = 1.0) -> list[Step]:
    """Any scale of 0.5 to 2, a crop, colours and mirroring (SeMask-FPN for Cityscapes).

    Args:
        size: Longer and shorter edge at scale 1, in pixels.
        crop_size: Height and width of the crop in pixels.
        max_area: Largest share of the crop that one class may cover, see ``RandomCrop``.
    """
    resize = dict(type='ResizeInto', size=size, ratio_range=(0.5, 2.0))
    return [resize, *crop_and_colour(crop_size, max_area=max_area, padding=MEAN_COLOUR)]


def crop_and_colour(crop_size: tuple[int, int], *, pad: bool = True, max_area: float = 1.0,
                    padding: tuple[int, int, int] | None = None) -> list[Step]:
    """A crop, colours and mirroring: what follows a resize of one's own.

    Args:
        crop_size: Height and width of the crop in pixels.
        pad: Pad smaller pictures to the size of the crop.
        max_area: Largest share of the crop that one class may cover, see ``RandomCrop``.
        padding: Colour of the padding, see ``PadToSize``.
    """
    crop = dict(type='RandomCrop', size=crop_size)
    steps = [crop | dict(max_area=max_area) if max_area < 1 else crop,
             dict(type='ColorAugSSD'),
             dict(type='RandomFlip', prob=0.5)]
    if not pad:
        return steps
    border = dict(type='PadToSize', size=crop_size)
    return [*steps, border if padding is None else border | dict(colour=padding)]


def jitter_and_crop(crop_size: int, *, ratio_range: tuple[float, float] = (0.1, 2.0)
                    ) -> list[Step]:
    """Mirroring and large scale jittering in a square (Mask2Former on COCO).

    Args:
        crop_size: Edge of the square in pixels.
        ratio_range: The picture is this much of the square; what sticks out is cut off.
    """
    return [dict(type='RandomFlip', prob=0.5),
            dict(type='LargeScaleJitter', size=crop_size, ratio_range=ratio_range),
            dict(type='FixedSizeCrop', size=crop_size)]


def detr_crop(*, max_long: int = 1333) -> list[Step]:
    """Mirroring, and half of the time a crop before the picture is resized (DETR, MaskFormer).

    Args:
        max_long: Limit of the longer edge in pixels.
    """
    resize = dict(type='ResizeShortestEdge', short_edge=DETR_EDGES, max_long=max_long)
    crop = [dict(type='ResizeShortestEdge', short_edge=(400, 500, 600)),
            dict(type='RandomRangeCrop', min_size=384, max_size=600)]
    return [dict(type='RandomFlip', prob=0.5),
            dict(type='RandomChoice', transforms=[[resize], [*crop, resize]])]


def _step(load: str | Step) -> Step:
    return dict(type=load) if isinstance(load, str) else load
