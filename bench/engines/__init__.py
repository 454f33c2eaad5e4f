"""What is measured. Each engine is a class; an instance lives in a process of its own.

    engine = SomeEngine(workload, threads)     builds the networks and puts the data in memory
    engine = SomeEngine(workload, threads, device="cuda")     on a GPU, where the engine can
    engine.run(steps)                          takes training steps; all are done when it returns
    engine.losses()                            means since the start, (D's, G's); None for a limit

`chunk` is the number of steps of one call; `steps` is a multiple of it. Every engine makes noise
and real samples inside the step, sums the losses up without reading them, and takes the same
step: D learns from real and fake samples, then G through D.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.workloads import Workload


@dataclass(frozen=True)
class Entry:
    """An engine, as the tables know it."""

    label: str  # its name in a table
    target: str  # where its class is, "module:name"
    needs: str  # the module that must be installed for it
    one_dimensional: bool = False  # it is written for the 1-D workload only
    dense: bool = False  # it is left out where there are convolutions

    def takes(self, workload: Workload) -> bool:
        """Whether it is measured on a workload."""
        convolutions = any(kind.startswith("Conv") for kind, *_ in workload.D)
        return not (
            (self.one_dimensional and not workload.one_dimensional) or (self.dense and convolutions)
        )


ENGINES = {
    "minigan": Entry("minigan", "bench.engines.ours:Minigan", "numpy"),
    "by_hand": Entry("minigan, not captured", "bench.engines.ours:ByHand", "numpy"),
    "pytorch": Entry("PyTorch, eager", "bench.engines.pytorch:Eager", "torch"),
    "pytorch_tuned": Entry("PyTorch, tuned", "bench.engines.pytorch:Tuned", "torch"),
    "torch_compile": Entry("PyTorch, torch.compile", "bench.engines.pytorch:Compiled", "torch"),
    "jax_jit": Entry("JAX, one jitted step", "bench.engines.jax:Jit", "jax"),
    # In a loop XLA makes convolutions without its fast library: six times as slow.
    "jax_scan": Entry("JAX, lax.scan over steps", "bench.engines.jax:Scan", "jax", dense=True),
    "limit": Entry("limit: the products alone", "bench.engines.limit:Limit", "numpy"),
}
