"""The house holds: imports run downwards, in no circle; private names stay at home; modules and rooms stay small."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "fastdeg"
FILES = sorted(PACKAGE.rglob("*.py"))
SHARED = {f"fastdeg.{name}" for name in ("_checks", "_files", "_types", "_threads", "_forks", "kernels._jit")}

# floors of the house, from the ground up: a room imports from its own floor and from those below
FLOORS = (
    ("_types", "_files", "_forks", "_threads", "opencv"),
    ("_checks", "kernels", "distributed"),
    ("space", "nearest", "moments"),
    ("bins",),
    ("distribution", "plotting"),
    ("accumulator",),
    ("transport",),
    ("njit", "distances", "degradations"),
    ("forecast",),
    ("crafting", "references", "images"),
    ("baselines",),
    ("runs", "frameworks", "runtime", "compiling"),
    ("cli",),
)


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(file): file for file in FILES}


def imports(name: str, at_load: bool = False) -> set[str]:
    """Return the modules of the package that a module imports: anywhere, or only what it loads when it is loaded."""
    file, found = MODULES[name], set()
    tree = ast.parse(file.read_text())
    nodes = ast.walk(tree) if not at_load else (node for node in tree.body if isinstance(node, ast.ImportFrom))
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in MODULES}
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: a relative import"
            if (node.module or "").split(".")[0] == "fastdeg":
                found |= {
                    inner if (inner := f"{node.module}.{alias.name}") in MODULES else str(node.module)
                    for alias in node.names
                }
    return found - {name}


def floor(name: str) -> int:
    room = name.split(".")[1] if "." in name else ""
    return next((i for i, rooms in enumerate(FLOORS) if room in rooms), len(FLOORS))


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_downwards(name):
    if name == "fastdeg":
        return  # it names everything and loads it on first use
    assert floor(name) < len(FLOORS), f"{name} is on no floor"
    upwards = {other for other in imports(name) if other != "fastdeg" and floor(other) > floor(name)}
    assert not upwards


def test_no_module_imports_itself_through_others():
    arrows = {name: imports(name, at_load=True) for name in MODULES}
    seen: dict[str, bool] = {}  # whether a visit of the module has ended

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert seen.get(name, True), " → ".join((*way, name))
        if name in seen:
            return
        seen[name] = False
        for other in arrows[name] - {"fastdeg"}:
            visit(other, (*way, name))
        seen[name] = True

    for name in MODULES:
        visit(name, ())


@pytest.mark.parametrize("name", MODULES)
def test_private_names_stay_in_their_package(name):
    package = name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "fastdeg":
            for alias in node.names:
                module = f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in MODULES else str(node.module)
                if module in SHARED or alias.name.startswith("__"):
                    continue
                private = any(part.startswith("_") for part in (*module.split("."), alias.name))
                at_home = module.rpartition(".")[0] == package or module == package
                assert not private or at_home, f"{name} imports {node.module}.{alias.name}"


def test_modules_and_rooms_are_small():
    long = {name: n for name, file in MODULES.items() if (n := len(file.read_text().splitlines())) > 400}
    assert not long
    for room in ("crafting", "kernels"):
        for folder in (PACKAGE / room, *(path for path in (PACKAGE / room).rglob("*") if path.is_dir())):
            files = [file for file in folder.glob("*.py") if file.name != "__init__.py"]
            assert len(files) <= 8, f"{folder.name}: {len(files)} files"


def test_tests_reach_into_no_private_names_and_import_no_other_test():
    for file in sorted(Path(__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.ImportFrom):
                continue
            module = str(node.module)
            assert not module.startswith(("test_", "bench")), f"{file.name} imports {module}"
            shared = {module, *(f"{module}.{alias.name}" for alias in node.names)} & SHARED
            private = [n for alias in node.names for n in (*module.split("."), alias.name) if n.startswith("_")]
            assert shared or all(n.startswith("__") for n in private), f"{file.name} imports {module}, {private}"
