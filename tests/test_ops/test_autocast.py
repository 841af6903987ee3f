"""What is left in float32 under autocast on the CPU, and what is not."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unimask.models.backbones import TimmBackbone
from unimask.ops.attention import attention
from unimask.ops.cpu.autocast import has_fast_bfloat16, keep_depthwise_float32


def body() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8),
                         nn.Conv2d(8, 8, 3, padding=1, groups=2))


def types(module: nn.Module, inputs: Tensor) -> list[torch.dtype]:
    """Of what each convolution puts out under autocast."""
    seen = []
    handles = [each.register_forward_hook(lambda *values: seen.append(values[2].dtype))
               for each in module.modules() if isinstance(each, nn.Conv2d)]
    with torch.autocast('cpu', torch.bfloat16):
        module(inputs)
    for handle in handles:
        handle.remove()
    return seen


def test_depthwise_convolutions_alone_are_float32_and_in_training_alone() -> None:
    module, inputs = body(), torch.randn(1, 3, 6, 6)
    low, high = torch.bfloat16, torch.float32
    assert types(module, inputs) == [low, low, low]
    keep_depthwise_float32(module)
    assert types(module, inputs) == [low, high, low]
    with torch.no_grad():
        assert types(module, inputs) == [low, low, low]


def test_without_autocast_nothing_changes_not_a_bit() -> None:
    plain, inputs = body(), torch.randn(1, 3, 6, 6)
    kept = copy.deepcopy(plain)
    keep_depthwise_float32(kept)
    keep_depthwise_float32(kept)
    assert list(kept.state_dict()) == list(plain.state_dict())
    assert torch.equal(kept(inputs), plain(inputs))


def test_values_are_those_of_float32() -> None:
    module, inputs = body()[1], torch.randn(1, 8, 6, 6)
    expected = module(inputs)
    keep_depthwise_float32(module)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(module(inputs), expected)


def test_a_copy_has_its_own_weights() -> None:
    module, inputs = body()[1], torch.randn(1, 8, 6, 6)
    keep_depthwise_float32(module)
    copied = copy.deepcopy(module)
    nn.init.zeros_(copied.weight)
    nn.init.zeros_(copied.bias)
    assert not copied(inputs).any() and module(inputs).any()


def test_padded_convolutions_of_timm_keep_their_padding() -> None:
    plain = TimmBackbone(model_name='tf_efficientnet_lite0').train()
    kept = copy.deepcopy(plain)
    keep_depthwise_float32(kept)
    inputs = torch.randn(1, 3, 65, 65)
    for ours, theirs in zip(kept.eval()(inputs), plain.eval()(inputs), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(('capabilities', 'fast'), (({'amx_bf16': True}, True), ({}, False)))
def test_where_bfloat16_is_fast(capabilities: dict, fast: bool,
                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: capabilities, raising=False)
    assert has_fast_bfloat16() == fast


def test_an_older_torch_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, 'get_capabilities', raising=False)
    assert not has_fast_bfloat16()


@pytest.mark.parametrize('visible', (None, torch.tensor([[True, False, True]])))
def test_attention(visible: Tensor | None, monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = torch.randn(3, 2, 4, 3, 8).unbind()
    query.requires_grad_()
    expected = F.scaled_dot_product_attention(query, key, value, visible)
    assert torch.equal(attention(query, key, value, visible), expected)
    halves = [each.bfloat16() for each in (query, key, value)]
    with torch.autocast('cpu', torch.bfloat16):
        out = attention(*halves, visible)
        assert out.dtype == torch.float32
        torch.testing.assert_close(out, expected, rtol=0.1, atol=0.02)
        with torch.no_grad():
            assert attention(*halves, visible).dtype == torch.bfloat16
        monkeypatch.setenv('UNIMASK_NATIVE', '0')
        assert attention(*halves, visible).dtype == torch.bfloat16
