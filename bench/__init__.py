"""Benchmarks: one table of cases feeds `pytest bench --benchmark-enable` and `python -m bench.report`."""
