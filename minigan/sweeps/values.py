"""What --set and --seeds say: the values of a recipe's fields, and seeds, each of its own type."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import math
import numbers
import types
import typing
from collections.abc import Sequence
from typing import Any

from minigan.errors import UNEXPECTED, ConfigError
from minigan.text import count

MOST_SEEDS = 100_000


def values_of(recipe: Any, field: str, given: Sequence[Any]) -> tuple[Any, ...]:
    """The values of a recipe's field.

    Args:
        recipe: which says what type the field has: by its annotation, or its flag.
        field: its name.
        given: the values, or their texts, as `split` cuts them.

    Raises:
        ConfigError: no such field, a value that it cannot have, or one given twice.
    """
    fields = {one.name: one for one in dataclasses.fields(recipe) if one.name != "name"}
    if field not in fields:
        raise ConfigError(
            f"a sweep cannot set {field!r}: the fields of this recipe are {', '.join(fields)}"
        )
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise ConfigError(f"the values of {field} must be a list, not {given!r}")
    hint = _hint(recipe, field)
    values = tuple(_value(fields[field], hint, one) for one in given)
    for k, value in enumerate(values):
        if value in values[:k]:
            raise ConfigError(f"{field}: {value} is given twice")
    return values


def split(text: str) -> list[str]:
    """The parts of a text between its commas, except for commas in brackets: "(0,1),(2,3)"."""
    parts, depth = [""], 0
    for c in text:
        depth += (c in "([") - (c in ")]")
        if c == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return [part.strip() for part in parts]


def read_seeds(text: str) -> tuple[int, ...]:
    """The seeds of "0-9", "0,3,7" or "0-3,8", for argparse."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not (first.isdecimal() and (last.isdecimal() if dash else True)):
            raise argparse.ArgumentTypeError(f"must be seeds such as 0-9 or 0,3,7, not {text!r}")
        low, high = int(first), int(last or first)
        if not 0 <= high - low < MOST_SEEDS:
            raise argparse.ArgumentTypeError(
                f"{part} must count up, to at most {MOST_SEEDS:,} seeds"
            )
        seeds += range(low, high + 1)
    try:
        return check_seeds(seeds)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def check_seeds(seeds: Any) -> tuple[int, ...]:
    """Seeds in order; `ConfigError` unless they are different integers from 0."""
    found: list[Any] = [*seeds] if isinstance(seeds, Sequence) else []
    wrong = [one for one in found if not isinstance(one, numbers.Integral) or int(one) < 0]
    if not found or wrong or isinstance(seeds, str) or len({*found}) < len(found):
        raise ConfigError(f"seeds must be different integers from 0, not {seeds!r}")
    return tuple(sorted(int(one) for one in found))


def _hint(recipe: Any, field: str) -> Any:
    """The annotation of a field; if it cannot be evaluated, the type of the present value."""
    try:
        return typing.get_type_hints(type(recipe))[field]
    except (NameError, *UNEXPECTED):
        value = getattr(recipe, field)
        return Any if value is None else type(value)


def _value(field: dataclasses.Field[Any], hint: Any, given: Any) -> Any:
    """One value of a field, from itself or from its text."""
    reader, choices = (field.metadata.get(key) for key in ("type", "choices"))
    try:
        if isinstance(given, str) and given == "":
            raise ValueError(f"an empty value; write {field.name}=VALUE,VALUE")
        if given is None or given in ("None", "none"):
            with_none = typing.get_args(hint) or (hint,)
            if type(None) in with_none or hint is Any:
                return None
        if reader is None or field.metadata.get("const") is not None:
            return _fitted(hint, given)
        value = reader(str(given))
        if choices is not None and value not in choices:
            raise ValueError(f"must be one of {', '.join(map(str, choices))}, not {given!r}")
        return value
    except (argparse.ArgumentTypeError, *UNEXPECTED) as error:
        raise ConfigError(f"{field.name}: {error}") from None


def _literal(text: str) -> Any:
    """A text as the number, tuple, True, False or None that it is in Python; else the text."""
    try:
        return ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
    except (SyntaxError, MemoryError, RecursionError, *UNEXPECTED):
        return text


def _fitted(hint: Any, given: Any) -> Any:
    """The value that an annotation allows; `ValueError` if it is none."""
    value, origin, inner = given, typing.get_origin(hint), typing.get_args(hint)
    if isinstance(given, str) and hint is not str:
        value = _literal(given)
    if origin in (typing.Union, types.UnionType):
        for one in inner:
            try:
                return _fitted(one, given)
            except ValueError:
                continue
    elif hint in (None, type(None)) and value is None:
        return None
    elif hint is bool and isinstance(value, bool):
        return value
    elif hint is int and isinstance(value, numbers.Real) and not isinstance(value, bool):
        if float(value).is_integer():
            return int(typing.cast(Any, value))
    elif hint is float and isinstance(value, numbers.Real) and not isinstance(value, bool):
        if math.isfinite(value):
            return float(value)
    elif (hint is str and isinstance(value, str)) or (origin is typing.Literal and value in inner):
        return value
    elif (hint is tuple or origin is tuple) and isinstance(value, (tuple, list)):
        if not inner or inner[-1] is Ellipsis:
            return tuple(_fitted(inner[0] if inner else Any, one) for one in value)
        if len(value) == len(inner):
            return tuple(map(_fitted, inner, value))
    elif hint is Any or hint is object:
        return value
    raise ValueError(f"must be {_described(hint)}, not {given!r}")


def _described(hint: Any) -> str:
    """An annotation in words."""
    inner, names = typing.get_args(hint), {int: "an integer", float: "a number", str: "a name"}
    names |= {bool: "true or false", type(None): "None"}
    if hint in names:
        return names[hint]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(map(_described, inner))
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(map(str, inner))
    if typing.get_origin(hint) is tuple and inner[-1] is not Ellipsis:
        return f"{count(len(inner), 'value')} in brackets, such as (0.5,0.9)"
    return "values in brackets, such as (1,2)" if hint is tuple or inner else str(hint)
