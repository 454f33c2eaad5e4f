"""A GPU that is not there: CUDA sources run on the CPU, behind a strict stand-in for `cupy`."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager

from minigan.backend import devices
from stand_in import cupy as _cupy
from stand_in import emulator
from stand_in.emulator import Fault

__all__ = ["CUDA", "WITHOUT_CUPY", "Fault", "emulator", "install"]

#: Of the CUDA backend all modules import CuPy, directly or not, except these.
CUDA = "minigan.backend.cuda"
WITHOUT_CUPY = ("errors", "sources", "layout")


@contextmanager
def install(memory: int = 2**30, cards: int = 1) -> Iterator[types.ModuleType]:
    """Inside, `import cupy` finds the stand-in, and minigan's backend is imported again.

    Args:
        memory: bytes of each device that there seems to be.
        cards: how many of them; with 0, everything fails as it does without a GPU.

    Returns:
        the module.
    """
    module = _cupy.module(memory, cards)
    before = {name: sys.modules[name] for name in sys.modules if _of_cupy(name)}
    _forget()
    sys.modules["cupy"] = module
    sys.modules["cupy.cuda"] = module.cuda
    for name in ("compiler", "driver", "memory", "runtime"):
        sys.modules[f"cupy.cuda.{name}"] = getattr(module.cuda, name)
    try:
        yield module
    finally:
        _forget()
        sys.modules.update(before)


def _of_cupy(name: str) -> bool:
    return name == "cupy" or name.startswith("cupy.")


def _forget() -> None:
    """Forget the modules, the backend that has imported them, and the device that was chosen."""
    devices.forget()
    for name in [name for name in sys.modules if _of_cupy(name)]:
        del sys.modules[name]
    for name in [name for name in sys.modules if name.startswith(f"{CUDA}.")]:
        last = name.rpartition(".")[2]
        if last not in WITHOUT_CUPY:
            del sys.modules[name]
            vars(sys.modules[CUDA]).pop(last, None)
