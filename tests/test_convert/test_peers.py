"""Models of other libraries, converted in and out, compute what they computed there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from test_convert.peers import (
    BACKBONES,
    CLASSES,
    QUERIES,
    RESNET,
    Peer,
    huggingface,
    huggingface_logits,
    openmmlab,
)
from torch import Tensor, nn

from unimask.apis.converting import convert_checkpoint
from unimask.apis.stored_config import stored_config
from unimask.checkpoints import read_checkpoint
from unimask.convert import ConversionError, convert, detect_source, export
from unimask.convert.maps.huggingface import HUGGINGFACE
from unimask.registry import MODELS

SIZES = ((64, 96), (160, 128))
NAMES = tuple(f'class {index}' for index in range(CLASSES))


def close(got: Tensor, wanted: Tensor) -> None:
    """Within 1e-4, of the logits' own scale where that is larger than one."""
    assert wanted.std() > 0.05
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-4 * max(1.0, float(wanted.std())))


def same_logits(peer: Peer, ours: nn.Module) -> None:
    """Both compute the same, on pictures of two sizes."""
    for size in SIZES:
        images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            prediction = ours(images, None, mode='tensor')
            classes, masks = peer.logits(images)
        close(prediction.class_logits[-1], classes)
        close(prediction.mask_logits(), masks)


