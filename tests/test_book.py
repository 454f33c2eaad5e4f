"""The book keeps its word: its code is the source's or runs, its links lead somewhere.

Nothing here needs Sphinx: the pages are plain Markdown, and are read as such.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import io
import json
import pydoc
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from unittest import mock

import pytest
from links import leads_nowhere
from running import load_script

import minigan as mg
from minigan.backend.numpy import convolution
from minigan.cli.main import main
from minigan.config import CLASSES

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


book = load_script(DOCS / "book.py")
PAGES = [
    page.relative_to(ROOT).as_posix()
    for page in sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
    if "_build" not in page.parts
]
#: Pages whose code other tests look at: test_docs.py, test_ladder.py and test_contributing.py.
CODE_CHECKED_ELSEWHERE = (
    *("README.md", "README.zh-CN.md", "CONTRIBUTING.md"),
    "docs/performance.md",
)
OUTPUT = re.compile(
    r"^<!-- output: minigan (.*) -->\n```text\n(.*?)^```$", re.DOTALL | re.MULTILINE
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
#: The parts of a page about a layer, a loss or an optimizer, in their order.
PARTS = [
    "The formula",
    "The derivation",
    "Shapes",
    "The code",
    "A worked example",
    "The numerics",
    "Its gradient check",
    "Exercise",
]
EXPLAINED = ("layers", "losses", "optimizers")


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


# -- code -------------------------------------------------------------------------------


def run_code(text: str, name: str) -> str:
    """Run a page's code, top to bottom in one namespace; return what went wrong, or nothing."""
    names: dict[str, object] = {}
    said: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.REPORT_ONLY_FIRST_FAILURE)
    for block in FENCE.finditer(text):
        line = text[: block.start()].count("\n") + 1
        if block[1] == "pycon":
            test = doctest.DocTestParser().get_doctest(block[2], names, name, name, line)
            assert test.examples, f"{name}:{line}: a pycon block without >>>"
            runner.run(test, out=said.append, clear_globs=False)
            names.update(test.globs)
        elif block[1] == "python":
            exec(compile("\n" * line + block[2], name, "exec"), names)
    return "".join(said)


@contextlib.contextmanager
def registry_of_its_own():
    """Only minigan's classes are registered inside; what a page adds is gone afterwards."""
    with contextlib.ExitStack() as stack:
        for classes in CLASSES.values():
            ours = {name: c for name, c in classes.items() if c.__module__.startswith("minigan.")}
            stack.enter_context(mock.patch.dict(classes, ours, clear=True))
        yield


@pytest.mark.parametrize("page", [p for p in PAGES if p not in CODE_CHECKED_ELSEWHERE])
def test_code_of_the_book_runs_and_prints_what_it_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINIGAN_DATA_DIR", raising=False)
    with registry_of_its_own():
        said = run_code(read(page), page)
    assert not said, said


def wrong_outputs(text: str) -> list[str]:
    """The `minigan` commands of a page that print something else than the block below them."""
    wrong = []
    for words, shown in OUTPUT.findall(text):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            assert main(shlex.split(words)) == 0
        if printed.getvalue().rstrip() != shown.rstrip():
            wrong.append(f"paste what `minigan {words}` prints")
    return wrong


@pytest.mark.parametrize("page", PAGES)
def test_outputs_and_code_of_a_page_are_those_of_minigan(page):
    text = read(page)
    assert wrong_outputs(text) == []
    assert text.count("<!-- output:") == len(OUTPUT.findall(text)), "an output without a block"
    assert "<!-- source:" not in text, "code is not copied: see docs/book.py"
    assert all(code.strip() for code in book.excerpts(text))
    lines = re.findall(r"^\[\S+\.py\]\(\S+\): ?`.*", text, re.MULTILINE)
    assert len(lines) == len(book.SOURCE.findall(text)), f"one of {lines} has another form"
    for file, target in re.findall(r"^\[(\S+\.py)\]\((\S+)\): `", text, re.MULTILINE):
        assert (ROOT / page).parent.joinpath(target).resolve() == ROOT / file


def test_the_file_of_the_tutorial_is_explained(tmp_path, capsys):
    """A reader who puts all code without >>> into a file, as it says, has two right layers."""
    pieces = [
        block[2] for block in FENCE.finditer(read("docs/softplus.md")) if block[1] == "python"
    ]
    (tmp_path / "softplus.py").write_text("\n\n".join(pieces), encoding="utf-8")
    with registry_of_its_own():
        assert main(["explain", str(tmp_path / "softplus.py")]) == 0
    shown = capsys.readouterr().out
    assert shown.count("to the printed digits.") == 2
    assert shown.count("a GAN runs its step each time") == 2  # they compute in NumPy


