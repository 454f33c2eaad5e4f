"""The book as HTML: `make docs` builds it into docs/_build, and treats every warning as an error.

The pages are plain Markdown, as a code host shows it. This file adds the order of the pages, code
from the source, the API reference, and pages for linked source files. The build fails if a page of
the book would load something from a network.
"""

import inspect
import pydoc
import re
import sys
from pathlib import Path

import sphinxcontrib.katex
from sphinx.ext import napoleon
from sphinx.util import logging

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import book  # noqa: E402

from minigan.version import __version__ as release  # noqa: E402

project = "minigan"
html_title = f"minigan {release}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.linkcode", "sphinx_copybutton"]
extensions += ["sphinxcontrib.katex"]
# The source folder is the repository's root, so that links work as they do on a code host.
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "bench/results/*.md"]
exclude_patterns = [".*", "docs/_build", "build", "dist", "runs"]
smartquotes = False
nitpicky = True
nitpick_ignore_regex = [  # types in signatures that have no entry in the reference
    ("py:.*", r"(argparse|collections|npt?|numpy|pathlib)\..*|DamagedError"),
    ("py:class", r"minigan\..*\.(\w*Backend|AnyPart|Binding|Checkpoint|Part)"),
    ("py:class", r"minigan\..*\.(DiscriminatorUpdate|GradcheckRow|OpenedRun|RunFiles)"),
    ("py:class", r"minigan\..*\.(Camera|FrameSteps|Recording|RunFolder)"),
    ("py:class", r"minigan\.nn\..*\.(Image|Needs|Pass)"),
    ("py:class", r"(minigan\..*\.)?(Outcome|Planned|Result|Share|Team)"),
]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3  # links to headings, as code hosts make them
katex_css_path = "katex/katex.min.css"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
add_module_names = False
python_maximum_signature_line_length = 80

html_theme = "furo"
html_copy_source = False
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["book.css"]

LISTED = re.compile(r"^- \[([^\]]+)\]\(([\w./-]+)\.md\)", re.MULTILINE)  # in index and reference
LINK = re.compile(r"(?<!!)\[([^\[\]]*)\]\(([^()#<>\s]+)\)")
LINKED: set[str] = set()  # source files that get a page, as paths from the root


def read(app, page, source):
    """What a page is for Sphinx."""
    text = source[0]
    if page == root_doc:
        text += contents(text)
    if page == "docs/reference":
        text = LISTED.sub(described, text)
    text = book.SOURCE.sub(code, text)
    text = LINK.sub(lambda match: link(match, page), text)
    source[0] = text if page.startswith("docs/") else f"---\norphan: true\n---\n{text}"


