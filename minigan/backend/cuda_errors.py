"""What can be wrong with CUDA: each as what it is, and the command that mends it.

CuPy's errors are recognised by the names of their classes and by their messages, so that this
file needs no CuPy. The messages are those of CuPy 13 and 14.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from minigan.errors import DeviceError

MIB = 2**20
#: Packages that hold CuPy. They write the same files, so an environment can hold one of them.
PACKAGES = ("cupy", *(f"cupy-cuda{major}x" for major in range(11, 16)))
#: What CuPy raises, by the names of the classes.
RAISED = (
    "CUDARuntimeError",
    "CUDADriverError",
    "NVRTCError",
    "CompileException",
    "OutOfMemoryError",
    "DynamicLibNotFoundError",  # of cuda.pathfinder, which looks for CUDA's libraries
)
LIBRARY = re.compile(r"\blib(?:cu|nv)\w+\.so|\b(?:cu|nv)\w+\.dll|DLL load failed")
DRIVER_LIBRARY = re.compile(r"\blibcuda\.so|\bnvcuda\.dll")
LONGEST = 200  # letters of an error's own words


class Problem(NamedTuple):
    """Why CUDA cannot be used.

    Attributes:
        reason: what is wrong.
        mend: what to do, with the command.
    """

    reason: str
    mend: str

    def error(self, what: str) -> DeviceError:
        """As an error that says what it is that cannot be done."""
        return DeviceError(f"{what}: {self.reason}; {self.mend}")


NOT_INSTALLED = Problem(
    "CuPy is not installed",
    'run pip install "minigan[cuda13]", or "minigan[cuda12]" for an NVIDIA driver older than 580',
)
NO_DRIVER = Problem(
    "there is no NVIDIA driver",
    "install the driver of your GPU until nvidia-smi lists it (a container must be started with "
    "--gpus all), or use --device cpu",
)


# -- before CuPy is there -----------------------------------------------------------------


def installed() -> dict[str, str]:
    """The packages with CuPy that are installed: name -> version."""
    from importlib import metadata  # slow to import, and only who means CUDA comes here

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
        f"{len(names)} packages of CuPy are installed ({', '.join(names)}) and overwrite each "
        "other's files",
        f'run pip uninstall -y {" ".join(names)}, then pip install "minigan[cuda13]", or '
        '"minigan[cuda12]" for an NVIDIA driver older than 580',
    )


def of_import(error: BaseException) -> Problem:
    """CuPy is there, but `import cupy` failed."""
    while error.__cause__ is not None:  # CuPy packs the first error into a page of advice
        error = error.__cause__
    name = next(iter(installed()), "cupy")
    text = first_line(error)
    if DRIVER_LIBRARY.search(text):
        return NO_DRIVER
    if LIBRARY.search(text):
        return Problem(f"{name} does not find a library of CUDA ({text})", toolkit(None))
    return Problem(
        f"CuPy is installed but cannot be imported ({type(error).__name__}: {text})",
        f"run pip install --force-reinstall {name}",
    )


# -- with CuPy ----------------------------------------------------------------------------


def of_error(error: BaseException, cupy: Any, asked: int | None = None) -> Problem | None:
    """What CuPy raised as a problem with advice of its own; None if it is none that is known.

    Args:
        error: what was raised.
        cupy: the module.
        asked: bytes of memory that were asked for, if that is known.
    """
    text = first_line(error)
    if is_cupys(error, "CompileException", "NVRTCError"):
        return of_compiler(str(error), cupy)
    if is_cupys(error, "OutOfMemoryError") or text.startswith(
        ("cudaErrorMemory", "CUDA_ERROR_OUT")
    ):
        return of_memory(error, cupy, asked)
    if text.startswith(("cudaErrorInsufficientDriver", "cudaErrorStubLibrary")):
        return of_driver(cupy)
    if text.startswith(("cudaErrorNoDevice", "CUDA_ERROR_NO_DEVICE")):
        return of_no_device()
    if text.startswith(("cudaErrorUnsupportedPtx", "CUDA_ERROR_UNSUPPORTED_PTX")):
        known = spelled(numbers(cupy)[0])
        return Problem(
            f"the NVIDIA driver, which knows CUDA {known}, is older than CUDA's compiler ({text})",
            f'run pip install "cuda-toolkit[cudart,nvrtc]=={known}.*", or update the driver',
        )
    if isinstance(error, (OSError, RuntimeError)):
        if DRIVER_LIBRARY.search(text):
            return NO_DRIVER
        if LIBRARY.search(text) or is_cupys(error, "DynamicLibNotFoundError"):
            return Problem(f"CuPy does not find a library of CUDA ({text})", toolkit(cupy))
    return None


def of_unknown(error: BaseException) -> Problem:
    """CUDA failed in a way that has no advice of its own."""
    return Problem(
        f"CUDA fails ({type(error).__name__}: {first_line(error)})",
        "see whether nvidia-smi lists the GPU as free and healthy, or use --device cpu",
    )


def of_driver(cupy: Any) -> Problem:
    """CUDA calls a driver insufficient that is too old, and one that is not there (version 0)."""
    version, runtime = numbers(cupy)
    if not version:
        return NO_DRIVER
    reason = (
        f"the NVIDIA driver is too old: it knows CUDA {spelled(version)}, and CuPy is built for "
        f"CUDA {spelled(runtime)}"
    )
    if 12 <= version // 1000 < runtime // 1000:
        return Problem(reason, f"{switch(version // 1000)}, or update the driver")
    return Problem(reason, "update the driver to 580 or newer, or use --device cpu")


def of_no_device() -> Problem:
    """The driver is there, but lists no device."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        return Problem(
            f"no CUDA device is visible, since CUDA_VISIBLE_DEVICES is {hidden!r}",
            "run unset CUDA_VISIBLE_DEVICES",
        )
    return Problem(
        "the NVIDIA driver finds no CUDA device",
        "see whether nvidia-smi lists one (a container must be started with --gpus all), or use "
        "--device cpu",
    )


