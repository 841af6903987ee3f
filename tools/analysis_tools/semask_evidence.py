#!/usr/bin/env python
"""SeMask's parts with equal iterations and equal seeds on CamVid, on two encoders and decoders.

Every run leaves a small JSON file; what has one is not done again, so that the series goes on where
it was stopped, on another machine too.

Example:
    python tools/analysis_tools/semask_evidence.py run --data data --results docs/evidence/semask
    python tools/analysis_tools/semask_evidence.py report --results docs/evidence/semask
"""

from __future__ import annotations

from evidence.command import run_study
from evidence.semask import STUDY

from unimask.cli import leave, run_tool


def main() -> None:
    """Run or report."""
    run_study(STUDY, __doc__)


if __name__ == '__main__':
    leave(run_tool(main, resume=''))
