"""Find something by a name that a user typed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import TypeVar

from minigan.errors import ConfigError

T = TypeVar("T")


def find(name: str, known: Mapping[str, T], kind: str, listed: str) -> T:
    """The entry of that name; case, spaces, hyphens and underscores do not matter.

    Raises:
        ConfigError: there is none; the message suggests the nearest name, or the command
            `listed`, which shows them all.
    """
    names = {plain(key): key for key in known}
    if plain(name) in names:
        return known[names[plain(name)]]
    near = difflib.get_close_matches(plain(name), names, n=1)
    meant = f"did you mean {names[near[0]]}?" if near else f"`{listed}` lists them"
    raise ConfigError(f"there is no {kind} {name!r}; {meant}")


def plain(name: str) -> str:
    """Without what does not matter: case, spaces, hyphens and underscores."""
    return re.sub(r"[\s_-]", "", name.casefold())
