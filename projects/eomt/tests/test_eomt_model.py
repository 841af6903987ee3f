"""EoMT against transformers' and against what the paper says of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from peer_values import FILE, images, recorded_names, value
from torch import Tensor, nn

from projects.eomt.eomt import EoMTHead, PlainViT, StagedPrediction
from projects.eomt.eomt.head import inside_masks
from projects.eomt.eomt.vit import published_joint_blocks
from projects.eomt.eomt.weights import find_name_map
from unimask.convert import ConversionError, convert
from unimask.convert.exporting import export_by
from unimask.errors import UserError
from unimask.models.segmentors.universal import UniversalSegmentor
from unimask.preflight import load_config
from unimask.registry import MODELS
from unimask.structures import MaskPrediction

CONFIG = Path(__file__).resolve().parents[1] / 'configs/vit-ti_1xb8_shapes.py'
PEER = np.load(FILE)
VITS = {
    'dinov2': ('vit_small_patch14_reg4_dinov2', dict()),
    'dinov2_masked': ('vit_small_patch14_reg4_dinov2', dict()),
    'dinov2_swiglu': ('vit_giant_patch14_reg4_dinov2', dict(mlp_ratio=5.5)),
    'dinov3': ('vit_small_patch16_dinov3_qkvb', dict()),
    'dinov3_masked': ('vit_small_patch16_dinov3_qkvb', dict()),
}
TARGETS = object()  # the head only looks whether there are any
QUERIES, PREFIX, PATCHES = 7, 5, 16


class Pair(nn.Module):
    """Backbone and head, as a segmentor has them."""

    def __init__(self, case: str = 'dinov2', *, joint_blocks: int = 2, drop: float = 0.0) -> None:
        super().__init__()
        name, args = VITS[case]
        self.backbone = PlainViT(
            model_name=name, img_size=64, num_joint_blocks=joint_blocks, drop_path_rate=drop,
            model_args=dict(embed_dim=32, depth=4, num_heads=2, **args))
        self.head = EoMTHead(
            num_classes=5, in_channels=self.backbone.out_channels, num_queries=QUERIES)

    def forward(self, pictures: Tensor, targets: object = None) -> MaskPrediction:
        return self.head(self.backbone(pictures), targets)


def peer_state(case: str) -> dict[str, Tensor]:
    return {name: torch.from_numpy(value(name, shape))
            for name, shape in recorded_names(case).items()}


def converted(case: str) -> Pair:
    state = peer_state(case)
    pair = Pair(case)
    pair.load_state_dict(convert(state, find_name_map(state)).state_dict)  # strict
    return pair.eval()


@torch.no_grad()
@pytest.mark.parametrize('case', list(VITS))
def test_outputs_are_those_of_transformers(case: str) -> None:
    pair = converted(case)
    masked = case.endswith('masked')
    prediction = pair.train(masked)(torch.from_numpy(images(2, 64)), TARGETS if masked else None)
    torch.testing.assert_close(prediction.class_logits[-1], torch.from_numpy(
        PEER[f'{case}/classes']), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(prediction.mask_logits(), torch.from_numpy(
        PEER[f'{case}/masks']), atol=1e-3, rtol=1e-4)


def test_recorded_cases_differ() -> None:
    """The masks matter to what was recorded."""
    for family in ('dinov2', 'dinov3'):
        apart = PEER[f'{family}/classes'] - PEER[f'{family}_masked/classes']
        assert np.abs(apart).max() > 0.1


@pytest.mark.parametrize('case', ['dinov2', 'dinov3'])
def test_converted_weights_can_be_converted_back(case: str) -> None:
    theirs = peer_state(case)
    name_map = find_name_map(theirs)
    conversion = convert(theirs, name_map)
    assert set(conversion.ignored) == {'attn_mask_probs', 'criterion.empty_weight'}
    back = export_by(name_map, conversion.state_dict).state_dict
    assert back.keys() == theirs.keys() - conversion.ignored.keys()
    assert [name for name in back if not torch.equal(back[name], theirs[name])] == []


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UserError, match='no EoMT of transformers'):
        find_name_map(['conv1.weight'])
    state = peer_state('dinov2') | {'layers.0.surprise': torch.zeros(1)}
    with pytest.raises(ConversionError, match=r'layers\.0\.surprise'):
        convert(state, find_name_map(state))


# What a query may look at.


def head_input(pair: Pair) -> tuple[object, Tensor]:
    features = pair.backbone(torch.from_numpy(images(1, 64)))
    return features, pair.head.join(features)


def sensitivity(pair: Pair, share: float) -> tuple[Tensor, Tensor]:
    """Whether queries after one masked block depend on patches before it, (Q, patches) bool, and
    which patches lie in the mask of each query."""
    pair.head.masking = (share, share)
    features, tokens = head_input(pair)
    tokens = tokens.detach().requires_grad_()
    mask = pair.head.predict(tokens, features)
    visible = pair.head.visible(mask, 0, features)
    out = features.blocks[0](tokens, visible)
    rows = [torch.autograd.grad(out[0, query].square().sum(), tokens, retain_graph=True)[0]
            for query in range(QUERIES)]
    used = torch.stack([row[0, -PATCHES:].abs().sum(-1) > 0 for row in rows])
    return used, inside_masks(mask, (4, 4))[0]


def test_masked_queries_see_the_patches_inside_their_mask() -> None:
    used, inside = sensitivity(converted('dinov2').train(), 1.0)
    assert torch.equal(used, inside)
    assert 0 < inside.float().mean() < 1


def test_unmasked_queries_see_every_patch() -> None:
    used, inside = sensitivity(converted('dinov2').train(), 0.0)
    assert used.all()
    assert not inside.all()


def test_everything_else_is_seen() -> None:
    pair = converted('dinov2').train()
    features, tokens = head_input(pair)
    visible = pair.head.visible(pair.head.predict(tokens, features), 0, features)
    total = QUERIES + PREFIX + PATCHES
    assert visible.shape == (1, 1, total, total)
    assert visible[..., QUERIES:, :].all()
    assert visible[..., :QUERIES, :-PATCHES].all()


def test_a_query_with_an_empty_mask_sees_no_patch_but_the_rest() -> None:
    pair = converted('dinov2').train()
    features, tokens = head_input(pair)
    prediction = pair.head.predict(tokens, features)
    nothing = MaskPrediction(
        prediction.class_logits, -prediction.mask_features.mean((2, 3))[None, :, None].expand(
            -1, -1, QUERIES, -1), prediction.mask_features.mean((2, 3), keepdim=True).expand_as(
            prediction.mask_features))
    visible = pair.head.visible(nothing, 0, features)
    assert not visible[0, 0, :QUERIES, -PATCHES:].any()
    assert torch.isfinite(features.blocks[0](tokens, visible)).all()


def test_the_share_of_masked_queries_is_drawn_for_every_query() -> None:
    pair = converted('dinov2').train()
    features, tokens = head_input(pair)
    prediction = pair.head.predict(tokens, features)
    inside = inside_masks(prediction, (4, 4))[0]
    partial = ~inside.all(-1)
    pair.head.masking = (0.5, 0.5)
    drawn = torch.stack([
        ~pair.head.visible(prediction, 0, features)[0, 0, :QUERIES, -PATCHES:].all(-1)
        for _ in range(200)]).float().mean(0)[partial]
    assert partial.any()
    assert ((drawn > 0.35) & (drawn < 0.65)).all()


# What is computed when.


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often predictions and masks are made."""
    counts = dict(predict=0, visible=0)
    for name in counts:
        def count(self: EoMTHead, *args: object, _name: str = name,
                  _call: object = getattr(EoMTHead, name)) -> object:
            counts[_name] += 1
            return _call(self, *args)
        monkeypatch.setattr(EoMTHead, name, count)
    return counts


