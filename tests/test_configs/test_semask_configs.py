"""SeMask's configs have the published sizes, windows and recipes (SeMask's README and configs)."""

from pathlib import Path

import pytest
import torch
from test_configs.test_zoo import build, load, metafile_entries

from unimask.engine.optim import GroupedOptimWrapperConstructor

# config -> trainable parameters, of them in semantic layers, windows, learning rate, weight
# decay, iterations, crop
TABLE = {
    'semask-swin-t_fpn_8xb2_ade20k': (
        34_655_748, 2_005_684, (7, 7, None, None), 1e-4, 1e-4, 80000, (512, 512)),
    'semask-swin-s_fpn_8xb2_ade20k': (
        55_973_652, 2_005_684, (7, 7, None, None), 1e-4, 1e-4, 80000, (512, 512)),
    'semask-swin-b_fpn_8xb2_ade20k': (
        96_485_826, 3_370_164, (12, 12, 12, 12), 1e-4, 1e-4, 80000, (512, 512)),
    'semask-swin-l_fpn_8xb2_ade20k': (
        210_791_934, 7_143_604, (12, 12, None, None), 1e-4, 1e-4, 80000, (640, 640)),
    'semask-swin-t_fpn_4xb2_cityscapes-semantic': (
        34_243_753, 1_627_356, (7, 7, 7, 7), 1e-3, 0.05, 80000, (768, 768)),
    'semask-swin-s_fpn_4xb2_cityscapes-semantic': (
        55_561_657, 1_627_356, (7, 7, 7, 7), 1e-3, 0.05, 80000, (768, 768)),
    'semask-swin-b_fpn_4xb2_cityscapes-semantic': (
        95_948_071, 2_866_076, (12, 12, 12, 12), 1e-3, 0.05, 80000, (768, 768)),
    'semask-swin-l_fpn_4xb2_cityscapes-semantic': (
        210_002_659, 6_387_996, (12, 12, 12, 12), 1e-3, 0.05, 80000, (768, 768)),
    # The published numbers are those of 150 classes in the semantic layers; with all 171 each
    # stage has 42 (C + 1) parameters more.
    'semask-swin-t_fpn_8xb2_coco-stuff10k': (
        34_661_145 + 60_648, 2_005_684 + 60_648, (7, 7, None, None), 1e-4, 1e-4, 80000,
        (512, 512)),
    'semask-swin-s_fpn_8xb2_coco-stuff10k': (
        55_979_049 + 60_648, 2_005_684 + 60_648, (7, 7, None, None), 1e-4, 1e-4, 80000,
        (512, 512)),
    'semask-swin-b_fpn_8xb2_coco-stuff10k': (
        96_491_223 + 80_808, 3_370_164 + 80_808, (12, 12, 12, 12), 1e-4, 1e-4, 80000,
        (512, 512)),
    'semask-swin-l_fpn_8xb2_coco-stuff10k': (
        210_797_331 + 121_128, 7_143_604 + 121_128, (12, 12, None, None), 1e-4, 1e-4, 80000,
        (640, 640)),
    'semask-swin-l_maskformer_8xb2_ade20k': (
        218_719_231, 7_143_604, (12, 12, 12, None), 6e-5, 0.01, 160000, (640, 640)),
    'semask-swin-l_mask2former_8xb2_ade20k': (
        222_632_383, 7_143_604, (12, 12, 12, None), 1e-4, 0.05, 160000, (640, 640)),
    'semask-swin-l_mask2former-fapn_8xb2_ade20k': (
        226_745_479, 7_143_604, (12, 12, None, None), 1e-4, 0.05, 160000, (640, 640)),
    'semask-swin-l_mask2former-msfapn_8xb2_ade20k': (
        223_851_415, 7_143_604, (12, 12, None, None), 1e-4, 0.05, 160000, (640, 640)),
    'semask-swin-l_mask2former_8xb2_cityscapes-semantic': (
        221_843_108, 6_387_996, (7, 7, 7, 7), 1e-4, 0.05, 90000, (512, 1024)),
}


