"""How GANs fail, and the measures that show it.

Each row of a run's history has three measures, taken on 1,000 real and 1,000 generated samples,
always the same ones:

auc         the chance that D gives a real sample a higher score than a generated one: 0.5 if it
            cannot tell them apart, 1 if it is never wrong (the area under the ROC curve)
g_grad      the Euclidean norm of G's gradient in the latest step
diversity   the spread of the samples over that of the real data: the square root of the ratio of
            their total variances (summed over features). 1 is right, 0 is always the same sample

A failure is named when its measure is past its limit in three rows in sequence, since one row can
be chance. A generator often begins narrow, so samples count as collapsed only if they were wider
before, or are still narrow in the tenth row. docs/reliability.md shows the measures of sound runs.
A critic, whose loss has an estimate, may always be right: its scores have a slope everywhere.
What to try first depends on the loss, so `diagnose` takes it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.backend.float_errors import ignore_float_errors
from minigan.data import DataSource
from minigan.gan import Game, Loss, Minimax, Wasserstein
from minigan.gan.losses import PROBABILITY, SCORE
from minigan.nn import Sequential

MEASURES = ("mean", "std", "auc", "g_grad", "diversity")
#: What they say, in a few words.
LEGEND = {
    "auc": "how often D scores real above generated (0.5: chance)",
    "g_grad": "norm of G's gradient in the latest step",
    "diversity": "spread of the samples over the data's (1: right, 0: alike)",
}
SAMPLES = 1000  # of each kind
SEED = 0  # the same noise in each row, so that rows can be compared
ROWS = 3  # in sequence
PATIENCE = 10  # rows in which a generator can become wide
SATURATED = 0.999  # auc
VANISHED = 1e-4  # g_grad as a fraction of the largest in the run so far
NOTHING = 1e-8  # g_grad; below Adam's eps its steps shrink, too
COLLAPSED = 0.2  # diversity


@dataclass(frozen=True)
class Failure:
    """A failure of the latest rows of a history.

    Attributes:
        name: "D saturated", "G's gradient vanished" or "samples collapsed".
        measure: the measure that shows it, as a sentence.
        advice: what to try first.
    """

    name: str
    measure: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name} ({self.measure})"


@ignore_float_errors
def measure(gan: Game, data: DataSource) -> dict[str, float]:
    """The measures of a row, and the mean and standard deviation of all numbers of the samples.

    D scores samples of G. The other measures are of the samples that users get: those of the
    averaged G, if there is one. A D that reads labels is given those of the real samples, and for a
    generated sample the label that G was given.
    """
    to_host, D = gan.ops.to_host, gan.discriminator
    samples = to_host(gan.sample(SAMPLES, seed=SEED))  # (1000, features)
    condition = gan.draw_condition(SAMPLES, SEED)  # (1000, condition features), or None
    shown = samples  # (1000, features) to D
    if gan.average is not None:
        shown = to_host(gan.generator.predict(gan.draw_noise(SAMPLES, SEED), condition))
    real = to_host(data.reference(SAMPLES))  # (<= 1000, features)
    reads = D.condition_features > 0
    of_real = _scores(D, real, data.reference_labels(SAMPLES) if reads else None)
    of_fake = _scores(D, shown, condition if reads else None)
    gradient = to_host(gan.generator.parameters.grad).astype(np.float64)
    return {
        "mean": float(np.mean(samples, dtype=np.float64)),
        "std": float(np.std(samples, dtype=np.float64)),
        "auc": area_under_curve(of_real, of_fake),
        "g_grad": float(np.linalg.norm(gradient)),
        "diversity": relative_spread(samples, real),
    }


def _scores(D: Sequential, samples: Any, labels: Any) -> Any:
    """D's scores of samples (n, features) with their labels (n, classes) or None, on the host."""
    n = len(samples) // D.rows_multiple * D.rows_multiple  # D may score packs of samples
    return D.ops.to_host(D.predict(samples[:n], None if labels is None else labels[:n]))[:, 0]


