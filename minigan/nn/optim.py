"""Optimizers: one pass over the flat parameter buffer a step.

An optimizer's *clock* is a small array [step, base rate, rate] on the device of the parameters. So
a replayed step reads it there, and the learning rate can fall without any work on the host. The
members of a population share it, or each has one of its own with its own rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeAlias, TypeGuard

from minigan.backend import Array
from minigan.backend.float_errors import ignore_float_errors
from minigan.checks import number, set_fields, whole
from minigan.config import Part, register
from minigan.errors import ConfigError
from minigan.fixed import Fixed
from minigan.nn.parameters import Parameters

#: A learning rate, or one for each member of a population.
Rates: TypeAlias = float | Sequence[float]

_ANOTHER = "make another optimizer, and another GAN with it; only lr can change while it trains"


@dataclass(frozen=True)
class LinearDecay:
    """A learning rate that is constant for `start` steps, then falls linearly.

    Steps of the optimizer count. In a GAN with `d_steps=2` the discriminator's optimizer takes two
    for each training step, so its `end` must be twice as large.

    Args:
        end: the number of steps after which the rate stays at its final value.
        start: the number of steps before the rate begins to fall, 0 <= start < end.
        final: the final rate as a fraction of the base rate, in [0, 1].
    """

    end: int
    start: int = 0
    final: float = 0.0

    def __post_init__(self) -> None:
        start = whole("LinearDecay: start", self.start, 0)
        end = whole("LinearDecay: end", self.end, start + 1)
        number("LinearDecay: end", end)
        set_fields(
            self,
            start=start,
            end=end,
            final=number("LinearDecay: final", self.final, at_least=0.0, at_most=1.0),
        )


def _is_sequence(lr: Rates) -> TypeGuard[Sequence[float]]:
    """Whether these are rates for each member: a sequence, or an array (S,)."""
    return isinstance(lr, (list, tuple)) or getattr(lr, "ndim", 0) == 1


class Optimizer(Fixed, Part):
    """What SGD and Adam share: the parameters, the clock, the decay.

    A subclass defines `update`, `buffers` and `settings`. It sets `capturable = True` if `update`
    makes the same calls of `self.ops` on the same arrays each time.

    Attributes:
        parameters: what it trains.
        clock: (3,) float64 on the device: step, base rate, rate. The kernel of `update` reads it.
            (S, 3) if `lr` was a sequence: a rate for each member of a population.
        decay: a `LinearDecay`, or None.
    """

    kind: ClassVar[str] = "optimizer"
    capturable: ClassVar[bool] = False
    fixed: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("parameters", "ops", "decay", "clock"), _ANOTHER
    )

    def __init__(self, parameters: Parameters, lr: Rates, decay: LinearDecay | None = None) -> None:
        if not isinstance(parameters, Parameters):
            raise ConfigError(
                f"{type(self).__name__} takes net.parameters, not {type(parameters).__name__}"
            )
        if decay is not None and type(decay) is not LinearDecay:
            raise ConfigError(
                f"{type(self).__name__}: decay must be a LinearDecay or None, not {decay!r}"
            )
        self.parameters = parameters
        self.ops = parameters.ops
        self.decay = decay
        members = parameters.population if _is_sequence(lr) else ()
        self.clock = self.ops.zeros((*members, 3), "float64")  # (3,): step, base rate, rate
        self.lr = lr

    @property
    def lr(self) -> Any:
        """The base learning rate, which the decay scales. Assign to it to change it.

        A float; or (S,) on the host, if each member of a population has its own. Then a number sets
        the rate of all.
        """
        return self._field(1)

    @lr.setter
    def lr(self, lr: Rates) -> None:
        rates = self._checked(lr)
        clock = self._read_clock()
        clock[..., 1] = rates
        if clock.item(0) == 0:  # later steps set the rate themselves
            clock[..., 2] = rates
        self.ops.copy(self.ops.asarray(clock), out=self.clock)

    @property
    def step_count(self) -> int:
        """Steps taken so far."""
        return int(self._read_clock().item(0))

    @property
    def rate(self) -> Any:
        """The learning rate of the latest step (before the first one: the base rate), as `lr`."""
        return self._field(2)

    def _checked(self, lr: Rates) -> float | list[float]:
        """A rate as a float; or one for each member, of which there are S."""
        name = f"{type(self).__name__}: lr"
        if not _is_sequence(lr):
            return number(name, lr, at_least=0.0)
        rates = [number(f"{name}[{k}]", one, at_least=0.0) for k, one in enumerate(lr)]
        if not self.parameters.population:
            raise ConfigError(f"{name} must be one number, since this is a single network")
        if self.clock.ndim == 1:
            raise ConfigError(f"{name} must be one number, since it was made with one for all")
        if len(rates) != len(self.clock):
            raise ConfigError(
                f"{name} has {len(rates)} rates; this population has {len(self.clock)} members"
            )
        return rates

    def _field(self, place: int) -> Any:
        """A field of the clock on the host: a float, or (S,)."""
        field = self._read_clock()[..., place]
        return field if field.ndim else float(field)

    def _read_clock(self) -> Any:
        """The clock (3,), or (S, 3), on the host, a copy."""
        return self.ops.to_host(self.clock)

    @ignore_float_errors
    def step(self) -> None:
        """Update `parameters.data` from `parameters.grad`."""
        if self.decay is None:
            self.ops.tick(self.clock, 0.0, float("inf"), 1.0)
        else:
            self.ops.tick(self.clock, self.decay.start, self.decay.end, self.decay.final)
        self.update()

    def update(self) -> None:
        """Change `parameters.data` according to `parameters.grad` and the clock's rate."""
        raise NotImplementedError

    def buffers(self) -> dict[str, Array]:
        """The optimizer's own flat buffers by name, laid out like `parameters.data`."""
        return {}

    def settings(self) -> dict[str, Any]:
        """The settings as JSON; a subclass adds its own."""
        decay = None if self.decay is None else asdict(self.decay)
        return {"lr": self.lr if self.clock.ndim == 1 else self.lr.tolist(), "decay": decay}

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *context: Any) -> Optimizer:
        """Make an optimizer from `settings()`, for the parameters in `context`."""
        settings = dict(settings)
        decay = settings.pop("decay", None)
        if decay is not None:
            settings["decay"] = LinearDecay(**decay)
        return cls(*context, **settings)