@pytest.mark.parametrize('name', TABLE)
def test_sizes_windows_and_recipe(name: str) -> None:
    total, semantic, windows, lr, decay, iterations, crop = TABLE[name]
    file = Path('semask') / f'{name}.py'
    model, cfg = build(file), load(file)
    sizes = {key: value.numel() for key, value in model.named_parameters() if value.requires_grad}
    assert sum(sizes.values()) == total
    assert sum(size for key, size in sizes.items() if 'semantic_layers' in key) == semantic
    assert tuple(layer.window for layer in model.backbone.semantic_layers) == windows
    optimiser = cfg.optim_wrapper.optimizer
    assert (optimiser.lr, optimiser.weight_decay, cfg.train_cfg.max_iters, cfg.crop_size) == (
        lr, decay, iterations, crop)
    assert model.auxiliary['aux'].criterion.weight == 0.4


@pytest.mark.parametrize('name', TABLE)
def test_loss_flavours(name: str) -> None:
    model = build(Path('semask') / f'{name}.py')
    auxiliary = model.auxiliary['aux']
    dense = '_fpn_' in name
    assert auxiliary.criterion.average == ('all' if dense else 'valid')
    assert auxiliary.head.align_corners is auxiliary.criterion.align_corners is not dense
    if dense:
        assert model.criterion.average == 'all'
        mined = 'coco-stuff' in name or 'swin-l_fpn_8xb2_ade20k' in name
        assert model.criterion.hardest == (100000 if mined else None)


DENSE = [name for name in TABLE if '_fpn_' in name]
# short edges of the views of multi-scale testing; long ones are bounded in proportion
VIEWS = {512: (256, 384, 512, 640, 768, 896), 640: (320, 480, 640, 800, 960, 1120),
         1024: (512, 768, 1024, 1280, 1536, 1792)}


