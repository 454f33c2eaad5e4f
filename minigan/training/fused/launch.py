"""The launch: a GAN's steps by the kernel, from where the GAN is to where it would be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigan.backend import Array, Stream
from minigan.checks import whole
from minigan.data import DataSource, Gaussian
from minigan.errors import ConfigError
from minigan.gan import GAN, Game, LeastSquares, Minimax, NonSaturating, Uniform
from minigan.nn import ELU, Adam, LeakyReLU, Optimizer, Sequential
from minigan.training.fused.form import activation_of, misform
from minigan.training.fused.memory import PIECES, SHARED_MEMORY, SIZES, excess, plan

NUMBERS_PER_BLOCK = 8  # of random words: two uniforms each


def misfit(gan: GAN, data: DataSource, batch: int, shared_memory: int = SHARED_MEMORY) -> str:
    """Why the kernel can't train this GAN on these data; "" if it can.

    Args:
        gan, data: what is to be trained on what.
        batch: B, real samples a step.
        shared_memory: bytes that a block can have on the device.
    """
    reason = misform(gan, data, batch)
    return reason or excess(gan, plan(gan, batch, shared_memory), shared_memory)


def fused_training(gan: Game, data: DataSource) -> FusedTraining | None:
    """The kernel for this GAN on these data, where it can train it; else None."""
    if not hasattr(gan.ops, "shared_memory") or not isinstance(gan, GAN):
        return None
    try:
        return FusedTraining(gan, data, gan.ops.shared_memory())
    except ConfigError:
        return None


class FusedTraining:
    """Trains a GAN by the kernel.

    Args:
        gan, data: of the kernel's form. The GAN is bound to its batch: see `GAN.bind`.
        shared_memory: bytes that a block can have on the device.

    Attributes:
        sizes: what `plan` says.

    Raises:
        ConfigError: it can't train them; the message says why.
    """

    def __init__(self, gan: GAN, data: DataSource, shared_memory: int = SHARED_MEMORY) -> None:
        self.gan = gan
        self.data = data
        self.shared_memory = shared_memory
        self.sizes: dict[str, int] = {}
        self._prepare()

    def _prepare(self) -> None:
        """Put the sizes onto the device, if they are not what they were."""
        gan = self.gan
        sizes: dict[str, int] = {}
        reason = misform(gan, self.data, gan.batch)
        if not reason:
            sizes = plan(gan, gan.batch, self.shared_memory)
            reason = excess(gan, sizes, self.shared_memory)
        if reason:
            raise ConfigError(f"the kernel of the 1-D experiment can't train this GAN: {reason}")
        if sizes != self.sizes:
            fields = [sizes[name] for name in (*SIZES, *PIECES)]
            self._sizes = gan.ops.from_host(np.array(fields), "uint32")  # (fields,)
            self.sizes = sizes

    def run(self, steps: int) -> None:
        """Take so many steps, >= 0, as `GAN.step` would on the next batches of the data.

        This puts one launch into the device's queue, and does not wait for it.

        Raises:
            ConfigError: the GAN was changed, and is no longer of the kernel's form.
        """
        steps = whole("FusedTraining: steps", steps, 0)
        if not steps:
            return
        self._prepare()
        gan, sizes, null = self.gan, self.sizes, np.uint64(0)
        ops: Any = gan.ops
        dtype = np.dtype(gan.generator.dtype)
        tensors, _ = gan.state()  # this also makes losses of the verdicts that wait
        average = gan.average
        ops.launch(
            "train_gaussian1d",
            dtype,
            (1,),
            (sizes["threads"],),
            np.uint32(steps),
            self._sizes,
            ops.from_host(self._numbers(), "float64"),
            ops.from_host(self._places(), "uint64"),
            *_state_of(gan.generator_optimizer),
            *_state_of(gan.discriminator_optimizer),
            *((average.network.parameters.data, average.clock) if average else (null, null)),
            tensors["losses/totals"],
            module="gaussian1d",
            shared_memory=sizes["total"] * dtype.itemsize,
        )
        for stream in self._streams():
            stream.advance(steps * -(-gan.batch // NUMBERS_PER_BLOCK))
        gan.step_count += steps

    def _streams(self) -> list[Stream]:
        """The streams that a step draws from: of the data, of D's noise, of G's."""
        names = ("discriminator_noise", "generator_noise")[: 1 if self.gan.same_noise else 2]
        assert isinstance(self.data, Gaussian)
        return [self.data.stream, *(self.gan.streams[name] for name in names)]

    def _places(self) -> Any:
        """(streams, 3) uint64: the key of each stream in two words, and its position."""
        return np.array(
            [(*stream.keys[0], np.uint64(stream.position)) for stream in self._streams()]
        )

    def _numbers(self) -> Any:
        """(25,) float64: the settings as they are now, in the order of `Numbers`."""
        gan, data, loss = self.gan, self.data, self.gan.loss
        noise = gan.noise
        assert isinstance(noise, Uniform)
        assert isinstance(data, Gaussian)
        assert isinstance(loss, (NonSaturating, Minimax, LeastSquares))
        numbers = [
            *(noise.low, noise.high - noise.low, data.mean, data.std),
            *(loss.real_target, loss.fake_target, loss.generator_target),
            -1.0 if isinstance(loss, Minimax) else 1.0,
            *(_alpha(gan.generator), _alpha(gan.discriminator)),
            gan.average.decay if gan.average else 0.0,
        ]
        for optimizer in (gan.generator_optimizer, gan.discriminator_optimizer):
            assert isinstance(optimizer, Adam)
            decay = optimizer.decay
            numbers += [*optimizer.betas, optimizer.eps, optimizer.weight_decay]
            numbers += [decay.start, decay.end, decay.final] if decay else [0.0, math.inf, 1.0]
        return np.array(numbers)


def _state_of(optimizer: Optimizer) -> tuple[Array, ...]:
    """Parameters (n,), gradients (n,), the two sums (n,) of an Adam, its clock (3,)."""
    assert isinstance(optimizer, Adam)
    parameters = optimizer.parameters
    return parameters.data, parameters.grad, optimizer.g_sum, optimizer.g2_sum, optimizer.clock


def _alpha(net: Sequential) -> float:
    """The number of the activation: an ELU's alpha, or the slope of a LeakyReLU."""
    activation = activation_of(net)
    if isinstance(activation, ELU):
        return activation.alpha
    assert isinstance(activation, LeakyReLU)
    return activation.slope
