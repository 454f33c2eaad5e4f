"""Sweeps in this process: what is asked for, what is trained, and the tables and the picture."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import logging
import math
import os
import shutil
import signal
import threading
import typing
from pathlib import Path
from typing import Any

import pytest
from harness import registered_only_here
from running import differing, interrupted_at, load_example
from tqdm import tqdm

import minigan as mg
from minigan.cli.main import main as minigan
from minigan.errors import BusyError, CheckpointError, ConfigError, NonFiniteError
from minigan.evaluation import forms, plots
from minigan.evaluation.pictures import load_png
from minigan.experiment import Experiment, images
from minigan.parallel import processes
from minigan.sweeps import Results, picture, sweeping, worker
from minigan.sweeps.plan import Planned, run_name
from minigan.sweeps.values import read_seeds, split, values_of
from minigan.sweeps.worker import Outcome
from minigan.training.lock import WriterLock

PEAKS = Path(__file__).with_name("two_peaks.py")


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    """Run in an empty folder with a copy of two_peaks.py; paint nothing that is not looked at."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(PEAKS, "two_peaks.py")
    monkeypatch.setattr(picture, "save_figure", lambda figure, path: path.write_bytes(b"PNG"))
    with registered_only_here():
        yield


@pytest.fixture
def trained(monkeypatch) -> list[str]:
    """The names of the runs that were trained, one by one."""
    names, real = [], worker._trained

    def noted(job: worker.Job) -> Outcome:
        names.append(job.planned.name)
        return real(job)

    monkeypatch.setattr(worker, "_trained", noted)
    return names


def sweep(settings: dict[str, Any] | None = None, seeds: Any = (0,), **options: Any) -> Results:
    """A sweep of two_peaks over runs of two steps."""
    given = {"steps": [2], **(settings or {})}
    return mg.sweep("two_peaks.py", given, seeds, out=options.pop("out", "out"), **options)


# -- what is asked for --------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Recipe:
    name: str = "plain"
    epochs: int = images.epochs_flag()
    data: str = images.data_flag()
    batch: int = 8
    lr: float = 1e-3
    slope: float | None = 0.2
    betas: tuple[float, float] = (0.0, 0.9)
    sizes: tuple[int, ...] = (3,)
    loss: str = "bce"
    note: str | None = None
    decay: bool = True
    kind: typing.Literal["a", "b"] = "a"


@pytest.mark.parametrize(
    ("field", "text", "values"),
    [
        ("lr", "1e-4,2", (1e-4, 2.0)),
        ("batch", "0,1,1e2", (0, 1, 100)),
        ("slope", "None,0,0.1", (None, 0.0, 0.1)),
        ("betas", "(0,0.9),(0.5, 0.999)", ((0.0, 0.9), (0.5, 0.999))),
        ("sizes", "(1,2,3),(4,),()", ((1, 2, 3), (4,), ())),
        ("loss", "bce,1e3,None", ("bce", "1e3", "None")),
        ("note", "none,x", (None, "x")),
        ("decay", "true,False", (True, False)),
        ("kind", "b,a", ("b", "a")),
        ("epochs", "auto,3", ("auto", 3)),
        ("data", "digits", ("digits",)),
    ],
)
def test_a_text_becomes_a_value_of_its_field(field, text, values):
    found = values_of(Recipe(), field, split(text))
    assert found == values
    assert [*map(type, found)] == [*map(type, values)]
    assert values_of(Recipe(), field, values) == values  # given as values from Python


