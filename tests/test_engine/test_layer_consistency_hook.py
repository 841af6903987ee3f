"""The hook that measures layers: what it logs, what it refuses, and what it leaves alone."""

import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from unimask.engine import Runner
from unimask.engine.hooks import LayerConsistencyHook
from unimask.engine.hooks.layer_consistency import check_measurable, measure
from unimask.engine.rng import get_rng_state
from unimask.errors import UserError
from unimask.evaluation import LayerConsistency
from unimask.preflight import load_config, prepare_config
from unimask.registry import MODELS

CONFIG = Path(__file__).resolve().parents[2] / 'configs/demo/mask2former_shapes.py'
SMALL = {'model.neck.num_layers': 1, 'model.head.num_layers': 2, 'model.head.num_queries': 4,
         'model.neck.channels': 32, 'model.neck.mask_channels': 32, 'model.neck.ffn_channels': 32,
         'model.head.channels': 32, 'model.head.ffn_channels': 32}


@pytest.fixture(scope='module')
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from shapes_maker import make_shapes
    root = tmp_path_factory.mktemp('data') / 'shapes'
    make_shapes(root, num_train=4, num_val=3, size=64)
    return root


@pytest.fixture
def trained(shapes: Path, tmp_path: Path) -> Callable:
    """A training of two steps with an evaluation after each."""
    def run(*hooks: dict) -> Runner:
        cfg = load_config(CONFIG, {**SMALL, 'data_root': str(shapes), 'max_iters': 2,
                                   'crop_size': (64, 64), 'train_dataloader.batch_size': 2,
                                   'train_cfg.val_interval': 1, 'model.head.dropout': 0.2,
                                   'custom_hooks': list(hooks)})
        cfg.default_hooks.reproducible = None  # restores random numbers after evaluations too
        cfg.work_dir = str(tmp_path / uuid4().hex)
        cfg.experiment_name = uuid4().hex  # MMEngine's loggers of one name and second are one
        runner = Runner.from_cfg(prepare_config(cfg))
        runner.train()
        return runner
    return run


def logged(runner: Runner) -> list[dict]:
    file, = Path(runner.log_dir).glob('vis_data/scalars.json')
    entries = map(json.loads, file.read_text().splitlines())
    return [entry for entry in entries if 'consistency/iou' in entry]


@pytest.mark.slow
def test_training_does_not_notice_the_hook(trained: Callable) -> None:
    with_hook = trained(dict(type='LayerConsistencyHook', num_images=2))
    without = trained()
    for name, value in with_hook.model.state_dict().items():
        assert torch.equal(value, without.model.state_dict()[name]), name
    first, last = logged(with_hook)
    assert (first['step'], last['step']) == (1, 2)
    names = {f'consistency/{kind}{step}' for kind in ('iou', 'utilisation')
             for step in ('', '_1', '_2')}
    assert {key for key in last if key.startswith('consistency/')} <= names
    assert {'consistency/utilisation', 'consistency/utilisation_2'} <= last.keys()
    assert all(0 <= last[key] <= 1 for key in names & last.keys())
    text = next(Path(with_hook.log_dir).glob('*.log')).read_text()
    assert text.count('from layer to layer') == 2 and 'segments of 2 images' in text


def test_the_last_validation_is_always_looked_at(trained: Callable) -> None:
    runner = trained(dict(type='LayerConsistencyHook', num_images=1, interval=5))
    assert [entry['step'] for entry in logged(runner)] == [2]


@pytest.mark.parametrize('option', ['num_images', 'interval'])
@pytest.mark.parametrize('value', [0, -1, 1.5, True])
def test_numbers_out_of_range(option: str, value: object) -> None:
    with pytest.raises(UserError, match=f'LayerConsistencyHook.{option} must be a whole number'):
        LayerConsistencyHook(**{option: value})


def small_model(**changes: object) -> torch.nn.Module:
    cfg: Config = load_config(CONFIG, {**SMALL, **changes})
    return MODELS.build(cfg.model)


