"""Find something by a name that a user typed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from minigan.errors import ConfigError

T = TypeVar("T")


def find(name: str, known: Mapping[str, T], kind: str, choice: Iterable[str]) -> T:
    """The entry of that name, in upper or lower case.

    Raises:
        ConfigError: there is none; the message suggests the nearest name, or all of `choice`.
    """
    names = {key.casefold(): key for key in known}
    if name.casefold() in names:
        return known[names[name.casefold()]]
    near = difflib.get_close_matches(name.casefold(), names, n=1)
    meant = f"did you mean {names[near[0]]}?" if near else f"choose from {', '.join(choice)}"
    raise ConfigError(f"there is no {kind} {name!r}; {meant}")
