"""Numbers too small for the processor's fast path: below 1.2e-38 in float32.

A processor takes a hundred cycles for an operation with such a *subnormal* number. Where training
works there are none. But a network that has stopped to learn is full of them: Adam's sums shrink by
a factor a step until they can get no smaller. Its steps then take two to five times as long.

The processor has two bits, FTZ and DAZ, that let it take subnormal numbers for zero (Intel 64 and
IA-32 Architectures Software Developer's Manual, volume 1, section 10.2.3). Python has no name for
them, but the C library's floating-point environment includes them.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Iterator

import numpy as np

#: In the C library's fenv_t of x86-64 on Linux: its size, and the place of the register MXCSR.
BYTES, MXCSR = 32, 28
FTZ, DAZ = 1 << 15, 1 << 6


@contextlib.contextmanager
def flushed_subnormals() -> Iterator[bool]:
    """Inside, this thread computes with zero in place of subnormal numbers, where it can.

    Elsewhere than on x86-64 Linux nothing changes, and steps of lost networks stay slow.

    Yields:
        whether it can.
    """
    before = _environment()
    if before is None:
        yield False
        return
    flushing = bytearray(before)
    mode = int.from_bytes(flushing[MXCSR:], "little") | FTZ | DAZ
    flushing[MXCSR:] = mode.to_bytes(BYTES - MXCSR, "little")
    _set(bytes(flushing))
    try:
        yield are_flushed()
    finally:
        _set(before)


def are_flushed() -> bool:
    """Whether this thread takes subnormal numbers for zero: a computation decides."""
    smallest = np.full(8, np.float32(1.2e-38))  # normal, and its tenth is not
    np.multiply(smallest, np.float32(0.1), out=smallest)
    return not smallest.any()


def _environment() -> bytes | None:
    """This thread's floating-point environment; None on systems of which it is not known."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return None
    environment = ctypes.create_string_buffer(BYTES)
    return environment.raw if _library().fegetenv(environment) == 0 else None


def _set(environment: bytes) -> None:
    _library().fesetenv(ctypes.create_string_buffer(environment, BYTES))


def _library() -> ctypes.PyDLL:
    """The C library, called without letting another thread run."""
    return ctypes.PyDLL("libm.so.6")
