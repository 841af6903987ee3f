"""What JSON files of transformers say, older ones and odd ones too."""

from __future__ import annotations

import pytest

from unimask.convert import ConversionError
from unimask.convert.huggingface import config_from
from unimask.registry import DATASETS

SWIN = dict(model_type='swin')


def read(preprocessor: dict | None = None, **config: object) -> dict:
    return config_from(dict(dict(model_type='mask2former', backbone_config=SWIN), **config),
                       preprocessor)


def prepared(**preprocessor: object) -> tuple[dict, list[dict]]:
    found = read(preprocessor)
    return (found['model']['data_preprocessor'],
            found['test_dataloader']['dataset']['pipeline'][1:-1])


def test_what_is_not_written_is_the_default() -> None:
    model = read()['model']
    assert model['backbone']['embed_dims'] == 96 and model['backbone']['depths'] == (2, 2, 6, 2)
    assert (model['head']['num_layers'], model['head']['ffn_channels']) == (9, 2048)
    assert (model['neck']['num_layers'], model['neck']['ffn_channels']) == (6, 1024)
    assert model['taxonomy'] == dict(classes=('LABEL_0', 'LABEL_1'))
    old = read(model_type='maskformer', decoder_config=dict(num_queries=50))['model']
    assert (old['head']['num_queries'], old['head']['num_layers']) == (50, 6)
    assert old['neck']['type'] == 'FPNPixelDecoder'


def test_pictures() -> None:
    normalisation, resize = prepared()
    assert normalisation['mean'] == [123.675, 116.28, 103.53]
    assert normalisation['std'] == [58.395, 57.12, 57.375]
    assert resize == [dict(type='ResizeShortestEdge', short_edge=800, max_long=1333)]
    assert prepared(size=512, max_size=2048)[1] == [
        dict(type='ResizeShortestEdge', short_edge=512, max_long=2048)]
    assert prepared(size=dict(height=384, width=512))[1] == [
        dict(type='Resize', scale=(512, 384))]
    assert prepared(do_resize=False)[1] == []
    assert prepared(do_normalize=False)[0]['std'] == [255.0] * 3
    raw = prepared(do_rescale=False, image_mean=[1.0, 2.0, 3.0], size_divisibility=16)[0]
    assert raw['mean'] == [1.0, 2.0, 3.0] and raw['pad_size_divisor'] == 16


def test_things_of_known_classes() -> None:
    known = DATASETS.get('CocoPanopticDataset').METAINFO
    names = {str(label): name for label, name in enumerate(known['classes'])}
    found = read(id2label=names)['model']['taxonomy']
    assert found['classes'] == tuple(known['classes'])
    assert 0 < len(found['thing_classes']) < len(names)
    changed = read(id2label=names | {'0': 'somebody'})['model']['taxonomy']
    assert 'thing_classes' not in changed


def test_backbones_of_timm() -> None:
    current = dict(model_type='timm_backbone', backbone='resnet26', out_indices=[1, 2, 3, 4],
                   output_stride=16, freeze_batch_norm_2d=True)
    assert read(backbone_config=current)['model']['backbone'] == dict(
        type='TimmBackbone', model_name='resnet26', out_indices=(1, 2, 3, 4), norm_eval=True,
        model_args=dict(output_stride=16))
    older = dict(backbone_config=None, backbone='resnet26', use_timm_backbone=True)
    assert read(**older)['model']['backbone']['model_name'] == 'resnet26'
    with pytest.raises(ConversionError, match='a model of the hub'):
        read(**dict(older, use_timm_backbone=False))


@pytest.mark.parametrize(('backbone', 'expected'), [
    (dict(depths=[3, 4, 23, 3]), dict(type='mmdet.ResNet', depth=101, base_channels=64)),
    (dict(depths=[2, 2, 2, 2], layer_type='basic', hidden_sizes=[8, 16, 32, 64]),
     dict(type='mmdet.ResNet', depth=18, base_channels=8)),
    (dict(depths=[2, 2, 2, 2]), dict(type='StagedResNet', depths=(2, 2, 2, 2), bottleneck=True)),
    (dict(hidden_sizes=[8, 16, 32, 48]), dict(type='StagedResNet', widths=(8, 16, 32, 48))),
    (dict(downsample_in_bottleneck=True), dict(type='mmdet.ResNet', depth=50, style='caffe')),
])
def test_resnets(backbone: dict, expected: dict) -> None:
    found = read(backbone_config=dict(model_type='resnet', **backbone))['model']['backbone']
    assert found.items() >= expected.items()


@pytest.mark.parametrize('changes', [
    dict(hidden_act='relu'), dict(use_absolute_embeddings=True), dict(layer_norm_eps=1e-6),
    dict(mlp_ratio=3.5), dict(num_channels=4), dict(out_features=['stage3', 'stage4'])])
def test_what_no_model_here_has(changes: dict) -> None:
    with pytest.raises(ConversionError, match=f'backbone_config: {next(iter(changes))} '):
        read(backbone_config=SWIN | changes)
