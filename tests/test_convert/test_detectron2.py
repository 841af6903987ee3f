"""Conversion of the published checkpoints; the config sweep compares whole models."""

import csv
import gzip
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from unimask.convert import ConversionError, convert, convert_state_dict, detect_source
from unimask.convert.maps.common import unfold_order, window_indices
from unimask.registry import MODELS

PIXEL = 'sem_seg_head.pixel_decoder.'


def image_models(zoo: Path) -> list[dict]:
    """Rows of the published models; MP-Former's decoder is named on its command line (opts)."""
    with (zoo / 'index.csv').open() as file:
        return [row for row in csv.DictReader(file)
                if row['repo'] in ('maskformer', 'mask2former', 'mpformer')
                and row['meta_arch'] in ('MaskFormer', 'VideoMaskFormer')
                and bool(row['opts']) == (row['repo'] == 'mpformer')]


def listing(zoo: Path, config: str) -> dict[str, Tensor]:
    """State dict of a published config with meta tensors."""
    row = next(r for r in image_models(zoo) if f'{r["repo"]}/{r["config"]}' == config)
    with gzip.open(zoo / f'{row["hash"]}.json.gz') as stream:
        entries = json.load(stream)['entries']
    return {name: torch.empty(shape, dtype=getattr(torch, dtype), device='meta')
            for name, shape, dtype, _ in entries}


def test_every_image_model_of_the_papers_converts(zoo: Path) -> None:
    rows = image_models(zoo)
    for config in {row['hash']: f'{row["repo"]}/{row["config"]}' for row in rows}.values():
        source = listing(zoo, config)
        result = convert(source)
        assert result.source == 'detectron2'
        kept = len(result.state_dict) - len(result.supplied)
        assert kept + len(result.ignored) == len(source)


def test_deep_stem_becomes_a_sequence(zoo: Path) -> None:
    result = convert_state_dict(
        listing(zoo, 'maskformer/ade20k-150/maskformer_R101c_bs16_160k.yaml'))
    with torch.device('meta'):
        backbone = MODELS.build(dict(
            type='mmdet.ResNet', depth=101, deep_stem=True, stem_channels=128, init_cfg=None))
    ours = {name.removeprefix('backbone.'): tensor.shape for name, tensor in result.items()
            if name.startswith('backbone.')}
    assert ours == {name: tensor.shape for name, tensor in backbone.state_dict().items()}


def test_old_names(zoo: Path) -> None:
    source = listing(zoo, 'mask2former/coco/instance-segmentation/maskformer2_R50_bs16_50ep.yaml')
    new = convert_state_dict(source)
    old = {name.replace('query_feat', 'static_query').replace('.pixel_decoder.', '.'): tensor
           for name, tensor in source.items()}
    assert old.keys() != source.keys()
    assert set(convert_state_dict(old)) == set(new)


def test_both_batch_norms(zoo: Path) -> None:
    frozen = convert(listing(
        zoo, 'mask2former/coco/instance-segmentation/maskformer2_R50_bs16_50ep.yaml'))
    synced = convert(listing(
        zoo, 'mask2former/cityscapes/instance-segmentation/maskformer2_R50_bs16_90k.yaml'))
    name = 'backbone.layer1.0.bn2.num_batches_tracked'
    assert name in frozen.supplied
    assert frozen.state_dict[name].item() == 0
    assert name in synced.state_dict
    assert name not in synced.supplied


def test_unknown_names_and_sources(zoo: Path) -> None:
    source = listing(zoo, 'mask2former/coco/instance-segmentation/maskformer2_R50_bs16_50ep.yaml')
    with pytest.raises(ConversionError, match='sem_seg_head.extra'):
        convert(dict(source, **{'sem_seg_head.extra.thing': torch.zeros(1)}))
    with pytest.raises(ValueError, match='unknown source "d2".*detectron2'):
        convert(source, 'd2')
    with pytest.raises(ConversionError, match='no known source has such names: a.b'):
        detect_source({'a.b': torch.zeros(1)})
    with pytest.raises(ConversionError, match='unimask.*need no conversion'):
        detect_source({'head.query_feat.weight': torch.zeros(1)})
    with pytest.raises(ConversionError, match='empty'):
        detect_source({})
    with pytest.raises(ConversionError, match='several sources: detectron2, torchvision'):
        detect_source(dict(source, **{'layer1.0.conv1.weight': torch.zeros(1)}))


def official_merging(x: Tensor, norm: nn.LayerNorm, reduction: Tensor) -> Tensor:
    """Patch merging as the Swin authors write it; x is (B, H, W, C)."""
    parts = [x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]]
    return nn.functional.linear(norm(torch.cat(parts, -1)), reduction)


def test_patch_merging_gives_the_same_numbers() -> None:
    norm = nn.LayerNorm(12)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    reduction, x = torch.randn(6, 12), torch.randn(2, 4, 6, 3)
    from mmdet.models.layers import PatchMerging
    ours = PatchMerging(in_channels=3, out_channels=6)
    ours.norm.weight.data = unfold_order(norm.weight.data)
    ours.norm.bias.data = unfold_order(norm.bias.data)
    ours.reduction.weight.data = unfold_order(reduction)
    result, size = ours(x.flatten(1, 2), (4, 6))
    assert size == (2, 3)
    torch.testing.assert_close(result.unflatten(1, size), official_merging(x, norm, reduction))


def test_supplied_window_indices_are_those_of_mmdet() -> None:
    attention = MODELS.build(dict(
        type='mmdet.SwinTransformer', depths=(1, 1, 1, 1), window_size=5)
    ).stages[0].blocks[0].attn.w_msa
    table = 'w.relative_position_bias_table'
    supplied = window_indices({table: attention.relative_position_bias_table})
    assert torch.equal(supplied['w.relative_position_index'], attention.relative_position_index)
