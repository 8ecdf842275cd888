"""How the documentation site is built: ``python -m sphinx -W docs site``; every page of this folder is on it."""

import os
import re
import sys
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import api_pages  # noqa: E402
from sphinx_gallery.sorting import FileNameSortKey  # noqa: E402

import fastdeg  # noqa: E402

project, author, copyright = "fastdeg", "The fastdeg developers", "The fastdeg developers"
version = release = fastdeg.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["examples", "figures", "gallery/*.ipynb", "gallery/*.py", "gallery/*.zip"]
suppress_warnings = ["config.cache"]  # functions among the gallery's settings

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

default_role = "py:obj"  # single backticks in docstrings are links where they can be
autosummary_generate = False
autodoc_typehints = "none"  # numpydoc's sections name the types
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "pydata_sphinx_theme"
html_title = f"fastdeg {release}"
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": True,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "logo": {"text": "fastdeg"},
    "pygments_light_style": "default",
}
html_sidebars = {"*": ["globaltoc.html"]}  # contents of all; within the gallery and the reference, of these

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": FileNameSortKey,
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
    "matplotlib_animations": False,
    "min_reported_time": 1000,
}


def other_pages(app, name: str, text: list[str]) -> None:
    """Put pages that the contents do not name yet, and all notes, in the places for them: a new one needs no edit."""
    if name == "index":
        named = set(re.findall(r"^([\w/-]+)$", text[0], re.MULTILINE))
        pages = sorted({page.stem for page in HERE.glob("*.md")} - named - {"index"})
        notes = sorted(f"notes/{page.stem}" for page in HERE.glob("notes/*.md"))
        for place, names in (("OTHER-PAGES", pages), ("OTHER-NOTES", notes)):
            text[0] = text[0].replace(place, "\n".join(names))


def setup(app) -> None:
    api_pages.write(HERE / "api")
    app.connect("source-read", other_pages)
