"""One backbone under two names: checkpoints with MMDetection's load where timm's are, and back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from mmengine.config import Config
from torch import Tensor, nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

from unimask.apis.converting import convert_checkpoint
from unimask.apis.stored_config import stored_config
from unimask.checkpoints import read_checkpoint
from unimask.convert import Pretrained, PretrainedBackbone, as_in, convert, export
from unimask.errors import UserError
from unimask.preflight.state import load_state
from unimask.registry import MODELS

SIZES = dict(embed_dims=8, depths=(1, 2, 1, 1), num_heads=(1, 2, 2, 4), window_size=5)
SWIN = (dict(type='mmdet.SwinTransformer', **SIZES), dict(type='TimmSwin', **SIZES))
RESNET = (dict(type='mmdet.ResNet', depth=18, base_channels=4, stem_channels=64),
          dict(type='TimmBackbone', model_name='resnet18', norm_eval=True,
               model_args=dict(channels=(4, 8, 16, 32))))
PAIRS = dict(swin=SWIN, resnet=RESNET)


def segmentor(backbone: dict) -> dict:
    return dict(
        type='UniversalSegmentor', backbone=backbone, taxonomy=dict(classes=('cat', 'dog')),
        data_preprocessor=dict(type='ImagePreprocessor', bgr_to_rgb=True),
        neck=dict(type='MSDeformAttnPixelDecoder', channels=32, mask_channels=32, num_layers=1,
                  num_heads=2, ffn_channels=16),
        head=dict(type='Mask2FormerHead', channels=32, num_queries=3, num_layers=2, num_heads=2,
                  ffn_channels=16))


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def official_name(name: str) -> str:
    """The Swin authors' name for one of timm: patch merging ends a stage, the head is plain."""
    found = re.fullmatch(r'layers\.(\d)\.downsample\.(.*)', name)
    return (f'layers.{int(found[1]) - 1}.downsample.{found[2]}' if found
            else name.replace('head.fc.', 'head.'))


@pytest.mark.parametrize('reverse', [False, True], ids=['into timm', 'out of timm'])
@pytest.mark.parametrize('name', PAIRS)
def test_a_checkpoint_of_one_loads_into_the_other(name: str, reverse: bool) -> None:
    """Every tensor, and with the same result."""
    torch.manual_seed(0)
    source, target = (MODELS.build(segmentor(each)).eval()
                      for each in (reversed(PAIRS[name]) if reverse else PAIRS[name]))
    load_state(source.state_dict(), target, path='a.pth')
    same(as_in(source.state_dict().keys(), target.state_dict()), source.state_dict())
    images = torch.randn(1, 3, 70, 96)
    with torch.no_grad():
        torch.testing.assert_close(target(images).class_logits, source(images).class_logits)


@pytest.mark.parametrize('name', PAIRS)
def test_peers_get_what_they_get_from_the_other(name: str) -> None:
    theirs, ours = (MODELS.build(segmentor(each)) for each in PAIRS[name])
    load_state(theirs.state_dict(), ours, path='a.pth')
    for peer in ('detectron2', 'mmdet', 'mmseg'):
        exported = export(ours.state_dict(), peer).state_dict
        same(exported, export(theirs.state_dict(), peer).state_dict)
        load_state(exported, ours, path='a.pth')


def test_other_resnets_of_timm_stay_refused() -> None:
    model = MODELS.build(segmentor(dict(type='TimmBackbone', model_name='resnet18d')))
    with pytest.raises(UserError, match='detectron2 cannot express.*a backbone of timm'):
        export(model.state_dict(), 'detectron2')


def test_a_file_remembers_the_names_of_its_config(tmp_path: Path) -> None:
    """MMDetection's checkpoint, converted for a config with timm's Swin; and to transformers."""
    theirs = MODELS.build(segmentor(SWIN[0])).eval()
    torch.save(export(theirs.state_dict(), 'mmdet').state_dict, tmp_path / 'theirs.pth')
    config = tmp_path / 'config.py'
    data = dict(dataset=dict(type='SemanticDataset', pipeline=[dict(type='LoadImage')]))
    config.write_text(Config(dict(model=segmentor(SWIN[1]), test_dataloader=data)).pretty_text)
    convert_checkpoint(tmp_path / 'theirs.pth', tmp_path / 'ours.pth', config=config)
    ours = read_checkpoint(tmp_path / 'ours.pth')
    model = MODELS.build(stored_config(ours, path='ours.pth').model).eval()
    model.load_state_dict(ours['state_dict'], strict=True)

    convert_checkpoint(tmp_path / 'ours.pth', tmp_path / 'folder', to='huggingface')
    convert_checkpoint(tmp_path / 'folder', tmp_path / 'back.pth')
    back = read_checkpoint(tmp_path / 'back.pth')
    again = MODELS.build(stored_config(back, path='back.pth').model).eval()
    load_state(back['state_dict'], again, path='back.pth')
    images = torch.randn(1, 3, 70, 96)
    with torch.no_grad():
        for each in (model, again):
            torch.testing.assert_close(each(images).class_logits, theirs(images).class_logits)


