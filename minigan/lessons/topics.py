"""What can be explained: every layer, loss and optimizer, and games, with a derivation in brief.

Formulas are not repeated here: they are in the docstrings of the code that is explained. The full
derivations are in the book (docs/).
"""

from __future__ import annotations

import itertools
import re

import minigan
import minigan.nn as nn
from minigan.backend import Array
from minigan.errors import ConfigError
from minigan.lessons.explanation import LossTopic, OptimizerTopic, Topic
from minigan.lessons.game_topics import GAMES
from minigan.lessons.layer_topics import LAYERS
from minigan.lessons.lookup import find
from minigan.text import wrapped


def _sgd(p: Array, state: dict[str, Array], g: Array, step: int) -> Array:
    state["velocity"] = 0.9 * state.get("velocity", 0.0) + g
    return p - 0.1 * state["velocity"]


def _rmsprop(p: Array, state: dict[str, Array], g: Array, step: int) -> Array:
    state["v"] = 0.9 * state.get("v", 0.0) + (1 - 0.9) * g**2
    return p - 0.1 * g / (state["v"] ** 0.5 + 1e-8)


def _adam(p: Array, state: dict[str, Array], g: Array, step: int) -> Array:
    state["m"] = 0.5 * state.get("m", 0.0) + (1 - 0.5) * g
    state["v"] = 0.9 * state.get("v", 0.0) + (1 - 0.9) * g**2
    m_hat = state["m"] / (1 - 0.5**step)
    v_hat = state["v"] / (1 - 0.9**step)
    return p - 0.1 * m_hat / (v_hat**0.5 + 1e-8)


TOPICS: tuple[Topic, ...] = (
    *LAYERS,
    LossTopic(
        nn.bce,
        ("P", "t"),
        aliases=("binary cross-entropy", "BCELoss"),
        page="losses/bce",
        derivation="""\
One term: l(p) = -(t log p + (1 - t) log(1 - p)).
    l'(p) = -t / p + (1 - t) / (1 - p) = (-t (1 - p) + (1 - t) p) / (p (1 - p))
          = (p - t) / (p (1 - p))
The mean of N terms holds each with the factor 1/N.""",
    ),
    LossTopic(
        nn.bce_with_logits,
        ("logits", "t"),
        aliases=("logits", "BCEWithLogitsLoss"),
        page="losses/bce_with_logits",
        derivation="""\
With p = sigmoid(x) the chain rule gives l'(p) p (1 - p), and the denominator of
BCE cancels:
    dl/dx = (p - t) / (p (1 - p)) * p (1 - p) = p - t
The value: -log p = log(1 + e^-x) and -log(1 - p) = x + log(1 + e^-x), so
    l = (1 - t) x + log(1 + e^-x) = max(x, 0) - x t + log(1 + e^-|x|),
which never takes the exponential of a positive number.
The mean of N terms holds each with the factor 1/N.""",
    ),
    LossTopic(
        nn.mean_squared_error,
        ("Y", "t"),
        aliases=("mse", "squared error", "MSELoss"),
        page="losses/mean_squared_error",
        derivation="""\
One term: (y - t)^2 has the derivative 2 (y - t). The mean of N terms holds each
with the factor 1/N.""",
    ),
    LossTopic(
        nn.softmax_cross_entropy,
        ("logits", "labels"),
        shape=(3, 4),
        aliases=("softmax", "cross-entropy", "CrossEntropyLoss"),
        page="losses/softmax_cross_entropy",
        derivation="""\
One row: l = log(sum_k e^(x_k)) - x_label. The first term's derivative by x_j is
    e^(x_j) / sum_k e^(x_k) = softmax(x)_j,
the second's is -1 at the label and 0 elsewhere. So dl/dx = softmax(x) - onehot,
whose entries add up to 0. The mean of B rows holds each with the factor 1/B.""",
    ),
    OptimizerTopic(
        nn.SGD,
        {"lr": 0.1, "momentum": 0.9},
        _sgd,
        aliases=("gradient descent", "momentum"),
        page="optimizers/sgd",
        derivation="""\
Near p the loss is L(p + s) = L(p) + g . s, and falls fastest for s along -g
(Cauchy and Schwarz): s = -lr g. Momentum adds up the gradients, each weighed by
momentum^(its age); under a constant g the velocity tends to g / (1 - momentum).""",
    ),
    OptimizerTopic(
        nn.RMSprop,
        {"lr": 0.1, "alpha": 0.9, "eps": 1e-8},
        _rmsprop,
        page="optimizers/rmsprop",
        derivation="""\
Unrolled, v_t = (1 - alpha) sum_i alpha^(t - i) g_i^2: a mean of recent squares,
whose root is the usual size of g. Divided by it, a step is about lr, whatever
the loss is multiplied by. v starts at 0, so under a constant g it is too small
by the factor 1 - alpha^t, and the first step is lr / sqrt(1 - alpha). Adam with
beta1 = 0 corrects that.""",
    ),
    OptimizerTopic(
        nn.Adam,
        {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-8},
        _adam,
        helpers=("_adam_scalars",),
        page="optimizers/adam",
        derivation="""\
Unrolled, m_t = (1 - beta1) sum_i beta1^(t - i) g_i. If all g_i had the mean g,
that is
    g (1 - beta1) (1 + beta1 + ... + beta1^(t-1)) = g (1 - beta1^t):
too small by the factor 1 - beta1^t, by which it is divided. v_t likewise, with
g^2. Scaling all gradients scales m^ and sqrt(v^) alike: the step is about lr,
whatever the loss.""",
    ),
    *GAMES,
)


def find_topic(name: str) -> Topic:
    """The topic of that name or alias.

    Raises:
        ConfigError: there is none; the message suggests the nearest one, or where to read about
            another part of minigan.
    """
    if name in minigan.__all__ and name not in {topic.name for topic in TOPICS}:
        raise ConfigError(f"there are no live numbers of {name}; read help(minigan.{name})")
    known = {word: topic for topic in TOPICS for word in (topic.name, *topic.aliases)}
    return find(name, known, "topic", "minigan explain")


def list_topics() -> str:
    """What each topic is, without its sources, below the name of its group."""
    parts = []
    for group, topics in itertools.groupby(TOPICS, lambda topic: topic.group):
        lines = [group]
        for topic in topics:
            short = re.sub(r" \([^()]* [12]\d{3}[^()]*\)|, and its gradient", "", topic.summary)
            lines.append(wrapped(f"  {topic.name:<23}{short}", 25))
        parts.append("\n".join(lines))
    return "\n\n".join(parts)
