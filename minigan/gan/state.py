"""The state of a game: everything that training changes, as named arrays and integers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minigan.backend import FLOATS, Array, Stream, checked_array
from minigan.errors import CheckpointError, DTypeError, NonFiniteError
from minigan.nn import Sequential
from minigan.nn.parameters import FlatBuffer

MOST_STEPS = 2**53  # up to here a float64 counts every step


def state_of(game: Any) -> tuple[dict[str, Array], dict[str, int]]:
    """See `Game.state`."""
    game.records.make()
    tensors: dict[str, Array] = {}
    for name, array, layout in flat_state(game):
        if layout is None:
            tensors[name] = array
        else:
            views = layout.views(array).items()
            tensors |= {f"{name}/{tensor}": view for tensor, view in views}
    return tensors, counters_of(game)


def counters_of(game: Any) -> dict[str, int]:
    """The integers of a game's state by name."""
    counters = {"step": game.step_count, "losses_since": game.records.since}
    for name, stream in streams_of(game).items():
        counters[f"stream/{name}"] = stream.position
    return counters


def flat_state(game: Any) -> Iterator[tuple[str, Array, FlatBuffer | None]]:
    """Every array of a game's state: its name, and the layout of a flat buffer."""
    yield "losses/totals", game.records.totals, None
    for role, net in game.networks.items():
        yield from _of_network(role, net)
        optimizer = game.optimizers[role]
        kind = type(optimizer).__name__.lower()
        yield f"{role}.{kind}/clock", optimizer.clock, None
        for buffer, flat in optimizer.buffers().items():
            yield f"{role}.{kind}.{buffer}", flat, net.parameters
    if game.average is not None:
        yield "generator.average/clock", game.average.clock, None
        yield from _of_network("generator.average", game.average.network)
    for name, array in (game.buffers() if game.batch else {}).items():
        yield f"game/{name}", array, None


def _of_network(name: str, net: Sequential) -> Iterator[tuple[str, Array, FlatBuffer]]:
    """A network's parameters and buffers."""
    yield name, net.parameters.data, net.parameters
    yield f"{name}.buffers", net.buffers.data, net.buffers


def require_finite(game: Any) -> None:
    """Raise `NonFiniteError` if an array that `load_state` would refuse holds NaN or infinity."""
    found = [one for one in flat_state(game) if one[1].dtype.kind == "f" and one[1].size]
    flags = game.ops.zeros((len(found),), "float64")  # (n,): 1 if it is finite
    for i, (_, array, _) in enumerate(found):
        game.ops.record_finite(array.reshape(-1), out=flags[i, ...])
    bad = [one for one, finite in zip(found, game.ops.to_host(flags), strict=True) if not finite]
    if not bad:
        return
    # A parameter comes first: what is not finite next to it may be its effect.
    name, _, layout = min(bad, key=lambda one: one[0] not in game.networks)
    of_optimizer = any(layout is net.parameters for net in game.networks.values())
    if name in game.networks:
        problem = f"the {name} holds a parameter that is not finite"
    elif of_optimizer:
        problem = (
            f"{name} is not finite, although the parameters are: the gradients are too large for "
            f"{game.generator.dtype}; scale your data, or lower the learning rates"
        )
    elif name.endswith(".buffers"):
        problem = (
            f"the {name.removesuffix('.buffers')}'s running statistics are not finite: what it "
            f"normalises is too large for {game.generator.dtype}; scale your data, or lower the "
            "learning rates"
        )
    else:
        problem = f"{name} is not finite"
    raise NonFiniteError(f"step {game.step_count}: {problem}")


def streams_of(game: Any) -> dict[str, Stream]:
    """Every random stream by name."""
    found: dict[str, Stream] = {}
    for role, net in game.networks.items():
        found |= {f"{role}/{stream.name}": stream for stream in net.streams}
    return found | {f"gan/{name}": stream for name, stream in game.streams.items()}


def load_state(game: Any, tensors: dict[str, Any], counters: dict[str, int]) -> None:
    """See `Game.load_state`."""
    if not isinstance(tensors, dict) or not isinstance(counters, dict):
        raise CheckpointError("a state is two dictionaries: tensors and counters")
    mine, my_counters = state_of(game)
    _check_same("tensors", set(tensors), set(mine))
    _check_same("counters", set(counters), set(my_counters))
    given = {}
    for name, want in mine.items():
        try:
            array = given[name] = checked_array(f"tensor {name!r}", tensors[name], FLOATS)
        except DTypeError as error:
            raise CheckpointError(str(error)) from None
        if array.shape != want.shape or array.dtype != want.dtype:
            raise CheckpointError(
                f"tensor {name!r} is {array.dtype} {array.shape}; "
                f"expected {want.dtype} {want.shape}"
            )
        if not np.isfinite(array).all():
            raise CheckpointError(f"tensor {name!r} holds NaN or infinity")
        if name.endswith("/clock") and want.dtype == "float64":
            step, others = float(array.item(0)), array[..., 0]  # of a clock for each member
            odd = not step.is_integer() or step > MOST_STEPS or bool((others != step).any())
            if odd or (array < 0.0).any():
                raise CheckpointError(f"tensor {name!r} does not hold a number of steps and rates")
    for name, value in counters.items():
        if type(value) is not int or not 0 <= value <= MOST_STEPS:
            raise CheckpointError(f"counter {name!r} is {value!r}; expected an integer >= 0")

    for name, array in given.items():
        game.ops.copy(game.ops.from_host(array, str(array.dtype)), out=mine[name])
    load_counters(game, counters)


def load_counters(game: Any, counters: dict[str, int]) -> None:
    """Take over what `counters_of` returned, without a check."""
    game.records.forget()
    game.step_count = counters["step"]
    game.records.since = counters["losses_since"]
    for name, stream in streams_of(game).items():
        stream.position = counters[f"stream/{name}"]


def _check_same(what: str, given: set[str], expected: set[str]) -> None:
    missing, unknown = sorted(expected - given), sorted(given - expected)
    if missing or unknown:
        raise CheckpointError(
            f"the checkpoint's {what} do not fit this model"
            + (f"; missing: {', '.join(missing[:4])}" if missing else "")
            + (f"; unknown: {', '.join(unknown[:4])}" if unknown else "")
        )
