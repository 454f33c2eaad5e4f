"""What can be explained: every layer, loss and optimizer, each with a tiny case and a derivation.

Formulas are not repeated here: they are the docstrings of the code that is explained. The
derivations are the short form of those in the book (docs/).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from minigan.errors import ConfigError
from minigan.nn import (
    ELU,
    SGD,
    Adam,
    Dropout,
    Layer,
    LeakyReLU,
    Linear,
    Optimizer,
    Pack,
    Parameters,
    ReLU,
    Sigmoid,
    Tanh,
    bce,
    bce_with_logits,
    mean_squared_error,
    softmax_cross_entropy,
)


@dataclass(frozen=True)
class LayerSubject:
    """A layer, bound to a batch of a few rows.

    Attributes:
        name: what it is called.
        layer: the one that is shown.
        rows, features: of its input.
        derivation: in brief, as lines of text.
        page: of the book, from the repository's root; "" if it has none.
        exercise: of `minigan ninja`; "" if there is none.
    """

    name: str
    layer: Layer
    rows: int = 4
    features: int = 3
    derivation: str = ""
    page: str = ""
    exercise: str = ""


@dataclass(frozen=True)
class LossSubject:
    """A loss of a few numbers.

    Attributes:
        kernels: the words of the backend that compute it.
        shape: of its first argument.
        probabilities: whether that must lie between 0 and 1.
        labels: whether its targets are class numbers, one for each row.
    """

    name: str
    function: Callable[[Any, Any], tuple[float, Any]]
    kernels: tuple[str, ...]
    derivation: str
    page: str
    exercise: str
    shape: tuple[int, int] = (4, 1)
    probabilities: bool = False
    labels: bool = False


@dataclass(frozen=True)
class OptimizerSubject:
    """An optimizer, and its published formula written out for one number.

    Attributes:
        make: parameters -> the optimizer that is shown.
        by_the_formula: (parameter, state, gradient, step from 1) -> the parameter after the
            step; `state` is a dictionary that it may keep things in.
        formula_text: what `by_the_formula` computes.
    """

    name: str
    make: Callable[[Parameters], Optimizer]
    by_the_formula: Callable[[float, dict[str, float], float, int], float]
    formula_text: str
    kernels: tuple[str, ...]
    derivation: str
    page: str
    exercise: str = field(default="")


Subject = LayerSubject | LossSubject | OptimizerSubject


def _sgd(p: float, state: dict[str, float], g: float, step: int) -> float:
    state["velocity"] = 0.9 * state.get("velocity", 0.0) + g
    return p - 0.1 * state["velocity"]


def _adam(p: float, state: dict[str, float], g: float, step: int) -> float:
    state["m"] = 0.5 * state.get("m", 0.0) + (1 - 0.5) * g
    state["v"] = 0.9 * state.get("v", 0.0) + (1 - 0.9) * g**2
    m_hat = state["m"] / (1 - 0.5**step)
    v_hat = state["v"] / (1 - 0.9**step)
    return float(p - 0.1 * m_hat / (v_hat**0.5 + 1e-8))


LINEAR = """\
L depends on W[k, l] through every Y[i, j] in which W[k, l] occurs. In
Y[i, j] = sum_m X[i, m] W[m, j] + b[j] it occurs if j = l, with factor X[i, k]. So
    dW[k, l] = sum_i X[i, k] dY[i, l]     that is  X^T dY
b[l] occurs in column l of every row, with factor 1: what was broadcast is summed.
    db[l]    = sum_i dY[i, l]             the sum of the rows of dY
X[k, l] occurs in every Y[k, j], with factor W[l, j]:
    dX[k, l] = sum_j dY[k, j] W[l, j]     that is  dY W^T"""

ELEMENTWISE = """\
Y[i, j] depends on X[i, j] alone, so of the chain rule's sum one term is left:
    dX[i, j] = dY[i, j] f'(X[i, j])
"""

RELU = (
    ELEMENTWISE
    + """\
