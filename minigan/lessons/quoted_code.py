"""Quote docstrings and source code of the library, or of a user's file."""

from __future__ import annotations

import contextlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import minigan
from minigan.backend import get_backend

_PACKAGE = Path(minigan.__file__).parent.parent


def first_paragraph(cls: type) -> str:
    """Of a class's docstring; "" if its author wrote none."""
    doc = cls.__doc__ or ""
    signature = str(inspect.signature(cls)).replace(" -> None", "")
    if doc == cls.__name__ + signature:  # which a dataclass without a docstring is given
        return ""
    return inspect.cleandoc(doc).partition("\n\n")[0]


def formulas(methods: Iterable[Callable[..., Any]], *, by_name: bool = False) -> str:
    """The first line of each method's own docstring, as "forward   Y = tanh(X)".

    Args:
        by_name: put the method's name in front, such as "curvature", not its way.
    """
    lines = []
    for method in methods:
        way = "backward  " if "backward" in method.__name__ else "forward   "
        way = f"{method.__name__:<19}" if by_name else way
        if method.__doc__:
            lines.append(way + inspect.cleandoc(method.__doc__).partition("\n")[0])
    return "\n".join(lines)


def source(functions: Iterable[Callable[..., Any]]) -> str:
    """The source of functions, under the files that they come from."""
    pieces, before = [], ""
    for function in functions:
        function = inspect.unwrap(function)
        try:
            text = textwrap.dedent(inspect.getsource(function)).rstrip()
            file = Path(inspect.getsourcefile(function) or "")
        except (OSError, TypeError):
            text, file = f"({function.__name__}: its source is not in a file)", Path()
        place = (
            file.relative_to(_PACKAGE).as_posix() if file.is_relative_to(_PACKAGE) else file.name
        )
        pieces.append(("" if place == before else f"# {place}\n") + text)
        before = place
    return "\n\n".join(pieces)


def with_methods(kind: type, methods: Iterable[Callable[..., Any]]) -> list[Callable[..., Any]]:
    """Methods of a class, and the other ones of this class that they call as `self.name`."""
    found = list(methods)
    for method in found:  # also those that are appended on the way
        with contextlib.suppress(OSError, TypeError):
            for name in re.findall(r"self\.(\w+)\(", inspect.getsource(method)):
                called = vars(kind).get(name)
                if inspect.isfunction(called) and called not in found:
                    found.append(called)
    return found


def kernels_of(methods: Iterable[Callable[..., Any]]) -> list[Callable[..., Any]]:
    """The backend functions that methods call as `self.ops.name`, in the order of their calls."""
    ops, names = get_backend("cpu"), []
    for method in methods:
        with contextlib.suppress(OSError, TypeError):
            names += re.findall(r"\.ops\.(\w+)\(", inspect.getsource(method))
    return [getattr(ops, name) for name in dict.fromkeys(names) if hasattr(ops, name)]


def with_helpers(
    kernels: list[Callable[..., Any]], names: Iterable[str]
) -> list[Callable[..., Any]]:
    """Backend functions, and those of these names in the same files."""
    files = [vars(inspect.getmodule(inspect.unwrap(kernel))) for kernel in kernels]
    around = {name: thing for file in files for name, thing in file.items()}
    return [*kernels, *(around[name] for name in names if name in around)]
