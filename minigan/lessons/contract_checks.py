"""Check a layer whose formulas are right for one batch: what it declares, and how a GAN uses it.

A layer can have right formulas and still break `in_place`, `needs`, `keeps_signs` or `capturable`:
other layers write over its arrays, it writes over theirs, and its calls are replayed without it.
And it must be right under all the conditions that conditions.py lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from minigan.backend import Array
from minigan.backend.base import may_be_captured
from minigan.lessons.conditions import AGREE, PROVED, PROVED_ROWS
from minigan.lessons.example_numbers import condition, normal
from minigan.lessons.trials import (
    Proved,
    Results,
    at_zero,
    by_differences,
    compare,
    different,
    prove,
    run,
)
from minigan.nn import Dropout, Layer, LayerPass, LeakyReLU, Linear, Sequential, Sigmoid

ADVICE = """\
If the gradients above agree, the formulas are right. Suspect what the layer
declares: `needs` (what backward reads of Y), `in_place` (then backward may not
read X, nor forward after it has written Y), `capturable` (then it computes with
self.ops only, not NumPy, and keeps everything in arrays from `binding.empty`),
`mixes_rows`, `mixes_rows_in_evaluation`. Other causes: a result that is not
written into self.Y or self.dX, an array or number of another dtype, a return
before everything is written, signs of `kinks` that change where no kink is.
(Errors are relative to the largest number of a result.)"""
NOT_CAPTURED = """\
Its pass does not say `capturable = True`, so a GAN runs its step each time
instead of replaying a recorded one, and runs G once for each half of a step."""


#: What is tried: "for 1 row", the proved "for 4 rows", and a function that returns what is wrong,
#: or "", or None where the trial does not apply.
Trial = tuple[str, str, Callable[[], str | None]]


def check_contract(
    layer: Layer, X: Array, dY: Array, seed: int
) -> tuple[list[tuple[str, str]], list[str]]:
    """Try a layer under other conditions, between others, and in the ways that a GAN uses it.

    Args:
        layer: the definition.
        X, dY: (rows, features) and (rows out, features out) for which its gradients are right.
        seed: of the network and of other numbers.

    Returns:
        What was tried, each with what is wrong there or ""; and remarks.
    """
    proved = Proved(layer, X, dY, seed)
    right, treats = run(proved, AGREE[0])
    again = compare(proved, AGREE[0], right)
    trials: list[Trial] = [
        ("in how it treats its arrays", "in its formulas", lambda: treats),
        ("when it is made again", "at first", lambda: "" if treats else again),
    ]
    if not treats and not again:  # which would show under every condition
        trials += _conditions(proved, right)
    captured = may_be_captured(proved.network().bind(len(X)).layers[0], LayerPass)
    if captured:
        trials.append(("when replayed", "when run", lambda: _replayed(proved)))
    found = [(name, unlike, _outcome(check)) for name, unlike, check in trials]
    remarks = [f"Right {unlike}, wrong {name}: {off}." for name, unlike, off in found if off]
    remarks += [ADVICE] if remarks else []
    lines = [(name, off) for name, _, off in found if off is not None]
    return lines, remarks + ([] if captured else [NOT_CAPTURED])


def _outcome(check: Callable[[], str | None]) -> str | None:
    try:
        return check()
    except Exception as error:  # whatever the layer raises
        return str(error).partition("\n")[0] or type(error).__name__


def _conditions(proved: Proved, right: Results) -> Iterator[Trial]:
    """The two lists of conditions.py, and what else a layer must keep between other layers."""
    dependent = {train: _dependent(proved, train) for train in (True, False)}
    for way in AGREE[1:]:
        if not (dependent[way.train] and (way.alone or way.copies > 1)):
            name, unlike = proved.sentence(way.name), proved.sentence(way.unlike)
            yield name, unlike, partial(compare, proved, way, right)
    for other in (*PROVED, *(PROVED_ROWS if dependent[True] else ())):
        name, unlike = proved.sentence(other.name), proved.sentence(other.unlike)
        yield name, unlike, partial(prove, proved, other)
    yield "where X is 0", "elsewhere", partial(at_zero, proved)
    for before, after in (((), (Dropout(0.3),)), ((LeakyReLU(0.2),), (Sigmoid(),))):
        layers: tuple[Layer, ...] = (*before, proved.layer, *after)
        names = ("it" if one is proved.layer else type(one).__name__ for one in layers)
        yield f"in Linear, {', '.join(names)}", "alone", partial(_between_others, proved, layers)
    yield "for some of the rows", "for all rows", partial(_in_parts, proved)


def _dependent(proved: Proved, train: bool) -> bool:
    """Whether rows depend on each other, as the layer declares, or on random numbers."""
    net, X = proved.network(), proved.X
    C = condition(net, len(X))
    first = net.forward(X, train=train, condition=C).copy()
    changes = different(first, net.forward(X, train=train, condition=C)) != ""
    mixes = net.mixes_rows if train else proved.layer.mixes_rows_in_evaluation
    return mixes or changes or net.streams[0].position > 0


def _between_others(proved: Proved, layers: tuple[Layer, ...]) -> str:
    """The gradients of a network whose layers share memory."""
    X = normal(proved.seed, "X between others", proved.X.shape)
    first = Linear(X.shape[1], X.shape[1])
    net, without_others = (
        Sequential(first, *some, seed=proved.seed, dtype="float64")
        for some in (layers, (proved.layer,))
    )
    C = condition(net, len(X))
    Y = without_others.forward(X, condition=C)
    if not np.isfinite(Y).all():  # a logarithm gets positive numbers alone
        X = np.abs(X) + 0.1
        for name in ("0.weight", "0.bias"):
            view = net.parameters.named()[name]
            view[:] = np.abs(view) + 0.1
    return by_differences(net, X)


def _in_parts(proved: Proved) -> str | None:
    """The later rows alone, where a pass can be cut: backward, then forward."""
    X, dY = proved.X, proved.dY
    net = proved.network()
    whole, cut = net.bind(len(X), condition=condition(net, len(X))), net.rows_multiple
    if not whole.divisible or whole.output_shape[0] != len(X) or cut == len(X):
        return None
    part = whole.part(cut, len(X))  # before any forward, as a GAN cuts it
    whole.forward(X)
    dX = np.array(whole.backward(dY.copy()))  # (rows, features)
    whole.hold(True)
    Y = whole.forward(X).copy()
    off = different(part.backward(dY[cut:].copy()), dX[cut:])
    part.forward(X[cut:])
    return off or different(whole.Y, Y)


def _replayed(proved: Proved) -> str:
    """What is wrong with a recorded forward and backward when it is replayed at other inputs."""
    net = proved.network()
    bound = net.bind(len(proved.X), condition=condition(net, len(proved.X)))
    X, dY = proved.X.copy(), proved.dY.copy()  # (rows, features) and (rows out, features out)

    def step() -> None:
        bound.forward(X, train=True)
        bound.backward(dY)

    def results() -> list[Array]:
        return [array.copy() for array in (bound.Y, bound.layers[0].dX, net.parameters.grad)]

    step()  # the first one allocates memory
    bound.hold(True)
    replay = net.ops.capture(step)
    for other in (np.roll(proved.X, 1, axis=0), -proved.X, 10.0 * proved.X):
        X[:] = other
        dY *= 0.7
        replay()
        replayed = results()
        step()
        right = results()
        if all(np.isfinite(array).all() for array in right):
            off = next(filter(None, map(different, replayed, right)), "")
            if off:
                return off
    return ""