f(x) = max(x, 0) has the slope 1 above zero and 0 below. Y > 0 exactly where X > 0, so the
output alone tells which. At x = 0 there is no derivative; 0 is as good as any."""
)

LEAKY_RELU = (
    ELEMENTWISE
    + """\
f has the slope 1 above zero and `slope` below. A factor > 0 keeps signs: Y > 0 exactly
where X > 0, so the output tells which slope it was."""
)

ELU_TEXT = (
    ELEMENTWISE
    + """\
Above zero f(x) = x has the slope 1. Below, f(x) = alpha (e^x - 1) has the slope alpha e^x:
the exponential that forward has taken anyway, so forward keeps it.
(It equals y + alpha too, but that difference loses its digits where y is near -alpha.)"""
)

SIGMOID = (
    ELEMENTWISE
    + """\
f(x) = 1 / (1 + e^-x). By the chain rule f'(x) = e^-x / (1 + e^-x)^2
     = [1 / (1 + e^-x)] [e^-x / (1 + e^-x)] = y (1 - y),
since e^-x / (1 + e^-x) = 1 - y. The output alone gives the slope, which is at most 1/4."""
)

TANH = (
    ELEMENTWISE
    + """\
f(x) = sinh x / cosh x, sinh' = cosh and cosh' = sinh. By the quotient rule
f'(x) = (cosh^2 x - sinh^2 x) / cosh^2 x = 1 - y^2."""
)

DROPOUT = (
    ELEMENTWISE
    + """\
For the mask that was drawn, f multiplies by mask[i, j], a constant: 0, or 1 / (1 - rate).
So f' is the mask itself, and backward must use the mask of its forward, not a new one.
The mean of the mask is (1 - rate) / (1 - rate) = 1: evaluation needs no correction."""
)

PACK = """\
A pack x_1 ... x_m is laid side by side, followed by (x_1 - c)^2 ... (x_m - c)^2 with c the
pack's mean, taken as a constant. x_i occurs in two places of the output: at place i with
slope 1, and at place m + i with slope 2 (x_i - c). Contributions add up:
    dx_i = dy_i + 2 (x_i - c) dy_(m+i)"""

BCE = """\
One term: l(p) = -(t log p + (1 - t) log(1 - p)).
    l'(p) = -t / p + (1 - t) / (1 - p) = (-t (1 - p) + (1 - t) p) / (p (1 - p))
          = (p - t) / (p (1 - p))
The mean of N terms holds each with the factor 1/N."""

BCE_WITH_LOGITS = """\
With p = sigmoid(x) the chain rule gives l'(p) p (1 - p), and the denominator of BCE cancels:
    dl/dx = (p - t) / (p (1 - p)) * p (1 - p) = p - t
The value: -log p = log(1 + e^-x) and -log(1 - p) = x + log(1 + e^-x), so
    l = (1 - t) x + log(1 + e^-x) = max(x, 0) - x t + log(1 + e^-|x|),
which never takes the exponential of a positive number.
The mean of N terms holds each with the factor 1/N."""

MEAN_SQUARED_ERROR = """\
One term: (y - t)^2 has the derivative 2 (y - t). The mean of N terms holds each with the
factor 1/N."""

SOFTMAX_CROSS_ENTROPY = """\
One row: l = log(sum_k e^(x_k)) - x_label. The first term's derivative by x_j is
    e^(x_j) / sum_k e^(x_k) = softmax(x)_j,
the second's is -1 at the label and 0 elsewhere. So dl/dx = softmax(x) - onehot, whose
entries add up to 0. The mean of B rows holds each with the factor 1/B."""

SGD_TEXT = """\
Near p the loss is L(p + s) = L(p) + g . s, and falls fastest for s along -g (Cauchy and
Schwarz): s = -lr g. Momentum adds up the gradients, each weighed by momentum^(its age); under
a constant g the velocity tends to g / (1 - momentum)."""