# -- words ------------------------------------------------------------------------------


#: The line under a page's title that lists the public names that the page explains.
NAMES = re.compile(r"^Public names?: (.*)\.$", re.MULTILINE)
LISTED = re.compile(r"^- \[`([\w.]+)`\]\(([^)]+)\)$", re.MULTILINE)  # in reference.md


def explained() -> list[tuple[str, str]]:
    """Every public name with the page that says it explains it."""
    return [
        (name, page.removeprefix("docs/"))
        for page in PAGES
        for line in NAMES.findall(read(page))
        for name in re.findall(r"`(\w+)`", line)
    ]


def test_every_public_name_has_one_page_and_is_in_the_reference():
    public = sorted(name for name in mg.__all__ if not name.startswith("_"))
    assert sorted(name for name, _ in explained()) == public
    listed = LISTED.findall(read("docs/reference.md"))
    assert sorted(entry for entry in listed if "." not in entry[0]) == sorted(explained())
    experiment = {name.removeprefix("experiment.") for name, _ in listed if "." in name}
    assert experiment >= set(mg.experiment.__all__)
    assert all(pydoc.locate(f"minigan.{name}") for name, _ in listed)


@pytest.mark.parametrize(
    "page", [p for p in PAGES if Path(p).parent.name in EXPLAINED and "zh-CN" not in p]
)
def test_a_page_of_the_calculus_has_all_its_parts(page):
    text = re.sub(r"^```.*?^```$", "", read(page), flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == PARTS
    assert book.SOURCE.search(text), "it shows no code of ours"
    assert ">>>" in read(page), "it has no worked example"
    assert "<details>" in text, "its exercise has no answer"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_plain_markdown(page):
    """No directives or roles, which a code host would show as they stand."""
    text = read(page)
    assert "```{" not in text
    assert ":::" not in text
    assert not re.search(r"\{\w+\}`", text)
    assert text.startswith("# ")
    assert len(re.findall(r"^```", text, flags=re.MULTILINE)) % 2 == 0


# -- formulas ---------------------------------------------------------------------------

FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<![\\$])\$(?!\s)([^$\n]+?)(?<!\s)\$(?!\d)", re.DOTALL)
#: Node.js: formulas on stdin, those that KaTeX refuses on stdout.
PARSE = """
const katex = require(process.argv[1]);
const formulas = JSON.parse(require("fs").readFileSync(0, "utf-8"));
for (const [text, display] of formulas) {
  try { katex.renderToString(text, {displayMode: display, strict: "error"}); }
  catch (error) { console.log(text + "   " + error.message); }
}
"""


