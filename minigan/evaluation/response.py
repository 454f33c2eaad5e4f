"""The output of a discriminator, and that of the best possible one.

For a fixed generator with density q, data of density p, a target a for real data and b for
fake, both the cross-entropy and the squared error of D, averaged over p + q, are least at

    D*(x) = (a p(x) + b q(x)) / (p(x) + q(x)),

the mean target of what is found at x. It is p / (p + q) for targets 1 and 0 (Goodfellow et
al. 2014, proposition 1). For a discriminator of packs, p and q are the densities of whole
packs: products over samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.backend import checked_array
from minigan.backend.base import on_host
from minigan.backend.float_errors import ignore_float_errors
from minigan.errors import DataError
from minigan.gan.losses import LOGIT, PROBABILITY
from minigan.nn import Sequential

CONTEXTS = 32  # packs in which a sample is replaced, for discriminators of packs
KDE_SAMPLES = 20_000
MAX_LOG_RATIO = 500.0  # where one of the densities is practically zero


@dataclass(frozen=True)
class Response:
    """D along the line, and the best D for the same generator.

    Attributes:
        x: (K,) the places.
        learned: (K,) D at x: its probability that x is real, or its plain output.
        optimal: (K,) D* at x; None if D was trained without targets.
        density: (K,) q, the generator's density, estimated from its samples by a Gaussian
            kernel, so it leaks a little past the generator's range.
        pack: m, the samples that D takes at once. If m > 1, x stands for one sample of a generated
            pack, and both curves are means over such packs.
        output: what `learned` is, "probability" or "score".
        targets: of D in training, for real and for generated samples; None if there were none.
    """

    x: Any
    learned: Any
    optimal: Any
    density: Any
    pack: int
    output: str = PROBABILITY
    targets: tuple[float, float] | None = (1.0, 0.0)


@ignore_float_errors
def discriminator_response(
    D: Sequential,
    samples: Any,
    x: Any,
    target_density: Any,
    targets: tuple[float, float] | None = (1.0, 0.0),
    output: str = LOGIT,
) -> Response:
    """Evaluate D at each x, and work out the output of the best D there.

    Args:
        D: a discriminator of single numbers, or of packs of them.
        samples: (n, 1) from the generator.
        x: (K,) increasing.
        target_density: p, a function of an array.
        targets: of D in training, for real and for generated samples; None if its loss has none.
        output: what D's output means to the loss it was trained with: "logit", which is turned into
            a probability, "probability" or "score".
    """
    from scipy import stats

    x = checked_array("x", x).astype(np.float64)
    flat = checked_array("samples", samples).astype(np.float64).ravel()
    m = D.rows_multiple
    if flat.size < max(2, m) or not np.isfinite(flat).all():
        raise DataError(f"the response of this D needs at least {max(2, m)} finite samples")
    # Without a jitter, a generator that has collapsed to a point would have no density.
    kept = flat[:KDE_SAMPLES]
    jitter = np.random.Generator(np.random.Philox(0)).standard_normal(kept.size)
    density = stats.gaussian_kde(kept + 1e-3 * max(float(flat.std()), 1e-6) * jitter)(x)  # (K,)
    log_ratio = log_ratio_of(target_density(x), density)  # (K,)

    contexts = min(CONTEXTS, flat.size // m) if m > 1 else 1  # C
    packs = flat[: contexts * m].reshape(contexts, m)  # (C, m)
    inputs = np.repeat(packs[:, None, :], x.size, axis=1)  # (C, K, m)
    inputs[:, :, 0] = x
    Y = on_host(D.predict(inputs.reshape(-1, 1).astype(D.dtype)))  # (C K, 1)
    learned, output = as_shown(Y.reshape(contexts, x.size).astype(np.float64), output)  # (C, K)
    optimal = None
    if targets is not None:
        others = np.interp(packs[:, 1:], x, log_ratio).sum(axis=1)  # (C,)
        optimal = best_output(log_ratio, others, targets)
    return Response(x, learned.mean(axis=0), optimal, density, m, output, targets)


def as_shown(Y: Any, output: str) -> tuple[Any, str]:
    """D's outputs as they are shown, and what they are then: logits become probabilities."""
    from scipy import special

    return (special.expit(Y), PROBABILITY) if output == LOGIT else (Y, output)


def targets_of(loss: Any) -> tuple[float, float] | None:
    """D's targets for real and for generated samples, if the loss has any."""
    return (loss.real_target, loss.fake_target) if hasattr(loss, "real_target") else None


def log_ratio_of(p: Any, q: Any) -> Any:
    """log p/q of two densities of any shape, between -`MAX_LOG_RATIO` and `MAX_LOG_RATIO`."""
    log_p, log_q = (np.log(np.maximum(some, 1e-300)) for some in (p, q))
    return np.clip(log_p - log_q, -MAX_LOG_RATIO, MAX_LOG_RATIO)


def best_output(log_ratio: Any, others: Any, targets: tuple[float, float]) -> Any:
    """D* (K,): the mean over C packs in which one sample is replaced by what is at each place.

    Args:
        log_ratio: (K,) log p/q at the places.
        others: (C,) the sum of log p/q over the other samples of each pack; 0 if there are none.
        targets: of D in training, for real and for generated samples.
    """
    from scipy import special

    share = special.expit(others[:, None] + log_ratio).mean(axis=0)  # (K,) P / (P + Q)
    real, fake = targets
    return fake + (real - fake) * share
