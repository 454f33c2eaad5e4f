"""minigan doctor: what this machine offers, what works, and how to fix what does not."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from typing import Any

import numpy as np

from minigan.backend import Backend, device_name, get_backend
from minigan.backend.cuda import errors
from minigan.backend.cuda.errors import MIB, Problem, first_line, spelled
from minigan.backend.devices import load_cuda, model_name, problem_of
from minigan.errors import ConfigError
from minigan.nn import ELU, Linear, Sequential
from minigan.nn.gradcheck import gradcheck
from minigan.text import count
from minigan.training.threads import blas
from minigan.version import __version__

TOLERANCE = 1e-5  # of float32 on the GPU against float64 here, as a relative norm
REPORT = "report this page as a bug of minigan, and use --device cpu meanwhile"
LIBRARIES = ("scipy", "safetensors", "matplotlib", "threadpoolctl")


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "doctor",
        help="show what this machine offers, what works, and what does not",
        description="Print versions, the BLAS library, threads and CUDA devices; try the CPU and "
        "CUDA; and say how to fix what does not work.",
    )
    parser.add_argument(
        "--device",
        help="fail (exit code 2) if this one does not work: cuda, cuda:N (default: only the CPU "
        "has to work)",
    )
    parser.set_defaults(run=run, command="doctor")


def run(args: argparse.Namespace) -> int:
    """Print what there is, then try it."""
    from importlib import metadata  # slow to import, and only this command needs it

    library, n_threads = blas()
    show("python", f"{platform.python_version()}, {platform.platform()}")
    show("minigan", __version__)
    show("numpy", f"{np.__version__}, {library}")
    show("libraries", ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES))
    show("cpu", f"{cores()}, {count(n_threads, 'thread')} for matrix products")
    show_cuda()
    works = try_cpu()
    asked = args.device if args.device not in (None, "auto", "cpu") else None
    problem = try_cuda(asked or "cuda")
    sys.stdout.flush()
    if asked is not None and problem is not None:
        raise problem.error(f"device {asked!r} cannot be used")
    return 0 if works else 1


def show(name: str, text: str) -> None:
    """Print a line of the page."""
    print(f"{name:<11}{text}")


# -- what there is ------------------------------------------------------------------------


def cores() -> str:
    """How many cores there are, and how many of them this process may use."""
    n = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else n
    return count(n, "core") + (f" ({usable} usable)" if usable != n else "")


def show_cuda() -> None:
    """Print the versions of CuPy and of the driver, and the devices that the driver lists."""
    packages = ", ".join(f"{name} {version}" for name, version in errors.installed().items())
    cupy, problem = load_cuda()
    found = problem.reason.removeprefix("CuPy is ") if problem else getattr(cupy, "__version__", "")
    show("cupy", f"{found} ({packages})" if packages else found)
    if cupy is None:
        return
    version, built_for = errors.numbers(cupy)
    driver = f"driver for {spelled(version)}" if version else "no driver"
    show("cuda", f"{driver}, CuPy built for {spelled(built_for)}")
    try:
        n = int(cupy.cuda.runtime.getDeviceCount())
        show("devices", str(n))
        for index in range(n):
            show(f"  cuda:{index}", describe(cupy, index))
    except Exception as error:
        show("devices", f"unknown ({first_line(error)})")


def describe(cupy: Any, index: int) -> str:
    """A device's name, compute capability and memory."""
    free, total = cupy.cuda.Device(index).mem_info
    capability = str(cupy.cuda.Device(index).compute_capability)  # "90" is 9.0
    return (
        f"{model_name(cupy, index)}, compute capability {capability[:-1]}.{capability[-1]}, "
        f"{free / MIB:,.0f} of {total / MIB:,.0f} MiB free"
    )


# -- what works ---------------------------------------------------------------------------


def try_cpu() -> bool:
    """Check every gradient of a small network against differences."""
    try:
        net = Sequential(Linear(3, 4), ELU(), Linear(4, 2), seed=0)
        report = gradcheck(net, np.random.default_rng(0).normal(size=(5, 3)))
        if not report.ok:
            raise ArithmeticError("its gradients are wrong")
    except Exception as error:
        show("CPU", f"does not work: {type(error).__name__}: {first_line(error)}")
        show("", "to fix it, run pip install --force-reinstall numpy")
        return False
    show("CPU", f"works: gradients are right to {report.max_relative_error:.0e}")
    return True


def try_cuda(name: str) -> Problem | None:
    """Multiply two matrices on the GPU and here; returns why that does not work, if so.

    Raises:
        ConfigError: the name is not that of a device.
    """
    try:
        problem = problem_of(name)
        error = product_error(get_backend(name)) if problem is None else 0.0
        if not error < TOLERANCE:
            problem = Problem(f"a product on {device_name(name)} is wrong, by {error:.0e}", REPORT)
    except ConfigError:
        raise
    except Exception as raised:  # the page says more than a traceback
        cause = raised.__cause__ or raised
        ours = f"minigan fails there ({type(cause).__name__}: {first_line(cause)})"
        problem = errors.of_error(cause, load_cuda()[0]) or Problem(ours, REPORT)
    if problem is None:
        show("CUDA", f"works: a product on {device_name(name)} is right to {error:.0e}")
    else:
        show("CUDA", f"does not work: {problem.reason}")
        show("", f"to fix it, {problem.fix}")
    return problem


def product_error(ops: Backend) -> float:
    """How far a float32 product on a device is from float64 here, as a relative norm."""
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(33, 50)), rng.normal(size=(50, 65))
    out = ops.zeros((33, 65), "float32")
    ops.matmul(ops.from_host(A, "float32"), ops.from_host(B, "float32"), out=out)
    exact = A @ B  # (33, 65)
    return float(np.linalg.norm(ops.to_host(out) - exact) / np.linalg.norm(exact))
