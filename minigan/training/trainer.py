"""The clock: steps, epochs, lines, files. The mathematics knows nothing of it."""

from __future__ import annotations

import copy
import json
import logging
import math
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import minigan.version
from minigan.backend import get_backend
from minigan.checks import whole
from minigan.config import CLASSES, rebuild, require_readable, require_registered
from minigan.data import DataSource
from minigan.errors import (
    BusyError,
    CheckpointError,
    ConfigError,
    DTypeError,
    Interrupted,
    NonFiniteError,
    ShapeError,
)
from minigan.files import (
    cannot_write,
    make_folder,
    remove_leftovers,
    sync_folder,
    write_whole,
)
from minigan.fixed import Fixed
from minigan.gan import Game
from minigan.text import count, loss_title
from minigan.training.checkpoint import Checkpoint, encode
from minigan.training.fused import fused_training
from minigan.training.health import MEASURES, diagnose, measure, shorten
from minigan.training.history import History, read_history
from minigan.training.lock import WRITER, WriterLock, printable, require_unlocked
from minigan.training.run import (
    BEST,
    CHECKPOINT,
    DAMAGED,
    HISTORY,
    PREVIOUS,
    RECIPE,
    Changes,
    as_json,
    best_score,
    build_gan,
    change,
    description_hash,
    differences,
    read_checkpoint,
    read_recipe,
    require_description,
    require_free,
    require_same,
    restore,
)
from minigan.training.schedule import Schedule, epoch_end
from minigan.training.signals import StopRequest
from minigan.training.threads import limit_threads, suitable_threads

log = logging.getLogger("minigan")

CHECK_EVERY = 100  # steps between looks for NaN
FUSED_STEPS = 1000  # steps in one kernel, between looks for NaN and for signals
WORTH_CAPTURING = 10  # steps: noting one down costs about as much as one more
ROLLBACKS = 3  # after so many, a run that diverges again is given up


