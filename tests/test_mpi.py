"""Runs that mpiexec starts: found out, refused, interrupted, failed, killed.

What the ranks compute is tested by the ranks themselves: tests/mpi.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import registered_only_here
from running import ROOT, differing, load_script, run_python

import minigan as mg
from minigan.parallel import program
from minigan.parallel.launch import Launch, launched

PROGRAM = ROOT / "tests" / "ranks_program.py"
PEAKS = ROOT / "tests" / "two_peaks.py"
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
WAIT = 30  # seconds, at most

under_mpiexec = pytest.mark.skipif(
    MPIEXEC is None or sys.platform != "linux", reason="needs the extra mpi, and Linux's /proc"
)


def environment() -> dict[str, str]:
    """Of a run that no launcher has started, even if one has started the tests."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PMI", "OMPI", "HYD"))}
    return kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen]]:
    """`mpiexec -n N python PROGRAM WORDS`, with variables; what is left at the end is killed."""
    started = []

    def call(n: int, *words: object, **variables: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [MPIEXEC, "-n", str(n), sys.executable, str(PROGRAM), *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment() | variables,
        )
        started.append(process)
        return process

    yield call
    for process in started:
        if process.poll() is None:
            for pid in parts_of_mpiexec(process).values():
                os.kill(pid, signal.SIGKILL)


def finished(process: subprocess.Popen, code: int) -> tuple[str, str]:
    """What it printed on stdout and on stderr."""
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == code, out + err
    return out, err


def parts_of_mpiexec(process: subprocess.Popen) -> dict[str, int]:
    """The processes of a run by name: mpiexec, its proxy, and each rank."""
    proxy, *_ = children(process.pid)
    ranks = sorted(children(proxy), key=rank_of)
    return {"mpiexec": process.pid, "proxy": proxy} | {
        f"rank {i}": rank for i, rank in enumerate(ranks)
    }


def children(pid: int) -> list[int]:
    words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(word) for word in words]


def rank_of(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_text().split("PMI_RANK=")[1].split("\0")[0]


def is_running(pid: int) -> bool:
    """Whether a process is there, and no zombie that only waits to be forgotten."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + WAIT
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def shared_memory() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("mpich_shm_*")}


# -- whether there are ranks ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"PMI_RANK": "1", "PMI_SIZE": "2"}, Launch(1, 2)),
        ({"PMI_RANK": "0", "PMI_SIZE": "1"}, None),
        ({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4"}, Launch(2, 4)),
        ({"PMIX_RANK": "3", "SLURM_STEP_NUM_TASKS": "8"}, Launch(3, 8)),
        # A job's script, which is one process; and variables of some other program.
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, None),
        ({"PMIX_RANK": "0"}, None),
        ({"PMI_RANK": "first", "PMI_SIZE": "2"}, None),
    ],
)
def test_launchers_are_recognised_by_their_variables(variables, expected):
    assert launched(variables) == expected


def test_an_ordinary_run_does_not_import_mpi4py():
    code = "import sys, minigan as mg; print(mg.mpi_main(lambda: 7), 'mpi4py' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True
    )
    assert done.stdout.split() == ["7", "False"]


@pytest.fixture(params=[0, 1])
def rank(request, monkeypatch) -> int:
    """This process seems to be one of two."""
    monkeypatch.setenv("PMI_RANK", str(request.param))
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setattr(program, "_connected", None)
    return request.param


def require_refused(rank: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An experiment ends with exit code 2, and only rank 0 says why."""
    with registered_only_here():
        peaks = load_script(PEAKS)
        if rank == 0:
            assert peaks.experiment.main(["--dry-run"]) == 2
        else:
            with pytest.raises(SystemExit) as ending:
                peaks.experiment.main(["--dry-run"])
            assert ending.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == (rank == 0)
    assert message in err or rank


def test_without_mpi4py_the_error_names_the_extra(rank, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    require_refused(rank, 'pip install "minigan[mpi]"', capsys)


def test_the_mpiexec_of_another_mpi_is_refused(rank, monkeypatch, capsys):
    """Each process is then a world of its own, and they would write one folder."""
    world = types.SimpleNamespace(size=1)
    alone = types.SimpleNamespace(COMM_WORLD=world, Get_library_version=lambda: "Some MPI 1.0\n")
    monkeypatch.setitem(sys.modules, "mpi4py", types.SimpleNamespace(MPI=alone))
    require_refused(rank, "MPI library (Some MPI 1.0) finds 1: use the mpiexec of that", capsys)


# -- runs -----------------------------------------------------------------------------------


@under_mpiexec
@pytest.mark.slow
def test_one_rank_is_an_ordinary_run(start, tmp_path):
    finished(start(1, tmp_path / "one"), 0)
    run_python(PROGRAM, tmp_path / "alone", **environment())
    assert differing(tmp_path / "one", tmp_path / "alone") == []


@under_mpiexec
@pytest.mark.parametrize(
    "signum", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_signal_to_mpiexec_saves_the_run(start, signum, tmp_path):
    """It goes on where it was, in one process."""
    process = start(2, tmp_path / "run", "--steps", 10**6)
    assert wait_until((tmp_path / "run" / "checkpoint-previous.safetensors").exists)
    process.send_signal(signum)
    _, err = finished(process, 128 + signum)
    (line,) = [line for line in err.splitlines() if "saved at step" in line]
    step = int(line.split("saved at step ")[1].split(";")[0])
    assert mg.load_run(tmp_path / "run").gan.step_count == step
    run_python(PROGRAM, tmp_path / "run", "--steps", step + 10, **environment())


@under_mpiexec
@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_in_one_rank_ends_all_with_one_sentence(start, rank, tmp_path):
    before = shared_memory()
    process = start(2, tmp_path / "run", FAIL=str(rank))
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode not in (0, None)
    assert (
        err.splitlines()
        == [
            "program: error: there is no batch 60",
            "error: rank 1 failed: DataError: there is no batch 60",
        ][rank:][:1]
    )
    assert "step      50" in out
    assert mg.load_run(tmp_path / "run").gan.step_count == 50  # the last checkpoint
    assert shared_memory() <= before


SLOW = ["rank 0", "rank 1", "mpiexec"]


@under_mpiexec
@pytest.mark.parametrize(
    "victim", ["proxy", *[pytest.param(one, marks=pytest.mark.slow) for one in SLOW]]
)
def test_after_kill_9_nothing_is_left_but_the_checkpoint(start, victim, tmp_path):
    before = shared_memory()
    process = start(2, tmp_path / "run", "--steps", 10**6)
    assert wait_until((tmp_path / "run" / "checkpoint-previous.safetensors").exists)
    parts = parts_of_mpiexec(process)
    os.kill(parts.pop(victim), signal.SIGKILL)
    try:
        assert wait_until(lambda: not any(map(is_running, parts.values())))
    finally:
        for pid in filter(is_running, parts.values()):
            os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=WAIT)
    assert process.returncode != 0
    assert shared_memory() <= before
    step = mg.load_run(tmp_path / "run").gan.step_count
    run_python(PROGRAM, tmp_path / "run", "--steps", step + 10, **environment())
