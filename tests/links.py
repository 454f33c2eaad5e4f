"""Where the links of a Markdown page lead: what the tests of the pages share."""

from __future__ import annotations

import re
from pathlib import Path


def anchors(text: str) -> set[str]:
    """The anchors that code hosts and MyST give to headings."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = 1
        while (slug if number == 1 else f"{slug}-{number - 1}") in found:
            number += 1
        found.add(slug if number == 1 else f"{slug}-{number - 1}")
    return found


def leads_nowhere(page: Path, link: str) -> bool:
    """Whether a link of a page names a file or heading that is not there. The web is not asked."""
    target, _, anchor = link.partition("#")
    if "://" in target:
        return False
    path = page.parent / target if target else page
    return not path.exists() or bool(anchor and anchor not in anchors(path.read_text("utf-8")))
