"""What the codes of an InfoGAN mean: which class a category is, and how a code moves an image.

No label is used in training. Here labels give the categories their names.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from minigan.backend import checked_array
from minigan.backend.float_errors import ignore_float_errors
from minigan.checks import whole
from minigan.data.datasets import CLASSES, ImageSet
from minigan.data.images import to_floats
from minigan.errors import ConfigError, DataError
from minigan.evaluation.class_scores import BLOCK, check_game, draw_images
from minigan.gan import Game, InfoGAN
from minigan.text import columns

MATCHED = 10_000  # training images, the first ones, that match the categories to classes


@dataclass(frozen=True)
class CodeScores:
    """Scores of an InfoGAN's codes.

    Attributes:
        dataset, n: what they are scored against, and the number of generated images.
        category_accuracy: the share of the test images whose strongest category, by Q, is the one
            that is matched to their class.
        category_classes: (categories,) the class of each category, or None for one that is left
            over. The matching is one to one, and maximises the accuracy on `MATCHED` training
            images.
        slant, width: (continuous codes,) the Pearson correlation of each code with the slant and
            width of the generated images; see `slant_and_width`.
        slant_ceiling, width_ceiling: the highest correlation that a code can have in images like
            those of the test set; see `ceiling`.
    """

    dataset: str
    n: int
    category_accuracy: float
    category_classes: tuple[int | None, ...]
    slant: tuple[float, ...]
    width: tuple[float, ...]
    slant_ceiling: float
    width_ceiling: float

    def to_dict(self) -> dict[str, Any]:
        """The scores as JSON."""
        return {k: [*v] if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    def __str__(self) -> str:
        names = "  ".join(
            f"{category}: {'none' if label is None else label}"
            for category, label in enumerate(self.category_classes)
        )
        text = f"""The codes, against the test set of {self.dataset}

  Q's strongest category is the class of {100 * self.category_accuracy:.2f} % of the test images.
  The class of each category: {names}"""
        if not self.slant:
            return text
        pairs = zip(self.slant, self.width, strict=True)
        table = [("  correlation of", "slant", "width", "")]
        table += [(f"    code {j}", f"{s:.3f}", f"{w:.3f}", "") for j, (s, w) in enumerate(pairs)]
        table += [("    at most", f"{self.slant_ceiling:.3f}", f"{self.width_ceiling:.3f}", "")]
        return f"""{text}

