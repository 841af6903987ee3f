"""The whole comparison: build, check, time in turns, measure memory in separate processes."""

from __future__ import annotations

import gc
import multiprocessing
import statistics
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from mmengine.logging import MMLogger

from bench.agreement import compare_losses, compare_outputs
from bench.machine import describe
from bench.memory import peak_above
from bench.own import Unimask
from bench.sides import OWN, SIDES, Side
from bench.steps import STEPS, Step, seconds, time_of_parts
from bench.weights import calibrate, randomise
from bench.workload import make_workload

SEED = 0
WARM_UP = 2
PART_RUNS = 3


@dataclass(frozen=True)
class Settings:
    """What to run; the command line's options."""

    mode: str
    method: str
    peer: str
    device: str
    size: int
    batch: int
    objects: int
    amp: str
    repeat: int


def build_side(name: str, settings: Settings) -> Side:
    """Make a side on the settings' workload and device, with its own initial weights."""
    torch.manual_seed(SEED)
    MMLogger.get_current_instance().setLevel('ERROR')  # it lists every parameter's group
    workload = make_workload(
        size=settings.size, batch=settings.batch, objects=settings.objects, seed=SEED)
    return SIDES[name](workload, torch.device(settings.device))


def build_pair(settings: Settings) -> tuple[Unimask, Side]:
    """Our side and the peer's with the same weights: the peer's random ones, converted."""
    from unimask.convert import convert_state_dict

    peer = build_side(settings.peer, settings)
    randomise(peer.model, SEED)
    peer.finish()
    if settings.mode == 'infer':
        peer.model.eval()
        with torch.no_grad():
            calibrate(peer.class_head, peer.logits()[0])
    ours = build_side(settings.method, settings)
    weights = peer.model.state_dict()
    ours.finish(weights if settings.peer in OWN else convert_state_dict(
        weights, source=settings.peer))
    return ours, peer


def run(settings: Settings) -> dict:
    """Compare a method of unimask with a peer; the keys of the result are explained in the docs."""
    ours, peer = build_pair(settings)
    report = dict(settings=vars(settings), machine=describe(ours.device),
                  **(_agreement(ours, peer, settings) if ours.alike else {}))
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for role, side in (('ours', ours), ('peer', peer)):
            files[role] = Path(folder) / f'{role}.pth'
            torch.save(side.model.state_dict(), files[role])
        report['peer_amp'], report['peer_amp_reason'] = usable_precision(peer, settings)
        amp = dict(ours=settings.amp, peer=report['peer_amp'])
        report |= _times(ours, peer, settings, amp)
        del ours, peer
        gc.collect()
        report |= _memory(files, settings, amp)
    return report


def _agreement(ours: Unimask, peer: Side, settings: Settings) -> dict:
    """Whether the sides, which have the same weights, compute the same."""
    outputs = compare_outputs(ours, peer)
    found = dict(outputs_agree=outputs.agrees, outputs=outputs.as_dict())
    if settings.mode == 'train':
        found['losses'] = compare_losses(ours, peer)
        found['outputs_agree'] = outputs.agrees and found['losses']['agree']
    return found


def usable_precision(peer: Side, settings: Settings) -> tuple[str, str]:
    """The precision to run the peer in, and why it is not the one asked for (else empty).

    MMDetection's matcher, for one, can overflow in float16.
    """
    try:
        STEPS[settings.mode](peer, settings.amp)()
    except (RuntimeError, ValueError, NotImplementedError) as error:
        if settings.amp == 'off':
            raise
        return 'off', f'{type(error).__name__}: {error}'
    return settings.amp, ''


def _times(ours: Side, peer: Side, settings: Settings, amp: dict[str, str]) -> dict:
    """Time the sides in turns, so that a slow spell of the machine hits both."""
    sides = {'ours': ours, 'peer': peer}
    steps = {role: STEPS[settings.mode](side, amp[role]) for role, side in sides.items()}
    samples: dict[str, list[float]] = {role: [] for role in sides}
    for turn in range(WARM_UP + settings.repeat):
        for role, step in steps.items():
            gc.collect()
            duration = seconds(step, sides[role].device)
            if turn >= WARM_UP:
                samples[role].append(duration)
    medians = {role: statistics.median(values) for role, values in samples.items()}
    parts = _parts(steps, sides)
    return dict(seconds=medians, seconds_all=samples,
                time_ratio=medians['ours'] / medians['peer'], parts=parts)


def _parts(steps: dict[str, Step], sides: dict[str, Side]) -> dict[str, dict[str, float]]:
    """Median seconds per part of every side, again in turns."""
    runs: dict[str, list[dict[str, float]]] = {role: [] for role in sides}
    for _ in range(PART_RUNS):
        for role, step in steps.items():
            runs[role].append(time_of_parts(step, sides[role]))
    return {role: {name: statistics.median(run[name] for run in found) for name in found[0]}
            for role, found in runs.items()}


def _memory(files: dict[str, Path], settings: Settings, amp: dict[str, str]) -> dict:
    """Peak memory of each side in a fresh process."""
    names = {'ours': settings.method, 'peer': settings.peer}
    context = multiprocessing.get_context('spawn')
    peaks = {}
    for role, file in files.items():
        with context.Pool(1) as pool:
            own = replace(settings, amp=amp[role])
            peaks[role] = pool.apply(measure_memory, (names[role], own, str(file)))
    above = {role: peak['above_model'] for role, peak in peaks.items()}
    steady = {role: peak['above_state'] for role, peak in peaks.items()}
    return dict(memory_bytes=above, memory_ratio=above['ours'] / above['peer'],
                working_memory_bytes=steady,
                working_memory_ratio=steady['ours'] / steady['peer'])


def measure_memory(name: str, settings: Settings, weights: str) -> dict[str, int]:
    """Bytes above the loaded model, and above model and optimizer state; run in a new process.

    Args:
        name: key of :data:`SIDES`.
        weights: file with the side's state dict.
    """
    side = build_side(name, settings)
    side.finish(torch.load(weights, weights_only=True))
    step = STEPS[settings.mode](side, settings.amp)

    def two_steps() -> None:
        step()
        step()

    return dict(above_model=peak_above(two_steps, side.device),
                above_state=peak_above(step, side.device))
