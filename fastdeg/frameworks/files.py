"""Option files read into plain mappings: YAML, TOML, JSON, HCL. Nothing in them is run; none can fill the memory."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

MOST_BYTES = 20_000_000
MOST_VALUES = 1_000_000  # of a file, those that aliases repeat counted anew each time
PLAIN = {
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge", "timestamp")
}


def read_mapping(path: Path) -> dict[str, Any]:
    """Return what a file of options holds: a mapping of names.

    Raises
    ------
    FileNotFoundError, ValueError
        When there is no such file, or it is none of the formats, too large, or holds no mapping.
    """
    text = read_text(path)
    try:
        data = _PARSERS.get(path.suffix.lower(), _yaml)(text)
    except RecursionError:
        raise ValueError(f"{path}: expected options, got brackets nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path}: expected a mapping of options, got {type(data).__name__}")
    return data


def read_text(path: Path) -> str:
    """Return the text of a file of moderate size."""
    if path.is_dir():
        raise ValueError(f"{path}: expected a file of options, got a folder")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of options")
    if (size := path.stat().st_size) > MOST_BYTES:
        raise ValueError(f"{path}: expected a file of options of at most {MOST_BYTES:,} bytes, got {size:,}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected a text file of options, got other bytes") from None


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise ValueError("reading YAML needs PyYAML: pip install 'fastdeg[frameworks]'") from None
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return {}
        _check_node(node, (), {}, set())
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(f"expected YAML, got {' '.join(str(error).split())}") from None
    finally:
        loader.dispose()


def _check_node(node: Any, path: tuple[str, ...], sizes: dict[int, int], above: set[int]) -> int:
    """Return the number of values below a node, aliases followed; refuse tags of code, and more than enough values."""
    import yaml

    where = ".".join(path) or "the top"
    if id(node) in above:
        raise ValueError(f"{where}: expected values, got an alias of what holds it")
    if id(node) in sizes:
        return sizes[id(node)]
    if node.tag not in PLAIN:
        raise ValueError(f"{where}: expected plain YAML, got the tag {node.tag.replace('tag:yaml.org,2002:', '!!')}")
    size = 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = str(getattr(key, "value", ""))
            size += _check_node(key, (*path, "?"), sizes, above | {id(node)})
            size += _check_node(value, (*path, name), sizes, above | {id(node)})
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            size += _check_node(value, (*path, str(index)), sizes, above | {id(node)})
    if size > MOST_VALUES:
        raise ValueError(f"{where}: expected at most {MOST_VALUES:,} values, got aliases that make more")
    sizes[id(node)] = size
    return size


def _toml(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"expected TOML, got {error}") from None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"expected JSON, got {error}") from None


def _hcl(text: str) -> Any:
    try:
        import hcl2
    except ImportError:
        raise ValueError("reading HCL needs python-hcl2: pip install 'fastdeg[frameworks]'") from None
    try:
        return _unquoted(hcl2.loads(text if text.endswith("\n") else text + "\n"))
    except RecursionError:
        raise
    except Exception as error:  # lark's errors have no base class that hcl2 exports
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"expected HCL, got {first}") from None


def _unquoted(value: Any) -> Any:
    """Return HCL's values without what versions of the parser add: quotes around strings, names of its own."""
    if isinstance(value, dict):
        return {_unquoted(k): _unquoted(v) for k, v in value.items() if not str(k).startswith("__")}
    if isinstance(value, list):
        return [_unquoted(v) for v in value]
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value


PARSED = frozenset((".yml", ".yaml", ".toml", ".json", ".hcl"))
_PARSERS = {".toml": _toml, ".json": _json, ".hcl": _hcl}
