"""What each word of the vocabulary costs: operations and bytes, by the sizes of its arguments.

The costs are those of the formulas, not of any backend's way to compute them, so that two
backends can be held against the same count. The conventions:

* An addition, subtraction, multiplication, division, negation, comparison, minimum, maximum,
  absolute value, square root, exponential, logarithm, sine, cosine or hyperbolic tangent is one
  operation. To choose by a comparison is free, once it is made.
* A product of (M, K) with (K, N) is 2 M N K operations, in each member of a population.
* A sum of n numbers is n operations.
* Not counted: numbers of which a call has a handful, such as a learning rate; and the integer
  arithmetic behind random bits.
* Bytes are those of the arrays that a word reads plus those of the arrays it writes, however
  often the kernel passes over them. An array that is updated in place is read and written, and
  counts twice. Of an array that rows are taken from, only the rows taken count.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from minigan.backend.base import Backend
from minigan.errors import ConfigError

PRODUCTS = "products"
ELEMENTWISE = "elementwise"
RANDOM = "random numbers"
COPIES = "data and copies"
OPTIMIZER = "optimizer"
LOSSES = "losses"
#: The kinds of words, in the order of a table.
KINDS = (PRODUCTS, ELEMENTWISE, RANDOM, COPIES, OPTIMIZER, LOSSES)

Arguments: TypeAlias = Mapping[str, Any]


class Cost(NamedTuple):
    """What one call costs."""

    flops: int  # operations
    bytes: int  # read and written


class Rule(NamedTuple):
    """The kind of a word, and the cost of a call of it with given arguments."""

    kind: str
    cost: Callable[[Arguments], Cost]


def vocabulary() -> dict[str, tuple[str, ...]]:
    """Every word of `Backend`, with the names of its arguments in order."""
    return {
        word: tuple(inspect.signature(function).parameters)[1:]  # without self
        for word, function in vars(Backend).items()
        if not word.startswith("_") and inspect.isfunction(function)
    }


def cost(word: str, arguments: Arguments) -> Cost:
    """What a call of `word` costs.

    Args:
        word: of the vocabulary.
        arguments: by name, as `base.Backend` calls them; those with a default may be missing.

    Returns:
        Operations and bytes, as the head of this file counts them.

    Raises:
        ConfigError: there is no such word.
    """
    return _rule(word).cost(arguments)


def kind(word: str) -> str:
    """To which of `KINDS` a word belongs; `ConfigError` if there is no such word."""
    return _rule(word).kind


def _rule(word: str) -> Rule:
    try:
        return COSTS[word]
    except KeyError:
        raise ConfigError(f"no cost is known of a word {word!r}") from None


# -- how costs are put together ---------------------------------------------------------


def _rules(kind: str, **words: tuple[float | Callable[[Arguments], float], str, str]) -> Any:
    """Rules of one kind: word = (operations for each number of it, what it reads, and writes).

    Reads and writes are names of arguments with spaces between. The operations are for each
    number of the first array that is written; a function of the arguments can give them.
    """

    def rule(each: float | Callable[[Arguments], float], reads: str, writes: str) -> Rule:
        read, written = reads.split(), writes.split()

        def of_call(a: Arguments) -> Cost:
            per_number = each(a) if callable(each) else each
            flops = math.ceil(per_number * a[written[0]].size)
            return Cost(flops, sum(_bytes(a[name]) for name in [*read, *written]))

        return Rule(kind, of_call)

    return {word: rule(*how) for word, how in words.items()}


def _bytes(value: Any) -> int:
    """Of an array; a number, which travels with the call, has none."""
    return int(getattr(value, "nbytes", 0))


def _free(a: Arguments) -> Cost:
    return Cost(0, 0)


def _fresh(a: Arguments) -> Cost:
    return Cost(0, math.prod(a["shape"]) * np.dtype(a["dtype"]).itemsize)


def _from_host(a: Arguments) -> Cost:
    return Cost(0, _bytes(a["X"]) + np.size(a["X"]) * np.dtype(a["dtype"]).itemsize)


def _to_host(a: Arguments) -> Cost:
    return Cost(0, 2 * _bytes(a["X"]))


def _matmul(a: Arguments) -> Cost:
    inner = a["A"].shape[-2 if a.get("transpose_A", False) else -1]  # K
    return Cost(2 * a["out"].size * inner, sum(_bytes(a[name]) for name in ("A", "B", "out")))


def _of_input(per_number: int, per_result: int) -> Callable[[Arguments], Cost]:
    """Of a word that makes few numbers `out` of many, `X`."""

    def of_call(a: Arguments) -> Cost:
        flops = per_number * a["X"].size + per_result * a["out"].size
        return Cost(flops, _bytes(a["X"]) + _bytes(a["out"]))

    return of_call


def _loss(per_number: int, of: str) -> Callable[[Arguments], Cost]:
    """Of a mean loss: for each number of the argument `of`, the last addition included."""

    def of_call(a: Arguments) -> Cost:
        flops = per_number * a[of].size + a["out"].size
        return Cost(flops, sum(_bytes(a[name]) for name in (of, "targets", "out")))

    return of_call


def _softmax_cross_entropy(a: Arguments) -> Cost:
    """A logit: maximum, subtract, exp, add, divide, subtract, multiply; a row: log, -, add."""
    flops = 7 * a["logits"].size + 3 * a["labels"].size
    return Cost(flops, sum(_bytes(a[name]) for name in ("logits", "labels", "loss", "dlogits")))


def _record_losses(a: Arguments) -> Cost:
    """Add, compare, count."""
    return Cost(3 * a["losses"].size, _bytes(a["losses"]) + 2 * _bytes(a["totals"]))


def _take(per_number: int) -> Callable[[Arguments], Cost]:
    def of_call(a: Arguments) -> Cost:
        taken = a["out"].size * a["X"].itemsize
        return Cost(per_number * a["out"].size, taken + _bytes(a["index"]) + _bytes(a["out"]))

    return of_call


def _tick(a: Arguments) -> Cost:
    return Cost(0, 2 * _bytes(a["clock"]))


def _adam(a: Arguments) -> Cost:
    """v: 3;  sqrt, + small, divide, times step, subtract: 5;  m: 2;  decay of the weights: 1.

    Without momentum m is neither read nor written.
    """
    momentum, decays = a["beta1"] != 0.0, a["weight_decay"] != 0.0
    flops = (8 + 2 * momentum + decays) * a["data"].size
    streams = 2 * _bytes(a["data"]) + _bytes(a["grad"]) + 2 * _bytes(a["v"])
    return Cost(flops, streams + 2 * momentum * _bytes(a["m"]) + _bytes(a["clock"]))


def _fill_normal(a: Arguments) -> Cost:
    """A pair: 1 - u, log, times -2, sqrt, times 2 pi, cos, sin: 7; times r, std, + mean: 3 each."""
    return Cost(13 * -(-a["out"].size // 2), _bytes(a["out"]))


# -- the table ----------------------------------------------------------------------------

COSTS: dict[str, Rule] = {
    # memory, and the word that notes a step down
    "empty": Rule(COPIES, _free),
    "zeros": Rule(COPIES, _fresh),
    "asarray": Rule(COPIES, _free),
    "from_host": Rule(COPIES, _from_host),
    "to_host": Rule(COPIES, _to_host),
    "capture": Rule(COPIES, _free),
    **_rules(COPIES, copy=(0, "X", "out"), fill=(0, "", "out")),
    "take_rows": Rule(COPIES, _take(0)),
    "take_pixels": Rule(COPIES, _take(2)),  # subtract, multiply
    # linear algebra
    "matmul": Rule(PRODUCTS, _matmul),
    **_rules(ELEMENTWISE, add=(1, "A B", "out"), add_rows=(1, "X row", "out")),
    "sum_rows": Rule(ELEMENTWISE, _of_input(1, 0)),
    # activations
    **_rules(
        ELEMENTWISE,
        relu=(1, "X", "out"),  # maximum
        relu_backward=(1, "dY Y", "out"),  # compare
        leaky_relu=(2, "X", "out"),  # multiply, maximum
        leaky_relu_backward=(2, "dY Y", "out"),  # multiply, compare
        # compare, exp, subtract; and multiply by alpha
        elu=(lambda a: 3 + (a["alpha"] != 1.0), "X", "out slope"),
        elu_backward=(1, "dY slope", "out"),
        sigmoid=(4, "X", "out"),  # minimum, exp, add, divide
        sigmoid_backward=(3, "dY Y", "out"),
        tanh=(1, "X", "out"),
        tanh_backward=(3, "dY Y", "out"),
    ),
    # dropout and packing
    **_rules(
        ELEMENTWISE,
        dropout=(1, "X mask", "out"),
        dropout_backward=(1, "dY mask", "out"),
        pack_deviations=(2, "X mean", "out"),
        pack_deviations_backward=(3, "dY X mean", "out"),
    ),
    "pack_mean": Rule(ELEMENTWISE, _of_input(1, 1)),
    # losses
    # 1 - p; log, hold: twice; subtract, multiply, add; and add
    "bce_loss": Rule(LOSSES, _loss(9, "P")),
    # maximum, x t, subtract, |x|, negate, exp, log, add; and add
    "bce_with_logits_loss": Rule(LOSSES, _loss(9, "logits")),
    "mean_squared_error_loss": Rule(LOSSES, _loss(3, "Y")),  # subtract, square; and add
    **_rules(
        LOSSES,
        bce_gradient=(6, "P targets", "out"),  # p - t, 1 - p, times p, hold, times n, divide
        bce_with_logits_gradient=(6, "logits targets", "out"),  # a sigmoid, subtract, divide by n
        mean_squared_error_gradient=(2, "Y targets", "out"),
        negate=(1, "X", "out"),
        scale=(1, "X", "out"),
    ),
    "softmax_cross_entropy": Rule(LOSSES, _softmax_cross_entropy),
    "record_losses": Rule(LOSSES, _record_losses),
    "record_finite": Rule(LOSSES, _of_input(1, 0)),
    # optimizers
    "tick": Rule(OPTIMIZER, _tick),
    "adam": Rule(OPTIMIZER, _adam),
    **_rules(
        OPTIMIZER,
        clip=(2, "X", "out"),  # maximum, minimum
        # momentum u + g, and p - rate u
        sgd=(4, "data grad velocity clock", "data velocity"),
        # d a + (1 - d) p, as a + (1 - d) (p - a)
        moving_average=(3, "data average clock", "average clock"),
    ),
    # random numbers
    **_rules(
        RANDOM,
        fill_uniform=(2, "", "out"),  # times (high - low), + low
        fill_dropout_mask=(2, "", "out"),  # compare, scale
        fill_permutation=(0, "", "out"),  # only compares
    ),
    "fill_normal": Rule(RANDOM, _fill_normal),
}
