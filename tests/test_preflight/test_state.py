"""Does a checkpoint fit the model?"""

import pytest
import torch
from torch import nn

from unimask.errors import UserError
from unimask.preflight.state import load_state


class Model(nn.Module):
    """A body and a class head."""

    class_parameters = ('class_embed',)

    def __init__(self, classes: int, width: int = 2) -> None:
        super().__init__()
        self.body = nn.Linear(2, width)
        self.class_embed = nn.Linear(width, classes + 1)


def test_other_class_count_is_named() -> None:
    with pytest.raises(UserError, match=r'class_embed\.weight has 134 rows .* and 28 in the'):
        load_state(Model(133).state_dict(), Model(27), path='a.pth')


def test_fine_tuning_starts_the_classes_fresh() -> None:
    theirs, ours = Model(133), Model(27)
    head = ours.class_embed.weight.clone()
    load_state(theirs.state_dict(), ours, path='a.pth', fine_tune=True)
    assert torch.equal(ours.body.weight, theirs.body.weight)
    assert torch.equal(ours.class_embed.weight, head)


@pytest.mark.parametrize('fine_tune', [True, False])
def test_other_width_is_an_error(fine_tune: bool) -> None:
    with pytest.raises(UserError, match=r'body.weight is \(3, 2\) in the checkpoint and \(2, 2\)'):
        load_state(Model(5, width=3).state_dict(), Model(5), path='a.pth', fine_tune=fine_tune)


def test_names_must_agree() -> None:
    state = Model(5).state_dict()
    state['extra'] = state.pop('body.bias')
    with pytest.raises(UserError, match=r'lacks 1 .*body.bias.* has 1 .*extra'):
        load_state(state, Model(5), path='a.pth')
    load_state(state, Model(5), path='a.pth', fine_tune=True)
    with pytest.raises(UserError, match='convert.py'):
        load_state({'sem_seg_head.x': torch.ones(1)}, Model(5), path='a.pth', fine_tune=True)


def test_parts_say_which_parameters_hang_on_the_classes() -> None:
    class Prior(nn.Module):
        class_parameters = ('keys',)

        def __init__(self, classes: int) -> None:
            super().__init__()
            self.keys, self.body = nn.Linear(2, classes), nn.Linear(2, 2)

    theirs, ours = nn.Sequential(Model(5), Prior(5)), nn.Sequential(Model(7), Prior(7))
    load_state(theirs.state_dict(), ours, path='a.pth', fine_tune=True)
    assert torch.equal(ours[1].body.weight, theirs[1].body.weight)
    wider = nn.Sequential(Model(5), nn.Linear(2, 3))
    with pytest.raises(UserError, match='1.weight is'):  # nobody said that this is about classes
        load_state(wider.state_dict(), nn.Sequential(Model(5), nn.Linear(2, 4)), path='a.pth',
                   fine_tune=True)


def test_a_head_of_a_stranger_leaves_the_backbone() -> None:
    """It cannot be converted, but a training can start from its backbone."""
    ours = nn.ModuleDict(dict(backbone=nn.Linear(2, 2), head=nn.Linear(2, 2)))
    theirs = {'backbone.weight': torch.ones(2, 2), 'backbone.bias': torch.ones(2),
              'decoder.weight': torch.ones(2, 2)}
    with pytest.raises(UserError, match=r'lacks 2 .*head\.weight.* has 1 .*decoder\.weight'):
        load_state(theirs, ours, path='a.pth')
    load_state(theirs, ours, path='a.pth', fine_tune=True)
    assert ours.backbone.weight.tolist() == [[1, 1], [1, 1]]


def test_complex_values_do_not_become_real_ones() -> None:
    state = Model(5).state_dict()
    state['body.weight'] = state['body.weight'].to(torch.complex64)
    with pytest.raises(UserError, match='body.weight has complex values'):
        load_state(state, Model(5), path='a.pth')
