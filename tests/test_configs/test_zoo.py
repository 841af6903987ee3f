"""Every config loads, builds, and has exactly the parameters of the published model."""

import csv
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config

from unimask.convert import as_in, convert
from unimask.engine.optim import GroupedOptimWrapperConstructor
from unimask.models.heads import PerPixelHead, PerPixelQueryHead
from unimask.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
FILES = sorted(path.relative_to(CONFIGS) for path in CONFIGS.glob('*/*.py')
               if path.parts[-2] != '_base_')
RECIPE = {  # column of the zoo's index -> value of a config
    'lr': lambda cfg: cfg.optim_wrapper.optimizer.lr,
    'wd': lambda cfg: cfg.optim_wrapper.optimizer.weight_decay,
    'bb_mult': lambda cfg: cfg.optim_wrapper.paramwise_cfg.backbone_lr_mult,
    'clip': lambda cfg: cfg.optim_wrapper.clip_grad.max_norm,
    'max_iter': lambda cfg: cfg.train_cfg.max_iters,
    'batch': lambda cfg: cfg.auto_scale_lr.base_batch_size,
}
QUERY_RECIPE = {
    'w_cls': lambda cfg: cfg.model.criterion.class_weight,
    'w_mask': lambda cfg: cfg.model.criterion.mask_losses[0].weight,
    'w_dice': lambda cfg: cfg.model.criterion.mask_losses[1].weight,
    'eos': lambda cfg: cfg.model.criterion.no_object_weight,
    'queries': lambda cfg: cfg.model.head.num_queries,
}
DENSE = {  # heads without classes of their queries
    'PerPixelBaselineHead': 'PerPixelHead',
    'PerPixelBaselinePlusHead': 'PerPixelQueryHead',
}
# Published files that are written again under another name, or are left over from debugging.
DOUBLE = {
    'mpformer/coco/instance-segmentation/maskformer2_R50_bs16_50ep.yaml',
    'mpformer/coco/instance-segmentation/maskformer2_R50_bs16_50ep_dbg.yaml',
    'mpformer/cityscapes/panoptic-segmentation/maskformer2_R50_bs16_90k.yaml',
    'mpformer/cityscapes/panoptic-segmentation/swin/maskformer2_swin_large_IN21k_384_bs16_90k.yaml',
}


@contextmanager
def meta_build() -> Iterator[None]:
    """Build without memory or initialisation; Swin reads a small linspace, which stays real."""
    linspace = torch.linspace
    torch.linspace = lambda *args, **kwargs: linspace(*args, **{**kwargs, 'device': 'cpu'})
    try:
        with torch.device('meta'):
            yield
    finally:
        torch.linspace = linspace


@cache
def load(file: Path) -> Config:
    return Config.fromfile(CONFIGS / file)


def build(file: Path) -> torch.nn.Module:
    return build_model(json.dumps(load(file).model, sort_keys=True))


@cache
def build_model(config: str) -> torch.nn.Module:
    """Configs that differ in their schedule share a model."""
    with meta_build():
        return MODELS.build(json.loads(config))


def metafile_entries() -> list[dict]:
    return [entry for path in sorted(CONFIGS.glob('*/metafile.yml'))
            for entry in yaml.safe_load(path.read_text())['Models']]


def paired() -> list:
    """Configs with a published counterpart: (config, published)."""
    return [pytest.param(Path(entry['Config']).relative_to('configs'), entry['Published Config'],
                         id=Path(entry['Config']).stem)
            for entry in metafile_entries()
            if 'Published Config' in entry and not entry['Published Config'].startswith('semask/')]


@pytest.fixture(scope='module')
def index(zoo: Path) -> dict[str, dict]:
    """Rows of the zoo by '<repo>/<config>'; MP-Former's decoder is named on its command line."""
    with (zoo / 'index.csv').open() as file:
        return {f'{row["repo"]}/{row["config"]}': row
                for row in csv.DictReader(file) if bool(row['opts']) == (row['repo'] == 'mpformer')}


@pytest.mark.parametrize('file', FILES, ids=lambda path: f'{path.parent}-{path.stem}')
def test_config_is_complete(file: Path) -> None:
    cfg = load(file)
    assert cfg.default_scope == 'unimask'
    assert 'num_classes' not in str(cfg.to_dict())
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader', 'val_evaluator',
                'optim_wrapper', 'param_scheduler', 'train_cfg', 'default_hooks'):
        assert cfg.get(key), key


