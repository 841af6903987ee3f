#!/usr/bin/env python
"""Mask2Former and MP-Former with equal iterations and equal seeds on three small real data sets.

Every run leaves a small JSON file; what has one is not done again, so that the series goes on where
it was stopped, on another machine too.

Example:
    python tools/analysis_tools/mp_evidence.py run --data data --results docs/evidence/mp_former
    python tools/analysis_tools/mp_evidence.py report --results docs/evidence/mp_former
"""

from __future__ import annotations

from evidence.command import run_study
from evidence.mp_former import STUDY

from unimask.cli import leave, run_tool


def main() -> None:
    """Run or report."""
    run_study(STUDY, __doc__)


if __name__ == '__main__':
    leave(run_tool(main, resume=''))
