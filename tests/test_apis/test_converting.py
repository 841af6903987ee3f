"""Weights in and out, without the peers: files, folders, and what is refused."""

from __future__ import annotations

import json
import runpy
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from torch import Tensor, nn

from unimask.apis import converted_files
from unimask.apis.converting import convert_checkpoint
from unimask.apis.stored_config import stored_config
from unimask.checkpoints import read_checkpoint
from unimask.convert import PEERS, SOURCES
from unimask.convert.openmmlab import config_from
from unimask.errors import UserError
from unimask.pipelines import testing as steps_for_testing
from unimask.registry import MODELS

TAXONOMY = dict(classes=('cat', 'dog', 'sky'), thing_classes=('cat', 'dog'))
BACKBONE = dict(type='mmdet.ResNet', depth=18, base_channels=4)
NECK = dict(type='MSDeformAttnPixelDecoder', channels=32, mask_channels=32, num_layers=1,
            num_heads=2, ffn_channels=16)
HEAD = dict(type='Mask2FormerHead', channels=32, num_queries=3, num_layers=2, num_heads=2,
            ffn_channels=16)
FPN = dict(type='FPNPixelDecoder', channels=32, mask_channels=32)
MASKFORMER = dict(HEAD, type='MaskFormerHead')
NORMALISATION = dict(type='ImagePreprocessor', mean=[123.675, 116.28, 103.53],
                     std=[58.395, 57.12, 57.375], bgr_to_rgb=True, pad_size_divisor=32)


def described(**parts: Any) -> Config:
    """A small model and its test pipeline."""
    model = dict(type='UniversalSegmentor', backbone=BACKBONE, neck=NECK, head=HEAD,
                 taxonomy=TAXONOMY, data_preprocessor=NORMALISATION)
    pipeline = steps_for_testing(dict(type='LoadPanopticMap'), short_edge=80, max_long=120)
    return Config(deepcopy(dict(model=model | parts, test_dataloader=dict(
        dataset=dict(type='SemanticDataset', pipeline=pipeline)))))


def saved(path: Path, *, stated: bool = True, **parts: Any) -> nn.Module:
    """A checkpoint of a run; returns the model."""
    cfg = described(**parts)
    model = MODELS.build(cfg.model).eval()
    meta = dict(cfg=cfg.pretty_text, dataset_meta=model.taxonomy.to_metainfo()) if stated else {}
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return model


def weights(path: Path) -> dict[str, Tensor]:
    return read_checkpoint(path)['state_dict']


def check_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


SWIN = dict(type='mmdet.SwinTransformer', embed_dims=8, depths=(1, 2, 1, 1), window_size=5,
            num_heads=(1, 2, 2, 4), patch_size=2, strides=(2, 2, 2, 2), mlp_ratio=2, qkv_bias=False)
STAGED = dict(type='StagedResNet', depths=(1, 2, 1, 1), widths=(8, 12, 16, 20), bottleneck=True,
              stem_channels=6, style='caffe', strides=(2, 2, 2, 2))


@pytest.mark.parametrize('parts', [
    dict(), dict(neck=FPN, head=MASKFORMER), dict(backbone=SWIN),
    dict(neck=FPN, head=MASKFORMER, backbone=SWIN), dict(backbone=STAGED),
    dict(backbone=dict(STAGED, widths=(8, 9, 11, 12), bottleneck=False, style='pytorch')),
    dict(backbone=dict(type='TimmBackbone', model_name='resnet10t'))])
def test_a_folder_of_huggingface_and_back(tmp_path: Path, parts: dict) -> None:
    model = saved(tmp_path / 'run.pth', **parts)
    convert_checkpoint(tmp_path / 'run.pth', tmp_path / 'folder', to='huggingface')
    assert {path.name for path in (tmp_path / 'folder').iterdir()} == {
        'config.json', 'preprocessor_config.json', 'model.safetensors'}
    convert_checkpoint(tmp_path / 'folder', tmp_path / 'back.pth')
    check_same(weights(tmp_path / 'back.pth'), model.state_dict())
    back = read_checkpoint(tmp_path / 'back.pth')
    cfg = stored_config(back, path='back.pth')
    again = MODELS.build(cfg.model)
    assert again.taxonomy == model.taxonomy
    assert cfg.model.data_preprocessor == NORMALISATION
    assert cfg.test_dataloader.dataset.pipeline[1] == dict(
        type='ResizeShortestEdge', short_edge=80, max_long=120)
    again.load_state_dict(back['state_dict'])
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        first, second = (each.eval()(images) for each in (model, again))
    assert torch.equal(first.class_logits, second.class_logits)


