"""What training prints: a progress bar on terminals, and a line for each row of the history."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from typing import Any

from minigan.data import DataSource
from minigan.gan import Game
from minigan.text import disable_bar, is_open, loss_title
from minigan.training.health import Failure
from minigan.training.signals import StopRequest

log = logging.getLogger("minigan")


class Console:
    """A context manager: inside, there is a progress bar.

    Args:
        game, data: the game that is trained, and its data.
        unit: "step", or "epoch" for lines that begin with the epoch.
        goal: the last step of the training.
        shown: whether anything is printed. The bar shows on terminals only.
        stop: asked to stop if the reader of the lines has ended.
    """

    def __init__(
        self, game: Game, data: DataSource, unit: str, goal: int, shown: bool, stop: StopRequest
    ) -> None:
        self.game, self.data, self.unit, self.goal, self.shown = game, data, unit, goal, shown
        self.stop_request = stop
        self.samples, self.seconds = 0, 0.0  # of training, since the last line

    def __enter__(self) -> Console:
        from tqdm import tqdm  # slow to import, and only training needs it

        served = self.game.samples_per_step
        self.bar = tqdm(
            total=self.goal * served,
            initial=self.game.step_count * served,
            unit=" samples",
            unit_scale=True,
            disable=disable_bar(self.shown),
            leave=False,
        )
        self.bar.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.bar.__exit__(*exc)

    def start(self) -> None:
        """Training begins or continues: the time from here to `stop` counts."""
        self._step, self._time = self.game.step_count, time.perf_counter()

    def stop(self) -> None:
        """Training pauses for a line, a picture or a checkpoint."""
        served = self.game.samples_per_step
        self.seconds += time.perf_counter() - self._time
        self.samples += (self.game.step_count - self._step) * served
        self.bar.update(self.game.step_count * served - self.bar.n)

    def show(self, row: dict[str, Any], epoch: int, failures: Sequence[Failure]) -> None:
        """Print a row of the history, and the failures that the latest rows show."""
        if self.shown:
            speed = self.samples / self.seconds if self.seconds else float("nan")
            self._print(self._line(row, epoch, speed, failures))
            self.bar.set_postfix_str(self._losses_of(row))
        self.restart()

    def _print(self, line: str) -> None:
        if not is_open(sys.stdout):
            return
        try:
            self.bar.write(line, file=sys.stdout)
            sys.stdout.flush()
        except BrokenPipeError:
            self.stop_request.end_of_output()
        except OSError as error:  # the terminal is gone, or the disk is full
            log.warning("cannot print: %s; training continues, and history.csv has it all", error)
            self.shown = False

    def restart(self) -> None:
        """Measure the speed from here on: after a line, or a rollback."""
        self.samples, self.seconds = 0, 0.0

    def _line(
        self, row: dict[str, Any], epoch: int, speed: float, failures: Sequence[Failure]
    ) -> str:
        where = f"step {row['step']:>7,}"
        if self.unit == "epoch":
            where = f"epoch {epoch:>4,}   {where}"
        if self.data.features == 1:
            extra = f"samples: mean {row['mean']:.3f}  std {row['std']:.3f}"
        else:
            extra = f"{speed:>8,.0f} samples/s"
        marks = "".join(f"   ! {failure}" for failure in failures)
        return f"{where}   {self._losses_of(row)}   {extra}{marks}"

    def _losses_of(self, row: dict[str, Any]) -> str:
        return "  ".join(f"{loss_title(name)} {row[name]:.3f}" for name in self.game.columns)
