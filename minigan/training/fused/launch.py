"""The launch: a GAN's steps by the kernel, from where the GAN is to where it would be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigan.backend import Array, Stream
from minigan.backend.cuda.sources import struct_fields
from minigan.checks import whole
from minigan.data import DataSource
from minigan.errors import ConfigError
from minigan.gan import Game, Minimax
from minigan.nn import ELU, Sequential
from minigan.training.fused.form import activation_of, fits
from minigan.training.fused.memory import SHARED_MEMORY, plan

MODULE = "gaussian1d"
NUMBERS_PER_BLOCK = 8  # of random words: two uniforms each


def fused_training(gan: Game, data: DataSource) -> FusedTraining | None:
    """The kernel for this GAN on these data; None if it cannot train it."""
    if not hasattr(gan.ops, "shared_memory"):
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

    Raises:
        ConfigError: the kernel cannot train them.
    """

    def __init__(self, gan: Game, data: DataSource, shared_memory: int = SHARED_MEMORY) -> None:
        self.gan: Any = gan
        self.data: Any = data
        self.shared_memory = shared_memory
        self._sizes()

    def run(self, steps: int) -> None:
        """Take this many steps, >= 0, as `GAN.step` would on the next batches of the data.

        This puts one launch into the device's queue, and does not wait for it.

        Raises:
            ConfigError: the GAN was changed, and is no longer of the kernel's form.
        """
        steps = whole("FusedTraining: steps", steps, 0)
        if not steps:
            return
        gan, sizes = self.gan, self._sizes()
        ops, dtype, average = gan.ops, np.dtype(gan.generator.dtype), gan.average
        tensors, _ = gan.state()  # this also computes the pending losses
        fields = [sizes[name] for name in struct_fields(MODULE, "Sizes")]
        args = {
            "steps": steps,
            "sizes": ops.from_host(np.array(fields), "uint32"),
            "settings": ops.from_host(np.array(self._settings()), "float64"),
            "streams": ops.from_host(self._places(), "uint64"),
            **_state_of("g", gan.generator_optimizer),
            **_state_of("d", gan.discriminator_optimizer),
            "average": average.network.parameters.data if average else None,
            "average_clock": average.clock if average else None,
            "totals": tensors["losses/totals"],
        }
        block, needed = (sizes["threads"],), sizes["total"] * dtype.itemsize
        ops.launch("train_gaussian1d", dtype, (1,), block, args, MODULE, needed)
        for stream in self._streams():
            stream.advance(steps * -(-gan.batch // NUMBERS_PER_BLOCK))
        gan.step_count += steps

    def _sizes(self) -> dict[str, int]:
        """What `plan` returns, if the GAN is of the kernel's form and fits into shared memory."""
        if hasattr(self.gan.ops, "launch") and fits(self.gan, self.data):
            sizes = plan(self.gan, self.gan.batch, self.shared_memory)
            if sizes["total"] * np.dtype(self.gan.generator.dtype).itemsize <= self.shared_memory:
                return sizes
        raise ConfigError("the kernel of the 1-D experiment can't train this GAN on these data")

    def _streams(self) -> list[Stream]:
        """The streams that a step draws from: of the data, of D's noise, of G's."""
        names = ("discriminator_noise", "generator_noise")[: 1 if self.gan.same_noise else 2]
        return [self.data.stream, *(self.gan.streams[name] for name in names)]

    def _places(self) -> Any:
        """(streams, 3) uint64: the key of each stream in two words, and its position."""
        return np.array(
            [(*stream.keys[0], np.uint64(stream.position)) for stream in self._streams()]
        )

    def _settings(self) -> list[float]:
        """The settings as they are now, in the order of the kernel's struct `Numbers`."""
        gan, data, loss, noise = self.gan, self.data, self.gan.loss, self.gan.noise
        values = {
            "low": noise.low,
            "width": noise.high - noise.low,
            "mean": data.mean,
            "std": data.std,
            "real_target": loss.real_target,
            "fake_target": loss.fake_target,
            "generator_target": loss.generator_target,
            "sign": -1.0 if isinstance(loss, Minimax) else 1.0,
            "alpha": _alpha(gan.generator),
            "d_alpha": _alpha(gan.discriminator),
            "decay": gan.average.decay if gan.average else 0.0,
        }
        settings = [values[name] for name in struct_fields(MODULE, "Numbers")]
        for optimizer in (gan.generator_optimizer, gan.discriminator_optimizer):
            decay = optimizer.decay
            adam = dict(zip(("beta1", "beta2"), optimizer.betas, strict=True))
            adam |= {"eps": optimizer.eps, "weight_decay": optimizer.weight_decay}
            adam["decay_start"] = decay.start if decay else 0.0
            adam["decay_end"] = decay.end if decay else math.inf
            adam["decay_last"] = decay.final if decay else 1.0
            settings += [adam[name] for name in struct_fields(MODULE, "AdamNumbers")]
        return settings


def _state_of(letter: str, optimizer: Any) -> dict[str, Array]:
    """Parameters (n,), gradients (n,), the two sums (n,) of an Adam, its clock (3,)."""
    return {
        f"{letter}_data": optimizer.parameters.data,
        f"{letter}_grad": optimizer.parameters.grad,
        f"{letter}_g_sum": optimizer.g_sum,
        f"{letter}_g2_sum": optimizer.g2_sum,
        f"{letter}_clock": optimizer.clock,
    }


def _alpha(net: Sequential) -> float:
    """The number of the activation: an ELU's alpha, or the slope of a LeakyReLU."""
    activation = activation_of(net)
    return activation.alpha if isinstance(activation, ELU) else activation.slope
