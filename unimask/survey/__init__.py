"""A look at data before any training: what there is, and what looks wrong."""

from __future__ import annotations

from unimask.survey.findings import Finding, find
from unimask.survey.page import write_page
from unimask.survey.splits import SplitSurvey, survey

__all__ = ['Finding', 'SplitSurvey', 'find', 'survey', 'write_page']
