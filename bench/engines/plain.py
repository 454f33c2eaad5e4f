"""A step as one writes it first, in new arrays: rung 2 of the ladder, in NumPy or in CuPy.

The same file speaks to both devices. `bench/ladder/rung2_vectorised.py` names its library `np`, and
on a GPU that is CuPy: a kernel launch for each operation, and cuBLAS for the products.
"""

from __future__ import annotations

import importlib
from typing import Any

import bench.ladder.rung2_vectorised as rung
from bench.ladder.start import start
from bench.workloads import Workload


class Plain:
    """`Vectorised` with the arrays, functions and random numbers of one library."""

    chunk = 1

    def __init__(self, workload: Workload, threads: int, device: str = "cpu") -> None:
        if not workload.one_dimensional:
            raise ValueError("only the 1-D step is written so")
        self.library: Any = importlib.import_module("numpy" if device == "cpu" else "cupy")
        self.on_gpu = device != "cpu"
        rung.np = self.library  # of this process, which runs this engine alone
        given = start()
        for net in (given.G, given.D):
            net[:] = [self.library.asarray(array) for array in net]
        given.d_noise, given.g_noise, given.data = map(self.library.random.default_rng, range(3))
        self.rung = rung.Vectorised(given)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.rung.step()
        if self.on_gpu:
            self.library.cuda.Device().synchronize()

    def losses(self) -> tuple[float, float]:
        d_real, d_fake, g = (float(loss) for loss in self.rung.losses())
        return d_real + d_fake, g
