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

#: Packages that contain CuPy. They write the same files, so only one can be installed at a time.
PACKAGES = ("cupy", *(f"cupy-cuda{major}x" for major in range(11, 16)))
#: Packages whose errors are CuPy's; "cuda" contains cuda.pathfinder, which finds its libraries.
RAISING = ("cupy", "cupy_backends", "cuda")
LONGEST = 200  # characters that are quoted from an error
NO_DRIVER = "there is no NVIDIA driver"
NO_DEVICE = "the NVIDIA driver finds no CUDA device"
DRIVER = (
    "install the driver of your GPU until nvidia-smi lists it (a container must be started with "
    "--gpus all), or use --device cpu"
)
#: A pattern in "class: message" of an error; what is wrong; and what to do, or None to install.
KNOWN = (
    (
        r"OutOfMemoryError|cudaErrorMemory|CUDA_ERROR_OUT",
        "the GPU's memory is full",
        "lower --batch or --hidden, or end what else runs on this GPU (nvidia-smi lists it)",
    ),
    (r"CompileException|NVRTCError", "CUDA's compiler does not compile a kernel", None),
    (
        r"cudaErrorInsufficientDriver|cudaErrorStubLibrary|CUDA_ERROR_UNSUPPORTED_PTX",
        "the NVIDIA driver is too old",
        'update the driver to its newest version, or run pip install "minigan[cuda12]"',
    ),
    (r"cudaErrorNoDevice|CUDA_ERROR_NO_DEVICE", NO_DEVICE, DRIVER),
    (r"\blibcuda\.so|\bnvcuda\.dll", NO_DRIVER, DRIVER),
    (
        r"\blib(cu|nv)\w+\.so|\b(cu|nv)\w+\.dll|DLL load failed",
        "CuPy does not find a library of CUDA",
        None,
    ),
)


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


def installed() -> dict[str, str]:
    """The installed packages that contain CuPy: name -> version."""
    from importlib import metadata  # slow to import, and only needed when CUDA is requested

    found = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def to_install(reason: str) -> Problem:
    """A problem that goes away when CuPy is installed again, with CUDA's libraries."""
    names = " ".join(installed())
    remove = f"pip uninstall -y {names}, then " if names else ""
    return Problem(
        reason,
        f'run {remove}pip install "minigan[cuda13]", or "minigan[cuda12]" for an NVIDIA driver '
        "older than 580 or a GPU older than Turing (2018)",
    )


def of_import(error: BaseException) -> Problem:
    """CuPy is there, but `import cupy` failed."""
    while error.__cause__ is not None:  # CuPy wraps the first error in a page of advice
        error = error.__cause__
    text = f"{type(error).__name__}: {first_line(error)}"
    return _known(text) or to_install(f"CuPy is installed but cannot be imported ({text})")


def of_error(error: BaseException, cupy: Any) -> Problem | None:
    """What CuPy raised; None for an error that is not CuPy's."""
    of_cupy = type(error).__module__.partition(".")[0] in RAISING
    text = f"{type(error).__name__}: {first_line(error)}"
    problem = _known(text) if of_cupy or isinstance(error, (OSError, RuntimeError)) else None
    if problem is None and of_cupy:
        fix = "see whether nvidia-smi lists the GPU as free and healthy, or use --device cpu"
        return Problem(f"CUDA fails ({text})", fix)
    if problem is not None and "driver is too old" in problem.reason and not driver_version(cupy):
        return Problem(NO_DRIVER, DRIVER)  # CUDA raises the same error
    return of_no_device() if problem is not None and NO_DEVICE in problem.reason else problem


def _known(text: str) -> Problem | None:
    """The problem in `KNOWN` that an error's "class: message" shows."""
    for pattern, what, fix in KNOWN:
        if re.search(pattern, text):
            reason = what if what == NO_DRIVER else f"{what} ({text})"
            return to_install(reason) if fix is None else Problem(reason, fix)
    return None


def of_no_device() -> Problem:
    """The driver is there, but lists no device."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is None:
        return Problem(NO_DEVICE, DRIVER)
    reason = f"no CUDA device is visible, since CUDA_VISIBLE_DEVICES is {hidden!r}"
    return Problem(reason, "run unset CUDA_VISIBLE_DEVICES")


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


def first_line(error: BaseException) -> str:
    """The first line of an error's message that is not decoration, or that has the word error."""
    lines = [line.strip(" =\t") for line in str(error).splitlines()]
    lines = [line for line in lines if line] or [type(error).__name__]
    said = [line for line in lines if "error" in line.lower()]  # a compiler warns first
    return (said or lines)[0][:LONGEST].rstrip(".")


def driver_version(cupy: Any) -> int:
    """The newest CUDA that the driver supports, 12.4 as 12040; 0 without a driver."""
    with contextlib.suppress(Exception):
        return int(cupy.cuda.runtime.driverGetVersion())
    return 0
