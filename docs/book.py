"""What keeps the book true: code is copied from the source, output from the program.

    python docs/book.py            bring every page up to date
    python docs/book.py --check    say what is out of date, and change nothing (exit code 1)

Three kinds of places in a page are written by this script, each after a comment that says so:

    <!-- source: minigan/nn/layers/linear.py LinearPass.backward -->    followed by ```python
    <!-- output: minigan explain Linear -->                             followed by ```text
    <!-- generated: reference --> ... <!-- end -->

So the pages stay plain Markdown, readable on any code host, and cannot drift. All other code in a
page is run by the tests: ```python blocks as they are, ```pycon blocks as doctests.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import io
import re
import shlex
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent

_WRITTEN = re.DOTALL | re.MULTILINE
SOURCE = re.compile(r"(^<!-- source: (\S+)([^>]*) -->\n```python\n)(.*?)(^```$)", _WRITTEN)
OUTPUT = re.compile(r"(^<!-- output: ([^>]*) -->\n```text\n)(.*?)(^```$)", _WRITTEN)
GENERATED = re.compile(r"(^<!-- generated: (\w+) -->\n)(.*?)(^<!-- end -->$)", _WRITTEN)
#: The line under a page's title that says which public names the page explains.
NAMES = re.compile(r"^Public names?: (.*)\.$", re.MULTILINE)


def pages() -> list[Path]:
    """Every Markdown page of the book, and the READMEs."""
    built = DOCS / "_build"
    return sorted(
        [
            *(page for page in DOCS.rglob("*.md") if not page.is_relative_to(built)),
            *ROOT.glob("README*.md"),
        ]
    )


def names_of(text: str) -> list[str]:
    """The public names that a page says it explains: ["Linear"]."""
    return [name for line in NAMES.findall(text) for name in re.findall(r"`(\w+)`", line)]


def homes() -> dict[str, Path]:
    """For each public name its page; `ValueError` if two pages claim one name."""
    found: dict[str, Path] = {}
    for page in pages():
        for name in names_of(page.read_text(encoding="utf-8")):
            if name in found:
                raise ValueError(f"{name} has two pages: {found[name]} and {page}")
            found[name] = page
    return found


def refreshed(text: str) -> str:
    """A page's text as it should be."""
    text = SOURCE.sub(lambda m: m[1] + excerpt(m[2], m[3].split()) + m[5], text)
    text = OUTPUT.sub(lambda m: m[1] + output(m[2]) + m[4], text)
    return GENERATED.sub(lambda m: m[1] + GENERATORS[m[2]]() + m[4], text)


def excerpt(file: str, names: list[str]) -> str:
    """The source of some definitions of a file, without the indentation of their class.

    Args:
        file: a path from the repository's root.
        names: such as "LinearPass.backward".

    Raises:
        LookupError: the file does not define a name.
    """
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
        if getattr(child, "name", None) == name:
            return child
        targets = getattr(child, "targets", [getattr(child, "target", None)])
        if any(getattr(target, "id", None) == name for target in targets):
            return child
    raise LookupError(f"{what}: no such definition")


def output(command: str) -> str:
    """What a `minigan` command prints, for commands that need no files."""
    from minigan.cli.main import main

    words = shlex.split(command)
    if words[0] != "minigan":
        raise ValueError(f"only minigan's own output is shown, not that of {command!r}")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main(words[1:])
    if code:
        raise ValueError(f"{command!r} ended with exit code {code}")
    return printed.getvalue().rstrip() + "\n"


def reference() -> str:
    """One section for each public name: its page, its signature, its docstring."""
    import minigan as mg

    where = homes()
    text = []
    for name in sorted(mg.__all__, key=str.casefold):
        if name.startswith("_"):
            continue
        thing = getattr(mg, name)
        signature = "" if _is_error(thing) else _signature(thing)
        text.append(f"## {name}\n\n")
        if name in where:
            home = where[name].relative_to(DOCS).as_posix()
            text.append(f"Explained in [{title_of(where[name])}]({home}).\n\n")
        body = inspect.cleandoc(thing.__doc__ or "")
        members = _members(thing) if isinstance(thing, type) and not _is_error(thing) else ""
        text.append(f"```text\n{name}{signature}\n\n{body}{members}\n```\n\n")
    return "\n" + "".join(text)


def _is_error(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, BaseException)


def _signature(thing: object) -> str:
    """The arguments, without the quotes of annotations; on several lines if they are long."""
    signature = str(inspect.signature(thing))  # type: ignore[arg-type]
    signature = re.sub(r"(: |-> )'([^']*)'", r"\1\2", signature).removesuffix(" -> None")
    signature = re.sub(r"\(self(, )?", "(", signature)
    if len(signature) <= 80:
        return signature
    return re.sub(r", (?=\*?\*?\w+[:=,)]|\*,)", ",\n    ", signature).replace("(", "(\n    ", 1)


def _members(kind: type) -> str:
    """The public methods and properties that a class itself defines, with their first sentences."""
    lines = []
    for name, member in vars(kind).items():
        member = getattr(member, "__func__", member)
        doc = (getattr(member, "__doc__", None) or "").strip().partition("\n")[0]
        if name.startswith("_") or not doc:
            continue
        if isinstance(member, property | functools.cached_property):
            lines.append(f".{name}\n    {doc}")
        elif inspect.isfunction(member):
            lines.append(f".{name}{_signature(member)}\n    {doc}")
    return "\n\n" + "\n\n".join(lines) if lines else ""


def title_of(page: Path) -> str:
    """A page's first heading."""
    return re.search(r"^# (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)[1]  # type: ignore[index]


GENERATORS = {"reference": reference}


def out_of_date() -> Iterator[tuple[Path, str]]:
    """Every page that is not as it should be, and its text as it should be."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        new = refreshed(text)
        if new != text:
            yield page, new


def main(argv: list[str]) -> int:
    """Refresh the pages, or check them."""
    stale = list(out_of_date())
    for page, text in stale:
        print(f"{'out of date' if '--check' in argv else 'refreshed'}: {page.relative_to(ROOT)}")
        if "--check" not in argv:
            page.write_text(text, encoding="utf-8", newline="\n")
    return 1 if stale and "--check" in argv else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
