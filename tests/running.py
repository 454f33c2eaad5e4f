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
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # as if Python ran it: an example may import another
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


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a run but the film, by its path."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.suffix != ".gif" and p.name != ".lock"
    }


def differing(one: Path, other: Path) -> list[str]:
    """The files that two folders do not have in common, or with other bytes."""
    a, b = contents(one), contents(other)
    return [name for name in sorted({*a, *b}) if a.get(name) != b.get(name)]


def require_same_when_resumed(
    example: ModuleType, flags: list[str], stop: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that is interrupted after `stop` steps, and resumed, has the files of a whole one."""
    assert example.main([*flags, "--out", "whole"]) == 0
    with interrupted_at(stop):
        assert example.main([*flags, "--out", "cut"]) == 130
    assert "--out cut --resume" in capsys.readouterr().err
    assert example.main(["--out", "cut", "--resume", "--threads", "1"]) == 0
    assert differing(Path("cut"), Path("whole")) == []


def sizes(net: mg.Sequential) -> list[int]:
    """The features between the layers that have a matrix."""
    rows = 1, net.in_features
    found = [rows[1]]
    for layer in net.layers:
        rows = layer.output_shape(rows)
        found += [rows[1]] if "weight" in layer.parameter_shapes() else []
    return found
