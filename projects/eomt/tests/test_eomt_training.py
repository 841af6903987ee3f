"""How EoMT is trained: mask annealing, learning rates, resuming, weights to start from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from peer_values import recorded_names, value
from torch import Tensor, nn

from projects.eomt.eomt import (
    LayerDecayConstructor,
    MaskAnnealingHook,
    PlainViT,
    PretrainedViT,
    SlidingWindow,
    TwoStageWarmupPolyLR,
)
from projects.eomt.eomt.annealing import masked_share
from projects.eomt.eomt.optim import layer_rates
from projects.eomt.eomt.windows import window_starts
from unimask.engine import Runner
from unimask.errors import UserError
from unimask.preflight import load_config, prepare_config
from unimask.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
SHAPES = CONFIGS / 'vit-ti_1xb8_shapes.py'
SMALL = {'model.backbone.img_size': 64, 'model.backbone.model_args.depth': 3,
         'model.backbone.model_args.embed_dim': 48, 'model.head.num_queries': 8}


# Mask annealing.


def runner_of(*, blocks: int, length: int) -> SimpleNamespace:
    """As much of a runner as the hook looks at."""
    model = nn.Module()
    model.backbone, model.head = nn.Module(), nn.Module()
    model.backbone.num_joint_blocks = blocks
    return SimpleNamespace(model=model, max_iters=length, iter=0)


def shares(hook: MaskAnnealingHook, runner: SimpleNamespace, iteration: int) -> tuple[float, ...]:
    runner.iter = iteration
    hook.before_train_iter(runner, iteration)
    return runner.model.head.masking


def test_share_of_masked_queries() -> None:
    assert [masked_share(i, 10, 20) for i in (0, 10, 20, 99)] == [1, 1, 0, 0]
    assert masked_share(15, 10, 20) == pytest.approx(0.5 ** 0.9)
    assert masked_share(15, 10, 20, power=2.0) == pytest.approx(0.25)


def test_blocks_are_unmasked_one_after_the_other() -> None:
    runner, hook = runner_of(blocks=4, length=600), MaskAnnealingHook()
    hook.before_train(runner)
    assert shares(hook, runner, 0) == shares(hook, runner, 100) == (1, 1, 1, 1)
    assert shares(hook, runner, 150) == (pytest.approx(0.5 ** 0.9), 1, 1, 1)
    assert shares(hook, runner, 300) == (0, 0, 1, 1)
    assert shares(hook, runner, 450) == (0, 0, 0, pytest.approx(0.5 ** 0.9))
    assert shares(hook, runner, 500) == shares(hook, runner, 599) == (0, 0, 0, 0)


def test_stated_iterations() -> None:
    runner, hook = runner_of(blocks=2, length=600), MaskAnnealingHook(starts=[0, 5], ends=[10, 20])
    hook.before_train(runner)
    assert shares(hook, runner, 10) == (0, pytest.approx((2 / 3) ** 0.9))


def test_a_resumed_training_goes_on_with_the_same_shares() -> None:
    runner, hook = runner_of(blocks=3, length=100), MaskAnnealingHook()
    hook.before_train(runner)
    unbroken = [shares(hook, runner, iteration) for iteration in range(100)]
    again, resumed = runner_of(blocks=3, length=100), MaskAnnealingHook()
    resumed.before_train(again)
    assert [shares(resumed, again, iteration) for iteration in range(37, 100)] == unbroken[37:]


@pytest.mark.parametrize('options', [
    dict(starts=[1]), dict(starts=[1], ends=[1]), dict(starts=[1, 2], ends=[3])])
def test_schedules_that_make_no_sense(options: dict) -> None:
    with pytest.raises(UserError, match='pairs of a start and a later end'):
        MaskAnnealingHook(**options)


def test_a_schedule_for_another_number_of_blocks() -> None:
    with pytest.raises(UserError, match='model has 3 joint blocks'):
        MaskAnnealingHook(starts=[1], ends=[2]).before_train(runner_of(blocks=3, length=9))


# Learning rates.


@pytest.fixture(scope='module')
def segmentor() -> nn.Module:
    return MODELS.build(load_config(SHAPES, SMALL).model)


def rates(model: nn.Module, **options: object) -> dict[str, tuple[float, float, bool]]:
    """Learning rate, weight decay and whether it belongs to the ViT, for every parameter."""
    constructor = LayerDecayConstructor(
        dict(optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.5)), options)
    names = {id(each): name for name, each in model.named_parameters()}
    return {names[id(each)]: (group['lr'], group['weight_decay'], group['pretrained'])
            for group in constructor.groups(model) for each in group['params']}


def test_earlier_blocks_learn_less(segmentor: nn.Module) -> None:
    found = rates(segmentor, layer_decay=0.8)
    assert len(found) == len(list(segmentor.parameters()))
    assert found['backbone.vit.blocks.2.attn.qkv.weight'] == (pytest.approx(0.8), 0.5, True)
    assert found['backbone.vit.blocks.0.attn.qkv.weight'] == (pytest.approx(0.8 ** 3), 0.5, True)
    assert found['backbone.vit.blocks.0.norm1.weight'] == (pytest.approx(0.8 ** 3), 0.0, True)
    assert found['backbone.vit.patch_embed.proj.weight'] == (pytest.approx(0.8 ** 4), 0.5, True)
    assert found['backbone.vit.pos_embed'] == (pytest.approx(0.8 ** 4), 0.0, True)
    assert found['backbone.vit.norm.weight'] == (1.0, 0.0, True)
    assert found['head.class_embed.weight'] == (1.0, 0.5, False)
    assert found['head.query_feat.weight'] == (1.0, 0.0, False)


def test_without_decay_all_learn_alike(segmentor: nn.Module) -> None:
    assert {lr for lr, _, _ in rates(segmentor).values()} == {1.0}


def test_keys_of_the_config_come_before_the_decay(segmentor: nn.Module) -> None:
    found = rates(segmentor, layer_decay=0.8, custom_keys={
        'backbone.vit.blocks.1.mlp.': dict(lr_mult=0.1)})
    assert found['backbone.vit.blocks.1.mlp.fc1.weight'][0] == pytest.approx(0.1)
    assert found['backbone.vit.blocks.1.attn.qkv.weight'][0] == pytest.approx(0.8 ** 2)


def test_blocks_beyond_the_ninth_have_rates_of_their_own() -> None:
    keys = layer_rates(12, 0.5)
    assert [key for key in keys if key in 'backbone.vit.blocks.11.mlp'] == [
        'backbone.vit.', 'backbone.vit.blocks.11.']


def test_a_frozen_vit_leaves_the_rest() -> None:
    model = MODELS.build(dict(load_config(SHAPES, SMALL).model, frozen=('backbone',)))
    assert {pretrained for *_, pretrained in rates(model, layer_decay=0.8).values()} == {False}


def test_layer_decay_must_be_a_share() -> None:
    with pytest.raises(UserError, match='layer_decay must be above 0'):
        LayerDecayConstructor(dict(), dict(layer_decay=1.2))


def test_two_stages_of_warmup() -> None:
    new, vit = (nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimizer = torch.optim.SGD([dict(params=[new], lr=1.0), dict(
        params=[vit], lr=0.5, pretrained=True)])
    schedule = TwoStageWarmupPolyLR(optimizer, end=100, warmup=(10, 20))
    seen = []
    for _ in range(101):
        seen.append([group['lr'] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    assert seen[0] == [0, 0]
    assert seen[5] == [pytest.approx(0.5), 0]
    assert seen[10] == [1.0, 0]
    assert seen[20] == [pytest.approx((80 / 90) ** 0.9), pytest.approx(0.25)]
    assert seen[30] == [pytest.approx((70 / 90) ** 0.9), pytest.approx(0.5)]
    assert seen[65] == [pytest.approx((35 / 90) ** 0.9), pytest.approx(0.5 * 0.5 ** 0.9)]
    assert seen[100] == [0, 0]


def test_warmups_that_do_not_fit() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(UserError, match='do not fit into a training of 10'):
        TwoStageWarmupPolyLR(optimizer, end=10, warmup=(5, 5))
    with pytest.raises(UserError, match='by_epoch=False'):
        TwoStageWarmupPolyLR(optimizer, end=100, by_epoch=True)


# Whole runs.


def train(prepare: Callable[..., Config], *, load: Path | None = None) -> dict[str, Tensor]:
    cfg = prepare(SHAPES, max_iters=4, **SMALL, **{
        'default_hooks.checkpoint.interval': 2, 'param_scheduler.0.warmup': (1, 1),
        **({} if load is None else {'load_from': str(load), 'resume': True})})
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 4
    return {name: each.clone() for name, each in runner.model.state_dict().items()}


@pytest.mark.slow
def test_a_resumed_training_ends_with_the_same_weights(
        short_run: Callable[..., Config], tmp_path: Path) -> None:
    unbroken = train(short_run)
    resumed = train(short_run, load=tmp_path / 'run' / 'iter_2.pth')
    assert [name for name in unbroken if not torch.equal(unbroken[name], resumed[name])] == []


@pytest.mark.slow
def test_shapes_are_learnt(tmp_path: Path) -> None:
    from shapes_maker import make_shapes
    make_shapes(tmp_path / 'shapes', num_train=100, num_val=20, size=160)
    runner = Runner.from_cfg(prepare_config(load_config(SHAPES, {
        'data_root': str(tmp_path / 'shapes'), 'work_dir': str(tmp_path / 'run'),
        'max_iters': 200, 'batch_size': 4, 'experiment_name': tmp_path.name})))
    runner.train()
    assert runner.model.head.masking == (0, 0, 0)
    assert runner.message_hub.get_scalar('val/semantic/mIoU').current() > 20


# Weights to start from.


def test_weights_for_another_patch_and_image_size(tmp_path: Path) -> None:
    args = dict(embed_dim=32, depth=3, num_heads=2)
    source = timm.create_model('vit_small_patch14_reg4_dinov2', img_size=70, num_classes=0, **args)
    torch.save(source.state_dict(), tmp_path / 'vit.pth')
    model = nn.Module()
    model.backbone = PlainViT(model_name='vit_small_patch14_reg4_dinov2', img_size=128,
                              model_args=args)
    PretrainedViT(tmp_path / 'vit.pth')(model)
    loaded, given = model.backbone.vit.state_dict(), source.state_dict()
    resized = {'pos_embed', 'patch_embed.proj.weight'}
    assert [name for name in given if name not in resized
            and not torch.equal(given[name], loaded[name])] == []
    assert loaded['pos_embed'].shape == (1, 64, 32)
    # Resizing keeps the mean place and, of a patch of one colour, what is made of it.
    torch.testing.assert_close(loaded['pos_embed'].mean(1), given['pos_embed'].mean(1),
                               atol=2e-3, rtol=0)
    torch.testing.assert_close(
        loaded['patch_embed.proj.weight'].sum((2, 3)), given['patch_embed.proj.weight'].sum((2, 3)),
        atol=1e-3, rtol=1e-3)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    model = nn.Module()
    model.backbone = PlainViT(model_name='vit_tiny_patch16_224', img_size=32,
                              model_args=dict(embed_dim=24, depth=3))
    state = model.backbone.vit.state_dict()
    torch.save({name: each for name, each in state.items() if 'blocks.2' not in name},
               tmp_path / 'part.pth')
    with pytest.raises(UserError, match=r'lacks 12 tensors of the ViT, such as blocks\.2'):
        PretrainedViT(tmp_path / 'part.pth')(model)
    torch.save(state | {'norm.weight': torch.zeros(5)}, tmp_path / 'wrong.pth')
    with pytest.raises(UserError, match='does not fit the ViT'):
        PretrainedViT(tmp_path / 'wrong.pth')(model)
    with pytest.raises(UserError, match='not found'):
        PretrainedViT(tmp_path / 'absent.pth').check()


# Windows.


class Columns(nn.Module):
    """Scores of a column of an image: its value, which is its place, and 1 for the other class."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, int]] = []

    def data_preprocessor(self, data: dict, training: bool) -> dict:
        return data

    def test_step(self, data: dict) -> list:
        raise AssertionError('windows are read out by their scores')

    def semantic_scores(self, inputs: list[Tensor], samples: list) -> list[Tensor]:
        window, = inputs
        self.sizes.append(samples[0].img_shape)
        return [torch.stack([window[0].float(), torch.ones_like(window[0]).float()])]


