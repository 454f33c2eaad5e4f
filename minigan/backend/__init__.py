"""The arithmetic: arrays, kernels, and counter-based random streams."""

from __future__ import annotations

from minigan.backend import numpy_backend
from minigan.backend.base import Array, Backend, check_dtype
from minigan.backend.random import Seeds, Stream, as_seeds, plain_seeds
from minigan.errors import ConfigError, DeviceError


def get_backend(device: str) -> Backend:
    """Return the backend module of a device.

    Args:
        device: "cpu", or "auto", which takes the best device this version can use.

    Raises:
        DeviceError: a CUDA device was asked for; nothing falls back to the CPU silently.
        ConfigError: the name is not that of a device.
    """
    if device in ("cpu", "auto"):
        return numpy_backend
    if device == "cuda" or device.startswith("cuda:"):
        raise DeviceError(
            f"device {device!r} needs minigan's CUDA backend, which this version does not "
            "have yet; use device 'cpu'"
        )
    raise ConfigError(f"unknown device {device!r}; expected 'cpu', 'cuda', 'cuda:N' or 'auto'")


__all__ = [
    "Array",
    "Backend",
    "Seeds",
    "Stream",
    "as_seeds",
    "check_dtype",
    "get_backend",
    "plain_seeds",
]
