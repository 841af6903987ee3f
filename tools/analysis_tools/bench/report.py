"""The comparison as a table for people."""

from __future__ import annotations

from bench.sides import OWN, SIDES

MIB = 2**20


def table(report: dict) -> str:
    """Lines of text: machine, agreement, totals, parts."""
    settings = report['settings']
    peer = settings['peer']
    rows = [('', *_names(settings), 'ratio')]
    rows.append(_times('time (ms)', report['seconds'], report['time_ratio']))
    rows.append(_memory('memory (MiB)', report['memory_bytes'], report['memory_ratio']))
    rows.append(_memory('  without states', report['working_memory_bytes'],
                        report['working_memory_ratio']))
    parts = report['parts']
    for name in dict.fromkeys([*parts['ours'], *parts['peer']]):
        pair = {role: parts[role].get(name, 0.0) for role in ('ours', 'peer')}
        ratio = pair['ours'] / pair['peer'] if pair['peer'] else None
        rows.append(_times('  ' + name, pair, ratio))
    notes = [_machine(report['machine']), _what(settings), _agreement(report)]
    if report['peer_amp_reason']:
        notes.append(f'{peer} ran in float32: {report["peer_amp_reason"]}')
    lines = [f'{a:<18}{b:>12}{c:>14}{d:>8}' for a, b, c, d in rows]
    return '\n'.join([*notes, *lines])


def _names(settings: dict) -> tuple[str, str]:
    """What the sides are called; two methods of unimask by the method."""
    ours, peer = settings['method'], settings['peer']
    return (ours, peer) if peer in OWN else ('unimask', peer)


def _times(name: str, pair: dict[str, float], ratio: float | None) -> tuple[str, ...]:
    """A row; the ratio to a part that the peer does not have is left out."""
    return (name, f'{1e3 * pair["ours"]:.1f}', f'{1e3 * pair["peer"]:.1f}',
            '-' if ratio is None else f'{ratio:.2f}')


def _memory(name: str, pair: dict[str, int], ratio: float) -> tuple[str, ...]:
    return (name, f'{pair["ours"] / MIB:.0f}', f'{pair["peer"] / MIB:.0f}', f'{ratio:.2f}')


def _machine(machine: dict) -> str:
    gpu = f'{machine["gpu"]}, ' if 'gpu' in machine else ''
    return (f'machine: {gpu}{machine["processor"]}, {machine["cores"]} cores, '
            f'{machine["threads"]} threads, torch {machine["torch"]}, python {machine["python"]}')


def _what(settings: dict) -> str:
    method = f'{settings["method"]} {SIDES[settings["method"]].encoder}'
    return (f'{settings["mode"]}: {method} COCO panoptic, {settings["device"]}, '
            f'{settings["batch"]} x {settings["size"]}x{settings["size"]}, '
            f'{settings["objects"]} segments, amp {settings["amp"]}, '
            f'median of {settings["repeat"]}')


def _agreement(report: dict) -> str:
    if 'outputs' not in report:
        return 'two networks: outputs are not compared'
    outputs = report['outputs']
    text = (f'outputs agree: {report["outputs_agree"]} (relative difference: classes '
            f'{outputs["class_difference"]:.1e}, masks {outputs["mask_difference"]:.1e}, '
            f'mean {outputs["mean_difference"]:.1e}; '
            f'{outputs["outlier_queries"]:.1%} of the queries differ more)')
    if 'losses' in report:
        losses = report['losses']
        text += f'\nloss: {losses["ours"]:.2f} here, {losses["peer"]:.2f} there'
    return text
