"""A user's Python file: run it as a module, and report its errors in one line."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from minigan.errors import ConfigError, FileError


@contextlib.contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Inside, the modules of a folder can be imported; they are forgotten at the end."""
    where = str(folder.resolve())
    before = set(sys.modules)
    sys.path.insert(0, where)
    leave_no_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = leave_no_bytecode
        with contextlib.suppress(ValueError):  # the user's code may have changed the path
            sys.path.remove(where)
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and Path(file).parent == Path(where):
                del sys.modules[name]


def load_module(file: Path) -> ModuleType:
    """Run a Python file, as a module that is not the main one.

    It can import modules from its folder; functions that import later must be called inside
    `importable`. The file is always compiled again, because Python's cache confuses two versions
    of one size that were saved within a second.

    Raises:
        FileError: there is no such file.
        ConfigError: it cannot be run; the message says where and why.
    """
    if not file.is_file():
        raise FileError(f"there is no file {file}")
    module = ModuleType(f"minigan_example_{file.stem}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # where dataclasses look for the types of their fields
    try:
        with importable(file.parent):
            code = compile(file.read_bytes(), str(file), "exec", dont_inherit=True)
            exec(code, vars(module))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, and whatever else the file raises
        del sys.modules[module.__name__]
        raise ConfigError(f"cannot run {file}: {blame(error, file)}") from error
    return module


def blame(error: BaseException, file: Path) -> str:
    """An error in a user's file as one line: "line 12: ValueError: ..."."""

    def here(name: str | None) -> bool:
        return name is not None and Path(name).resolve() == file.resolve()

    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if here(frame.filename)]
    if isinstance(error, SyntaxError) and here(error.filename):
        lines.append(error.lineno)
    try:
        said = error.msg if isinstance(error, SyntaxError) else str(error).partition("\n")[0]
    except Exception:  # the user's own exception, whose __str__ fails
        said = ""
    where = f"line {lines[-1]}: " if lines else ""
    return f"{where}{type(error).__name__}" + (f": {said}" if said else "")
