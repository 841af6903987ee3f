"""From unimask's names to those of a peer: the maps of the converter, read backwards."""

import csv
import gzip
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from unimask.convert import ConversionError, Ignore, NameMap, Rule, convert, export
from unimask.convert.exporting import export_by, is_own
from unimask.convert.maps.common import fold_order, merge, split, unfold_order


def listings(zoo: Path) -> dict[str, dict[str, Tensor]]:
    """Hash -> state dict of published models of detectron2, one for each set of names."""
    with (zoo / 'index.csv').open() as file:
        hashes = {row['hash'] for row in csv.DictReader(file)
                  if row['meta_arch'] in ('MaskFormer', 'VideoMaskFormer', 'SemanticSegmentor')}
    found = {}
    for name in sorted(hashes):
        if (zoo / f'{name}.json.gz').exists():
            with gzip.open(zoo / f'{name}.json.gz') as stream:
                entries = json.load(stream)['entries']
            found.setdefault(tuple(key for key, *_ in entries), (name, entries))
    return {name: {key: torch.empty(shape, dtype=getattr(torch, dtype), device='meta')
                   for key, shape, dtype, _ in entries} for name, entries in found.values()}


def test_every_published_model_comes_back_under_its_own_names(zoo: Path) -> None:
    for name, theirs in listings(zoo).items():
        back = export(convert(theirs).state_dict, 'detectron2').state_dict
        counters = {key for key in theirs if key.endswith('num_batches_tracked')}
        assert back.keys() == theirs.keys() - counters, name
        assert all(back[key].shape == theirs[key].shape for key in back)


def test_values_come_back(zoo: Path) -> None:
    """The published Mask2Former with Swin-T, each tensor with values of its own."""
    theirs = next(each for each in listings(zoo).values()
                  if 'backbone.layers.2.blocks.5.norm1.weight' in each
                  and 'backbone.layers.2.blocks.6.norm1.weight' not in each
                  and 'sem_seg_head.predictor.level_embed.weight' in each)
    filled = {name: torch.rand(tensor.shape) if tensor.is_floating_point() else tensor
              for name, tensor in theirs.items()}
    conversion = convert(filled)
    back = export(conversion.state_dict, 'detectron2').state_dict
    kept = filled.keys() - conversion.ignored.keys()
    assert all(torch.equal(back[name], filled[name]) for name in kept)
    assert len(kept) > 300


def back(rules: tuple, *names: str, **options: object) -> dict[str, Tensor]:
    name_map = NameMap(name='test', signature=(), rules=rules, **options)
    return export_by(name_map, {name: torch.arange(6.0) for name in names}).state_dict


def test_templates_read_backwards() -> None:
    rules = (Rule('a.[x.]l{i}.{m:one|two}.{p:w|b}', 'n.{i-1}.{p}'), Rule('b.{r*}', 'rest.{r}'))
    assert list(back(rules, 'n.0.w', 'n.11.b', 'rest.q.z')) == [
        'a.x.l1.one.w', 'a.x.l12.one.b', 'b.q.z']


def test_the_name_of_today_is_written() -> None:
    rules = (Rule('new', 'x'), Rule('old', 'x'))
    assert list(back(rules, 'x')) == ['new']


def test_one_tensor_becomes_several() -> None:
    rules = (Rule(('q{i}', 'k{i}', 'v{i}'), 'qkv{i}', merge, split),)
    assert {name: each.tolist() for name, each in back(rules, 'qkv4').items()} == dict(
        q4=[0, 1], k4=[2, 3], v4=[4, 5])


def test_a_rule_without_a_way_back_is_not_taken() -> None:
    rules = (Rule('half', 'x', lambda x: x / 2), Rule('{r*}', '{r}'))
    assert list(back(rules, 'x')) == ['x']


def test_rules_may_need_another_name() -> None:
    rules = (Rule('deep', 'a', needs_target='b{i}'), Rule('flat', 'a'), Rule('b{i}', 'b{i}'))
    assert 'deep' in back(rules, 'a', 'b1')
    assert 'flat' in back(rules, 'a')


def test_what_a_peer_lacks_is_left_out_or_refused() -> None:
    def all_zero(tensor: Tensor) -> bool:
        return not tensor.any()

    rules = (Rule('{r*}', '{r}'),)
    assert back(rules, 'a', 'b', drops=(Ignore('b', 'why'),)).keys() == {'a'}
    assert back(rules, 'a', 'b', drops=(Ignore('b', 'why', when=all_zero),)).keys() == {'a', 'b'}
    with pytest.raises(ConversionError, match=r'test cannot express.*nothing like the b \(1 of 2'):
        back(rules, 'a', 'b', refused=(('b', 'the b'),))
    with pytest.raises(ConversionError, match=r'nothing like model.neck \(2 of 3.*neck.x'):
        back((Rule('a', 'a'),), 'a', 'neck.x', 'neck.y')
    assert back(rules, 'a', completes=(lambda state: {'a': state['a'] - 1, 'z': state['a']},)
                )['z'].tolist() == [0, 1, 2, 3, 4, 5]


def test_patch_merging_comes_back() -> None:
    x = torch.randn(6, 12)
    assert torch.equal(fold_order(unfold_order(x))[0], x)
    assert not torch.equal(unfold_order(x), x)


@pytest.mark.parametrize(('names', 'own'), [
    (['backbone.a', 'neck.b', 'head.c'], True), (['backbone.a', 'head.c'], True),
    (['backbone.a', 'neck.b'], False), (['backbone.a', 'head.c', 'decode_head.d'], False)])
def test_whole_models_of_unimask_are_known_by_their_parts(names: list[str], own: bool) -> None:
    assert is_own(names) == own
