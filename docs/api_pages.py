"""The pages of the API reference: one for each public name, written before the site is built."""

import importlib
import inspect
import pkgutil
from enum import Enum
from pathlib import Path
from types import ModuleType

import fastdeg

# public modules without a list of their names: what they define is public unless it begins with an underscore
WITHOUT_LIST = ("baselines", "references", "transport.metrics", "crafting.strategy", "runs.folder", "runs.report")
INSIDE = ("kernels", "cli")  # no names for users


def public_modules() -> dict[str, ModuleType]:
    """Return the modules with public names, by their names: the package first."""
    found = {"fastdeg": fastdeg}
    for room in pkgutil.iter_modules(fastdeg.__path__):
        if not room.name.startswith("_") and room.name not in INSIDE:
            module = importlib.import_module(f"fastdeg.{room.name}")
            if hasattr(module, "__all__"):
                found[module.__name__] = module
    for name in WITHOUT_LIST:
        found[f"fastdeg.{name}"] = importlib.import_module(f"fastdeg.{name}")
    return found


def names_of(module: ModuleType) -> list[str]:
    """Return the public names of a module."""
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if not name.startswith("_")]
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", "") == module.__name__
    ]


def public_names() -> dict[str, list[str]]:
    """Return, by module, the names that have a page there: each object once, at the first module that has it."""
    seen, found = set(), {}
    for path, module in public_modules().items():
        found[path] = []
        for name in names_of(module):
            value = getattr(module, name)
            if not isinstance(value, ModuleType) and id(value) not in seen:
                seen.add(id(value))
                found[path].append(name)
    return {path: names for path, names in found.items() if names}


def members_of(cls: type) -> list[str]:
    """Return the public methods, properties and fields of a class of ours, inherited ones of ours among them."""
    found = []
    for ancestor in cls.__mro__:
        if ancestor.__module__.startswith("fastdeg"):
            found += [*vars(ancestor), *vars(ancestor).get("__annotations__", ())]
    return sorted({name for name in found if not name.startswith("_")} - set(of_scikit_learn(cls)))


def of_scikit_learn(cls: type) -> list[str]:
    """Return the methods that scikit-learn writes into an estimator, about data that nobody routes."""
    return [name for name in vars(cls) if name.startswith("set_") and name.endswith("_request")]


def page(path: str, name: str, value: object) -> str:
    """Return the page of a name."""
    title = f"{path}.{name}"
    lines = [title, "=" * len(title), "", f".. currentmodule:: {path}", ""]
    if inspect.isclass(value):
        lines += [f".. autoclass:: {name}", "   :members:"]
        others = {a.__name__ for a in value.__mro__ if not a.__module__.startswith("fastdeg")}
        lines.append(f"   :inherited-members: {', '.join(sorted(others))}")
        if written := of_scikit_learn(value):
            lines.append(f"   :exclude-members: {', '.join(written)}")
        fields = vars(value).get("__annotations__", ())
        constants = [name for name in set(vars(value)).difference(fields) if isinstance(vars(value)[name], str)]
        if issubclass(value, Enum) or any(not name.startswith("_") for name in constants):
            lines.append("   :undoc-members:")
    elif callable(value):
        lines += [f".. autofunction:: {name}"]
    else:
        lines += [f".. autodata:: {name}"]
    return "\n".join(lines) + "\n"


def write(folder: Path) -> None:
    """Write the pages of all public names, and the index of them; pages that did not change are left alone."""
    pages = {}
    index = ["API reference", "=============", "", "Every public name, by the module to import it from.", ""]
    for path, names in public_names().items():
        module = importlib.import_module(path)
        about = (module.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        index += [
            path,
            "-" * len(path),
            "",
            about,
            "",
            f".. currentmodule:: {path}",
            "",
            ".. autosummary::",
            "   :nosignatures:",
            "",
        ]
        index += [f"   {name}" for name in names]
        index += ["", ".. toctree::", "   :hidden:", ""]
        index += [f"   {path}.{name}" for name in names] + [""]
        pages |= {f"{path}.{name}": page(path, name, getattr(module, name)) for name in names}
    pages["index"] = "\n".join(index) + "\n"
    folder.mkdir(exist_ok=True)
    for file in folder.glob("*.rst"):
        if file.stem not in pages:
            file.unlink()
    for name, text in pages.items():
        file = folder / f"{name}.rst"
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
