"""What the build (conf.py) and the tests know of the book's pages; it needs no Sphinx.

Code of minigan is not copied into pages. A line of this form is a link wherever Markdown is shown,
and the build puts the code under it:

    [minigan/nn/layers/linear.py](../../minigan/nn/layers/linear.py): `LinearPass.backward`
"""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

SOURCE = re.compile(r"^\[(\S+\.py)\]\(\S+\): ((?:`[\w.]+`(?:, |$))+)$", re.MULTILINE)
#: What a browser loads by itself, in HTML and in CSS. A link that a reader may follow is not.
LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*?\b(?:src|srcset|data)="([^"]*)"
    |<link\b[^>]*?\bhref="([^"]*)"|url\(\s*["']?([^"')]*)|@import\s+["']([^"']*)""",
    re.VERBOSE,
)


def excerpts(text: str) -> list[str]:
    """The code that the build puts into a page, without the indentation of its class.

    Raises:
        LookupError: a file does not define a name.
    """
    return [_excerpt(file, re.findall(r"`(.+?)`", names)) for file, names in SOURCE.findall(text)]


def _excerpt(file: str, names: list[str]) -> str:
    text = (ROOT / file).read_text(encoding="utf-8")
    lines = text.splitlines()
    pieces = []
    for name in names:
        node: ast.AST = ast.parse(text)
        for part in name.split("."):
            node = _definition(node, part, f"{file} {name}")
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        pieces.append(textwrap.dedent("\n".join(lines[first - 1 : node.end_lineno])))
    methods = any("." in name for name in names)
    return ("\n\n" if methods else "\n\n\n").join(pieces) + "\n"


def _definition(node: ast.AST, name: str, what: str) -> ast.AST:
    for child in ast.iter_child_nodes(node):
        targets = [child, *getattr(child, "targets", []), getattr(child, "target", None)]
        if any(name in (getattr(t, "name", None), getattr(t, "id", None)) for t in targets):
            return child
    raise LookupError(f"{what}: no such definition")


def loaded_from_outside(text: str) -> list[str]:
    """The addresses in HTML or CSS from which a browser would load something over a network."""
    found = ("".join(groups) for groups in LOADED.findall(text))
    return [address for address in found if re.match(r"(\w+:)?//", address)]