def test_mp_former_becomes_mask2former(tmp_path: Path) -> None:
    """Without its pilot, and with a query position of zero, which changes nothing."""
    model = saved(tmp_path / 'run.pth', head=dict(HEAD, type='MaskPilotedHead'))
    said = convert_checkpoint(tmp_path / 'run.pth', tmp_path / 'folder', to='huggingface')
    assert '1 ignored: used in training alone' in said
    convert_checkpoint(tmp_path / 'folder', tmp_path / 'back.pth')
    again = MODELS.build(described().model).eval()
    again.load_state_dict(weights(tmp_path / 'back.pth'))
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(model(images).class_logits, again(images).class_logits)


def test_safetensors_remember_config_and_classes(tmp_path: Path) -> None:
    model = saved(tmp_path / 'run.pth')
    convert_checkpoint(tmp_path / 'run.pth', tmp_path / 'small.safetensors')
    convert_checkpoint(tmp_path / 'small.safetensors', tmp_path / 'back.pth')
    small, back = (read_checkpoint(tmp_path / name) for name in ('small.safetensors', 'back.pth'))
    check_same(small['state_dict'], model.state_dict())
    check_same(back['state_dict'], model.state_dict())
    for content in (small, back):
        assert stored_config(content, path='x').model.head == HEAD
        assert list(content['meta']['dataset_meta']['thing_classes']) == ['cat', 'dog']


