"""The clock: steps, epochs, what is due. The mathematics knows nothing of it.

What a run keeps is in keeper.py; what is printed, in console.py; what follows divergence, in
rollback.py; how a run goes on, in resume.py.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from minigan.backend import get_backend
from minigan.checks import whole
from minigan.data import DataSource
from minigan.errors import ConfigError, Interrupted, NonFiniteError
from minigan.gan import Game
from minigan.training.callbacks import UNITS, Callback, require_call
from minigan.training.console import Console
from minigan.training.fused import fused_training
from minigan.training.health import diagnose, measure
from minigan.training.history import rate_column
from minigan.training.keeper import Keeper
from minigan.training.resume import open_run, resume
from minigan.training.rollback import roll_back
from minigan.training.schedule import epoch_end
from minigan.training.signals import StopRequest
from minigan.training.threads import limit_threads, suitable_threads

CHECK_EVERY = 100  # steps between looks for NaN
FUSED_STEPS = 1000  # steps in one kernel, between looks for NaN and for signals
WORTH_CAPTURING = 10  # steps: recording one costs about as much as one more


class Trainer(Keeper):
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
        self._begin()

    @classmethod
    def resume(
        cls,
        out: Path | str,
        *,
        gan: Game | None = None,
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
            gan: the game, untrained, as the run's recipe builds it: its definition is compared with
                the one that was kept. By default it is rebuilt from that.
            data: the data source, if it cannot be rebuilt from its description (`Samples`).
            device: where to go on.
            changes: what shall differ from now on, as for `change`.
            score: as for a new `Trainer`; it is not kept with the run.

        Raises:
            CheckpointError: no run there, one that is damaged, or whose recipe.json was
                changed by hand; the fields are named.
            BusyError: another process is writing the folder.
            ConfigError: the data are missing, or not those of the run; a change that cannot be.
        """
        get_backend(device)  # a wrong device is no fault of the run's
        opened = open_run(Path(out))
        return resume(cls, opened, gan, data, device, changes or {}, score, progress)

    def every(self, n: int, unit: str, call: Callable[..., Any], *args: Any) -> None:
        """Have a function called during training: `call(trainer, *args)`.

        It is called when an interval ends, after the row of the history (if there is one), and
        before the checkpoint. Several that are due are called in the order given. Intervals count
        from the start of the run, so a resumed run calls at the same steps; those in rows count
        the row at the end of each `fit`, too.

        A function may look: `gan.sample(n, seed=...)`, `data.reference(n)`, `predict` of the
        networks, parameters and gradients. What moves the run is part of it: parameters that are
        changed, `gan.losses()`, samples without a seed, `data.next_batch`.

        Args:
            n: the length of the interval, >= 1.
            unit: "step", "epoch", or "row" of the history.
            call: the function. If it fails, training ends, and the error names it.
            args: its arguments after the trainer.

        Raises:
            ConfigError: no such unit, epochs of endless data, or no function of these arguments.
        """
        require_call(call, self, *args)
        if unit not in UNITS:
            raise ConfigError(f"every: unit must be one of {', '.join(UNITS)}, not {unit!r}")
        schedule = None if unit == "row" else self._schedule_of(unit)
        self._callbacks.append(Callback(call, args, whole("every: n", n, 1), schedule))

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
            after_row: called with the trainer after each row of the history, in this `fit` alone:
                as `every(1, "row", after_row)`.
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
            CallbackError: a function that `every` was given failed, or `after_row` did.
            Interrupted: a signal came, and all is saved. (It is a KeyboardInterrupt.)
        """
        self._captures = capture
        self.gan.bind(self.batch)  # in case it was stepped by hand with another batch
        goal = self.step_of(steps, epochs)
        if threads is None:
            threads = suitable_threads(self.gan, self.batch)
        else:
            threads = whole("fit: threads", threads, 1)
        callbacks = list(self._callbacks)
        if after_row is not None:
            callbacks.append(Callback(after_row, (), 1, None))
        with self._folder.lock, StopRequest() as stop, limit_threads(threads):
            self._open()
            self.history.flush()
            if self.gan.step_count < goal:
                self._train(goal, stop, callbacks)
            elif self._folder.saved != self.gan.step_count:  # an earlier fit could not save it
                self.save(scored=True)
            if stop.signum is not None:
                name = signal.Signals(stop.signum).name
                raise Interrupted(f"{name}: saved at step {self.gan.step_count}", stop.signum)

    def _train(self, goal: int, stop: StopRequest, callbacks: list[Callback]) -> None:
        with Console(self.gan, self.data, self.unit, goal, self.progress) as console:
            stopped = None
            while self.gan.step_count < goal and stopped is None:
                try:
                    step = self._advance(goal, stop, callbacks, console)
                    rows = 0  # or how many there are, if one is added
                    if self._schedule.is_due(self.print_every, step) or step == goal:
                        row = self._add_row()
                        rows = self.history.count
                        console.show(row, self.epoch, diagnose(self.history.recent))
                    for callback in callbacks:
                        if callback.is_due(step, rows):
                            callback(self, step)
                    stopped = stop.signum  # read once: what comes later waits for the next turn
                    if self._schedule.is_due(self.checkpoint_every, step) or step == goal:
                        self.save(scored=True)
                    elif stopped is not None:
                        self.save()
                except NonFiniteError as error:
                    roll_back(self, error)
                    console.restart()

    def _advance(
        self, goal: int, stop: StopRequest, callbacks: list[Callback], console: Console
    ) -> int:
        """At least a step, until something is due or a signal asks to stop; returns the last.

        Raises:
            NonFiniteError: they diverged.
        """
        step = self.gan.step_count
        # Asked again for each stretch, since what was called in between may have changed a step.
        fused = fused_training(self.gan, self.data) if self._captures else None
        longest = CHECK_EVERY if fused is None else FUSED_STEPS
        due = [self._schedule.next(n, step) for n in (self.print_every, self.checkpoint_every)]
        due += [callback.next(step, goal) for callback in callbacks]
        end = min(goal, step + longest, *due)
        console.start()
        if fused is not None:
            fused.run(end - step)
        else:
            if self.gan.batch != self.batch:
                raise ConfigError(
                    f"the GAN was bound to a batch of {self.gan.batch} during the run, whose batch "
                    f"is {self.batch}"
                )
            self.gan.capture(self._captures and end - step >= WORTH_CAPTURING)
            while self.gan.step_count == step or (
                self.gan.step_count < end and stop.signum is None
            ):
                self.data.next_batch(out=self.gan.real)
                self.gan.step()
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
            **{rate_column(role): one.rate for role, one in self.gan.optimizers.items()},
            **measure(self.gan, self.data),
            "rollbacks": self.rollbacks,
        }
        self.history.add(row)
        return row
