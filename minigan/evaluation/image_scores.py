"""How good generated images are: several measures, each next to that of real images.

No single number is enough. The Fréchet distance sees quality and variety together; the classifier
score rewards clear digits of all kinds, but not realism within a kind; the histogram shows missing
digits, the nearest training image shows copies, and speckle shows noise that a person notices.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from minigan.backend import ANY, Stream, checked_array
from minigan.backend.float_errors import ignore_float_errors
from minigan.data.datasets import CLASSES, ImageSet
from minigan.data.images import to_floats, to_pixels
from minigan.errors import DataError
from minigan.evaluation.classifier import Classifier
from minigan.text import columns

NEAREST = 1000  # images that are compared with all training images
BLOCK = 5000  # images that are floating-point numbers at a time
WINDOW_BLOCK = 5_000_000  # distances from images to samples at a time: 20 MB
BRIGHT = 128  # pixels from here up are bright
#: The protocol of Goodfellow et al. 2014 on MNIST: the validation images choose the width of
#: the window from this grid, the test images give the likelihood.
PARZEN_WIDTHS = np.logspace(-1.0, 0.0, 10)
PARZEN_VALIDATION = 1000


@dataclass(frozen=True)
class ImageScores:
    """Scores of generated images; those of real images have the suffix _real or _floor.

    Attributes:
        dataset, n: what they are scored against, and the number of images.
        accuracy: of the classifier on the test set.
        frechet, frechet_floor: Fréchet distance to the test set, of the generated images and
            of as many training images (at most all).
        classifier_score, classifier_score_real: of the generated images and the test set.
        histogram: (10,) the share of generated images in each class.
        classes: the number of classes with at least 1 % of the generated images.
        speckle, speckle_real: see `speckle`; of the generated images and the test set.
        nearest, nearest_real: the median distance from a generated (a test) image to the
            nearest training image; Euclidean, pixels in [0, 1]; of the first 1,000 of each.
        nearest_min, nearest_min_real: the smallest such distance.
        parzen, parzen_error, parzen_width: Parzen-window log-likelihood of the test set in nats
            an image, its standard error, and the width that the validation images chose.
        parzen_real: the same with training images in place of generated ones (as many, but
            none of the last sixth of the training set, which has the validation images).
    """

    dataset: str
    n: int
    accuracy: float
    frechet: float
    frechet_floor: float
    classifier_score: float
    classifier_score_real: float
    histogram: tuple[float, ...]
    classes: int
    speckle: float
    speckle_real: float
    nearest: float
    nearest_real: float
    nearest_min: float
    nearest_min_real: float
    parzen: float
    parzen_error: float
    parzen_width: float
    parzen_real: float

    def to_dict(self) -> dict[str, Any]:
        """The scores as JSON."""
        return asdict(self) | {"histogram": list(self.histogram)}

    def __str__(self) -> str:
        nearest = "distance to the nearest training image"
        rows = [
            ("Fréchet distance (lower is better)", self.frechet, self.frechet_floor),
            ("classifier score (1 to 10)", self.classifier_score, self.classifier_score_real),
            ("speckle (lone bright pixels per image)", self.speckle, self.speckle_real),
            (f"{nearest}, median", self.nearest, self.nearest_real),
            (f"{nearest}, smallest", self.nearest_min, self.nearest_min_real),
            (f"Parzen log-likelihood ± {self.parzen_error:.1f}", self.parzen, self.parzen_real),
        ]
        table = [("", "generated", "real", "")]
        table += [(f"  {name}", f"{made:.3f}", f"{real:.3f}", "") for name, made, real in rows]
        shares = [f"{k}: {100 * s:.1f} %" for k, s in enumerate(self.histogram)]
        share = "\n  ".join("  ".join(shares[k : k + 5]) for k in range(0, CLASSES, 5))
        return f"""{self.n:,} samples against the test set of {self.dataset}

