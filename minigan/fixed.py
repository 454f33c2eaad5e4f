"""Attributes that are set once.

Networks, optimizers and games hand out views of their arrays and record their kernels. If an
attribute were replaced afterwards, some of the code would use the new value and some the old one.
So that is an error, which names the right way.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from minigan.errors import ConfigError

Self = TypeVar("Self", bound="Fixed")


class Fixed:
    """An object with attributes that can be set only once, and that can be deep-copied.

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

    def __deepcopy__(self: Self, memo: dict[int, Any]) -> Self:
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        for name, value in vars(self).items():
            if name in self.not_copied:
                vars(twin)[name] = copy.deepcopy(self.not_copied[name])
            elif name == "ops":  # a module: one for all
                vars(twin)[name] = value
            elif hasattr(value, "strides"):  # an array, on whichever device
                vars(twin)[name] = vars(self)["ops"].from_host(value, str(value.dtype))
            elif isinstance(value, MappingProxyType):
                vars(twin)[name] = MappingProxyType(copy.deepcopy(dict(value), memo))
            else:
                vars(twin)[name] = copy.deepcopy(value, memo)
        return twin
