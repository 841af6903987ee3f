"""ImageNet weights of the Mix Transformer, by the names of its authors and of MMSegmentation."""

from __future__ import annotations

import runpy
from pathlib import Path

import mmseg
import pytest
import torch
from torch import Tensor, nn

from unimask.convert import PretrainedBackbone, convert
from unimask.errors import UserError
from unimask.registry import MODELS

MIT = dict(type='mmseg.MixVisionTransformer', embed_dims=8, num_layers=(2, 1, 1, 1),
           num_heads=(1, 2, 5, 8))
PARTS = ('patch_embed', 'block', 'norm')


@pytest.fixture
def weights() -> dict[str, Tensor]:
    """Weights of an encoder by MMSegmentation's names, which are those of its files."""
    return {name: torch.randn_like(value)
            for name, value in MODELS.build(MIT).state_dict().items()}


def as_authors(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same by the names in the files of SegFormer's authors."""
    renamed: dict[str, Tensor] = {'head.weight': torch.zeros(9, 64), 'head.bias': torch.zeros(9)}
    words = {'projection': 'proj', 'attn.attn.out_proj': 'attn.proj', 'ffn.layers.0': 'mlp.fc1',
             'ffn.layers.1': 'mlp.dwconv.dwconv', 'ffn.layers.4': 'mlp.fc2'}
    for name, value in state.items():
        stage, part, rest = name.removeprefix('layers.').split('.', 2)
        for ours, theirs in words.items():
            rest = rest.replace(ours, theirs)
        place = f'{PARTS[int(part)]}{int(stage) + 1}.{rest}'
        if 'in_proj' in rest:
            third = len(value) // 3
            place = place.replace('attn.in_proj_', '{}.')
            renamed[place.format('q')], renamed[place.format('kv')] = value[:third], value[third:]
        else:
            renamed[place] = value[..., 0, 0] if rest in (
                f'{rest[0]}.mlp.fc1.weight', f'{rest[0]}.mlp.fc2.weight') else value
    return renamed


@pytest.mark.parametrize('names', [as_authors, dict], ids=['authors', 'mmseg'])
def test_both_files_load_into_the_undecorated_part(names: object, weights: dict[str, Tensor],
                                                   tmp_path: Path) -> None:
    torch.save(names(weights), tmp_path / 'mit.pth')
    encoder = MODELS.build(dict(type='SeMaskEncoder', encoder=MIT, num_classes=3))
    gates = [layer.blocks[0].query.weight.clone() for layer in encoder.semantic_layers]
    model = nn.Module()
    model.backbone = encoder
    PretrainedBackbone(str(tmp_path / 'mit.pth'))(model)
    own = encoder.encoder.state_dict()
    assert own.keys() == weights.keys()
    assert all(torch.equal(own[name], value) for name, value in weights.items())
    assert all(torch.equal(layer.blocks[0].query.weight, gate)
               for layer, gate in zip(encoder.semantic_layers, gates, strict=True))


def test_names_of_the_authors_are_those_that_mmseg_knows(weights: dict[str, Tensor]) -> None:
    """MMSegmentation's own converter makes the same of them."""
    file = Path(mmseg.__file__).parent / '.mim/tools/model_converters/mit2mmseg.py'
    if not file.is_file():
        pytest.skip('this mmseg comes without its tools')
    source = as_authors(weights)
    expected = runpy.run_path(str(file))['convert_mit'](source)
    result = convert(source)
    assert result.source == 'mit' and set(result.ignored) == {'head.weight', 'head.bias'}
    found = {name.removeprefix('backbone.'): value for name, value in result.state_dict.items()}
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_another_size_is_named(weights: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(as_authors(weights), tmp_path / 'mit.pth')
    wider = MODELS.build(dict(type='SeMaskEncoder', encoder=dict(MIT, embed_dims=16),
                              num_classes=3))
    with pytest.raises(UserError, match=r'mit\.pth does not fit SeMaskEncoder'):
        PretrainedBackbone(str(tmp_path / 'mit.pth'))(wider)
    deeper = MODELS.build(dict(type='SeMaskEncoder', encoder=dict(MIT, num_layers=(2, 1, 2, 1)),
                               num_classes=3))
    with pytest.raises(UserError, match=r'no weights for .*encoder\.layers\.2\.1\.1'):
        PretrainedBackbone(str(tmp_path / 'mit.pth'))(deeper)
