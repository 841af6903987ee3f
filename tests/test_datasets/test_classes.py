"""Class lists of a config: what is refused, and what follows a choice."""

import numpy as np
import pytest
from tiny_data import panoptic_content, write_instances, write_panoptic, write_semantic

from unimask.datasets import (
    ADE20KSemanticDataset,
    CocoInstanceDataset,
    CocoPanopticDataset,
    InstanceDataset,
    PanopticDataset,
    SemanticDataset,
)
from unimask.errors import UserError
from unimask.structures.taxonomy import Taxonomy

LABELS = np.array([[0, 1], [1, 255]], np.uint8)
WRITE = {InstanceDataset: write_instances, PanopticDataset: write_panoptic,
         CocoPanopticDataset: write_panoptic,
         SemanticDataset: lambda root: write_semantic(root, LABELS)}


@pytest.mark.parametrize('kind', WRITE)
@pytest.mark.parametrize('lazy_init', [True, False])
@pytest.mark.parametrize(('metainfo', 'message'), [
    (dict(classes=('person')), r"metainfo\.classes is the text 'person'.*classes=\('person',\)"),
    (dict(classes=('cat', 'dog', 'cat')), r"metainfo\.classes has \['cat'\] more than once"),
    (dict(classes=('cat', '')), r"metainfo\.classes has '', which is no name"),
    (dict(classes=(1, 2)), r'metainfo\.classes has 1, which is no name'),
    (dict(classes=3), r'metainfo\.classes is 3, not a list'),
    (dict(classes=('cat', 'dog'), thing_classes=('dgo',)),
     r"metainfo\.thing_classes has \['dgo'\].*mean 'dog'"),
    (dict(classes=('cat', 'dog'), thing_classes='dog'), r'metainfo\.thing_classes is the text'),
])
def test_refused(tmp_path, kind, lazy_init, metainfo, message):
    with pytest.raises(UserError, match=rf'{kind.__name__}: {message}'):
        kind(**WRITE[kind](tmp_path), metainfo=metainfo, lazy_init=lazy_init)


def test_classes_from_a_file_of_names(tmp_path):
    (tmp_path / 'names.txt').write_text('dog\ncat\n')
    dataset = InstanceDataset(
        **write_instances(tmp_path), metainfo=dict(classes=str(tmp_path / 'names.txt')))
    assert dataset.metainfo['classes'] == ['dog', 'cat']


@pytest.mark.parametrize('lazy_init', [True, False])
def test_semantic_data_without_classes(tmp_path, lazy_init):
    for test_mode in (True, False):
        with pytest.raises(UserError, match='classes are unknown.*metainfo=dict'):
            SemanticDataset(**write_semantic(tmp_path, LABELS), test_mode=test_mode,
                            lazy_init=lazy_init)


@pytest.mark.parametrize('lazy_init', [True, False])
def test_chosen_classes_keep_what_the_file_says_of_them(tmp_path, notes, lazy_init):
    dataset = PanopticDataset(**write_panoptic(tmp_path), lazy_init=lazy_init,
                              metainfo=dict(classes=('sky', 'dog')))
    assert Taxonomy.from_metainfo(dataset.metainfo).things == (False, True)
    segments = dataset[0]['segments_info']
    assert {s['category']: s['isthing'] for s in segments if s['category'] is not None} == {
        0: False, 1: True}


def test_file_that_does_not_say_which_are_things(tmp_path, notes):
    content = panoptic_content()
    content['categories'] = [{k: c[k] for k in ('id', 'name')} for c in content['categories']]
    dataset = PanopticDataset(**write_panoptic(tmp_path, content))
    assert dataset.metainfo['thing_classes'] == ('cat', 'dog', 'sky')
    assert 'ann.json does not say by `isthing` whether cat, dog, sky are things' in notes.warnings
    notes.entries.clear()
    PanopticDataset(**write_panoptic(tmp_path, content),
                    metainfo=dict(classes=('cat', 'dog', 'sky'), thing_classes=('cat',)))
    assert 'isthing' not in notes.warnings


def test_chosen_classes_keep_what_the_type_says_of_them():
    chosen = 'sky-other-merged', 'person'
    options = dict(ann_file='nowhere.json', data_prefix=dict(img='i', seg='s'), lazy_init=True)
    dataset = CocoPanopticDataset(**options, metainfo=dict(classes=chosen))
    taxonomy = Taxonomy.from_metainfo(dataset.metainfo)
    assert taxonomy.things == (False, True)
    own = CocoPanopticDataset.METAINFO
    assert taxonomy.palette[1] == tuple(own['palette'][own['classes'].index('person')])
    dog = CocoInstanceDataset(**options, metainfo=dict(classes=('dog',))).metainfo
    own = CocoInstanceDataset.METAINFO
    assert dog['palette'] == [tuple(own['palette'][own['classes'].index('dog')])]


def test_chosen_semantic_classes_keep_their_colours(tmp_path):
    options = write_semantic(tmp_path, np.array([[1, 3], [0, 3]], np.uint8))
    dataset = ADE20KSemanticDataset(
        **options, metainfo=dict(classes=('sky', 'wall')),
        pipeline=[dict(type='LoadImage'), dict(type='LoadSemanticMap')])
    own = ADE20KSemanticDataset.METAINFO['palette']
    assert dataset.metainfo['palette'] == [own[2], own[0]]
    assert dataset[0]['gt_seg_map'].tolist() == [[1, 0], [255, 0]]
