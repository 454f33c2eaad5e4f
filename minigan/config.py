"""Definitions as JSON: each part names its type, and is read back as that type.

    {"layer": "Linear", "in_features": 200, "out_features": 50, "bias": true, ...}

The first key is the kind of part, its value the name of the class; the rest are its settings. A
class of your own is written and read in the same way, once it is registered:

    @mg.register
    @dataclass(frozen=True)
    class Swish(mg.Layer): ...

A run with a part that would be read back as something else is refused when it starts.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from minigan.errors import UNEXPECTED, ConfigError

KINDS = (
    "layer",
    "network",
    "optimizer",
    "noise",
    "loss",
    "penalty",
    "constraint",
    "consistency",
    "game",
    "data",
)
#: The registered classes of each kind, by name.
CLASSES: dict[str, dict[str, type[Part]]] = {kind: {} for kind in KINDS}


#: What a class can raise when it is made of settings that a file holds.
_REASONS = (*UNEXPECTED, MemoryError, RecursionError)


class Part:
    """A part of a definition. Subclasses set `kind`; the fields of a dataclass are its settings."""

    kind: ClassVar[str]

    def settings(self) -> dict[str, Any]:
        """The settings as JSON: the arguments that make an equal part."""
        if not dataclasses.is_dataclass(self):
            raise ConfigError(f"{type(self).__name__} must be a dataclass, or define settings()")
        return dataclasses.asdict(self)

    def to_config(self) -> dict[str, Any]:
        """The definition as JSON: {kind: class name, **settings}."""
        return {self.kind: type(self).__name__, **self.settings()}

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *context: Any) -> Any:
        """Make one from `settings()`.

        Args:
            settings: as read from JSON.
            context: what else it needs: the parameters of an optimizer, the device of a game.
        """
        return cls(*context, **settings)


AnyPart = TypeVar("AnyPart", bound=type[Part])


def register(cls: AnyPart) -> AnyPart:
    """Let a class be read back from a file. Use it as a decorator.

    Raises:
        ConfigError: not a kind of part, or another class of that kind has the name.
    """
    kind = getattr(cls, "kind", None)
    if kind not in CLASSES:
        raise ConfigError(f"register takes a class of one of the kinds {', '.join(CLASSES)}")
    there = CLASSES[kind].get(cls.__name__, cls)
    if _place(there) != _place(cls):
        raise ConfigError(
            f"{there.__module__} has a {kind} called {cls.__name__} already; "
            "give yours another name"
        )
    CLASSES[kind][cls.__name__] = cls
    return cls


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _place(cls: type) -> tuple[str, str]:
    """Where a class is defined."""
    return cls.__module__, cls.__qualname__


def rebuild(kind: str, config: Any, *context: Any) -> Any:
    """The part that `Part.to_config` described.

    Args:
        kind: one of `CLASSES`.
        config: the definition.
        context: see `Part.from_settings`.

    Raises:
        ConfigError: it does not define such a part, or its class is not registered.
    """
    try:
        settings = dict(config)
        name = settings.pop(kind)
        cls = CLASSES[kind].get(name)
    except _REASONS as error:
        raise ConfigError(f"not the definition of {_a(kind)}: {config!r}") from error
    if cls is None:
        raise ConfigError(
            f"there is no {kind} called {name!r} here; a class of your own must be registered "
            "(@minigan.register) before a run that has it is opened: minigan --import FILE.py ..."
        )
    try:
        return cls.from_settings(settings, *context)
    except ConfigError:  # which may be about a part of this part
        raise
    except _REASONS as error:
        raise ConfigError(f"not the definition of {_a(kind)}: {config!r} ({error})") from error


def require_registered(part: Part) -> None:
    """Raise `ConfigError` unless the part's class is registered."""
    cls = type(part)
    there = CLASSES.get(getattr(part, "kind", ""), {}).get(cls.__name__)
    if there is cls:
        return
    if there is not None and _place(there) == _place(cls):
        raise ConfigError(
            f"{cls.__name__} was defined and registered again since this one was made: make another"
        )
    raise ConfigError(
        f"{cls.__name__} is not registered, so a run that has it could not be opened again: "
        "put @minigan.register above the class"
    )


def require_readable(part: Part, *context: Any) -> None:
    """Raise `ConfigError` unless a part can be written to a file and read back as itself.

    Its attributes are compared, too: a setting that is not among its `settings` would be lost.

    Args:
        part: not a game or network, whose attributes are also state.
        context: see `Part.from_settings`.
    """
    twin = read_back(part, *context)
    other = difference(vars(part), vars(twin))
    if other:
        raise ConfigError(
            f"{part!r} is read back from a file as {twin!r}, so it cannot be kept: {other} differs"
        )


def read_back(part: Part, *context: Any) -> Any:
    """A part as read back from a file; `ConfigError` unless it has the same definition."""
    import json  # only when a run begins

    from minigan.reading import parse_json

    require_registered(part)
    name, config = type(part).__name__, part.to_config()
    try:
        text = json.dumps(config, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the settings of {name} are not JSON: {error}") from None
    try:
        twin = rebuild(part.kind, parse_json(text), *context)
    except ValueError as error:
        raise ConfigError(f"{name} cannot be made of its own settings: {error}") from None
    if type(twin) is not type(part) or json.dumps(twin.to_config()) != text:
        raise ConfigError(f"{part!r} is read back from a file as {twin!r}, so it cannot be kept")
    return twin


def difference(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """The name of the first value whose type differs or, if it is plain, the value; "" if none.

    Methods that were set on an object are left out.
    """
    for name in {**mine, **theirs}:
        if not callable(mine.get(name)) and not (
            name in mine and name in theirs and _same(mine[name], theirs[name])
        ):
            return name
    return ""


def _same(one: Any, other: Any) -> bool:
    """Whether two values are of one type and, if they are plain, equal."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (bool, int, float, complex, str, bytes, enum.Enum)):
        return bool(one == other)
    return not isinstance(one, Part) or not difference(vars(one), vars(other))
