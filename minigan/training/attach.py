"""A meter put wherever a game and its data hold their backend, and taken away again.

It notes every call, and beside it which layer runs, and which way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from minigan.backend import Backend
from minigan.backend.meter import Meter, Where
from minigan.data import DataSource
from minigan.gan import Game, PenaltyPass


@contextlib.contextmanager
def attached(meter: Meter, gan: Game, data: DataSource) -> Iterator[None]:
    """Inside, what `gan.step()` and `data.next_batch` ask of their backend goes through `meter`.

    Only attributes of these objects are replaced, no class and no function of a module; at the
    end each is as it was.

    Args:
        meter: of the same backend.
        gan: bound to its batch, and not captured.
        data: its real samples.
    """
    stand_in: Backend = meter  # a type checker holds a meter to it
    with contextlib.ExitStack() as stack:

        def label(owner: Any, method: str, where: Where, names: dict[int, str]) -> None:
            """What is called while `method` runs is called at `where`."""
            original = getattr(owner, method)

            def labelled(*args: Any, **settings: Any) -> Any:
                with meter.at(where, names):
                    return original(*args, **settings)

            replace(stack, owner, method, labelled)

        def measure(owner: Any, methods: dict[str, Where], names: dict[int, str]) -> None:
            for method, where in methods.items():
                label(owner, method, where, names)
            if "ops" in vars(owner):
                replace(stack, owner, "ops", stand_in)

        for owner, methods in _others(gan, data):
            measure(owner, methods, {})
        parts = [(role, one) for role, whole in gan.passes() for one in (whole, *whole.parts)]
        for role, bound in parts:
            for i, layer in enumerate(bound.layers):
                kind_of_layer = type(bound.net.layers[i]).__name__.lower()
                where = (role, f"{i}.{kind_of_layer}")
                both: dict[str, Where] = {way: (*where, way) for way in ("forward", "backward")}
                names: dict[int, str] = {}
                for name, value in vars(layer).items():
                    if _is_array(value):  # Y comes before X, which may be the same array
                        names.setdefault(id(value), name)
                measure(layer, both, names)
        yield


def _others(gan: Game, data: DataSource) -> list[tuple[Any, dict[str, Where]]]:
    """What speaks to a backend in a step, beside layers; with its methods and their places."""
    half, judge = "D in its half", "D as judge"
    others: list[tuple[Any, dict[str, Where]]] = [
        (gan, {}),
        (gan.records, {"make": ("GAN", "losses", "")}),
        (gan.generator, {}),  # which the moving average asks
        (data, {"next_batch": ("data", "batch", "")}),
        (gan.noise, {"fill": ("G", "noise", "")}),
        (
            gan.loss,
            {
                "discriminator_gradient": (half, "loss", "backward"),
                "generator_gradient": (judge, "loss", "backward"),
            },
        ),
        (gan.discriminator_optimizer, {"step": (half, "optimizer", "update")}),
        (gan.generator_optimizer, {"step": ("G", "optimizer", "update")}),
    ]
    if gan.constraint is not None:
        others.append((gan.constraint, {"apply": (half, "constraint", "update")}))
    penalty = vars(gan).get("_penalty")
    if isinstance(penalty, PenaltyPass):
        where = (half, "penalty", "backward")
        others.append((penalty, {"add_to_verdicts": where, "add_to_gradients": where}))
    if gan.average is not None:
        others.append((gan.average, {"update": ("G", "average", "update")}))
    return others


_MISSING = object()


def replace(stack: contextlib.ExitStack, owner: Any, name: str, value: Any) -> None:
    """Give an object's attribute another value until the stack is closed."""
    stack.callback(_restore, vars(owner), name, vars(owner).get(name, _MISSING))
    vars(owner)[name] = value  # so frozen dataclasses can be measured, too


def _restore(attributes: dict[str, Any], name: str, before: Any) -> None:
    if before is _MISSING:
        attributes.pop(name, None)
    else:
        attributes[name] = before


def _is_array(value: Any) -> bool:
    return hasattr(value, "nbytes") and hasattr(value, "shape")
