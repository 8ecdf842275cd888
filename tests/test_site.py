"""The documentation site, where one was built (``FASTDEG_SITE`` names its folder): complete, and whole by itself."""

import importlib
import importlib.util
import inspect
import os
import re
import zlib
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parent.parent
SITE = Path(os.environ.get("FASTDEG_SITE", "/nowhere"))
needs_site = pytest.mark.skipif(not SITE.is_dir(), reason="FASTDEG_SITE names no built site")


def load_api_pages():
    spec = importlib.util.spec_from_file_location("api_pages", ROOT / "docs" / "api_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def inventory() -> set[str]:
    """Return the names that the site documents, as other sites would link to them."""
    lines = (SITE / "objects.inv").read_bytes().split(b"\n", 4)
    return {line.split()[0] for line in zlib.decompress(lines[4]).decode().splitlines() if " py:" in line}


class Page(HTMLParser):
    """Text, links and anchors of a page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links, self.anchors, self.images, self.text = [], set(), 0, ""
        self.feed(file.read_text())

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found[key] for key in ("id", "name") if found.get(key)}
        self.links += [found[key] for key in ("href", "src") if found.get(key)]
        self.images += tag == "img"

    def handle_data(self, data):
        self.text += f" {data}"


@cache
def page(file: Path) -> Page:
    return Page(file)


def test_every_public_name_of_the_package_has_an_api_page():
    import fastdeg as fd

    named = load_api_pages().public_names()
    wanted = {name for name in fd.__all__ if not name.startswith("_")} - {"baselines", "frameworks"}
    assert wanted <= set(named["fastdeg"])
    for module in ("images", "njit", "degradations", "frameworks", "bins"):
        loaded = importlib.import_module(f"fastdeg.{module}")
        own = {name for name in loaded.__all__ if getattr(loaded, name) not in vars(fd).values()}
        assert own <= set(named.get(f"fastdeg.{module}", ())), module


def test_public_functions_say_what_else_there_is_and_show_an_example():
    import fastdeg as fd

    functions = [value for name in fd.__all__ if inspect.isfunction(value := getattr(fd, name))]
    assert len(functions) > 10
    for function in functions:
        for section in ("See Also", "Examples"):
            assert f"{section}\n---" in inspect.getdoc(function), f"{function.__name__}: {section}"


@needs_site
def test_every_public_name_and_member_is_on_the_site():
    pages = load_api_pages()
    missing = []
    for path, names in pages.public_names().items():
        module = importlib.import_module(path)
        for name in names:
            full, value = f"{path}.{name}", getattr(module, name)
            if full not in inventory():
                missing.append(full)
            if isinstance(value, type):
                words = set(re.findall(r"\w+", page(SITE / "api" / f"{full}.html").text))
                members = set(pages.members_of(value))
                missing += [f"{full}.{m}" for m in members if f"{full}.{m}" not in inventory() and m not in words]
    assert not missing, "\n".join(missing)


@needs_site
def test_the_gallery_shows_pictures():
    examples = sorted((ROOT / "docs" / "examples").glob("plot_*.py"))
    assert len(examples) >= 10
    for example in examples:
        shown = page(SITE / "gallery" / f"{example.stem}.html")
        assert any(f"sphx_glr_{example.stem}_001" in link for link in shown.links), example.name


@needs_site
def test_every_page_of_the_folder_is_on_the_site():
    for source in (ROOT / "docs").glob("*.md"):
        assert (SITE / f"{source.stem}.html").is_file()


@needs_site
def test_every_link_within_the_site_leads_somewhere():
    broken = []
    for file in (file for file in SITE.rglob("*.html") if "_static" not in file.parts):  # there, the theme's templates
        for link in page(file).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or (not parts.path and not parts.fragment):
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file.resolve()
            if not target.exists():
                broken.append(f"{file.relative_to(SITE)}: {link}")
            elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in page(target).anchors:
                broken.append(f"{file.relative_to(SITE)}: {link}, no such place")
    assert not broken, "\n".join(broken)
