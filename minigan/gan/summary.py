"""A short description of a game."""

from __future__ import annotations

import dataclasses
from typing import Any

from minigan.config import Part
from minigan.gan.game import Game
from minigan.nn import Optimizer
from minigan.text import count


def summary(game: Game) -> list[str]:
    """A line for each network, for each optimizer, and for the other parts of a game.

    Also one for the updates of a step, if they are more than one of each player.
    """
    titles = {role: game.letter(role) for role in game.networks}  # "G", "D"
    lines = [
        f"{titles[role]} has {net.parameters.size:,} parameters: "
        + ", ".join(short(layer) for layer in net.layers)
        for role, net in game.networks.items()
    ]
    lines += [f"{titles[role]} learns by {_rule(one)}" for role, one in game.optimizers.items()]
    if game.d_steps > 1 or game.g_steps > 1:
        fresh = ", each on real samples of its own" if game.fresh_real else ""
        updates = count(game.d_steps, "update")
        lines.append(f"a step is {updates} of D{fresh}, and {game.g_steps} of G")
    words = ", ".join(str(part) for part in game.parts() if part is not game.noise)
    average = "G as it is" if game.average is None else f"averaged G ({game.average.decay:g})"
    return [*lines, f"{words}; noise {game.noise}; samples from {average}"]


def short(part: Part) -> str:
    """A part with the settings that differ from the defaults: "Linear(1, 50)", "ReLU"."""
    words = []
    fields: dict[str, Any] = {}
    if dataclasses.is_dataclass(part):
        fields = {field.name: field for field in dataclasses.fields(part)}
    by_name = not fields
    for name, value in part.settings().items():
        field = fields.get(name)
        if field and value == field.default:
            by_name = True
        else:
            by_name = by_name or bool(field and field.kw_only)
            words.append(f"{name}={_word(value)}" if by_name else _word(value))
    return type(part).__name__ + (f"({', '.join(words)})" if words else "")


def _rule(optimizer: Optimizer) -> str:
    """An optimizer and its settings: "Adam: lr 0.001, betas (0, 0.99), falling to 0 at step 9"."""
    settings = optimizer.settings()
    decay = settings.pop("decay", None)
    words = [
        f"{name.replace('_', ' ')} {_word(value)}"
        for name, value in settings.items()
        if name == "lr" or (value and name != "eps")
    ]
    if decay is not None:
        words.append(f"falling to {100 * decay['final']:g} % at step {decay['end']:,}")
    return f"{type(optimizer).__name__}: {', '.join(words)}"


def _word(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(_word, value))})"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
