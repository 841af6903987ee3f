"""The published SeMask checkpoints become models of the matching configs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from semask_names import MASKFORMER, fpn, mask_classifier
from test_configs.test_zoo import CONFIGS, build, build_model, load
from torch import Tensor

from unimask.convert import ConversionError, convert
from unimask.convert.exporting import export
from unimask.errors import UserError
from unimask.preflight import load_state

DATA = {'ade20k': 150, 'cityscapes-semantic': 19, 'coco-stuff10k': 171}
SIZE = {'t': 'tiny', 's': 'small', 'b': 'base', 'l': 'large'}
SWIN = sorted(path.stem for path in CONFIGS.glob('semask/semask-swin-*.py')
              if 'mp-former' not in path.stem)
SWIN_L = 'swin_large_IN21k_384_bs16'
MASK2FORMER = f'ade20k/semantic-segmentation/swin/maskformer2_{SWIN_L}_160k_res640.yaml'
CITYSCAPES = f'cityscapes/semantic-segmentation/swin/maskformer2_{SWIN_L}_90k.yaml'
GOLDEN = {'fpn_swin_t_ade': 'semask-swin-t_fpn_8xb2_ade20k',
          'fpn_swin_b_ade': 'semask-swin-b_fpn_8xb2_ade20k',
          'm2f_swin_l_ade': 'semask-swin-l_mask2former_8xb2_ade20k',
          'fapn_m2f_swin_l_ade': 'semask-swin-l_mask2former-fapn_8xb2_ade20k'}
COCO = Path('semask/semask-swin-t_fpn_8xb2_coco-stuff10k.py')
pytestmark = pytest.mark.filterwarnings('ignore:for .* copying from a non-meta parameter')


def published(stem: str, zoo: Path) -> dict[str, Tensor]:
    """What the authors' checkpoint of a config holds."""
    backbone, method, _, data = stem.split('_')
    if method == 'fpn':
        return fpn(SIZE[backbone[-1]], DATA[data])
    name, _, decoder = method.partition('-')
    config = MASKFORMER if name == 'maskformer' else (
        CITYSCAPES if 'cityscapes' in data else MASK2FORMER)
    return mask_classifier(zoo, config, DATA[data], decoder=decoder)


def shapes(state: dict[str, Tensor]) -> dict[str, tuple]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.mark.parametrize('stem', SWIN)
def test_every_published_checkpoint_has_a_config(stem: str, zoo: Path) -> None:
    source = published(stem, zoo)
    result = convert(source)
    assert result.source == ('semask-fpn' if '_fpn_' in stem else 'detectron2')
    assert shapes(result.state_dict) == shapes(build(Path('semask') / f'{stem}.py').state_dict())
    assert all(name.endswith(('relative_position_index', 'empty_weight'))
               for name in result.ignored)
    assert not result.remarks
    if result.source == 'detectron2':  # and back
        assert shapes(export(result.state_dict, 'detectron2').state_dict) == shapes(source)


@pytest.mark.parametrize('case', GOLDEN)
def test_the_names_are_the_authors(case: str, goldens: Path, zoo: Path) -> None:
    """The listings of this test are those of models that the published code has built."""
    file = goldens / f'semask/{case}.json'
    if not file.is_file():
        pytest.skip('the optional test data reference/goldens/semask is not here')
    official = {name: tuple(shape) for name, shape, *_ in json.loads(file.read_text())['state_dict']
                if not name.endswith(('num_batches_tracked', 'attn_mask'))}
    assert shapes(published(GOLDEN[case], zoo)) == official


def coco_stuff(scored: int) -> dict[str, Tensor]:
    return {name: torch.zeros(tensor.shape, dtype=tensor.dtype)
            for name, tensor in fpn('tiny', 171, scored=scored).items()}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    texts: list[str] = []
    monkeypatch.setattr('unimask.preflight.state.print_log',
                        lambda text, logger, level=None: texts.append(text))
    return texts


def test_an_encoder_that_scores_other_classes_than_the_head(said: list[str]) -> None:
    """The published configs for COCO-Stuff have 150 classes in the encoder and 171 in the head."""
    source = fpn('tiny', 171, scored=150)
    conversion = convert(source)
    (remark,) = conversion.remarks
    assert '150 classes, the head 171' in remark and 'model.backbone.num_classes=150' in remark
    model = build(COCO)
    with pytest.raises(UserError, match=r'encoder of a\.pth scores 150 .* the model 171.*num_class'
                                        r'es=150'):
        load_state(source, model, path='a.pth')
    assert f'a.pth: {remark}' in said
    config = json.loads(json.dumps(load(COCO).model))
    config['backbone']['num_classes'] = 150
    fitting = build_model(json.dumps(config, sort_keys=True))
    load_state(source, fitting, path='a.pth')
    load_state(source, model, path='a.pth', fine_tune=True)
    assert any(text.startswith('16 parameters start fresh') for text in said)


def test_a_head_of_other_classes_is_no_matter_of_the_encoder() -> None:
    with pytest.raises(UserError, match='another number of classes'):
        load_state(fpn('tiny', 150), build(COCO), path='a.pth')


def test_norms_that_should_be_one(zoo: Path) -> None:
    """FaPN's shared norms are stored twice; a file where they differ is damaged."""
    source = {name: torch.zeros(tensor.shape) if '.norm.' in name else tensor
              for name, tensor in mask_classifier(zoo, MASK2FORMER, 150, decoder='fapn').items()
              if 'pixel_decoder' in name}
    assert torch.equal(convert(source).state_dict['neck.output_convs.0.gn.weight'],
                       torch.zeros(256))
    source['sem_seg_head.pixel_decoder.align_1.offset.norm.weight'] += 1
    with pytest.raises(ConversionError, match='damaged or belongs to another model'):
        convert(source)


def test_a_checkpoint_of_the_published_trainer(tmp_path: Path, zoo: Path) -> None:
    """Its wrapping: other keys beside the weights, and names of a model of several GPUs."""
    from unimask.checkpoints import read_weights
    source = coco_stuff(171)
    torch.save(dict(meta=dict(CLASSES=['person']), optimizer={}, state_dict={
        f'module.{name}': tensor for name, tensor in source.items()}), tmp_path / 'a.pth')
    result = convert(read_weights(tmp_path / 'a.pth'))
    assert result.state_dict['backbone.semantic_layers.0.blocks.0.gamma'].shape == (1,)
    assert shapes(result.state_dict) == shapes(convert(source).state_dict)
