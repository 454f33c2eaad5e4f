"""The conditions under which a layer must be right, as two lists.

Finite differences prove a layer for one small batch of numbers of about 1. A GAN asks for more.
`PROVED` lists other inputs, for which differences prove the layer again. `AGREE` lists the ways of
using a layer that need no second proof, since the right results follow from the proved ones: a
thousand rows, float32, a population, gradients of another size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from minigan.backend import Array
from minigan.lessons.example_numbers import normal
from minigan.nn import Sequential
from minigan.nn.passes import Pass

SMALLEST, LARGEST = 1e-3, 20.0  # of |X|
COPIES = 250  # of the proved rows, in a large batch
WIDER = 32  # times the proved features


# -- proved again, by differences -----------------------------------------------------------


@dataclass(frozen=True)
class Input:
    """An input for which a layer is proved again."""

    name: str  # "for 1 row": where it could be wrong; filled in by `Proved.sentence`
    unlike: str  # "for 4 rows": where it is right
    X: Callable[[Array], Array] = lambda X: X  # of the proved X (B, in)
    parameters: Callable[[Array], Array] = lambda data: data  # (n,) of the proved ones
    train: bool = True


def _of_all_sizes(X: Array) -> Array:
    """(5 B, in) numbers whose logarithms are evenly spaced, in no order."""
    order = normal(0, "sizes", (5 * len(X), X.shape[1])).argsort(axis=None)  # (5 B in,)
    share = (order + 0.5) / order.size  # of the way from the smallest to the largest
    return (SMALLEST * (LARGEST / SMALLEST) ** share).reshape(-1, X.shape[1])


def _repeated(X: Array, rows: int, features: int) -> Array:
    """The proved numbers many times, each time a little larger, so that no two are equal."""
    sizes = np.linspace(0.5, 1.5, rows * features).reshape(rows, 1, features, 1)
    return (sizes * X[:, None, :]).reshape(rows * len(X), features * X.shape[1])


def _of_both_signs(data: Array) -> Array:
    return np.where(np.arange(data.size) % 2, 1.0, -1.0) * (0.5 + np.abs(data))


PROVED = (
    Input("in evaluation", "in training", train=False),
    Input("for X from -20 to 0", "for X of about 1", lambda X: -_of_all_sizes(X)),
    Input("for X from 0 to 20", "for X of about 1", _of_all_sizes),
    Input("for 1 feature", "for {features}", lambda X: X[:, :1]),
    Input("for {wide}", "for {features}", lambda X: _repeated(X, 1, WIDER)),
    Input("for parameters of both signs", "for the first parameters", parameters=_of_both_signs),
)
#: In place of the rows of `AGREE`, for layers that mix rows or draw random numbers.
PROVED_ROWS = (
    Input("for {fewest}", "for {rows}", lambda X: X[:1]),
    Input("for {many}", "for {rows}", lambda X: _repeated(X, COPIES, 1)),
)


# -- compared with what was proved ----------------------------------------------------------

#: (network, its pass, X, dY): something that the network does in between.
Event = Callable[[Sequential, Pass, Array, Array], None]


def _nothing(net: Sequential, bound: Pass, X: Array, dY: Array) -> None: ...


def _other_batches(net: Sequential, bound: Pass, X: Array, dY: Array) -> None:
    kept = X.copy()
    X[...] = 0.5 * np.roll(X, 1, axis=-2)  # in the same array, as a GAN's batches are
    for train in (True, False, True):
        bound.forward(X, train=train)
        bound.backward(dY.copy())
    X[...] = kept


def _another_pass(net: Sequential, bound: Pass, X: Array, dY: Array) -> None:
    other = net.bind(X.shape[-2], own_gradients=True, keep_buffers=True)
    other.forward(0.5 * np.roll(X, 1, axis=-2))


def _backward_before(net: Sequential, bound: Pass, X: Array, dY: Array) -> None:
    bound.backward(0.5 * np.roll(dY, 1, axis=-2))


@dataclass(frozen=True)
class Condition:
    """A way of using a layer, whose right results follow from the proved ones."""

    name: str  # as of `Input`
    unlike: str
    copies: int = 1  # of the proved rows, in one batch
    alone: bool = False  # each row, or group of rows that stay together, is a batch of its own
    members: int = 1  # of a population; each must be what a single network of its seed is
    dtype: str = "float64"
    tolerance: float = 1e-9  # relative to the largest number of a result
    train: bool = True
    dY_times: float = 1.0
    gaps: str = ""  # "X" or "dY": it is every second column of an array
    moved: bool = False  # the pass was made, and has run, when the parameters were others
    before: Event = _nothing  # before forward
    between: Event = _nothing  # between forward and backward
    wanted: Mapping[str, bool] = field(default_factory=dict)  # options of backward


AGREE = (
    Condition("when it is made again", "at first"),
    Condition("in float32", "in float64", dtype="float32", tolerance=1e-3),
    Condition("for {fewest} at a time", "for {rows} at once", alone=True),
    Condition("for {many}", "for {rows}", copies=COPIES),
    Condition("in a population", "in a single network", members=2),
    Condition("for a large dY", "for dY of about 1", dY_times=2.0**20),
    Condition("for a small dY", "for dY of about 1", dY_times=2.0**-20),
    Condition("for a dY of zeros", "for dY of about 1", dY_times=0.0),
    Condition("for an X with gaps in memory", "for a contiguous X", gaps="X"),
    Condition("for a dY with gaps in memory", "for a contiguous dY", gaps="dY"),
    Condition("for dX alone", "for all gradients", wanted={"parameter_grads": False}),
    Condition("for the parameters alone", "for all gradients", wanted={"input_grad": False}),
    Condition("in a second backward", "in the first", between=_backward_before),
    Condition("after other batches", "in the first forward", before=_other_batches),
    Condition(
        "in evaluation for {fewest} at a time", "for {rows} at once", alone=True, train=False
    ),
    Condition("in evaluation after training", "in a new pass", train=False, before=_other_batches),
    Condition("when its parameters have changed", "before", before=_other_batches, moved=True),
    Condition("when another pass runs in between", "alone", between=_another_pass),
)
