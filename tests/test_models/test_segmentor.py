"""The segmentor: targets from every kind of sample, modes, errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from torch import nn

from unimask.errors import UserError
from unimask.models.segmentors.targets import make_target_batch, make_targets
from unimask.models.segmentors.universal import UniversalSegmentor, find_taxonomy
from unimask.registry import MODELS
from unimask.structures import BackboneFeatures, DensePrediction, MaskPrediction, Taxonomy

TAXONOMY = Taxonomy(('cat', 'dog', 'sky'), (True, True, False), ((0, 0, 0),) * 3)
CRITERION = dict(
    type='SetCriterion',
    matcher=dict(type='HungarianMatcher', num_points=64, costs=[
        dict(type='ClassCost', weight=2.0), dict(type='MaskBCECost', weight=5.0),
        dict(type='DiceCost', weight=5.0)]),
    mask_losses=[dict(type='MaskBCELoss', weight=5.0), dict(type='MaskDiceLoss', weight=5.0)],
    sampler=dict(type='UncertainPointSampler', num_points=64))


def config(**changes: object) -> dict:
    return dict(dict(
        type='UniversalSegmentor',
        backbone=dict(type='mmdet.ResNet', depth=18, base_channels=8, num_stages=4,
                      norm_cfg=dict(type='BN', requires_grad=False), norm_eval=True),
        neck=dict(type='MSDeformAttnPixelDecoder', channels=32, mask_channels=32, num_layers=1,
                  num_heads=2, ffn_channels=32),
        head=dict(type='Mask2FormerHead', channels=32, num_queries=6, num_layers=2, num_heads=2,
                  ffn_channels=32),
        criterion=CRITERION, taxonomy=TAXONOMY.to_metainfo()), **changes)


@pytest.fixture(scope='module')
def model() -> UniversalSegmentor:
    return MODELS.build(config())


def id_map() -> torch.Tensor:
    return torch.tensor([[1, 1, 2, 2], [1, 3, 3, 0]], dtype=torch.int32)[None]


def panoptic_sample() -> DetDataSample:
    sample = DetDataSample(metainfo=dict(img_path='a.jpg'))
    sample.gt_panoptic_seg = PixelData(sem_seg=id_map())
    sample.gt_panoptic_seg.set_metainfo(dict(segments_info=[
        dict(id=1, category=0, isthing=True, iscrowd=0),
        dict(id=2, category=0, isthing=True, iscrowd=1),
        dict(id=3, category=2, isthing=False, iscrowd=0)]))
    return sample


def test_panoptic_segments_without_crowds() -> None:
    targets = make_targets(panoptic_sample(), TAXONOMY)
    assert targets.labels.tolist() == [0, 2]
    assert torch.equal(targets.dense()[0], id_map()[0] == 1)


def test_panoptic_in_mmdet_encoding() -> None:
    sample = DetDataSample()
    sample.gt_panoptic_seg = PixelData(sem_seg=torch.tensor([[[1000, 2001, 2, 3]]]))
    targets = make_targets(sample, TAXONOMY)
    assert sorted(targets.labels.tolist()) == [0, 1, 2]
    assert targets.dense().sum() == 3


def test_semantic_alone_gives_a_segment_per_class() -> None:
    for sample in (DetDataSample(), SegDataSample()):
        name = 'sem_seg' if isinstance(sample, DetDataSample) else 'data'
        seg_map = torch.tensor([[[0, 0, 2, 255]]], dtype=torch.uint8)
        sample.gt_sem_seg = PixelData(**{name: seg_map})
        targets = make_targets(sample, TAXONOMY)
        assert targets.labels.tolist() == [0, 2]
        assert targets.dense().sum(-1).flatten().tolist() == [2, 1]


@pytest.mark.parametrize('kind', ['tensor', 'bitmap', 'polygon'])
def test_instances_in_every_form(kind: str) -> None:
    masks = np.zeros((1, 6, 6), np.uint8)
    masks[0, 1:5, 1:5] = 1
    forms = dict(
        tensor=torch.from_numpy(masks).bool(), bitmap=BitmapMasks(masks, 6, 6),
        polygon=PolygonMasks([[np.array([1.0, 1, 5, 1, 5, 5, 1, 5])]], 6, 6))
    sample = DetDataSample()
    sample.gt_instances = InstanceData(labels=torch.tensor([1]), masks=forms[kind])
    targets = make_targets(sample, TAXONOMY)
    assert targets.labels.tolist() == [1]
    assert torch.equal(targets.dense()[0], torch.from_numpy(masks[0]).bool())


def test_instances_and_semantic_map_give_things_and_stuff() -> None:
    sample = DetDataSample()
    masks = torch.zeros(1, 2, 2, dtype=torch.bool)
    masks[0, 0, 0] = True
    sample.gt_instances = InstanceData(labels=torch.tensor([1]), masks=masks)
    sample.gt_sem_seg = PixelData(sem_seg=torch.tensor([[[1, 2], [2, 255]]]))
    targets = make_targets(sample, TAXONOMY)
    assert targets.labels.tolist() == [1, 2]
    assert targets.dense()[1].tolist() == [[False, True], [True, False]]


def test_errors_name_the_image() -> None:
    sample = panoptic_sample()
    sample.gt_panoptic_seg.segments_info[0]['category'] = 7
    with pytest.raises(ValueError, match=r'a\.jpg: segment 1 has the label 7, .* 3 classes'):
        make_target_batch([sample], size=(2, 4), taxonomy=TAXONOMY, device=torch.device('cpu'))
    with pytest.raises(ValueError, match=r'a\.jpg: .*does not fit'):
        make_target_batch([panoptic_sample()], size=(2, 3), taxonomy=TAXONOMY,
                          device=torch.device('cpu'))
    with pytest.raises(ValueError, match=r'Image with id .*: the data sample has no ground'):
        make_target_batch([DetDataSample()], size=(2, 3), taxonomy=TAXONOMY,
                          device=torch.device('cpu'))


def sample_of_size(height: int, width: int, empty: bool = False) -> DetDataSample:
    sample = DetDataSample(metainfo=dict(img_shape=(height, width), ori_shape=(50, 70)))
    ids = torch.zeros(1, height, width, dtype=torch.int32)
    ids[:, :, width // 2:] = 0 if empty else 1
    sample.gt_panoptic_seg = PixelData(sem_seg=ids)
    info = [] if empty else [dict(id=1, category=1)]
    sample.gt_panoptic_seg.set_metainfo(dict(segments_info=info))
    return sample


@pytest.mark.parametrize('empty', [(False, True), (True, True)])
def test_training_reaches_every_parameter(model: UniversalSegmentor, empty: tuple) -> None:
    model.train().zero_grad()
    samples = [sample_of_size(64, 96, empty[0]), sample_of_size(60, 90, empty[1])]
    losses = model(torch.randn(2, 3, 64, 96), samples, mode='loss')
    assert len(losses) == 9
    sum(losses.values()).backward()
    missing = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing


def test_predict_gives_all_tasks_at_the_original_size(model: UniversalSegmentor) -> None:
    samples = model.eval()(torch.randn(1, 3, 64, 96), [sample_of_size(60, 90)], mode='predict')
    sample = samples[0]
    assert sample.pred_sem_seg.sem_seg.shape == (1, 50, 70)
    assert sample.pred_sem_seg.sem_seg.dtype == torch.int64
    assert sample.pred_panoptic_seg.sem_seg.shape == (1, 50, 70)
    found = sample.pred_instances
    assert found.masks.dtype == torch.bool and found.masks.shape[1:] == (50, 70)
    assert len(found.labels) == len(found.scores) == len(found.bboxes)
    assert set(found.labels.tolist()) <= {0, 1}  # things only


def test_tensor_mode(model: UniversalSegmentor) -> None:
    prediction = model.eval()(torch.randn(2, 3, 64, 96))
    assert isinstance(prediction, MaskPrediction)
    assert prediction.class_logits.shape == (3, 2, 6, 4)
    assert prediction.mask_logits().shape == (2, 6, 16, 24)


def test_modes_and_missing_parts(model: UniversalSegmentor) -> None:
    inputs = torch.randn(1, 3, 64, 64)
    with pytest.raises(ValueError, match="not 'train'"):
        model(inputs, [], mode='train')
    with pytest.raises(ValueError, match='needs data samples'):
        model(inputs, None, mode='predict')
    with pytest.raises(ValueError, match="mode='loss' needs data samples"):
        model(inputs, None, mode='loss')


@pytest.mark.parametrize('changes, message', [
    (dict(test_cfg=dict(tasks=('semantics',))), 'model.test_cfg.tasks names'),
    (dict(taxonomy='NoSuchDataset'), "names the dataset 'NoSuchDataset'"),
    (dict(neck=dict(type='MSDeformAttnPixelDecoder', num_levels=5)), 'num_levels=5 needs'),
    (dict(head=dict(type='Mask2FormerHead', num_heads=7)), 'num_heads=7 does not divide'),
    (dict(head=dict(type='PerPixelHead'), test_cfg=dict(tasks=('semantic', 'panoptic'))),
     'asks for panoptic, but PerPixelHead predicts no segments'),
    (dict(neck=dict(type='FPNPixelDecoder'), head=dict(type='PerPixelQueryHead'),
          test_cfg=dict(tasks=('instance',))),
     r'asks for instance, but PerPixelQueryHead .* Set model\.test_cfg='),
])
def test_configuration_errors(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        MODELS.build(config(**changes))


def test_taxonomy_by_name_of_a_dataset() -> None:
    assert find_taxonomy('mmdet.CocoPanopticDataset').num_classes == 133
    assert find_taxonomy('mmdet.CocoDataset').num_classes == 80
    assert find_taxonomy(TAXONOMY) is TAXONOMY


def test_pretrained_weights_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MODELS.build(config(init_cfg=dict(
        type='Constant', val=0.5, bias=0.25, layer='Linear')))
    model.init_weights()
    assert (model.head.class_embed.weight == 0.5).all()
    assert (model.head.mask_embed.layers[0].bias == 0.25).all()


def test_state_dict_round_trip(model: UniversalSegmentor) -> None:
    other = MODELS.build(config()).eval()
    other.load_state_dict(model.state_dict(), strict=True)
    inputs = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(other(inputs).mask_logits(), model.eval()(inputs).mask_logits())


class Doubled(nn.Module):
    """A backbone that makes semantic maps, and knows the class count from the taxonomy."""

    out_channels = (4, 4)

    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3, stride=4, padding=1)
        self.classes = nn.Conv2d(4, num_classes, 1)

    def forward(self, images: torch.Tensor) -> BackboneFeatures:
        fine = self.body(images)
        coarse = fine[..., ::2, ::2]
        return BackboneFeatures((fine, coarse), (self.classes(fine), self.classes(coarse)))


class Prior(nn.Module):
    """The finest semantic map, as it is."""

    def forward(self, features: BackboneFeatures) -> DensePrediction:
        return DensePrediction(features.semantic[0][None])


def test_dense_path_with_an_auxiliary_branch() -> None:
    parts = config(
        backbone=dict(type=Doubled),
        neck=dict(type='FPNPixelDecoder', channels=32, mask_channels=8),
        head=dict(type='PerPixelHead'), criterion=dict(type='PixelCriterion'),
        auxiliary=dict(aux=dict(head=Prior(), criterion=dict(type='PixelCriterion', weight=0.4))))
    model = MODELS.build(parts)
    assert model.tasks == ('semantic',) and list(model.post_processors) == ['semantic']
    samples = [sample_of_size(64, 96), sample_of_size(60, 90, empty=True)]
    losses = model(torch.randn(2, 3, 64, 96), samples, mode='loss')
    assert list(losses) == ['loss_sem', 'aux.loss_sem']
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters())
    found = model.eval()(torch.randn(1, 3, 64, 96), [sample_of_size(60, 90)], mode='predict')[0]
    assert found.pred_sem_seg.sem_seg.shape == (1, 50, 70)
    assert not hasattr(found, 'pred_instances')
    assert isinstance(model(torch.randn(1, 3, 64, 96)), DensePrediction)


def test_targets_reach_the_head_in_training_alone() -> None:
    seen = []

    class Spy(nn.Module):
        def forward(self, pixels: object, targets: object = None) -> MaskPrediction:
            seen.append(targets)
            return inner(pixels)

    model = MODELS.build(config())
    inner, model.head = model.head, Spy()
    model(torch.randn(1, 3, 64, 64), [sample_of_size(64, 64)], mode='loss')
    model(torch.randn(1, 3, 64, 64), [sample_of_size(64, 64)], mode='predict')
    model(torch.randn(1, 3, 64, 64))
    assert seen[0].labels.tolist() == [1] and seen[1:] == [None, None]


class TestFrozen:

    def test_parts_keep_their_weights_and_stay_in_evaluation(self) -> None:
        torch.manual_seed(0)
        norms = dict(type='mmdet.ResNet', depth=18, base_channels=8, num_stages=4)
        model = MODELS.build(config(backbone=norms, frozen=('backbone.layer1', 'neck',
                                                            'head.query_feat.weight')))
        model.train()
        assert not model.backbone.layer1.training and not model.neck.training
        assert model.backbone.layer2.training and model.head.training
        learning = {name for name, value in model.named_parameters() if value.requires_grad}
        assert 'backbone.layer2.0.conv1.weight' in learning
        assert not any(name.startswith(('backbone.layer1.', 'neck.')) for name in learning)
        assert 'head.query_feat.weight' not in learning
        before = model.backbone.layer1[0].bn1.running_mean.clone()
        model.train()
        sum(value.sum() for value in model(torch.randn(1, 3, 64, 64), [panoptic_sample_of(64)],
                                           mode='loss').values()).backward()
        assert torch.equal(model.backbone.layer1[0].bn1.running_mean, before)
        assert model.backbone.layer1[0].conv1.weight.grad is None
        assert model.backbone.layer2[0].conv1.weight.grad is not None

    @pytest.mark.parametrize(('frozen', 'message'), [
        (('bakbone',), "no part 'bakbone'.*backbone"), ('neck', r"is the text 'neck'.*\['neck'\]"),
        (('backbone', 'neck', 'head'), 'nothing is left to learn')])
    def test_wrong_names(self, frozen: object, message: str) -> None:
        with pytest.raises(UserError, match=message):
            MODELS.build(config(frozen=frozen))


def panoptic_sample_of(edge: int) -> DetDataSample:
    """One object in an upper half."""
    sample = DetDataSample(metainfo=dict(img_path='a.jpg', img_shape=(edge, edge)))
    ids = torch.zeros(1, edge, edge, dtype=torch.int32)
    ids[:, :edge // 2] = 1
    sample.gt_panoptic_seg = PixelData(sem_seg=ids)
    sample.gt_panoptic_seg.set_metainfo(dict(segments_info=[
        dict(id=1, category=0, isthing=True, iscrowd=0)]))
    return sample


class OwnFeaturesHead(nn.Module):
    """A head that reads the maps of the backbone."""

    def __init__(self, *, num_classes: int, in_channels: tuple[int, ...]) -> None:
        super().__init__()
        self.classes = nn.Conv2d(in_channels[0], num_classes, 1)

    def forward(self, features: BackboneFeatures, targets: object = None) -> DensePrediction:
        return DensePrediction(self.classes(features.maps[0])[None])


def test_without_a_neck_the_head_is_given_the_features_of_the_backbone() -> None:
    own = MODELS.build(config(neck=None, criterion=None, head=dict(type=OwnFeaturesHead)))
    logits = own(torch.zeros(1, 3, 64, 64)).logits
    assert logits.shape == (1, 1, 3, 16, 16)
