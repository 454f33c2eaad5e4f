"""What a training run needs besides training: settings, changes, saving, going back."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import math
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import minigan.version
from minigan.checks import flag, number, whole
from minigan.data import DataSource
from minigan.errors import UNEXPECTED, CheckpointError, ConfigError, NonFiniteError
from minigan.files import absolute_path
from minigan.gan import Game
from minigan.gan.fit import check_data
from minigan.text import is_open
from minigan.training.callbacks import Callback, as_score, call_named
from minigan.training.checkpoint import Checkpoint, encode
from minigan.training.exclusive import Exclusive
from minigan.training.history import History, columns_of
from minigan.training.recipe_json import Changes, as_json, change, require_same_parts
from minigan.training.run import rates_of, read_checkpoint, restore
from minigan.training.run_folder import CHECKPOINT, RunFolder
from minigan.training.schedule import Schedule

log = logging.getLogger("minigan")

ROLLBACKS = 3  # a run that diverges once more is given up


class Resumable(Exclusive):
    """A game, its data and a run folder: the part of a `Trainer` that does not train.

    Attributes:
        rollbacks: how often the run went back after it had diverged.
        changes: what `change` changed, {"recipe.epochs": (30, 60)}, until it is written.
    """

    fixed: ClassVar[dict[str, str]] = {
        **dict.fromkeys(
            ("gan", "data", "out", "batch", "unit", "history"),
            "what a run is was decided when it started: start another one",
        ),
        **dict.fromkeys(
            ("print_every", "checkpoint_every", "on_nan", "recipe"),
            "use Trainer.change({...}), which keeps a record of it",
        ),
    }
    batch: int
    unit: str
    print_every: int
    checkpoint_every: int
    on_nan: str

    def _configure(
        self,
        gan: Game,
        data: DataSource,
        out: Path | str,
        settings: Mapping[str, Any],
        recipe: dict[str, Any],
        score: Callable[[Game], float] | None,
        progress: bool,
    ) -> None:
        """Set every attribute, and check the settings; nothing is written."""
        if not isinstance(gan, Game) or not isinstance(data, DataSource):
            raise ConfigError("Trainer takes a GAN and a data source; wrap an array: mg.Samples(X)")
        check_data(gan, data)
        self.gan, self.data = gan, data
        self.out = absolute_path(out)
        self._adopt(
            {
                "minigan": minigan.version.__version__,
                "recipe": json.loads(as_json(recipe)),  # a copy: the caller's may change
                "gan": gan.to_config(),
                "data": data.to_config(),
                "trainer": dict(settings),
            }
        )
        self.score = score
        self.progress = flag("Trainer: progress", progress)
        self.rollbacks = 0
        self._folder = RunFolder(self.out, columns_of(gan))
        self.changes: Changes = {}
        self._rates: list[dict[str, Any]] = []  # learning rates that were set, and when
        self._callbacks: list[Callback] = []
        self._resumed_from: Path | None = None  # the checkpoint, until `fit` has gone on from it
        self._score_due = False  # whether the state of the checkpoint is still to be scored
        self._thread = threading.RLock()
        gan.bind(self.batch)
        self._schedule = self._schedule_of(self.unit)

    def _schedule_of(self, unit: str) -> Schedule:
        """Intervals counted in "step" or "epoch"."""
        if unit == "epoch" and self.data.size is None:
            raise ConfigError("Trainer: this data has no end, so no epochs; use unit='step'")
        size = self.data.size if unit == "epoch" else None
        return Schedule(self.gan.samples_per_step, size)

    def _adopt(self, description: dict[str, Any]) -> None:
        """Take over a description, and check the trainer's settings in it."""
        settings = description["trainer"]
        for name in ("batch", "print_every", "checkpoint_every"):
            settings[name] = whole(f"Trainer: {name}", settings[name], 1)
        for name, words in (("unit", ("step", "epoch")), ("on_nan", ("stop", "rollback"))):
            if settings[name] not in words:
                known = " or ".join(map(repr, words))
                raise ConfigError(f"Trainer: {name} must be {known}, not {settings[name]!r}")
        vars(self).update(settings)  # assignment is refused
        self._description = description

    @property
    def recipe(self) -> dict[str, Any]:
        """The experiment's settings, a copy."""
        recipe: dict[str, Any] = self.description()["recipe"]
        return recipe

    @property
    def history(self) -> History:
        """The rows of the run."""
        return self._folder.history

    @property
    def epoch(self) -> int:
        """Whole epochs served so far; 0 for endless data."""
        served = self.gan.step_count * self.gan.samples_per_step
        return 0 if self.data.size is None else served // self.data.size

    def description(self) -> dict[str, Any]:
        """The content of recipe.json, a copy: enough to rebuild the run, untrained."""
        return copy.deepcopy(self._description)

    # -- what may change --------------------------------------------------------------------

    def change(self, changes: Mapping[str, Any]) -> None:
        """Change settings that may change during a run. The run keeps a record of them.

        The next `fit` or `save` writes and prints the changes; within a `fit`, this does.

        Args:
            changes: "print_every", "checkpoint_every" or "on_nan"; a setting of the recipe, as
                "recipe.epochs"; or a learning rate, as "generator_lr".

        Raises:
            ConfigError: an unknown name or invalid value; then nothing is changed.
            BusyError: another thread is training.
        """
        with self.alone():
            asked: dict[str, Any] = json.loads(as_json(dict(changes)))  # as a file gives them back
            rates = {f"{role}_lr": optimizer for role, optimizer in self.gan.optimizers.items()}
            new = {
                name: number(name, asked.pop(name), at_least=0.0) for name in rates if name in asked
            }
            description = self.description()
            changed = change(description, asked, [*rates])
            self._adopt(description)
            for name, lr in new.items():
                old = rates[name].lr
                if lr != old:
                    changed[name] = (old, lr)
                    self._rates.append({"step": self.gan.step_count, "rate": name, "lr": [old, lr]})
                    rates[name].lr = lr
            self.changes = {**self.changes, **changed}
            if self._folder.lock.depth:
                self._write_changes()

    def _write_changes(self) -> None:
        """Write what was changed. Learning rates are state, so they go into a checkpoint."""
        if not self.changes:
            return
        self._folder.write_recipe(as_json(self.description()))
        if any(f"{role}_lr" in self.changes for role in self.gan.optimizers):
            self.save()
        if self.progress and is_open(sys.stdout):
            for field, (old, new) in self.changes.items():
                print(f"set {field}: {old} -> {new}", flush=True)
        self.changes = {}

    # -- to and from the folder -------------------------------------------------------------

    def save(self, *, scored: bool = False) -> None:
        """Write the checkpoint; the one before it stays as checkpoint-previous.safetensors.

        Args:
            scored: then take the score, if the trainer has one, and keep the best.

        Raises:
            NonFiniteError: the state holds NaN or infinity; the last checkpoint stays.
            FileError: the file cannot be written; the last checkpoint stays.
            BusyError: another trainer or thread is writing the folder, or has changed it.
            CallbackError: the score failed; the checkpoint is written.
        """
        with self.alone():
            self.gan.check_finite()
            require_same_parts(self._description, self.gan, self.data)
            with self._folder.lock:
                if self._folder.lock.depth == 1:  # `fit` is not running
                    self._open()
                asked = flag("save: scored", scored) or self._is_score_due()
                self._score_due = asked and self.score is not None
                self._folder.write(self._encoded(), self.gan.step_count)
                self._take_score()

    def _is_score_due(self) -> bool:
        """Whether the present state is that of the checkpoint, and still to be scored."""
        return self._score_due and self._folder.saved == self.gan.step_count

    def _take_score(self) -> None:
        """Score the checkpoint, if that is due: also one that a killed or failed run left."""
        if self.score is None or not self._is_score_due():
            return
        when = f"the score after step {self.gan.step_count:,}"
        score = call_named(self.score, when, self.gan, kind=as_score)
        self._folder.write_scored(self._encoded(score), score)
        self._score_due = False

    def _encoded(self, score: float | None = None) -> tuple[bytes, memoryview]:
        """The state as a checkpoint, with its score, if it has been taken."""
        description = self.description()
        description.pop("changes", None)  # a checkpoint says what the run is, not how it came to be
        tensors, counters = self.gan.state()
        arrays = {name: self.gan.ops.to_host(array) for name, array in tensors.items()}
        metadata = {
            "step": counters["step"],
            "rollbacks": self.rollbacks,
            "score": score if score is not None and math.isfinite(score) else None,
            **({"score_due": True} if self._score_due and score is None else {}),
            "score_name": getattr(self.score, "__name__", None),
            "counters": counters,
            "loss": self.gan.loss.to_config(),
            "data": self.data.state(),
            "run": description,
            "run_sha256": hashlib.sha256(as_json(description)).hexdigest(),
            **({"rates": self._rates} if self._rates else {}),
        }
        return encode(arrays, metadata)

    def _open(self) -> None:
        """Make the folder agree with this trainer, before it is written."""
        self._folder.open()
        if self._resumed_from is not None:
            self._folder.settle(self._resumed_from)
            self._resumed_from = self.out / CHECKPOINT  # the next lines may fail and be repeated
            self._folder.rewind(self.gan.step_count)
            rows = self.history.recent
            due = self._schedule.last(self.print_every, self.gan.step_count)
            if due > (rows[-1]["step"] if rows else 0) and "changes" not in self._description:
                log.warning("%s lacks rows up to step %s", self.history.path, f"{due:,}")
            self._resumed_from = None
        self._write_changes()

    def _load(self, path: Path, checkpoint: Checkpoint) -> None:
        """Take over the state of a checkpoint. Everything is checked before anything changes."""
        metadata, before = checkpoint.metadata, self.data.state()
        try:
            rollbacks = whole("rollbacks", metadata["rollbacks"], 0)
            rates = rates_of(path, metadata)
            self.data.load_state(metadata["data"])
            restore(self.gan, path, checkpoint)
        except UNEXPECTED as error:
            self.data.load_state(before)
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"{path} has damaged metadata") from error
        self.rollbacks, self._rates = rollbacks, rates
        self._score_due = metadata.get("score_due") is True

    def _roll_back(self, error: NonFiniteError) -> None:
        """After divergence: go back to the checkpoint with half the rates, or raise `error`."""
        if self.on_nan != "rollback":
            raise error
        if self.rollbacks >= ROLLBACKS:
            raise NonFiniteError(f"{error} ({ROLLBACKS} rollbacks did not help)") from error
        done, loss = self.rollbacks + 1, self.gan.loss
        path, checkpoint = read_checkpoint(self.out)
        self._load(path, checkpoint)
        self._folder.settle(path)
        self._folder.rewind(self.gan.step_count)
        self.rollbacks = done
        for optimizer in self.gan.optimizers.values():
            optimizer.lr *= 0.5
        self.save()  # or a killed process would lose the halved rates
        log.warning(
            "%s; rolled back to step %s with half the learning rates%s (%s of %s)",
            error,
            f"{self.gan.step_count:,}",
            "" if self.gan.loss == loss else f" and its loss, {self.gan.loss}",
            done,
            ROLLBACKS,
        )