def test_what_fits_neither_is_said_by_name() -> None:
    deeper = MODELS.build(segmentor(dict(SWIN[0], depths=(1, 2, 2, 1))))
    model = MODELS.build(segmentor(SWIN[1]))
    with pytest.raises(UserError, match=r'a\.pth does not fit .*backbone\.layers\.2\.blocks\.1\.'):
        load_state(deeper.state_dict(), model, path='a.pth')
    resnet = MODELS.build(segmentor(dict(RESNET[0], base_channels=8)))  # as wide
    with pytest.raises(UserError, match=r'lacks .*backbone\.patch_embed.* has .*backbone\.conv1'):
        load_state(resnet.state_dict(), model, path='a.pth')


class TestImageNetWeights:
    """Of files whose names are those of timm, of the Swin authors, of torchvision."""

    @pytest.mark.parametrize('backbone', SWIN, ids=['mmdet', 'timm'])
    def test_swin(self, backbone: dict, tmp_path: Path) -> None:
        source = timm.create_model('swin_tiny_patch4_window7_224', embed_dim=8,
                                   depths=SIZES['depths'], num_heads=SIZES['num_heads'],
                                   window_size=5)
        weights = source.state_dict()
        assert convert(weights).source == 'timm'
        official = {official_name(name): value for name, value in weights.items()}
        assert convert(official).source == 'swin'
        for number, state in enumerate((weights, official)):
            torch.save(state, tmp_path / f'{number}.pth')
            model = MODELS.build(segmentor(backbone))
            fresh = model.backbone.norm0.weight.clone()
            PretrainedBackbone(str(tmp_path / f'{number}.pth'))(model)
            timm_names = MODELS.build(segmentor(SWIN[1])).state_dict().keys()
            found = as_in(timm_names, model.state_dict())
            for name, value in weights.items():
                if not name.startswith(('head.', 'norm.')):
                    assert torch.equal(found[f'backbone.{name}'], value), name
            assert torch.equal(model.backbone.norm0.weight, fresh)

    def test_resnet(self, tmp_path: Path) -> None:
        source = torchvision.models.resnet18()
        torch.save(source.state_dict(), tmp_path / 'file.pth')
        model = MODELS.build(segmentor(dict(type='TimmBackbone', model_name='resnet18')))
        PretrainedBackbone(str(tmp_path / 'file.pth'))(model)
        assert torch.equal(model.backbone.body.layer4[1].conv2.weight,
                           source.layer4[1].conv2.weight)

    def test_convnext(self, tmp_path: Path) -> None:
        """torchvision's, whose maps timm's then gives."""
        widths = (8, 12, 16, 24)
        source = ConvNeXt([CNBlockConfig(*each) for each in zip(
            widths, (*widths[1:], None), (1, 2, 1, 1), strict=True)]).eval()
        for parameter in source.parameters():
            nn.init.normal_(parameter, std=0.3)
        torch.save(source.state_dict(), tmp_path / 'file.pth')
        backbone = MODELS.build(dict(
            type='TimmBackbone', model_name='convnext_tiny',
            model_args=dict(depths=(1, 2, 1, 1), dims=widths))).eval()
        PretrainedBackbone(str(tmp_path / 'file.pth'), source='torchvision')(backbone)
        x = torch.randn(1, 3, 64, 96)
        with torch.no_grad():
            maps = backbone(x)
            for index, stage in enumerate(source.features):
                x = stage(x)
                if index % 2:
                    torch.testing.assert_close(maps[index // 2], x, rtol=1e-4, atol=1e-4)

    def test_part_of_a_whole_model(self, tmp_path: Path) -> None:
        theirs = MODELS.build(segmentor(SWIN[0]))
        torch.save(theirs.state_dict(), tmp_path / 'file.pth')
        backbone = MODELS.build(SWIN[1])
        Pretrained(str(tmp_path / 'file.pth'), prefix='backbone')(backbone)
        assert torch.equal(backbone.layers[1].blocks[1].mlp.fc1.weight,
                           theirs.backbone.stages[1].blocks[1].ffn.layers[0][0].weight)

    def test_another_size_is_refused(self, tmp_path: Path) -> None:
        wider = timm.create_model('swin_tiny_patch4_window7_224', embed_dim=16,
                                  depths=SIZES['depths'], num_heads=SIZES['num_heads'])
        torch.save(wider.state_dict(), tmp_path / 'file.pth')
        with pytest.raises(UserError, match=r'file\.pth: .*another shape.*\(16, 3, 4, 4\)'):
            PretrainedBackbone(str(tmp_path / 'file.pth'))(MODELS.build(segmentor(SWIN[1])))
