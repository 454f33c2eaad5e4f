"""PyTorch: as tutorials write a GAN, tuned by hand, and with torch.compile.

On a GPU there are two more ways, which save kernel launches: torch.compile(mode="reduce-overhead"),
and the whole tuned step recorded as a CUDA graph. Neither is meant for a CPU.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import torch
from torch import nn

from bench.workloads import EPS, FAKE_TARGET, IMAGES, LR, MEAN, STD, Layers, Workload, random_pixels

Tensor = torch.Tensor
WARM = 3  # steps before one is recorded
WEIGHTED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def network(layers: Layers, init_std: float | None) -> nn.Sequential:
    """The layers, whose weights begin as PyTorch's, or normal with a spread and biases of 0."""
    modules = [getattr(nn, kind)(*arguments) for kind, *arguments in layers]
    for module in modules:
        if init_std is not None and isinstance(module, WEIGHTED):
            nn.init.normal_(module.weight, 0.0, init_std)
            nn.init.zeros_(module.bias)
    return nn.Sequential(*modules)


def pack(x: Tensor) -> Tensor:
    """(B, 1) -> (1, 2B): the samples, then their squared deviations from a detached mean."""
    row = x.view(1, -1)
    return torch.cat([row, (row - row.mean().detach()) ** 2], dim=1)


def shuffled(batch: int, device: torch.device) -> Iterator[Tensor]:
    """Row numbers (B,) without end, in a new order every epoch."""
    while True:
        order = torch.randperm(IMAGES, device=device)
        yield from order[: IMAGES - IMAGES % batch].split(batch)


class Eager:
    """Two backward passes for D, one for G; every gradient computed, defaults everywhere."""

    chunk = 1
    adam_settings: Mapping[str, bool] = {}  # besides those of the recipe

    def __init__(self, workload: Workload, threads: int, device: str = "cpu") -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        self.device = torch.device(device)
        self.w = w = workload
        self.G = network(w.G, w.init_std).to(self.device)
        self.D = network(w.D, w.init_std).to(self.device)
        self.bce_class = nn.BCEWithLogitsLoss if w.logits else nn.BCELoss
        self.bce = self.bce_class()
        self.g_adam, self.d_adam = (
            torch.optim.Adam(net.parameters(), lr=LR, betas=w.betas, eps=EPS, **self.adam_settings)
            for net in (self.G, self.D)
        )
        if not w.one_dimensional:
            self.X = torch.from_numpy(random_pixels()).to(self.device)
            self.index = shuffled(w.batch, self.device)
        self.totals = torch.zeros(2, device=self.device)  # of D's losses and of G's
        self.steps = 0

    def seen(self, x: Tensor) -> Tensor:
        """What D gets as input for samples (B, features)."""
        return pack(x) if self.w.one_dimensional else x

    def noise(self, rows: int) -> Tensor:
        """G's input (rows, features)."""
        z = torch.empty(rows, self.w.noise, device=self.device)
        return z.uniform_(self.w.noise_low, 1)

    def real(self) -> Tensor:
        """Real samples (B, features)."""
        if self.w.one_dimensional:
            return MEAN + STD * torch.randn(self.w.batch, 1, device=self.device)
        return (self.X[next(self.index)].float() - 127.5) / 127.5

    def target(self, value: float) -> Tensor:
        """Targets (rows, 1) of one value."""
        return torch.full((self.w.rows, 1), value, device=self.device)

    def step(self) -> None:
        """One training step."""
        w, G, D, bce = self.w, self.G, self.D, self.bce
        D.zero_grad()
        d_real = bce(D(self.seen(self.real())), self.target(w.real_target))
        d_real.backward()
        fake = G(self.noise(self.w.batch))
        d_fake = bce(D(self.seen(fake.detach())), self.target(FAKE_TARGET))
        d_fake.backward()
        self.d_adam.step()

        G.zero_grad()
        if not w.same_noise:
            fake = G(self.noise(self.w.batch))
        g = bce(D(self.seen(fake)), self.target(w.generator_target))
        g.backward()
        self.g_adam.step()
        self.totals += torch.stack([d_real.detach() + d_fake.detach(), g.detach()])

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()
        self.steps += steps
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def sample(self, count: int) -> None:
        """Make samples, all in memory at once."""
        self.G.eval()
        with torch.no_grad():
            self.G(self.noise(count))
        self.G.train()

    def losses(self) -> tuple[float, float]:
        d, g = (self.totals / self.steps).tolist()
        return d, g


