"""Which device a name means, and whether it works. Nothing falls back to the CPU silently."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
import sys
from types import ModuleType
from typing import Any, cast

import minigan.backend.numpy as numpy_backend
from minigan.backend.base import Backend
from minigan.backend.cuda import errors
from minigan.backend.cuda.errors import Problem
from minigan.errors import ConfigError, DeviceError
from minigan.fixed import REMADE, Remade

CUDA = re.compile(r"cuda(?::(0|[1-9][0-9]*))?")
# Imported only when CUDA is requested: it imports CuPy, which is slow to import and optional.
CUDA_BACKEND = "minigan.backend.cuda.backend"


_used: int | None = None  # the index of the device that this process uses, once it works


@functools.cache
def _load() -> tuple[Any, Problem | None]:
    """The backend module that imports CuPy, or why it cannot be imported. Found out once."""
    if not is_installed():
        return None, errors.to_install("CuPy is not installed")
    names = ", ".join(errors.installed())
    if "," in names:
        return None, errors.to_install(f"packages overwrite each other's files of CuPy: {names}")
    try:
        backend: Any = importlib.import_module(CUDA_BACKEND)
        if not hasattr(backend.cupy, "cuda"):  # a folder that an uninstaller left behind
            raise ImportError("the module is empty")
    except Exception as error:
        if hasattr(sys.modules.get("cupy"), "cuda"):
            raise  # CuPy is there: a bug in minigan
        return None, errors.of_import(error)
    return backend, None


@functools.cache
def _try(index: int) -> Problem | None:
    """Use a device in this process, or return why it cannot be used. Found out once."""
    backend, problem = _load()
    if problem is not None:
        return problem
    try:
        count = int(backend.cupy.cuda.runtime.getDeviceCount())
        if not count:
            return errors.of_no_device()
        if index >= count:
            return Problem(f"there is no cuda:{index}, only {count} from cuda:0", "choose one")
        backend.open_device(index)
    except Exception as raised:
        # An error that the backend has explained already is explained again for this place.
        error = raised.__cause__ or raised if isinstance(raised, DeviceError) else raised
        problem = errors.of_error(error, backend.cupy)
        if problem is None:
            raise  # a bug in minigan
    return problem


def _open(index: int | None) -> Problem | None:
    """Use a device in this process (None: that in use, or the first), or return why not."""
    global _used
    if _used is None:
        problem = _try(index or 0)
        _used = (index or 0) if problem is None else None
        return problem
    if index in (None, _used):
        return None
    used = f"this process uses cuda:{_used} already, and one process uses one device"
    return Problem(used, f"start another process for cuda:{index}")


def get_backend(device: str) -> Backend:
    """Return the backend module of a device.

    Args:
        device: "cpu"; "cuda", the first CUDA device (or the one that this process uses already);
            "cuda:N", the one with that index; or "auto": "cuda" if it works, else "cpu".
            `chosen` says what "auto" chose. A process uses one CUDA device.

    Raises:
        DeviceError: the CUDA device cannot be used; the message says why, and what to do.
        ConfigError: not a device's name.
    """
    if device == "cpu":
        return numpy_backend
    problem = _open(None if device == "auto" else _index(device))
    if problem is None:
        return cast(Backend, _load()[0])
    if device == "auto":
        return numpy_backend
    raise problem.error(f"device {device!r} cannot be used")


def _opened_again(ops: ModuleType) -> Remade:
    """A backend in a copy or a pickle is the device's name: another process opens it again."""
    names = {numpy_backend.__name__: "cpu", CUDA_BACKEND: f"cuda:{_used}"}
    if ops.__name__ not in names:
        raise ConfigError(f"the module {ops.__name__} cannot be copied or pickled")
    return Remade(get_backend, names[ops.__name__])


REMADE[ModuleType] = _opened_again


def device_name(device: str) -> str:
    """The device that a name means: "cpu", or "cuda:N". Raises as `get_backend` does."""
    return "cpu" if get_backend(device) is numpy_backend else f"cuda:{_used}"


def chosen(device: str) -> str:
    """A sentence that says which device a name means; for "auto", what was chosen and why.

    Raises as `get_backend` does.
    """
    name = device_name(device)
    if name != "cpu":
        model = model_name(load_cuda(), int(name.removeprefix("cuda:")))
        return f"auto: using {name} ({model})" if device == "auto" else f"{name} is {model}"
    if device == "cpu":
        return "using the CPU"
    problem = _open(None)
    assert problem is not None  # or the CPU would not have been chosen
    return f"auto: no CUDA device can be used ({problem.reason}); using the CPU"


def load_cuda() -> ModuleType | None:
    """CuPy, or None if it cannot be imported. No device is opened."""
    return getattr(_load()[0], "cupy", None)


def model_name(cupy: Any, index: int) -> str:
    """The model of a CUDA device, such as "NVIDIA H100 80GB HBM3"."""
    name = cupy.cuda.runtime.getDeviceProperties(index)["name"]
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def forget() -> None:
    """Forget which device this process uses, and which did not work. For tests."""
    global _used
    _used = None
    _load.cache_clear()
    _try.cache_clear()


def is_installed() -> bool:
    """Whether there is a module `cupy`. It is not imported."""
    return sys.modules.get("cupy") is not None or importlib.util.find_spec("cupy") is not None


def _index(device: str) -> int | None:
    """The index in a name of a CUDA device, or None if it has none."""
    match = CUDA.fullmatch(device) if isinstance(device, str) else None
    if match is None:
        raise ConfigError(
            f"unknown device {device!r}; expected 'cpu', 'cuda', 'cuda:N' with N = 0, 1, ..., "
            "or 'auto'"
        )
    return None if match[1] is None else int(match[1])