def same_values(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def built_from(file: Path) -> nn.Module:
    """The model that a checkpoint says itself, with its weights."""
    content = read_checkpoint(file)
    model = MODELS.build(stored_config(content, path=str(file)).model).eval()
    model.load_state_dict(content['state_dict'])
    return model


MMLAB = [('mmdet', 'mask2former', True), ('mmdet', 'maskformer', True),
         ('mmdet', 'maskformer', False), ('mmseg', 'mask2former', True),
         ('mmseg', 'maskformer', False)]


def our_model(arch: str, encoder: bool) -> nn.Module:
    """The model here that is like one of MMDetection's."""
    if arch == 'mask2former':
        parts = dict(neck=dict(type='MSDeformAttnPixelDecoder', num_layers=2),
                     head=dict(type='Mask2FormerHead', num_queries=QUERIES, num_layers=4))
    else:
        neck = (dict(type='TransformerEncoderPixelDecoder', num_layers=1) if encoder
                else dict(type='FPNPixelDecoder'))
        parts = dict(neck=neck,
                     head=dict(type='MaskFormerHead', num_queries=QUERIES, num_layers=2))
    return MODELS.build(dict(
        type='UniversalSegmentor', backbone=dict(RESNET, type='mmdet.ResNet'),
        taxonomy=dict(classes=NAMES), **parts)).eval()


@pytest.mark.parametrize(('library', 'arch', 'encoder'), MMLAB)
def test_openmmlab_in_and_out(library: str, arch: str, encoder: bool, tmp_path: Path) -> None:
    peer = openmmlab(library, arch, encoder=encoder)
    theirs = peer.model.state_dict()
    assert detect_source(theirs) == library
    ours = our_model(arch, encoder)
    ours.load_state_dict(convert(theirs).state_dict)
    same_logits(peer, ours)
    same_values(export(ours.state_dict(), library).state_dict, theirs)

    meta = dict(cfg=peer.text, dataset_meta=dict(classes=NAMES))
    torch.save(dict(state_dict=theirs, meta=meta), tmp_path / 'theirs.pth')
    convert_checkpoint(tmp_path / 'theirs.pth', tmp_path / 'ours.pth')
    stated = built_from(tmp_path / 'ours.pth')
    assert stated.taxonomy.classes == NAMES
    same_values(stated.state_dict(), ours.state_dict())
    same_logits(peer, stated)


@pytest.mark.parametrize('backbone', BACKBONES)
@pytest.mark.parametrize('arch', ['mask2former', 'maskformer'])
def test_huggingface_in_and_out(arch: str, backbone: str, tmp_path: Path) -> None:
    """A folder of theirs, our file made of it, a folder made of that, and our file again."""
    peer = huggingface(arch, backbone)
    peer.model.save_pretrained(tmp_path / 'theirs')
    convert_checkpoint(tmp_path / 'theirs', tmp_path / 'ours.pth')
    same_logits(peer, built_from(tmp_path / 'ours.pth'))

    convert_checkpoint(tmp_path / 'ours.pth', tmp_path / 'back', to='huggingface')
    back, found = type(peer.model).from_pretrained(tmp_path / 'back', output_loading_info=True)
    norm = '.layernorm.'  # of the classifier, without use
    releases = (norm, 'relative_position_index')  # what release 4 or 5 has more of
    assert not any(found[kind] for kind in found if kind != 'unexpected_keys'), found
    assert all(any(part in name for part in releases) for name in found['unexpected_keys'])
    same_values(*({name: value for name, value in model.state_dict().items()
                   if 'encoder' not in name or norm not in name}
                  for model in (back, peer.model)))
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for got, wanted in zip(huggingface_logits(back.eval(), images), peer.logits(images),
                               strict=True):
            close(got, wanted)

    convert_checkpoint(tmp_path / 'back', tmp_path / 'again.pth')
    first, second = (read_checkpoint(tmp_path / name) for name in ('ours.pth', 'again.pth'))
    same_values(first['state_dict'], second['state_dict'])
    assert first['meta']['cfg'] == second['meta']['cfg']


def test_huggingface_names_in_memory(tmp_path: Path) -> None:
    """The names in a saved file differ from those in memory but mean the same."""
    from safetensors.torch import load_file
    for arch in ('mask2former', 'maskformer'):
        model = huggingface(arch, 'swin').model
        model.save_pretrained(tmp_path / arch)
        saved = convert(load_file(tmp_path / arch / 'model.safetensors'), 'huggingface')
        same_values(saved.state_dict, convert(model.state_dict(), 'huggingface').state_dict)
        assert all(saved.ignored.values())


def test_huggingface_in_several_files(tmp_path: Path) -> None:
    model = huggingface('maskformer', 'swin').model
    model.save_pretrained(tmp_path / 'one')
    model.save_pretrained(tmp_path / 'many', max_shard_size='200KB')
    assert (tmp_path / 'many/model.safetensors.index.json').exists()
    for name in ('one', 'many'):
        convert_checkpoint(tmp_path / name, tmp_path / f'{name}.pth')
    same_values(*(read_checkpoint(tmp_path / name)['state_dict']
                  for name in ('one.pth', 'many.pth')))


def test_huggingface_processor_prepares_pictures_alike(tmp_path: Path) -> None:
    """The same picture, resized to a size that both keep, gives the same input."""
    transformers = pytest.importorskip('transformers')
    model = our_model('maskformer', False)
    from unimask.convert.huggingface import files_for
    texts = files_for(model, normalisation=dict(bgr_to_rgb=True, pad_size_divisor=32,
                                                mean=[120.0, 110.0, 100.0], std=[50.0, 60.0, 70.0]),
                      pipeline=[dict(type='ResizeShortestEdge', short_edge=64, max_long=96)])
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    picture = torch.randint(256, (64, 96, 3), dtype=torch.uint8).numpy()
    inputs = processor(picture, return_tensors='pt')['pixel_values']
    expected = (torch.tensor(picture).float() - torch.tensor([120.0, 110.0, 100.0])
                ) / torch.tensor([50.0, 60.0, 70.0])
    torch.testing.assert_close(inputs[0], expected.permute(2, 0, 1), rtol=0, atol=1e-4)
    assert json.loads(texts['config.json'])['id2label'] == {
        str(label): name for label, name in enumerate(NAMES)}


def test_query_without_key_is_an_error() -> None:
    names = [f'model.transformer_module.decoder.layers.0.self_attn.{m}_proj.weight' for m in 'qk']
    with pytest.raises(ConversionError, match='v_proj'):
        convert({name: torch.zeros(4, 4) for name in names}, HUGGINGFACE.name)
