"""A translation `name.zh-CN.md` keeps what can be compared without knowing the language.

Section by section these must be the same as in `name.md`: the level of the heading, code, the
targets of links and pictures, the form of tables, and numbers in digits. Words are not compared.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from links import leads_nowhere

ROOT = Path(__file__).resolve().parent.parent
SUFFIX = ".zh-CN.md"
TRANSLATIONS = [
    page.relative_to(ROOT).as_posix()
    for page in sorted([*ROOT.glob(f"*{SUFFIX}"), *ROOT.glob(f"docs/**/*{SUFFIX}")])
    if "_build" not in page.parts
]

FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
ROW = re.compile(r"^\|.*\|$", re.MULTILINE)
PIECE = re.compile(r"\n\s*\n|\n(?=\s*(?:[*+-]|\d\.) )")  # between paragraphs and list items
INDENTED = re.compile(r"(?:^ {4,}\S.*\n)+", re.MULTILINE)
COMMENT = re.compile(r"^<!--.*?-->$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(`+)([^`].*?)\1", re.DOTALL)
LINK = re.compile(r"\]\(([^()\s]+)\)")  # and of pictures
#: A sign belongs to its number unless a letter or a digit stands before it: 20-59 are 20 and 59.
NUMBER = re.compile(r"(?<![\w.])(?:(?<![^\s(\[|])-)?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?", re.ASCII)


def original_of(name: str) -> str:
    return name.removesuffix(SUFFIX) + ".md" if name.endswith(SUFFIX) else name


def parts(section: str) -> dict[str, Counter[str]]:
    """What a section must have in common with its translation, each with how often it occurs."""
    section = COMMENT.sub("", section).replace("<=", "≤").replace(">=", "≥")
    code = [*FENCE.findall(section), *INDENTED.findall(FENCE.sub("", section))]
    section = INDENTED.sub("\n\n", FENCE.sub("\n\n", section))
    inline = [words for _, words in INLINE.findall(section)]
    section = INLINE.sub("`", section)
    links = [original_of(link.partition("#")[0]) for link in LINK.findall(section)]
    section = LINK.sub("]", section)
    cells = [
        f"row {at}, column {column}: {' '.join(sorted(NUMBER.findall(cell)))}"
        for at, row in enumerate(ROW.findall(section))
        for column, cell in enumerate(row.split("|")[1:-1])
    ]
    prose = ROW.sub("", section).replace("1-D", "")
    pieces = [piece for piece in PIECE.split(prose) if piece.strip()]
    return {
        "headings": Counter(re.findall(r"^#+ ", section, re.MULTILINE)),
        "paragraphs and items": Counter(paragraphs=len(pieces)),
        "code": Counter(code),
        "code in a line": Counter(inline),
        "links": Counter(links),
        "table": Counter(cells),
        "numbers": Counter(number.replace(",", "") for number in NUMBER.findall(prose)),
        "signs": Counter(re.findall("[%≤≥]|[*][*]", section)),
    }


def sections(page: str, other: str) -> list[str]:
    """A page cut before each heading, without the line that links the other language's page."""
    page = re.sub(rf"^.*\]\({re.escape(other)}\).*$", "", page, count=1, flags=re.MULTILINE)
    page = FENCE.sub(lambda code: code[0].replace("\n#", "\n.#"), page)  # comments, no headings
    return re.split(r"^(?=#+ )", page, flags=re.MULTILINE)[1:]


def differences(original: str, translation: str, name: str = "page.md") -> list[str]:
    """What differs between a page and its translation; `name` is that of the original."""
    ours = sections(original, name.removesuffix(".md") + SUFFIX)
    theirs = sections(translation, name)
    if len(ours) != len(theirs):
        return [f"headings: {len(ours)} sections, {len(theirs)} in the translation"]
    return [
        f"{section[:30]!r}: {what}: lost {sorted(here - there)}, new {sorted(there - here)}"
        for section, twin in zip(ours, theirs, strict=True)
        for (what, here), there in zip(parts(section).items(), parts(twin).values(), strict=True)
        if here != there
    ]


