"""What a run keeps: a game, its data and its settings, to and from the run folder."""

from __future__ import annotations

import copy
import json
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import minigan.version
from minigan.checks import number, whole
from minigan.data import DataSource
from minigan.errors import CheckpointError, ConfigError
from minigan.files import write_whole
from minigan.fixed import Fixed
from minigan.gan import Game
from minigan.gan.fit import check_data
from minigan.training.callbacks import Callback, call_named
from minigan.training.checkpoint import Checkpoint, encode, require_finite
from minigan.training.description import (
    CHANGEABLE,
    RECIPE,
    Changes,
    as_json,
    change,
    description_hash,
    differences,
    listed,
    require_description,
    require_startable,
)
from minigan.training.folder import Folder
from minigan.training.history import History, columns_of
from minigan.training.run import CHECKPOINT, rates_of, restore
from minigan.training.schedule import Schedule

log = logging.getLogger("minigan")


class Keeper(Fixed):
    """A game and its data in a run folder: everything of a `Trainer` but the training.

    Attributes:
        epoch: whole epochs served so far; 0 for endless data.
        rollbacks: after divergence, so far.
        changes: what `change` changed, {"recipe.epochs": (30, 60)}, until that is written.
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
    print_every: int
    checkpoint_every: int
    on_nan: str

    def _begin(self) -> None:
        """Make the run folder of an untrained game."""
        require_startable(self.gan, self.data)
        require_description(self.description())
        self._folder.begin(as_json(self.description()), self.save)

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
        self.gan = gan
        self.data = data
        self.out = Path(out)
        self.batch = whole("Trainer: batch", settings["batch"], 1)
        self._set_changeable(settings)
        self.unit = settings["unit"]
        if self.unit not in ("step", "epoch"):
            raise ConfigError(f"Trainer: unit must be 'step' or 'epoch', not {self.unit!r}")
        self._recipe = json.loads(as_json(recipe))  # a copy: the caller's may change
        self.score = score
        self.progress = progress
        self.rollbacks = 0
        self._folder = Folder(self.out, columns_of(gan))
        # A learning rate changed later is state; what the run is was said here.
        self._defined = {"gan": gan.to_config(), "data": data.to_config()}
        self._record: dict[str, list[Any]] = {}  # every value of what was changed
        self.changes: Changes = {}
        self._rates: list[dict[str, Any]] = []  # learning rates that were set, and when
        self._callbacks: list[Callback] = []
        self._resumed_from: Path | None = None  # the checkpoint, until `fit` has gone on from it
        gan.bind(self.batch)
        self._schedule = self._schedule_of(self.unit)

    def _schedule_of(self, unit: str) -> Schedule:
        """Intervals counted in "step" or "epoch"."""
        if unit == "epoch" and self.data.size is None:
            raise ConfigError("Trainer: this data has no end, so no epochs; use unit='step'")
        size = self.data.size if unit == "epoch" else None
        return Schedule(self.gan.samples_per_step, size)

    def _set_changeable(self, settings: Mapping[str, Any]) -> None:
        """Set what may change during a run. (They refuse assignment, so past that.)"""
        every = {
            name: whole(f"Trainer: {name}", settings[name], 1)
            for name in ("print_every", "checkpoint_every")
        }
        if settings["on_nan"] not in ("stop", "rollback"):
            raise ConfigError(
                f"Trainer: on_nan must be 'stop' or 'rollback', not {settings['on_nan']!r}"
            )
        vars(self).update(every, on_nan=settings["on_nan"])

    @property
    def recipe(self) -> dict[str, Any]:
        """The experiment's settings, a copy."""
        return copy.deepcopy(self._recipe)

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
        """What recipe.json holds: enough to rebuild the run, untrained."""
        settings = {name: getattr(self, name) for name in ("batch", "unit", *CHANGEABLE)}
        return {
            "minigan": minigan.version.__version__,
            "recipe": self._recipe,
            **self._defined,
            "trainer": settings,
            **({"changes": self._record} if self._record else {}),
        }

    # -- what may change --------------------------------------------------------------------

    def change(self, changes: Mapping[str, Any]) -> None:
        """Change what may change while the run stays what it is. The run keeps a record of it.

        It is written, and printed, by the next `fit` or `save`; within a `fit`, at once.

        Args:
            changes: "print_every", "checkpoint_every" or "on_nan"; a word of the recipe, as
                "recipe.epochs"; or a learning rate, as "generator_lr".

        Raises:
            ConfigError: a name or value that cannot be; then nothing is changed.
        """
        changes = json.loads(as_json(dict(changes)))  # as they are kept; a tuple becomes a list
        rates = {
            f"{role}_lr": number(f"{role}_lr", changes[f"{role}_lr"], at_least=0.0)
            for role in self.gan.optimizers
            if f"{role}_lr" in changes
        }
        description = copy.deepcopy(self.description())
        others = {name: value for name, value in changes.items() if name not in rates}
        changed = change(description, others, [f"{role}_lr" for role in self.gan.optimizers])
        self._set_changeable(description["trainer"])
        self._recipe = description["recipe"]
        self._record = description.get("changes", {})
        for role, optimizer in self.gan.optimizers.items():
            new = rates.get(f"{role}_lr", optimizer.lr)
            if new != optimizer.lr:
                changed[f"{role}_lr"] = (optimizer.lr, new)
                self._rates.append(
                    {"step": self.gan.step_count, "rate": f"{role}_lr", "lr": [optimizer.lr, new]}
                )
                optimizer.lr = new
        self.changes = {**self.changes, **changed}
        if self._folder.lock.depth:
            self._write_changes()

    def _write_changes(self) -> None:
        """Write what was changed; a rate goes into the checkpoint, since it is state."""
        if not self.changes:
            return
        write_whole(self.out / RECIPE, as_json(self.description()))
        if any(f"{role}_lr" in self.changes for role in self.gan.optimizers):
            self.save()
        if self.progress:
            for field, (old, new) in self.changes.items():
                print(f"set {field}: {old} -> {new}", flush=True)
        self.changes = {}

    def _require_unchanged(self) -> None:
        """Raise `ConfigError` if a part is not what it was when the run started."""
        saved = json.loads(as_json(self._defined))
        now = json.loads(as_json({"gan": self.gan.to_config(), "data": self.data.to_config()}))
        for config in (saved["gan"], now["gan"]):  # these two are state
            config.pop("loss", None)  # a game may have decided some itself
            for role in self.gan.optimizers:
                config.get(f"{role}_optimizer", {}).pop("lr", None)
        if saved != now:
            changed = listed(differences(saved, now))
            raise ConfigError(f"this run is not what it was when it started: {changed}")

    # -- to and from the folder -------------------------------------------------------------

    def save(self, scored: bool = False) -> None:
        """Write the checkpoint; the one before it stays as checkpoint-previous.safetensors.

        Args:
            scored: take the score, if the trainer has one, and keep the best.

        Raises:
            NonFiniteError: the state holds NaN or infinity; the last checkpoint stays.
            FileError: the file cannot be written; the last checkpoint stays.
            BusyError: somebody else is writing the folder, or has since this trainer read it.
        """
        self.gan.check_finite()
        self._require_unchanged()
        score = self._take_score() if scored else math.nan
        description = self.description()
        description.pop("changes", None)  # what was changed is no part of what the run is
        tensors, counters = self.gan.state()
        arrays = {name: self.gan.ops.to_host(array) for name, array in tensors.items()}
        require_finite(arrays, self.gan.step_count)
        pieces = encode(
            arrays,
            {
                "step": self.gan.step_count,
                "rollbacks": self.rollbacks,
                "score": score if math.isfinite(score) else None,
                "counters": counters,
                "loss": self.gan.loss.to_config(),
                "data": self.data.state(),
                "run": description,
                "run_sha256": description_hash(description),
                **({"rates": self._rates} if self._rates else {}),
            },
        )
        with self._folder.lock:
            if self._folder.lock.depth == 1:  # by hand; `fit` has done it
                self._open()
            self._folder.write(pieces, self.gan.step_count, score)

    def _take_score(self) -> float:
        """How bad the GAN is; NaN if the trainer has no score."""
        if self.score is None:
            return math.nan
        when = f"the score after step {self.gan.step_count:,}"
        score: float = call_named(self.score, when, self.gan, kind=float)
        return score

    def _open(self) -> None:
        """Make the folder agree with this trainer, as a resumed one may still have to."""
        self._folder.require_unchanged()
        if self._resumed_from is not None:
            self._folder.settle(self._resumed_from)
            self._resumed_from = self.out / CHECKPOINT  # should what follows fail, and be repeated
            self.history.rewind(self.gan.step_count)
            rows = self.history.recent
            due = self._schedule.last(self.print_every, self.gan.step_count)
            if due > (rows[-1]["step"] if rows else 0) and not self._record:
                log.warning("%s lacks rows up to step %s", self.history.path, f"{due:,}")
            self._resumed_from = None
        self._write_changes()

    def _go_back(self, path: Path, checkpoint: Checkpoint) -> None:
        """In the middle of a run: to an earlier checkpoint, which becomes the newest one."""
        self._load(path, checkpoint)
        self._folder.settle(path)
        self.history.rewind(self.gan.step_count)

    def _load(self, path: Path, checkpoint: Checkpoint) -> None:
        """Take over the state of a checkpoint. Everything is checked before anything changes."""
        metadata = checkpoint.metadata
        before = self.data.state()
        try:
            rollbacks = whole("rollbacks", metadata["rollbacks"], 0)
            rates = rates_of(path, metadata)
            self.data.load_state(metadata["data"])
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{path} has damaged metadata") from error
        try:
            restore(self.gan, path, checkpoint)
        except CheckpointError:
            self.data.load_state(before)
            raise
        self.rollbacks, self._rates = rollbacks, rates
