"""The table of cases as pytest-benchmark tests: `pytest bench --benchmark-enable -k NAME`.

Our test of a case also checks the answers of all contenders; without ``--benchmark-enable`` each call runs once.
"""

from __future__ import annotations

from functools import lru_cache

import pytest

from bench.case import OURS
from bench.cases import rooms

CONTENDERS = [
    pytest.param(case, name, id=f"{room}: {case.name}: {name}", marks=[pytest.mark.slow] * case.slow)
    for room, module in rooms().items()
    for case in module.CASES
    for name in (OURS, *(rival.name for rival in case.rivals))
]


@lru_cache(maxsize=1)  # contenders of a case follow each other
def workload_of(case):
    return case.setup()


@pytest.mark.parametrize(("case", "name"), CONTENDERS)
def test_case(benchmark, case, name):
    rival = next((rival for rival in case.rivals if rival.name == name), None)
    if rival is not None and rival.missing:
        pytest.skip(f"not installed: {', '.join(rival.missing)}")
    workload = workload_of(case)
    benchmark.group = case.name
    answer = benchmark(case.run if rival is None else rival.run, workload)
    if case.check is not None and rival is None:
        answers = {other.name: other.run(workload) for other in case.rivals if not other.missing}
        case.check(workload, {OURS: answer, **answers})
