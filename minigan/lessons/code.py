"""Files of someone else's: run one as a module, and say in a line what went wrong in it."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from minigan.errors import ConfigError, FileError


@contextlib.contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Inside, what lies in a folder can be imported."""
    beside = str(folder.resolve())
    sys.path.insert(0, beside)
    try:
        yield
    finally:
        sys.path.remove(beside)


def load_module(file: Path) -> ModuleType:
    """Run a Python file, as a module that is not the main one.

    It can import what lies beside it; what it calls later only inside `importable`.

    Raises:
        FileError: there is no such file.
        ConfigError: it cannot be run; the message says where and why.
    """
    if not file.is_file():
        raise FileError(f"there is no file {file}")
    name = f"minigan_example_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise FileError(f"{file} is not a Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for the types of their fields
    try:
        with importable(file.parent):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ConfigError(f"cannot run {file}: {blame(error, file)}") from error
    return module


def blame(error: BaseException, file: Path) -> str:
    """An error of someone's file in one line: "line 12: ValueError: ..."."""

    def here(name: str | None) -> bool:
        return name is not None and Path(name).resolve() == file.resolve()

    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if here(frame.filename)]
    if isinstance(error, SyntaxError) and here(error.filename):
        lines.append(error.lineno)
    try:
        said = error.msg if isinstance(error, SyntaxError) else str(error).partition("\n")[0]
    except Exception:  # an error of someone's own, which cannot tell what it is
        said = ""
    where = f"line {lines[-1]}: " if lines else ""
    return f"{where}{type(error).__name__}" + (f": {said}" if said else "")
