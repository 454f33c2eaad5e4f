"""A sweep: its runs, on the processes that joblib gives, and what came of them."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from minigan.backend import device_name
from minigan.checks import flag, whole
from minigan.errors import ConfigError, Interrupted, MiniganError
from minigan.experiment import Experiment
from minigan.files import absolute_path, as_path, make_folder, remove_leftovers, write_whole
from minigan.lessons.user_code import importable
from minigan.parallel.processes import SIGNALS, handled
from minigan.sweeps.picture import draw
from minigan.sweeps.plan import (
    FOLDERS,
    PICTURE,
    RUNS,
    SWEEP,
    TABLE,
    Plan,
    read_plan,
    require_continued,
)
from minigan.sweeps.table import Results, as_csv
from minigan.sweeps.values import check_seeds, values_of
from minigan.sweeps.worker import Job, Outcome, begin_worker, load_experiment, read_result, run_one
from minigan.text import disable_bar, printable
from minigan.training.lock import WriterLock
from minigan.training.recipe_json import as_json


def sweep(
    file: Path | str,
    settings: Mapping[str, Sequence[Any]] | None = None,
    seeds: Sequence[int] = (0,),
    *,
    out: Path | str,
    recipe: str | None = None,
    jobs: int | None = None,
    threads: int = 1,
    device: str = "cpu",
    data_dir: Path | str | None = None,
    progress: bool = True,
) -> Results:
    """Train an experiment for every combination of settings and seeds, a run folder each.

    The runs are spread by joblib, so they go wherever a surrounding `joblib.parallel_config` says:
    to processes of this machine, or to a Dask cluster that sees the same files. Each run is the
    same to the byte wherever it was trained. A sweep that was interrupted or killed goes on when it
    is called again with the same folder: runs that have ended are not run again, others continue
    from their checkpoints. Values and seeds can be added.

    Args:
        file: a Python file that has an `experiment`.
        settings: the values of fields of its recipe; texts are read as on the command line.
        seeds: of the runs, each >= 0.
        out: the folder of the sweep; made if missing.
        recipe: the recipe that the other settings come from; by default the experiment's default.
        jobs: how many runs are trained at a time; by default what joblib is set to, else one.
        threads: for the matrix products of each run. It is part of the sweep, since other numbers
            can change the last bits.
        device: where to train.
        data_dir: the folder with the data files, for an experiment that takes --data-dir.
        progress: False hides the progress bar, which is only shown on a terminal.

    Returns:
        the tables. A run that diverged, or failed otherwise, is a row with the reason.

    Raises:
        ConfigError: an invalid setting, or the folder holds something else.
        CheckpointError: the folder holds a damaged sweep, or one of another version of the file.
        BusyError: another sweep is writing the folder.
        FileError: the experiment's file is missing; or something cannot be written.
        Interrupted: a signal came. (It is a KeyboardInterrupt.) What was begun can be resumed.
    """
    file, out = absolute_path(file), as_path(out)
    data_dir = None if data_dir is None else absolute_path(data_dir)
    jobs = None if jobs is None else whole("sweep: jobs", jobs, 1)
    experiment, sha256 = load_experiment(file)
    if data_dir is not None and not experiment.data_dir:
        raise ConfigError(f"{file.name} takes no --data-dir: its data are no files")
    plan = plan_of(experiment, settings or {}, seeds, recipe, threads, device)
    runs = plan.runs()
    known = read_plan(out)
    if known is not None:
        require_continued(out, known, plan.to_json())
    make_folder(out)
    with WriterLock(out):
        remove_leftovers(out, SWEEP, RUNS, TABLE, PICTURE)
        write_whole(out / SWEEP, as_json(plan.to_json()))
        outcomes: dict[str, Outcome] = {}
        for run in runs:
            ended = read_result(out / FOLDERS / run.name, run.values, run.seed)
            if ended is not None:
                outcomes[run.name] = ended
        todo = [
            Job(
                file=file,
                sha256=sha256,
                recipe=plan.recipe.name,
                planned=run,
                folder=absolute_path(out) / FOLDERS / run.name,
                threads=plan.threads,
                device=plan.device,
                data_dir=data_dir,
            )
            for run in runs
            if run.name not in outcomes
        ]
        if todo and outcomes:
            _require_built_the_same(experiment, file, out / FOLDERS / next(iter(outcomes)), todo[0])
        shown = flag("sweep: progress", progress)
        for name, outcome in _carried_out(todo, jobs, len(outcomes), shown):
            outcomes[name] = outcome
        results = Results.of([*plan.settings], runs, [outcomes[run.name] for run in runs])
        _write(out, plan, results)
    return results


def plan_of(
    experiment: Experiment,
    settings: Mapping[str, Sequence[Any]],
    seeds: Sequence[int],
    recipe: str | None,
    threads: int,
    device: str,
) -> Plan:
    """The plan that the arguments of `sweep` describe; raises as it does."""
    base = experiment.recipe(recipe)
    return Plan(
        experiment.name,
        base,
        {field: values_of(base, field, values) for field, values in settings.items()},
        check_seeds(seeds),
        whole("sweep: threads", threads, 1),
        device_name(device),
    )


def _carried_out(
    todo: Sequence[Job], jobs: int | None, ended: int, progress: bool
) -> Iterator[tuple[str, Outcome]]:
    """Run what is left; yields a run's name and outcome as they come."""
    import joblib  # slow to import, and only sweeps need it
    from joblib.parallel import LokyBackend, get_active_backend
    from tqdm import tqdm

    if not todo:
        return
    backend = get_active_backend()[0]
    unordered = backend.supports_return_generator
    own: dict[str, Any] = {}  # of processes that joblib starts here
    if isinstance(backend, LokyBackend):
        own = {"initializer": begin_worker, "initargs": (os.getpid(),)}
    # One run a task, in the order in which processes become free. Nothing that is sent is large.
    parallel = joblib.Parallel(
        n_jobs=jobs,
        return_as="generator_unordered" if unordered else "list",
        batch_size=1,
        max_nbytes=None,
        **own,
    )
    total = ended + len(todo)
    with (
        _signals_end_it(),
        tqdm(total=total, initial=ended, unit="run", disable=disable_bar(progress)) as bar,
    ):
        # Processes that joblib starts now ignore Ctrl-C from the beginning; see `begin_worker`.
        with handled(signal.SIG_IGN, [signal.SIGINT] if own else []):
            results = parallel(joblib.delayed(_named)(job) for job in todo)
        try:
            for name, outcome in results:
                for line in outcome.said.splitlines():
                    bar.write(f"{name}: {printable(line)}", file=sys.stderr)
                bar.update()
                yield name, outcome
        except (MiniganError, OSError, MemoryError):
            raise
        except Exception as error:  # a worker was killed, or the cluster is gone
            what = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            raise MiniganError(
                f"a worker process failed ({what}); the same command goes on with the sweep"
            ) from error
        finally:
            if unordered:
                results.close()  # after an error or a signal: ends what is still running