@register
class SGD(Optimizer):
    """Stochastic gradient descent with (heavy-ball) momentum.

    velocity = momentum velocity + grad;   data = data - lr velocity

    Args:
        parameters: what to train.
        lr: the learning rate, >= 0; a sequence of S for the S members of a population.
        momentum: in [0, 1).
        decay: how the learning rate falls, or None for a constant one.
    """

    capturable: ClassVar[bool] = True
    fixed: ClassVar[Mapping[str, str]] = {
        **Optimizer.fixed,
        **dict.fromkeys(("momentum", "velocity"), _ANOTHER),
    }

    def __init__(
        self,
        parameters: Parameters,
        lr: Rates,
        momentum: float = 0.0,
        decay: LinearDecay | None = None,
    ) -> None:
        super().__init__(parameters, lr, decay)
        self.momentum = number("SGD: momentum", momentum, at_least=0.0, below=1.0)
        self.velocity = self.ops.zeros(parameters.data.shape, parameters.dtype)  # (n,)

    def update(self) -> None:
        flat = self.parameters
        data, grad, velocity = flat.own_of(flat.data, flat.grad, self.velocity)
        self.ops.sgd(data, grad, velocity, self.clock, self.momentum)

    def buffers(self) -> dict[str, Array]:
        return {"velocity": self.velocity}

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "momentum": self.momentum}