@pytest.mark.parametrize('file', FILES, ids=lambda path: f'{path.parent}-{path.stem}')
def test_model_takes_the_classes_of_its_data(file: Path) -> None:
    cfg = load(file)
    model = build(file)
    if isinstance(model.head, PerPixelHead):
        assert model.head.classifier.out_channels == model.taxonomy.num_classes
    elif isinstance(model.head, PerPixelQueryHead):
        assert model.head.query_embed.num_embeddings == model.taxonomy.num_classes
    else:
        assert model.head.class_embed.out_features == model.taxonomy.num_classes + 1
    if isinstance(cfg.model.taxonomy, str):
        for split in ('train', 'val', 'test'):
            assert cfg[f'{split}_dataloader'].dataset.type == cfg.model.taxonomy


@pytest.mark.parametrize(('file', 'published'), paired())
def test_parameters_equal_the_published_ones(file: Path, published: str, index: dict, zoo: Path
                                             ) -> None:
    with gzip.open(zoo / f'{index[published]["hash"]}.json.gz') as stream:
        listing = json.load(stream)
    source = {name: torch.empty(shape, dtype=getattr(torch, dtype), device='meta')
              for name, shape, dtype, _ in listing['entries']}
    model = build(file)
    converted = convert(source)
    ours = {name: (tuple(tensor.shape), tensor.dtype)
            for name, tensor in model.state_dict().items()}
    assert {name: (tuple(tensor.shape), tensor.dtype)
            for name, tensor in as_in(ours.keys(), converted.state_dict).items()} == ours
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trainable == listing['trainable_params']
    assert set(converted.ignored) <= {'criterion.empty_weight'} | {
        name for name in source if name.endswith('relative_position_index')}


@pytest.mark.parametrize(('file', 'published'), paired())
def test_recipe_equals_the_published_one(file: Path, published: str, index: dict) -> None:
    row, cfg = index[published], load(file)
    dense = DENSE.get(row['head'])
    recipe = RECIPE if dense else RECIPE | QUERY_RECIPE
    assert cfg.model.head.type == dense if dense else 'PerPixel' not in cfg.model.head.type
    assert {name: value(cfg) for name, value in recipe.items()} == {
        name: pytest.approx(float(row[name])) for name in recipe}
    assert (cfg.optim_wrapper.type == 'AmpOptimWrapper') == (row['amp'] == 'True')
    assert cfg.model.data_preprocessor.pad_size_divisor == (int(row['size_div']) or 1)
    tasks = cfg.model.test_cfg.tasks
    if 'ade20k/instance' not in published:  # published with outputs that mean nothing there
        assert [task in tasks for task in ('semantic', 'instance', 'panoptic')] == [
            row[name] == 'True' for name in ('sem', 'inst', 'pan')]
    if 'panoptic' in tasks:
        panoptic = build(file).post_processors['panoptic']
        assert panoptic.object_threshold == float(row['object_thr'])
        assert panoptic.overlap_threshold == float(row['overlap_thr'])
        assert panoptic.inside_mask != published.startswith('maskformer')
    backbone = cfg.model.backbone
    if row['stem'] == 'deeplab':
        assert (backbone.stem_channels, backbone.multi_grid) == (128, (1, 2, 4))
        assert (backbone.strides, backbone.dilations) == ((1, 2, 2, 2), (1, 1, 1, 1))
        assert Path(cfg.model.init_cfg.checkpoint).stem == Path(row['weights']).stem
    if row['window']:
        assert backbone.window_size == int(row['window'])
        assert backbone.drop_path_rate == float(row['drop_path'])
        stem = Path(cfg.model.init_cfg.checkpoint).stem
        assert stem == Path(row['weights']).stem


@pytest.mark.parametrize(('file', 'published'), paired())
def test_schedule_equals_the_published_one(file: Path, published: str, index: dict) -> None:
    row, (*warm_up, schedule) = index[published], load(file).param_scheduler
    assert not schedule.by_epoch
    assert [(part.start_factor, part.end) for part in warm_up] == (
        [(float(row['warm_factor']), int(row['warm_iters']) + 1)]
        if row['warm_factor'] != '1.0' else [])
    if row['sched'] == 'WarmupPolyLR':
        assert (schedule.type, schedule.power) == ('PolyLR', float(row['poly_power']))
    else:
        assert (schedule.type, schedule.gamma) == ('MultiStepLR', float(row['gamma']))
        assert '-'.join(map(str, schedule.milestones)) == row['steps']


