"""Optimizers: one pass over the flat parameter buffer a step.

An optimizer's *clock* is a small array [step, base rate, rate] that lives beside the
parameters, so a recorded step can read it where it runs and the learning rate can fall
without anyone on the host being asked.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from minigan.backend import Array
from minigan.errors import ConfigError
from minigan.nn.parameters import Parameters


@dataclass(frozen=True)
class LinearDecay:
    """A learning rate that is constant for `start` steps, then falls linearly.

    The steps are those of the optimizer that holds it. In a GAN with `d_steps=2` the
    discriminator's optimizer takes two a training step, so its `end` must be twice as far.

    Args:
        end: the step at which it reaches its final value and stays there.
        start: the step at which it begins to fall, 0 <= start < end.
        final: the final rate as a fraction of the base rate, in [0, 1].
    """

    end: int
    start: int = 0
    final: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ConfigError(
                f"LinearDecay: needs 0 <= start < end, not start={self.start}, end={self.end}"
            )
        if not 0.0 <= self.final <= 1.0:
            raise ConfigError(f"LinearDecay: final must be in [0, 1], not {self.final!r}")


class Optimizer:
    """What SGD and Adam share: the parameters, the clock, the decay."""

    def __init__(self, parameters: Parameters, lr: float, decay: LinearDecay | None) -> None:
        if not lr >= 0.0:
            raise ConfigError(f"{type(self).__name__}: lr must be >= 0, not {lr!r}")
        self.parameters = parameters
        self.ops = parameters.ops
        self.lr = lr
        self.decay = decay
        self.clock = self.ops.zeros((3,), "float64")  # (3,): step, base rate, rate
        self.clock[1] = self.clock[2] = lr

    @property
    def step_count(self) -> int:
        """Steps taken so far."""
        return int(self.clock[0])

    @property
    def rate(self) -> float:
        """The learning rate of the latest step (before the first one: the base rate)."""
        return float(self.clock[2])

    def step(self) -> None:
        """Update `parameters.data` from `parameters.grad`."""
        if self.decay is None:
            self.ops.tick(self.clock, 0.0, float("inf"), 1.0)
        else:
            self.ops.tick(self.clock, self.decay.start, self.decay.end, self.decay.final)
        self.update()

    def update(self) -> None:
        raise NotImplementedError

    def buffers(self) -> dict[str, Array]:
        """The optimizer's own flat buffers, laid out like `parameters.data`."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """The settings as JSON."""
        raise NotImplementedError

    def to_config(self) -> dict[str, Any]:
        """The definition as JSON: {"optimizer": "Adam", "lr": 0.0002, ...}."""
        decay = None if self.decay is None else asdict(self.decay)
        return {
            "optimizer": type(self).__name__,
            "lr": self.lr,
            **self.settings(),
            "decay": decay,
        }


class SGD(Optimizer):
    """Stochastic gradient descent with (heavy-ball) momentum.

    velocity = momentum velocity + grad;   data = data - lr velocity

    Args:
        parameters: what to train.
        lr: the learning rate, >= 0.
        momentum: in [0, 1).
        decay: how the learning rate falls, or None for a constant one.
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float,
        momentum: float = 0.0,
        decay: LinearDecay | None = None,
    ) -> None:
        super().__init__(parameters, lr, decay)
        if not 0.0 <= momentum < 1.0:
            raise ConfigError(f"SGD: momentum must be in [0, 1), not {momentum!r}")
        self.momentum = momentum
        self.velocity = self.ops.zeros(parameters.data.shape, parameters.dtype)  # (n,)

    def update(self) -> None:
        self.ops.sgd(
            self.parameters.data, self.parameters.grad, self.velocity, self.clock, self.momentum
        )

    def buffers(self) -> dict[str, Array]:
        return {"velocity": self.velocity}

    def settings(self) -> dict[str, Any]:
        return {"momentum": self.momentum}


class Adam(Optimizer):
    """Adam (Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1).

    m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2
    data = data - lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps)

    Args:
        parameters: what to train.
        lr: the learning rate, >= 0.
        betas: the decay of the two moments, each in [0, 1).
        eps: keeps the denominator from zero, > 0.
        decay: how the learning rate falls, or None for a constant one.
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        decay: LinearDecay | None = None,
    ) -> None:
        super().__init__(parameters, lr, decay)
        if not all(0.0 <= beta < 1.0 for beta in betas):
            raise ConfigError(f"Adam: betas must be in [0, 1), not {betas!r}")
        if not eps > 0.0:
            raise ConfigError(f"Adam: eps must be > 0, not {eps!r}")
        self.betas = (float(betas[0]), float(betas[1]))
        self.eps = eps
        self.m = self.ops.zeros(parameters.data.shape, parameters.dtype)  # (n,) mean of g
        self.v = self.ops.zeros(parameters.data.shape, parameters.dtype)  # (n,) mean of g^2

    def update(self) -> None:
        self.ops.adam(
            self.parameters.data,
            self.parameters.grad,
            self.m,
            self.v,
            self.clock,
            self.betas[0],
            self.betas[1],
            self.eps,
        )

    def buffers(self) -> dict[str, Array]:
        return {"m": self.m, "v": self.v}

    def settings(self) -> dict[str, Any]:
        return {"betas": list(self.betas), "eps": self.eps}


def optimizer_from_config(config: dict[str, Any], parameters: Parameters) -> Optimizer:
    """Rebuild an optimizer from `Optimizer.to_config()`; `ConfigError` if it is not one."""
    try:
        settings = dict(config)
        kinds: dict[str, type[SGD] | type[Adam]] = {"SGD": SGD, "Adam": Adam}
        kind = kinds[settings.pop("optimizer")]
        decay = settings.pop("decay")
        if "betas" in settings:
            settings["betas"] = tuple(settings["betas"])
        return kind(parameters, decay=None if decay is None else LinearDecay(**decay), **settings)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"not an optimizer's definition: {config!r}") from error
