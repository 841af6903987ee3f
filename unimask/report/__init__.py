"""A page about a training: what was trained, how it went, what is still wrong."""

from __future__ import annotations

from unimask.report.records import Record, read_record
from unimask.report.writing import PAGE, evaluate, report_after, write_report

__all__ = ['PAGE', 'Record', 'evaluate', 'read_record', 'report_after', 'write_report']
