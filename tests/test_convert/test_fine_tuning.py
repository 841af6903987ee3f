"""Mask-piloted training starts from checkpoints of MP-Former and of Mask2Former."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from unimask.checkpoints import read_weights
from unimask.convert import Pretrained, convert_state_dict, pretrained
from unimask.errors import UserError
from unimask.preflight import load_state, state
from unimask.registry import MODELS

LISTINGS = {'mask2former': '0647d5873496', 'mpformer': '3fcf7c370c91'}  # R50, COCO instance
EMBED, POSITION = 'head.pilot.label_enc.weight', 'head.query_embed.weight'
OPTION = 'model.head.query_position=True'


def build(kind: str, **options: object) -> nn.Module:
    """A small model with random weights."""
    head = dict(type=kind, channels=32, num_queries=3, num_layers=2, num_heads=2, ffn_channels=16)
    return MODELS.build(dict(
        type='UniversalSegmentor',
        backbone=dict(type='mmdet.ResNet', depth=18, base_channels=4, num_stages=4),
        neck=dict(type='MSDeformAttnPixelDecoder', channels=32, mask_channels=16, num_layers=1,
                  num_heads=2, ffn_channels=16),
        head=dict(head, **options), taxonomy=dict(classes=('cat', 'dog', 'sky')),
        criterion=dict(
            type='SetCriterion', sampler=None, mask_losses=[dict(type='MaskDiceLoss')],
            matcher=dict(type='HungarianMatcher', num_points=None,
                         costs=[dict(type='ClassCost')]))))


@pytest.fixture(scope='module')
def mask2former() -> nn.Module:
    return build('Mask2FormerHead')


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is logged."""
    lines: list[str] = []
    for module in (state, pretrained):
        monkeypatch.setattr(module, 'print_log', lambda text, **_: lines.append(text))
    return lines


def published(model: nn.Module, zoo: Path, repository: str) -> dict[str, Tensor]:
    """The weights of a model under the names of the authors' checkpoint."""
    with gzip.open(zoo / f'{LISTINGS[repository]}.json.gz') as stream:
        names = [name for name, *_ in json.load(stream)['entries']]
    numbered = {name: torch.tensor([float(number)]) for number, name in enumerate(names)}
    ours = {name: int(value) for name, value in convert_state_dict(numbered).items()
            if value.is_floating_point()}
    weights = model.state_dict()
    return {names[ours[name]]: value for name, value in weights.items() if name in ours}


def check_shared(model: nn.Module, source: nn.Module) -> None:
    """Everything that both have is the source's."""
    ours, theirs = model.state_dict(), source.state_dict()
    assert ours.keys() - theirs.keys() == {EMBED}
    assert all(torch.equal(ours[name], theirs[name]) for name in ours.keys() & theirs.keys())


@pytest.mark.parametrize('position', [True, False])
def test_from_mask2former(mask2former: nn.Module, said: list[str], position: bool) -> None:
    model = build('MaskPilotedHead', query_position=position)
    fresh = model.state_dict()[EMBED].clone()
    load_state(mask2former.state_dict(), model, path='m.pth', fine_tune=True)
    check_shared(model, mask2former)
    assert torch.equal(model.state_dict()[EMBED], fresh)
    assert said[0] == f'1 parameters are not in m.pth and start fresh: {EMBED}'
    if position:
        assert len(said) == 1
    else:
        assert said[1] == f'1 parameters of m.pth are not used: {POSITION}'
        assert len(said) == 3 and OPTION in said[2]


def test_from_the_published_mask2former(mask2former: nn.Module, zoo: Path, tmp_path: Path,
                                        said: list[str]) -> None:
    """The authors' file as it is: a pickle of arrays under other names."""
    weights = published(mask2former, zoo, 'mask2former')
    file = tmp_path / 'model_final.pkl'
    file.write_bytes(pickle.dumps(dict(
        model={name: value.numpy() for name, value in weights.items()}, __author__='third party')))
    model = build('MaskPilotedHead')
    load_state(read_weights(file), model, path='model_final.pkl', fine_tune=True)
    check_shared(model, mask2former)
    assert 'detectron2' in said[0] and EMBED in said[1] and POSITION in said[2]
    assert OPTION in said[3]


def test_the_published_mp_former_loads_strictly(zoo: Path, said: list[str]) -> None:
    theirs, ours = build('MaskPilotedHead'), build('MaskPilotedHead')
    weights = published(theirs, zoo, 'mpformer')
    assert 'sem_seg_head.predictor.label_enc.weight' in weights
    ours.load_state_dict(convert_state_dict(weights))
    assert torch.equal(ours.state_dict()[EMBED], theirs.state_dict()[EMBED])
    again = build('MaskPilotedHead')
    load_state(weights, again, path='mp.pth')  # as for a test, which takes what fits alone
    assert all(torch.equal(value, theirs.state_dict()[name])
               for name, value in again.state_dict().items())
    assert len(said) == 1 and 'detectron2' in said[0]


def test_other_classes_start_afresh(said: list[str]) -> None:
    theirs = build('MaskPilotedHead')
    ours = build('MaskPilotedHead')
    ours.head.pilot.label_enc = nn.Embedding(5, 32)
    ours.head.class_embed = nn.Linear(32, 6)
    load_state(theirs.state_dict(), ours, path='m.pth', fine_tune=True)
    assert 'number of classes differs' in said[0] and EMBED in said[0]
    assert torch.equal(ours.head.query_feat.weight, theirs.head.query_feat.weight)


def test_a_test_takes_no_other_model(mask2former: nn.Module) -> None:
    with pytest.raises(UserError, match=f'label_enc.*query_embed.*{OPTION}'):
        load_state(mask2former.state_dict(), build('MaskPilotedHead'), path='m.pth')


def test_from_mp_former_to_mask2former(said: list[str]) -> None:
    model = build('Mask2FormerHead')
    load_state(build('MaskPilotedHead').state_dict(), model, path='mp.pth', fine_tune=True)
    assert 'model.head.query_position=False' in said[-1]


def test_a_file_without_anything_in_common_is_refused() -> None:
    swin = {'layers.0.downsample.reduction.weight': torch.zeros(8, 16)}
    with pytest.raises(UserError, match='also after converting'):
        load_state(swin, build('MaskPilotedHead'), path='swin.pth', fine_tune=True)


def test_init_cfg_names_the_option_too(mask2former: nn.Module, tmp_path: Path, said: list[str]
                                       ) -> None:
    torch.save(mask2former.state_dict(), tmp_path / 'm.pth')
    model = build('MaskPilotedHead')
    Pretrained(str(tmp_path / 'm.pth'))(model)
    check_shared(model, mask2former)
    assert 'head.query_position=True' in said[-1]
    said.clear()
    Pretrained(str(tmp_path / 'm.pth'))(build('MaskPilotedHead', query_position=True))
    assert not any('query_position' in line for line in said)