@pytest.mark.parametrize(
    ("field", "text", "complaint"),
    [
        ("size", "1", "a sweep cannot set 'size': the fields of this recipe are epochs, data, ba"),
        ("name", "x", "a sweep cannot set 'name'"),
        ("lr", "fast", "lr: must be a number, not 'fast'"),
        ("lr", "1e999", "lr: must be a number"),
        ("lr", "True", "lr: must be a number"),
        ("lr", "1,", "lr: an empty value"),
        ("lr", "1,1.0", "lr: 1.0 is given twice"),
        ("batch", "1.5", "batch: must be an integer, not '1.5'"),
        ("slope", "x", "slope: must be a number or None, not 'x'"),
        ("betas", "0,0.9", r"betas: must be 2 values in brackets, such as \(0.5,0.9\), not '0'"),
        ("betas", "(0,0.9,1)", "betas: must be 2 values"),
        ("sizes", "(1,x)", r"sizes: must be values in brackets, such as \(1,2\)|an integer"),
        ("decay", "1", "decay: must be true or false, not '1'"),
        ("kind", "c", "kind: must be a or b, not 'c'"),
        ("epochs", "-1", "epochs: must be an integer >= 0"),
        ("data", "cats", "data: must be one of auto, mnist"),
    ],
)
def test_a_value_that_a_field_cannot_have_is_a_sentence(field, text, complaint):
    with pytest.raises(ConfigError, match=complaint):
        values_of(Recipe(), field, split(text))


def test_seeds_are_read_in_order_and_once():
    assert read_seeds("0-3,8") == (0, 1, 2, 3, 8)
    assert read_seeds("7,0") == (0, 7)
    for text in ("", "a", "1-", "-1", "3-1", "0,0", "0-2,1", "0-999999999", "1.5"):
        with pytest.raises(argparse.ArgumentTypeError):
            read_seeds(text)


def test_every_run_has_a_folder_name_of_its_own():
    names = [
        run_name({"x": value}, seed)
        for value in (
            None,
            1,
            1.5,
            -1.5,
            True,
            (1, 2),
            (1,),
            "a",
            "A",
            "a/b",
            "a b",
            "..",
            "x" * 300,
        )
        for seed in (0, 10)
    ]
    assert len({name.casefold() for name in names}) == len(names)
    assert all(len(name) < 140 and not set(name) & set('/\\:*?"<>| ') for name in names)
    assert run_name({"b": 0.1, "a": (0.0, 0.9)}, 3) == "a=0.0_0.9,b=0.1,seed=3"


# -- what is trained ----------------------------------------------------------------------


@pytest.mark.usefixtures("unpainted")
def test_a_run_of_a_sweep_is_the_run_of_the_example():
    results = sweep({"distance": [1.5, 2.0]}, [3, 4])
    own, _ = worker.load_experiment(Path("two_peaks.py").absolute())
    flags = ["--steps", "2", "--distance", "1.5", "--seed", "4", "--threads", "1"]
    assert own.main([*flags, "--out", "alone"]) == 0
    Path("alone/two_peaks.png").unlink()
    run = Path("out/runs/distance=1.5,steps=2,seed=4")
    assert differing(run, Path("alone")) == ["result.json"]
    score = mg.load_checkpoint("alone/checkpoint.safetensors").metadata["score"]
    row = results.runs[1]
    assert (row["run"], row["distance"], row["seed"], row["step"]) == (run.name, 1.5, 4, 2)
    assert row["score"] == score
    assert row["last_mean"] == mg.read_history("alone/history.csv")[-1]["mean"]
    assert row["failed"] is None


def test_the_tables_have_a_row_for_each_run_and_each_setting():
    results = sweep({"distance": [1.5, 2.0]}, range(3))
    with Path("out/runs.csv").open(encoding="utf-8", newline="") as file:
        runs = [*csv.DictReader(file)]
    assert [(row["distance"], row["seed"]) for row in runs] == [
        (d, s) for d in ("1.5", "2.0") for s in "012"
    ]
    with Path("out/table.csv").open(encoding="utf-8", newline="") as file:
        table = [*csv.DictReader(file)]
    scores = [float(row["score"]) for row in runs[3:]]
    assert table[1] == {
        "steps": "2",
        "distance": "2.0",
        "runs": "3",
        "failed": "0",
        "mean": str(math.fsum(scores) / 3),
        "worst": str(max(scores)),
        "best": str(min(scores)),
    }
    assert "lowest mean" in str(results)
    assert "steps" not in str(results)  # it has one value


