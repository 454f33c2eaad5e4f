"""Why CUDA cannot be used, and the command that fixes it.

CuPy's errors are recognised by the names of their classes and by their messages, so this file
needs no CuPy. The messages are those of CuPy 13 and 14.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from minigan.errors import DeviceError

MIB = 2**20
#: Packages that contain CuPy. They write the same files, so only one can be installed at a time.
PACKAGES = ("cupy", *(f"cupy-cuda{major}x" for major in range(11, 16)))
#: Packages whose errors are CuPy's; "cuda" contains cuda.pathfinder, which finds its libraries.
RAISING = ("cupy", "cupy_backends", "cuda")
DRIVER_LIBRARY = re.compile(r"\blibcuda\.so|\bnvcuda\.dll")
LIBRARY = re.compile(r"\blib(?:cu|nv)\w+\.so|\b(?:cu|nv)\w+\.dll|DLL load failed")
LONGEST = 200  # characters that are quoted from an error


class Problem(NamedTuple):
    """Why CUDA cannot be used.

    Attributes:
        reason: what is wrong.
        fix: what to do, with the command.
    """

    reason: str
    fix: str

    def error(self, what: str) -> DeviceError:
        """As an error that says what cannot be done."""
        return DeviceError(f"{what}: {self.reason}; {self.fix}")


_INSTALL = 'pip install "minigan[cuda13]", or "minigan[cuda12]" for an NVIDIA driver older than 580'
NOT_INSTALLED = Problem("CuPy is not installed", f"run {_INSTALL}")
NO_DRIVER = Problem(
    "there is no NVIDIA driver",
    "install the driver of your GPU until nvidia-smi lists it (a container must be started with "
    "--gpus all), or use --device cpu",
)


# -- CuPy is not imported yet -------------------------------------------------------------


def installed() -> dict[str, str]:
    """The installed packages that contain CuPy: name -> version."""
    from importlib import metadata  # slow to import, and only needed when CUDA is requested

    found = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def of_packages() -> Problem | None:
    """More than one package with CuPy."""
    names = list(installed())
    if len(names) < 2:
        return None
    return Problem(
        f"{len(names)} packages contain CuPy and overwrite each other's files ({', '.join(names)})",
        f"run pip uninstall -y {' '.join(names)}, then {_INSTALL}",
    )


def of_import(error: BaseException) -> Problem:
    """CuPy is there, but `import cupy` failed."""
    while error.__cause__ is not None:  # CuPy wraps the first error in a page of advice
        error = error.__cause__
    text = first_line(error)
    problem = _of_library(text)
    return problem or Problem(
        f"CuPy is installed but cannot be imported ({type(error).__name__}: {text})",
        f"run pip install --force-reinstall {next(iter(installed()), 'cupy')}",
    )


# -- CuPy raised something ----------------------------------------------------------------


def of_error(error: BaseException, cupy: Any) -> Problem | None:
    """What CuPy raised; None for an error that is not CuPy's.

    Args:
        error: what was raised.
        cupy: the module.
    """
    name, text = type(error).__name__, first_line(error)
    if name in ("CompileException", "NVRTCError"):
        return _of_compiler(str(error))
    if name == "OutOfMemoryError" or text.startswith(("cudaErrorMemory", "CUDA_ERROR_OUT")):
        return _of_memory(error, cupy)
    if text.startswith(
        ("cudaErrorInsufficientDriver", "cudaErrorStubLibrary", "CUDA_ERROR_UNSUPPORTED_PTX")
    ):
        return _of_driver(text, cupy)
    if text.startswith(("cudaErrorNoDevice", "CUDA_ERROR_NO_DEVICE")):
        return of_no_device()
    problem = _of_library(text) if isinstance(error, (OSError, RuntimeError)) else None
    if problem is None and type(error).__module__.partition(".")[0] in RAISING:
        problem = Problem(
            f"CUDA fails ({name}: {text})",
            "see whether nvidia-smi lists the GPU as free and healthy, or use --device cpu",
        )
    return problem


def of_no_device() -> Problem:
    """The driver is there, but lists no device."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        return Problem(
            f"no CUDA device is visible, since CUDA_VISIBLE_DEVICES is {hidden!r}",
            "run unset CUDA_VISIBLE_DEVICES",
        )
    return Problem("the NVIDIA driver finds no CUDA device", NO_DRIVER.fix)


