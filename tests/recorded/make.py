"""Make the recorded numbers from the reference folder: ``python tests/recorded/make.py SHARED``.

SHARED holds ``reference/goldens``, ``reference/zoo`` and ``data/eval_check`` (``README.md`` says
what they are). Running it again writes the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
CASES = ('mask2former_r50_coco_panoptic', 'mask2former_r50_coco_instance',
         'mask2former_swin_t_ade20k_semantic', 'maskformer_r50_ade20k_semantic',
         'mpformer_r50_coco_instance')
CRITERIA = ('mask2former', 'maskformer', 'mpformer')
REPOSITORIES = ('mask2former', 'maskformer', 'mpformer')
# Compared as they are, not through slices; the last two are bits.
WHOLE = ('instance.', 'postprocess.panoptic', 'gt_attn_blocked', 'self_attn_mask')
VALUES = 400  # that are kept of an array of floats
PIXELS = 3000  # and of a map of labels
UNUSED = ('seq_', 'random_calls', 'not_in_weight_table', 'random_total')


def main() -> None:
    """Write everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('shared', type=Path)
    shared = parser.parse_args().shared
    goldens = shared / 'reference' / 'goldens'
    for case in CASES:
        make_case(goldens, case)
    for name in CRITERIA:
        name = f'criterion_only_{name}.json'
        write_json(HERE / 'goldens' / name, json.loads((goldens / name).read_text()))
    schedules = json.loads((goldens / 'optimizer_and_schedule.json').read_text())
    write_json(HERE / 'goldens' / 'optimizer_and_schedule.json',
               {case: schedules[case] for case in CASES})
    make_zoo(shared / 'reference' / 'zoo')
    for folder, truth, name in (('panopticapi_sample', 'eval_check/panopticapi_sample/gt', ''),
                                ('coco_mini_val', 'coco_mini/annotations', '_val')):
        make_scores(shared / 'data', folder, truth=truth, name=name)


def write_json(path: Path, content: object) -> None:
    """One line, without spaces."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, separators=(',', ':')) + '\n')


def write_gzip(path: Path, content: object) -> None:
    """The same, compressed, without the time of day."""
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(content, separators=(',', ':')).encode()
    path.write_bytes(gzip.compress(text, 9, mtime=0))


def make_case(goldens: Path, name: str) -> None:
    """A case with its arrays thinned out; ``steps`` lead from the full array to what is kept."""
    info = json.loads((goldens / f'{name}.json').read_text())
    arrays, kept = np.load(goldens / f'{name}.npz'), {}
    described = info['arrays']
    info['arrays'] = {}
    for key in arrays.files:
        array = arrays[key]
        if 'packed' in key:
            continue
        if any(part in key for part in WHOLE):
            kept[key] = array
            continue
        steps = described.get(key, {}).get('steps', [1] * array.ndim)
        limit = VALUES if array.dtype.kind == 'f' else PIXELS
        extra = thinning(array.shape, limit)
        kept[key] = array[tuple(slice(None, None, step) for step in extra)]
        info['arrays'][key] = dict(steps=[a * b for a, b in zip(steps, extra, strict=True)])
    info['losses'] = {
        tag: {key: value for key, value in part.items() if not any(u in key for u in UNUSED)}
        for tag, part in info['losses'].items()}
    write_json(HERE / 'goldens' / f'{name}.json', info)
    write_arrays(HERE / 'goldens' / f'{name}.npz', kept)


def thinning(shape: tuple[int, ...], limit: int) -> list[int]:
    """Steps after which at most ``limit`` values are left: the longest axis gives way."""
    steps = [1] * len(shape)
    while np.prod(left := [-(-side // step) for side, step in zip(shape, steps, strict=True)]
                  ) > limit:
        steps[int(np.argmax(left))] += 1
    return steps


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """What ``np.savez_compressed`` writes, without the time of day."""
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for key, array in arrays.items():
            stream = io.BytesIO()
            np.save(stream, np.ascontiguousarray(array))
            file.writestr(zipfile.ZipInfo(f'{key}.npy'), stream.getvalue(),
                          zipfile.ZIP_DEFLATED, 9)


def make_zoo(zoo: Path) -> None:
    """Names and shapes of all parameters, and the recipe, of the published image models."""
    with (zoo / 'index.csv').open() as file:
        reader = csv.DictReader(file)
        # MP-Former's decoder is named on its command line, which the index calls opts.
        rows = [row for row in reader if row['repo'] in REPOSITORIES
                and bool(row['opts']) == (row['repo'] == 'mpformer')
                and 'youtubevis' not in row['config']]
    with (HERE / 'zoo' / 'index.csv').open('w', newline='') as file:
        writer = csv.DictWriter(file, reader.fieldnames, lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)
    for name in {f'{row["hash"]}.json.gz' for row in rows}:
        with gzip.open(zoo / name) as file:
            write_gzip(HERE / 'zoo' / name, json.load(file))


def make_scores(data: Path, folder: str, *, truth: str, name: str) -> None:
    """How many pixels every pair of segments shares: all that PQ, mIoU and AP depend on."""
    sys.path.insert(0, str(HERE.parent / 'test_evaluation'))
    from official import load

    check = data / 'eval_check' / folder
    samples, metainfo = load(data / truth, name, check / 'pred')
    official = json.loads((check / 'expected.json').read_text())
    official['detection'] = {key: official['detection']['segm'][key]
                             for key in ('AP', 'AP50', 'AP75')}
    write_gzip(HERE / 'scores' / f'{folder}.json.gz', dict(
        metainfo={key: list(value) for key, value in metainfo.items()}, official=official,
        images=[image_counts(sample, instances=len(samples) < 10) for sample in samples]))


def image_counts(sample: object, *, instances: bool) -> dict:
    """Segments and perhaps instances of an image, and the pixels of every combination."""
    truth, found = sample.gt_panoptic_seg, sample.pred_panoptic_seg
    ids, guessed = (each.sem_seg[0].numpy().astype(np.int64) for each in (truth, found))
    both, counts = np.unique(ids.ravel() * 2**32 + guessed.ravel(), return_counts=True)
    content = dict(
        truth=[[s['id'], s['category'], int(s['iscrowd'])] for s in truth.segments_info],
        found=[[s['id'], s['category']] for s in found.segments_info],
        pixels=np.stack([both // 2**32, both % 2**32, counts], 1).tolist())
    return content | instance_counts(sample) if instances else content


def instance_counts(sample: object) -> dict:
    """Labels, scores and which masks cover how many pixels together."""
    truth, crowd, found = (
        sample.gt_instances, sample.ignored_instances, sample.pred_instances)
    inside = np.concatenate([part.masks.flatten(1).numpy() for part in (truth, crowd, found)])
    codes = np.ascontiguousarray(np.packbits(inside, axis=0).T)  # a row of bytes for each pixel
    _, first, pixels = np.unique(codes.view(f'V{codes.shape[1]}')[:, 0], return_index=True,
                                 return_counts=True)
    return dict(
        labels=truth.labels.tolist(), crowd=crowd.labels.tolist(),
        detections=[found.labels.tolist(), found.scores.tolist()],
        members=[[np.flatnonzero(column).tolist(), int(count)]
                 for column, count in zip(inside[:, first].T, pixels, strict=True)])


if __name__ == '__main__':
    main()