def diagnose(rows: Sequence[dict[str, float]], loss: Loss | None = None) -> list[Failure]:
    """The failures that the last rows of a history show, [] if none.

    Args:
        rows: of `read_history`, oldest first. A measure that is NaN or missing was not taken.
        loss: of the game, for the advice; None if it is not known.
    """
    if len(rows) < ROWS:
        return []
    rows = [dict.fromkeys(MEASURES, math.nan) | row for row in rows]
    last, tops = rows[-ROWS:], {}
    for name in ("g_grad", "diversity"):
        tops[name] = max((row[name] for row in rows if row[name] >= 0.0), default=0.0)
    auc = float(np.min([row["auc"] for row in last]))  # NaN, if one of them is
    g_grad = float(np.max([row["g_grad"] for row in last]))
    diversity = float(np.max([row["diversity"] for row in last]))
    was_wide = tops["diversity"] > COLLAPSED
    found = {
        Failure(
            "D saturated",
            f"AUC of at least {auc:.4f} in the last {ROWS} rows",
            _for_a_saturated_d(loss),
        ): auc >= SATURATED and "estimate" not in last[0],
        Failure(
            "G's gradient vanished",
            f"norm of at most {g_grad:.2g} in the last {ROWS} rows; its largest "
            f"{tops['g_grad']:.2g}",
            _for_a_vanished_gradient(loss, never=tops["g_grad"] == 0.0),
        ): g_grad <= max(VANISHED * tops["g_grad"], NOTHING),
        Failure(
            "samples collapsed",
            f"at most {100 * diversity:.2g} % of the data's spread in the last {ROWS} rows",
            "G produces nearly identical samples: lower rates, a D that scores packs, noise of "
            "more dimensions",
        ): diversity <= COLLAPSED and (was_wide or len(rows) >= PATIENCE),
    }
    return [failure for failure, shown in found.items() if shown]


def _for_a_saturated_d(loss: Loss | None) -> str:
    """What to try if D is always right."""
    certain = loss is not None and loss.output != SCORE  # it can be: D's outputs are probabilities
    smoothing = ", label smoothing" if certain else ""
    return (
        "it recognises nearly every generated sample: a lower rate for D, a penalty on its slope "
        f"(R1), dropout in D{smoothing}"
    )


def _for_a_vanished_gradient(loss: Loss | None, never: bool) -> str:
    """What to try if G's gradient is gone, or was `never` there."""
    if never:
        return "it was 0 in every row: see whether G's half of a step passes D's gradient on to G"
    if isinstance(loss, Wasserstein):
        return "the critic is flat: a wider Clip, or a GradientPenalty instead"
    if loss is None:
        return "G learns nothing from D: a loss that does not saturate, a weaker D"
    if loss.output == SCORE:
        return "D is flat where the samples are: a weaker D, LeakyReLU in D instead of ReLU"
    other = ["the non-saturating loss"] if isinstance(loss, Minimax) else []
    other += ["logits instead of probabilities"] if loss.output == PROBABILITY else []
    return f"G learns nothing from D: {', '.join([*other, 'a weaker D'])}"


def shorten(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """The rows from which `diagnose` finds the same as from all of them."""
    last = rows[-PATIENCE:]
    earlier = rows[:-PATIENCE]
    tops = [
        max(earlier, key=lambda row: row[name] if row.get(name, -1.0) >= 0.0 else -1.0)  # not NaN
        for name in ("g_grad", "diversity")
        if earlier
    ]
    return [row for row in earlier if any(row is top for top in tops)] + last


def area_under_curve(real: Any, fake: Any) -> float:
    """P(a real score > a generated one) + P(equal) / 2; NaN if there are none.

    Args:
        real, fake: scores (n,) and (m,). This is Mann and Whitney's U / (n m).
    """
    if not len(real) or not len(fake):
        return math.nan
    ordered = np.sort(fake)
    below = np.searchsorted(ordered, real, "left")  # (n,) generated scores that are lower
    equal_or_below = np.searchsorted(ordered, real, "right")  # (n,)
    return float(np.mean(below + equal_or_below)) / (2 * len(fake))


def relative_spread(samples: Any, real: Any) -> float:
    """sqrt(total variance of samples (n, features) / that of real (m, features)); NaN without one.

    In float64, and finite for any finite samples.
    """
    if len(real) < 2 or len(samples) < 2:
        return math.nan
    own = np.var(np.asarray(samples, np.float64), axis=0).sum()
    truth = np.var(np.asarray(real, np.float64), axis=0).sum()
    return float(np.sqrt(own / truth)) if truth > 0.0 else math.nan
