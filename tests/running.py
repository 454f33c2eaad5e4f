"""How tests run the examples and the scripts: in this process, or as a stranger does."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import minigan as mg

ROOT = Path(__file__).resolve().parent.parent


def load_example(name: str) -> ModuleType:
    """The module examples/NAME.py, to call its functions."""
    return load_script(ROOT / "examples" / f"{name}.py")


def load_script(path: Path) -> ModuleType:
    """The file of Python as a module."""
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def interrupted_at(stop: int) -> Iterator[None]:
    """Within it, the step of a GAN after `stop` steps is interrupted, as by Ctrl-C."""
    step = mg.GAN.step

    def interrupted(self: mg.GAN, real: Any = None) -> None:
        if self.step_count == stop:
            raise KeyboardInterrupt
        step(self, real)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mg.GAN, "step", interrupted)
        yield


def run_python(*words: object, code: int = 0, **variables: str) -> subprocess.CompletedProcess:
    """Python as a subprocess without a display, where a warning is an error."""
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "MPLBACKEND")}
    done = subprocess.run(
        [sys.executable, "-W", "error", *map(str, words)],
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": str(ROOT)} | variables,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done