def test_testing_is_the_blocks_and_one_prediction(counted: dict[str, int]) -> None:
    pair = Pair(joint_blocks=3).eval()
    prediction = pair(torch.from_numpy(images(1, 64)))
    assert counted == dict(predict=1, visible=0)
    assert type(prediction) is MaskPrediction


def test_training_predicts_before_every_joint_block(counted: dict[str, int]) -> None:
    pair = Pair(joint_blocks=3).train()
    prediction = pair(torch.from_numpy(images(1, 64)), TARGETS)
    assert counted == dict(predict=4, visible=3)
    assert isinstance(prediction, StagedPrediction)
    assert len(prediction.earlier) == 3
    assert prediction.earlier[0].mask_features.shape == (1, 32, 16, 16)


def test_a_loss_in_evaluation_is_not_masked(counted: dict[str, int]) -> None:
    pair = Pair(joint_blocks=3).eval()
    prediction = pair(torch.from_numpy(images(1, 64)), TARGETS)
    assert counted == dict(predict=4, visible=0)
    plain = pair(torch.from_numpy(images(1, 64)))
    torch.testing.assert_close(prediction.class_logits, plain.class_logits)


def test_number_of_joint_blocks() -> None:
    assert [published_joint_blocks(depth) for depth in (12, 24, 40, 2)] == [3, 4, 5, 2]
    with pytest.raises(UserError, match='num_joint_blocks=5'):
        Pair(joint_blocks=5)


