"""Whether several processes can share the steps of a game."""

from __future__ import annotations

from typing import Any

from minigan.backend import get_backend
from minigan.backend.share import shares
from minigan.errors import ConfigError
from minigan.gan import R1, Game


def require_shareable(game: Game, batch: int, size: int) -> None:
    """Raise `ConfigError` unless the average over processes of what each makes is that of a batch.

    For parts defined outside minigan this is not known, except for layers that leave rows
    independent.

    Args:
        game: bound or not.
        batch, size: how many samples, and processes.
    """
    if game.ops is not get_backend("cpu"):
        raise ConfigError("several processes share a step on CPUs only: leave out the device")
    if game.population:
        raise ConfigError("a population is not shared by processes: train groups of its members")
    parts: list[Any] = [game, *game.parts(), *game.optimizers.values()]
    for net in game.networks.values():
        parts += [layer for layer in net.layers if layer.mixes_rows or layer.buffer_shapes()]
    for part in parts:
        if not type(part).__module__.startswith("minigan."):
            raise ConfigError(
                f"{type(part).__name__} is defined outside minigan, so it is not known whether "
                "processes can share its batch: train with one"
            )
        if isinstance(part, R1) and part.samples is not None:
            raise ConfigError(
                "R1 of some samples of a batch cannot be shared by several processes: leave out "
                "samples, or train with one"
            )
    shares(batch, game.discriminator.rows_multiple, size)