def test_detectron2_knows_the_version_of_the_names(tmp_path: Path) -> None:
    """A head of version 2 that is given names without a version renames what it should not."""
    class Head(nn.Module):
        _version = 2

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))
            self.seen: int | None = None

        def _load_from_state_dict(self, state: dict, prefix: str, metadata: dict,
                                  *rest: object) -> None:
            self.seen = metadata.get('version')

    class Official(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sem_seg_head = Head()
            self.sem_seg_head.predictor = Head()

    saved(tmp_path / 'run.pth')
    convert_checkpoint(tmp_path / 'run.pth', tmp_path / 'd2.pth', to='detectron2')
    content = torch.load(tmp_path / 'd2.pth', weights_only=True)
    official = Official()
    official.load_state_dict(content['model'], strict=False)
    assert official.sem_seg_head.seen == official.sem_seg_head.predictor.seen == 2
    official.load_state_dict(dict(content['model']), strict=False)
    assert official.sem_seg_head.seen is None  # what a plain dictionary would give
    assert content['model']['criterion.empty_weight'].tolist() == pytest.approx([1, 1, 1, 0.1])


@pytest.mark.parametrize('peer', ['detectron2', 'mmdet', 'mmseg'])
def test_files_of_peers_come_back(tmp_path: Path, peer: str) -> None:
    model = saved(tmp_path / 'run.pth', taxonomy=dict(classes=('a', 'b', 'c')))
    convert_checkpoint(tmp_path / 'run.pth', tmp_path / 'theirs.pth', to=peer)
    said = convert_checkpoint(tmp_path / 'theirs.pth', tmp_path / 'back.pth')
    assert f'source: {peer}' in said
    check_same(weights(tmp_path / 'back.pth'), model.state_dict())


@pytest.mark.parametrize(('text', 'said'), [
    ('import os', 'is no plain "name = value"'),
    ("model = dict(type='FasterRCNN')", 'not that of a MaskFormer or Mask2Former'),
    ("model = dict(type='Mask2Former', panoptic_head=3)", 'not that of a MaskFormer'),
])
def test_a_config_that_is_not_understood_is_left_out(tmp_path: Path, text: str, said: str) -> None:
    """The weights are converted by their names all the same."""
    model = saved(tmp_path / 'run.pth')
    convert_checkpoint(tmp_path / 'run.pth', tmp_path / 'theirs.pth', to='mmdet')
    theirs = read_checkpoint(tmp_path / 'theirs.pth')
    torch.save(dict(theirs, meta=dict(cfg=text)), tmp_path / 'theirs.pth')
    report = convert_checkpoint(tmp_path / 'theirs.pth', tmp_path / 'back.pth')
    assert 'note: its config is not used, name one with --config' in report and said in report
    check_same(weights(tmp_path / 'back.pth'), model.state_dict())


def test_what_openmmlab_says_of_pictures_and_tasks() -> None:
    head = dict(type='MaskFormerHead', feat_channels=32, out_channels=16, num_things_classes=1,
                num_stuff_classes=1, pixel_decoder=dict(type='PixelDecoder'),
                transformer_decoder=dict(num_layers=2, layer_cfg=dict(
                    self_attn_cfg=dict(embed_dims=32), ffn_cfg=dict())))
    theirs = dict(
        model=dict(type='MaskFormer', panoptic_head=head,
                   backbone=dict(type='ResNet', depth=18, init_cfg='x'),
                   data_preprocessor=dict(mean=[1.0], std=[2.0], pad_size_divisor=32),
                   test_cfg=dict(panoptic_on=False, semantic_on=True, instance_on=True)),
        test_dataloader=dict(dataset=dict(pipeline=[
            dict(type='Resize', scale=(1333, 800), keep_ratio=True)])))
    found = config_from(theirs, None)
    assert found['model']['backbone'] == dict(type='mmdet.ResNet', depth=18)
    assert found['model']['taxonomy'] == dict(classes=('class 0', 'class 1'),
                                              thing_classes=('class 0',))
    assert found['model']['test_cfg'] == dict(tasks=('semantic', 'instance'))
    assert found['model']['data_preprocessor'] == dict(
        type='ImagePreprocessor', mean=[1.0], std=[2.0], bgr_to_rgb=False, pad_size_divisor=32)
    assert found['test_dataloader']['dataset']['pipeline'][1] == dict(
        type='ResizeShortestEdge', short_edge=800, max_long=1333)
    theirs['test_dataloader']['dataset']['pipeline'][0]['keep_ratio'] = False
    assert config_from(theirs, None)['test_dataloader']['dataset']['pipeline'][1]['scale'] == (
        1333, 800)


def test_from_one_peer_to_another(tmp_path: Path) -> None:
    model = saved(tmp_path / 'run.pth')
    cfg = tmp_path / 'model.py'
    cfg.write_text(described().pretty_text)
    convert_checkpoint(tmp_path / 'run.pth', tmp_path / 'd2.pth', to='detectron2')
    with pytest.raises(UserError, match='name it with --config'):
        convert_checkpoint(tmp_path / 'd2.pth', tmp_path / 'folder', to='huggingface')
    assert not (tmp_path / 'folder').exists()
    convert_checkpoint(tmp_path / 'd2.pth', tmp_path / 'folder', to='huggingface', config=cfg)
    convert_checkpoint(tmp_path / 'folder', tmp_path / 'back.pth')
    check_same(weights(tmp_path / 'back.pth'), model.state_dict())


ENCODER = dict(FPN, type='TransformerEncoderPixelDecoder', num_layers=1, num_heads=2)
PER_PIXEL = dict(neck=FPN, head=dict(type='PerPixelHead'))
BASELINE = dict(neck=FPN, head=dict(type='PerPixelQueryHead', channels=32, num_layers=1,
                                    num_heads=2))
SEMASK = dict(type='SeMaskEncoder', encoder=BACKBONE)
TIMM = dict(type='TimmBackbone', model_name='resnet10t')
REFUSED = [
    ('huggingface', PER_PIXEL, 'model.head, a PerPixelHead'),
    ('huggingface', dict(neck=ENCODER, head=MASKFORMER),
     'model.neck, a TransformerEncoderPixelDecoder.*without transformer encoder'),
    ('huggingface', dict(neck=dict(NECK, num_points=2)), 'model.neck, a MSDeform.*4 points'),
    ('huggingface', dict(head=dict(HEAD, num_heads=4)), 'model.head.*as many attention heads'),
    ('huggingface', dict(backbone=dict(BACKBONE, deep_stem=True)), 'deep_?.stem'),
    ('huggingface', dict(backbone=SEMASK), 'the backbone SeMaskEncoder'),
    ('huggingface', dict(data_preprocessor=dict(NORMALISATION, bgr_to_rgb=False)), 'takes BGR'),
    ('detectron2', dict(backbone=TIMM), 'a backbone of timm'),
    ('detectron2', dict(neck=dict(type='SemanticFPNPixelDecoder', channels=32),
                        head=dict(type='PerPixelHead')), 'model.neck.*neck.scales'),
    ('mmdet', PER_PIXEL, r'class_embed'),
    ('mmdet', BASELINE, r'class_embed'),
    ('huggingface', BASELINE, 'model.head, a PerPixelQueryHead'),
    ('mmdet', dict(neck=dict(NECK, type='MSFaPNPixelDecoder')), r'model.neck.*neck.align'),
    ('mmdet', dict(backbone=TIMM), 'a backbone of timm'),
    ('mmdet', dict(taxonomy=dict(TAXONOMY, thing_classes=('sky',))), 'first classes for things'),
]


@pytest.mark.parametrize(('peer', 'parts', 'message'), REFUSED)
def test_a_model_that_the_peer_cannot_express(tmp_path: Path, peer: str, parts: dict,
                                              message: str) -> None:
    saved(tmp_path / 'run.pth', **parts)
    with pytest.raises(UserError, match=f'(?s)cannot express.*{message}|takes BGR'):
        convert_checkpoint(tmp_path / 'run.pth', tmp_path / 'x.pth', to=peer)
    assert [path.name for path in tmp_path.iterdir()] == ['run.pth']


def test_a_checkpoint_that_does_not_fit_the_config(tmp_path: Path) -> None:
    saved(tmp_path / 'run.pth', stated=False, taxonomy=dict(classes=('a', 'b', 'c', 'd')))
    cfg = tmp_path / 'model.py'
    cfg.write_text(described().pretty_text)
    with pytest.raises(UserError, match=r'(?s)run.pth was trained for another number of classes'):
        convert_checkpoint(tmp_path / 'run.pth', tmp_path / 'x.pth', config=cfg)
    cfg.write_text(described(head=dict(HEAD, num_layers=3)).pretty_text)
    with pytest.raises(UserError, match=r'run.pth does not fit|run.pth was trained'):
        convert_checkpoint(tmp_path / 'run.pth', tmp_path / 'x.pth', config=cfg)
    assert not (tmp_path / 'x.pth').exists()


def test_the_named_config_counts(tmp_path: Path) -> None:
    """Where the stored one cannot be used, naming one helps."""
    model = saved(tmp_path / 'run.pth')
    content = read_checkpoint(tmp_path / 'run.pth')
    content['meta']['cfg'] = 'import my_components'
    torch.save(content, tmp_path / 'run.pth')
    with pytest.raises(UserError, match='the config stored in .*run.pth is not used'):
        convert_checkpoint(tmp_path / 'run.pth', tmp_path / 'x.safetensors')
    (tmp_path / 'model.py').write_text(described().pretty_text)
    convert_checkpoint(tmp_path / 'run.pth', tmp_path / 'x.safetensors',
                       config=tmp_path / 'model.py')
    check_same(weights(tmp_path / 'x.safetensors'), model.state_dict())


def test_places_that_would_lose_something(tmp_path: Path) -> None:
    saved(tmp_path / 'run.pth')
    before = (tmp_path / 'run.pth').read_bytes()
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'folder' / 'thesis.tex').write_text('years of work')
    for dst, to, message in (
            ('run.pth', 'unimask', 'is what is to be converted'),
            ('folder', 'huggingface', 'holds thesis.tex.*name another folder'),
            ('folder', 'detectron2', 'is a folder'),
            ('run.pth', 'huggingface', 'is what is to be converted'),
            ('x.pkl', 'detectron2', r'must end with .pth\.'),
            ('x.safetensors', 'mmdet', r'must end with .pth\.'),
            ('x.bin', 'unimask', r'must end with .pth \(or .safetensors\)'),
            ('x.pth', 'keras', '--to keras: choose one of')):
        with pytest.raises(UserError, match=message):
            convert_checkpoint(tmp_path / 'run.pth', tmp_path / dst, to=to)
    (tmp_path / 'file').write_text('x')
    with pytest.raises(UserError, match='is a file'):
        convert_checkpoint(tmp_path / 'run.pth', tmp_path / 'file', to='huggingface')
    assert (tmp_path / 'run.pth').read_bytes() == before
    assert (tmp_path / 'folder' / 'thesis.tex').read_text() == 'years of work'


