"""The arithmetic: arrays, kernels, and counter-based random streams."""

from __future__ import annotations

from minigan.backend.base import Array, Backend, check_dtype
from minigan.backend.devices import chosen, device_name, get_backend
from minigan.backend.random import Seeds, Stream, as_seeds, plain_seeds

__all__ = [
    "Array",
    "Backend",
    "Seeds",
    "Stream",
    "as_seeds",
    "check_dtype",
    "chosen",
    "device_name",
    "get_backend",
    "plain_seeds",
]
