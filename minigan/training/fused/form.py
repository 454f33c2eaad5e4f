"""Which GANs the kernel can train: their form, whatever their size."""

from __future__ import annotations

import dataclasses

from minigan.data import DataSource, Gaussian
from minigan.gan import GAN, Game, LeastSquares, Loss, Minimax, NonSaturating, Uniform
from minigan.nn import ELU, Adam, Layer, LeakyReLU, Linear, Pack, Sequential, Sigmoid

FEWEST = 4  # samples per batch: see `output_backward` in products.cuh
ACTIVATIONS: dict[type[Layer], int] = {ELU: 0, LeakyReLU: 1}
TERMS = {"bce": 0, "bce_with_logits": 1, "mean_squared_error": 2}  # a loss is the mean of these


def fits(gan: Game, data: DataSource) -> bool:
    """Whether a GAN and its data are of the kernel's form, whatever their size."""
    if type(gan) is not GAN or gan.population or gan.batch < FEWEST:
        return False
    if type(data) is not Gaussian or data.ops is not gan.ops or len(data.stream.seeds) != 1:
        return False  # the kernel draws the data itself
    G, D, term = gan.generator, gan.discriminator, term_of(gan.loss)
    of_noise = type(gan.noise) is Uniform and gan.noise.dim == 1
    of_adam = type(gan.generator_optimizer) is type(gan.discriminator_optimizer) is Adam
    simple = gan.penalty is None and gan.constraint is None and gan.d_steps == gan.g_steps == 1
    held = any(layer.hold for _, bound in gan.passes() for layer in bound.layers)
    if not (term and of_noise and of_adam and simple) or held:
        return False
    H, f, pack = width_of(G), activation_of(D), pack_of(D)
    elu = activation_of(G)
    F = pack.output_shape((pack.size, 1))[1]
    packing = [pack] if type(D.layers[0]) is Pack else []
    ending = [Sigmoid()] if term == "bce" else []
    return (
        type(elu) is ELU
        and plain(G) == (Linear(1, H), elu, Linear(H, H), Sigmoid(), Linear(H, 1))
        and plain(D) == (*packing, Linear(F, H), f, Linear(H, H), f, Linear(H, 1), *ending)
    )


def term_of(loss: Loss) -> str:
    """Which of `TERMS` the loss is a mean of; "" if the kernel does not have it."""
    if type(loss) is LeastSquares:
        return "mean_squared_error"
    if type(loss) is NonSaturating or type(loss) is Minimax:
        return "bce" if loss.probabilities else "bce_with_logits"
    return ""


def plain(net: Sequential) -> tuple[Layer, ...]:
    """The layers of a net without their initialisations, which do not matter here."""
    return tuple(
        dataclasses.replace(layer, init="pytorch") if type(layer) is Linear else layer
        for layer in net.layers
    )


def width_of(G: Sequential) -> int:
    """H: the outputs of the first Linear."""
    return next((layer.out_features for layer in G.layers if isinstance(layer, Linear)), 1)


def pack_of(D: Sequential) -> Pack:
    """How D packs its samples: it may begin with a Pack."""
    return D.layers[0] if isinstance(D.layers[0], Pack) else Pack(1, deviations=False)


def activation_of(net: Sequential) -> ELU | LeakyReLU:
    """The first activation that the kernel has; an ELU if there is none."""
    return next((a for a in net.layers if type(a) is ELU or type(a) is LeakyReLU), ELU())