def _named(job: Job) -> tuple[str, Outcome]:
    """A run's name and its outcome, which may come in any order."""
    return job.planned.name, run_one(job)


@contextlib.contextmanager
def _signals_end_it() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP end the sweep as Ctrl-C does: `joblib` then ends its processes."""

    def end(signum: int, frame: FrameType | None) -> None:
        raise Interrupted(signal.Signals(signum).name, signum)

    others = [one for one in SIGNALS if one != signal.SIGINT]
    as_ever = [one for one in others if signal.getsignal(one) == signal.SIG_DFL]
    with handled(end, as_ever):
        yield


def _require_built_the_same(experiment: Experiment, file: Path, ended: Path, job: Job) -> None:
    """Raise what resuming a run that has ended raises, such as that the file builds another game.

    The other runs would be of another experiment than those that have ended.
    """
    words = ["--out", ended, "--resume", "--dry-run", "--device", job.device, "--threads", 1]
    if job.data_dir is not None:
        words += ["--data-dir", job.data_dir]
    with importable(file.parent), contextlib.redirect_stdout(io.StringIO()):
        experiment.run(experiment.parse([*map(str, words)]))


def _write(out: Path, plan: Plan, results: Results) -> None:
    """Write the tables and the picture."""
    write_whole(out / RUNS, as_csv(results.runs, results.fields))
    write_whole(out / TABLE, as_csv(results.settings, results.fields))
    title = f"{plan.experiment}, recipe {plan.recipe.name!r}"
    draw(out / PICTURE, title, results, plan.settings)
