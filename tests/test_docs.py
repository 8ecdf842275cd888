"""The code in the README and the documentation runs as it stands, on a user's folders of images."""

import ast
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from fastdeg.cli import OF_ALL_VERBS, VERBS
from fastdeg.cli.demo import play_application

ROOT = Path(__file__).parent.parent
ALL_PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
PAGES = [
    page
    for page in ALL_PAGES
    if "```python" in page.read_text() and page.stem != "first-ten-minutes"  # `.ci/try_wheel` runs it, commands and all
]
NEEDED = {
    "training.md": ("torch",),
    "training-torchvision.md": ("torch", "torchvision"),
    "training-albumentations.md": ("albumentations",),
}


@pytest.fixture
def in_a_users_folder(tmp_path, monkeypatch):
    application = play_application(np.random.default_rng(2))
    for name, images in (("clean", application.clean), ("photos", application.references)):
        (tmp_path / name).mkdir()
        for file, pixels in images.items():
            cv2.imwrite(str(tmp_path / name / file.replace(".jpg", ".png")), pixels[..., ::-1])
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_of_a_page_runs(page, in_a_users_folder):
    for package in NEEDED.get(page.name, ()):
        pytest.importorskip(package, reason=f"{page.name} needs {package}")
    namespace: dict[str, object] = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        exec(compile(block, page.name, "exec"), namespace)  # one namespace: later blocks build on earlier ones


def test_the_readme_is_short():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 170
    assert text.count("![") == 1
    assert sum(line.startswith("python3 -m venv ") for line in text.splitlines()) == 2
    table = re.search("<!-- performance:begin -->(.*)<!-- performance:end -->", text, re.DOTALL).group(1)
    assert len(re.findall(r"^\| (?!task)", table, re.MULTILINE)) <= 10


def environment_variables(tree):
    """Names of variables that a module looks up: constants in a call or subscript of os.environ, and lists named so."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Call, ast.Subscript)) and "os.environ" in ast.unparse(node):
            yield from (c.value for c in ast.walk(node) if isinstance(c, ast.Constant) and str(c.value).isupper())
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "RANKS":
            yield from ast.literal_eval(node.value)


def warnings_of(tree):
    """The sentences of all warnings of a module, with … for what is filled in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("warnings.warn", "warn"):
            told = node.args[0]
            parts = told.values if isinstance(told, ast.JoinedStr) else [told]
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)


def test_every_environment_variable_and_warning_is_on_the_page_of_troubles():
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    known = re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)
    trees = [ast.parse(file.read_text()) for file in (ROOT / "fastdeg").rglob("*.py")]
    variables = {name for tree in trees for name in environment_variables(tree)}
    sentences = {sentence for tree in trees for sentence in warnings_of(tree)}
    assert len(variables) > 5
    assert len(sentences) > 10
    assert not [name for name in variables if f"`{name}`" not in page]
    for sentence in sentences:  # one made elsewhere is … alone, and then the page's may only begin like it
        assert any(sentence.startswith(start) or start.startswith(sentence) for start in known), sentence


def test_every_command_on_a_page_has_the_options_that_it_is_given():
    wrong = []
    for page in ALL_PAGES:
        for verb, rest in re.findall(rf"fastdeg ({'|'.join(VERBS)})\b([^\n`#|)>]*)", page.read_text()):
            _, needed, taken = VERBS[verb]
            known = {*needed.split(), *taken.split(), *OF_ALL_VERBS.split()}
            given = {word.partition("=")[0] for word in rest.split() if word.startswith("-")}
            given = {"--output" if option == "-o" else option for option in given}
            wrong += [f"{page.name}: fastdeg {verb} {option}" for option in given - known - {"--help", "-", "--"}]
    assert not wrong


def test_every_link_to_a_file_leads_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_commands_of_the_readme_are_those_of_the_page_that_is_run_from_a_wheel():
    page = (ROOT / "docs" / "first-ten-minutes.md").read_text()
    block = re.search(r"## On your own images\n\n```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)
    commands = [line.split("#")[0].strip() for line in block.splitlines()]
    assert [command.split()[1] for command in commands] == ["craft", "audit", "export"]
    assert all(command in page for command in commands)
