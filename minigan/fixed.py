"""Attributes that are set once, and copies of the objects that have them.

Networks, optimizers and games hand out views of their arrays and record their kernels. If an
attribute were replaced afterwards, some of the code would use the new value and some the old one.
So that is an error, which names the right way.

`copy.deepcopy` and `pickle` copy such an object in one way: without its passes and other caches,
which the copy makes itself. Pickles are for the processes of `multiprocessing`, never for files.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from minigan.errors import ConfigError


class Remade(functools.partial[Any]):
    """A call that makes an attribute of a copy, because the value itself cannot be copied."""


def _read_only(values: dict[str, Any]) -> MappingProxyType[str, Any]:
    return MappingProxyType(values)


#: By type, how to copy values that cannot be copied themselves. The backends add theirs.
REMADE: dict[type, Callable[[Any], Remade]] = {
    MappingProxyType: lambda value: Remade(_read_only, dict(value)),
}


class Fixed:
    """An object with attributes that can be set only once, and that can be copied and pickled.

    Attributes:
        fixed: {name: what to do instead of replacing it}.
        not_copied: {name: the value that a copy gets instead}.
    """

    fixed: ClassVar[Mapping[str, str]] = {}
    not_copied: ClassVar[Mapping[str, Any]] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.fixed:
            derived = isinstance(getattr(type(self), name, None), property)
            if derived or (name in vars(self) and vars(self)[name] is not value):
                raise ConfigError(
                    f"{type(self).__name__}.{name} cannot be replaced; {self.fixed[name]}"
                )
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if name in self.fixed:
            raise ConfigError(f"{type(self).__name__}.{name} cannot be deleted")
        object.__delattr__(self, name)

    def _copied_attributes(self) -> dict[str, Any]:
        """The attributes of a copy, by name."""
        return vars(self) | copy.deepcopy(dict(self.not_copied))

    def __getstate__(self) -> dict[str, Any]:
        state = self._copied_attributes()
        for name, value in state.items():
            if type(value) in REMADE:
                state[name] = REMADE[type(value)](value)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            vars(self)[name] = value() if isinstance(value, Remade) else value
