"""The translations say what the English pages say: every section, number, table, code and picture.

A page `name.zh-CN.md` is the translation of `name.md` beside it. What can be compared without
knowing the language is compared here, section by section. Words are not: a sentence may be wrong
and pass. A faithful translation must keep

* the headings' levels, and in each section the paragraphs, list items, tables and pictures;
* code, byte for byte, in blocks and in lines;
* links, but for a link to a page that is translated: it goes to the translation;
* the form of every table, and the numbers in every cell;
* every number of a paragraph, item or heading, however it is written (see `numbers`).
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from links import leads_nowhere

ROOT = Path(__file__).resolve().parent.parent
SUFFIX = ".zh-CN.md"
TRANSLATIONS = [
    *(page.relative_to(ROOT).as_posix() for page in sorted(ROOT.glob(f"*{SUFFIX}"))),
    *(
        page.relative_to(ROOT).as_posix()
        for page in sorted(ROOT.glob(f"docs/**/*{SUFFIX}"))
        if "_build" not in page.parts
    ),
]

# -- reading a page ---------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Block:
    """A piece of a page, of the kind heading, paragraph, item, table, picture or code."""

    kind: str
    text: str


FIRST_LINES = {
    "heading": r"#+ ",
    "picture": r"!\[[^\]]*\]\([^)]*\)$",
    "table": r"\|",
    "item": r"([*+-]|\d+\.) ",
    "paragraph": r"",
}
#: What may follow in a block: a table's rows, and whatever begins nothing new.
LATER_LINES = {
    "table": r"\|",
    "item": r"(?!\||#+ |```|([*+-]|\d+\.) )",
    "paragraph": r"(?!\||#+ |```|([*+-]|1\.) )",  # as in Markdown: a line "520. The" goes on
}


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a page, in their order. Blank lines and comments are left out."""
    lines = re.sub(r"^<!--.*?-->$", "", text, flags=re.DOTALL | re.MULTILINE).splitlines()
    at = 0
    while at < len(lines):
        first, start = lines[at], at
        at += 1
        if not first.strip():
            continue
        if first.startswith("```"):
            while at < len(lines) and lines[at].rstrip() != "```":
                at += 1
            at += 1
            yield Block("code", "\n".join(lines[start:at]))
        elif first.startswith("    "):
            while at < len(lines) and (lines[at].startswith("    ") or not lines[at].strip()):
                at += 1
            yield Block("code", "\n".join(lines[start:at]).rstrip())
        else:
            kind = next(
                kind for kind, form in FIRST_LINES.items() if re.match(form, first.lstrip())
            )
            later = LATER_LINES.get(kind)
            while later and at < len(lines) and lines[at].strip():
                if not re.match(later, lines[at].lstrip()):
                    break
                at += 1
            yield Block(kind, "\n".join(lines[start:at]))


def sections(text: str, other: str) -> list[list[Block]]:
    """The blocks of a page, a list for each heading, without the line that leads to the other
    language's page, which stands under the title in one of them or both."""
    found: list[list[Block]] = [[]]
    for block in blocks(text):
        if block.kind == "heading":
            found.append([])
        if len(found) > 2 or f"]({other})" not in block.text:
            found[-1].append(block)
    return found if found[0] else found[1:]


def prose(section: list[Block]) -> list[str]:
    """The texts of a section that are not code."""
    return [block.text for block in section if block.kind != "code"]


CODE_IN_A_LINE = re.compile(r"(`+)([^`].*?)\1", re.DOTALL)
LINK = re.compile(r"(?<!!)(\[[^\]]*\])\(([^()\s]+)\)")
PICTURE = re.compile(r"!(\[[^\]]*\])\(([^()\s]+)\)")


def words(text: str) -> str:
    """What a reader reads: no code, no targets of links and pictures."""
    text = CODE_IN_A_LINE.sub(" ", text)
    return PICTURE.sub(r"\1", LINK.sub(r"\1", text))


# -- numbers ----------------------------------------------------------------------------

