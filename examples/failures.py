"""Train a GAN that fails, and the same GAN mended: ten failures, in seconds each.

--mended trains with the change that helps (docs/failures.md). Without a NAME, this is printed.

failures:
  mode-collapse         G makes one of eight modes, and jumps from one to the next
  vanishing-gradient    D is certain, and the minimax loss gives G no gradient
  strong-discriminator  D is too steep, and G's images are rough and alike
  oscillation           the samples swing around the data and do not come to rest
  nan                   the logarithm of a probability that was rounded to 0
  batch-norm            D normalises real and generated samples together
  detached              D's gradient does not reach G
  wrong-sign            G descends where it should ascend, and so it helps D
  label-leakage         the labels show D which samples are real
  memory                G repeats the few images that it was trained on

examples:
  python examples/failures.py mode-collapse --mended --out runs/mine
  minigan show runs/mine
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigan as mg
from minigan.command_line import positive
from minigan.config import CLASSES  # those of minigan, and the five below
from minigan.experiment import Experiment, flag


@mg.register
@dataclass(frozen=True)
class NaiveLog(mg.NonSaturating):
    """The gradients of -log p and of -log(1 - p) as on paper: of probabilities, not of logits."""

    probabilities: bool = True

    def discriminator_gradient(self, ops: Any, Y: Any, targets: Any, dY: Any) -> None:
        n = len(Y) // 2
        dY[:n] = -1 / Y[:n] / n
        dY[n:] = 1 / (1 - Y[n:]) / n

    def generator_gradient(self, ops: Any, Y: Any, dY: Any) -> None:
        dY[:] = -1 / Y / len(Y)


@mg.register
class WrongSign(mg.Minimax):
    """G's loss log(1 - sigmoid(y)) has the gradient -sigmoid(y). The minus was forgotten."""

    def generator_gradient(self, ops: Any, Y: Any, dY: Any) -> None:
        dY[:] = 1 / (1 + np.exp(-Y)) / len(Y)


@mg.register
class OneBatch(mg.GAN):
    """D gets real and generated samples in one batch, although its BatchNorm mixes rows."""

    def bind_step(self, batch: int) -> None:
        super().bind_step(batch)
        D = self.bind_rows(self.discriminator, slice(0, 2 * batch), out=self._Y)
        self._half = [(D, self._samples[: 2 * batch], self._dY)]


@mg.register
class Detached(mg.GAN):
    """In G's half D gets a detached copy of the samples, so their gradient is 0."""

    def update_generator(self) -> None:
        Y = self._d_for_g.forward(self._fake, train=True)  # (B, 1)
        self.loss.generator_gradient(self.ops, Y, self._dY_for_g)
        self._d_for_g.backward(self._dY_for_g, parameter_grads=False)
        self._g_sampler.backward(np.zeros_like(self._fake), input_grad=False)
        self.generator_optimizer.step()


@mg.register
class UnlabelledFakes(mg.ConditionalGAN):
    """Only the rows of real samples get their labels. Those of generated samples hold zeros."""

    def take_real(self, repeat: int) -> None:
        super().take_real(repeat)
        self._condition[self.batch :] = 0.0


@dataclass(frozen=True)
class Recipe:
    """Every setting of the experiment."""

    name: str
    steps: int = flag(1000, positive, "training steps")
    data: str = "gaussian"  # or "ring", "labelled", "digits"
    mean: float = 4.0  # of the Gaussian
    std: float = 1.25
    modes: int = 4  # of the ring
    images: int | None = None  # digits to train on; None: all
    batch: int = 64
    hidden: int = flag(32, positive, "width of the hidden layers: two in each network")
    game: str = "GAN"
    loss: str = "NonSaturating"
    momentum: float = 0.5  # the first beta of both Adams
    sgd: bool = False  # G learns by SGD instead
    d_steps: int = 1
    g_steps: int = 1
    d_lr: float = 1e-3
    g_lr: float = 1e-3
    r1: float | None = None  # gamma of the penalty
    clip: float | None = None  # bound of D's weights
    pack: int = 1  # samples that D scores at once
    norm: bool = False  # batch normalisation in D


def pair(name: str, mend: dict[str, Any], **failing: Any) -> dict[str, Recipe]:
    """The recipe that fails, and the one that is mended."""
    mended = f"{name}-mended"
    return {name: Recipe(name, **failing), mended: Recipe(mended, **failing | mend)}


