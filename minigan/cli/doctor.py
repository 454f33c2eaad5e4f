"""minigan doctor: what this machine offers, what works, and what mends what does not."""

from __future__ import annotations

import argparse
import functools
import math
import os
import platform
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.backend import Backend, device_name, get_backend
from minigan.backend.cuda_errors import (
    MIB,
    Problem,
    first_line,
    installed,
    is_cupys,
    numbers,
    of_error,
    of_unknown,
    spelled,
)
from minigan.backend.devices import load_cuda, model_name, problem_of
from minigan.cli.profile import blas
from minigan.errors import ConfigError
from minigan.nn import ELU, Linear, Sequential
from minigan.nn.gradcheck import gradcheck
from minigan.text import count
from minigan.version import __version__

TOLERANCE = 1e-5  # of float32 on the GPU against float64 here, as a relative norm
REPORT = "report this page as a fault of minigan, and use --device cpu meanwhile"
BESIDE = ("scipy", "safetensors", "matplotlib", "threadpoolctl")


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "doctor",
        help="tell what this machine offers, what works, and what does not",
        description="Print versions, the BLAS library, threads and CUDA devices; try the CPU and "
        "CUDA; and say how to mend what does not work.",
    )
    parser.add_argument(
        "--device",
        help="fail (exit code 2) if this one does not work: cuda, cuda:N (default: none has to "
        "but the CPU)",
    )
    parser.set_defaults(run=run, command="doctor")


def run(args: argparse.Namespace) -> int:
    """Print what there is, then try it."""
    from importlib import metadata  # slow to import, and only this command needs it

    library, n_threads = blas()
    tell("python", f"{platform.python_version()}, {platform.platform()}")
    tell("minigan", __version__)
    tell("numpy", f"{np.__version__}, {library}")
    tell("beside", ", ".join(f"{name} {metadata.version(name)}" for name in BESIDE))
    tell("cpu", f"{cores()}, {count(n_threads, 'thread')} for matrix products")
    print_cuda()
    works = try_cpu()
    asked = args.device if args.device not in (None, "auto", "cpu") else None
    problem = try_cuda(asked or "cuda")
    sys.stdout.flush()
    if asked is not None and problem is not None:  # said again, since it was asked for
        raise problem.error(f"device {asked!r} cannot be used")
    return 0 if works else 1


# -- what there is ------------------------------------------------------------------------


def cores() -> str:
    """How many cores there are, and how many of them are for this process."""
    n = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else n
    return count(n, "core") + (f" ({usable} usable)" if usable != n else "")


def print_cuda() -> None:
    """CuPy, the driver, and the devices that it lists."""
    packages = ", ".join(f"{name} {version}" for name, version in installed().items())
    cupy, problem = load_cuda()
    if cupy is None:
        assert problem is not None
        tell(
            "cupy", problem.reason.removeprefix("CuPy is ") + (f" ({packages})" if packages else "")
        )
        return
    tell("cupy", cupy.__version__ + (f" ({packages})" if packages else ""))
    version, runtime = numbers(cupy)
    compiler = value(lambda: ".".join(map(str, cupy.cuda.nvrtc.getVersion())))
    driver = f"driver for {spelled(version)}" if version else "no driver"
    tell("cuda", f"{driver}, CuPy built for {spelled(runtime)}, compiler {compiler}")
    try:
        n = int(cupy.cuda.runtime.getDeviceCount())
    except Exception as error:
        tell("devices", f"none ({first_line(error)})")
        return
    tell("devices", str(n) if n else "none")
    for index in range(n):
        print(f"  cuda:{index}   {value(functools.partial(device, cupy, index))}")


def device(cupy: Any, index: int) -> str:
    """A device's name, compute capability and memory."""
    free, total = cupy.cuda.Device(index).mem_info
    capability = str(cupy.cuda.Device(index).compute_capability)  # "90" is 9.0
    return (
        f"{model_name(cupy, index)}, compute capability {capability[:-1]}.{capability[-1]}, "
        f"{free / MIB:,.0f} of {total / MIB:,.0f} MiB free"
    )


def value(get: Callable[[], str]) -> str:
    """What a function returns, or why it does not."""
    try:
        return get()
    except Exception as error:  # whatever it is, it is told, and the others are too
        return f"unknown ({first_line(error)})"


# -- what works ---------------------------------------------------------------------------


def try_cpu() -> bool:
    """Check every gradient of a small network against differences."""
    try:
        net = Sequential(Linear(3, 4), ELU(), Linear(4, 2), seed=0)
        X = np.random.default_rng(0).normal(size=(5, 3))  # (5, 3)
        report = gradcheck(net, X)
        if not report.ok:
            raise ArithmeticError("its gradients are wrong")
    except Exception as error:
        tell("CPU", f"does not work: {type(error).__name__}: {first_line(error)}")
        print("           to mend it, run pip install --force-reinstall numpy")
        return False
    tell("CPU", f"works: gradients are right to {report.max_relative_error:.0e}")
    return True


def try_cuda(name: str) -> Problem | None:
    """Multiply two matrices on the GPU and here; returns why that does not work, if so.

    Raises:
        ConfigError: the name is not that of a device.
    """
    error = math.nan
    try:
        problem = problem_of(name)
        if problem is None:
            error = product_error(get_backend(name))
    except ConfigError:
        raise
    except Exception as failure:  # whatever it is, a page of facts is of more use than its trace
        problem = of_failure(failure.__cause__ or failure)
    if problem is None and not error < TOLERANCE:
        problem = Problem(f"a product on {device_name(name)} is wrong, by {error:.0e}", REPORT)
    if problem is None:
        tell("CUDA", f"works: a product on {device_name(name)} is right to {error:.0e}")
        return None
    tell("CUDA", f"does not work: {problem.reason}")
    print(f"           to mend it, {problem.mend}")
    return problem


def of_failure(error: BaseException) -> Problem:
    """What went wrong on the GPU; or in minigan itself, which no command mends."""
    problem = of_error(error, load_cuda()[0])
    if problem is not None:
        return problem
    if is_cupys(error):
        return of_unknown(error)
    return Problem(f"minigan fails there ({type(error).__name__}: {first_line(error)})", REPORT)


def product_error(ops: Backend) -> float:
    """How far a float32 product on a device is from float64 here, as a relative norm."""
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(33, 50)), rng.normal(size=(50, 65))
    out = ops.zeros((33, 65), "float32")
    ops.matmul(ops.from_host(A, "float32"), ops.from_host(B, "float32"), out=out)
    exact = A @ B  # (33, 65)
    return float(np.linalg.norm(ops.to_host(out) - exact) / np.linalg.norm(exact))


def tell(name: str, text: str) -> None:
    """A line of what is told."""
    print(f"{name:<11}{text}")