class Tuned(Eager):
    """Real and fake in one pass if they may be, no gradient that is not used, targets made once."""

    adam_settings = {"fused": True}  # noqa: RUF012  (faster than foreach on all these networks)

    def __init__(self, workload: Workload, threads: int, device: str = "cpu") -> None:
        super().__init__(workload, threads, device)
        w = self.w
        for net in (self.G, self.D):  # of convolutions alone; a tenth faster
            net.to(memory_format=torch.channels_last)
        # The sum over 2B rows divided by B is the mean over the real plus that over the fake.
        self.bce = self.bce_class(reduction="sum")
        self.d_target = torch.cat([self.target(w.real_target), self.target(FAKE_TARGET)])
        self.g_target = self.target(w.generator_target)
        # Real samples, then fake ones: (2 rows, features)
        features = 2 * w.batch if w.one_dimensional else self.X.shape[1]
        self.both = torch.empty(2 * w.rows, features, device=self.device)

    def generate(self) -> Tensor:
        """G's samples (B, features)."""
        return self.G(self.noise(self.w.batch))

    def d_loss(self, index: Tensor | None, fake: Tensor | None) -> Tensor:
        """D's loss ().

        Args:
            index: (B,) which images are the real samples; None in one dimension.
            fake: G's samples (B, features); None draws new ones.
        """
        w = self.w
        with torch.no_grad():
            real = self.both[: w.rows]  # (rows, features), what D sees
            if index is None:
                x = torch.empty(w.batch, 1, device=self.device).normal_(MEAN, STD)
                real.copy_(pack(x))
            else:
                real.copy_(self.X[index]).sub_(127.5).mul_(1 / 127.5)
            self.both[w.rows :] = self.seen(self.generate() if fake is None else fake)
        if w.apart:
            outputs = torch.cat([self.D(self.both[: w.rows]), self.D(self.both[w.rows :])])
        else:
            outputs = self.D(self.both)
        return self.bce(outputs, self.d_target) / w.rows

    def g_loss(self, fake: Tensor | None) -> Tensor:
        """G's loss () on its samples (B, features), or on new ones for None."""
        fake = self.generate() if fake is None else fake
        return self.bce(self.D(self.seen(fake)), self.g_target) / self.w.rows

    def step(self) -> None:
        index = None if self.w.one_dimensional else next(self.index)
        fake = self.generate() if self.w.same_noise else None
        self.d_adam.zero_grad(set_to_none=True)
        d = self.d_loss(index, None if fake is None else fake.detach())
        d.backward()
        self.d_adam.step()

        for parameter in self.D.parameters():
            parameter.requires_grad_(False)
        self.g_adam.zero_grad(set_to_none=True)
        g = self.g_loss(fake)
        g.backward()
        self.g_adam.step()
        for parameter in self.D.parameters():
            parameter.requires_grad_(True)
        self.totals += torch.stack([d.detach(), g.detach()])


class Compiled(Tuned):
    """The tuned step, its two halves up to the loss through torch.compile in the default mode."""

    mode: str | None = None

    def __init__(self, workload: Workload, threads: int, device: str = "cpu") -> None:
        super().__init__(workload, threads, device)
        if workload.same_noise:  # otherwise it is part of both halves
            self.generate = torch.compile(self.generate, mode=self.mode)
        self.d_loss = torch.compile(self.d_loss, mode=self.mode)
        self.g_loss = torch.compile(self.g_loss, mode=self.mode)


class ReduceOverhead(Compiled):
    """The same with mode="reduce-overhead": each compiled piece is replayed as a CUDA graph."""

    mode = "reduce-overhead"

    def __init__(self, workload: Workload, threads: int, device: str = "cpu") -> None:
        super().__init__(workload, threads, device)
        # A graph copies its inputs to where it was recorded, unless they never move; code that
        # writes into an array that may move is not made a graph at all.
        still = [self.both, self.d_target, self.g_target]
        for tensor in still if workload.one_dimensional else [*still, self.X]:
            torch._dynamo.mark_static_address(tensor)

    def step(self) -> None:
        torch.compiler.cudagraph_mark_step_begin()  # the graphs' results live until here
        super().step()
        for adam in (self.d_adam, self.g_adam):  # gradients are such results
            adam.zero_grad(set_to_none=True)


class Graph(Tuned):
    """The whole tuned step in one CUDA graph, as in the manual of `torch.cuda.graph`."""

    adam_settings = {"fused": True, "capturable": True}  # noqa: RUF012

    def __init__(self, workload: Workload, threads: int, device: str = "cuda") -> None:
        super().__init__(workload, threads, device)
        w = workload
        if not w.one_dimensional:  # the graph reads its row numbers from one place
            self.order = self.index
            self.rows = torch.zeros(w.batch, dtype=torch.int64, device=self.device)  # (B,)
            self.index = itertools.repeat(self.rows)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM):
                super().step()
        torch.cuda.current_stream().wait_stream(aside)
        self.steps = WARM
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            super().step()

    def step(self) -> None:
        if not self.w.one_dimensional:
            self.rows.copy_(next(self.order))
        self.graph.replay()
