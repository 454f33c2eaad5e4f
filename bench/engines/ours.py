"""minigan, stepped as `minigan.Trainer` does it."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

from threadpoolctl import threadpool_limits

import minigan as mg
from bench.workloads import PIXELS, Workload, random_pixels
from examples import dcgan, gaussian1d, mnist
from minigan.parallel.workers import workers
from minigan.training import suitable_threads
from minigan.training.trainer import CHECK_EVERY

EXPERIMENTS: Any = {"gaussian1d": gaussian1d, "mnist": mnist, "dcgan": dcgan}


def build(workload: Workload, device: str = "cpu") -> tuple[mg.GAN, mg.Gaussian | mg.Images]:
    """The GAN, bound to its batch, and the data of a workload."""
    recipes = EXPERIMENTS[workload.experiment].RECIPES
    recipe = dataclasses.replace(recipes[workload.recipe], **workload.settings)
    data: mg.Gaussian | mg.Images
    if workload.one_dimensional:
        gan, data = gaussian1d.build(recipe, device=device)
    else:
        data = mg.Images(random_pixels().reshape(-1, 28, 28), device=device)
        if workload.experiment == "mnist":
            gan = mnist.build(recipe, PIXELS, data.size, device=device)
        else:
            gan = dcgan.build(recipe, (28, 28), data.size, device=device)
    gan.bind(workload.batch)
    return gan, data


class Minigan:
    """The engine of this repository, in the trainer's loop."""

    chunk = 1
    captures = True

    def __init__(self, workload: Workload, threads: int, device: str = "cpu") -> None:
        self.gan, self.data = build(workload, device)
        self.on_gpu = device != "cpu"
        # As the trainer chooses: one thread for small networks, however many there are.
        chosen = suitable_threads(self.gan, workload.batch) or threads
        self.limits = threadpool_limits(chosen, "blas")

    def run(self, steps: int) -> None:
        gan, data = self.gan, self.data
        for _ in range(steps):
            if gan.step_count % CHECK_EVERY == 0:
                gan.check_finite()
                gan.capture(self.captures)
            data.next_batch(out=gan.real)
            gan.step()
        if self.on_gpu:
            gan.ops.synchronize()

    def sample(self, count: int) -> None:
        """Make samples, all in memory at once."""
        self.gan.sample(count)

    def losses(self) -> tuple[float, float]:
        means = self.gan.losses()
        return means["d_real"] + means["d_fake"], means["g"]


class Together(Minigan):
    """A process in place of each thread, with one thread and a share of the batch."""

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, 1)
        self.kept = contextlib.ExitStack()  # until this process ends
        self.team = self.kept.enter_context(workers(threads, self.gan, self.data, 1))

    def run(self, steps: int) -> None:
        gan, last = self.gan, self.gan.step_count + steps
        while gan.step_count < last:
            end = min(last, gan.step_count + CHECK_EVERY)
            self.team.lead(gan, self.data, True, lambda end=end: gan.step_count < end)
            gan.check_finite()


class ByHand(Minigan):
    """The same step without a recording: what a loop around `gan.step()` does."""

    captures = False
