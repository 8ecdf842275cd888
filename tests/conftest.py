"""Options for tests that need image folders; the strategy of a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from fastdeg.crafting import strategy


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--clean-images", help="folder of clean images, to fit the estimator on (slow tests)")
    parser.addoption("--real-images", help="folder of real low-resolution photos")


@pytest.fixture
def use_strategy() -> Iterator[Callable[..., strategy.Strategy]]:
    """Solve with changes of the strategy until the test ends."""
    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(strategy.using(**changes))
