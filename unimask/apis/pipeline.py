"""The test pipeline for pictures without annotation."""

from __future__ import annotations

from collections.abc import Callable

from mmengine.config import Config

from unimask.errors import UserError
from unimask.registry import TRANSFORMS

__all__ = ['picture_steps', 'pipeline_of', 'run_steps']

# What the classes of other libraries do not say about themselves; ours have `reads_annotation`.
_READ_ANNOTATION = ('LoadAnnotations', 'LoadPanopticAnnotations', 'LoadProposals',
                    'LoadBiomedicalAnnotation', 'LoadDepthAnnotation', 'LoadTrackAnnotations')
_READ_IMAGE = ('LoadImage', 'LoadImageFromFile', 'LoadImageFromNDArray', 'LoadImageFromWebcam')

Step = Callable[[dict], dict]


def picture_steps(cfg: Config) -> list[Step]:
    """Steps of the test pipeline, without those that read annotation.

    A transform says so by its class attribute ``reads_annotation``.

    Raises:
        UserError: The config has no test pipeline.
    """
    steps = [TRANSFORMS.build(step) for step in pipeline_of(cfg)]
    return [step for step in steps if not _reads_annotation(step)]


def pipeline_of(cfg: Config) -> list[dict]:
    """Configs of the steps of the test pipeline.

    Raises:
        UserError: The config has no test pipeline.
    """
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader')
    dataset = loader['dataset'] if loader else {}
    while 'pipeline' not in dataset and 'dataset' in dataset:
        dataset = dataset['dataset']
    if not dataset.get('pipeline'):
        raise UserError('the config has no test_dataloader with a pipeline, which prepares the '
                        'pictures')
    return dataset['pipeline']


def run_steps(steps: list[Step], results: dict) -> dict:
    """Prepare one picture; those that read it are left out where ``img`` is there already.

    Raises:
        UserError: A step needs what only an annotated picture has.
    """
    given = 'img' in results
    for step in steps:
        name = type(step).__name__
        if given and name in _READ_IMAGE:
            continue
        try:
            results = step(results)
        except KeyError as error:
            raise UserError(f'the step {name} of the test pipeline needs {error}, which a picture '
                            'without annotation does not have. A transform that reads annotation '
                            'says so by its class attribute reads_annotation = True; then '
                            'predicting leaves it out.') from error
    return results


def _reads_annotation(step: Step) -> bool:
    return getattr(step, 'reads_annotation', type(step).__name__ in _READ_ANNOTATION)