@pytest.mark.parametrize('name', DENSE)
def test_data_of_semask_fpn(name: str) -> None:
    cfg = load(Path('semask') / f'{name}.py')
    cityscapes, large = 'cityscapes' in name, 'swin-l' in name
    long, short = (2048, 1024) if cityscapes else (2560, 640) if large else (2048, 512)
    resize, crop, *_, pad, _ = cfg.train_dataloader.dataset.pipeline[2:]
    assert (resize.type, tuple(resize['size'])) == ('ResizeInto', (long, short))
    if cityscapes:
        assert tuple(resize.ratio_range) == (0.5, 2.0)
    else:
        assert resize.ratios == [0.5, 0.75, 1.0, 1.25, 1.5, 1.75]
    mixed = cityscapes or name == 'semask-swin-t_fpn_8xb2_ade20k'
    assert crop.get('max_area', 1.0) == (0.75 if mixed else 1.0)
    assert crop['size'] == pad['size'] == cfg.crop_size
    assert pad.colour == (104, 116, 124)
    test = cfg.test_dataloader.dataset.pipeline[1]
    assert (test.short_edge, test.max_long) == (short, long)
    assert cfg.tta_model.short_sides == VIEWS[short]
    assert cfg.tta_model.max_long_side == tuple(
        side * long // short for side in VIEWS[short])


@pytest.mark.parametrize('name', DENSE)
def test_schedule_of_semask_fpn(name: str) -> None:
    cfg = load(Path('semask') / f'{name}.py')
    batch = 8 if 'cityscapes' in name else 16
    gpus, each = name.split('_')[2].split('xb')
    assert int(gpus) * int(each) == cfg.auto_scale_lr.base_batch_size == batch
    assert cfg.train_dataloader.batch_size == int(each)
    warm_up, decay = cfg.param_scheduler
    slow = batch == 16 or 'swin-b' in name
    assert (warm_up.start_factor, warm_up.end) == (1e-6 if slow else 1e-5, 1501)
    assert (decay.type, decay.power) == ('PolyLR', 1.0)
    assert cfg.optim_wrapper.type == 'OptimWrapper'  # no mixed precision
    assert 'clip_grad' not in cfg.optim_wrapper


@pytest.mark.parametrize('name', [name for name in TABLE if name not in DENSE])
def test_testing_of_the_mask_classifiers(name: str) -> None:
    cfg = load(Path('semask') / f'{name}.py')
    short, long, longest = (1024, 2048, 4096) if 'cityscapes' in name else (640, 2560, 4480)
    test = cfg.test_dataloader.dataset.pipeline[1]
    assert (test.short_edge, test.max_long) == (short, long)
    assert (cfg.tta_model.short_sides, cfg.tta_model.max_long_side) == (VIEWS[short], longest)


def groups(file: Path) -> list[dict]:
    """Groups of parameters as the optimiser of a config gets them."""
    optim = load(file).optim_wrapper
    constructor = GroupedOptimWrapperConstructor(
        {k: v for k, v in optim.items() if k not in ('constructor', 'paramwise_cfg')},
        optim.paramwise_cfg)
    return constructor.groups(build(file))


def undecayed(file: Path) -> set[str]:
    kept = {id(each) for group in groups(file) if not group['weight_decay']
            for each in group['params']}
    return {name for name, parameter in build(file).named_parameters() if id(parameter) in kept}


@pytest.mark.parametrize('name', DENSE)
def test_what_semask_fpn_does_not_decay(name: str) -> None:
    file = Path(f'semask/{name}.py')
    assert {group['lr'] for group in groups(file)} == {1e-3 if 'cityscapes' in name else 1e-4}
    names = [name for name, _ in build(file).named_parameters()]
    assert undecayed(file) == {
        name for name in names
        if 'norm' in name or name.endswith('relative_position_bias_table')}
    assert {'neck.scales.0.0.bn.weight', 'backbone.semantic_layers.0.blocks.0.gamma'} <= (
        set(names) - undecayed(file))


@pytest.mark.parametrize('size', ['b0', 'b5'])
def test_mit_is_decayed_by_the_same_rule(size: str) -> None:
    """The norms at the end of its stages have numbers for names."""
    file = Path(f'semask/semask-mit-{size}_fpn_8xb2_ade20k.py')
    assert undecayed(file) == {
        f'{path}.{name}' for path, part in build(file).named_modules()
        if isinstance(part, torch.nn.LayerNorm) for name in ('weight', 'bias')}


@pytest.mark.parametrize(('method', 'rate', 'of_backbone'), [
    ('maskformer', 6e-5, 6e-5), ('mask2former', 1e-4, 1e-5), ('mask2former-fapn', 1e-4, 1e-5)])
def test_semantic_layers_learn_with_the_backbone(method: str, rate: float, of_backbone: float
                                                 ) -> None:
    file = Path(f'semask/semask-swin-l_{method}_8xb2_ade20k.py')
    rates = {id(each): group['lr'] for group in groups(file) for each in group['params']}
    for name, parameter in build(file).named_parameters():
        assert rates[id(parameter)] == pytest.approx(
            of_backbone if name.startswith('backbone.') else rate)
    layer = 'backbone.semantic_layers.3'
    free = undecayed(file)
    assert {f'{layer}.norm.weight', f'{layer}.norm.bias', 'head.query_embed.weight'} <= free
    assert not free & {f'{layer}.blocks.0.gamma', f'{layer}.blocks.0.query.bias',
                       'head.class_embed.bias', 'neck.mask_features.bias'}


def test_semask_maskformer_is_maskformer_with_semasks_encoder_and_branch() -> None:
    """Nobody recorded its numbers; those of its two halves are in the golden tests."""
    ours = load(Path('semask/semask-swin-l_maskformer_8xb2_ade20k.py'))
    maskformer = load(Path('maskformer/swin-l_8xb2_ade20k.py'))
    mask2former = load(Path('semask/semask-swin-l_mask2former_8xb2_ade20k.py'))
    for key in ('neck', 'head', 'criterion', 'post_processors', 'data_preprocessor', 'init_cfg'):
        assert ours.model[key] == maskformer.model[key], key
    for key in ('backbone', 'auxiliary', 'init_cfg'):
        assert ours.model[key] == mask2former.model[key], key
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'test_dataloader', 'tta_model'):
        assert ours[key] == maskformer[key], key
    resize = ours.train_dataloader.dataset.pipeline[2]
    assert (resize.short_edge, resize.max_long) == (tuple(range(160, 1121, 160)), 2560)