def test_run_twice_and_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second result replaces the first as a whole, or not at all."""
    folder = tmp_path / 'folder'
    saved(tmp_path / 'a.pth')
    other = saved(tmp_path / 'b.pth', head=dict(HEAD, num_queries=4))
    convert_checkpoint(tmp_path / 'a.pth', folder, to='huggingface')
    first = {path.name: path.read_bytes() for path in folder.iterdir()}

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt
    with monkeypatch.context() as patch:
        patch.setattr(converted_files, 'atomic_safetensors_save', stop)
        for dst in (folder, tmp_path / 'new'):
            with pytest.raises(KeyboardInterrupt):
                convert_checkpoint(tmp_path / 'b.pth', dst, to='huggingface')
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert {path.name for path in tmp_path.iterdir()} == {'a.pth', 'b.pth', 'folder'}

    convert_checkpoint(tmp_path / 'b.pth', folder, to='huggingface')
    assert json.loads((folder / 'config.json').read_text())['num_queries'] == 4
    convert_checkpoint(folder, tmp_path / 'back.pth')
    check_same(weights(tmp_path / 'back.pth'), other.state_dict())
    assert {path.name for path in tmp_path.iterdir()} == {'a.pth', 'b.pth', 'back.pth', 'folder'}


def test_folders_that_are_damaged(tmp_path: Path) -> None:
    saved(tmp_path / 'run.pth')
    folder = tmp_path / 'folder'
    convert_checkpoint(tmp_path / 'run.pth', folder, to='huggingface')
    good = json.loads((folder / 'config.json').read_text())

    def refused(message: str, **changes: Any) -> None:
        (folder / 'config.json').write_text(json.dumps(good | changes))
        with pytest.raises(UserError, match=message):
            convert_checkpoint(folder, tmp_path / 'x.pth')

    refused("model_type is 'bert'; unimask reads mask2former and maskformer", model_type='bert')
    refused('pre_norm is True', pre_norm=True)
    refused("activation_function is 'gelu'", activation_function='gelu')
    refused('backbone_config: model_type is .dinat.', backbone_config=dict(model_type='dinat'))
    refused(r'out_features are \[.stage4.\]', backbone_config=dict(
        good['backbone_config'], out_features=['stage4']))
    refused('id2label must name the labels', id2label={'0': 'a', '2': 'b'})
    refused('was trained for another number of classes', id2label={'0': 'a'}, thing_labels=None)
    refused(r'thing_labels is \[7\]', thing_labels=[7])
    refused('num_queries is .many.', num_queries='many')
    refused('does not fit the model', num_queries=9)
    for text in ('{"a":', '[1]'):
        (folder / 'config.json').write_text(text)
        with pytest.raises(UserError, match=r'config.json (cannot be read|holds a list)'):
            convert_checkpoint(folder, tmp_path / 'x.pth')
    (folder / 'config.json').write_text(json.dumps(good))
    whole = (folder / 'model.safetensors').read_bytes()
    (folder / 'model.safetensors').write_bytes(whole[:len(whole) // 2])
    with pytest.raises(UserError, match='model.safetensors cannot be read.*incomplete or damaged'):
        convert_checkpoint(folder, tmp_path / 'x.pth')
    (folder / 'model.safetensors.index.json').write_text(
        json.dumps(dict(weight_map={'a': 'model-1.safetensors'})))
    with pytest.raises(UserError, match=r'index.json names model-1.safetensors, which is not'):
        convert_checkpoint(folder, tmp_path / 'x.pth')
    (folder / 'model.safetensors.index.json').write_text('{}')
    with pytest.raises(UserError, match='is no index of weights'):
        convert_checkpoint(folder, tmp_path / 'x.pth')
    assert not (tmp_path / 'x.pth').exists()


@pytest.mark.parametrize('head', [b'\x89HDF\r\n\x1a\n', b'\x08\x07\x12\x07pytorch', b'GGUF'])
def test_files_of_other_frameworks(tmp_path: Path, head: bytes) -> None:
    (tmp_path / 'model.h5').write_bytes(head + bytes(200))
    with pytest.raises(UserError, match='model.h5 cannot be read'):
        convert_checkpoint(tmp_path / 'model.h5', tmp_path / 'x.pth')


def test_the_command_offers_what_there_is(repo: Path) -> None:
    tool = runpy.run_path(str(repo / 'tools/model_converters/convert.py'))
    assert set(tool['SOURCES']) == {'unimask', *SOURCES}
    assert set(tool['TARGETS']) == {'unimask', *PEERS}