class Trainer(Fixed):
    """Trains a GAN on data and keeps a run folder.

    Args:
        gan: what to train, or another `Game`; untrained.
        data: where real samples come from.
        out: the run folder; made if missing. It must not hold a run already.
        batch: real samples a step.
        print_every: steps between printed lines (and rows of the history).
        checkpoint_every: steps between checkpoints; by default `print_every`.
        unit: "step", or "epoch" to count both intervals in epochs. Epoch k ends with the step
            that serves its last sample, so it may share that step with epoch k + 1.
        recipe: the experiment's settings as JSON, saved with the run.
        on_nan: what to do when a loss or a parameter becomes NaN or infinite: "stop", or
            "rollback" to the last checkpoint and go on with half of both learning rates, at
            most three times.
        score: how bad the GAN is, lower is better, taken at each checkpoint of the schedule; the
            best one is kept as best.safetensors. It must draw its samples from a seed, and
            change nothing.
        progress: False hides the progress bar and the lines. The bar shows on terminals.

    Raises:
        ConfigError: an invalid setting; a GAN that was trained before; a part that could not be
            read back from a file as itself; or a folder that holds a run already.
        BusyError: another process is writing the folder.
        FileError: a folder that cannot be written.
        ShapeError: data and GAN do not fit.
    """

    fixed: ClassVar[dict[str, str]] = {
        **dict.fromkeys(
            ("gan", "data", "out", "batch", "unit", "history"),
            "what a run is was decided when it started: start another one",
        ),
        **dict.fromkeys(
            ("print_every", "checkpoint_every", "on_nan", "recipe"),
            "use Trainer.resume(folder, changes={...}), which keeps a record of it",
        ),
    }

    def __init__(
        self,
        gan: Game,
        data: DataSource,
        out: Path | str,
        *,
        batch: int,
        print_every: int = 1000,
        checkpoint_every: int | None = None,
        unit: str = "step",
        recipe: dict[str, Any] | None = None,
        on_nan: str = "stop",
        score: Callable[[Game], float] | None = None,
        progress: bool = True,
    ) -> None:
        every = print_every if checkpoint_every is None else checkpoint_every
        settings = {
            "batch": batch,
            "print_every": print_every,
            "checkpoint_every": every,
            "unit": unit,
            "on_nan": on_nan,
        }
        self._configure(gan, data, out, settings, recipe or {}, score, progress)
        if gan.step_count:
            raise ConfigError(
                f"this GAN has taken {count(gan.step_count, 'step')} already: resume its run by "
                "Trainer.resume, or begin with an untrained one: GAN.from_config(gan.to_config())"
            )
        gan.require_readable()
        if data.is_given:
            require_registered(data)
        else:
            require_readable(data, "cpu")
        require_description(self.description())
        description = as_json(self.description())
        require_free(self.out)
        make_folder(self.out)
        with self._lock:
            require_free(self.out)  # nobody else began here meanwhile
            (self.out / CHECKPOINT).unlink(missing_ok=True)  # of a start that was killed
            try:
                self.save()  # a beginning that was changed by hand cannot be drawn from the seed
                self.history.start()
                write_whole(self.out / RECIPE, description)  # last: this makes it a run
            except BaseException:
                for name in (CHECKPOINT, HISTORY, RECIPE):
                    (self.out / name).unlink(missing_ok=True)
                raise

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
        if not isinstance(gan, Game) or not isinstance(data, DataSource):
            raise ConfigError("Trainer takes a GAN and a data source; wrap an array: mg.Samples(X)")
        if not (hasattr(data, "size") and hasattr(data, "features")):
            raise ConfigError(f"{type(data).__name__} must have the attributes size and features")
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
        self.batch = whole("Trainer: batch", settings["batch"], 1)
        self.print_every = whole("Trainer: print_every", settings["print_every"], 1)
        self.checkpoint_every = whole("Trainer: checkpoint_every", settings["checkpoint_every"], 1)
        self.unit, self.on_nan = settings["unit"], settings["on_nan"]
        if self.unit not in ("step", "epoch"):
            raise ConfigError(f"Trainer: unit must be 'step' or 'epoch', not {self.unit!r}")
        if self.unit == "epoch" and data.size is None:
            raise ConfigError("Trainer: this data has no end, so no epochs; use unit='step'")
        if self.on_nan not in ("stop", "rollback"):
            raise ConfigError(f"Trainer: on_nan must be 'stop' or 'rollback', not {self.on_nan!r}")
        self._recipe = json.loads(as_json(recipe))  # a copy: the caller's may change
        self.score = score
        self.progress = progress
        self.rollbacks = 0  # after divergence, so far
        self.history = History(self.out / HISTORY, columns_of(gan))
        self._lock = WriterLock(self.out)
        self._recent: list[dict[str, float]] = []  # the rows that `diagnose` needs
        self._unwritten: dict[str, Any] | None = None  # a row, until the history has it
        self._best = math.inf  # the score of best.safetensors
        # A learning rate changed later is state; what the run is was said here.
        self._defined = {"gan": gan.to_config(), "data": data.to_config()}
        self._changes_of_old: dict[str, list[Any]] = {}  # what earlier `resume`s changed
        #: What `resume` changed, {"recipe.epochs": (30, 60)}, until `fit` has written it.
        self.changes: Changes = {}
        self._resumed_from: Path | None = None  # the checkpoint, until `fit` has gone on from it
        self._seen = _signature(self.out)  # the checkpoint as this trainer left it, or found it
        self._saved: int | None = None  # the step of the checkpoint
        self._captures = True  # whether `fit` captures steps
        gan.bind(self.batch)
        self._schedule = Schedule(gan.samples_per_step, data.size if self.unit == "epoch" else None)

    @property
    def recipe(self) -> dict[str, Any]:
        """The experiment's settings, a copy."""
        return copy.deepcopy(self._recipe)

    # -- the run --------------------------------------------------------------------

    def fit(
        self,
        steps: int | None = None,
        epochs: int | None = None,
        after_row: Callable[[Trainer], None] | None = None,
        threads: int | None = None,
        capture: bool = True,
    ) -> None:
        """Train up to step `steps` (or to the end of epoch `epochs`), counted from the start.

        A run that has come that far already is left as it is, so resuming a finished run
        does nothing. A row of the history and a checkpoint are written at the goal too; a goal
        that is no multiple of `print_every` therefore adds a row that a longer run, not
        stopped there, would not have.

        The first SIGINT (Ctrl-C) or SIGTERM lets the step end and saves; a second one ends the
        process at once, and the checkpoint before stays.

        Args:
            steps, epochs: the goal, >= 0; one of the two.
            after_row: called after each row of the history: for a picture, say.
            threads: for matrix products; by default what the BLAS library is set to, but one
                for networks so small that a second thread costs more than it saves.
            capture: repeat a step from its notes (see `GAN.capture`), the same to the bit; on a
                GPU as one CUDA graph, or, of the 1-D experiment, thousands of steps in one kernel
                (see `minigan.training.fused`), the same to rounding.

        Raises:
            FileError: a file of the run cannot be written; the last checkpoint is still there.
            BusyError: another process is writing the folder.
            ConfigError: neither or both given, one below 0, or epochs of endless data.
            NonFiniteError: a loss or parameter became NaN or infinite, and `on_nan` does not
                help; the last checkpoint is left as it was.
            Interrupted: a signal came, and all is saved. (It is a KeyboardInterrupt.)
        """
        self._captures = capture
        self.gan.bind(self.batch)  # in case it was stepped by hand with another batch
        goal = self._goal(steps, epochs)
        if threads is None:
            threads = suitable_threads(self.gan, self.batch)
        else:
            threads = whole("fit: threads", threads, 1)
        with self._lock, StopRequest() as stop, limit_threads(threads):
            self._open()
            self._write_row()
            if self.gan.step_count < goal:
                self._train(goal, stop, after_row)
            elif self._saved != self.gan.step_count:  # an earlier fit could not save it
                self.save(scored=True)
            if stop.signum is not None:
                name = signal.Signals(stop.signum).name
                raise Interrupted(f"{name}: saved at step {self.gan.step_count}", stop.signum)

    def _train(
        self, goal: int, stop: StopRequest, after_row: Callable[[Trainer], None] | None
    ) -> None:
        from tqdm import tqdm  # only when training: it is no part of the mathematics

        served = self.gan.samples_per_step
        with tqdm(
            total=goal * served,
            initial=self.gan.step_count * served,
            unit=" samples",
            unit_scale=True,
            disable=None if self.progress else True,  # None: only where there is a terminal
            leave=False,
        ) as bar:
            row_step, row_time = self.gan.step_count, time.perf_counter()
            stopped = None
            while self.gan.step_count < goal and stopped is None:
                try:
                    step = self._advance(goal, stop)
                    bar.update(step * served - bar.n)
                    if self._schedule.is_due(self.print_every, step) or step == goal:
                        row = self._add_row()
                        if self.progress:
                            now = time.perf_counter()
                            speed = (step - row_step) * served / (now - row_time)
                            tqdm.write(self._line(row, speed), file=sys.stdout)
                            sys.stdout.flush()
                            bar.set_postfix_str(self._losses_of(row))
                        if after_row is not None:
                            after_row(self)
                        row_step, row_time = step, time.perf_counter()
                    stopped = stop.signum  # read once: what comes later waits for the next turn
                    if self._schedule.is_due(self.checkpoint_every, step) or step == goal:
                        self.save(scored=True)
                    elif stopped is not None:
                        self.save()
                except NonFiniteError as error:
                    self._roll_back(error)
                    row_step, row_time = self.gan.step_count, time.perf_counter()

    def _advance(self, goal: int, stop: StopRequest) -> int:
        """At least a step, until something is due or a signal asks to stop; returns the last.

        Raises:
            NonFiniteError: they diverged.
        """
        step = self.gan.step_count
        intervals = (self.print_every, self.checkpoint_every)
        # Asked anew for each stretch, since what was called in between may have changed a step.
        fused = fused_training(self.gan, self.data) if self._captures else None
        longest = CHECK_EVERY if fused is None else FUSED_STEPS
        end = min(goal, step + longest, *(self._schedule.next(n, step) for n in intervals))
        if fused is not None:
            fused.run(end - step)
            self.gan.check_finite()
            return self.gan.step_count
        if self.gan.batch != self.batch:
            raise ConfigError(
                f"the GAN was bound to a batch of {self.gan.batch} during the run, whose batch is "
                f"{self.batch}"
            )
        self.gan.capture(self._captures and end - step >= WORTH_CAPTURING)
        while self.gan.step_count == step or (self.gan.step_count < end and stop.signum is None):
            self.data.next_batch(out=self.gan.real)
            self.gan.step()
        self.gan.check_finite()
        return self.gan.step_count

    def _open(self) -> None:
        """Make the folder agree with this trainer, as a resumed one may still have to."""
        if self._seen != _signature(self.out):
            raise BusyError(
                f"{self.out} was trained by somebody else since this trainer read it; "
                "resume it anew"
            )
        remove_leftovers(self.out, RECIPE, HISTORY, CHECKPOINT, PREVIOUS, BEST, WRITER)
        if self._resumed_from is None:
            return
        self._settle(self._resumed_from)
        self._resumed_from = self.out / CHECKPOINT  # should what follows fail, and be tried again
        step = self.gan.step_count
        self.history.rewind(step)
        rows = read_history(self.history.path, self.history.columns)
        self._recent = shorten(rows)
        due = self._schedule.last(self.print_every, step)
        if due > (rows[-1]["step"] if rows else 0) and not self._changes_of_old:
            log.warning("%s lacks rows up to step %s", self.history.path, f"{due:,}")
        if self.changes:
            write_whole(self.out / RECIPE, as_json(self.description()))
            if self.progress:
                for field, (old, new) in self.changes.items():
                    print(f"set {field}: {old} -> {new}", flush=True)
        self._resumed_from, self.changes = None, {}

    def _settle(self, path: Path) -> None:
        """After a fallback: the sound checkpoint is the newest one, and the other is set aside."""
        if path.name == PREVIOUS:
            try:
                if (self.out / CHECKPOINT).exists():
                    (self.out / CHECKPOINT).replace(self.out / DAMAGED)
                path.replace(self.out / CHECKPOINT)
                sync_folder(self.out)
            except OSError as error:
                raise cannot_write(self.out / CHECKPOINT, error) from error
            self._seen = _signature(self.out)

    def _roll_back(self, error: NonFiniteError) -> None:
        """Back to the last checkpoint, with half of both learning rates."""
        if self.on_nan != "rollback":
            raise error
        if self.rollbacks >= ROLLBACKS:
            raise NonFiniteError(f"{error} ({ROLLBACKS} rollbacks did not help)") from error
        done, self._unwritten = self.rollbacks + 1, None
        loss = self.gan.loss
        path, checkpoint = read_checkpoint(self.out)
        self._load(path, checkpoint)
        self._settle(path)
        self.rollbacks = done
        for optimizer in self.gan.optimizers.values():
            optimizer.lr *= 0.5
        self.history.rewind(self.gan.step_count)
        self._recent = shorten(read_history(self.history.path, self.history.columns))
        self.save()  # so that the halved rates outlive this process
        log.warning(
            "%s; rolled back to step %s with half the learning rates%s (%s of %s)",
            error,
            f"{self.gan.step_count:,}",
            "" if self.gan.loss == loss else f" and its loss, {self.gan.loss}",
            done,
            ROLLBACKS,
        )

    @property
    def epoch(self) -> int:
        """Whole epochs served so far; 0 for endless data."""
        served = self.gan.step_count * self.gan.samples_per_step
        return 0 if self.data.size is None else served // self.data.size

    def _goal(self, steps: int | None, epochs: int | None) -> int:
        if (steps is None) == (epochs is None):
            raise ConfigError("fit: give steps=... or epochs=..., one of them")
        if steps is not None:
            return whole("fit: steps", steps, 0)
        epochs = whole("fit: epochs", epochs, 0)
        if self.data.size is None:
            raise ConfigError("fit: this data has no end, so no epochs; give steps=...")
        return epoch_end(epochs, self.data.size, self.gan.samples_per_step)

    def _add_row(self) -> dict[str, Any]:
        """Measure, and add a row to the history."""
        row = {
            "step": self.gan.step_count,
            **self.gan.losses(),
            **{rate_column(role): one.rate for role, one in self.gan.optimizers.items()},
            **measure(self.gan, self.data),
            "rollbacks": self.rollbacks,
        }
        self._unwritten = row
        self._write_row()
        return row

    def _write_row(self) -> None:
        """Append the row that was measured last, unless that is done; again, after a full disk."""
        if self._unwritten is not None:
            self.history.append(self._unwritten)
            self._recent = shorten([*self._recent, self._unwritten])
            self._unwritten = None

    # -- files ----------------------------------------------------------------------

    def description(self) -> dict[str, Any]:
        """What recipe.json holds: enough to rebuild the run, untrained."""
        return {
            "minigan": minigan.version.__version__,
            "recipe": self._recipe,
            **self._defined,
            "trainer": {
                "batch": self.batch,
                "print_every": self.print_every,
                "checkpoint_every": self.checkpoint_every,
                "unit": self.unit,
                "on_nan": self.on_nan,
            },
            **({"changes": self._changes_of_old} if self._changes_of_old else {}),
        }

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
        score = float(self.score(self.gan)) if scored and self.score is not None else math.nan
        description = self.description()
        description.pop("changes", None)  # an extended run ends like one that was so from the start
        tensors, counters = self.gan.state()
        pieces = encode(
            {name: self.gan.ops.to_host(array) for name, array in tensors.items()},
            {
                "step": self.gan.step_count,
                "rollbacks": self.rollbacks,
                "score": score if math.isfinite(score) else None,
                "counters": counters,
                "loss": self.gan.loss.to_config(),
                "data": self.data.state(),
                "run": description,
                "run_sha256": description_hash(description),
            },
        )
        with self._lock:
            if self._lock.depth == 1:  # by hand; `fit` has done it
                self._open()
            # The best goes first: whoever dies in between writes both again.
            if math.isfinite(score) and score < self._best:
                write_whole(self.out / BEST, *pieces)
                self._best = score
            write_whole(self.out / CHECKPOINT, *pieces, keep=self.out / PREVIOUS)
            self._seen, self._saved = _signature(self.out), self.gan.step_count

    def _require_unchanged(self) -> None:
        """Raise `ConfigError` if a part is not what it was when the run started."""
        saved = json.loads(as_json(self._defined))
        now = json.loads(as_json({"gan": self.gan.to_config(), "data": self.data.to_config()}))
        for config in (saved["gan"], now["gan"]):  # these two are state
            config.pop("loss", None)  # a game may have decided some itself
            for role in self.gan.optimizers:
                config.get(f"{role}_optimizer", {}).pop("lr", None)
        changed = differences(saved, now)
        if changed:
            fields = [f"{field} is {new}, was {old}" for field, (old, new) in changed.items()]
            raise ConfigError(f"this run is not what it was when it started: {'; '.join(fields)}")

    def _load(self, path: Path, checkpoint: Checkpoint) -> None:
        """Take over the state of a checkpoint. Everything is checked before anything changes."""
        metadata = checkpoint.metadata
        before = self.data.state()
        try:
            rollbacks = whole("rollbacks", metadata["rollbacks"], 0)
            self.data.load_state(metadata["data"])
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{path} has damaged metadata") from error
        try:
            restore(self.gan, path, checkpoint)
        except CheckpointError:
            self.data.load_state(before)
            raise
        self.rollbacks = rollbacks

    @classmethod
    def resume(
        cls,
        out: Path | str,
        *,
        data: DataSource | None = None,
        device: str = "cpu",
        changes: Mapping[str, Any] | None = None,
        score: Callable[[Game], float] | None = None,
        progress: bool = True,
    ) -> Trainer:
        """Rebuild a run from its folder and go to its last checkpoint.

        A checkpoint that is damaged is passed over with a warning, if the one before it is
        sound. Nothing is written before `fit`, which drops the rows of the history that come
        after the checkpoint.

        Args:
            out: the run folder.
            data: the data source, if it cannot be rebuilt from its description (`Samples`).
            device: where to go on.
            changes: what shall differ from now on, of what can: "print_every",
                "checkpoint_every", "on_nan", and the words of the recipe, as
                {"recipe.epochs": 60}. `fit` says and writes it.
            score: as for a new `Trainer`; it is not kept with the run.

        Raises:
            CheckpointError: no run there, one that is damaged, or whose recipe.json was
                changed by hand; the fields are named.
            BusyError: another process is writing the folder.
            ConfigError: the data are missing, or not those of the run; a change that cannot be.
        """
        out = Path(out)
        get_backend(device)  # a wrong device is no fault of the run's
        description = read_recipe(out)
        require_unlocked(out)
        seen = _signature(out)  # before it is read: a writer may come in between
        path, checkpoint = read_checkpoint(out)
        require_same(out, checkpoint, description)
        changed = change(description, changes or {})
        gan = build_gan(out, description, device)
        data = _same_data(out, description["data"], data, device)
        trainer = cls.__new__(cls)
        try:
            trainer._configure(
                gan, data, out, description["trainer"], description["recipe"], score, progress
            )
        except (LookupError, TypeError) as error:
            raise CheckpointError(f"{out / RECIPE} does not describe a run: {error}") from error
        trainer._load(path, checkpoint)
        trainer._resumed_from, trainer._saved, trainer._seen = path, gan.step_count, seen
        trainer._changes_of_old = description.get("changes", {})
        trainer.changes = changed
        if trainer.history.path.exists():
            read_history(
                trainer.history.path, trainer.history.columns
            )  # an error, if it is damaged
        if score is not None and (out / BEST).exists():
            trainer._best = best_score(out, description)
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
        failures = "".join(f"   ! {failure}" for failure in diagnose(self._recent))
        return f"{where}   {self._losses_of(row)}   {extra}{failures}"

    def _losses_of(self, row: dict[str, Any]) -> str:
        return "  ".join(f"{loss_title(name)} {row[name]:.3f}" for name in self.gan.columns)