# SegFormer, table 1a: parameters of the encoders in millions
MIT = {'b0': 3.4, 'b1': 13.1, 'b2': 24.2, 'b3': 44.0, 'b4': 60.8, 'b5': 81.4}


@pytest.mark.parametrize('size', MIT)
def test_semask_mit(size: str) -> None:
    """The encoder is the published one; the rest is as for Swin-T."""
    file = Path(f'semask/semask-mit-{size}_fpn_8xb2_ade20k.py')
    cfg, swin = load(file), load(Path('semask/semask-swin-s_fpn_8xb2_ade20k.py'))
    backbone = build(file).backbone
    plain = sum(p.numel() for p in backbone.encoder.parameters())
    assert plain / 1e6 == pytest.approx(MIT[size], abs=0.1)
    widths = (32, 64, 160, 256) if size == 'b0' else (64, 128, 320, 512)
    assert backbone.out_channels == widths
    semantic = sum(p.numel() for p in backbone.semantic_layers.parameters())
    assert semantic == sum(
        2 * w + 2 * (w * 150 + 150) + 2 * (w * w + w) + 1 for w in widths)
    assert [layer.window for layer in backbone.semantic_layers] == [7, 7, None, None]
    assert all(layer.norm.eps == 1e-5 for layer in backbone.semantic_layers)
    for key in ('train_dataloader', 'test_dataloader', 'optim_wrapper', 'param_scheduler'):
        assert cfg[key] == swin[key]
    for key in ('neck', 'head', 'criterion', 'auxiliary'):
        assert cfg.model[key] == swin.model[key]
    assert f'mit_{size}_' in cfg.model.init_cfg.checkpoint


@pytest.mark.parametrize('size', ['b2', 'b5'])
def test_semask_mit_with_mask2former(size: str) -> None:
    cfg = load(Path(f'semask/semask-mit-{size}_mask2former_8xb2_ade20k.py'))
    dense = load(Path(f'semask/semask-mit-{size}_fpn_8xb2_ade20k.py'))
    other = load(Path('semask/semask-swin-l_mask2former_8xb2_ade20k.py'))
    assert cfg.model.backbone == dense.model.backbone
    for key in ('neck', 'head', 'criterion', 'auxiliary'):
        assert cfg.model[key] == other.model[key]
    assert cfg.crop_size == (512, 512) and cfg.optim_wrapper == other.optim_wrapper


SWIN = {'tiny': 7, 'small': 7, 'base': 12, 'large': 12}
IN21K = 'semask_swin_large_IN21k_384_bs16'
PUBLISHED = {
    *(f'semfpn_semask_swin_{size}_patch4_window{window}_{crop}x{crop}_80k_{data}'
      for size, window in SWIN.items()
      for data, crop in (('ade20k', 640 if size == 'large' else 512), ('cityscapes', 768),
                         ('coco10k', 640 if size == 'large' else 512))),
    *(f'{method}_{IN21K}_160k_res640' for method in (
        'maskformer', 'maskformer2', 'fapn_maskformer2', 'msfapn_maskformer2')),
    f'maskformer2_{IN21K}_90k'}


def test_every_published_config_has_one_here() -> None:
    entries = [entry for entry in metafile_entries() if 'configs/semask/' in entry['Config']]
    named = [entry['Published Config'] for entry in entries if 'Published Config' in entry]
    assert sorted(named) == sorted(f'semask/{stem}' for stem in PUBLISHED)
    for entry in entries:
        stem = Path(entry['Config']).stem
        assert ('Published Config' in entry) == bool(entry['Results']) == (stem in TABLE)
        model = build(Path('semask') / f'{stem}.py')
        assert entry['Metadata']['Trainable Parameters'] == sum(
            p.numel() for p in model.parameters() if p.requires_grad)
