"""The arithmetic: arrays, kernels, and counter-based random streams."""

from minigan.backend.base import Array, Backend, check_dtype, get_backend
from minigan.backend.random import Seeds, Stream, as_seeds

__all__ = ["Array", "Backend", "Seeds", "Stream", "as_seeds", "check_dtype", "get_backend"]
