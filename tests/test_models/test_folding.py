"""Folded norms change nothing but memory."""

import copy

import pytest
import torch
from torch import Tensor, nn

from unimask.ops.folding import fold_frozen_norms
from unimask.registry import MODELS


def resnet(frozen: bool = True) -> nn.Module:
    torch.manual_seed(0)
    module = MODELS.build(dict(
        type='mmdet.ResNet', depth=50, base_channels=8, norm_eval=True,
        norm_cfg=dict(type='BN', requires_grad=not frozen)))
    for each in module.modules():
        if isinstance(each, nn.BatchNorm2d):
            nn.init.uniform_(each.running_var, 0.5, 2.0)
            nn.init.normal_(each.running_mean)
            nn.init.uniform_(each.weight, 0.5, 1.0)
    module.train()
    return module


def saved_bytes(module: nn.Module, inputs: Tensor) -> int:
    """Bytes of activations that the forward pass keeps for the backward pass."""
    own = {parameter.data_ptr() for parameter in module.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in own:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = module(inputs)
    del outputs
    return sum(kept.values())


def test_same_results_names_and_gradients_in_less_memory() -> None:
    plain, folded = resnet(), resnet()
    assert fold_frozen_norms(folded)
    assert list(plain.state_dict()) == list(folded.state_dict())
    inputs = torch.randn(1, 3, 128, 128)
    for ours, theirs in zip(folded(inputs), plain(inputs), strict=True):
        assert torch.equal(ours, theirs)
    for module in (plain, folded):
        sum(each.square().mean() for each in module(inputs)).backward()
    gradients = {name: parameter.grad for name, parameter in plain.named_parameters()}
    for name, parameter in folded.named_parameters():
        if gradients[name] is not None:
            torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-4, rtol=1e-3)
    assert saved_bytes(folded, inputs) < 0.65 * saved_bytes(plain, inputs)


def test_mixed_precision() -> None:
    plain, folded = resnet(), resnet()
    fold_frozen_norms(folded)
    inputs = torch.randn(1, 3, 64, 64)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found, expected = folded(inputs), plain(inputs)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)
    for outputs in (found, expected):
        sum(each.float().square().mean() for each in outputs).backward()
    for ours, theirs in zip(folded.parameters(), plain.parameters(), strict=True):
        if theirs.grad is not None:
            assert ours.grad.dtype == theirs.grad.dtype
            error = (ours.grad - theirs.grad).norm() / theirs.grad.norm()
            assert error < 0.1


class Gate(nn.Module):
    """Adds a summand that is broadcast, and a norm whose convolution is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3, bias=False), nn.Conv2d(4, 4, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(4, affine=False), nn.BatchNorm2d(4, affine=False)
        self.relu = nn.ReLU()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        x = self.norm1(self.conv1(images)) + images.mean((2, 3), keepdim=True).repeat(1, 2, 1, 1)[
            :, :4]
        y = self.conv2(x)
        return self.relu(self.norm2(y)), y


def test_any_graph() -> None:
    plain = Gate()
    folded = copy.deepcopy(plain)
    assert fold_frozen_norms(folded)
    found = []
    for module in (plain, folded):
        for part in module.modules():
            part.training = not isinstance(part, nn.BatchNorm2d)
        images = torch.linspace(-1, 1, 300).view(1, 3, 10, 10).requires_grad_()
        outputs = module(images)
        sum(each.square().sum() for each in outputs).backward()
        found.append((*outputs, images.grad, *(each.grad for each in module.parameters())))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_evaluation_stays_the_same_to_the_last_bit() -> None:
    plain, folded = resnet(), resnet()
    fold_frozen_norms(folded)
    inputs = torch.randn(1, 3, 64, 64)
    for module in (plain, folded):
        module.eval()
    for ours, theirs in zip(folded(inputs), plain(inputs), strict=True):
        assert torch.equal(ours, theirs)


def test_copies_have_weights_of_their_own() -> None:
    folded = resnet()
    fold_frozen_norms(folded)
    twin = copy.deepcopy(folded)
    inputs = torch.randn(1, 3, 64, 64)
    before = twin(inputs)[0]
    nn.init.zeros_(folded.conv1.weight)
    torch.testing.assert_close(twin(inputs)[0], before)
    assert not torch.allclose(folded(inputs)[0], before)


@pytest.mark.parametrize('config', [
    dict(type='TimmBackbone', model_name='resnet10t'),
    dict(type='mmdet.ResNet', depth=18, norm_cfg=dict(type='BN', requires_grad=True)),
])
def test_others_stay_as_they_are(config: dict) -> None:
    module = MODELS.build(config)
    forward = module.forward.__func__
    assert not fold_frozen_norms(module)
    assert module.forward.__func__ is forward
