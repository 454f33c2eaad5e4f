"""Files of someone else's: run one as a module, and say in a line what went wrong in it."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from minigan.errors import ConfigError, FileError


def load_module(file: Path) -> ModuleType:
    """Run a Python file, as a module that is not the main one.

    It can import what lies beside it.

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
    beside = str(file.resolve().parent)
    sys.path.insert(0, beside)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ConfigError(f"cannot run {file}: {blame(error, file)}") from error
    finally:
        sys.path.remove(beside)
    return module


def blame(error: BaseException, file: Path) -> str:
    """An error of someone's file in one line: "line 12: ValueError: ..."."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve() == file.resolve()
    ]
    if isinstance(error, SyntaxError) and error.lineno:
        lines.append(error.lineno)
    said = error.msg if isinstance(error, SyntaxError) else str(error).partition("\n")[0]
    where = f"line {lines[-1]}: " if lines else ""
    return f"{where}{type(error).__name__}" + (f": {said}" if said else "")
