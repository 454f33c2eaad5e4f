"""The machine and the libraries of a measurement."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from minigan.training.threads import blas
from minigan.version import __version__

LIBRARIES = ("numpy", "scipy", "torch", "jax", "jaxlib")
LIBRARIES += ("cupy-cuda12x", "cupy-cuda13x", "triton", "jax-cuda12-plugin", "jax-cuda13-plugin")
TASKS = Path("/proc/self/task")  # the threads of this process, on Linux


def installed(module: str) -> bool:
    """Whether a module is installed, without importing it."""
    return importlib.util.find_spec(module) is not None


def cpus() -> list[int]:
    """The CPUs that this process may use; [] where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def cpu_count() -> int:
    """How many CPUs this process may use."""
    return len(cpus()) or os.cpu_count() or 1


@contextlib.contextmanager
def held_to(chosen: Sequence[int]) -> Iterator[None]:
    """Keep every thread of this process to these CPUs; no effect on systems that cannot."""
    before = cpus()
    try:
        _hold(chosen)
        yield
    finally:
        _hold(before)


def _hold(chosen: Sequence[int]) -> None:
    if chosen and TASKS.is_dir():
        for task in TASKS.iterdir():
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.sched_setaffinity(int(task.name), chosen)


def cpu_model() -> str:
    """The processor's name, and its wide vector instructions: "AMD EPYC 7B13 (AVX2)"."""
    fields: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name") or platform.processor() or platform.machine()
    if "flags" not in fields:
        return name
    flags = fields["flags"].split()
    wide = [title for flag, title in (("avx2", "AVX2"), ("avx512f", "AVX-512")) if flag in flags]
    return f"{name} ({' and '.join(wide) or 'neither AVX2 nor AVX-512'})"


def versions() -> str:
    """minigan's version and those of the libraries that are installed."""
    found = [f"minigan {__version__}"]
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return ", ".join(found)


def describe(command: str) -> str:
    """A paragraph for the head of a page: date, versions, machine and command."""
    load = (
        f", load average {os.getloadavg()[0]:.2f} at the start" if hasattr(os, "getloadavg") else ""
    )
    count = cpu_count()
    return (
        f"Measured {date.today()} with {versions()}, Python {platform.python_version()}; NumPy's "
        f"BLAS is {blas()[0]}. On {cpu_model()}, {count} CPU{'s' if count != 1 else ''}, "
        f"{platform.machine()} {platform.system()}{load}. By `{command}`."
    )
