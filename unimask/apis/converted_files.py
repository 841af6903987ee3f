"""The files of the converter: what each library reads, written completely or not at all."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import Tensor, nn

from unimask.apis.pipeline import pipeline_of
from unimask.checkpoints import (
    atomic_folder,
    atomic_safetensors_save,
    atomic_torch_save,
    atomic_write_text,
    to_plain,
)
from unimask.checkpoints.fetching import is_url
from unimask.convert import PEERS, Conversion
from unimask.convert.huggingface import files_for
from unimask.errors import UserError

__all__ = ['check_destination', 'texts_beside', 'write']

WEIGHTS = 'model.safetensors'
FOLDER_FILES = {WEIGHTS, 'config.json', 'preprocessor_config.json'}
SUFFIXES = ('.pth', '.pt')
# Versions of the official modules whose names these are: older ones would be renamed on loading.
VERSIONS = {'': 1, 'sem_seg_head': 2, 'sem_seg_head.predictor': 2}


def check_destination(src: str, dst: Path, *, to: str) -> None:
    """Say what is wrong with the place of the result before anything is read.

    Raises:
        UserError: Something that must not be lost is there, or the name does not fit.
    """
    if to not in ('unimask', *PEERS):
        raise UserError(f'--to {to}: choose one of unimask, {", ".join(PEERS)}.')
    if not is_url(src) and dst.resolve() == Path(src).expanduser().resolve():
        raise UserError(f'{dst} is what is to be converted; name another place for the result.')
    if to == 'huggingface':
        _check_folder(dst)
    elif dst.is_dir():
        raise UserError(f'{dst} is a folder; --to {to} writes a file, such as '
                        f'{dst / "model.pth"}.')
    elif dst.suffix not in (*SUFFIXES, *(('.safetensors',) if to == 'unimask' else ())):
        raise UserError(f'{dst}: --to {to} writes a file of torch.save, so its name must end '
                        f'with .pth{" (or .safetensors)" if to == "unimask" else ""}.')


def _check_folder(folder: Path) -> None:
    if folder.is_file():
        raise UserError(f'{folder} is a file; --to huggingface writes a folder.')
    foreign = sorted({path.name for path in folder.glob('*')} - FOLDER_FILES)
    if foreign:
        raise UserError(f'the folder {folder} holds {foreign[0]}, which the converter did not '
                        'write and would lose: name another folder, or a new one.')


def texts_beside(to: str, *, cfg: Config | None, model: nn.Module | None) -> dict[str, str]:
    """Text files by name that ``to`` wants beside the weights.

    Raises:
        UserError: The model is not known, or ``to`` cannot express it; says which component.
    """
    _check_order(model, to)
    if to != 'huggingface':
        return {}
    if cfg is None or model is None:
        raise UserError('--to huggingface writes a config.json, for which the model must be '
                        'known, but the checkpoint does not say which config it belongs to: name '
                        'it with --config CONFIG.')
    return files_for(model, normalisation=cfg.model.get('data_preprocessor') or {},
                     pipeline=pipeline_of(cfg))


def write(conversion: Conversion, dst: Path, *, to: str, cfg: Config | None,
          model: nn.Module | None, texts: dict[str, str], origin: dict[str, str]) -> None:
    """Write the result.

    Args:
        conversion: Weights under the names of ``to``.
        dst: Where, checked by :func:`check_destination`.
        to: For whom.
        cfg: The model's config, None where it is not known.
        model: The model of the config, on any device.
        texts: Of :func:`texts_beside`.
        origin: Where the weights came from, which the file says.

    Raises:
        UserError: The place cannot be written.
    """
    weights = {name: tensor.contiguous() for name, tensor in conversion.state_dict.items()}
    classes = None if model is None else model.taxonomy.to_metainfo()
    try:
        if to == 'huggingface':
            _write_folder(weights, texts, dst)
        elif to == 'detectron2':
            atomic_torch_save(dict(model=_versioned(weights)), dst)
        elif to == 'unimask':
            _write_own(weights, dst, _meta(cfg, classes, origin))
        else:
            atomic_torch_save(dict(state_dict=weights, meta=_meta(None, classes, origin)), dst)
    except OSError as error:
        if error.strerror is None:
            raise
        raise UserError(f'{dst} cannot be written ({error.strerror}). Name another place.'
                        ) from error


def _write_folder(weights: dict[str, Tensor], texts: dict[str, str], dst: Path) -> None:
    with atomic_folder(dst) as folder:
        for name, text in texts.items():
            atomic_write_text(text, folder / name)
        atomic_safetensors_save(weights, folder / WEIGHTS)


def _versioned(weights: dict[str, Tensor]) -> OrderedDict[str, Tensor]:
    """The weights with the versions that the official heads look for in torch's metadata."""
    state = OrderedDict(weights)
    state._metadata = OrderedDict(
        (name, dict(version=version)) for name, version in VERSIONS.items())
    return state


def _write_own(weights: dict[str, Tensor], dst: Path, meta: dict[str, Any]) -> None:
    if dst.suffix == '.safetensors':
        atomic_safetensors_save(weights, dst, meta=meta)
    else:
        atomic_torch_save(dict(state_dict=weights, meta=meta), dst)


def _meta(cfg: Config | None, classes: dict | None, origin: dict[str, str]) -> dict[str, Any]:
    """What a checkpoint says of itself: where it came from, its config and classes if known."""
    meta = dict(origin)
    if cfg is not None:
        kept = {key: cfg[key] for key in ('model', 'test_dataloader') if key in cfg}
        meta['cfg'] = Config(kept).pretty_text
    if classes is not None:
        meta['dataset_meta'] = classes
    return to_plain(meta, where='meta')


def _check_order(model: nn.Module | None, to: str) -> None:
    """MMDetection's panoptic models take the first classes for the things."""
    if to != 'mmdet' or model is None or 'panoptic' not in model.tasks:
        return
    things = model.taxonomy.things
    if list(things) != sorted(things, reverse=True):
        raise UserError('mmdet cannot express this model: its panoptic models take the first '
                        'classes for things and the others for stuff, here they are mixed. '
                        'Choose --to mmseg for semantic maps, detectron2 or huggingface.')
