"""The 1-D experiment's whole training in one CUDA kernel, thousands of steps a launch.

minigan/backend/cuda/gaussian1d.cu holds the kernel and says how it works. Here is what surrounds
it: which GANs it can train (`misfit`), how its shared memory is divided (`plan`), and the launch
(`FusedTraining`). After it, the GAN is where so many calls of `GAN.step` would have left it, to
rounding: parameters, optimizers, moving average, losses, positions of the random streams.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigan.backend import Array, Stream
from minigan.checks import whole
from minigan.data import DataSource, Gaussian
from minigan.errors import ConfigError
from minigan.gan import GAN, Game, LeastSquares, Loss, Minimax, NonSaturating, Uniform
from minigan.nn import (
    ELU,
    Adam,
    Layer,
    LeakyReLU,
    Linear,
    Optimizer,
    Pack,
    Sequential,
    Sigmoid,
)

#: The kernel's fields of one number each, in its order; see `Sizes` in gaussian1d.cu.
SIZES = (
    *("hidden", "stride", "batch", "noises", "pack", "deviations", "features", "wide"),
    *("activation", "loss", "few", "room", "total"),
)
#: The pieces of its shared memory, in its order.
PIECES = (
    *("g_weights", "d_weights", "numbers", "noise", "samples", "means", "drawn", "verdicts"),
    *("messages", "terms", "dots", "scratch", "d_first", "d_second", "d_message", "g_first"),
    *("g_second", "g_g_sum", "g_g2_sum", "d_g_sum", "d_g2_sum"),
)
#: Bytes of shared memory that a block can have on an H100 or H200.
SHARED_MEMORY = 227 * 1024
THREADS = {"float32": 512, "float64": 256}  # of the block, at most: see gaussian1d.cu
FEWEST_THREADS = 96  # two warps keep the clocks, the others draw the numbers
FEWEST = 4  # samples a batch: see `output_message` there
NUMBERS_PER_BLOCK = 8  # of random words: two uniforms each
ACTIVATIONS: dict[type[Layer], int] = {ELU: 0, LeakyReLU: 1}
TERMS = {"bce": 0, "bce_with_logits": 1, "mean_squared_error": 2}  # that a loss is a mean of


def misfit(gan: GAN, data: DataSource, batch: int, shared_memory: int = SHARED_MEMORY) -> str:
    """Why the kernel can't train this GAN on these data; "" if it can.

    Args:
        gan, data: what is to be trained on what.
        batch: B, real samples a step.
        shared_memory: bytes that a block can have on the device.
    """
    reason = _misform(gan, data, batch)
    return reason or _excess(gan, plan(gan, batch, shared_memory), shared_memory)


def _misform(gan: GAN, data: DataSource, batch: int) -> str:
    """Why a GAN is not of the kernel's form, whatever its size; else ""."""
    G, D = gan.generator, gan.discriminator
    if not hasattr(gan.ops, "launch"):
        return "it is for CUDA devices"
    if type(gan) is not GAN or gan.population:
        return "it trains one GAN, and no population"
    if type(data) is not Gaussian or data.ops is not gan.ops or len(data.stream.seeds) != 1:
        return "it draws the data itself: they must be one mg.Gaussian, on the GAN's device"
    if type(gan.noise) is not Uniform or gan.noise.dim != 1:
        return "the noise must be one uniform number"
    if not _term(gan.loss):
        return "the loss must be NonSaturating, Minimax or LeastSquares, and no class of your own"
    if gan.penalty is not None or gan.constraint is not None:
        return "it has no penalties and no constraints"
    if any(layer.hold for _, bound in gan.passes() for layer in bound.layers):
        return "no layer may hold its masks or means"
    if (gan.d_steps, gan.g_steps) != (1, 1):
        return "d_steps and g_steps must be 1"
    if type(gan.generator_optimizer) is not Adam or type(gan.discriminator_optimizer) is not Adam:
        return "both optimizers must be Adam"
    if not _is_generator(G):
        return "G must be Linear(1, H), ELU, Linear(H, H), Sigmoid, Linear(H, 1)"
    if not _is_discriminator(D, G.layers[0], _term(gan.loss) == "bce"):
        return (
            "D must be [Pack,] Linear(F, H), f, Linear(H, H), f, Linear(H, 1) with G's H and f an "
            "ELU or a LeakyReLU; and a Sigmoid for a loss of probabilities"
        )
    size = _pack(D).size
    if batch < FEWEST or batch % size:
        return f"the batch must be at least {FEWEST}, and a multiple of {size}"
    return ""


def _excess(gan: GAN, sizes: dict[str, int], shared_memory: int) -> str:
    """That what `plan` says is too much; else ""."""
    dtype = gan.generator.dtype
    needed = sizes["total"] * np.dtype(dtype).itemsize
    if needed <= shared_memory:
        return ""
    return (
        f"in {dtype} these networks and this batch take {needed:,} bytes of shared memory; "
        f"a block has {shared_memory:,}"
    )


def _term(loss: Loss) -> str:
    """Which of `TERMS` the loss is a mean of; "" if the kernel does not have it."""
    if type(loss) is LeastSquares:
        return "mean_squared_error"
    if type(loss) is NonSaturating or type(loss) is Minimax:
        return "bce" if loss.probabilities else "bce_with_logits"
    return ""


def _is_generator(G: Sequential) -> bool:
    """Whether G is of the kernel's form."""
    kinds = tuple(type(layer) for layer in G.layers)
    return kinds == (Linear, ELU, Linear, Sigmoid, Linear) and _are_linear(G.layers[::2], 1)


