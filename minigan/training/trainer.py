"""The training loop: steps, epochs, and what is due after them.

Its base classes hold the run's settings, save and restore its state (resumable.py), call the
functions that were given to `every` and `at` (calling.py), and take the steps (together.py).
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from minigan.backend import get_backend
from minigan.backend.float_errors import ignore_float_errors
from minigan.checks import flag, whole
from minigan.data import DataSource
from minigan.errors import ConfigError, Interrupted, NonFiniteError, OrderError
from minigan.files import as_path
from minigan.gan import Game
from minigan.training.console import Console
from minigan.training.health import diagnose, measure
from minigan.training.history import rate_column, read_history
from minigan.training.recipe_json import as_json, require_description, require_startable
from minigan.training.run import RunFiles, best_score, read_run, same_data, same_game
from minigan.training.run_folder import BEST, CHECKPOINT, RunFolder
from minigan.training.schedule import epoch_end
from minigan.training.signals import StopRequest
from minigan.training.threads import limit_threads
from minigan.training.together import Together

CHECK_EVERY = 100  # steps between checks for NaN
WORTH_CAPTURING = 10  # steps; recording a step costs about as much as one more step


class Trainer(Together):
    """Trains a GAN on data and keeps a run folder.

    Args:
        gan: what to train, or another `Game`; untrained.
        data: where real samples come from.
        out: the run folder; made if missing. It must not hold a run already.
        batch: real samples per step.
        print_every: steps between printed lines (and rows of the history).
        checkpoint_every: steps between checkpoints; by default `print_every`.
        unit: "step", or "epoch" to count both intervals in epochs. Epoch k ends with the step
            that serves its last sample, so it may share that step with epoch k + 1.
        recipe: the experiment's settings as JSON, saved with the run.
        on_nan: what to do when a loss or a parameter becomes NaN or infinite: "stop", or
            "rollback" to the last checkpoint and continue with half of all learning rates, at
            most three times.
        score: returns a number for the GAN, lower is better. It is called after each scheduled
            checkpoint, and the best one is kept as best.safetensors. It must draw samples with a
            seed, and change nothing.
        progress: False hides the progress bar and the lines. The bar shows on terminals.

    Raises:
        ConfigError: an invalid setting; a GAN that was trained before; a part that could not be
            read back from a file as itself; or a folder that holds a run already.
        BusyError: another process is writing the folder.
        FileError: a folder that cannot be written.
        ShapeError, DTypeError: data and GAN do not fit.
    """

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
        settings = {"batch": batch, "unit": unit, "print_every": print_every, "on_nan": on_nan}
        settings["checkpoint_every"] = print_every if checkpoint_every is None else checkpoint_every
        self._configure(gan, data, out, settings, recipe or {}, score, progress)
        require_startable(self.gan, self.data)
        require_description(self.description())
        self._folder.begin(as_json(self.description()), self.save)

    @classmethod
    def resume(
        cls,
        out: Path | str | RunFiles,
        *,
        gan: Game | None = None,
        data: DataSource | None = None,
        device: str = "cpu",
        changes: Mapping[str, Any] | None = None,
        score: Callable[[Game], float] | None = None,
        progress: bool = True,
    ) -> Trainer:
        """Rebuild a run from its folder and go to its last checkpoint.

        If that checkpoint is damaged, the one before it is taken, with a warning. Nothing is
        written before `fit`, which drops the rows of the history that come after the checkpoint.

        Args:
            out: the run folder, or what `read_run` read from it.
            gan: the game, untrained, as the run's recipe builds it. Its definition is compared
                with the saved one. By default it is rebuilt from the saved one.
            data: the data source, if it cannot be rebuilt from its description (`Samples`).
            device: where to continue.
            changes: what is to differ from now on, as for `change`.
            score: as for a new `Trainer`; it is not kept with the run.

        Raises:
            CheckpointError: no run there, a damaged one, or one whose recipe.json was edited;
                the error names the fields.
            BusyError: another process is writing the folder.
            ConfigError: the data are missing, or not those of the run; an invalid change.
        """
        get_backend(device)  # an unusable device is reported before anything else
        files = out if isinstance(out, RunFiles) else read_run(as_path(out))
        out, description, path, checkpoint, seen = files
        gan = same_game(out, description, gan, device)
        data = same_data(out, description["data"], data, device)
        run = cls.__new__(cls)
        settings, recipe = description["trainer"], description["recipe"]
        run._configure(gan, data, out, settings, recipe, score, progress)
        run._load(path, checkpoint)
        if run.history.path.exists():
            read_history(run.history.path, run.history.columns)  # an error, if it is damaged
        run._resumed_from = path
        run._folder.saved, run._folder.seen = gan.step_count, {CHECKPOINT: seen}
        if "changes" in description:
            run._description["changes"] = description["changes"]
        run.change(changes or {})
        if score is not None and (out / BEST).exists():
            run._folder.best = best_score(out, json.loads(as_json(run.description())))
        return run

    # -- the run --------------------------------------------------------------------

    @property
    def folder(self) -> RunFolder:
        """The files of the run, which can be written while `fit` runs."""
        return self._folder

    def fit(
        self,
        steps: int | None = None,
        epochs: int | None = None,
        *,
        threads: int | None = None,
        capture: bool = True,
        workers: int = 1,
    ) -> None:
        """Train up to step `steps` (or to the end of epoch `epochs`), counted from the start.

        A run that has reached the goal is left as it is. A row of the history and a checkpoint
        are written at the goal, too, even if it is not a multiple of `print_every`.

        The first SIGINT (Ctrl-C) or SIGTERM lets the step end and saves. A second one ends the
        process at once, and the checkpoint before stays.

        Inside `mpi_main`, under `mpiexec` with several ranks, all ranks take each step together.

        Args:
            steps, epochs: the goal, >= 0; one of the two.
            threads: for matrix products; by default what the BLAS library is set to, but one
                for networks so small that a second thread costs more than it saves.
            capture: record a step and replay it (see `GAN.capture`), the same to the bit. On a
                GPU the step is one CUDA graph.
            workers: how many processes take each step together: this one, and others that it
                starts. Each computes with a share of the batch. The run is the same up to the order
                of sums. `threads` is then the number in each process, by default its share of the
                machine's cores. With ranks of MPI it must be 1.

        Raises:
            FileError: a file of the run cannot be written; the last checkpoint is still there.
            BusyError: another process, trainer or thread is training, or the folder was changed.
            OrderError: `fit` is running, and has called a function that calls it.
            ConfigError: neither or both given, one below 0, or epochs of endless data.
            NonFiniteError: training diverged, and `on_nan` did not help; the checkpoint stays.
            CallbackError: a function that was given to `every` failed.
            Interrupted: a signal came, and the run is saved. (It is a KeyboardInterrupt.)
            WorkerError: a worker process ended, or MPI failed; the last checkpoint is still there,
                and this trainer has gone back to it.
        """
        with self.alone():
            if self._folder.lock.depth:
                raise OrderError("fit was called by a function that fit had called")
            self._captures = flag("fit: capture", capture)
            self.gan.bind(self.batch)  # it may have been stepped by hand with another batch
            goal, workers = self.step_of(steps, epochs), whole("fit: workers", workers, 1)
            suitable = self.threads_of_each(workers)
            threads = suitable if threads is None else whole("fit: threads", threads, 1)
            with limit_threads(threads), self._folder.lock, StopRequest() as stop:
                self._open()
                self._take_score()
                self._folder.flush()
                if self.gan.step_count < goal:
                    with self.team_of(workers, threads):
                        self._train(goal, stop)
                elif self._folder.saved != self.gan.step_count:  # an earlier fit could not save it
                    self._call_at_start()  # one of these functions may have been what failed
                    self.save(scored=True)
                if stop.signum is not None:
                    name = signal.Signals(stop.signum).name
                    raise Interrupted(f"{name}: saved at step {self.gan.step_count}", stop.signum)

    def _train(self, goal: int, stop: StopRequest) -> None:
        self.goal = goal
        with Console(self.gan, self.data, self.unit, goal, self.progress, stop) as console:
            stopped = None
            self._call_at_start()
            while self.gan.step_count < goal and stopped is None:
                try:
                    step = self._advance(goal, stop, console)
                    rows = 0  # or their number, if one is added now
                    if self._schedule.is_due(self.print_every, step) or step == goal:
                        row = self._add_row()
                        rows = self.history.count
                        console.show(row, self.epoch, diagnose(self.history.recent, self.gan.loss))
                    self._call_due(step, rows)
                    stopped = stop.signum  # read once: a later signal waits for the next turn
                    if self._schedule.is_due(self.checkpoint_every, step) or step == goal:
                        self.save(scored=True)
                    elif stopped is not None:
                        self.save()
                except NonFiniteError as error:
                    self._roll_back(error)
                    self._call_at_start()
                    console.restart()

    @ignore_float_errors
    def _advance(self, goal: int, stop: StopRequest, console: Console) -> int:
        """Train for at least a step, until something is due or a signal came; return the last one.

        Raises:
            NonFiniteError: training diverged.
        """
        step = self.gan.step_count
        due = [callback.next(step, goal) for callback in self._callbacks]
        due += [self._schedule.next(n, step) for n in (self.print_every, self.checkpoint_every)]
        end = min(goal, step + CHECK_EVERY, *due)
        console.start()
        if self.gan.batch != self.batch:
            raise ConfigError(
                f"the GAN was bound to a batch of {self.gan.batch} during the run, whose batch is "
                f"{self.batch}"
            )
        # A record that exists costs nothing; and functions of `at` change nothing.
        recorded = self.gan.recording.replay is not None
        last = goal if self._calls_at_given_steps() else end

        def more() -> bool:
            done = self.gan.step_count
            return done == step or (done < end and stop.signum is None)

        self._take_steps(self._captures and (recorded or last - step >= WORTH_CAPTURING), more)
        console.stop()
        self.gan.check_finite()
        return self.gan.step_count

    def step_of(self, steps: int | None = None, epochs: int | None = None) -> int:
        """The step that ends `steps` steps or `epochs` epochs, counted from the start. Give one."""
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
            **{rate_column(self.gan, role): one.rate for role, one in self.gan.optimizers.items()},
            **measure(self.gan, self.data),
            "rollbacks": self.rollbacks,
        }
        self._folder.add_row(row)
        return row
