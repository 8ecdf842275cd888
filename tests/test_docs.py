"""The code in the README and the documentation runs as it stands, on a user's folders of images."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from fastdeg.cli.demo import play_application

ROOT = Path(__file__).parent.parent
PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
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


def test_every_environment_variable_and_warning_is_on_the_page_of_troubles():
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    code = "".join(file.read_text() for file in (ROOT / "fastdeg").rglob("*.py"))
    for variable in set(re.findall(r"FASTDEG_[A-Z_]+", code)):
        assert f"`{variable}`" in page, variable
    for start in re.findall(r'warnings\.warn\(\s*f?"([^"{]{4,})', code):
        assert any(start.startswith(known.strip()) for known in re.findall(r"^\| `([^`…]+)", page, re.MULTILINE)), start


def test_every_link_to_a_file_leads_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
