"""Prediction and annotation files of the official tools as data samples (test code only)."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from mmdet.structures import INSTANCE_OFFSET, DetDataSample
from mmengine.structures import InstanceData, PixelData
from PIL import Image
from pycocotools import mask as coco_mask


def read_ids(path: Path) -> np.ndarray:
    """(h, w) segment ids of an RGB-coded PNG."""
    rgb = np.array(Image.open(path).convert('RGB')).astype(np.int64)
    return rgb @ np.array([1, 256, 65536])


def metainfo(categories: list[dict]) -> dict:
    """Classes in the order of the categories."""
    return dict(
        classes=tuple(c['name'] for c in categories),
        thing_classes=tuple(c['name'] for c in categories if c['isthing']))


def pixel_data(ids: np.ndarray, dtype: torch.dtype = torch.int64, **meta: object) -> PixelData:
    """A (1, h, w) map."""
    pixels = PixelData(sem_seg=torch.as_tensor(ids, dtype=dtype)[None])
    pixels.set_metainfo(meta)
    return pixels


def truth_panoptic(ids: np.ndarray, segments: list[dict], label_of: dict[int, int]) -> PixelData:
    """Relabelled ids 1..n with segments_info, as the dataset pipelines make them."""
    out, info = np.zeros_like(ids), []
    for number, segment in enumerate(segments, 1):
        out[ids == segment['id']] = number
        info.append(dict(
            id=number, category=label_of[segment['category_id']],
            iscrowd=bool(segment['iscrowd']), area=segment['area']))
    return pixel_data(out, torch.int32, segments_info=info)


def predicted_panoptic(
        ids: np.ndarray, segments: list[dict], label_of: dict[int, int]) -> PixelData:
    """mmdet's encoding: class + index * INSTANCE_OFFSET, the class count is void."""
    out, info = np.full_like(ids, len(label_of)), []
    for number, segment in enumerate(segments, 1):
        label = label_of[segment['category_id']]
        encoded = label + number * INSTANCE_OFFSET
        out[ids == segment['id']] = encoded
        info.append(dict(id=encoded, category=label, score=1.0, area=segment['area']))
    return pixel_data(out, segments_info=info)


def class_ids(ids: np.ndarray, segments: list[dict], label_of: dict[int, int],
              void: int) -> np.ndarray:
    """(h, w) classes of a panoptic map."""
    out = np.full_like(ids, void)
    for segment in segments:
        out[ids == segment['id']] = label_of[segment['category_id']]
    return out


def instance_data(
        annotations: list[dict], label_of: dict[int, int], size: tuple[int, int]) -> InstanceData:
    """Instances of COCO annotations or results."""
    codes = [a['segmentation'] for a in annotations]
    masks = coco_mask.decode(codes).transpose(2, 0, 1) if codes else np.zeros((0, *size))
    data = InstanceData(
        labels=torch.tensor([label_of[a['category_id']] for a in annotations], dtype=torch.int64),
        masks=torch.as_tensor(masks.copy()).bool())
    if annotations and 'score' in annotations[0]:
        data.scores = torch.tensor([a['score'] for a in annotations], dtype=torch.float64)
    elif not annotations:
        data.scores = torch.zeros(0)
    return data


def load(truth_dir: Path, name: str, prediction_dir: Path) -> tuple[list[DetDataSample], dict]:
    """All samples of ``<truth_dir>/panoptic<name>.json`` with everything in them, and metainfo."""
    truth = json.loads((truth_dir / f'panoptic{name}.json').read_text())
    predictions = json.loads((prediction_dir / 'panoptic.json').read_text())['annotations']
    found = {a['image_id']: a for a in predictions}
    label_of = {c['id']: label for label, c in enumerate(truth['categories'])}
    things = defaultdict(list)
    for a in json.loads((truth_dir / f'instances{name}.json').read_text())['annotations']:
        things[a['image_id']].append(a)
    results = defaultdict(list)
    for a in json.loads((prediction_dir / 'instances.json').read_text()):
        results[a['image_id']].append(a)
    samples = []
    for annotation in truth['annotations']:
        image_id, segments = annotation['image_id'], annotation['segments_info']
        ids = read_ids(truth_dir / f'panoptic{name}' / annotation['file_name'])
        guess = found[image_id]
        guessed = read_ids(prediction_dir / 'panoptic' / guess['file_name'])
        own = things[image_id]
        sample = DetDataSample(metainfo=dict(img_id=image_id, img_path=annotation['file_name']))
        sample.gt_panoptic_seg = truth_panoptic(ids, segments, label_of)
        sample.gt_sem_seg = pixel_data(class_ids(ids, segments, label_of, 255), torch.uint8)
        sample.gt_instances = instance_data(
            [a for a in own if not a['iscrowd']], label_of, ids.shape)
        sample.ignored_instances = instance_data(
            [a for a in own if a['iscrowd']], label_of, ids.shape)
        sample.pred_panoptic_seg = predicted_panoptic(guessed, guess['segments_info'], label_of)
        sample.pred_sem_seg = pixel_data(
            class_ids(guessed, guess['segments_info'], label_of, 0))
        sample.pred_instances = instance_data(results[image_id], label_of, ids.shape)
        samples.append(sample)
    return samples, metainfo(truth['categories'])
