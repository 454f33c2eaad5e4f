"""The matrix products of a training step, and nothing else: no such engine can be faster.

They are taken from a recorded step of minigan. Sums over rows, which minigan makes as products with
a row of ones, are left out, as are biases, activations, losses, the windows of convolutions, noise,
data and optimizers.
"""

from __future__ import annotations

import numpy as np

from bench.engines.ours import Minigan
from bench.workloads import Workload


class Limit:
    """Products into preallocated memory, one after the other."""

    chunk = 1

    def __init__(self, workload: Workload, threads: int) -> None:
        minigan = Minigan(workload, threads)
        minigan.run(2)  # the second step, with a gradient in every array, is replayed
        self.limits = minigan.limits  # minigan takes one thread for small products
        calls = minigan.gan.recording.replay.calls
        #: (A, B, out) for out = A B. Constants, such as a row of ones, are read-only.
        made = [call.args for call in calls if call.func is np.dot and call.args[0].flags.writeable]
        # Not into minigan's arrays: they would change, and could become denormal, which is slow.
        place = np.empty(max(out.size for _, _, out in made), np.float32)
        self.products = [(A, B, place[: out.size].reshape(out.shape)) for A, B, out in made]

    def run(self, steps: int) -> None:
        dot, products = np.dot, self.products
        for _ in range(steps):
            for A, B, out in products:
                dot(A, B, out)

    def losses(self) -> None:
        return None