def test_other_sizes_than_the_position_embeddings_were_made_for() -> None:
    for case in ('dinov2', 'dinov3'):
        prediction = Pair(case).eval()(torch.zeros(1, 3, 48, 96))
        assert prediction.mask_features.shape == (1, 32, 12, 24)
    with pytest.raises(UserError, match='pad_size_divisor=16'):
        Pair()(torch.zeros(1, 3, 50, 64))


@pytest.mark.parametrize('upscales', [0, 1, 2])
def test_mask_features_grow_with_every_upscale(upscales: int) -> None:
    pair = Pair()
    pair.head = EoMTHead(num_classes=5, in_channels=(32,), num_upscales=upscales)
    assert pair(torch.zeros(1, 3, 64, 64)).mask_features.shape[-1] == 4 * 2 ** upscales


def test_stochastic_depth_is_on_in_training() -> None:
    pair = Pair(drop=0.9).train()
    first, second = (pair(torch.from_numpy(images(4, 64))).class_logits for _ in range(2))
    assert not torch.allclose(first, second)


@pytest.mark.parametrize(('name', 'message'), [
    ('resnet18', 'no plain ViT'), ('vit_small_patch16_rope_mixed_224', 'is a Eva, no plain ViT'),
    ('vit_gigantic', 'has no model')])
def test_models_that_are_no_plain_vit_are_refused(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        PlainViT(model_name=name, model_args=dict(depth=1))


# As a segmentor, for all three tasks.


@pytest.fixture(scope='module')
def segmentor() -> UniversalSegmentor:
    cfg = load_config(CONFIG, {
        'model.backbone.img_size': 64, 'model.backbone.model_args.depth': 4,
        'model.backbone.model_args.embed_dim': 48})
    return MODELS.build(cfg.model)


def sample(task: str) -> DetDataSample:
    """A picture of 64 x 64 whose left half is one segment."""
    found = DetDataSample(metainfo=dict(img_shape=(64, 64), ori_shape=(50, 60)))
    half = torch.zeros(1, 64, 64, dtype=torch.int64)
    half[..., :32] = 1
    if task == 'semantic':
        found.gt_sem_seg = PixelData(sem_seg=half)
    elif task == 'instance':
        found.gt_instances = InstanceData(masks=half.bool(), labels=torch.tensor([1]))
    else:
        found.gt_panoptic_seg = PixelData(sem_seg=half)
        found.gt_panoptic_seg.set_metainfo(dict(segments_info=[
            dict(id=1, category=1, isthing=True, iscrowd=0)]))
    return found


@pytest.mark.parametrize('task', ['semantic', 'instance', 'panoptic'])
def test_losses_of_every_prediction_for_every_task(segmentor: UniversalSegmentor, task: str
                                                   ) -> None:
    segmentor.train().zero_grad()
    losses = segmentor(torch.randn(2, 3, 64, 64), [sample(task), sample(task)], mode='loss')
    stages = ['', *(f'd{index}.' for index in range(3))]
    assert set(losses) == {f'{stage}loss_{kind}' for stage in stages
                           for kind in ('cls', 'mask', 'dice')}
    sum(losses.values()).backward()
    assert [name for name, each in segmentor.named_parameters() if each.grad is None] == []


def test_readouts_of_all_tasks(segmentor: UniversalSegmentor) -> None:
    found, = segmentor.eval()(torch.randn(1, 3, 64, 64), [sample('panoptic')], mode='predict')
    assert found.pred_sem_seg.sem_seg.shape == (1, 50, 60)
    assert found.pred_panoptic_seg.sem_seg.shape == (1, 50, 60)
    assert found.pred_instances.masks.shape[1:] == (50, 60)


def test_an_image_without_segments_has_finite_losses(segmentor: UniversalSegmentor) -> None:
    empty = DetDataSample(metainfo=dict(img_shape=(64, 64)))
    empty.gt_instances = InstanceData(masks=torch.zeros(0, 64, 64).bool(),
                                      labels=torch.zeros(0, dtype=torch.int64))
    losses = segmentor.train()(torch.randn(1, 3, 64, 64), [empty], mode='loss')
    assert all(torch.isfinite(each) for each in losses.values())
