"""Worker processes: the run of one process, again to the byte, and what is said when one ends."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from pathlib import Path

import pytest
from crews import worker_threads
from running import differing, load_example, run_python
from shared_games import plain, points, require_equal

import minigan as mg
from minigan.errors import WorkerError
from minigan.evaluation import forms
from minigan.experiment.report import choose_threads

POSIX = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
SCRIPT = """
import sys
import minigan as mg

G = mg.Sequential(mg.Linear(2, 8), mg.Tanh(), mg.Linear(8, 2), name="g")
D = mg.Sequential(mg.Linear(2, 8), mg.Tanh(), mg.Linear(8, 1), name="d")
run = mg.Trainer(mg.GAN(G, D, mg.Normal(dim=2)), mg.Ring(), sys.argv[1], batch=9, progress=False)
run.fit(steps=20, workers=2)
"""


def trained(out: Path, workers: int, steps: int = 50) -> mg.Trainer:
    """A run with batch normalisation, dropout and an average; 100 rows."""
    run = mg.Trainer(plain(), points(), out, batch=100, print_every=25, progress=False)
    run.fit(steps=steps, workers=workers)
    return run


def leave_no_trace() -> None:
    """Neither processes nor threads of a team are there."""
    assert multiprocessing.active_children() == []
    assert [t.name for t in threading.enumerate() if t.name.startswith("worker")] == []


@pytest.mark.parametrize("workers", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_processes_take_the_steps_of_one(workers, tmp_path):
    """A second run with the same number of processes is the same to the byte."""
    one = trained(tmp_path / "one", 1)
    for folder in ("several", "again"):
        require_equal(one, trained(tmp_path / folder, workers))
    assert differing(tmp_path / "several", tmp_path / "again") == []
    leave_no_trace()


@POSIX
def test_a_killed_worker_ends_the_fit_and_the_trainer_goes_on(tmp_path):
    whole = mg.Trainer(plain(), points(), tmp_path / "whole", batch=10, print_every=10)
    whole.fit(steps=40)
    run = mg.Trainer(plain(), points(), tmp_path / "cut", batch=10, print_every=10)

    def kill(run: mg.Trainer) -> None:
        if not killed:
            killed.append(multiprocessing.active_children()[0])
            killed[0].kill()
            killed[0].join()  # so the next stretch cannot begin

    killed: list[multiprocessing.process.BaseProcess] = []
    run.every(27, "step", kill)
    held = run.gan.generator.parameters.data
    with pytest.raises(WorkerError, match=r"^worker 1 was killed by signal 9$"):
        run.fit(steps=40, workers=2)
    leave_no_trace()
    assert run.gan.step_count == 20  # the last checkpoint
    assert run.gan.team is None
    assert run.gan.generator.parameters.data is held
    run.fit(steps=40)
    require_equal(whole, run)


class Unpicklable(mg.Ring):
    """Data that cannot be sent to another process."""

    def __reduce__(self):
        raise TypeError("no")


class Breaks(mg.Ring):
    """Data that a worker cannot read."""

    parent = os.getpid()

    def next_batch(self, out):
        if os.getpid() != Breaks.parent or threading.current_thread().name.startswith("worker"):
            raise ValueError("the disk is gone")
        super().next_batch(out)


def test_an_error_in_a_worker_is_the_message(tmp_path):
    G = mg.Sequential(mg.Linear(2, 2), name="g")
    D = mg.Sequential(mg.Linear(2, 1), name="d")
    mg.register(Breaks)
    run = mg.Trainer(mg.GAN(G, D, mg.Normal(dim=2)), Breaks(), tmp_path, batch=9)
    with worker_threads(), pytest.raises(WorkerError, match="ValueError: the disk is gone"):
        run.fit(steps=5, workers=2)
    assert (run.gan.step_count, run.gan.team) == (0, None)


def test_data_that_cannot_be_sent_are_named(tmp_path):
    G = mg.Sequential(mg.Linear(2, 2), name="g")
    D = mg.Sequential(mg.Linear(2, 1), name="d")
    mg.register(Unpicklable)
    run = mg.Trainer(mg.GAN(G, D, mg.Normal(dim=2)), Unpicklable(), tmp_path, batch=9)
    with worker_threads(), pytest.raises(mg.ConfigError, match=r"cannot be sent .*: no$"):
        run.fit(steps=5, workers=2)
    assert run.gan.team is None


def test_a_script_without_a_guard_is_told_what_it_lacks(tmp_path):
    """Such a script runs again in the worker, and would start workers there."""
    (tmp_path / "script.py").write_text(SCRIPT)
    done = run_python(tmp_path / "script.py", tmp_path / "run", code=1)
    last = done.stderr.strip().splitlines()[-1]
    assert "worker 1 ended with exit code 1 as it started: a worker imports your script" in last
    assert last.endswith('under if __name__ == "__main__"')


# -- on the command line ----------------------------------------------------------------


def test_the_flag_of_every_experiment(tmp_path, monkeypatch, capsys, unpainted):
    monkeypatch.chdir(tmp_path)
    example = load_example("toy2d")
    monkeypatch.setattr(forms, "QUICK_NUMBERS", 100)
    flags = [
        *["--recipe", "packed", "--steps", "6", "--batch", "12", "--hidden", "8", "--threads", "1"]
    ]
    with worker_threads():
        assert example.main([*flags, "--workers", "3", "--out", "run"]) == 0
        assert "device cpu, 3 workers of 1 thread" in capsys.readouterr().out
        assert example.main(["--out", "run", "--resume", "--steps", "8", "--workers", "2"]) == 0
        with contextlib.suppress(SystemExit):
            example.main([*flags, "--workers", "0", "--out", "b"])
        assert "--workers: must be an integer >= 1, not '0'" in capsys.readouterr().err
        assert example.main([*flags, "--workers", "4", "--out", "c"]) == 2
    assert "4 processes cannot share a batch of 12, 3 packs of 4" in capsys.readouterr().err
    assert not Path("c").exists()  # so the same command without --workers can begin
    assert [row["step"] for row in mg.read_history("run/history.csv")][-1] == 8


def test_threads_are_shared_out(monkeypatch):
    game, many = plain(), mg.Sequential(mg.Linear(2000, 2000), name="d")
    wide = mg.GAN(mg.Sequential(mg.Linear(2, 2000), name="g"), D_of(many), mg.Normal(dim=2))
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert [choose_threads(game, 10, workers) for workers in (1, 2)] == [1, 1]
    assert [choose_threads(wide, 100, workers) for workers in (1, 2, 4, 8, 16)] == [4, 4, 2, 1, 1]


def D_of(first: mg.Sequential) -> mg.Sequential:
    return mg.Sequential(*first.layers, mg.Linear(2000, 1), name="d")
