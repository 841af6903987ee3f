"""Predictions in a file."""

from __future__ import annotations

import pickle

from mmengine.evaluator import DumpResults
from mmengine.logging import print_log

from unimask.checkpoints import atomic_file
from unimask.registry import METRICS


@METRICS.register_module()
class DumpPredictions(DumpResults):
    """mmengine's ``DumpResults`` whose file takes its place only when it is complete.

    Args:
        out_file_path: A name that ends with ``.pkl`` or ``.pickle``: a list of the data samples as
            dictionaries.
    """

    def compute_metrics(self, results: list) -> dict:
        """Write the file; there are no scores."""
        with atomic_file(self.out_file_path) as file:
            pickle.dump(results, file)
        print_log(f'Predictions are in {self.out_file_path}.', 'current')
        return {}