far = {"std": 0.3, "d_lr": 1e-2, "g_lr": 1e-2, "d_steps": 5, "sgd": True, "steps": 800}
swinging = {"loss": "Wasserstein", "clip": 0.1, "momentum": 0.9, "steps": 2000}
steep = {"data": "digits", "hidden": 64, "d_lr": 1e-2, "d_steps": 5, "steps": 500}
normed = {"norm": True, "mean": 0.0, "std": 1.0, "momentum": 0.0, "g_lr": 3e-4}
usual = {"d_lr": 5e-3, "momentum": 0.0}
few = {"data": "digits", "hidden": 64, "d_lr": 5e-3, "r1": 1.0, "steps": 800}
RECIPES = {
    **pair("mode-collapse", {"pack": 4}, data="ring", modes=8, g_steps=5, steps=800),
    **pair("vanishing-gradient", {"loss": "NonSaturating"}, loss="Minimax", **far),
    **pair("strong-discriminator", {"r1": 1.0}, **steep),
    **pair("oscillation", {"momentum": 0.0}, **swinging),
    **pair("nan", {"loss": "NonSaturating"}, loss="NaiveLog", mean=40.0, std=10.0, d_lr=5e-2),
    **pair("batch-norm", {"game": "GAN"}, game="OneBatch", **normed),
    **pair("detached", {"game": "GAN"}, game="Detached", **usual),
    **pair("wrong-sign", {"loss": "Minimax"}, loss="WrongSign", **usual),
    **pair("label-leakage", {"game": "ConditionalGAN"}, game="UnlabelledFakes", data="labelled"),
    **pair("memory", {"images": None}, images=10, **few),
}


def data_of(recipe: Recipe, seed: int) -> mg.DataSource:
    """The data that a recipe names; the labels are those of the ring's modes."""
    if recipe.data == "digits":
        return mg.Images(mg.load_images("digits").train[: recipe.images], seed, dataset="digits")
    if recipe.data == "gaussian":
        return mg.Gaussian(recipe.mean, recipe.std, seed=seed)
    ring = mg.Ring(recipe.modes, radius=recipe.modes / 4, std=0.1, seed=seed)
    X = ring.reference(1000)  # (1000, 2)
    labels = ((X[:, None] - ring.modes) ** 2).sum(axis=2).argmin(axis=1)  # (1000,)
    return mg.Samples(X, seed, labels=labels) if recipe.data == "labelled" else ring


def build(recipe: Recipe, seed: int = 0) -> tuple[mg.GAN, mg.DataSource]:
    """The two networks, the game between them, and the data."""
    data, act, h = data_of(recipe, seed), mg.LeakyReLU(0.2), recipe.hidden
    F, k, dim = data.features, data.classes, min(data.features, 16)  # dim of the noise
    game, loss = CLASSES["game"][recipe.game], CLASSES["loss"][recipe.loss]()

    def network(name: str, inputs: int, outputs: int, *last: mg.Layer, m: int = 1) -> mg.Sequential:
        first: list[mg.Layer] = [mg.AppendCondition(inputs, k)] if k else []
        first += [mg.Pack(m, deviations=False)] if m > 1 else []
        norm = [mg.BatchNorm(h)] if recipe.norm and outputs == 1 else []
        layers = mg.Linear(m * inputs + k, h), act, mg.Linear(h, h), *norm, act
        return mg.Sequential(*first, *layers, mg.Linear(h, outputs), *last, seed=seed, name=name)

    G = network("generator", dim, F, *[mg.Tanh()] * (F > 2))
    D = network("discriminator", F, 1, *[mg.Sigmoid()] * (recipe.loss == "NaiveLog"), m=recipe.pack)
    betas = recipe.momentum, 0.99
    adams = mg.Adam(G.parameters, recipe.g_lr, betas), mg.Adam(D.parameters, recipe.d_lr, betas)
    gan = game(
        *(G, D, mg.Normal(dim=dim), loss),
        *((mg.SGD(G.parameters, recipe.g_lr), adams[1]) if recipe.sgd else adams),
        penalty=None if recipe.r1 is None else mg.R1(recipe.r1),
        constraint=None if recipe.clip is None else mg.Clip(recipe.clip),
        d_steps=recipe.d_steps,
        g_steps=recipe.g_steps,
    )
    return gan, data


experiment = Experiment("failures", RECIPES, lambda r, options: build(r, options.seed), __doc__)


def main(argv: list[str] | None = None) -> int:
    """List the failures, or train: NAME --mended stands for --recipe NAME-mended."""
    words = [*(sys.argv[1:] if argv is None else argv)]
    if not words:
        print(__doc__)
        return 0
    if not words[0].startswith("-"):
        mended = "-mended" * words.count("--mended")
        words = ["--recipe", words[0] + mended, *(w for w in words[1:] if w != "--mended")]
    return experiment.main(words)


if __name__ == "__main__":
    sys.exit(main())