{columns(table)}

  {self.classes} of {CLASSES} classes present (at least 1 % of the samples each)
  {share}

  The judge is a classifier with {100 * self.accuracy:.2f} % test accuracy.
  "real": training images in the rows Fréchet and Parzen, test images elsewhere.
  Parzen likelihoods are poor in many dimensions: bad samples can rank first."""


@ignore_float_errors
def score_images(samples: Any, images: ImageSet, classifier: Classifier) -> ImageScores:
    """Score generated images against a dataset.

    Args:
        samples: (n, h w) in [-1, 1], n >= 2; they are rounded to bytes first.
        images: the dataset.
        classifier: trained on that dataset (`load_classifier`).

    Raises:
        DataError: samples of another size, too few, or not finite.
        DTypeError: they cannot be read as an array.
    """
    samples = checked_array("samples", samples, ANY)
    if samples.dtype.kind != "f":
        raise DataError(f"samples must be floating-point numbers, not {samples.dtype}")
    features_in = images.shape[0] * images.shape[1]
    if samples.ndim != 2 or samples.shape[1] != features_in or len(samples) < 2:
        raise DataError(
            f"samples must be (n >= 2, {features_in}) for {images.source}, not {samples.shape}"
        )
    if not np.isfinite(samples).all():
        raise DataError("the samples hold NaN or infinity")
    pixels = to_pixels(samples, images.shape)  # (n, h, w)
    # As many training images as samples, a fixed random choice.
    order = np.argsort(Stream(0, "scores/train").words(len(images.train))[0], kind="stable")
    chosen = images.train[order[: len(pixels)]]  # (<= n, h, w)

    made = classifier.features(to_floats(pixels))  # (n, 128)
    real = classifier.features(to_floats(images.test))  # (T, 128)
    train = classifier.features(to_floats(chosen))  # (<= n, 128)
    made_classes = classifier.probabilities(made)  # (n, 10)
    histogram = np.bincount(made_classes.argmax(axis=1), minlength=CLASSES) / len(pixels)
    near = nearest_distances(pixels[:NEAREST], images.train)
    near_real = nearest_distances(images.test[:NEAREST], images.train)
    # In Goodfellow's split the last 10,000 of 60,000 training images are for validation.
    held_out = len(images.train) * 5 // 6
    validation = images.train[held_out : held_out + PARZEN_VALIDATION]
    parzen, error, width = parzen_log_likelihood(pixels, validation, images.test)
    fitted = images.train[order[order < held_out][: len(pixels)]]
    return ImageScores(
        dataset=images.name,
        n=len(pixels),
        accuracy=classifier.accuracy,
        frechet=frechet_distance(made, real),
        frechet_floor=frechet_distance(train, real),
        classifier_score=classifier_score(made_classes),
        classifier_score_real=classifier_score(classifier.probabilities(real)),
        histogram=tuple(float(share) for share in histogram),
        classes=int((histogram >= 0.01).sum()),
        speckle=speckle(pixels),
        speckle_real=speckle(images.test),
        nearest=float(np.median(near)),
        nearest_real=float(np.median(near_real)),
        nearest_min=float(near.min()),
        nearest_min_real=float(near_real.min()),
        parzen=parzen,
        parzen_error=error,
        parzen_width=width,
        parzen_real=parzen_log_likelihood(fitted, validation, images.test)[0],
    )


def frechet_distance(A: Any, B: Any) -> float:
    """The Fréchet distance between the normal distributions fitted to two sets of features.

    |m_A - m_B|^2 + tr(C_A + C_B - 2 (C_A C_B)^(1/2))

    (Dowson and Landau 1982; Heusel et al. 2017 use it for GANs, with another network's
    features.) The trace of the root is the sum of the roots of the eigenvalues of
    C_A^(1/2) C_B C_A^(1/2), which is symmetric and has those of C_A C_B.

    Args:
        A, B: features (n, d) and (m, d), n, m >= 2.

    Returns:
        The distance, >= 0 up to rounding, in the square of the features' unit.

    Raises:
        DataError: the two do not have the same d, or fewer than two rows.
        DTypeError: they cannot be read as arrays of numbers.
    """
    from scipy import linalg

    A, B = (checked_array("features", X).astype(np.float64) for X in (A, B))
    if A.ndim != 2 or B.ndim != 2 or A.shape[1] != B.shape[1] or min(len(A), len(B)) < 2:
        raise DataError(f"features must be (n >= 2, d), not {A.shape} and {B.shape}")
    cov_a = np.atleast_2d(np.cov(A, rowvar=False))  # (d, d)
    cov_b = np.atleast_2d(np.cov(B, rowvar=False))  # (d, d)
    values, vectors = linalg.eigh(cov_a)
    root_a = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T  # (d, d)
    product = linalg.eigvalsh(root_a @ cov_b @ root_a)  # (d,)
    shift = A.mean(axis=0) - B.mean(axis=0)  # (d,)
    root_trace = np.sqrt(np.maximum(product, 0.0)).sum()
    return float(shift @ shift + np.trace(cov_a) + np.trace(cov_b) - 2.0 * root_trace)


def classifier_score(P: Any) -> float:
    """exp of the mean Kullback-Leibler divergence from the mean prediction, in [1, classes].

    exp(mean_n sum_k p_nk (log p_nk - log pbar_k)),   pbar = mean_n p_n

    The form of the inception score (Salimans et al. 2016, section 4), over all samples at once.

    Args:
        P: probabilities (n, classes), rows that sum to one.
    """
    P = checked_array("probabilities", P).astype(np.float64)
    tiny = np.finfo(np.float64).tiny  # 0 log 0 = 0
    divergence = (P * (np.log(P + tiny) - np.log(P.mean(axis=0) + tiny))).sum(axis=1)  # (n,)
    return float(np.exp(divergence.mean()))


def nearest_distances(pixels: Any, train: Any) -> Any:
    """The distance (n,) from each image to the nearest training image.

    Euclidean over pixels in [0, 1]; both arguments are (., h, w) uint8.
    """
    from sklearn.metrics import pairwise_distances_argmin_min

    X = to_floats(pixels) * np.float32(0.5)  # (n, h w); distances are as for [0, 1]
    nearest = np.full(len(X), np.inf)  # (n,)
    for start in range(0, len(train), BLOCK):  # the training set stays bytes
        Y = to_floats(train[start : start + BLOCK]) * np.float32(0.5)
        np.minimum(nearest, pairwise_distances_argmin_min(X, Y)[1], out=nearest)
    return nearest


def parzen_log_likelihood(samples: Any, validation: Any, test: Any) -> tuple[float, float, float]:
    """Log-likelihood of test images under a Gaussian window around each sample.

    log p(x) = log mean_i exp(-|x - s_i|^2 / (2 w^2)) - d log(w sqrt(2 pi))

    with pixels in [0, 1]. The width w is the one of ten between 0.1 and 1 (evenly spaced on a
    log scale) under which the validation images are most likely. (Breuleux, Bengio and Vincent
    2011; the protocol is that of Goodfellow et al. 2014, section 5, with 10,000 samples. Theis,
    van den Oord and Bethge 2016 show how little it says: k-means centres beat every model.)

    Args:
        samples, validation, test: (., h, w) uint8.

    Returns:
        The mean over the test images in nats, its standard error, and w.
    """
    likelihoods = _windows(samples, validation, PARZEN_WIDTHS)  # (10, V)
    width = float(PARZEN_WIDTHS[int(np.argmax(likelihoods.mean(axis=1)))])
    likelihood = _windows(samples, test, np.array([width]))[0]  # (T,)
    error = likelihood.std() / np.sqrt(len(likelihood))
    return float(likelihood.mean()), float(error), width


def speckle(pixels: Any) -> float:
    """Bright pixels without a bright one among their eight neighbours, on average per image.

    Args:
        pixels: (n, h, w) uint8; bright is 128 and above.
    """
    from scipy import ndimage

    bright = checked_array("images", pixels) >= BRIGHT  # (n, h, w)
    ring = np.array([[[1, 1, 1], [1, 0, 1], [1, 1, 1]]])  # (1, 3, 3)
    near_a_bright_one = ndimage.binary_dilation(bright, ring)  # (n, h, w)
    return float((bright & ~near_a_bright_one).sum() / len(bright))


def _windows(samples: Any, X: Any, widths: Any) -> Any:
    """log p(x) (W, n) of images X (n, h, w) under windows of each width around the samples."""
    from scipy.special import logsumexp

    S = to_floats(samples) * np.float32(0.5)  # (m, d); distances are as for pixels in [0, 1]
    squares = (S * S).sum(axis=1)  # (m,)
    m, d = S.shape
    result = np.empty((len(widths), len(X)))  # (W, n)
    block = max(1, WINDOW_BLOCK // m)  # images
    for start in range(0, len(X), block):
        q = to_floats(X[start : start + block]) * np.float32(0.5)  # (b, d)
        distance = (q * q).sum(axis=1)[:, None] + squares - 2.0 * (q @ S.T)  # (b, m), squared
        for row, width in zip(result, widths, strict=True):
            exponent = distance * np.float32(-0.5 / width**2)  # (b, m)
            row[start : start + len(q)] = logsumexp(exponent, axis=1)
    constants = np.log(m) + d * np.log(widths * np.sqrt(2.0 * np.pi))  # (W,)
    return result - constants[:, None]
