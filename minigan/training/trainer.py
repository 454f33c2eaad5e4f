"""The clock: steps, epochs, lines, files. The mathematics knows nothing of it.

A run is a folder:

    recipe.json               what was asked for, and the model it makes
    history.csv               losses and sample statistics, a row a print interval
    checkpoint.safetensors    the whole state: `Trainer.resume(folder)` goes on from it
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

import minigan.version
from minigan.backend import get_backend
from minigan.checks import whole
from minigan.data import DataSource, data_from_config
from minigan.errors import CheckpointError, ConfigError, DTypeError, FileError, ShapeError
from minigan.files import write_whole
from minigan.gan import GAN
from minigan.training.checkpoint import load_checkpoint, save_checkpoint
from minigan.training.history import History

RECIPE, HISTORY, CHECKPOINT = "recipe.json", "history.csv", "checkpoint.safetensors"
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
        recipe: dict[str, Any] | None = None,
        progress: bool = True,
    ) -> None:
        self._configure(gan, data, out, batch, print_every, checkpoint_every, recipe, progress)
        description = _json(self.description())
        require_free(self.out)
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"cannot make folder {out}: {error.strerror or error}") from error
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
        self.recipe = recipe or {}
        self.progress = progress
        self.history = History(self.out / HISTORY, COLUMNS)
        # What checkpoints belong to; a learning rate changed later is state, not recipe.
        self._model = _hash({"gan": gan.to_config(), "data": data.to_config(), "batch": self.batch})
        gan.bind(self.batch)

    # -- the run --------------------------------------------------------------------

    def fit(self, steps: int | None = None, epochs: int | None = None) -> None:
        """Train up to step `steps` (or to the end of epoch `epochs`), counted from the start.

        A run that has come that far already is left as it is, so resuming a finished run
        does nothing. A row of the history and a checkpoint are written at the goal too; a
        goal that is no multiple of `print_every` therefore adds a row that a longer run,
        not stopped there, would not have.

        Raises:
            FileError: a file of the run cannot be written.
            ConfigError: neither or both given, one below 1, or epochs of endless data.
            NonFiniteError: a loss or parameter became NaN or infinite; the last checkpoint
                is left as it was.
        """
        self.gan.bind(self.batch)  # in case it was stepped by hand with another batch
        goal = self._goal(steps, epochs)
        if self.gan.step_count >= goal:
            return
        from tqdm import tqdm  # only when training: it is no part of the mathematics

        with tqdm(
            total=goal,
            initial=self.gan.step_count,
            unit="step",
            disable=None if self.progress else True,  # None: only where there is a terminal
            leave=False,
        ) as bar:
            while self.gan.step_count < goal:
                start = self.gan.step_count
                for _ in range(min(self._next_event(goal) - start, CHECK_EVERY)):
                    self.data.next_batch(out=self.gan.real)
                    self.gan.step()
                step = self.gan.step_count
                self.gan.check_finite()
                bar.update(step - start)
                if step % self.print_every == 0 or step == goal:
                    row = self._row()
                    self.history.append(row)
                    if self.progress:
                        tqdm.write(describe_row(row), file=sys.stdout)
                        sys.stdout.flush()
                if step % self.checkpoint_every == 0 or step == goal:
                    self.save()

    def _goal(self, steps: int | None, epochs: int | None) -> int:
        if (steps is None) == (epochs is None):
            raise ConfigError("fit: give steps=... or epochs=..., one of them")
        if steps is not None:
            return whole("fit: steps", steps, 1)
        epochs = whole("fit: epochs", epochs, 1)
        if self.data.size is None:
            raise ConfigError("fit: this data has no end, so no epochs; give steps=...")
        return math.ceil(epochs * self.data.size / self.batch)

    def _next_event(self, goal: int) -> int:
        """The next step at which something is printed or saved."""
        step = self.gan.step_count
        return min(
            goal,
            *(every * (step // every + 1) for every in (self.print_every, self.checkpoint_every)),
        )

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
            },
        }

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

        A run that was stopped before its first checkpoint starts from its beginning.

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
        trainer = cls.__new__(cls)
        try:
            saved, settings = description["data"], description["trainer"]
            if data is None and saved["data"] == "Samples":
                raise ConfigError(f"{out} was trained on samples; pass them: resume(..., data=...)")
            if data is None:
                data = data_from_config(saved, device)
            elif not hasattr(data, "to_config"):
                raise ConfigError("resume takes a data source; wrap an array: mg.Samples(X)")
            elif data.to_config() != saved:
                theirs = data.to_config()
                fields = [key for key in {**saved, **theirs} if saved.get(key) != theirs.get(key)]
                raise ConfigError(f"{out} was trained on other data: {', '.join(fields)} differ")
        except (LookupError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{out / RECIPE} does not describe a run: {error}") from error
        try:
            trainer._configure(
                GAN.from_config(description["gan"], device),
                data,
                out,
                settings["batch"],
                settings["print_every"],
                settings["checkpoint_every"],
                description["recipe"],
                progress,
            )
        except CheckpointError:
            raise
        except (LookupError, TypeError, ValueError, RecursionError) as error:
            raise CheckpointError(f"{out / RECIPE} does not describe a run: {error}") from error
        if (out / CHECKPOINT).exists():
            checkpoint = load_checkpoint(out / CHECKPOINT)
            metadata = checkpoint.metadata
            if metadata.get("model") != trainer._model:
                raise CheckpointError(f"the checkpoint in {out} belongs to another recipe")
            try:
                counters, position = metadata["counters"], metadata["data"]
                trainer.gan.load_state(checkpoint.tensors, counters)
                data.load_state(position)
            except CheckpointError:
                raise
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                raise CheckpointError(f"{out / CHECKPOINT} has damaged metadata") from error
        if trainer.history.path.exists():
            trainer.history.rewind(trainer.gan.step_count)
        else:
            trainer.history.start()
        return trainer


def require_free(out: Path | str) -> None:
    """Raise `ConfigError` if a folder holds a run, or a part of one."""
    for name in (RECIPE, HISTORY, CHECKPOINT):
        if (Path(out) / name).exists():
            raise ConfigError(
                f"{out} already holds a run ({name}); resume it, or choose another folder"
            )


def read_recipe(out: Path | str) -> dict[str, Any]:
    """Read a run folder's recipe.json.

    Raises:
        CheckpointError: the folder or the file is missing, or it is no JSON object.
    """
    out = Path(out)
    try:
        description = json.loads((out / RECIPE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{out} holds no run ({RECIPE} is missing)") from None
    except NotADirectoryError:
        raise CheckpointError(f"{out} is not a folder") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot read {out / RECIPE}: {error}") from error
    if not isinstance(description, dict):
        raise CheckpointError(f"{out / RECIPE} does not describe a run")
    return description


def describe_row(row: dict[str, Any]) -> str:
    """A row of the history as a line to read."""
    return (
        f"step {row['step']:>7,}   D real {row['d_real']:.3f}  D fake {row['d_fake']:.3f}"
        f"  G {row['g']:.3f}   samples: mean {row['mean']:.3f}  std {row['std']:.3f}"
    )


def _hash(value: dict[str, Any]) -> str:
    """SHA-256 of a description."""
    return hashlib.sha256(_json(value)).hexdigest()


def _json(value: dict[str, Any]) -> bytes:
    try:
        return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"a recipe must be plain JSON: {error}") from None
