"""SeMask's configs have the published sizes, windows and recipes (SeMask's README and configs)."""

from pathlib import Path

import pytest
from test_configs.test_zoo import build, load

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
        assert model.criterion.hardest == (100000 if 'swin-l' in name else None)


def test_what_semask_fpn_does_not_decay() -> None:
    file = Path('semask/semask-swin-t_fpn_8xb2_ade20k.py')
    model, optim = build(file), load(file).optim_wrapper
    constructor = GroupedOptimWrapperConstructor(
        {k: v for k, v in optim.items() if k not in ('constructor', 'paramwise_cfg')},
        optim.paramwise_cfg)
    groups = constructor.groups(model)
    kept = {id(each) for group in groups if not group['weight_decay'] for each in group['params']}
    assert {group['lr'] for group in groups} == {1e-4}
    for name, parameter in model.named_parameters():
        undecayed = 'norm' in name or name.endswith('relative_position_bias_table')
        assert (id(parameter) in kept) == undecayed, name
