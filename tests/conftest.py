"""Options for tests that need image folders."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--clean-images", help="folder of clean images, to fit the estimator on (slow tests)")
    parser.addoption("--reference-images", help="folder of other clean images, to be degraded to references")
    parser.addoption("--real-images", help="folder of real low-resolution photos")
