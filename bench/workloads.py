"""What is measured: the training steps that every engine takes.

The networks and settings are those of recipes in examples/, some of them in another width. They are
repeated here so that a process that measures PyTorch need not import minigan; a test compares them
with the recipes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

IMAGES = 60_000  # as many as MNIST has; the pixels are random, since time does not depend on them
PIXELS = 784
LR = 2e-4
EPS = 1e-8
FAKE_TARGET = 0.0

Layers = tuple[tuple[Any, ...], ...]  # of each layer, a class of torch.nn and its arguments


@dataclass(frozen=True)
class Workload:
    """One GAN and its data."""

    name: str  # a key of `WORKLOADS`
    experiment: str  # a module of examples/
    recipe: str  # one of its recipes
    settings: dict[str, Any]  # what is changed in that
    batch: int  # B real samples per step, and B generated ones
    rows: int  # outputs of D on B samples: one of the whole pack, or one each
    noise: int  # numbers that G makes a sample of
    noise_low: float  # they are uniform between this and 1
    G: Layers
    D: Layers
    real_target: float  # of D on real samples
    generator_target: float  # of G, for D's outputs on generated samples
    betas: tuple[float, float]  # of both Adams
    init_std: float | None = None  # weights begin normal with it; None: as PyTorch's
    same_noise: bool = False  # G learns on the samples that D has just scored

    @property
    def one_dimensional(self) -> bool:
        """Whether D scores a pack of numbers; otherwise it scores images."""
        return self.experiment == "gaussian1d"

    @property
    def logits(self) -> bool:
        """Whether D outputs logits, not probabilities."""
        return self.D[-1][0] != "Sigmoid"

    @property
    def apart(self) -> bool:
        """Whether D must score real and fake in two passes, since it looks at whole batches."""
        return any(kind.startswith("BatchNorm") for kind, *_ in self.D)


def numbers(name: str, hidden: int, batch: int = 100) -> Workload:
    """The 1-D GAN with hidden layers of that width."""
    return Workload(
        name,
        "gaussian1d",
        "article",
        {"hidden": hidden, "batch": batch, "pack": batch},
        batch=batch,
        rows=1,
        noise=1,
        noise_low=0.0,
        G=(
            *(("Linear", 1, hidden), ("ELU", 1.0)),
            *(("Linear", hidden, hidden), ("Sigmoid",)),
            ("Linear", hidden, 1),
        ),
        D=(
            *(("Linear", 2 * batch, hidden), ("ELU", 1.0)),
            *(("Linear", hidden, hidden), ("ELU", 1.0)),
            *(("Linear", hidden, 1), ("Sigmoid",)),
        ),
        real_target=0.95,
        generator_target=0.95,
        betas=(0.9, 0.999),
    )


def images(name: str, hidden: int, batch: int = 100, same_noise: bool = False) -> Workload:
    """The GAN of MNIST with hidden layers of that width."""

    def layers(inputs: int, outputs: int, last: str) -> Layers:
        return (
            *(("Linear", inputs, hidden), ("ReLU",), ("Dropout", 0.2)),
            *(("Linear", hidden, hidden), ("ReLU",), ("Dropout", 0.2)),
            *(("Linear", hidden, outputs), (last,)),
        )

    return Workload(
        name,
        "mnist",
        "article",
        {"hidden": hidden, "batch": batch, "same_noise": same_noise},
        batch=batch,
        rows=batch,
        noise=100,
        noise_low=-1.0,
        G=layers(100, PIXELS, "Tanh"),
        D=layers(PIXELS, 1, "Sigmoid"),
        real_target=0.9,
        generator_target=1.0,
        betas=(0.9, 0.999),
        same_noise=same_noise,
    )


def convolutions(name: str, channels: int, hidden: int, batch: int = 64) -> Workload:
    """The DCGAN of 28 x 28 images: `channels` at 14 x 14 pixels, twice that number at 7 x 7."""
    c, features = channels, 7 * 7 * 2 * channels
    halves_or_doubles = (4, 2, 1)  # kernel, stride and padding
    return Workload(
        name,
        "dcgan",
        "canonical",
        {"channels": channels, "hidden": hidden, "batch": batch},
        batch=batch,
        rows=batch,
        noise=62,
        noise_low=-1.0,
        G=(
            *(("Linear", 62, hidden), ("BatchNorm1d", hidden), ("ReLU",)),
            *(("Linear", hidden, features), ("BatchNorm1d", features), ("ReLU",)),
            ("Unflatten", 1, (2 * c, 7, 7)),
            *(("ConvTranspose2d", 2 * c, c, *halves_or_doubles), ("BatchNorm2d", c), ("ReLU",)),
            *(("ConvTranspose2d", c, 1, *halves_or_doubles), ("Tanh",)),
            ("Flatten",),
        ),
        D=(
            ("Unflatten", 1, (1, 28, 28)),
            *(("Conv2d", 1, c, *halves_or_doubles), ("LeakyReLU", 0.2)),
            ("Conv2d", c, 2 * c, *halves_or_doubles),
            *(("BatchNorm2d", 2 * c), ("LeakyReLU", 0.2)),
            ("Flatten",),
            *(("Linear", features, hidden), ("BatchNorm1d", hidden), ("LeakyReLU", 0.2)),
            ("Linear", hidden, 1),
        ),
        real_target=1.0,
        generator_target=1.0,
        betas=(0.5, 0.999),
        init_std=0.02,
    )


MEAN, STD = 4.0, 1.25  # of the real numbers of gaussian1d
TITLES = {
    "gaussian1d": "1-D Gaussian: hidden width 50, D scores packs of 100",
    "mnist256": "MNIST, hidden width 256, fresh noise in both halves",
    "mnist256-same": "MNIST, hidden width 256, G learns on the samples that D scored",
    "mnist1200": "MNIST, hidden width 1200, fresh noise in both halves",
    "mnist1200-same": "MNIST, hidden width 1200, G learns on the samples that D scored",
    "dcgan": "DCGAN, 64 and 128 channels, hidden width 1024",
    "dcgan-half": "DCGAN, 32 and 64 channels, hidden width 256",
}
WORKLOADS = {
    workload.name: workload
    for workload in (
        numbers("gaussian1d", 50),
        images("mnist256", 256),
        images("mnist256-same", 256, same_noise=True),
        images("mnist1200", 1200),
        images("mnist1200-same", 1200, same_noise=True),
        convolutions("dcgan", 64, 1024),
        convolutions("dcgan-half", 32, 256),
    )
}


def random_pixels() -> Any:
    """The images: (60000, 784) uint8, always the same."""
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (IMAGES, PIXELS), dtype=np.uint8)
