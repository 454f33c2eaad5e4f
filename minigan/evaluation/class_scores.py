"""How well a conditional GAN draws the class that it is asked for.

Three measures, each next to that of real images. GAN-test shows wrong and unclear images, but a
generator that draws the same perfect 7 every time passes it: the variance within a class shows
that. GAN-train needs both: what a classifier learns from generated images alone must be right for
real ones.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigan.backend.float_errors import ignore_float_errors
from minigan.checks import flag, whole
from minigan.data.datasets import ImageSet
from minigan.data.images import to_floats, to_pixels
from minigan.errors import ConfigError, DataError
from minigan.evaluation.classifier import (
    Classifier,
    ClassifierRecipe,
    announce,
    load_classifier,
    train_classifier,
)
from minigan.gan import Game
from minigan.text import columns

BLOCK = 5000  # images that are floating-point numbers at a time
#: How the classifiers of GAN-train are trained: a third of the judge's steps.
GAN_TRAIN = ClassifierRecipe(steps=2_000)


@dataclass(frozen=True)
class ClassScores:
    """Scores of a conditional GAN; those of real images have the suffix _real.

    GAN-test and GAN-train are those of Shmelkov, Schmid and Alahari, "How good is my GAN?", 2018.

    Attributes:
        dataset, n: what it is scored against, and the number of generated images.
        gan_test, gan_test_real: the share of the generated images that the classifier takes for
            the class that was asked for; of the test images, for their class.
        worst, worst_real: the share in the class where it is smallest.
        worst_class, worst_class_real: that class.
        class_variance, class_variance_real: the variance of the images of a class, summed over the
            pixels in [-1, 1], and its mean over the classes; of the test images.
        gan_train, gan_train_real: test accuracy of a classifier that was trained on generated
            images alone, the same number as there are training images; and on the training images.
    """

    dataset: str
    n: int
    gan_test: float
    gan_test_real: float
    worst: float
    worst_real: float
    worst_class: int
    worst_class_real: int
    class_variance: float
    class_variance_real: float
    gan_train: float
    gan_train_real: float

    def to_dict(self) -> dict[str, Any]:
        """The scores as JSON."""
        return asdict(self)

    def __str__(self) -> str:
        def percent(share: float) -> str:
            return f"{100 * share:.2f} %"

        table = [
            ("", "generated", "real", ""),
            (
                "  GAN-test: taken for the class asked for",
                percent(self.gan_test),
                percent(self.gan_test_real),
                "",
            ),
            (
                "  GAN-test of the worst class",
                f"{self.worst_class}: {percent(self.worst)}",
                f"{self.worst_class_real}: {percent(self.worst_real)}",
                "",
            ),
            (
                "  variance within a class",
                f"{self.class_variance:.2f}",
                f"{self.class_variance_real:.2f}",
                "",
            ),
            (
                "  GAN-train: accuracy of a classifier trained on them",
                percent(self.gan_train),
                percent(self.gan_train_real),
                "",
            ),
        ]
        return f"""{self.n:,} samples, the classes in turn, against the test set of {self.dataset}

