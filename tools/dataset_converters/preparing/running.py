"""One image after the other, with a journal that lets an interrupted run go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmengine.utils import track_iter_progress

from unimask.checkpoints import atomic_write_text, remove_parts
from unimask.errors import UserError


def convert_images(names: Sequence[str], make: Callable[[str], Any], *, journal: Path) -> list:
    """Convert images, those that an earlier run has done excepted.

    Args:
        names: Of the images.
        make: Writes the files of an image and returns what is to be known of it, fit for JSON.
        journal: File that keeps a line per image until all is done.

    Returns:
        What ``make`` returned for every image, in their order.

    Raises:
        UserError: The journal is one of other images.
    """
    records = _read(journal, names)
    todo = [name for name in names if name not in records]
    if records:
        print(f'{len(records)} of {len(names)} images were done before; going on with the others')
    journal.parent.mkdir(parents=True, exist_ok=True)
    try:
        with journal.open('a', encoding='utf-8') as file:
            for name in track_iter_progress(todo) if todo else ():
                # As JSON gives it back, so that a run that went on writes the same files.
                line = json.dumps([name, make(name)])
                file.write(line + '\n')
                file.flush()
                records[name] = json.loads(line)[1]
    except KeyboardInterrupt:
        print(f'\n{len(records)} of {len(names)} images are done. Run the command again to go on.')
        raise
    return [records[name] for name in names]


def convert_split(names: Sequence[str], make: Callable[[str], Any], *, results: Sequence[Path],
                  publish: Callable[[list], None], check: Callable[[], str]) -> None:
    """Convert a part of a data set into annotation files, unless they are there.

    Args:
        names: Of the images.
        make: See :func:`convert_images`.
        results: The annotation files; when all exist the part is done.
        publish: Writes them from what ``make`` returned.
        check: Looks whether what is there is sound and says what it found.
    """
    journal = results[0].with_name(f'.{results[0].name}.journal')
    if all(path.is_file() for path in results):
        print(f'{results[0]} is there already; looking whether everything is sound')
    else:
        remove_parts(results[0].parent)
        publish(convert_images(names, make, journal=journal))
    print(f'\n{check()}')
    journal.unlink(missing_ok=True)


def _read(journal: Path, names: Sequence[str]) -> dict[str, Any]:
    """Records of the journal; a line that a kill left in part is taken out."""
    if not journal.exists():
        return {}
    records, lines = {}, journal.read_text(encoding='utf-8').splitlines()
    for line in lines:
        try:
            name, record = json.loads(line)
        except ValueError:
            break
        records[name] = record
    other = sorted(set(records) - set(names))
    if other:
        raise UserError(f'{journal} is of a run with other images (such as {other[0]}). Remove it '
                        'to start anew.')
    if len(records) < len(lines):
        atomic_write_text(''.join(f'{line}\n' for line in lines[:len(records)]), journal)
    return records
