"""Parts of tools/analysis_tools/benchmark.py: workload, sides, timing, memory, report."""
