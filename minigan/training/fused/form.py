"""Which GANs the kernel can train: their form, whatever their size."""

from __future__ import annotations

import dataclasses

from minigan.data import DataSource, Gaussian
from minigan.gan import GAN, Game, LeastSquares, Loss, Minimax, NonSaturating, Uniform
from minigan.nn import ELU, Adam, Layer, LeakyReLU, Linear, Pack, Sequential, Sigmoid

FEWEST = 4  # samples a batch: see `output_message` in products.cuh
ACTIVATIONS: dict[type[Layer], int] = {ELU: 0, LeakyReLU: 1}
TERMS = {"bce": 0, "bce_with_logits": 1, "mean_squared_error": 2}  # a loss is the mean of these


def misform(gan: Game, data: DataSource) -> str:
    """Why a GAN is not of the kernel's form, whatever its size; else ""."""
    if not hasattr(gan.ops, "launch"):
        return "it is for CUDA devices"
    if type(gan) is not GAN or gan.population:
        return "it trains one GAN, and no population"
    if type(data) is not Gaussian or data.ops is not gan.ops or len(data.stream.seeds) != 1:
        return "it draws the data itself: they must be one mg.Gaussian, on the GAN's device"
    if type(gan.noise) is not Uniform or gan.noise.dim != 1:
        return "the noise must be one uniform number"
    if not term_of(gan.loss):
        return "the loss must be NonSaturating, Minimax or LeastSquares, and no class of your own"
    if gan.penalty is not None or gan.constraint is not None:
        return "it has no penalties and no constraints"
    if any(layer.hold for _, bound in gan.passes() for layer in bound.layers):
        return "no layer may hold its masks or means"
    if (gan.d_steps, gan.g_steps) != (1, 1):
        return "d_steps and g_steps must be 1"
    if type(gan.generator_optimizer) is not Adam or type(gan.discriminator_optimizer) is not Adam:
        return "both optimizers must be Adam"
    G, D = gan.generator, gan.discriminator
    H, f, pack = width_of(G), activation_of(D), pack_of(D)
    elu = activation_of(G)
    form = (Linear(1, H), elu, Linear(H, H), Sigmoid(), Linear(H, 1))
    if type(elu) is not ELU or plain(G) != form:
        return "G must be Linear(1, H), ELU, Linear(H, H), Sigmoid, Linear(H, 1)"
    F = pack.output_shape((pack.size, 1))[1]
    packing = [pack] if type(D.layers[0]) is Pack else []
    ending = [Sigmoid()] if term_of(gan.loss) == "bce" else []
    if plain(D) != (*packing, Linear(F, H), f, Linear(H, H), f, Linear(H, 1), *ending):
        return (
            "D must be [Pack,] Linear(F, H), f, Linear(H, H), f, Linear(H, 1) with G's H and f an "
            "ELU or a LeakyReLU; and a Sigmoid for a loss of probabilities"
        )
    return f"the batch must be at least {FEWEST}" if gan.batch < FEWEST else ""


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