def test_windows_cover_the_image_once_on_average() -> None:
    from mmdet.structures import DetDataSample
    segmentor = Columns()
    windows = SlidingWindow(segmentor, size=8)
    image = torch.arange(20.0).expand(3, 8, 20)
    sample = DetDataSample(metainfo=dict(img_shape=(8, 20), ori_shape=(8, 20)))
    torch.testing.assert_close(windows.scores(image, sample)[0], image[0])
    assert segmentor.sizes == [(8, 8)] * 3
    sample.set_metainfo(dict(ori_shape=(16, 40)))
    found, = windows.test_step(dict(inputs=[image], data_samples=[sample]))
    assert isinstance(found.pred_sem_seg, PixelData)
    assert found.pred_sem_seg.sem_seg.shape == (1, 16, 40)
    assert found.pred_sem_seg.sem_seg[0, 0, :2].tolist() == [1, 1]


def test_windows_of_a_segmentor(segmentor: nn.Module) -> None:
    from mmdet.structures import DetDataSample
    sample = DetDataSample(metainfo=dict(img_shape=(64, 100), ori_shape=(40, 70)))
    image = torch.randint(0, 256, (3, 64, 100), dtype=torch.uint8)
    found, = SlidingWindow(segmentor.eval(), size=64).test_step(
        dict(inputs=[image], data_samples=[sample]))
    assert found.pred_sem_seg.sem_seg.shape == (1, 40, 70)
    assert found.img_shape == (64, 100)