def of_index(index: int, count: int) -> Problem:
    """A device beyond the last one."""
    if count == 1:
        return Problem(f"there is no cuda:{index}, only cuda:0", "use --device cuda:0")
    return Problem(
        f"there is no cuda:{index}, only {count} devices, cuda:0 to cuda:{count - 1}",
        "choose one of them",
    )


def of_compiler(log: str, cupy: Any) -> Problem:
    """CUDA's compiler, NVRTC, did not compile a kernel."""
    lines = [line.strip() for line in log.splitlines() if "error" in line.lower()]
    text = (lines or [first_line(RuntimeError(log))])[0][:LONGEST]
    if "open source file" in log:
        return Problem(f"CUDA's compiler does not find CUDA's headers ({text})", toolkit(cupy))
    if "gpu-architecture" in log:
        newer = f"for a new GPU {toolkit(cupy)}"
        older = f"for one older than Turing (2018) {switch(12)}"
        mend = f"{newer}; {older}" if _major(cupy) > 12 else newer
        return Problem(f"CUDA's compiler does not know this GPU ({text})", mend)
    return Problem(f"CUDA's compiler does not compile a kernel ({text})", toolkit(cupy))


def of_memory(error: BaseException, cupy: Any, asked: int | None) -> Problem:
    """The GPU's memory does not suffice.

    Args:
        error: CuPy's, whose message tells what was asked for, and CuPy's own limit if one is set.
        cupy: the module.
        asked: bytes that were asked for, if known better.
    """
    if asked is None:
        asked = _bytes(r"allocating ([\d,]+) bytes", error)
    wanted = "more" if asked is None else f"{asked / MIB:,.1f} MiB more"
    there = ""
    with contextlib.suppress(Exception):  # a device that fails may fail in this, too
        free, total = cupy.cuda.Device().mem_info
        there = f", and {free / MIB:,.1f} of its {total / MIB:,.1f} MiB are free"
    mend = "lower --batch or --hidden, or end what else runs on this GPU (nvidia-smi lists it)"
    limit = _bytes(r"limit set to: ([\d,]+) bytes", error)
    if limit is not None:
        there += f", of which CuPy may use {limit / MIB:,.1f} MiB (CUPY_GPU_MEMORY_LIMIT)"
        mend = "raise this limit, or lower --batch or --hidden"
    return Problem(f"the GPU's memory is full: {wanted} was asked for{there}", mend)


@contextlib.contextmanager
def explained(cupy: Any, asked: int | None = None) -> Iterator[None]:
    """Turn what CuPy raises inside into a sentence, where there is advice.

    Around what compiles a kernel, and what asks for memory. Other errors pass.

    Args:
        cupy: the module.
        asked: bytes of memory that are asked for inside.

    Raises:
        DeviceError: no memory, no compiler, or CUDA went away.
    """
    try:
        yield
    except Exception as error:
        problem = None if isinstance(error, DeviceError) else of_error(error, cupy, asked)
        if problem is None:
            raise
        raise problem.error("CUDA") from error


# -- words --------------------------------------------------------------------------------


def first_line(error: BaseException) -> str:
    """The first line of an error's message that says something."""
    lines = [line.strip(" =\t") for line in str(error).splitlines()]
    return next(filter(None, lines), type(error).__name__)[:LONGEST].rstrip(".")


def spelled(version: int) -> str:
    """CUDA's way to write 12.4 is 12040."""
    return f"{version // 1000}.{version % 1000 // 10}"


def numbers(cupy: Any) -> tuple[int, int]:
    """CUDA's versions as numbers: the driver's (0: there is none), and what CuPy is built for."""
    runtime = cupy.cuda.runtime
    try:
        version = int(runtime.driverGetVersion())
    except Exception:  # a driver that is not there, in another way
        version = 0
    return version, int(runtime.runtimeGetVersion())


def switch(major: int) -> str:
    """How to take the wheel of another CUDA version."""
    names = " ".join(installed()) or "cupy"
    return f'run pip uninstall -y {names}, then pip install "minigan[cuda{major}]"'


def toolkit(cupy: Any) -> str:
    """How to get CUDA's compiler and headers: the wheels of CuPy bring neither."""
    major = _major(cupy)
    before = "pip uninstall -y cupy, then " if "cupy" in installed() else ""
    wheels = f'cupy-cuda{major}x "cuda-toolkit[cudart,nvrtc]=={major}.*"'
    return f"run {before}pip install --upgrade {wheels}"


def is_cupys(error: BaseException, *names: str) -> bool:
    """Whether an error is of a class with one of these names; without names, any of CuPy's."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return not kinds.isdisjoint(names or RAISED)


def _major(cupy: Any) -> int:
    """The CUDA version that CuPy is built for: 12 or 13."""
    digits = re.search(r"\d+", " ".join(installed()))
    if digits:
        return int(digits[0])
    try:
        return numbers(cupy)[1] // 1000
    except Exception:  # CuPy is not there, or only a part of it
        return 13


def _bytes(pattern: str, error: BaseException) -> int | None:
    found = re.search(pattern, str(error))
    return int(found[1].replace(",", "")) if found else None