def columns_of(gan: Game) -> tuple[str, ...]:
    """The columns of a run's history; `ConfigError` if a loss has the name of another column."""
    rates = tuple(rate_column(role) for role in sorted(gan.optimizers))
    columns = ("step", *gan.columns, *rates, *MEASURES, "rollbacks")
    titles = [loss_title(name) for name in gan.columns]
    for name, title in zip(gan.columns, titles, strict=True):
        if not name.isidentifier():
            raise ConfigError(f"a loss must have the name of a variable, not {name!r}")
        if columns.count(name) > 1 or name.endswith("_lr") or titles.count(title) > 1:
            raise ConfigError(f"a loss cannot be called {name!r}: another column is")
    return columns


def loss_columns(path: Path, columns: Sequence[str]) -> list[str]:
    """The losses among the columns of a history; `CheckpointError` if it is not one of a run."""
    first = columns.index(MEASURES[0]) if MEASURES[0] in columns else 0
    losses = [name for name in columns[1:first] if not name.endswith("_lr")]
    if not losses or tuple(columns[first:]) != (*MEASURES, "rollbacks"):
        raise CheckpointError(
            f"{path} is not a history of a run: its columns are {printable(', '.join(columns))}"
        )
    return losses


def rate_column(role: str) -> str:
    """The learning rate of a role's optimizer: "d_lr"."""
    return f"{role[0]}_lr"


def _signature(out: Path) -> tuple[int, int, int] | None:
    """What tells one checkpoint file from another without reading it; None if there is none."""
    try:
        status = (out / CHECKPOINT).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _same_data(
    out: Path, saved: dict[str, Any], data: DataSource | None, device: str
) -> DataSource:
    """The run's data source: rebuilt from its description, or `data` if it is the same."""
    if data is None:
        try:
            source: DataSource = rebuild("data", saved, device)
            return source
        except ConfigError as error:
            kind = CLASSES["data"].get(str(saved.get("data")))
            if kind is not None and getattr(kind, "is_given", False):
                raise ConfigError(
                    f"{out} was trained on {kind.__name__}; pass them: resume(..., data=...)"
                ) from None
            raise CheckpointError(f"{out / RECIPE} does not describe a run: {error}") from error
    if not hasattr(data, "to_config"):
        raise ConfigError("resume takes a data source; wrap an array: mg.Samples(X)")
    theirs = data.to_config()
    fields = [key for key in {**saved, **theirs} if saved.get(key) != theirs.get(key)]
    if fields:
        raise ConfigError(f"{out} was trained on other data: {', '.join(fields)} differ")
    return data
