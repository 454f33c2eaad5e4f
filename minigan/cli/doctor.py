"""minigan doctor: what this machine offers, what works, and how to fix what does not."""

from __future__ import annotations

import argparse
import platform
import sys
from typing import Any

import numpy as np

from minigan.backend import device_name
from minigan.backend.cuda import errors
from minigan.backend.cuda.errors import first_line
from minigan.backend.devices import load_cuda, model_name
from minigan.cli.common import cores
from minigan.errors import DeviceError
from minigan.nn import ELU, Linear, Sequential
from minigan.nn.gradcheck import gradcheck
from minigan.text import count, wrapped
from minigan.training.threads import blas
from minigan.version import __version__

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
    show("cpu", f"{count(cores(), 'core')}, {count(n_threads, 'thread')} for matrix products")
    show_cuda()
    works = try_cpu()
    asked = args.device if args.device not in (None, "auto", "cpu") else None
    wrong = try_cuda(asked or "cuda")
    sys.stdout.flush()
    if asked is not None and wrong:
        raise DeviceError(wrong)
    return 0 if works else 1


def show(name: str, text: str) -> None:
    """Print an entry of the page, in lines that fit the terminal."""
    print(wrapped(f"{name:<11}{text}", 11))


def show_cuda() -> None:
    """Print the versions of CuPy and CUDA, and the devices that the driver lists."""
    packages = ", ".join(f"{name} {version}" for name, version in errors.installed().items())
    cupy = load_cuda()
    show("cupy", packages or getattr(cupy, "__version__", "not installed"))
    if cupy is None:
        return
    runtime = cupy.cuda.runtime
    versions = errors.driver_version(cupy), int(runtime.runtimeGetVersion())  # 12.4 is 12040
    driver, built_for = (f"{version // 1000}.{version % 1000 // 10}" for version in versions)
    driver = f"driver for {driver}" if versions[0] else "no driver"
    show("cuda", f"{driver}, CuPy built for {built_for}")
    try:
        for index in range(int(runtime.getDeviceCount())):
            device = cupy.cuda.Device(index)
            free, total = (f"{n / 2**20:,.0f}" for n in device.mem_info)
            capability = int(device.compute_capability) / 10  # "90" is 9.0
            text = f"compute capability {capability}, {free} of {total} MiB free"
            show(f"cuda:{index}", f"{model_name(cupy, index)}, {text}")
    except Exception as error:
        show("devices", f"unknown ({first_line(error)})")


def try_cpu() -> bool:
    """Check every gradient of a small network against differences."""
    net = Sequential(Linear(3, 4), ELU(), Linear(4, 2), seed=0)
    report = gradcheck(net, np.random.default_rng(0).normal(size=(5, 3)))
    error = f"{report.max_relative_error:.0e}"
    if report.ok:
        show("CPU", f"works: gradients are right to {error}")
    else:
        fix = "to fix it, run pip install --force-reinstall numpy"
        show("CPU", f"does not work: its gradients are wrong, by {error}; {fix}")
    return report.ok


def try_cuda(name: str) -> str:
    """Compile a kernel and run it; returns why that does not work, or ""."""
    try:
        show("CUDA", f"works: a kernel ran on {device_name(name)}")
    except DeviceError as error:
        show("CUDA", f"does not work: {error}")
        return str(error)
    return ""
