"""What a form of samples defines: its scores, its figures, and how it is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from minigan.data import DataSource
from minigan.evaluation.plots import Rows
from minigan.gan import Game


class Form:
    """Samples of one form: how they are scored, and the figures of a run.

    Attributes:
        source: the class of data sources that have such samples.
        quick_name: what `quick_score` is.
        shown: how many samples a picture holds by default.
    """

    source: ClassVar[type[DataSource]] = DataSource
    quick_name: ClassVar[str] = "score"
    shown: ClassVar[int] = 25

    def quick_score(self, data: Any, game: Game) -> float:
        """The score that decides which checkpoint is best: lower is better, NaN if there is none.

        Samples are drawn from a fixed seed, and nothing is changed.
        """
        raise NotImplementedError

    def score(self, samples: Any, data: Any) -> tuple[dict[str, Any], str]:
        """The scores of samples (n, features), n >= 2: as JSON, and as a text to read."""
        raise NotImplementedError

    def score_game(self, game: Game, data: Any, n: int, seed: int) -> tuple[dict[str, Any], str]:
        """The scores of n samples of a game, n >= 2, and of what it can be asked for; as `score`.

        Args:
            game: a trained one. Nothing is changed.
            data: what it was trained on.
            n: how many samples to draw.
            seed: of the samples.
        """
        return self.score(game.ops.to_host(game.sample(n, seed)), data)

    def draw(self, figure: Any, title: str, game: Game, data: Any, history: Rows) -> str:
        """Draw what a game has learned into a Matplotlib figure; returns its scores as lines."""
        raise NotImplementedError

    def save_samples(
        self, path: Path, samples: Any, data: dict[str, Any], columns: int | None = None
    ) -> None:
        """Write a picture of samples.

        Args:
            path: a .png file.
            samples: (n, features), n >= 1.
            data: the description of the run's data, as `to_config` gives it.
            columns: of images, how many samples of each class there are, so that each class is a
                row; None if the samples are not in order of their classes.

        Raises:
            DataError: they have no such picture.
        """
        raise NotImplementedError

    def save_walks(self, path: Path, walks: Any, Z: Any, game: Game, data: dict[str, Any]) -> None:
        """Write a picture of what G makes on walks through its noise.

        Args:
            path: a .png file; of images also .gif, a film.
            walks: samples (walks, steps, features).
            Z: the noise that they were made of, (walks, steps, dim).
            game: which made them.
            data: as above.

        Raises:
            DataError: they have no such picture.
        """
        raise NotImplementedError