def of_index(index: int, count: int) -> Problem:
    """A device beyond the last one."""
    last = "" if count == 1 else f" to cuda:{count - 1}"
    return Problem(f"there is no cuda:{index}, only cuda:0{last}", "choose another device")


def _of_library(text: str) -> Problem | None:
    """A library that is missing, by the text of an error; None if it is about something else."""
    if DRIVER_LIBRARY.search(text):
        return NO_DRIVER
    if LIBRARY.search(text):
        return Problem(f"CuPy does not find a library of CUDA ({text})", _upgrade())
    return None


def _of_driver(text: str, cupy: Any) -> Problem:
    """CUDA says the same of a driver that is too old and of no driver, whose version is 0."""
    version, built_for = numbers(cupy)
    if not version:
        return NO_DRIVER
    return Problem(
        f"the NVIDIA driver is too old: it supports CUDA {spelled(version)}, and CuPy is built "
        f"for CUDA {spelled(built_for)} ({text})",
        f"{_switch(version // 1000)}, or update the driver"
        if 12 <= version // 1000 < built_for // 1000
        else "update the driver to its newest version, or use --device cpu",
    )


def _of_compiler(log: str) -> Problem:
    """CUDA's compiler, NVRTC, did not compile a kernel: headers are missing, or it is too old."""
    lines = [line.strip() for line in log.splitlines() if "error" in line.lower()]
    text = (lines or [first_line(RuntimeError(log))])[0][:LONGEST]
    fix = _upgrade()
    if "gpu-architecture" in log and _major() > 12:
        fix += f"; or, for a GPU older than Turing (2018), {_switch(12)}"
    return Problem(f"CUDA's compiler does not compile a kernel ({text})", fix)


def _of_memory(error: BaseException, cupy: Any) -> Problem:
    found = re.search(r"allocating ([\d,]+) bytes", str(error))
    wanted = f"{int(found[1].replace(',', '')) / MIB:,.1f} MiB" if found else "more"
    there = ""
    with contextlib.suppress(Exception):  # a device that fails may fail in this, too
        free, total = cupy.cuda.Device().mem_info
        there = f", and {free / MIB:,.1f} of its {total / MIB:,.1f} MiB are free"
    return Problem(
        f"the GPU's memory is full: {wanted} was requested{there}",
        "lower --batch or --hidden, or end what else runs on this GPU (nvidia-smi lists it)",
    )


@contextlib.contextmanager
def explained(cupy: Any) -> Iterator[None]:
    """Turn CuPy's errors into one sentence with advice. Other errors pass.

    It belongs around whatever compiles a kernel or allocates memory.

    Raises:
        DeviceError: there is no memory or no compiler, or CUDA stopped working.
    """
    try:
        yield
    except Exception as error:
        problem = None if isinstance(error, DeviceError) else of_error(error, cupy)
        if problem is None:
            raise
        raise problem.error("CUDA") from error


# -- wording ------------------------------------------------------------------------------


def first_line(error: BaseException) -> str:
    """The first line of an error's message that is not decoration."""
    lines = [line.strip(" =\t") for line in str(error).splitlines()]
    return next(filter(None, lines), type(error).__name__)[:LONGEST].rstrip(".")


def spelled(version: int) -> str:
    """CUDA writes 12.4 as 12040."""
    return f"{version // 1000}.{version % 1000 // 10}"


def numbers(cupy: Any) -> tuple[int, int]:
    """CUDA's versions: what the driver supports (0: there is no driver), what CuPy is built for."""
    runtime = cupy.cuda.runtime
    try:
        version = int(runtime.driverGetVersion())
    except Exception:  # another way to have no driver
        version = 0
    return version, int(runtime.runtimeGetVersion())


def _switch(major: int) -> str:
    """How to install CuPy for another CUDA version."""
    names = " ".join(installed()) or "cupy"
    return f'run pip uninstall -y {names}, then pip install "minigan[cuda{major}]"'


def _upgrade() -> str:
    """How to get CuPy together with CUDA's libraries, compiler and headers."""
    return f'run pip install --upgrade "minigan[cuda{_major()}]"'


def _major() -> int:
    """The CUDA version that the installed package is for: 12 or 13."""
    digits = re.search(r"\d+", " ".join(installed()))
    return int(digits[0]) if digits else 13