@register
class RMSprop(Optimizer):
    """Steps divided by the root of the mean square of recent gradients.

    v = alpha v + (1 - alpha) g^2,   data = data - lr g / (sqrt(v) + eps)

    (Tieleman and Hinton, "Neural networks for machine learning", lecture 6.5, 2012.) The first
    paper on Wasserstein GANs trains with it: its critic became unstable with Adam's momentum.

    Args:
        parameters: what to train.
        lr: the learning rate, >= 0; a sequence of S for the S members of a population.
        alpha: the decay of v, in [0, 1).
        eps: keeps the denominator from zero, > 0.
        decay: how the learning rate falls, or None for a constant one.
    """

    capturable: ClassVar[bool] = True
    fixed: ClassVar[Mapping[str, str]] = {
        **Optimizer.fixed,
        **dict.fromkeys(("alpha", "eps", "g2_mean"), _ANOTHER),
    }

    def __init__(
        self,
        parameters: Parameters,
        lr: Rates = 1e-3,
        alpha: float = 0.99,
        eps: float = 1e-8,
        decay: LinearDecay | None = None,
    ) -> None:
        super().__init__(parameters, lr, decay)
        self.alpha = number("RMSprop: alpha", alpha, at_least=0.0, below=1.0)
        self.eps = number("RMSprop: eps", eps, above=0.0)
        self.g2_mean = self.ops.zeros(parameters.data.shape, parameters.dtype)  # (n,) v

    def update(self) -> None:
        flat = self.parameters
        data, grad, g2_mean = flat.own_of(flat.data, flat.grad, self.g2_mean)
        self.ops.rmsprop(data, grad, g2_mean, self.clock, self.alpha, self.eps)

    def buffers(self) -> dict[str, Array]:
        return {"g2_mean": self.g2_mean}

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "alpha": self.alpha, "eps": self.eps}


@register
class Adam(Optimizer):
    """Adam (Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1).

    m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2
    data = (1 - lr weight_decay) data - lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps)

    The buffers `g_sum` and `g2_sum` hold m / (1 - beta1) and v / (1 - beta2), which saves two
    passes over memory (see `minigan.backend.numpy.adam`).

    Args:
        parameters: what to train.
        lr: the learning rate, >= 0; a sequence of S for the S members of a population.
        betas: the decay of the two moments, each in [0, 1).
        eps: keeps the denominator from zero, > 0.
        decay: how the learning rate falls, or None for a constant one.
        weight_decay: shrinks every parameter, >= 0, independently of the gradient's moments
            (AdamW: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019).
    """

    capturable: ClassVar[bool] = True
    fixed: ClassVar[Mapping[str, str]] = {
        **Optimizer.fixed,
        **dict.fromkeys(("betas", "eps", "weight_decay", "g_sum", "g2_sum"), _ANOTHER),
    }

    def __init__(
        self,
        parameters: Parameters,
        lr: Rates = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        decay: LinearDecay | None = None,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, decay)
        self.weight_decay = number("Adam: weight_decay", weight_decay, at_least=0.0)
        try:
            beta1, beta2 = betas
        except (TypeError, ValueError):
            raise ConfigError(f"Adam: betas must be two numbers, not {betas!r}") from None
        self.betas = (
            number("Adam: beta1", beta1, at_least=0.0, below=1.0),
            number("Adam: beta2", beta2, at_least=0.0, below=1.0),
        )
        self.eps = number("Adam: eps", eps, above=0.0)
        shape, dtype = parameters.data.shape, parameters.dtype
        self.g_sum = self.ops.zeros(shape, dtype)  # (n,) m / (1 - beta1); 0 if beta1 is 0
        self.g2_sum = self.ops.zeros(shape, dtype)  # (n,) v / (1 - beta2)

    def update(self) -> None:
        flat = self.parameters
        data, grad, g_sum, g2_sum = flat.own_of(flat.data, flat.grad, self.g_sum, self.g2_sum)
        beta1, beta2 = self.betas
        self.ops.adam(
            *(data, grad, g_sum, g2_sum, self.clock),
            *(beta1, beta2, self.eps, self.weight_decay),
        )

    def buffers(self) -> dict[str, Array]:
        return {"g_sum": self.g_sum, "g2_sum": self.g2_sum}

    def settings(self) -> dict[str, Any]:
        return {
            **super().settings(),
            "betas": list(self.betas),
            "eps": self.eps,
            "weight_decay": self.weight_decay,
        }