def formulas(text: str) -> list[tuple[str, bool]]:
    """The formulas of a page, and whether each is displayed."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`\n]*`|^ {4}.*$", "", text, flags=re.MULTILINE)
    return [(m[1] or m[2], bool(m[1])) for m in FORMULA.finditer(text)]


def refused(found: list[tuple[str, bool]]) -> str:
    """What KaTeX says of those it cannot draw; the test is skipped where there is no KaTeX."""
    node = shutil.which("node")
    there = node and importlib.util.find_spec("sphinxcontrib")
    spec = importlib.util.find_spec("sphinxcontrib.katex") if there else None
    if spec is None:
        pytest.skip("KaTeX is not here: it needs Node.js, and the extra `docs`")
    katex = Path(spec.origin).with_name("katex.min.js")
    done = subprocess.run(
        [node, "-e", PARSE, str(katex)],
        input=json.dumps(found),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout


def test_katex_can_draw_every_formula():
    found = [formula for page in PAGES for formula in formulas(read(page))]
    assert len(found) > 500
    assert refused(found) == ""
    assert r"\frac{1}" in refused([(r"x^2", False), (r"\frac{1}", True), (r"\sumup", False)])


def lines_off(page: Path) -> list[str]:
    """Rows of a table whose number of lines is no longer that of the files they link."""
    off = []
    for row in re.findall(r"^\| (.*?) \| ([\d,]+) \|", page.read_text("utf-8"), re.MULTILINE):
        files = [page.parent / target for target in re.findall(r"\]\(([^)]+\.py)\)", row[0])]
        if not files or " and " in row[0] or "of [" in row[0]:
            continue  # parts of files, or more than what is linked
        lines = sum(file.read_text("utf-8").count("\n") for file in files)
        if abs(lines - int(row[1].replace(",", ""))) > max(15, 0.1 * lines):
            off.append(f"{row[0]}: {lines}")
    return off


def test_the_reading_path_knows_how_long_files_are(tmp_path):
    page = DOCS / "reading.md"
    assert lines_off(page) == []
    text = page.read_text(encoding="utf-8").replace("](../", f"]({ROOT.as_posix()}/")
    (tmp_path / "page.md").write_text(text.replace("| 100 |", "| 150 |"), encoding="utf-8")
    assert len(lines_off(tmp_path / "page.md")) >= 2


# -- links ------------------------------------------------------------------------------


def broken_links(page: Path) -> list[str]:
    """The links and pictures of a page that lead nowhere. Those into the web are not followed."""
    text = re.sub(
        r"^```.*?^```$|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    return [link for link in re.findall(r"\]\(([^()\s]+)\)", text) if leads_nowhere(page, link)]


@pytest.mark.parametrize("page", PAGES)
def test_links_of_the_book_lead_somewhere(page):
    assert broken_links(ROOT / page) == []


def test_every_page_is_in_the_contents():
    contents = read("docs/index.md").partition("\n## ")[2]
    listed = re.findall(r"\]\(([\w./-]+\.md)\)", contents)
    assert len(listed) == len(set(listed))
    mine = {p.removeprefix("docs/") for p in PAGES if p.startswith("docs/")}
    assert set(listed) == mine - {"index.md"}


# -- pictures and numbers ---------------------------------------------------------------

PICTURES = {
    **load_script(DOCS / "drawings.py").PICTURES,
    **load_script(DOCS / "game_drawings.py").PICTURES,
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_of_a_layer_or_a_game_shows_what_is_computed(name):
    """Words and numbers alone: Matplotlib's version decides how lines are written in a file."""
    svg = (DOCS / "figures" / f"{name}.svg").read_text(encoding="utf-8")
    kept = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    axes = PICTURES[name]().axes[0]
    drawn = [line for text in axes.texts for line in text.get_text().split("\n") if line]
    assert len(drawn) > 5
    assert sorted(kept) == sorted(drawn), "`make figures` draws it again"


def test_the_page_on_speed_knows_how_many_windows_are_made_at_a_time():
    numbers, mebibytes = convolution.BLOCK / 2**20, 4 * convolution.BLOCK / 2**20
    text = re.sub(r"\s+", " ", read("docs/performance.md"))
    assert f"at most {numbers:g} Mi numbers, {mebibytes:g} MiB in float32" in text
    assert f"if o is at most {convolution.SCATTER} c, and" in text


# -- planted faults ---------------------------------------------------------------------


def test_a_wrong_doctest_is_noticed():
    text = read("docs/layers/linear.md")
    assert not run_code(text, "linear")
    assert run_code(text.replace("[[1. 5.]]", "[[5. 1.]]"), "linear")


def test_code_that_is_not_in_the_source_is_noticed():
    line = "[minigan/nn/layers/linear.py](../minigan/nn/layers/linear.py): `LinearPass.{}`\n"
    (code,) = book.excerpts(line.format("backward") + "Prose about `LinearPass.backward`.\n")
    assert code.startswith("def backward(\n    self, dY")
    with pytest.raises(LookupError, match=r"linear.py LinearPass.sideways: no such definition"):
        book.excerpts(line.format("sideways"))


def test_an_output_that_drifted_is_noticed():
    text = read(next(page for page in PAGES if OUTPUT.search(read(page))))
    assert wrong_outputs(OUTPUT.sub(lambda m: m[0].replace("1", "7"), text)) != []


def test_what_a_page_would_load_from_a_network_is_noticed():
    text = """
    <a href="https://example.org">a link</a> <img src="figures/a.png"> <img src="data:image/png,">
    <link rel="stylesheet" href="https://one.example/katex.css">
    <script src="//two.example"></script>
    <style>@import "http://three.example"; p { background: url('https://four.example/a.png') }
    b { background: url(data:image/svg+xml;http://www.w3.org/2000/svg) }</style>
    """
    assert book.loaded_from_outside(text) == [
        "https://one.example/katex.css",
        "//two.example",
        "http://three.example",
        "https://four.example/a.png",
    ]


def test_broken_links_are_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n[a](#a-page) [b](#b) [c](c.md) [d](page.md#a-page)\n", "utf-8")
    assert broken_links(page) == ["#b", "c.md"]
