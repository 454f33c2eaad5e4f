"""The state of a game: everything that training changes, as named arrays and integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backend import Array, Stream
from minigan.errors import CheckpointError
from minigan.nn import Sequential


def state_of(game: Any) -> tuple[dict[str, Array], dict[str, int]]:
    """See `Game.state`."""
    game.records.make()
    tensors: dict[str, Array] = {"losses/totals": game.records.totals}
    counters = {"step": game.step_count, "losses_since": game.records.since}
    for role, net in game.networks.items():
        _add_network(tensors, role, net)
        optimizer = game.optimizers[role]
        kind = type(optimizer).__name__.lower()
        tensors[f"{role}.{kind}/clock"] = optimizer.clock
        for buffer, flat in optimizer.buffers().items():
            for name, view in net.parameters.views(flat).items():
                tensors[f"{role}.{kind}.{buffer}/{name}"] = view
    if game.average is not None:
        tensors["generator.average/clock"] = game.average.clock
        _add_network(tensors, "generator.average", game.average.network)
    for name, array in (game.buffers() if game.batch else {}).items():
        tensors[f"game/{name}"] = array
    for name, stream in _streams(game).items():
        counters[f"stream/{name}"] = stream.position
    return tensors, counters


def _add_network(tensors: dict[str, Array], label: str, net: Sequential) -> None:
    """A network's parameters and buffers."""
    for name, view in net.parameters.named().items():
        tensors[f"{label}/{name}"] = view
    for name, view in net.buffers.named().items():
        tensors[f"{label}.buffers/{name}"] = view


def _streams(game: Any) -> dict[str, Stream]:
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
    for name, array in tensors.items():
        want = mine[name]
        if not hasattr(array, "dtype"):
            raise CheckpointError(f"tensor {name!r} is a {type(array).__name__}, not an array")
        if tuple(array.shape) != tuple(want.shape) or array.dtype != want.dtype:
            raise CheckpointError(
                f"tensor {name!r} is {array.dtype} {tuple(array.shape)}; "
                f"expected {want.dtype} {tuple(want.shape)}"
            )
        if not np.isfinite(array).all():
            raise CheckpointError(f"tensor {name!r} holds NaN or infinity")
    for name, value in counters.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise CheckpointError(f"counter {name!r} is {value!r}; expected an integer >= 0")

    for name, array in tensors.items():
        game.ops.copy(game.ops.from_host(array, str(array.dtype)), out=mine[name])
    game.records.forget()
    game.step_count = counters["step"]
    game.records.since = counters["losses_since"]
    for name, stream in _streams(game).items():
        stream.position = counters[f"stream/{name}"]


def _check_same(what: str, given: set[str], expected: set[str]) -> None:
    missing, unknown = sorted(expected - given), sorted(given - expected)
    if missing or unknown:
        raise CheckpointError(
            f"the checkpoint's {what} do not fit this model"
            + (f"; missing: {', '.join(missing[:4])}" if missing else "")
            + (f"; unknown: {', '.join(unknown[:4])}" if unknown else "")
        )
