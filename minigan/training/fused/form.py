"""Which GANs the kernel can train: their form, whatever their size."""

from __future__ import annotations

from minigan.data import DataSource, Gaussian
from minigan.gan import GAN, LeastSquares, Loss, Minimax, NonSaturating, Uniform
from minigan.nn import ELU, Adam, Layer, LeakyReLU, Linear, Pack, Sequential, Sigmoid

FEWEST = 4  # samples a batch: see `output_message` in gaussian1d.cu
ACTIVATIONS: dict[type[Layer], int] = {ELU: 0, LeakyReLU: 1}
TERMS = {"bce": 0, "bce_with_logits": 1, "mean_squared_error": 2}  # that a loss is a mean of


def misform(gan: GAN, data: DataSource, batch: int) -> str:
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
    if not _is_generator(G):
        return "G must be Linear(1, H), ELU, Linear(H, H), Sigmoid, Linear(H, 1)"
    if not _is_discriminator(D, G.layers[0], term_of(gan.loss) == "bce"):
        return (
            "D must be [Pack,] Linear(F, H), f, Linear(H, H), f, Linear(H, 1) with G's H and f an "
            "ELU or a LeakyReLU; and a Sigmoid for a loss of probabilities"
        )
    size = pack_of(D).size
    if batch < FEWEST or batch % size:
        return f"the batch must be at least {FEWEST}, and a multiple of {size}"
    return ""


def term_of(loss: Loss) -> str:
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
    features = pack_of(D).output_shape((pack_of(D).size, 1))[1]
    kinds = tuple(type(layer) for layer in layers)
    activation = kinds[1] if len(kinds) > 1 and kinds[1] in ACTIVATIONS else ELU
    form = (Linear, activation, Linear, activation, Linear)
    return (
        kinds == ((*form, Sigmoid) if ends_in_sigmoid else form)
        and layers[1] == layers[3]
        and _are_linear(layers[:5:2], features)
        and width_of(layers[0]) == width_of(first_of_G)
    )


def _are_linear(layers: tuple[Layer, ...], features: int) -> bool:
    """Whether these are Linear(features, H), Linear(H, H), Linear(H, 1) with biases."""
    H = width_of(layers[0])
    return [layer.parameter_shapes() for layer in layers] == [
        {"weight": size, "bias": (1, size[1])} for size in ((features, H), (H, H), (H, 1))
    ]


def width_of(layer: Layer) -> int:
    """H of the first Linear."""
    return layer.parameter_shapes()["weight"][1]


def pack_of(D: Sequential) -> Pack:
    """How D packs its samples: it may begin with a Pack."""
    return D.layers[0] if isinstance(D.layers[0], Pack) else Pack(1, deviations=False)


def activation_of(net: Sequential) -> Layer:
    """What follows the first Linear."""
    return net.layers[2 if type(net.layers[0]) is Pack else 1]
