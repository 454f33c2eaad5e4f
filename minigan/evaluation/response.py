"""What the discriminator says, and what the best possible one would say.

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

from minigan.errors import DataError
from minigan.nn import Sequential

CONTEXTS = 32  # packs in which a sample is replaced, for discriminators of packs
KDE_SAMPLES = 20_000
MAX_LOG_RATIO = 500.0  # where one of the densities is practically zero


@dataclass(frozen=True)
class Response:
    """D along the line, beside the best D for the same generator.

    Attributes:
        x: (K,) the places asked about.
        learned: (K,) D's probability that x is real; with squared error its plain answer,
            which can leave [0, 1].
        optimal: (K,) D* at x.
        density: (K,) q, the generator's density, estimated from its samples by a Gaussian
            kernel, so it leaks a little past the generator's range.
        pack: m, the samples a verdict. If m > 1, x stands for one sample of a generated
            pack, and both curves are means over such packs.
    """

    x: Any
    learned: Any
    optimal: Any
    density: Any
    pack: int


def discriminator_response(
    D: Sequential,
    samples: Any,
    x: Any,
    target_density: Any,
    real_target: float = 1.0,
    fake_target: float = 0.0,
    output: str = "logit",
) -> Response:
    """Ask D about each x, and work out what the optimal D would answer.

    Args:
        D: a discriminator of single numbers, or of packs of them.
        samples: (n, 1) from the generator.
        x: (K,) increasing.
        target_density: p, a function of an array.
        real_target, fake_target: D's targets in training.
        output: what D's output means to the loss it was trained with: "logit", which is turned into
            a probability, "probability" or "score" (squared error's minimiser is the same D*).
    """
    from scipy import stats

    x = np.asarray(x, dtype=np.float64)
    flat = np.asarray(samples, dtype=np.float64).ravel()
    m = D.rows_multiple
    if flat.size < max(2, m) or not np.isfinite(flat).all():
        raise DataError(f"the response of this D needs at least {max(2, m)} finite samples")
    # A generator that has collapsed to a point has no density; a hair's width gives it one.
    spread = max(float(flat.std()), 1e-6)
    kde = stats.gaussian_kde(flat[:KDE_SAMPLES] + 1e-3 * spread * _jitter(flat[:KDE_SAMPLES].size))
    log_p = np.log(np.maximum(target_density(x), 1e-300))
    density = kde(x)  # (K,)
    log_q = np.log(np.maximum(density, 1e-300))
    log_ratio = np.clip(log_p - log_q, -MAX_LOG_RATIO, MAX_LOG_RATIO)  # (K,) log p/q

    if m == 1:
        verdicts = D.ops.to_host(D.predict(x[:, None].astype(D.dtype)))[:, 0]  # (K,)
        learned = _probability(verdicts, output)
        share = _sigmoid(log_ratio)  # (K,) p / (p + q)
    else:
        contexts = min(CONTEXTS, flat.size // m)  # C
        packs = flat[: contexts * m].reshape(contexts, m)  # (C, m)
        asked = np.repeat(packs[:, None, :], x.size, axis=1)  # (C, K, m)
        asked[:, :, 0] = x
        verdicts = D.ops.to_host(D.predict(asked.reshape(-1, 1).astype(D.dtype)))  # (C K, 1)
        learned = _probability(verdicts, output).reshape(contexts, x.size).mean(axis=0)
        others = np.interp(packs[:, 1:], x, log_ratio).sum(axis=1)  # (C,)
        share = _sigmoid(others[:, None] + log_ratio).mean(axis=0)  # (K,) P / (P + Q)
    optimal = fake_target + (real_target - fake_target) * share
    return Response(x, learned, optimal, density, m)


def _probability(verdicts: Any, output: str) -> Any:
    """D's verdicts as probabilities."""
    verdicts = np.asarray(verdicts, dtype=np.float64)
    return _sigmoid(verdicts) if output == "logit" else verdicts


def _sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-np.clip(x, -700.0, 700.0)))


def _jitter(n: int) -> Any:
    return np.random.Generator(np.random.Philox(0)).standard_normal(n)