def test_runs_that_have_ended_are_not_run_again(trained):
    first = sweep({"distance": [2.0]}, [0, 1])
    assert len(trained) == 2
    table = Path("out/table.csv").read_bytes()
    assert sweep({"distance": [2.0]}, [0, 1]) == first
    assert len(trained) == 2
    assert Path("out/table.csv").read_bytes() == table
    more = sweep({"distance": [1.5, 2.0]}, [0, 1, 5])
    assert len(trained) == len(set(trained)) == 6
    assert [row for row in more.runs if row["distance"] == 2.0][:2] == first.runs
    sweep({"distance": [1.5, 2.0]}, [0, 1, 5], out="whole")
    assert differing(Path("out"), Path("whole")) == []


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        ({"seeds": [0]}, "with seed 1, which this call leaves out"),
        ({"settings": {"distance": [1.5]}}, "with distance 2.0, which this call leaves out"),
        ({"settings": {}}, "a sweep over distance, steps, not over steps$"),
        ({"threads": 2}, "another sweep: threads is 2, was 1"),
    ],
)
def test_another_sweep_in_the_same_folder_is_refused(call, complaint, trained):
    sweep({"distance": [2.0]}, [0, 1])
    with pytest.raises(ConfigError, match=complaint):
        sweep(**{"settings": {"distance": [2.0]}, "seeds": [0, 1], **call})
    assert len(trained) == 2


@pytest.mark.parametrize(
    ("old", "new", "error", "complaint"),
    [
        ("batch: int = 64", "batch: int = 32", ConfigError, "recipe.batch is 32, was 64"),
        ("LeakyReLU(0.2)", "LeakyReLU(0.3)", CheckpointError, "slope is 0.3, was 0.2"),
    ],
)
def test_an_experiment_that_was_edited_is_noticed(old, new, error, complaint, trained):
    sweep(seeds=[0])
    text = Path("two_peaks.py").read_text(encoding="utf-8")
    Path("two_peaks.py").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(error, match=complaint):
        sweep(seeds=[0, 1])
    assert len(trained) == 1


def test_an_edit_while_a_sweep_runs_is_noticed(monkeypatch):
    loaded = worker.load_experiment(Path("two_peaks.py").absolute())
    monkeypatch.setattr(worker, "load_experiment", lambda file: (loaded[0], "another"))
    assert "was changed after the sweep began" in sweep().runs[0]["failed"]


