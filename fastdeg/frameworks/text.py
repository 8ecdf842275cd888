"""How numbers, lists and comments stand in the files that are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastdeg import __version__


def literal(value: Any) -> str:
    """Return a value as YAML, TOML and HCL all read it; numbers to the last bit."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, str):
        return '"' + value + '"'
    number = float(value)
    if number == int(number) and abs(number) < 1e15:
        return str(int(number))
    text = repr(number)
    if "e" in text:  # YAML 1.1 takes 1e-06 for text
        mantissa, exponent = text.split("e")
        text = f"{mantissa if '.' in mantissa else mantissa + '.0'}e{int(exponent):+03d}"
    return text


def yaml_lines(values: Mapping[str, Any], indent: int = 0) -> list[str]:
    """Return keys and values as lines of YAML."""
    return [f"{' ' * indent}{name}: {literal(value)}" for name, value in values.items()]


def header(title: str, purpose: Any, *more: str) -> list[str]:
    """Return the comment at the top of a file."""
    lines = [f"degradations for {title}, written by fastdeg {__version__}", *more, *purpose.comments]
    return [f"# {line}" for line in lines if line]
