"""The book as HTML: `make docs` builds it into docs/_build, and takes every warning for an error.

The pages are plain Markdown. What Sphinx wants beside that is added here, so that no page has to
hold a directive that a code host would show as it stands: the order of the pages, which is that of
the links in index.md; the pages outside this folder, which are linked as files; the language.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from minigan.version import __version__  # noqa: E402

project = "minigan"
author = "the authors of minigan"
version = release = __version__
html_title = f"minigan {release}"

extensions = ["myst_parser", "sphinxcontrib.katex"]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3  # links to headings, as code hosts make them
exclude_patterns = ["_build"]
nitpicky = True

html_theme = "furo"
html_copy_source = False
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_js_files = ["math.js"]


LINK = r"^- \[([^\]]+)\]\(([\w./-]+)\.md\)"  # of a list of contents


def contents(text: str) -> str:
    """Hidden tables of contents for the pages that index.md links, one for each of its parts."""
    trees = []
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        caption = part.splitlines()[0]
        links = [f"{words} <{page}>" for words, page in re.findall(LINK, part, re.MULTILINE)]
        trees.append(
            f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(links) + "\n```\n"
        )
    return text + "\n" + "\n".join(trees)


def outside(text: str, folder: Path) -> str:
    """Links that leave the docs: a file is offered as a download, a folder is named only."""

    def link(match: re.Match[str]) -> str:
        words, target = match[1], match[2]
        path = (folder / target).resolve()
        if "://" in target or path.is_relative_to(DOCS) or not path.exists():
            return match[0]
        return words if path.is_dir() else f"[{words}](<path:{target}>)"

    return re.sub(r"(?<!!)\[([^\[\]]*)\]\(([^()#<>\s]+)\)", link, text)


def read(app, page, source):
    """What a page is for Sphinx."""
    text = outside(source[0], (DOCS / page).parent)
    source[0] = contents(text) if page == "index" else text


def name_language(app, page, template, context, doctree):
    """Tell browsers, and readers aloud, which pages are Chinese."""
    if page.endswith(".zh-CN"):
        context["language"] = "zh-CN"


def setup(app):
    app.connect("source-read", read)
    app.connect("html-page-context", name_language)