@pytest.mark.parametrize(('length', 'starts'), [
    (5, [0]), (8, [0]), (9, [0, 1]), (16, [0, 8]), (20, [0, 6, 12])])
def test_window_starts(length: int, starts: list[int]) -> None:
    assert window_starts(length, 8) == starts


# Configs and the converter.


def test_published_configs_have_the_published_sizes() -> None:
    expected = {'dinov2-s': 23975942, 'dinov2-b': 93663110, 'dinov2-l': 316695686}
    for backbone, count in expected.items():
        config, = CONFIGS.glob(f'{backbone}_8xb2_coco-panoptic*.py')
        with torch.device('meta'):
            model = MODELS.build(dict(load_config(config).model, init_cfg=None))
        assert sum(each.numel() for each in model.parameters()) == count


@pytest.mark.parametrize('config', sorted(CONFIGS.glob('dinov2*.py')), ids=lambda path: path.stem)
def test_configs_load(config: Path) -> None:
    cfg = load_config(config)
    assert cfg.model.type == 'UniversalSegmentor'
    assert cfg.train_cfg.max_iters == cfg.max_iters
    assert cfg.model.head.num_queries == (100 if 'ade20k' in config.stem else 200)
    assert cfg.model.backbone.img_size == (512 if 'ade20k' in config.stem else 640)


def test_a_converted_file_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                capsys: pytest.CaptureFixture) -> None:
    from projects.eomt import convert
    torch.save({name: torch.from_numpy(value(name, shape))
                for name, shape in recorded_names('dinov2').items()}, tmp_path / 'peer.bin')
    config = tmp_path / 'small.py'
    config.write_text(f"""_base_ = [{str(CONFIGS / '_base_/eomt.py')!r}]
model = dict(
    taxonomy=dict(classes=('a', 'b', 'c', 'd', 'e')), head=dict(num_queries=7),
    backbone=dict(type='PlainViT', model_name='vit_small_patch14_reg4_dinov2', img_size=64,
                  model_args=dict(embed_dim=32, depth=4, num_heads=2)))
""")
    monkeypatch.setattr('sys.argv', ['convert.py', str(tmp_path / 'peer.bin'), str(config),
                                     str(tmp_path / 'ours.pth')])
    convert.main()
    assert 'written to' in capsys.readouterr().out
    stored = torch.load(tmp_path / 'ours.pth', weights_only=True)['state_dict']
    model = MODELS.build(load_config(config).model)
    model.load_state_dict(stored)
    torch.testing.assert_close(
        model.head.query_feat.weight, torch.from_numpy(value('query.weight', (7, 32))))
