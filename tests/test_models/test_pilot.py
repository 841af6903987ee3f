"""The pilot: which queries it asks with, what they see, and that nothing leaks."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from test_models.test_segmentor import CRITERION
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from unimask.errors import UserError
from unimask.models.heads import Mask2FormerHead, MaskPilotedHead
from unimask.models.piloting import MaskPilot
from unimask.registry import MODELS
from unimask.structures import MaskPrediction, PixelFeatures, SegmentTargets, TargetBatch

SIZES = [(2, 3), (4, 6), (8, 12)]
SMALL = dict(num_classes=4, memory_channels=(16,) * 3, mask_channels=8, channels=16, num_queries=5,
             num_layers=4, num_heads=4, ffn_channels=16)


def batch(*counts: int, height: int = 64, width: int = 96) -> TargetBatch:
    """Rectangles; the first one is a single pixel."""
    targets = []
    for image, count in enumerate(counts):
        masks = torch.zeros(count, height, width, dtype=torch.bool)
        for place in range(count):
            left = 9 * place + 5 * image
            masks[place, 3 * place:20 + 7 * place, left:left + 13] = True
        masks[:1] = False
        masks[:1, 40 + image, 50] = True
        targets.append(SegmentTargets.from_masks(masks, [place % 4 for place in range(count)]))
    return TargetBatch.stack(targets)


def pilot(**settings: object) -> MaskPilot:
    return MaskPilot(**dict(dict(num_classes=4, channels=8, num_heads=4, label_noise=0.0),
                            **settings))


def head(**pilot_settings: object) -> MaskPilotedHead:
    settings = dict(dict(type='MaskPilot', label_noise=0.0), **pilot_settings)
    return MaskPilotedHead(pilot=settings, query_position=True, **SMALL).eval()


def pixels(images: int = 2) -> PixelFeatures:
    return PixelFeatures(torch.randn(images, 8, 16, 24),
                         tuple(torch.randn(images, 16, *size) for size in SIZES))


def test_slots_contents_and_pairs() -> None:
    made, targets = pilot(groups=2), batch(3, 1)
    piloted = made(targets, SIZES)
    classes = made.label_enc.weight
    nothing = torch.zeros(8)
    rows = [[classes[0], classes[1], classes[2]] * 2,
            [classes[0], nothing, nothing] * 2]
    assert torch.equal(piloted.content, torch.stack([torch.stack(row) for row in rows]))
    matches = piloted.slots.matches(10, counts_padding=False)
    assert matches.queries.shape == (10, 8) and matches.copies == 2
    assert matches.queries[0].tolist() == [0, 1, 2, 3, 4, 5, 0, 3]
    assert matches.segments[0].tolist() == [0, 1, 2, 0, 1, 2, 3, 3]
    assert matches.images.tolist() == [0] * 6 + [1] * 2 and matches.counts == (6, 2)
    assert matches.counted.tolist() == [[True] * 6, [True, False, False] * 2]
    assert piloted.slots.matches(10, counts_padding=True).counted is None


@pytest.mark.parametrize('settings, counts, groups, width', [
    (dict(groups=3), (2, 0), 3, 2),
    (dict(groups=None, query_budget=10), (3, 1), 3, 3),
    (dict(groups=2, query_budget=10), (3, 1), 2, 3),
    (dict(groups=4, query_budget=10), (3, 1), 3, 3),
    (dict(groups=None, query_budget=2), (3, 1), 1, 2),
    (dict(groups=None, query_budget=7), (0, 0), 7, 0),
    (dict(groups=2), (0, 0), 2, 0)])
def test_groups_and_budgets(settings: dict, counts: tuple[int, ...], groups: int,
                            width: int) -> None:
    piloted = pilot(**settings)(batch(*counts), SIZES)
    assert piloted.slots.groups == groups
    assert piloted.content.shape == (2, groups * width, 8)
    assert piloted.among(5).shape[-1] == groups * width + 5
    for layer in range(4):
        height, columns = SIZES[layer % 3]
        assert piloted.guide(layer).shape == (2, 1, groups * width, height * columns)


def test_more_segments_than_the_budget_are_a_random_choice() -> None:
    made, targets = pilot(query_budget=2), batch(4, 1)
    chosen = Counter()
    for _ in range(100):
        slots = made(targets, SIZES).slots
        assert slots.segments.tolist()[-1] == 4 and slots.counts == (2, 1)
        chosen.update(slots.segments.tolist()[:2])
    assert set(chosen) == {0, 1, 2, 3} and min(chosen.values()) > 20
    piloted = made(targets, SIZES)
    first = piloted.slots.segments[0]
    assert torch.equal(piloted.guide(2)[0, 0, 0], targets.touches(SIZES[2])[first].flatten())


def test_a_guide_shows_the_mask_in_every_layer_and_level() -> None:
    """The published code shows the background in all layers but the first, points excepted."""
    targets = batch(3, 2)
    for noise in (None, dict(type='ScaleNoise'), dict(type='PatchNoise', ratio=0.2)):
        guide = pilot(mask_noise=noise)(targets, SIZES).guide
        for layer in range(9):
            truth = targets.touches(SIZES[layer % 3]).flatten(1)
            assert truth.any(1).all()  # also the single pixel at the coarsest level
            seen = torch.cat([guide(layer)[0, 0], guide(layer)[1, 0, :2]])
            assert (seen | ~truth).all()
            if noise is None:
                assert torch.equal(seen, truth)
            assert guide(layer)[1, 0, 2].all()  # a slot without segment looks everywhere


def test_noise_is_new_in_every_layer_and_group() -> None:
    guide = pilot(groups=2, mask_noise=dict(type='PointNoise', ratio=1.0))(batch(3), SIZES).guide
    first, later = guide(2), guide(5)
    assert not torch.equal(first, later)
    assert not torch.equal(first[:, :, :3], first[:, :, 3:])


def test_several_noises_in_turn_and_per_head() -> None:
    noises = [dict(type='ShiftNoise', ratio=1.0), dict(type='ScaleNoise')]
    made = pilot(mask_noise=noises, noise_per_head=True)
    seen = made(batch(3, 1), SIZES).guide(2)
    assert seen.shape == (2, 4, 3, 96)
    assert any(not torch.equal(seen[0, 0], seen[0, other]) for other in range(1, 4))


def test_guided_layers() -> None:
    guide = pilot(guided_layers=2)(batch(2), SIZES).guide
    assert guide(1) is not None and guide(2) is None and guide(8) is None


def test_who_sees_whom() -> None:
    among = pilot(groups=2)(batch(2, 1), SIZES).among(3)
    first = [[1, 1, 0, 0, 1, 1, 1]] * 2 + [[0, 0, 1, 1, 1, 1, 1]] * 2 + [[0] * 4 + [1] * 3] * 3
    second = [[1, 0, 0, 0, 1, 1, 1]] * 2 + [[0, 0, 1, 0, 1, 1, 1]] * 2 + [[0] * 4 + [1] * 3] * 3
    assert among[:, 0].int().tolist() == [first, second]
    published = pilot(groups=2, published_padding=True)(batch(2, 1), SIZES).among(3)
    assert published[:, 0].int().tolist() == [first]


def test_label_noise() -> None:
    made = pilot(num_classes=50, label_noise=0.3)
    labels = torch.full((4000,), 7)
    found = made.noised(labels)
    assert float((found != 7).float().mean()) == pytest.approx(0.3 * 49 / 50, abs=0.03)
    assert set(found.tolist()) == set(range(50)) and labels.eq(7).all()
    assert pilot(label_noise=0.0).noised(labels) is labels
    assert len(made.noised(labels[:0])) == 0


def piloted_predictions(module: MaskPilotedHead, features: PixelFeatures,
                        targets: TargetBatch) -> tuple[MaskPrediction, MaskPrediction]:
    with torch.no_grad():
        made = module(features, targets)
    return made, made.piloted.prediction


def close(first: Tensor, second: Tensor) -> None:
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('counts', [(3, 1), (0, 2), (0, 0)])
def test_matching_queries_learn_nothing_of_the_truth(counts: tuple[int, int]) -> None:
    module, features = head(groups=2), pixels()
    matching, _ = piloted_predictions(module, features, batch(*counts))
    with torch.no_grad():
        alone = module(features)
    close(matching.class_logits, alone.class_logits)
    close(matching.mask_embeddings, alone.mask_embeddings)


def test_a_prediction_does_not_depend_on_the_batch() -> None:
    module, features = head(groups=2), pixels()
    _, together = piloted_predictions(module, features, batch(1, 4))
    one = PixelFeatures(features.mask_features[:1], tuple(each[:1] for each in features.memory))
    _, alone = piloted_predictions(module, one, batch(1))
    close(together.class_logits[:, :1, [0, 4]], alone.class_logits)
    close(together.mask_embeddings[:, :1, [0, 4]], alone.mask_embeddings)
    module.pilot.published_padding = True
    _, leaking = piloted_predictions(module, features, batch(1, 4))
    assert not torch.allclose(leaking.class_logits[-1, 0, 0], alone.class_logits[-1, 0, 0],
                              rtol=1e-4, atol=1e-5)


def test_groups_do_not_see_each_other() -> None:
    module, features = head(groups=3), pixels()
    _, found = piloted_predictions(module, features, batch(2, 2))
    for group in (1, 2):
        close(found.class_logits[:, :, 2 * group:2 * group + 2], found.class_logits[:, :, :2])


@pytest.mark.parametrize('counts', [(3, 1), (2, 0), (0, 0)])
def test_losses_and_gradients_have_the_same_names_whatever_is_there(counts: tuple) -> None:
    module = head(label_noise=0.5, mask_noise=dict(type='PointNoise'))
    criterion = MODELS.build(CRITERION)
    features, targets = pixels(), batch(*counts)
    losses = criterion(module(features, targets), targets)
    assert len(losses) == 5 * 3 * 2
    assert all(bool(torch.isfinite(value)) for value in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in module.parameters())
    used = bool(module.pilot.label_enc.weight.grad.any())
    assert used == any(counts)
    if not any(counts):
        assert all(losses[name] == 0 for name in losses if 'mp.' in name)


def test_a_piloted_query_learns_its_segment() -> None:
    """Piloted queries get better where the true mask is shown than where it is not."""
    module, features, targets = head(), pixels(), batch(3, 2)
    criterion = MODELS.build(CRITERION)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    totals = []
    for _ in range(30):
        losses = criterion(module(features, targets), targets)
        totals.append(float(sum(losses[name] for name in losses if 'mp.' in name).detach()))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert totals[-1] < 0.85 * totals[0]


class Operations(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: object, types: object, args: tuple = (),
                           kwargs: dict | None = None) -> object:
        self.counts[str(func)] += 1
        return func(*args, **(kwargs or {}))


def test_no_cost_at_test_time() -> None:
    """The same operations as Mask2Former."""
    features, counts = pixels(), []
    with torch.no_grad():
        for module in (Mask2FormerHead(**SMALL).eval(), head()):
            module(features)  # what is kept by size is made at the first call
            with Operations() as operations:
                module(features)
            counts.append(operations.counts)
    assert counts[0] == counts[1]


def test_an_object_as_pilot_and_the_published_default() -> None:
    made = pilot(channels=16)
    assert MaskPilotedHead(pilot=made, **SMALL).pilot is made
    default = MaskPilotedHead(**SMALL)
    assert default.query_embed is None
    assert (default.pilot.groups, default.pilot.label_noise, default.pilot.mask_noise) == (
        1, 0.2, [])
    assert default.pilot.label_enc.weight.shape == (4, 16)


@pytest.mark.parametrize('settings, message', [
    (dict(groups=None), 'needs groups or query_budget'),
    (dict(groups=0), 'MaskPilot.groups must be a whole number from 1 on or None, not 0'),
    (dict(groups=1.5), 'MaskPilot.groups'),
    (dict(query_budget=-1), 'MaskPilot.query_budget'),
    (dict(guided_layers=0), 'MaskPilot.guided_layers'),
    (dict(label_noise=1.2), 'MaskPilot.label_noise must be a number from 0 to 1, not 1.2'),
    (dict(label_noise='0.2'), 'MaskPilot.label_noise')])
def test_values_outside_their_range(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        pilot(**settings)


def test_index_maps_and_uneven_levels() -> None:
    id_map = torch.zeros(64, 96, dtype=torch.int64)
    id_map[:20, :30], id_map[40:, 50:] = 1, 2
    targets = TargetBatch.stack([SegmentTargets.from_id_map(id_map, [1, 2], [3, 0])])
    seen = pilot()(targets, [(5, 7)]).guide(0)
    assert seen.shape == (1, 1, 2, 35) and seen.any(-1).all()