{columns(table)}

  "real": training images in the row GAN-train, test images elsewhere."""


@ignore_float_errors
def score_classes(
    game: Game,
    images: ImageSet,
    classifier: Classifier,
    n: int = 10_000,
    seed: int = 0,
    *,
    recipe: ClassifierRecipe | None = None,
    cache: Path | str | None = None,
    progress: bool = True,
) -> ClassScores:
    """Score a conditional GAN against its dataset. The classes take turns.

    Args:
        game: a trained one that `takes_labels`.
        images: the dataset.
        classifier: trained on that dataset (`load_classifier`), for GAN-test.
        n: how many samples, at least two of each class. They are rounded to bytes.
        seed: of the noise.
        recipe: of the two classifiers of GAN-train; by default `GAN_TRAIN`, 2,000 steps.
        cache: where the one of the training images is kept; see `load_classifier`.
        progress: print a line on stderr before a classifier is trained, and show a bar.

    Raises:
        ConfigError: a game without labels or a population, or n is too small.
        DataError: the samples have another size or are not finite, or the test set has fewer than
            two images of a class.
        FileError: the cache cannot be written.
    """
    flag("score_classes: progress", progress)
    check_game(game, images)
    if not game.takes_labels:
        raise ConfigError(f"a {type(game).__name__} cannot be asked for a class of the data")
    n, classes = whole("score_classes: n", n, 0), game.classes
    if n < 2 * classes:
        raise ConfigError(f"scores need two samples of each of the {classes} classes, so not n={n}")
    if np.bincount(images.test_labels, minlength=classes)[:classes].min() < 2:
        raise DataError(f"the test set of {images.name} lacks two images of each class")
    recipe = recipe or GAN_TRAIN

    pixels, condition = draw_images(game, n, seed, images.shape)  # (n, h, w) and (n, classes)
    asked = condition.argmax(axis=1)  # (n,)
    taken = _shares(classifier, pixels, asked, classes)  # (classes,)
    taken_real = _shares(classifier, images.test, images.test_labels, classes)  # (classes,)

    size = len(images.train)
    pixels_of_train, condition = draw_images(game, size, seed, images.shape)
    made = dataclasses.replace(
        images, train=pixels_of_train, train_labels=condition.argmax(axis=1).astype(np.uint8)
    )
    real = load_classifier(images, cache, recipe, progress=progress)
    if progress:
        announce(f"a classifier on {size:,} generated images", images, recipe)
    gan_train = train_classifier(made, recipe, progress=progress)[1]
    return ClassScores(
        dataset=images.name,
        n=n,
        gan_test=float(np.average(taken, weights=np.bincount(asked, minlength=classes))),
        gan_test_real=classifier.accuracy,
        worst=float(taken.min()),
        worst_real=float(taken_real.min()),
        worst_class=int(taken.argmin()),
        worst_class_real=int(taken_real.argmin()),
        class_variance=variance_within(pixels, asked, classes),
        class_variance_real=variance_within(images.test, images.test_labels, classes),
        gan_train=gan_train,
        gan_train_real=real.accuracy,
    )


def variance_within(pixels: Any, labels: Any, classes: int) -> float:
    """The variance of the images of a class, summed over the pixels, and its mean over the classes.

    mean_k sum_p var(x_p | class k), the variance with the divisor n_k - 1.

    Args:
        pixels: (n, h, w) uint8; the variance is of pixels in [-1, 1].
        labels: (n,) integers, at least two of each class.
        classes: how many; the labels are below.
    """
    sums = [pixels[labels == k].var(axis=0, ddof=1, dtype=np.float64).sum() for k in range(classes)]
    return float(np.mean(sums)) / 127.5**2


def check_game(game: Game, images: ImageSet) -> None:
    """Raise `ConfigError` or `DataError` unless it is one game that makes images of that size."""
    if game.population:
        raise ConfigError("score one game at a time, not a population")
    if game.generator.out_features != math.prod(images.shape):
        raise DataError(
            f"the generator makes {game.generator.out_features} features; images of "
            f"{images.source} have {math.prod(images.shape)}"
        )


def draw_images(game: Game, n: int, seed: int, shape: tuple[int, int]) -> tuple[Any, Any]:
    """The n samples of `game.sample(n, seed)` as images, and their condition, both on the host.

    Only a block of them are floating-point numbers at a time.

    Returns:
        Images (n, h, w) uint8 and the condition (n, condition features).

    Raises:
        DataError: a sample is not finite.
    """
    Z = game.draw_noise(n, seed)  # (n, dim)
    condition: Any = game.draw_condition(n, seed)  # (n, k)
    pixels = np.empty((n, *shape), np.uint8)
    for start in range(0, n, BLOCK):
        rows = slice(start, start + BLOCK)
        made = game.sampler.predict(Z[rows], condition[rows])  # (<= BLOCK, h w)
        samples = game.ops.to_host(made)
        if not np.isfinite(samples).all():
            raise DataError("the samples hold NaN or infinity")
        pixels[rows] = to_pixels(samples, shape)
    return pixels, game.ops.to_host(condition)


def _shares(classifier: Classifier, pixels: Any, labels: Any, classes: int) -> Any:
    """Of the images of each class, the share (classes,) that the classifier takes for it."""
    right = np.empty(len(pixels))  # (n,)
    for start in range(0, len(pixels), BLOCK):
        rows = slice(start, start + BLOCK)
        features = classifier.features(to_floats(pixels[rows]))  # (<= BLOCK, 128)
        right[rows] = classifier.probabilities(features).argmax(axis=1) == labels[rows]
    return np.array([right[labels == k].mean() for k in range(classes)])