def batch(*sizes: tuple[int, int]) -> dict:
    """Images of several sizes; their truth is twice as large, as after a resize for testing."""
    samples = []
    for height, width in sizes:
        sample = DetDataSample(metainfo=dict(img_shape=(height, width), img_path='a.png',
                                             ori_shape=(2 * height, 2 * width)))
        labels = torch.zeros(1, 2 * height, 2 * width, dtype=torch.uint8)
        labels[:, :height] = 1
        sample.gt_sem_seg = PixelData(sem_seg=labels)
        samples.append(sample)
    return dict(inputs=[torch.randint(0, 255, (3, *size), dtype=torch.uint8) for size in sizes],
                data_samples=samples)


def test_measuring_leaves_mode_and_random_numbers_alone() -> None:
    model = small_model(**{'model.head.dropout': 0.5}).train()
    data, before = batch((64, 96), (32, 64)), get_rng_state()
    results = []
    for seed in (3, 3):
        into = LayerConsistency()
        measure(model, data, into=into, seed=seed)
        results.append(into.result())
        torch.rand(5)  # a measurement depends on its own seed alone
    assert results[0] == results[1] and results[0].pairs == 4
    assert model.training and model.head.training
    torch.set_rng_state(before['torch'])
    measure(model, data, into=LayerConsistency(), seed=8)
    assert torch.equal(torch.get_rng_state(), before['torch'])
    assert all(parameter.grad is None for parameter in model.parameters())


def fixed(model: torch.nn.Module, features: Tensor, embeddings: Tensor) -> None:
    """Let a model predict what is given."""
    from unimask.structures import MaskPrediction
    logits = torch.zeros(*embeddings.shape[:3], model.taxonomy.num_classes + 1)
    model.forward = lambda inputs, samples, mode: MaskPrediction(logits, embeddings, features)


def test_the_truth_is_matched_at_the_size_of_the_input_and_padding_is_left_out() -> None:
    # A 32 x 64 image beside one of 64 x 96: its own 8 x 16 cells of 16 x 24 count alone.
    model = small_model().eval()
    upper = torch.full((16, 24), -9.0)
    upper[:4] = 9.0  # the upper half of the small image, the truth of its class 1
    rest = torch.full((16, 24), -9.0)
    rest[4:] = 9.0  # the rest with the padding below
    lower = rest.clone()
    lower[8:] = -9.0  # without it
    features = torch.stack([upper, rest, lower])[None].expand(2, -1, -1, -1)
    eye = torch.eye(3)
    embeddings = torch.stack([eye[[0, 1]], eye[[0, 2]]])[:, None].expand(-1, 2, -1, -1)
    fixed(model, features, embeddings)
    data = batch((64, 96), (32, 64))
    small = LayerConsistency()
    model.criterion.matcher.num_points = 4096
    data['data_samples'][0].gt_sem_seg.sem_seg[:] = 255  # the large one has no segment
    measure(model, data, into=small)
    result = small.result()
    assert (result.pairs, result.images) == (2, 2)
    assert result.iou == (1.0,) and result.utilisation == (1.0,)


def test_models_without_queries_or_criterion_are_refused() -> None:
    with pytest.raises(UserError, match='no criterion with a matcher'):
        check_measurable(small_model(**{'model.criterion': None}))
    with pytest.raises(UserError, match='no criterion with a matcher'):
        check_measurable(torch.nn.Linear(1, 1))


def test_images_without_ground_truth_are_named() -> None:
    data = batch((64, 64))
    del data['data_samples'][0].gt_sem_seg
    with pytest.raises(UserError, match='Image a.png: the data sample has no ground truth'):
        measure(small_model(), data, into=LayerConsistency())


def test_instances_that_overlap_are_brought_to_the_size_of_the_input() -> None:
    data = batch((64, 64))
    sample = data['data_samples'][0]
    del sample.gt_sem_seg
    sample.gt_instances = InstanceData(labels=torch.tensor([0, 1]),
                                       masks=torch.ones(2, 128, 128, dtype=torch.bool))
    into = LayerConsistency()
    measure(small_model(), data, into=into)
    assert into.result().pairs == 2