@pytest.mark.parametrize(('file', 'published'), paired())
def test_data_equal_the_published_ones(file: Path, published: str, index: dict) -> None:
    row, cfg = index[published], load(file)
    gpus, batch = map(int, re.search(r'_(\d+)xb(\d+)_', file.stem).groups())
    assert gpus * batch == int(row['batch'])
    assert cfg.train_dataloader.batch_size == batch
    resize = next(step for step in cfg.test_dataloader.dataset.pipeline
                  if step.type == 'ResizeShortestEdge')
    assert (resize.short_edge, resize.max_long) == (int(row['min_test']), int(row['max_test']))
    crops = [step for step in cfg.train_dataloader.dataset.pipeline if step.type == 'RandomCrop']
    if row['crop'].endswith(':absolute'):
        assert [f'{h}x{w}' for h, w in (step['size'] for step in crops)] == [
            row['crop'].removesuffix(':absolute')]
    if row['min_train'] and not row['scale']:
        edges, longest = train_sizes(cfg.train_dataloader.dataset.pipeline)
        assert '-'.join(map(str, edges)) == row['min_train']
        assert longest == int(row['max_train'])


def train_sizes(pipeline: list) -> tuple[tuple[int, ...], int]:
    """Short edges and largest long edge of the last resize of a pipeline."""
    choice = next((step.transforms[0] for step in pipeline if step.type == 'RandomChoice'), [])
    resize = next(step for step in [*choice, *pipeline] if step.type == 'ResizeShortestEdge')
    return tuple(resize.short_edge), resize.max_long


@pytest.mark.parametrize('repository', ['maskformer', 'mask2former', 'mpformer'])
def test_every_published_image_config_has_one_here(repository: str, index: dict) -> None:
    published = {name for name in index
                 if name.startswith(f'{repository}/') and 'youtubevis' not in name}
    named = {entry.get('Published Config') for entry in metafile_entries()}
    assert published - DOUBLE <= named


def test_doubles_are_configured_as_another_one(index: dict) -> None:
    def settings(name: str) -> dict:
        return {key: value for key, value in index[name].items() if key != 'config'}

    others = [settings(name) for name in index if name not in DOUBLE]
    assert all(settings(name) in others for name in DOUBLE)


def test_piloting_is_set_as_the_authors_scripts_set_it() -> None:
    configs = [load(file) for file in FILES if file.parts[0] == 'mp_former']
    heads = {json.dumps(cfg.model.head.pilot, sort_keys=True) for cfg in configs}
    assert len(configs) > 60 and len(heads) == 1
    pilot = build(Path('mp_former/r50_8xb2_coco-instance.py')).head.pilot
    assert (pilot.groups, pilot.query_budget, pilot.label_noise, pilot.mask_noise,
            pilot.guided_layers) == (1, None, 0.2, [], None)


def test_configs_with_backbones_of_timm_differ_in_the_backbone_alone() -> None:
    """Of what they say in ``Same As``; that the numbers agree is tested with the backbones."""
    entries = {entry['Name']: entry for entry in metafile_entries()}
    twins = [entry for entry in entries.values() if 'Same As' in entry]
    assert {entry['Name'] for entry in twins} == {
        f'{file.parts[0]}_{file.stem}' for file in FILES if file.stem.startswith('timm-')}
    for entry in twins:
        other = entries[entry['Same As']]
        ours, theirs = (load(Path(each['Config']).relative_to('configs')).to_dict()
                        for each in (entry, other))
        assert ours['model'].pop('backbone') != theirs['model'].pop('backbone')
        for cfg in (ours, theirs):
            cfg.pop('encoder')
        assert ours == theirs
        same = ('Published Config', 'Metadata')
        assert [entry[key] for key in same] == [other[key] for key in same]


def rates(file: Path) -> Counter:
    """Learning rate and weight decay -> number of parameters."""
    optim = load(file).optim_wrapper
    constructor = GroupedOptimWrapperConstructor(
        {key: value for key, value in optim.items()
         if key not in ('constructor', 'paramwise_cfg')}, optim.paramwise_cfg)
    count = Counter()
    for group in constructor.groups(build(file)):
        count[group['lr'], group['weight_decay']] += sum(each.numel() for each in group['params'])
    return count


@pytest.mark.parametrize('stem', ['r50_8xb2_ade20k', 'swin-t_8xb2_ade20k'])
def test_backbones_of_timm_learn_at_the_same_rates(stem: str) -> None:
    folder = Path('mask2former')
    assert rates(folder / f'timm-{stem}.py') == rates(folder / f'{stem}.py')


def test_metafiles_name_existing_configs_and_mark_their_numbers() -> None:
    for entry in metafile_entries():
        assert (CONFIGS.parent / entry['Config']).is_file()
        assert all(result['Origin'] == 'published' for result in entry['Results'])
    names = [entry['Name'] for entry in metafile_entries()]
    assert len(names) == len(set(names))