ADAM = """\
Unrolled, m_t = (1 - beta1) sum_i beta1^(t - i) g_i. If all g_i had the mean g, that is
    g (1 - beta1) (1 + beta1 + ... + beta1^(t-1)) = g (1 - beta1^t):
too small by the factor 1 - beta1^t, by which it is divided. v_t likewise, with g^2.
Scaling all gradients scales m^ and sqrt(v^) alike: the step is about lr, whatever the loss."""

SUBJECTS: tuple[Subject, ...] = (
    LayerSubject("Linear", Linear(2, 3), 4, 2, LINEAR, "docs/layers/linear.md", "ex01_linear.py"),
    LayerSubject(
        "ReLU", ReLU(), derivation=RELU, page="docs/layers/relu.md", exercise="ex02_relu.py"
    ),
    LayerSubject(
        "LeakyReLU", LeakyReLU(0.2), derivation=LEAKY_RELU, page="docs/layers/leaky_relu.md"
    ),
    LayerSubject(
        "ELU", ELU(), derivation=ELU_TEXT, page="docs/layers/elu.md", exercise="ex05_elu.py"
    ),
    LayerSubject(
        "Sigmoid",
        Sigmoid(),
        derivation=SIGMOID,
        page="docs/layers/sigmoid.md",
        exercise="ex03_sigmoid.py",
    ),
    LayerSubject(
        "Tanh", Tanh(), derivation=TANH, page="docs/layers/tanh.md", exercise="ex04_tanh.py"
    ),
    LayerSubject(
        "Dropout",
        Dropout(0.5),
        derivation=DROPOUT,
        page="docs/layers/dropout.md",
        exercise="ex06_dropout.py",
    ),
    LayerSubject("Pack", Pack(2), 4, 2, PACK, "docs/layers/pack.md", "ex11_pack.py"),
    LossSubject(
        "bce",
        bce,
        ("bce_loss", "bce_gradient"),
        BCE,
        "docs/losses/bce.md",
        "ex08_bce.py",
        probabilities=True,
    ),
    LossSubject(
        "bce_with_logits",
        bce_with_logits,
        ("bce_with_logits_loss", "bce_with_logits_gradient"),
        BCE_WITH_LOGITS,
        "docs/losses/bce_with_logits.md",
        "ex09_bce_with_logits.py",
    ),
    LossSubject(
        "mean_squared_error",
        mean_squared_error,
        ("mean_squared_error_loss", "mean_squared_error_gradient"),
        MEAN_SQUARED_ERROR,
        "docs/losses/mean_squared_error.md",
        "ex07_mean_squared_error.py",
    ),
    LossSubject(
        "softmax_cross_entropy",
        softmax_cross_entropy,
        ("softmax_cross_entropy",),
        SOFTMAX_CROSS_ENTROPY,
        "docs/losses/softmax_cross_entropy.md",
        "ex10_softmax_cross_entropy.py",
        shape=(3, 4),
        labels=True,
    ),
    OptimizerSubject(
        "SGD",
        lambda parameters: SGD(parameters, lr=0.1, momentum=0.9),
        _sgd,
        "lr 0.1, momentum 0.9",
        ("sgd",),
        SGD_TEXT,
        "docs/optimizers/sgd.md",
    ),
    OptimizerSubject(
        "Adam",
        lambda parameters: Adam(parameters, lr=0.1, betas=(0.5, 0.9)),
        _adam,
        "lr 0.1, betas 0.5 and 0.9, eps 1e-8",
        ("adam", "_adam_scalars"),
        ADAM,
        "docs/optimizers/adam.md",
    ),
)


def find_subject(name: str) -> Subject:
    """The subject of that name, in any case; `ConfigError` names the nearest ones."""
    by_name = {subject.name.casefold(): subject for subject in SUBJECTS}
    if name.casefold() in by_name:
        return by_name[name.casefold()]
    near = difflib.get_close_matches(name.casefold(), by_name, n=1)
    meant = f"did you mean {by_name[near[0]].name}?" if near else "choose from"
    choice = "" if near else " " + ", ".join(subject.name for subject in SUBJECTS)
    raise ConfigError(f"nothing here is called {name!r}; {meant}{choice}")