def _is_discriminator(D: Sequential, first_of_G: Layer, ends_in_sigmoid: bool) -> bool:
    """Whether D is of the kernel's form and as wide as G, of which this is the first layer."""
    layers = D.layers[1:] if type(D.layers[0]) is Pack else D.layers
    features = _pack(D).output_shape((_pack(D).size, 1))[1]
    kinds = tuple(type(layer) for layer in layers)
    activation = kinds[1] if len(kinds) > 1 and kinds[1] in ACTIVATIONS else ELU
    form = (Linear, activation, Linear, activation, Linear)
    return (
        kinds == ((*form, Sigmoid) if ends_in_sigmoid else form)
        and layers[1] == layers[3]
        and _are_linear(layers[:5:2], features)
        and _width(layers[0]) == _width(first_of_G)
    )


def _are_linear(layers: tuple[Layer, ...], features: int) -> bool:
    """Whether these are Linear(features, H), Linear(H, H), Linear(H, 1) with biases."""
    H = _width(layers[0])
    return [layer.parameter_shapes() for layer in layers] == [
        {"weight": size, "bias": (1, size[1])} for size in ((features, H), (H, H), (H, 1))
    ]


def _width(layer: Layer) -> int:
    """H of the first Linear."""
    return layer.parameter_shapes()["weight"][1]


def _pack(D: Sequential) -> Pack:
    """How D packs its samples: it may begin with a Pack."""
    return D.layers[0] if isinstance(D.layers[0], Pack) else Pack(1, deviations=False)


def _stride(n: int) -> int:
    """The least 4 (2 k + 1) above n: a row of n numbers and a one."""
    fours = n // 4 + 1
    return 4 * (fours | 1)


def plan(gan: GAN, batch: int, shared_memory: int = SHARED_MEMORY) -> dict[str, int]:
    """The sizes of a launch, and where each piece of its shared memory begins.

    Args:
        gan: one of the kernel's form.
        batch: B, real samples a step.
        shared_memory: bytes that there are.

    Returns:
        a value for each of `SIZES` and `PIECES`, in numbers where it is a place or a size of
        memory; and the "threads" of the block. If the memory does not suffice, "total" is the
        least that would.
    """
    G, D = gan.generator, gan.discriminator
    pack = _pack(D)
    H, F = _width(G.layers[0]), pack.output_shape((pack.size, 1))[1]
    S, wide = _stride(H), _stride(F)
    B, P = batch, batch // pack.size
    R = B if gan.same_noise else 2 * B
    packs = P + R // pack.size
    few = 4 * wide > 2 * P
    most_threads = THREADS[G.dtype]
    capacity = shared_memory // np.dtype(G.dtype).itemsize // 4 * 4  # numbers

    at: dict[str, int] = {}
    total = 0

    def place(name: str, size: int) -> None:
        nonlocal total
        at[name] = total
        total += -(-size // 4) * 4

    place("g_weights", (4 + S + 1) * S)
    place("d_weights", (wide + S + 1) * S)
    place("numbers", 8)
    place("noise", R * 4)
    place("samples", packs * wide)
    place("means", packs if pack.deviations else 0)
    place("drawn", R + B)
    place("verdicts", max(2 * P, B))
    place("terms", 3 * P)
    place("dots", max(max(R, 2 * P) * S // 4, S))
    place("d_first", 2 * P * S)
    place("d_second", 2 * P * S)
    if few:
        place("d_message", 2 * P * S)
    else:
        at["d_message"] = at["d_first"]
    if wide > 2 * S:
        place("messages", P * wide)
    else:
        at["messages"] = at["d_second"]
    # The rows of D's half, the first ones, end where D's activations end, or behind them.
    at["g_first"] = max(at["d_first"], total - (R - B) * S)
    total = at["g_first"] + R * S
    place("g_second", B * S)
    room = (H + 1) * S  # the least that `scratch` needs; twice that is better
    for net, optimizer, letter in (
        (G, gan.generator_optimizer, "g"),
        (D, gan.discriminator_optimizer, "d"),
    ):
        assert isinstance(optimizer, Adam)
        for name in ("g_sum", "g2_sum"):
            used = name == "g2_sum" or optimizer.betas[0] != 0.0
            if used and total + net.parameters.size + 2 * room <= capacity:
                place(f"{letter}_{name}", net.parameters.size)
            else:
                at[f"{letter}_{name}"] = 0  # it stays in global memory
    # Sums are split among the threads as far as there is room; more than a tile each is no use.
    room = max(room, min(capacity - total, 16 * most_threads))
    place("scratch", room)
    tiles = -(-R // 4) * S // 4  # of the largest product
    return {
        "hidden": H,
        "stride": S,
        "batch": B,
        "noises": R,
        "pack": pack.size,
        "deviations": int(pack.deviations),
        "features": F,
        "wide": wide,
        "activation": ACTIVATIONS[type(_activation(D))],
        "loss": TERMS[_term(gan.loss)],
        "few": int(few),
        "room": room,
        "total": total,
        "threads": min(most_threads, max(FEWEST_THREADS, -(-tiles // 32) * 32)),
        **at,
    }


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
        reason = _misform(gan, self.data, gan.batch)
        if not reason:
            sizes = plan(gan, gan.batch, self.shared_memory)
            reason = _excess(gan, sizes, self.shared_memory)
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


def _activation(net: Sequential) -> Layer:
    """What follows the first Linear."""
    return net.layers[2 if type(net.layers[0]) is Pack else 1]


def _alpha(net: Sequential) -> float:
    """The number of the activation: an ELU's alpha, or the slope of a LeakyReLU."""
    activation = _activation(net)
    if isinstance(activation, ELU):
        return activation.alpha
    assert isinstance(activation, LeakyReLU)
    return activation.slope
