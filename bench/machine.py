"""On what a measurement was made."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from datetime import date
from pathlib import Path

from minigan.version import __version__

LIBRARIES = ("numpy", "scipy", "torch", "jax", "jaxlib", "thinc", "blis")
LIBRARIES += ("cupy-cuda12x", "cupy-cuda13x", "triton", "jax-cuda12-plugin", "jax-cuda13-plugin")


def installed(module: str) -> bool:
    """Whether a module is there, without importing it."""
    return importlib.util.find_spec(module) is not None


def cpus() -> list[int]:
    """The CPUs that this process may use; [] where the system has no word for that."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def cpu_count() -> int:
    """How many they are."""
    return len(cpus()) or os.cpu_count() or 1


def cpu_model() -> str:
    """The processor's name, and which wide vectors it has: "AMD EPYC 7B13 (AVX2)"."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    fields = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name") or platform.processor() or platform.machine()
    flags = fields.get("flags", "").split()
    wide = [title for flag, title in (("avx2", "AVX2"), ("avx512f", "AVX-512")) if flag in flags]
    return f"{name} ({' and '.join(wide) or 'neither AVX2 nor AVX-512'})"


def siblings() -> str:
    """A sentence about CPUs that share a core, or ""."""
    told = []
    for cpu in cpus():
        try:
            path = f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
            others = Path(path).read_text().strip()
        except OSError:
            continue
        if others != str(cpu) and others not in told:
            told.append(others)
    return f" Hardware threads of one core: CPUs {'; '.join(told)}." if told else ""


def blas() -> str:
    """NumPy's BLAS library, its version and the kernels that it chose for this CPU."""
    import numpy  # noqa: F401  (loads the library)
    from threadpoolctl import threadpool_info

    found = [one for one in threadpool_info() if one["user_api"] == "blas"]
    if not found:
        return "a BLAS library that threadpoolctl does not know"
    one = found[0]
    return " ".join(
        str(one[key]) for key in ("internal_api", "version", "architecture") if key in one
    )


def versions() -> str:
    """minigan's version and those of the libraries that are installed."""
    told = [f"minigan {__version__}"]
    for name in LIBRARIES:
        try:
            told.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(told)


def describe(command: str) -> str:
    """A paragraph for the head of a page: when, with what, on what, by which command."""
    load = (
        f", load average {os.getloadavg()[0]:.2f} at the start" if hasattr(os, "getloadavg") else ""
    )
    count = cpu_count()
    return (
        f"Measured {date.today()} with {versions()}, Python {platform.python_version()}; NumPy's "
        f"BLAS is {blas()}. On {cpu_model()}, {count} CPU{'s' if count != 1 else ''}, "
        f"{platform.machine()} {platform.system()}{load}.{siblings()} By `{command}`."
    )
