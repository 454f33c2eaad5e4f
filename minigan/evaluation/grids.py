"""Which samples of a game a grid shows: 25 of them, or a row of each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigan.data.images import to_pixels
from minigan.evaluation.pictures import SMALL_TILE, grid
from minigan.gan import Game

SHOWN = 25  # samples of a game without classes
ROWS = 20  # classes at most, the first ones
COLUMNS = 10  # samples of a class
SEED = 0  # the same noise for every grid, so that the same images change


def shown_classes(game: Game) -> list[int]:
    """The classes that have a row in a grid: at most `ROWS`; [] if the game has no classes."""
    return list(range(min(game.classes, ROWS)))


def sample_classes(
    game: Game, labels: Sequence[int], n: int, seed: int, codes: Any | None = None
) -> Any:
    """n samples of each class, class after class: (len(labels) n, features), on the host.

    Sample i of every class is made of the same noise, and of the same continuous codes.

    Args:
        game: one with `classes`.
        labels: the classes.
        n: how many of each.
        seed, codes: as for `Game.sample`.

    Raises:
        ConfigError: labels or codes that the game does not have.
    """
    made = (game.sample(n, seed, labels=label, codes=codes) for label in labels)
    return np.concatenate([game.ops.to_host(samples) for samples in made])


def grid_of(game: Game, shape: tuple[int, int]) -> Any:
    """A picture (H, W) uint8 of images (h, w) that are made of the same noise every time.

    With classes a row is a class, and a column has the same noise; otherwise 5 x 5 samples.
    """
    labels = shown_classes(game)
    if labels:
        samples = sample_classes(game, labels, COLUMNS, SEED)  # (classes 10, h w)
        return grid(to_pixels(samples, shape), COLUMNS, SMALL_TILE)
    samples = game.ops.to_host(game.sample(SHOWN, SEED))  # (25, h w)
    return grid(to_pixels(samples, shape), columns=5)