{columns(table)}

  Of {self.n:,} samples, the categories in turn. "at most": of a code that decides everything
  that the class does not, in images like those of the test set."""


@ignore_float_errors
def score_codes(game: Game, images: ImageSet, n: int = 10_000, seed: int = 0) -> CodeScores:
    """Score what an InfoGAN's codes mean.

    Args:
        game: a trained `InfoGAN`.
        images: the dataset that it was trained on.
        n: how many samples to draw, with the categories in turn and drawn continuous codes; >= 2.
            They are rounded to bytes.
        seed: of the noise and of the codes.

    Raises:
        ConfigError: another game or a population, or n is too small.
        DataError: the samples have another size or are not finite.
    """
    if not isinstance(game, InfoGAN):
        raise ConfigError(f"a {type(game).__name__} has no codes; only an InfoGAN has")
    check_game(game, images)
    n, K = whole("score_codes: n", n, 2), game.categories
    found = recognise(game, images.train[:MATCHED])  # (<= MATCHED,)
    classes = match(found, images.train_labels[:MATCHED], K)  # (K,)
    right = classes[recognise(game, images.test)] == images.test_labels  # (T,)

    pixels, condition = draw_images(game, n, seed, images.shape)  # (n, h, w) and (n, K + codes)
    measured = slant_and_width(pixels)  # (n,) each
    slant, width = (
        tuple(correlation(code, values) for code in condition[:, K:].T) for values in measured
    )
    real = [ceiling(values, images.test_labels) for values in slant_and_width(images.test)]
    return CodeScores(
        dataset=images.name,
        n=n,
        category_accuracy=float(right.mean()),
        category_classes=tuple(None if k < 0 else int(k) for k in classes),
        slant=slant,
        width=width,
        slant_ceiling=real[0],
        width_ceiling=real[1],
    )


def recognise(game: InfoGAN, pixels: Any) -> Any:
    """Q's strongest category (n,) of images (n, h, w) uint8, with all networks in evaluation mode.

    Q reads what D's trunk makes of an image.
    """
    trunk = game.discriminator.split(game.trunk)[0]
    found = np.empty(len(pixels), np.int64)  # (n,)
    for start in range(0, len(pixels), BLOCK):
        rows = slice(start, start + BLOCK)
        guess = game.recogniser.predict(trunk.predict(to_floats(pixels[rows])))  # (<= BLOCK, k)
        found[rows] = game.ops.to_host(guess)[:, : game.categories].argmax(axis=1)
    return found


def match(categories: Any, labels: Any, count: int) -> Any:
    """The class (count,) of each category, one to one, for which most images agree; -1 for none.

    The assignment problem (Kuhn 1955), which SciPy solves.

    Args:
        categories, labels: (n,) integers, of the same images.
        count: how many categories there are.
    """
    from scipy.optimize import linear_sum_assignment

    pairs = np.zeros((count, CLASSES), np.int64)  # images of each category and class
    np.add.at(pairs, (categories, labels), 1)
    matched = np.full(count, -1)
    rows, classes = linear_sum_assignment(pairs, maximize=True)
    matched[rows] = classes
    return matched


def slant_and_width(pixels: Any) -> tuple[Any, Any]:
    """The slant and the width of images, by their second moments.

    slant = mu_11 / mu_02,   width = sqrt(mu_20),
    mu_pq = sum of m (x - mean x)^p (y - mean y)^q / sum of m

    with the pixel values as masses m, x to the right and y upwards.

    Args:
        pixels: (n, h, w) uint8.

    Returns:
        The slant (n,): x for each unit of y, as the tangent of the angle to the vertical, positive
        if the image leans to the right; NaN if all of its mass is in one row of pixels, or if it
        has none. The width (n,): in pixels; NaN if it has no mass.
    """
    pixels = checked_array("images", pixels)
    if pixels.ndim != 3:
        raise DataError(f"images must be (n, h, w), not {pixels.shape}")
    n, h, w = pixels.shape
    rows, x = (grid.reshape(-1) for grid in np.indices((h, w)))  # (h w,) each
    y = -rows  # rows count downwards
    powers = np.stack([x**0, x, y, x * x, x * y, y * y], axis=1).astype(np.float64)  # (h w, 6)
    sums = np.empty((n, 6))
    for start in range(0, n, BLOCK):
        block = slice(start, start + BLOCK)
        sums[block] = pixels[block].reshape(-1, h * w).astype(np.float64) @ powers
    # Sums of integers, exact in float64; so are these, which are mu_pq times the squared mass.
    mass, sx, sy, sxx, sxy, syy = sums.T  # (n,) each
    mu_20, mu_11, mu_02 = mass * sxx - sx**2, mass * sxy - sx * sy, mass * syy - sy**2
    slant, width = np.full((2, n), np.nan)
    np.divide(mu_11, mu_02, out=slant, where=mu_02 > 0)
    np.divide(np.sqrt(mu_20), mass, out=width, where=mass > 0)
    return slant, width


def correlation(code: Any, values: Any) -> float:
    """Pearson's correlation of a code (n,) with a measure (n,), over the images that have it.

    It is 0 if one of the two does not vary.
    """
    known = np.isfinite(values)
    code, values = code[known].astype(np.float64), values[known]
    if len(code) < 2 or np.ptp(code) == 0.0 or np.ptp(values) == 0.0:
        return 0.0
    return float(np.corrcoef(code, values)[0, 1])


def ceiling(values: Any, labels: Any) -> float:
    """The highest correlation with values (n,) that a number independent of the class can have.

    sqrt(within / total), where total is the variance of the values and within their variance
    within the classes. A code is drawn independently of the category, so it can explain the
    variance within the classes only. 0 if the values do not vary.
    """
    known = np.isfinite(values)
    values, labels = values[known], labels[known]
    if len(values) == 0 or np.ptp(values) == 0.0:
        return 0.0
    within = sum(values[labels == k].var() * (labels == k).mean() for k in np.unique(labels))
    return float(np.sqrt(within / values.var()))
