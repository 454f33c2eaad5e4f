"""The clock: steps, epochs, lines, files. The mathematics knows nothing of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minigan.version
from minigan.backend import get_backend
from minigan.checks import whole
from minigan.data import DataSource, data_from_config
from minigan.errors import CheckpointError, ConfigError, DTypeError, ShapeError
from minigan.files import make_folder, write_whole
from minigan.gan import GAN
from minigan.training.checkpoint import save_checkpoint
from minigan.training.history import History, read_history
from minigan.training.run import (
    CHECKPOINT,
    HISTORY,
    RECIPE,
    as_json,
    build_gan,
    model_hash,
    read_checkpoint,
    read_recipe,
    require_free,
    restore,
)

COLUMNS = ("step", "d_real", "d_fake", "g", "d_lr", "g_lr", "mean", "std")
CHECK_EVERY = 100  # steps between looks for NaN
STATISTICS_SAMPLES = 1000  # drawn for the mean and std of each printed line
STATISTICS_SEED = 0  # always the same noise, so that lines can be compared


class Trainer:
    """Trains a GAN on data and keeps a run folder.

    Args:
        gan: what to train.
        data: where real samples come from.
        out: the run folder; made if missing. It must not hold a run already.
        batch: real samples a step.
        print_every: steps between printed lines (and rows of the history).
        checkpoint_every: steps between checkpoints; by default `print_every`.
        unit: "step", or "epoch" to count both intervals in epochs. Epoch k ends with the step
            that serves its last sample, so it may share that step with epoch k + 1.
        recipe: the experiment's settings as JSON, saved with the run.
        progress: False hides the progress bar and the lines. The bar shows on terminals.

    Raises:
        ConfigError: a setting that cannot be, or a folder that holds a run already.
        FileError: a folder that cannot be written.
        ShapeError: data and GAN do not fit.
    """

    def __init__(
        self,
        gan: GAN,
        data: DataSource,
        out: Path | str,
        *,
        batch: int,
        print_every: int = 1000,
        checkpoint_every: int | None = None,
        unit: str = "step",
        recipe: dict[str, Any] | None = None,
        progress: bool = True,
    ) -> None:
        self._configure(
            gan, data, out, batch, print_every, checkpoint_every, unit, recipe, progress
        )
        description = as_json(self.description())
        require_free(self.out)
        make_folder(self.out)
        write_whole(self.out / RECIPE, description)
        self.history.start()
        if gan.step_count:
            self.save()  # trained before: its beginning cannot be drawn again from the seed

    def _configure(
        self,
        gan: GAN,
        data: DataSource,
        out: Path | str,
        batch: int,
        print_every: int,
        checkpoint_every: int | None,
        unit: str,
        recipe: dict[str, Any] | None,
        progress: bool,
    ) -> None:
        if not isinstance(gan, GAN) or not hasattr(data, "next_batch"):
            raise ConfigError("Trainer takes a GAN and a data source; wrap an array: mg.Samples(X)")
        if gan.population:
            raise ConfigError("Trainer keeps the run of one GAN; step a population by hand")
        if data.features != gan.discriminator.in_features:
            raise ShapeError(
                f"the data have {data.features} features; "
                f"the discriminator takes {gan.discriminator.in_features}"
            )
        dtype = getattr(data, "dtype", gan.discriminator.dtype)
        if dtype != gan.discriminator.dtype:
            raise DTypeError(f"the data are {dtype}, the networks {gan.discriminator.dtype}")
        self.gan = gan
        self.data = data
        self.out = Path(out)
        self.batch = whole("Trainer: batch", batch, 1)
        self.print_every = whole("Trainer: print_every", print_every, 1)
        self.checkpoint_every = whole(
            "Trainer: checkpoint_every",
            print_every if checkpoint_every is None else checkpoint_every,
            1,
        )
        if unit not in ("step", "epoch"):
            raise ConfigError(f"Trainer: unit must be 'step' or 'epoch', not {unit!r}")
        if unit == "epoch" and data.size is None:
            raise ConfigError("Trainer: this data has no end, so no epochs; use unit='step'")
        self.unit = unit
        self.recipe = recipe or {}
        self.progress = progress
        self.history = History(self.out / HISTORY, COLUMNS)
        self._model = model_hash(gan.to_config(), data.to_config(), self.batch)
        self._resumed = False  # whether the history may have rows that come after the checkpoint
        gan.bind(self.batch)

    # -- the run --------------------------------------------------------------------

    def fit(
        self,
        steps: int | None = None,
        epochs: int | None = None,
        after_row: Callable[[Trainer], None] | None = None,
    ) -> None:
        """Train up to step `steps` (or to the end of epoch `epochs`), counted from the start.

        A run that has come that far already is left as it is, so resuming a finished run
        does nothing (but a run without a checkpoint gets one, even untrained). A row of the
        history and a checkpoint are written at the goal too; a goal that is no multiple of
        `print_every` therefore adds a row that a longer run, not stopped there, would not
        have.

        Args:
            steps, epochs: the goal, >= 0; one of the two.
            after_row: called after each row of the history: for a picture, say.

        Raises:
            FileError: a file of the run cannot be written.
            ConfigError: neither or both given, one below 0, or epochs of endless data.
            NonFiniteError: a loss or parameter became NaN or infinite; the last checkpoint
                is left as it was.
        """
        self.gan.bind(self.batch)  # in case it was stepped by hand with another batch
        goal = self._goal(steps, epochs)
        if self._resumed:
            self.history.rewind(self.gan.step_count)
            self._resumed = False
        if self.gan.step_count >= goal:
            if not (self.out / CHECKPOINT).exists():
                self.save()
            return
        from tqdm import tqdm  # only when training: it is no part of the mathematics

        with tqdm(
            total=goal * self.batch,
            initial=self.gan.step_count * self.batch,
            unit=" samples",
            unit_scale=True,
            disable=None if self.progress else True,  # None: only where there is a terminal
            leave=False,
        ) as bar:
            row_step, row_time = self.gan.step_count, time.perf_counter()
            while self.gan.step_count < goal:
                start = self.gan.step_count
                for _ in range(min(self._next_event(goal) - start, CHECK_EVERY)):
                    self.data.next_batch(out=self.gan.real)
                    self.gan.step()
                step = self.gan.step_count
                self.gan.check_finite()
                bar.update((step - start) * self.batch)
                if self._is_due(self.print_every) or step == goal:
                    row = self._row()
                    self.history.append(row)
                    if self.progress:
                        now = time.perf_counter()
                        speed = (step - row_step) * self.batch / (now - row_time)
                        tqdm.write(self._line(row, speed), file=sys.stdout)
                        sys.stdout.flush()
                        bar.set_postfix_str(_describe_losses(row))
                    if after_row is not None:
                        after_row(self)
                    row_step, row_time = step, time.perf_counter()
                if self._is_due(self.checkpoint_every) or step == goal:
                    self.save()

    @property
    def epoch(self) -> int:
        """Whole epochs served so far; 0 for endless data."""
        return 0 if self.data.size is None else self.gan.step_count * self.batch // self.data.size

    def _goal(self, steps: int | None, epochs: int | None) -> int:
        if (steps is None) == (epochs is None):
            raise ConfigError("fit: give steps=... or epochs=..., one of them")
        if steps is not None:
            return whole("fit: steps", steps, 0)
        epochs = whole("fit: epochs", epochs, 0)
        if self.data.size is None:
            raise ConfigError("fit: this data has no end, so no epochs; give steps=...")
        return epoch_end(epochs, self.data.size, self.batch)

    def _next_event(self, goal: int) -> int:
        """The next step at which something is printed or saved."""
        step = self.gan.step_count
        return min(goal, *(self._due(e, step) for e in (self.print_every, self.checkpoint_every)))

    def _is_due(self, every: int) -> bool:
        """Whether an interval of `every` units ends with the present step."""
        return self._due(every, self.gan.step_count - 1) == self.gan.step_count

    def _due(self, every: int, after: int) -> int:
        """The first step past `after` that ends an interval of `every` units."""
        if self.unit == "step" or self.data.size is None:
            return every * (after // every + 1)
        done = after * self.batch // self.data.size  # whole epochs after that step
        return epoch_end(every * (done // every + 1), self.data.size, self.batch)

    def _row(self) -> dict[str, Any]:
        samples = self.gan.ops.to_host(self.gan.sample(STATISTICS_SAMPLES, seed=STATISTICS_SEED))
        return {
            "step": self.gan.step_count,
            **self.gan.losses(),
            "d_lr": self.gan.discriminator_optimizer.rate,
            "g_lr": self.gan.generator_optimizer.rate,
            "mean": float(np.mean(samples, dtype=np.float64)),
            "std": float(np.std(samples, dtype=np.float64)),
        }

    # -- files ----------------------------------------------------------------------

    def description(self) -> dict[str, Any]:
        """What recipe.json holds: enough to rebuild the run, untrained."""
        return {
            "minigan": minigan.version.__version__,
            "recipe": self.recipe,
            "gan": self.gan.to_config(),
            "data": self.data.to_config(),
            "trainer": {
                "batch": self.batch,
                "print_every": self.print_every,
                "checkpoint_every": self.checkpoint_every,
                "unit": self.unit,
            },
        }

    def change_recipe(self, recipe: dict[str, Any]) -> None:
        """Replace the settings that are kept with the run, such as how far it is to go.

        What the run is (model, data, batch) stays as it was; only the words change.
        """
        self.recipe = recipe
        write_whole(self.out / RECIPE, as_json(self.description()))

    def save(self) -> None:
        """Write the checkpoint.

        Raises:
            NonFiniteError: the state holds NaN or infinity; the last checkpoint stays.
            FileError: the file cannot be written.
        """
        self.gan.check_finite()
        tensors, counters = self.gan.state()
        save_checkpoint(
            self.out / CHECKPOINT,
            {name: self.gan.ops.to_host(array) for name, array in tensors.items()},
            {
                "step": self.gan.step_count,
                "counters": counters,
                "data": self.data.state(),
                "model": self._model,
            },
        )

    @classmethod
    def resume(
        cls,
        out: Path | str,
        *,
        data: DataSource | None = None,
        device: str = "cpu",
        progress: bool = True,
    ) -> Trainer:
        """Rebuild a run from its folder and go to its last checkpoint.

        A run that was stopped before its first checkpoint starts from its beginning. Nothing
        is written before `fit`, which drops the rows of the history that come after the
        checkpoint.

        Args:
            out: the run folder.
            data: the data source, if it cannot be rebuilt from its description (`Samples`).
            device: where to go on.

        Raises:
            CheckpointError: no run there, or one that is damaged.
            ConfigError: the data are missing, or not those of the run.
        """
        out = Path(out)
        get_backend(device)  # a wrong device is no fault of the run's
        description = read_recipe(out)
        gan = build_gan(out, description, device)
        data = _same_data(out, description["data"], data, device)
        trainer = cls.__new__(cls)
        try:
            settings = description["trainer"]
            trainer._configure(
                gan,
                data,
                out,
                settings["batch"],
                settings["print_every"],
                settings["checkpoint_every"],
                settings["unit"],
                description["recipe"],
                progress,
            )
        except (LookupError, TypeError, ValueError) as error:
            raise CheckpointError(f"{out / RECIPE} does not describe a run: {error}") from error
        if (out / CHECKPOINT).exists():
            checkpoint = read_checkpoint(out, description)
            restore(gan, out, checkpoint)
            try:
                data.load_state(checkpoint.metadata["data"])
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                raise CheckpointError(f"{out / CHECKPOINT} has damaged metadata") from error
        if trainer.history.path.exists():
            read_history(trainer.history.path, COLUMNS)  # an error, if it is damaged
        trainer._resumed = True
        return trainer

    def _line(self, row: dict[str, Any], speed: float) -> str:
        """A row of the history as a line to read."""
        where = f"step {row['step']:>7,}"
        if self.unit == "epoch":
            where = f"epoch {self.epoch:>4,}   {where}"
        if self.data.features == 1:  # of more, one mean and one spread say little
            extra = f"samples: mean {row['mean']:.3f}  std {row['std']:.3f}"
        else:
            extra = f"{speed:>8,.0f} samples/s"
        return f"{where}   {_describe_losses(row)}   {extra}"


def epoch_end(epoch: int, size: int, batch: int) -> int:
    """The step that serves the last sample of epoch `epoch`, counted from 1."""
    return -(-epoch * size // batch)


def _same_data(
    out: Path, saved: dict[str, Any], data: DataSource | None, device: str
) -> DataSource:
    """The run's data source: rebuilt from its description, or `data` if it is the same."""
    if data is None:
        try:
            return data_from_config(saved, device)
        except ConfigError as error:
            if saved.get("data") in ("Samples", "Images"):
                kind = saved["data"].lower()
                raise ConfigError(
                    f"{out} was trained on {kind}; pass them: resume(..., data=...)"
                ) from None
            raise CheckpointError(f"{out / RECIPE} does not describe a run: {error}") from error
    if not hasattr(data, "to_config"):
        raise ConfigError("resume takes a data source; wrap an array: mg.Samples(X)")
    theirs = data.to_config()
    fields = [key for key in {**saved, **theirs} if saved.get(key) != theirs.get(key)]
    if fields:
        raise ConfigError(f"{out} was trained on other data: {', '.join(fields)} differ")
    return data


def _describe_losses(row: dict[str, Any]) -> str:
    return f"D real {row['d_real']:.3f}  D fake {row['d_fake']:.3f}  G {row['g']:.3f}"
