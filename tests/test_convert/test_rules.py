"""The engine that applies name maps."""

import pytest
import torch

from unimask.convert import ConversionError, Ignore, NameMap, Rule, convert_state_dict
from unimask.convert.rules import apply_map, compile_template, fill

X = torch.zeros(2)


def convert(rules: tuple, *names: str, **options):
    name_map = NameMap(name='test', signature=('a',), rules=rules, **options)
    return apply_map(name_map, {name: torch.full((2,), float(i)) for i, name in enumerate(names)})


@pytest.mark.parametrize(('template', 'name', 'fields'), [
    ('a.{i}.b', 'a.12.b', {'i': '12'}),
    ('a.{i}.b', 'a.x.b', None),
    ('a{i}.{p:weight|bias}', 'a3.bias', {'i': '3', 'p': 'bias'}),
    ('a{i}.{p:weight|bias}', 'a3.scale', None),
    ('a.{p*}', 'a.b.c', {'p': 'b.c'}),
    ('a.{p*}', 'a.', None),
    ('[x.]a', 'x.a', {}),
    ('[x.]a', 'a', {}),
    ('a.b', 'axb', None),
    ('a', 'a.b', None),
])
def test_templates(template: str, name: str, fields: dict | None) -> None:
    found = compile_template(template).fullmatch(name)
    assert (found and found.groupdict()) == fields


def test_targets_count_on_fields() -> None:
    assert fill('layer{s-1}.{b}.x{c+2}.{p}', dict(s='4', b='0', c='1', p='w')) == 'layer3.0.x3.w'


def test_first_rule_decides_and_ignored_names_carry_their_reason() -> None:
    result = convert((Rule('a.{i}', 'x{i}'), Ignore('b', 'not needed'), Rule('{r*}', 'rest.{r}')),
                     'a.0', 'b', 'c')
    assert list(result.state_dict) == ['x0', 'rest.c']
    assert result.ignored == {'b': 'not needed'}
    assert result.source == 'test'


def test_a_name_map_of_ones_own_is_a_source() -> None:
    own = NameMap(name='own', signature=('a',), rules=(Rule('a', 'b'),))
    assert convert_state_dict({'a': X}, own).keys() == {'b'}
    with pytest.raises(ConversionError, match='unknown to the source "own"'):
        convert_state_dict({'c': X}, own)


def test_rules_may_need_another_name() -> None:
    rules = (Rule('a', 'deep', needs='b{i}'), Rule('a', 'flat'), Rule('b{i}', 'b{i}'))
    assert 'deep' in convert(rules, 'a', 'b1').state_dict
    assert 'flat' in convert(rules, 'a').state_dict


def test_several_tensors_become_one_in_the_order_of_the_rule() -> None:
    rules = (Rule(('q.{i}', 'k.{i}'), 'qk.{i}', lambda q, k: torch.cat([q, k]),
                  lambda both: both.chunk(2)),)
    result = convert(rules, 'k.0', 'q.0')
    assert result.state_dict['qk.0'].tolist() == [1, 1, 0, 0]
    with pytest.raises(ConversionError, match='q.0 came without a partner of the form k'):
        convert(rules, 'q.0')
    with pytest.raises(ValueError, match='needs a function'):
        Rule(('a', 'b'), 'c')


def test_supplied_tensors_never_replace_converted_ones() -> None:
    result = convert((Rule('{n*}', '{n}'),), 'a',
                     supply=(lambda state: {'a': X - 1, 'b': X},))
    assert result.state_dict['a'].tolist() == [0, 0]
    assert result.supplied == ('b',)


def test_unknown_names_are_an_error() -> None:
    with pytest.raises(ConversionError, match='1 of 2 names are unknown.*for example z'):
        convert((Rule('a', 'a'),), 'a', 'z')


def test_two_tensors_for_one_target_are_an_error() -> None:
    with pytest.raises(ConversionError, match='old and new both become x'):
        convert((Rule('old', 'x'), Rule('new', 'x')), 'old', 'new')