#: A sign belongs to its number unless a letter or a digit stands before it: 20-59 are 20 and 59.
DIGITS = re.compile(r"(?<![A-Za-z0-9_.])(?:(?<![^\s(\[|])-)?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
ENGLISH = {"one": 1, "two": 2, "three": 3, "third": 3, "four": 4, "fourth": 4, "five": 5}
ENGLISH |= {"fifth": 5, "six": 6, "sixth": 6, "seven": 7, "seventh": 7, "eight": 8, "eighth": 8}
ENGLISH |= {"nine": 9, "ninth": 9, "ten": 10, "tenth": 10, "eleven": 11, "twelve": 12}
ENGLISH |= {"thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17}
ENGLISH |= {"eighteen": 18, "nineteen": 19, "twenty": 20, "twentieth": 20, "thirty": 30}
ENGLISH |= {"forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
SCALES = {"hundred": 100, "hundredth": 100, "thousand": 1000, "thousandth": 1000}
_WORD = "|".join(sorted({*ENGLISH, *SCALES}, key=len, reverse=True))
ENGLISH_NUMBER = re.compile(rf"\b(?:{_WORD})(?:[ -](?:{_WORD}))*(?=s?\b)", re.IGNORECASE)
CHINESE = {"两": 2} | {sign: value for value, sign in enumerate("零一二三四五六七八九")}
CHINESE_SCALES = {"十": 10, "百": 100, "千": 1000, "万": 10000}
CHINESE_NUMBER = re.compile(f"[{''.join({*CHINESE, *CHINESE_SCALES})}]+")
#: Words that are made of numerals and mean no number.
NO_NUMBER = re.compile(r"\b1-D\b|四舍五入|百分之|十分(?!之)|万一")


def english(number: str) -> int:
    """A number in English words: "forty-two" is 42, "two hundred" 200, "a twentieth" 20."""
    total = 0
    for word in re.split(r"[ -]", number.lower()):
        total = max(total, 1) * SCALES[word] if word in SCALES else total + ENGLISH[word]
    return total


def chinese(number: str) -> int:
    """A number in Chinese numerals: 四十二 is 42, 两百 200, the 二十 of 二十分之一 20."""
    total = digit = 0
    for sign in number:
        if sign in CHINESE:
            digit = CHINESE[sign]
        elif sign == "万":
            total, digit = max(total + digit, 1) * CHINESE_SCALES[sign], 0
        else:
            total, digit = total + max(digit, 1) * CHINESE_SCALES[sign], 0
    return total + digit


@functools.cache
def numbers(text: str) -> tuple[Counter[str], Counter[str]]:
    """The numbers of a text: those from three on, and 0, 1 and 2.

    One language has a word where the other has digits, so numbers count as what they are worth:
    twenty, 二十 and 20 are the same. That is not so below three, where words come and go with
    the grammar ("one", "both", "twice"): there only digits count. Numbers with a decimal point
    keep their form, as 0.10 says more than 0.1.
    """
    text = NO_NUMBER.sub(" ", words(text))
    found = [digits.replace(",", "") for digits in DIGITS.findall(text)]
    small = Counter(number for number in found if number.lstrip("-") in ("0", "1", "2"))
    written = [english(number) for number in ENGLISH_NUMBER.findall(text)]
    written += [chinese(number) for number in CHINESE_NUMBER.findall(text)]
    large = Counter(found) - small + Counter(str(number) for number in written if number > 2)
    return large, small


# -- comparing two pages ------------------------------------------------------------------


def unequal(what: str, original: Counter[str], translation: Counter[str]) -> Iterator[str]:
    lost, new = original - translation, translation - original
    if lost or new:
        yield f"{what}: lost {sorted(lost.elements())}, new {sorted(new.elements())}"


def different_numbers(original: str, translation: str) -> Iterator[str]:
    (large, small), (large_there, small_there) = numbers(original), numbers(translation)
    yield from unequal("numbers", large, large_there)
    yield from unequal("numbers", small, small & small_there)  # it may have more of them


def marks(text: str, pattern: str = r"[%≤≥]") -> Counter[str]:
    """Signs that change a meaning when they are lost."""
    text = text.replace("<=", "≤").replace(">=", "≥")
    return Counter(re.findall(pattern, text))


def rows(table: str) -> list[list[str]]:
    """The cells of a table."""
    return [[cell.strip() for cell in row.strip()[1:-1].split("|")] for row in table.splitlines()]


def different_tables(original: str, translation: str) -> Iterator[str]:
    ours, theirs = rows(original), rows(translation)
    if [len(row) for row in ours] != [len(row) for row in theirs]:
        yield f"table: {len(ours)} rows there, {len(theirs)} rows here, or other columns"
        return
    for at, (row, row_there) in enumerate(zip(ours, theirs, strict=True)):
        for cell, cell_there in zip(row, row_there, strict=True):
            if re.search(r"[^\W\d_]", cell):
                said = list(different_numbers(cell, cell_there))
                of_both = (marks(text, r"\*\*|\*[GD]\*|[%≤≥]") for text in (cell, cell_there))
                said += unequal("marks", *of_both)
            else:
                said = [] if cell.replace(" ", "") == cell_there.replace(" ", "") else [cell]
            yield from (f"table, row {at}: {cell!r} became {cell_there!r}" for _ in said)


def different_sections(original: list[Block], translation: list[Block]) -> Iterator[str]:
    kinds, kinds_there = [b.kind for b in original], [b.kind for b in translation]
    if kinds != kinds_there:
        yield f"blocks: {kinds} became {kinds_there}"
        return

    codes, codes_there = ([b.text for b in s if b.kind == "code"] for s in (original, translation))
    if codes != codes_there:
        yield "code: the blocks are not the same"

    ours, theirs = "\n\n".join(prose(original)), "\n\n".join(prose(translation))
    yield from unequal(
        "code in a line",
        *(Counter(code[1] for code in CODE_IN_A_LINE.findall(text)) for text in (ours, theirs)),
    )
    yield from unequal(
        "pictures",
        *(Counter(picture[1] for picture in PICTURE.findall(text)) for text in (ours, theirs)),
    )
    yield from unequal(
        "links", *(Counter(original_of(link) for link in links(text)) for text in (ours, theirs))
    )

    for block, block_there in zip(original, translation, strict=True):
        if block.kind == "table":
            yield from different_tables(block.text, block_there.text)
        elif block.kind != "code":
            yield from different_numbers(block.text, block_there.text)
            yield from unequal("marks", marks(block.text), marks(block_there.text))


def links(text: str) -> list[str]:
    """The links of a text, without code and anchors (the headings' names are translated)."""
    return [target.partition("#")[0] for _, target in LINK.findall(CODE_IN_A_LINE.sub(" ", text))]


def original_of(link: str) -> str:
    return link.removesuffix(SUFFIX) + ".md" if link.endswith(SUFFIX) else link


def differences(original: str, translation: str, name: str = "page.md") -> list[str]:
    """What a translation does not say as its original does; `name` is that of the original."""
    ours = sections(original, translation_of(name))
    theirs = sections(translation, name)
    levels, levels_there = (
        [s[0].text.split()[0] if s[0].kind == "heading" else "" for s in page if s]
        for page in (ours, theirs)
    )
    if levels != levels_there:
        return [f"headings: {levels} became {levels_there}"]
    return [
        f"{section[0].text}: {said}"
        for section, section_there in zip(ours, theirs, strict=True)
        for said in different_sections(section, section_there)
    ]


def translation_of(name: str) -> str:
    return name.removesuffix(".md") + SUFFIX


def pair(page: str) -> tuple[str, str, str]:
    """An original, its translation, and the original's name."""
    path = ROOT / page
    original = path.with_name(original_of(path.name))
    return original.read_text("utf-8"), path.read_text("utf-8"), original.name


def broken_links(page: Path) -> list[str]:
    """Links and pictures that lead nowhere, or to an original that has a translation."""
    text = page.read_text("utf-8")
    text = CODE_IN_A_LINE.sub(" ", "\n\n".join(prose(list(blocks(text)))))
    broken = []
    for _, link in [*LINK.findall(text), *PICTURE.findall(text)]:
        target = link.partition("#")[0]
        path = page.parent / target if target else page
        translated = path.with_name(translation_of(path.name))
        if leads_nowhere(page, link):
            broken.append(link)
        elif translated.exists() and translated.name != page.name:
            broken.append(f"{link}: it is translated")
    return broken


# -- the pages --------------------------------------------------------------------------


def test_the_pages_for_a_first_visit_are_translated():
    assert {"README.zh-CN.md", "docs/gaussian1d.zh-CN.md", "docs/mnist.zh-CN.md"} <= {*TRANSLATIONS}


@pytest.mark.parametrize("page", TRANSLATIONS)
def test_a_translation_says_what_its_original_says(page):
    assert differences(*pair(page)) == []


@pytest.mark.parametrize("page", TRANSLATIONS)
def test_a_translation_leads_to_its_original_at_once(page):
    _, translation, name = pair(page)
    _, line, *_ = blocks(translation)
    assert line.kind == "paragraph"
    assert f"English: [{name}]({name})" in line.text


@pytest.mark.parametrize("page", TRANSLATIONS)
def test_links_of_a_translation_lead_somewhere(page):
    assert broken_links(ROOT / page) == []


@pytest.mark.parametrize("page", TRANSLATIONS)
def test_lines_of_a_translation_are_whole_paragraphs(page):
    """A line's end would be a space between two Chinese characters."""
    for block in blocks((ROOT / page).read_text("utf-8")):
        assert block.kind in ("code", "table") or "\n" not in block.text, block.text


# -- planted faults ---------------------------------------------------------------------

ENGLISH_PAGE = """\
# Packs

[中文](page.zh-CN.md)

On twenty seeds, 0 to 19, the mean of `G` is 4 and is off by 0.29 after 12,000 steps.

    make seeds    # on 20 seeds

## What is left

![The figure](figure.png)

* A third of the seeds, nineteen in a hundred, lies in [-1, 1);
  see [the first page](first.md#packs).
* 5 % is not 50 %.

| packs of *G* | cleared | KS |
|---|---:|---:|
| 64, as before | 0 of 20 | 0.281 |
| *none* | 14 of 20 | -0.5 % |

### Code

```python
lr = 0.1  # a rate
```

Some forty lines.
"""
CHINESE_PAGE = """\
# 打包

English: [page.md](page.md)。以英文版为准。

在 20 个种子 0 到 19 上、走 12,000 步之后、`G` 的均值为 4、偏差为 0.29。

    make seeds    # on 20 seeds

## 剩下什么

![图](figure.png)

* 三分之一的种子、即一百个里的十九个、在 [-1, 1) 中。见[第一页](first.zh-CN.md#打包)。
* 5% 不是 50%。

| *G* 的包 | 达标 | KS |
|---|---:|---:|
| 64、同前 | 0 / 20 | 0.281 |
| *无* | 14 / 20 | -0.5% |

### 代码

```python
lr = 0.1  # a rate
```

约四十行。
"""
FAULTS = {
    "a changed number": ("0.29", "0.92", "# Packs: numbers: lost"),
    "a number with one digit": ("均值为 4", "均值为 5", "numbers"),
    "a small number": ("种子 0 到", "种子 1 到", "numbers"),
    "a lost zero": ("12,000", "1,200", "numbers"),
    "two numbers in each other's place": (
        "十九个、在 [-1, 1) 中。见[第一页](first.zh-CN.md#打包)。\n* 5% 不是 50%。",
        "五十个、在 [-1, 1) 中。见[第一页](first.zh-CN.md#打包)。\n* 5% 不是 19%。",
        "numbers: lost ['19'], new ['50']",
    ),
    "a lost point": ("0.29", "029", "numbers"),
    "a lost sign": ("[-1, 1)", "[1, 1)", "numbers"),
    "a number in words": ("十九", "九十", "numbers"),
    "a scale in words": ("一百个", "一千个", "numbers"),
    "a fraction": ("三分之一", "二分之一", "numbers"),
    "a number in another unit": ("12,000 步", "12 千步", "numbers"),
    "a missing section": (CHINESE_PAGE[CHINESE_PAGE.index("###") :], "", "headings"),
    "a heading of another level": ("### 代码", "## 代码", "headings"),
    "a missing item": ("* 5% 不是 50%。\n", "", "blocks"),
    "a missing paragraph": ("约四十行。\n", "", "blocks"),
    "two paragraphs in one": ("\n* 5% ", "5% ", "blocks"),
    "a changed comment in a fence": ("# a rate", "# 学习率", "code: the blocks"),
    "a changed space in a fence": ("0.1  #", "0.1 #", "code: the blocks"),
    "a changed indented block": ("# on 20 seeds", "# 20 个种子", "code: the blocks"),
    "a missing code block": ("    make seeds    # on 20 seeds\n", "", "blocks"),
    "changed code in a line": ("`G`", "`D`", "code in a line"),
    "no code in a line": ("`G`", "*G*", "code in a line"),
    "another picture": ("figure.png", "figures.png", "pictures"),
    "a missing link": ("[第一页](first.zh-CN.md#打包)", "第一页", "links"),
    "another link": ("first.zh-CN.md", "second.zh-CN.md", "links"),
    "a missing row": ("| 64、同前 | 0 / 20 | 0.281 |\n", "", "table: 4 rows there, 3 rows here"),
    "a missing column": ("| 0.281 |", "|", "table"),
    "another column on the right": ("|---|---:|---:|", "|---|---|---:|", "table, row 1"),
    "a changed cell": ("0.281", "0.218", "table, row 2: '0.281' became '0.218'"),
    "a lost sign in a cell": ("-0.5%", "0.5%", "table, row 3"),
    "a number in the words of a cell": ("| 64、", "| 46、", "table, row 2"),
    "two rows the wrong way round": ("| 14 / 20 | -0.5%", "| -0.5% | 14 / 20", "table, row 3"),
    "a lost sign in a paragraph": ("5% 不是", "5 不是", "marks: lost"),
    "the other player in a cell": ("| *G* 的包", "| *D* 的包", "table, row 0"),
    "an empty cell": ("14 / 20", "", "table, row 3"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_translation_is_noticed(fault):
    old, new, said = FAULTS[fault]
    assert differences(ENGLISH_PAGE, CHINESE_PAGE) == []
    assert CHINESE_PAGE.count(old) == 1, "the fault must be planted in one place"
    found = differences(ENGLISH_PAGE, CHINESE_PAGE.replace(old, new))
    assert any(said in one for one in found), found


@pytest.mark.parametrize(
    ("original", "translation"),
    [
        ("twenty seeds", "20 个种子"),
        ("20 seeds", "二十个种子"),
        ("forty-two of two hundred", "两百个中的四十二个"),
        ("a twentieth, a thirtieth part of a thousand", "二十分之一、1000 的 thirtieth"),
        ("one in a thousand", "千分之一"),
        ("in thousandths", "以千分之一为单位"),
        ("both halves, one after the other, twice", "先后两次、一半一半"),
        ("Ten of 10,000", "10,000 中的十个"),
        ("seeds 20-59", "种子 20 到 59"),
        ("the 1-D rows, 5 %, rounded", "一维的行、百分之 5、四舍五入"),
        ("net 1-50-50-1, SHA-256, W1, beta2", "网络 1-50-50-1、SHA-256、W1、beta2"),
        ("often, freighted, a tenthing", "十分、万一"),
    ],
)
def test_a_number_is_the_same_however_it_is_written(original, translation):
    assert list(different_numbers(original, translation)) == []


def test_broken_links_of_a_translation_are_noticed(tmp_path):
    (tmp_path / "first.md").write_text("# First\n", "utf-8")
    (tmp_path / "first.zh-CN.md").write_text("# 第一页\n", "utf-8")
    (tmp_path / "page.md").write_text("# A page\n", "utf-8")
    page = tmp_path / "page.zh-CN.md"
    page.write_text(
        "# 页\n\n[a](page.md) [b](first.md) [c](first.zh-CN.md#第一页) [d](first.zh-CN.md#first)\n"
        "[e](lost.md) ![f](lost.png) [g](#页) [h](https://example.org) `[i](code.md)`\n\n"
        "    [j](code.md)\n",
        "utf-8",
    )
    assert broken_links(page) == [
        "first.md: it is translated",
        "first.zh-CN.md#first",
        "lost.md",
        "lost.png",
    ]


@pytest.mark.parametrize("page", TRANSLATIONS)
def test_each_missing_block_of_a_translation_is_noticed(page):
    original, translation, name = pair(page)
    pages = sections(original, translation_of(name)), sections(translation, name)
    for section, section_there in zip(*pages, strict=True):
        for at, block in enumerate(section_there):
            without = [*section_there[:at], *section_there[at + 1 :]]
            assert list(different_sections(section, without)), block


@pytest.mark.parametrize("page", TRANSLATIONS)
def test_each_changed_number_of_a_translation_is_noticed(page):
    original, translation, name = pair(page)
    tried = 0
    pages = sections(original, translation_of(name)), sections(translation, name)
    for section, section_there in zip(*pages, strict=True):
        for at, block in enumerate(section_there):
            for number in DIGITS.finditer(block.text):
                if block.kind != "code" and len(number[0]) < 2:
                    continue  # an invented 0, 1 or 2 is allowed
                last = number.end() - 1
                digit = str((int(block.text[last]) + 1) % 10)
                text = block.text[:last] + digit + block.text[last + 1 :]
                faulty = [*section_there[:at], Block(block.kind, text), *section_there[at + 1 :]]
                assert list(different_sections(section, faulty)), (block.text, number[0])
                tried += 1
    assert tried > 10
