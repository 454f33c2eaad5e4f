"""What `Game.bind_step` has made: the passes and buffers of a step, and how they are released."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from minigan.backend import Array
from minigan.backend.float_errors import ignore_float_errors
from minigan.errors import ConfigError
from minigan.fixed import Fixed
from minigan.gan.constraints import Constraint
from minigan.gan.losses import Loss
from minigan.gan.noise import Noise
from minigan.gan.penalties import PenaltyPass
from minigan.nn import LayerPass, Optimizer, Pass, Sequential

MISSING = object()
Found = TypeVar("Found")


class Bound(Fixed):
    """How a `Game` is copied: its passes and buffers are not, and a copy makes its own.

    Real samples and the arrays of `Game.buffers`, which a new binding would not have, are copied.
    """

    def _copied_attributes(self: Any) -> dict[str, Any]:
        self.records.make()
        found = Fixed._copied_attributes(self)
        for name, old in self._bound.items():
            found.pop(name, None)
            found |= {} if old is MISSING else {name: old}
        del found["records"], found["recording"]
        found |= {"team": None}
        found |= {"since": self.records.since, "totals": self.records.totals}
        if self.batch:
            found |= arrays_to_keep(self)
        return found

    def __setstate__(self: Any, state: dict[str, Any]) -> None:
        Fixed.__setstate__(self, state)
        own = vars(self)
        since, totals, batch = (own.pop(n, None) for n in ("since", "totals", "batch"))
        kept = {n: own.pop(n) for n in [*own] if "/" in n}
        own["batch"] = 0
        self.prepare_records()
        self.records.since = since
        self.ops.copy(totals, out=self.records.totals)
        if batch:
            self.bind(batch)
            take_over(self, kept)


@ignore_float_errors
def make_binding(game: Any, batch: int) -> None:
    """Bind a step of B = `batch` samples; `ConfigError` if `bind_step` left something out."""
    game.records.make()
    game.records.clear()
    unbind(game)
    own, before = vars(game), dict(vars(game))
    own["batch"] = batch
    own["rows"] = batch if game.team is None else game.team.share.rows
    nets = [net for _, net in networks_of(game)]
    try:
        for net in nets:
            net.team = game.team
        with contextlib.nullcontext() if game.team is None else game.team.arrays(game):
            game.bind_step(game.rows)
    finally:
        for net in nets:
            net.team = None
        own["batch"] = 0  # until all of it is bound
        made = {name: before.get(name, MISSING) for name in own if name not in ("batch", "rows")}
        own["_bound"] = {name: old for name, old in made.items() if own[name] is not old}
    problem = ""
    if not hasattr(game, "real"):
        problem = "bind_step must set self.real"
    elif game.records.taken != len(game.columns):
        problem = (
            f"bind_step keeps {game.records.taken} losses; "
            f"the columns are {', '.join(game.columns)}"
        )
    if problem:
        unbind(game)
        raise ConfigError(f"{type(game).__name__}: {problem}")
    own["batch"] = batch
    for array in game.inputs().values():  # a step without data must not go unnoticed
        game.ops.fill(float("nan"), out=array)


def unbind(game: Any) -> None:
    """Remove the attributes that `bind_step` has set, or put back what was there before."""
    for name, old in game._bound.items():
        vars(game).pop(name, None)
        if old is not MISSING:
            vars(game)[name] = old
    vars(game)["_bound"] = {}


def bind_again(game: Any) -> None:
    """Make the passes and buffers of a step again, if there are any; keep their values."""
    if game.batch:
        batch, kept = game.batch, arrays_to_keep(game)
        vars(game)["batch"] = 0
        game.bind(batch)
        take_over(game, kept)


def networks_of(game: Any) -> Iterator[tuple[str, Sequential]]:
    """The networks of a game by role, and that of the averaged generator."""
    yield from game.networks.items()
    if game.average is not None:
        yield "generator.average", game.average.network


def arrays_to_keep(game: Any) -> dict[str, Array]:
    """By name, the arrays of a bound game whose values a new binding would not have."""
    inputs = {f"input/{name}": array for name, array in game.inputs().items()}
    return inputs | {f"buffer/{name}": array for name, array in game.buffers().items()}


def take_over(game: Any, kept: Mapping[str, Array]) -> None:
    """Copy the values of `arrays_to_keep` of another binding."""
    for name, array in arrays_to_keep(game).items():
        game.ops.copy(kept[name], out=array)


def passes_of(game: Any) -> list[tuple[str, Pass]]:
    """See `Game.passes`."""
    found: dict[int, tuple[str, Pass]] = {}
    for name in game._bound:
        for bound in _among(vars(game)[name], Pass):
            found.setdefault(id(bound), (game.titles.get(name, name.strip("_")), bound))
    parts = {id(part) for _, bound in found.values() for part in bound.parts}
    return [entry for key, entry in found.items() if key not in parts]


def parts_of_a_step(game: Any) -> Iterator[tuple[Any, type]]:
    """Everything in a game that computes, each with minigan's class of such parts."""
    yield game.noise, Noise
    yield game.loss, Loss
    for optimizer in game.optimizers.values():
        yield optimizer, Optimizer
    if game.constraint is not None:
        yield game.constraint, Constraint
    for penalty in _among([vars(game)[name] for name in game._bound], PenaltyPass):
        yield penalty, PenaltyPass
    for _, bound in passes_of(game):
        yield bound, Pass
        for layer in bound.layers:
            yield layer, LayerPass


def _among(value: Any, kind: type[Found]) -> Iterator[Found]:
    """The objects of a kind in an attribute: itself, or in the lists and dictionaries there."""
    if isinstance(value, kind):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _among(one, kind)
    elif isinstance(value, dict):
        yield from _among(list(value.values()), kind)
