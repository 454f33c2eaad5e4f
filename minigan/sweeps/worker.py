"""One run of a sweep, in the process that joblib chose for it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import math
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigan.errors import UNEXPECTED, CheckpointError, ConfigError, MiniganError, NonFiniteError
from minigan.experiment import Experiment
from minigan.files import remove_leftovers, write_whole
from minigan.lessons.user_code import importable, load_module
from minigan.parallel.processes import end_with
from minigan.reading import read_json
from minigan.sweeps.plan import Planned
from minigan.text import printable
from minigan.training import load_checkpoint, read_history, read_recipe
from minigan.training.recipe_json import MAX_BYTES, RECIPE, as_json
from minigan.training.run_folder import CHECKPOINT, HISTORY

RESULT = "result.json"  # in the folder of a run that has ended

_one_at_a_time = threading.Lock()  # BLAS has one number of threads a process, stdout one place
_loaded: dict[Path, tuple[str, Experiment]] = {}  # a file's SHA-256, and its experiment


@dataclass(frozen=True)
class Job:
    """A run, and what its process must know.

    Attributes:
        file: of the experiment.
        sha256: of the file, when the sweep began.
        recipe: the name of the recipe to start from.
        planned: the run.
        folder: its folder.
        threads: for matrix products.
        device: where to train.
        data_dir: the folder with the data files.
    """

    file: Path
    sha256: str
    recipe: str
    planned: Planned
    folder: Path
    threads: int
    device: str
    data_dir: Path | None


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        step: the last one that was saved.
        score: at the last step, lower is better; None if the run failed.
        score_name: what the score is.
        history: the last row of the history.
        failed: why it failed, in a sentence; None if it did not.
        said: what was printed on stderr, such as warnings.
    """

    step: int
    score: float | None
    score_name: str | None
    history: dict[str, float | None]
    failed: str | None = None
    said: str = ""


def load_experiment(file: Path) -> tuple[Experiment, str]:
    """The experiment that a file defines, and the file's SHA-256. A file is run once a process.

    Raises:
        FileError, ConfigError: it cannot be run, or has no `experiment`.
    """
    sha256 = hashlib.sha256(file.read_bytes() if file.is_file() else b"").hexdigest()
    if file not in _loaded or _loaded[file][0] != sha256:
        experiment = getattr(load_module(file), "experiment", None)
        if not isinstance(experiment, Experiment):
            raise ConfigError(f"{file} has no `experiment`")
        _loaded[file] = sha256, experiment
    return _loaded[file][1], sha256


def run_one(job: Job) -> Outcome:
    """Begin a run, or go on with it, to its end.

    A run that ends or diverges gets a result.json and is not run again. What failed otherwise
    (files, memory, data) is tried again by the next sweep of the same folder.
    """
    with _one_at_a_time, _quiet() as said:
        try:
            outcome = _trained(job)
            write_whole(job.folder / RESULT, as_json(_kept(outcome)))
        except (Exception, SystemExit) as error:
            outcome = Outcome(0, None, None, {}, _reason(error, job.folder))
    return dataclasses.replace(outcome, said=said.getvalue())


def read_result(folder: Path, values: dict[str, Any], seed: int) -> Outcome | None:
    """How a run ended; None if it has not.

    Args:
        folder: the run folder.
        values: of the recipe's fields that are swept.
        seed: of the run.

    Raises:
        CheckpointError: the result is damaged, or the folder holds another run.
    """
    if not (folder / RECIPE).exists():
        return None
    _require_planned(folder, values, seed)
    try:
        content = read_json(folder / RESULT, MAX_BYTES)
        return Outcome(**{**content, "history": dict(content["history"])})
    except FileNotFoundError:
        return None
    except (OSError, *UNEXPECTED) as error:
        raise CheckpointError(f"{folder / RESULT} is damaged: {error}") from error


def _trained(job: Job) -> Outcome:
    """Train a run to its end; raises what the experiment does, except `NonFiniteError`."""
    experiment, sha256 = load_experiment(job.file)
    if sha256 != job.sha256:
        raise ConfigError(f"{job.file} was changed after the sweep began")
    base, planned = experiment.recipe(job.recipe), job.planned
    recipe = dataclasses.replace(base, **planned.values)
    one = dataclasses.replace(experiment, recipes={recipe.name: recipe}, finish=lambda *_: {})
    words = ["--out", job.folder, "--threads", job.threads, "--device", job.device]
    if job.data_dir is not None:
        words += ["--data-dir", job.data_dir]
    if (job.folder / RECIPE).exists():
        _require_planned(job.folder, planned.values, planned.seed)
        words += ["--resume"]
    else:
        words += ["--recipe", recipe.name, "--seed", planned.seed]
    remove_leftovers(job.folder, RESULT)
    try:
        with importable(job.file.parent):
            one.run(one.parse([*map(str, words)]))
    except NonFiniteError as error:
        return _measured(job.folder, f"diverged: {_reason(error, job.folder)}")
    return _measured(job.folder, None)


def _measured(folder: Path, failed: str | None) -> Outcome:
    """The outcome of a run that has ended, from its files."""
    metadata = load_checkpoint(folder / CHECKPOINT).metadata
    rows = read_history(folder / HISTORY)
    score = metadata.get("score")
    if failed is None and score is None:
        failed = "its score is NaN or infinite"
    return Outcome(
        metadata["step"],
        score if failed is None else None,
        metadata.get("score_name"),
        {k: v if math.isfinite(v) else None for k, v in rows[-1].items()} if rows else {},
        failed,
    )


def _kept(outcome: Outcome) -> dict[str, Any]:
    """The content of a result.json."""
    content = {name: value for name, value in vars(outcome).items() if name != "said"}
    return {**content, "history": [*outcome.history.items()]}  # in the order of its columns


def _require_planned(folder: Path, values: dict[str, Any], seed: int) -> None:
    """Raise `CheckpointError` if a run folder holds a run with other settings or another seed."""
    recipe = read_recipe(folder)["recipe"]
    for field, value in json.loads(json.dumps({**values, "seed": seed})).items():
        if value != "auto" and recipe.get(field) != value:
            raise CheckpointError(
                f"{folder} holds a run with {field} {recipe.get(field)}, not {value}: remove it"
            )


def _reason(error: BaseException, folder: Path) -> str:
    """An error in one line, in which the run's folder has its short name."""
    said = str(error)
    if not isinstance(error, MiniganError):
        said = type(error).__name__ + (f": {said}" if said else "")
    return printable(said.replace(str(folder), folder.name).partition("\n")[0])


@contextlib.contextmanager
def _quiet() -> Iterator[io.StringIO]:
    """Inside, nothing is printed; what would be on stderr is collected."""
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        yield said


def begin_worker(parent: int) -> None:
    """Called when a worker process of joblib's own begins: it is to end with the sweep.

    Otherwise it would train on, after a `kill -9` of the sweep's process `parent`, while the next
    sweep of that folder wants to. Its runs can be resumed. Ctrl-C at a terminal reaches workers,
    too: they leave it to the sweep. On Windows a process does not see that its parent has ended: a
    worker finishes its run, and joblib ends it five minutes later.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from tqdm import tqdm  # slow to import, and the sweep's process may need no bar

    tqdm.set_lock(threading.RLock())  # by default a semaphore, which a killed worker leaves behind
    end_with(parent)