def contents(text: str) -> str:
    """Hidden tables of contents for the pages that index.md lists, one for each of its parts."""
    trees = []
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        pages = "\n".join(f"{words} <{page}>" for words, page in LISTED.findall(part))
        caption = part.splitlines()[0]
        trees.append(f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{pages}\n```\n")
    return "".join(trees)


def described(match: re.Match[str]) -> str:
    """A name in the list of the reference, with its signature and docstring."""
    name, page = match[1].strip("`"), match[2]
    thing = pydoc.locate(f"minigan.{name}")
    is_error = isinstance(thing, type) and issubclass(thing, BaseException)
    kind = "exception" if is_error else "class" if isinstance(thing, type) else "function"
    members = "" if kind == "function" else "   :members:\n"
    text = f".. auto{kind}:: minigan.{name}\n{members}\n   Explained in :doc:`/docs/{page}`."
    return f"```{{eval-rst}}\n{text}\n```\n"


def code(match: re.Match[str]) -> str:
    """The code that a line such as "[file.py](file.py): `name`" stands for, under that line."""
    return f"```{{code-block}} python\n:caption: '{match[0]}'\n\n{book.excerpts(match[0])[0]}```"


def link(match: re.Match[str], page: str) -> str:
    """A link to a file that is no page of the book leads to a page that shows the file."""
    words, target = match[1], match[2]
    path = (ROOT / page).parent.joinpath(target).resolve()
    if "://" in target or path.suffix in (".md", ".png") or not path.exists():
        return match[0]
    if path.is_dir():
        return words
    LINKED.add(file := path.relative_to(ROOT).as_posix())
    return f'<a href="{"../" * page.count("/")}source/{file}.html">{words}</a>'


def linkcode_resolve(domain, info):
    """Where the source of a name in the reference is, seen from there."""
    thing = pydoc.locate(f"{info['module']}.{info['fullname']}")
    thing = getattr(thing, "fget", None) or getattr(thing, "func", thing)  # of a property
    try:
        file = Path(inspect.getsourcefile(thing)).relative_to(ROOT).as_posix()
        line = inspect.getsourcelines(thing)[1]
    except (TypeError, OSError):
        return None
    LINKED.add(file)
    return f"../source/{file}.html#L-{line}"


def source_pages(app):
    """The pages that show source files."""
    for file in sorted(LINKED):
        text = (ROOT / file).read_text(encoding="utf-8")
        how = {"linenos": "inline", "lineanchors": "L"}
        language = {".py": "python", ".cu": "cuda"}.get(Path(file).suffix, "text")
        shown = app.builder.highlighter.highlight_block(text, language, **how)
        yield f"source/{file}", {"title": file, "body": f"<h1>{file}</h1>\n{shown}"}, "page.html"


class Docstring(napoleon.GoogleDocstring):
    """A Google style docstring whose "Returns:" is text without a type."""

    def _consume_returns_section(self, preprocess_types=False):
        return [("", "", self._dedent(self._consume_to_next_section()))]


def plain_text(app, what, name, obj, options, lines):
    """Docstrings are plain text with `code`; the lines of a formula stay as they are."""
    paragraphs = re.split(r"\n\n+", "\n".join(lines).strip())
    for at, text in enumerate(paragraphs):
        if text.startswith("Example:"):
            paragraphs[at] = text.replace("Example:", "Example::\n", 1)
        elif text[0] != " " and text[-1] not in ".:" and not re.match(r"\w+:\n", text):
            text = re.sub("^", "    ", text, flags=re.MULTILINE)
            paragraphs[at] = f".. code-block:: text\n\n{text}"
        else:
            pieces = re.split(r"(`[^`]+`)", text)
            pieces[::2] = [re.sub(r"([*|\\]|_\b)", r"\\\1", piece) for piece in pieces[::2]]
            pieces[1::2] = [f"`{piece}`" for piece in pieces[1::2]]
            paragraphs[at] = "".join(pieces)
    settings = napoleon.Config(
        napoleon_use_param=False, napoleon_custom_sections=[("Attributes", "params_style")]
    )
    text = str(Docstring("\n\n".join(paragraphs), settings)).replace(" -- ", " \N{EN DASH} ")
    lines[:] = [*text.splitlines(), ""]


def name_language(app, page, template, context, doctree):
    """Mark the Chinese pages, for browsers and screen readers."""
    if page.endswith(".zh-CN"):
        context["language"] = "zh-CN"


def finish(app, exception):
    """Check that the book loads nothing from a network, and let its top folder open it, too."""
    if exception:
        return
    out, warn = Path(app.outdir), logging.getLogger("book").warning
    style = (out / "_static" / katex_css_path).read_text(encoding="utf-8")
    if sphinxcontrib.katex.katex_version not in style:
        warn("docs/_static/katex has another version than KaTeX's script")
    for file in [*out.rglob("*.html"), *out.rglob("*.css")]:
        if addresses := book.loaded_from_outside(file.read_text(encoding="utf-8")):
            warn(f"{file} would load {', '.join(addresses)}")
    start = '<!doctype html>\n<meta http-equiv="refresh" content="0; url=docs/index.html">\n'
    (out / "index.html").write_text(start, encoding="utf-8")


def setup(app):
    app.connect("source-read", read)
    app.connect("autodoc-process-docstring", plain_text)
    app.connect("html-collect-pages", source_pages)
    app.connect("html-page-context", name_language)
    app.connect("build-finished", finish)