def broken_links(page: Path) -> list[str]:
    """Links that lead nowhere, or to an original that has a translation."""
    text = INLINE.sub("", INDENTED.sub("", FENCE.sub("", page.read_text("utf-8"))))
    broken = []
    for link in LINK.findall(text):
        path = page.parent / link.partition("#")[0]
        translated = path.with_name(path.name.removesuffix(".md") + SUFFIX)
        if leads_nowhere(page, link):
            broken.append(link)
        elif translated.is_file() and translated.name != page.name:
            broken.append(f"{link}: it is translated")
    return broken


def test_the_pages_for_a_first_visit_are_translated():
    assert {"README.zh-CN.md", "docs/gaussian1d.zh-CN.md", "docs/mnist.zh-CN.md"} <= {*TRANSLATIONS}


@pytest.mark.parametrize("page", TRANSLATIONS)
def test_a_translation_keeps_what_its_original_has(page):
    path = ROOT / page
    original = path.with_name(original_of(path.name))
    text = path.read_text("utf-8")
    assert differences(original.read_text("utf-8"), text, original.name) == []
    assert f"English: [{original.name}]({original.name})" in text.split("\n\n")[1]
    assert broken_links(path) == []


PAGE = """\
# Packs

[中文](page.zh-CN.md)

On 20 seeds the mean of `G` is 4 and is off by -0.29 after 12,000 steps, 5 %.

    make seeds    # on 20 seeds

## What is left

![The figure](figure.png)

* See [the first page](first.md#packs).
* Two of them.

| packs | cleared | KS |
|---|---:|---:|
| 64 | 0 of 20 | 0.281 |

```python
lr = 0.1
```
"""
FAULTS = {
    "a changed number": ("-0.29", "-0.92", "numbers: lost ['-0.29'], new ['-0.92']"),
    "a lost sign": ("-0.29", "0.29", "numbers"),
    "a lost zero": ("12,000", "1,200", "numbers"),
    "a number with one digit": ("is 4", "is 5", "numbers"),
    "a lost percent sign": ("5 %", "5", "signs"),
    "a missing section": (PAGE[PAGE.index("## ") :], "", "headings"),
    "a heading of another level": ("## What", "### What", "headings"),
    "a missing item": ("* Two of them.\n", "", "paragraphs"),
    "a changed code block": ("lr = 0.1", "lr = 0.2", "code"),
    "a changed indented block": ("# on 20", "# 在 20", "code"),
    "changed code in a line": ("`G`", "`D`", "code in a line"),
    "another picture": ("figure.png", "figures.png", "links"),
    "another link": ("(first.md", "(second.md", "links"),
    "a missing row": ("| 64 | 0 of 20 | 0.281 |\n", "", "table"),
    "a missing column": (" 0.281 |", "", "table"),
    "two cells exchanged": ("| 0 of 20 | 0.281 |", "| 0.281 | 0 of 20 |", "table"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_translation_is_noticed(fault):
    old, new, said = FAULTS[fault]
    twin = PAGE.replace("[中文](page.zh-CN.md)", "English: [page.md](page.md)")
    twin = twin.replace("(first.md#packs)", "(first.zh-CN.md#打包)")
    old = old.replace("(first.md", "(first.zh-CN.md")
    assert differences(PAGE, twin) == []
    assert twin.count(old) == 1 or fault == "a missing section"
    found = differences(PAGE, twin.replace(old, new) if old in twin else twin.partition("## ")[0])
    assert any(said in one for one in found), found


def test_broken_links_of_a_translation_are_noticed(tmp_path):
    (tmp_path / "first.md").write_text("# First\n", "utf-8")
    (tmp_path / "first.zh-CN.md").write_text("# 第一页\n", "utf-8")
    (tmp_path / "page.md").write_text("# A page\n", "utf-8")
    page = tmp_path / "page.zh-CN.md"
    links = "[a](page.md) [b](first.md) [c](first.zh-CN.md#第一页) [d](first.zh-CN.md#first)"
    page.write_text(f"# 页\n\n{links} ![e](lost.png) [f](#页) `[g](code.md)`\n", "utf-8")
    assert broken_links(page) == ["first.md: it is translated", "first.zh-CN.md#first", "lost.png"]
