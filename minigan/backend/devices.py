"""Which device a name means, and whether it works. Nothing falls back to the CPU silently."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from types import ModuleType
from typing import Any, cast

import minigan.backend.cuda.errors as problems
import minigan.backend.numpy as numpy_backend
from minigan.backend.base import Backend
from minigan.backend.cuda.errors import Problem
from minigan.errors import ConfigError, DeviceError

CUDA = re.compile(r"cuda(?::(0|[1-9][0-9]*))?")
# Imported only when CUDA is requested: it imports CuPy, which is slow to import and optional.
CUDA_BACKEND = "minigan.backend.cuda.backend"


class _Cuda:
    """What is known about CUDA in this process. It is found out once, on the first request.

    Attributes:
        backend: the module, once CuPy is imported.
        index: the index of the device that this process uses, once it works.
        problems: index -> why that device does not work.
    """

    def __init__(self) -> None:
        self.backend: Any = None
        self.index: int | None = None
        self.problems: dict[int, Problem] = {}

    def open(self, index: int | None) -> Problem | None:
        """Use a device in this process, or return why it cannot be used.

        Args:
            index: None for the device in use, or else the first.
        """
        if self.index is not None:
            if index in (None, self.index):
                return None
            return Problem(
                f"this process uses cuda:{self.index} already, and one process uses one device",
                f"start another process for cuda:{index}",
            )
        index = index or 0
        problem = self.problems.get(index) or self._try(index)
        if problem is None:
            self.index = index
        else:
            self.problems[index] = problem
        return problem

    def _try(self, index: int) -> Problem | None:
        problem = self.load()
        if problem is not None:
            return problem
        cupy = self.backend.cupy
        try:
            count = int(cupy.cuda.runtime.getDeviceCount())
            if not count:
                return problems.of_no_device()
            if index >= count:
                return problems.of_index(index, count)
            self.backend.open_device(index)
        except Exception as raised:
            # An error that the backend has explained already is explained again for this place.
            error = raised.__cause__ or raised if isinstance(raised, DeviceError) else raised
            problem = problems.of_error(error, cupy)
            if problem is None:
                raise  # a bug in minigan
            return problem
        return None

    def load(self) -> Problem | None:
        """Import CuPy and the backend that uses it, if that has not been done."""
        if self.backend is not None:
            return None
        if not is_installed():
            return problems.NOT_INSTALLED
        problem = problems.of_packages()
        if problem is not None:
            return problem
        try:
            backend: Any = importlib.import_module(CUDA_BACKEND)
        except Exception as error:
            if hasattr(sys.modules.get("cupy"), "cuda"):
                raise  # CuPy is there: a bug in minigan
            return problems.of_import(error)
        if not hasattr(backend.cupy, "cuda"):  # a folder that an uninstaller left behind
            return problems.of_import(ImportError("the module is empty"))
        self.backend = backend
        return None


_cuda = _Cuda()


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
    problem = problem_of(device)
    if problem is None:
        return cast(Backend, _cuda.backend)
    if device == "auto":
        return numpy_backend
    raise problem.error(f"device {device!r} cannot be used")


def problem_of(device: str) -> Problem | None:
    """Why a CUDA device cannot be used; None if it can, and this process uses it from now on.

    Args:
        device: as for `get_backend`, but not "cpu"; "auto" means "cuda".
    """
    return _cuda.open(None if device == "auto" else _index(device))


def device_name(device: str) -> str:
    """The device that a name means: "cpu", or "cuda:N". Raises as `get_backend` does."""
    return "cpu" if get_backend(device) is numpy_backend else f"cuda:{_cuda.index}"


def chosen(device: str) -> str:
    """A sentence that says which device a name means; for "auto", what was chosen and why.

    Raises as `get_backend` does.
    """
    name = device_name(device)
    if name != "cpu":
        model = model_name(_cuda.backend.cupy, int(name.removeprefix("cuda:")))
        return f"auto: using {name} ({model})" if device == "auto" else f"{name} is {model}"
    if device == "cpu":
        return "using the CPU"
    problem = _cuda.open(None)
    assert problem is not None  # or the CPU would not have been chosen
    return f"auto: no CUDA device can be used ({problem.reason}); using the CPU"


def load_cuda() -> tuple[ModuleType | None, Problem | None]:
    """CuPy, or why it cannot be imported. No device is opened."""
    problem = _cuda.load()
    return (None, problem) if problem else (_cuda.backend.cupy, None)


def model_name(cupy: Any, index: int) -> str:
    """The model of a CUDA device, such as "NVIDIA H100 80GB HBM3"."""
    name = cupy.cuda.runtime.getDeviceProperties(index)["name"]
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def forget() -> None:
    """Forget which device this process uses, and which did not work. For tests."""
    global _cuda
    _cuda = _Cuda()


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
