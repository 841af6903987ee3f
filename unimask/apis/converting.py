"""Weights in and out: a checkpoint of any known library to one of any other.

In the middle there are always unimask's names, and, where it is known, a config: that of a run, the
one that a folder of ``transformers`` states, or one that the user names. With a config the weights
are compared with the model before anything is written.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from unimask.apis.converted_files import check_destination, texts_beside, write
from unimask.apis.stored_config import parse_config, stored_config
from unimask.checkpoints import classes_of, read_checkpoint, read_shards, weights_of
from unimask.checkpoints.fetching import is_url
from unimask.convert import Conversion, NameMap, as_in, convert, export, openmmlab
from unimask.convert.exporting import is_own
from unimask.convert.huggingface import config_from
from unimask.errors import UserError
from unimask.preflight import load_config, prepare_config
from unimask.preflight.state import check_state
from unimask.registry import MODELS

__all__ = ['OWN', 'convert_checkpoint']

OWN = 'unimask'


@dataclass(frozen=True)
class _Source:
    """What was read.

    Attributes:
        weights: Under the names of the source.
        config: The model's, where the source states it.
        classes: Metainfo of the classes, where the source states them.
        remark: Why what the source states is not used.
    """

    weights: dict[str, Tensor]
    config: Config | None = None
    classes: dict[str, Any] | None = None
    remark: str = ''


def convert_checkpoint(src: str | Path, dst: str | Path, *, source: str | NameMap | None = None,
                       to: str = OWN, config: str | Path | None = None,
                       trust: bool = False) -> str:
    """Convert a checkpoint and write it completely or not at all.

    Args:
        src: File, URL, folder of a run, or folder of ``transformers``.
        dst: File, or folder for ``huggingface``.
        source: Whose names ``src`` has, or a name map of your own; None recognises them.
        to: ``unimask`` or one of :data:`unimask.convert.PEERS`.
        config: Config file of the model, for a source that does not state it.
        trust: Let ``src`` execute code while it is read.

    Returns:
        What became of the tensors, in a few lines.

    Raises:
        UserError: Nothing was written; says why and what to do.
    """
    src, dst = str(src), Path(dst)
    check_destination(src, dst, to=to)
    read = _read(src, trust=trust, stated=config is None)
    ours = _in(read.weights, source)
    ours = replace(ours, remarks=(*ours.remarks, *filter(None, [read.remark])))
    cfg = read.config if config is None else prepare_config(load_config(config), mode='predict')
    model = None if cfg is None else _structure(cfg, read.classes)
    if model is not None:
        ours = replace(ours, state_dict=as_in(model.state_dict().keys(), ours.state_dict))
        check_state(ours.state_dict, model, path=src)
    texts = texts_beside(to, cfg=cfg, model=model)
    theirs = None if to == OWN else export(ours.state_dict, to)
    write(ours if theirs is None else theirs, dst, to=to, cfg=cfg, model=model, texts=texts,
          origin=dict(converted_from=Path(src).name, source=ours.source))
    return '\n'.join([*_summary(ours, theirs), f'written to {dst}'])


def _in(weights: dict[str, Tensor], source: str | NameMap | None) -> Conversion:
    if source in (None, OWN) and is_own(weights):
        return Conversion(weights, {}, OWN)
    return convert(weights, source)


def _read(src: str, *, trust: bool, stated: bool) -> _Source:
    """What ``src`` holds; ``stated`` is whether the config that it states is wanted."""
    folder = Path(src).expanduser()
    if not is_url(src) and (folder / 'config.json').is_file():
        return _read_folder(folder, trust=trust)
    content = read_checkpoint(src, trust=trust)
    weights = weights_of(content, path=src)
    meta = content.get('meta')
    if not stated or not isinstance(meta, Mapping) or not isinstance(meta.get('cfg'), str):
        return _Source(weights, classes=classes_of(content, path=src))
    if is_own(weights):
        return _Source(weights, stored_config(content, path=src), classes_of(content, path=src))
    return _of_openmmlab(weights, content, src)


def _of_openmmlab(weights: dict[str, Tensor], content: Mapping[str, Any], src: str) -> _Source:
    """A checkpoint of MMDetection or MMSegmentation, which carries a config of theirs."""
    try:
        stated = openmmlab.config_from(
            parse_config(content['meta']['cfg']), classes_of(content, path=src))
        text = '\n'.join(f'{key} = {value!r}' for key, value in stated.items())
        return _Source(weights, stored_config(dict(meta=dict(cfg=text)), path=src))
    except UserError as error:
        return _Source(weights, remark=f'its config is not used, name one with --config: {error}')


def _read_folder(folder: Path, *, trust: bool) -> _Source:
    """A folder that ``save_pretrained`` wrote."""
    preprocessor = folder / 'preprocessor_config.json'
    stated = config_from(_read_json(folder / 'config.json'),
                         _read_json(preprocessor) if preprocessor.is_file() else None)
    shards = read_shards(folder)
    files = [folder] if shards is None else [folder / name for name in sorted({*shards.values()})]
    weights: dict[str, Tensor] = {}
    for file in files:
        weights |= weights_of(read_checkpoint(file, trust=trust), path=file)
    return _Source(weights, Config(stated))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f'{path} cannot be read: {error}. Is the download complete?') from error
    if not isinstance(content, dict):
        raise UserError(f'{path} holds a {type(content).__name__}, not settings by name.')
    return content


def _structure(cfg: Config, classes: dict[str, Any] | None) -> nn.Module:
    """The model without memory for its weights."""
    described = dict(cfg.model, init_cfg=None)
    if classes is not None:
        described['taxonomy'] = cfg.model.taxonomy = classes
    with torch.device('meta'), _RealRates():
        return MODELS.build(described)


class _RealRates(TorchFunctionMode):
    """Keeps the drop path rates real, which Swin reads from a linspace."""

    def __torch_function__(self, func: Callable, types: Sequence[type], args: tuple = (),
                           kwargs: dict | None = None) -> Any:
        """Call a function of torch."""
        options = dict(kwargs or {}, **(dict(device='cpu') if func is torch.linspace else {}))
        return func(*args, **options)


def _summary(ours: Conversion, theirs: Conversion | None) -> list[str]:
    kept = len(ours.state_dict) - len(ours.supplied)
    lines = [f'source: {ours.source}', f'{kept} tensors converted', *_details(ours)]
    if theirs is None:
        return lines
    return [*lines, f'to: {theirs.source}', f'{len(theirs.state_dict)} tensors written',
            *_details(theirs)]


def _details(conversion: Conversion) -> list[str]:
    supplied = conversion.supplied
    lines = [f'{len(supplied)} supplied, such as {supplied[0]}'] if supplied else []
    lines += [f'{count} ignored: {reason}'
              for reason, count in Counter(conversion.ignored.values()).items()]
    return lines + [f'note: {remark}' for remark in conversion.remarks]