def test_a_folder_of_something_else_is_refused(trained):
    Path("out").mkdir()
    Path("out/notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"out holds no sweep, but notes\.txt"):
        sweep()
    Path("out/notes.txt").unlink()
    sweep()
    Path("out/sweep.json").write_text('{"seeds": 3}')
    with pytest.raises(CheckpointError, match="describes no sweep"):
        sweep()
    with pytest.raises(ConfigError, match="is not a folder"):
        sweep(out="two_peaks.py")
    assert len(trained) == 1


def test_a_run_with_other_settings_in_a_folder_is_refused():
    sweep(seeds=[0])
    sweep(seeds=[1], out="other")
    shutil.rmtree("out/runs/steps=2,seed=0")
    shutil.copytree("other/runs/steps=2,seed=1", "out/runs/steps=2,seed=0")
    with pytest.raises(CheckpointError, match="holds a run with seed 1, not 0"):
        sweep(seeds=[0])
    result = Path("other/runs/steps=2,seed=1/result.json")
    result.write_text('{"step": 2}')
    with pytest.raises(CheckpointError, match=r"result\.json is damaged"):
        sweep(seeds=[1], out="other")


def test_one_sweep_at_a_time_writes_a_folder():
    sweep()
    with WriterLock(Path("out")), pytest.raises(BusyError, match="out is being written by process"):
        sweep()


# -- what goes wrong ----------------------------------------------------------------------


def failing(monkeypatch, error: Exception) -> None:
    """The run with seed 1 fails with `error` after its first checkpoint."""
    real = mg.GAN.step

    def step(self: mg.GAN, real_samples: Any = None) -> None:
        if self.generator.seed == 1:
            raise error
        real(self, real_samples)

    monkeypatch.setattr(mg.GAN, "step", step)


def test_a_run_that_diverges_is_a_row_and_stays_one(monkeypatch, trained):
    with monkeypatch.context() as patch:
        failing(patch, NonFiniteError("step 1: the loss g is no longer finite"))
        results = sweep(seeds=[0, 1, 2])
    reason = "diverged: step 1: the loss g is no longer finite"
    assert [row["failed"] for row in results.runs] == [None, reason, None]
    assert results.runs[1]["score"] is None
    assert results.settings[0]["failed"] == 1
    scores = [results.runs[k]["score"] for k in (0, 2)]
    assert results.settings[0]["worst"] == max(scores)
    assert results.settings[0]["mean"] == math.fsum(scores) / 2
    assert f"1 of 3 runs failed:\n  steps=2,seed=1: {reason}" in str(results)
    assert sweep(seeds=[0, 1, 2]) == results
    assert len(trained) == 3


def test_a_run_whose_score_is_not_a_number_failed(monkeypatch):
    monkeypatch.setattr(forms.NumberForm, "quick_score", lambda self, data, game: math.nan)
    row = sweep().runs[0]
    assert (row["step"], row["score"], row["failed"]) == (2, None, "its score is NaN or infinite")


def test_what_failed_otherwise_is_tried_again(monkeypatch, trained):
    with monkeypatch.context() as patch:
        failing(patch, OSError(28, "No space left on device"))
        results = sweep(seeds=[0, 1])
        assert results.runs[1]["failed"] == "OSError: [Errno 28] No space left on device"
    assert sweep(seeds=[0, 1]).failed == 0
    assert len(trained) == 3
    sweep(seeds=[0, 1], out="whole")
    assert differing(Path("out"), Path("whole")) == []


def test_an_error_names_a_run_by_its_short_name(monkeypatch):
    def busy(self: Experiment, args: argparse.Namespace) -> int:
        raise BusyError(f"{args.out} is being written by process 1, {args.threads} threads")

    monkeypatch.setattr(Experiment, "run", busy)
    reason = "steps=2,seed=0 is being written by process 1, 3 threads"
    assert sweep(threads=3).runs[0]["failed"] == reason


def test_a_recipe_that_cannot_be_is_refused_before_anything_is_written():
    source = Path("two_peaks.py").read_text(encoding="utf-8")
    check = "    def __post_init__(self):\n        if self.hidden == 7:\n            "
    source = source.replace(
        "    batch: int = 64\n", f"    batch: int = 64\n{check}raise ValueError('no 7')\n"
    )
    Path("two_peaks.py").write_text(source, encoding="utf-8")
    with pytest.raises(ConfigError, match="the recipe refuses steps=2, hidden=7: no 7"):
        sweep({"hidden": [8, 7]})
    with pytest.raises(ConfigError, match="a sweep can have 100,000 runs, not 200,002"):
        sweep({"hidden": [8, 9]}, range(100_001))
    assert not Path("out").exists()


def test_warnings_of_a_run_come_with_its_name(monkeypatch, capsys):
    real = mg.GAN.step

    def step(self: mg.GAN, samples: Any = None) -> None:
        logging.getLogger("minigan").warning("odd\x1b weather")
        real(self, samples)

    monkeypatch.setattr(mg.GAN, "step", step)
    # Without handlers, as in a program: pytest's own would take the warning.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    sweep({"steps": [1]})
    said = capsys.readouterr()
    assert "steps=1,seed=0: odd? weather\n" in said.err
    assert said.out == ""


def test_interrupted_it_says_how_to_go_on_and_ends_in_the_same_bytes(monkeypatch, capsys, trained):
    words = ["sweep", "two_peaks.py", "--set", "steps=6", "--seeds", "0-2", "--jobs", "1"]
    monkeypatch.setattr("sys.argv", ["minigan", *words, "--out", "cut"])
    with interrupted_at(4):
        assert minigan([*words, "--out", "cut"]) == 130
    said = capsys.readouterr().err
    assert "go on with: minigan sweep two_peaks.py --set steps=6 --seeds 0-2 --jobs 1 --out" in said
    assert not Path("cut/table.csv").exists()
    real, steps = mg.GAN.step, []

    def counted(self: mg.GAN, samples: Any = None) -> None:
        steps.append(self.step_count)
        real(self, samples)

    monkeypatch.setattr(mg.GAN, "step", counted)
    assert minigan([*words, "--out", "cut"]) == 0
    assert steps == [4, 5, *range(6), *range(6)]  # from the checkpoint on
    assert trained == [f"steps=6,seed={k}" for k in (0, 0, 1, 2)]
    assert minigan([*words, "--out", "whole"]) == 0
    assert differing(Path("cut"), Path("whole")) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows does not change a process's parent")
def test_a_worker_leaves_ctrl_c_to_the_sweep_and_ends_with_it(monkeypatch):
    ended, before, lock = threading.Event(), signal.getsignal(signal.SIGINT), tqdm.get_lock()
    monkeypatch.setattr(processes.os, "_exit", lambda code: ended.set())
    monkeypatch.setattr(processes, "WATCH", 0.01)
    parents = [os.getpid()] * 3
    monkeypatch.setattr(processes.os, "getppid", lambda: parents.pop() if parents else 1)
    try:
        worker.begin_worker(os.getpid())
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert ended.wait(10.0)
        assert parents == []
    finally:
        signal.signal(signal.SIGINT, before)
        tqdm.set_lock(lock)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_sigterm_ends_a_sweep_as_ctrl_c_does():
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with pytest.raises(mg.Interrupted, match="SIGTERM") as caught, sweeping._signals_end_it():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caught.value.signum == signal.SIGTERM


# -- the command --------------------------------------------------------------------------


def test_the_command_prints_a_table_and_where_everything_is(monkeypatch, capsys):
    words = ["sweep", "two_peaks.py", "--set", "distance=1.5,2", "--set", "steps=2"]
    assert minigan([*words, "--seeds", "0,1", "--jobs", "1", "--out", "out"]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == (
        "Kolmogorov-Smirnov distance at the last step, lower is better; over the seeds:"
    )
    assert lines[1].split() == ["distance", "runs", "failed", "mean", "worst", "best"]
    assert [line.split()[:3] for line in lines[2:4]] == [["1.5", "2", "0"], ["2.0", "2", "0"]]
    assert f"picture    {Path('out/sweep.png')}" in lines
    assert said.err == ""
    failing(monkeypatch, ValueError("no"))
    words = ["sweep", "two_peaks.py", "--seeds", "0,1", "--set", "steps=2", "--jobs", "1"]
    assert minigan([*words, "--out", "b"]) == 1
    assert "1 of 2 runs failed:\n  steps=2,seed=1: ValueError: no" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--set", "size=3"], "a sweep cannot set 'size'"),
        (["--set", "steps=3", "--set", "steps=4"], "one field is given by two --set"),
        (["--jobs", "2", "--dask", "127.0.0.1:1"], "--jobs is for this machine"),
        (["--data-dir", "x"], "two_peaks.py takes no --data-dir"),
        (["--recipe", "none"], "two_peaks.py has no recipe 'none'"),
        (["--device", "gpu"], "gpu"),
    ],
)
def test_a_command_that_cannot_be_is_a_sentence(words, complaint, capsys):
    assert minigan(["sweep", "two_peaks.py", "--out", "out", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("minigan sweep: error: ")
    assert complaint in said
    assert said.count("\n") == 1
    assert not Path("out").exists()


def test_a_file_without_an_experiment_is_refused(capsys):
    Path("empty.py").write_text("")
    for file, complaint in (("empty.py", "has no `experiment`"), ("none.py", "there is no file")):
        assert minigan(["sweep", file, "--out", "out"]) == 2
        assert complaint in capsys.readouterr().err


def test_its_help_shows_how_it_is_written(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        minigan(["sweep", "--help"])
    out = capsys.readouterr().out
    for word in ("--set FIELD=V1,V2", "betas=(0,0.9),(0.5,0.9)", "--seeds 0-9", "--dask ADDRESS"):
        assert word in out


# -- the picture --------------------------------------------------------------------------


def results_of(settings: dict[str, tuple[Any, ...]], scores: dict[Any, list[float | None]]) -> Any:
    """Results with these scores for each setting; None is a failure."""
    runs, outcomes = [], []
    for values, group in scores.items():
        for seed, score in enumerate(group):
            runs.append(Planned("run", dict(zip(settings, values, strict=True)), seed))
            outcomes.append(Outcome(5, score, "distance", {}, "no" if score is None else None))
    return Results.of([*settings], runs, outcomes)


def drawn(monkeypatch, settings: dict[str, tuple[Any, ...]], scores: Any) -> Any:
    """The figure of such results, painted."""
    figures = []

    def save(figure: Any, path: Path) -> None:
        figure.canvas.draw()
        figures.append(figure)

    monkeypatch.setattr(picture, "save_figure", save)
    picture.draw(Path("x.png"), "title", results_of(settings, scores), settings)
    return figures[0]


def texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_one_field_is_drawn_as_dots_over_its_values(monkeypatch):
    scores = {(1e-3,): [0.2, 0.4], (1e-2,): [0.1, None], (1e30,): [None, None]}
    (axes,) = drawn(monkeypatch, {"lr": (1e-3, 1e-2, 1e30)}, scores).axes
    assert texts(axes) == ["1 failed", "2 failed"]
    dots = [(x, y) for line in axes.lines[:3] for x, y in zip(*line.get_data(), strict=True)]
    assert dots == [(1e-3, 0.2), (1e-3, 0.4), (1e-2, 0.1)]
    assert [*axes.lines[3].get_ydata()][:2] == pytest.approx([0.3, 0.1])  # the means
    assert axes.get_xlim()[1] > 1e30  # where all failed is in the picture
    assert axes.get_xscale() == "log"


def test_names_and_seeds_alone_are_drawn_side_by_side(monkeypatch):
    settings = {"loss": (None, "bce"), "steps": (3,)}
    scores = {(None, 3): [0.2], ("bce", 3): [0.5]}
    (axes,) = drawn(monkeypatch, settings, scores).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["None", "bce"]
    (axes,) = drawn(monkeypatch, {}, {(): [0.2, 0.3, None]}).axes
    assert texts(axes) == ["1 failed"]


def test_two_fields_are_a_map_and_further_ones_show_their_lowest_mean(monkeypatch):
    settings = {"a": (2.0, 1.0), "b": ("x", "y"), "c": (0, 1)}
    scores: dict[Any, list[float | None]] = {
        (a, b, c): [0.1 * a + 0.01 * (b == "y") + c] * 2
        for a in (2.0, 1.0)
        for b in "xy"
        for c in (0, 1)
    }
    scores[(1.0, "y", 0)] = [None, None]
    scores[(1.0, "y", 1)] = [None, None]
    scores[(2.0, "x", 0)] = [None, 0.3]
    figure = drawn(monkeypatch, settings, scores)
    axes, bar = figure.axes
    # Rows from below, numbers from small to large.
    assert texts(axes) == ["0.1", "0.3\n1 failed", "4 failed", "0.21"]
    assert axes.get_ylim() == (-0.5, 1.5)
    assert "lowest over c" in bar.get_ylabel()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("a", "b")
    everywhere = {(a, b): [None] for a in (1.0, 2.0) for b in "xy"}
    assert texts(drawn(monkeypatch, {"a": (1.0, 2.0), "b": ("x", "y")}, everywhere).axes[0]) == (
        ["1 failed"] * 4
    )


def test_the_picture_is_the_same_each_time(monkeypatch):
    monkeypatch.setattr(picture, "save_figure", plots.save_figure)
    settings = {"lr": (0.1, 0.2)}
    results = results_of(settings, {(0.1,): [0.5], (0.2,): [0.25]})
    for name in ("a.png", "b.png"):
        picture.draw(Path(name), "title", results, settings)
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert load_png(Path("a.png")).shape[0] > 300


def test_any_example_can_be_swept(monkeypatch):
    """Of images, which settle their recipe, and take --data-dir."""
    monkeypatch.delenv("MINIGAN_DATA_DIR", raising=False)
    monkeypatch.setattr("minigan.experiment.images.draw_grid", lambda trainer: None)
    file = load_example("mnist").__file__
    settings = {"data": ["digits"], "epochs": [1], "hidden": [4], "d_slope": [None, 0.1]}
    results = mg.sweep(file, settings, out="out")
    assert [row["failed"] for row in results.runs] == [None, None]
    assert results.score_name == "Fréchet distance of pixels"
    kept = json.loads(Path("out/sweep.json").read_text(encoding="utf-8"))
    assert kept["settings"]["d_slope"] == [None, 0.1]
    refused = mg.sweep(file, {"data": ["digits"]}, out="other", data_dir=".")
    assert "they are not read from a folder" in refused.runs[0]["failed"]
