"""timm backbones."""

import pytest
import timm
import torch

from unimask.errors import UserError
from unimask.models.backbones import TimmBackbone
from unimask.registry import MODELS

SIZES = [(24, 32), (12, 16), (6, 8), (3, 4)]  # strides 4 to 32 of 96 x 128


def build(name: str, **options) -> TimmBackbone:
    return MODELS.build(dict(type='TimmBackbone', model_name=name, **options))


@pytest.mark.parametrize('name', [
    'tf_efficientnet_lite0', 'resnet18', 'convnext_atto', 'pvt_v2_b0',
    'swin_tiny_patch4_window7_224'])  # the last: channels last inside, 224 by default
def test_maps_have_the_stated_strides_and_channels(name: str) -> None:
    backbone = build(name).eval()
    with torch.no_grad():
        maps = backbone(torch.randn(2, 3, 96, 128))
    assert backbone.strides == (4, 8, 16, 32)
    assert [tuple(each.shape) for each in maps] == [
        (2, width, *size) for width, size in zip(backbone.out_channels, SIZES, strict=True)]


def test_chosen_maps() -> None:
    backbone = build('resnet18', out_indices=(0, 2)).eval()
    assert (backbone.strides, backbone.out_channels) == ((2, 8), (64, 128))
    assert [each.shape[-1] for each in backbone(torch.randn(1, 3, 32, 32))] == [16, 4]


@pytest.mark.parametrize('name', ['levit_128', 'coat_lite_tiny'])
def test_a_model_for_one_size_says_so(name: str) -> None:
    kept = dict(out_indices=(0, 1)) if name == 'levit_128' else {}
    with pytest.raises(UserError, match=f'"{name}" does not take images of 96 x 128.*224 x 224'):
        build(name, **kept).eval()(torch.randn(1, 3, 96, 128))


def test_norm_eval_keeps_statistics() -> None:
    for norm_eval in (True, False):
        backbone = build('resnet18', norm_eval=norm_eval).train()
        before = backbone.body.bn1.running_mean.clone()
        backbone(torch.randn(2, 3, 32, 32) + 1)
        assert torch.equal(before, backbone.body.bn1.running_mean) is norm_eval
        assert backbone.body.conv1.training
        assert backbone.body.bn1.weight.requires_grad


@pytest.mark.parametrize('name', ['resnet18', 'convnext_atto', 'edgenext_xx_small'])
def test_takes_timms_own_names(name: str) -> None:
    full = timm.create_model(name).eval()
    backbone = build(name).eval()
    used = {key: value for key, value in full.state_dict().items()
            if not key.startswith(('head.', 'fc.', 'norm.'))}
    result = backbone.load_state_dict(used, strict=True)
    assert not result.missing_keys
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            backbone(x)[-1], full.forward_intermediates(x, intermediates_only=True)[-1])


def test_own_names_round_trip() -> None:
    first, second = build('resnet18'), build('resnet18')
    second.load_state_dict(first.state_dict(), strict=True)
    assert torch.equal(first.body.conv1.weight, second.body.conv1.weight)


def test_errors_name_the_model_and_the_remedy() -> None:
    with pytest.raises(ValueError, match='no model "resnet5".*resnet50'):
        build('resnet5')
    with pytest.raises(ValueError, match='stride \\[16\\].*hierarchical'):
        build('vit_tiny_patch16_224')
