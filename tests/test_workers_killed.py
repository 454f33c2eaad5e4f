"""Worker processes that are killed, or whose leader is: nothing is lost, and nothing is left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import spread
from test_reliability import contents, finish, leftovers, spawn

import minigan as mg

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="finds processes in Linux's /proc"
)
SHARED = Path("/dev/shm")
SOON = 10.0  # seconds, of a machine that is busy with other tests


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *descendants(child)]
    return found


def workers_of(pid: int) -> list[int]:
    """Those of them that are workers; not Python's tracker of shared memory."""
    return [child for child in descendants(pid) if "spawn_main" in command_of(child)]


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def lives(pid: int) -> bool:
    """Whether a process is there, and not as a zombie that its parent has not looked at."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pids: list[int]) -> bool:
    """Whether all these processes end soon."""
    end = time.monotonic() + SOON
    while any(map(lives, pids)):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture(autouse=True)
def _nothing_left_in_shared_memory() -> Iterator[None]:
    """Of ours; other programs have theirs there."""

    def ours() -> set[str]:
        names = os.listdir(SHARED) if SHARED.is_dir() else []
        return {name for name in names if name.startswith("psm_")}

    before = ours()
    yield
    end = time.monotonic() + SOON
    while ours() - before and time.monotonic() < end:
        time.sleep(0.05)
    assert ours() <= before


def training(folder: Path, workers: int = 2) -> tuple[subprocess.Popen, list[int]]:
    """A run that has trained for a row, and its processes. It would go on for long.

    Its leader is stopped within a stretch of steps, so the workers wait for it at a barrier.
    """
    often = "--print", 100, "--save", 100
    process = spawn(
        folder, "--workers", workers, "--steps", 10**6, *often, start_new_session=True
    )  # fmt: skip
    while not process.stdout.readline().startswith("step"):
        assert process.poll() is None, process.stderr.read()
    found = descendants(process.pid)
    assert len(workers_of(process.pid)) == workers - 1
    end = time.monotonic() + SOON
    process.send_signal(signal.SIGSTOP)
    while not naps(workers_of(process.pid)[0]):  # between two stretches it would sleep
        assert time.monotonic() < end
        process.send_signal(signal.SIGCONT)
        time.sleep(0.005)
        process.send_signal(signal.SIGSTOP)
    return process, found


def naps(pid: int) -> bool:
    """Whether a process wakes up again and again."""

    def wakings() -> str:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(line for line in lines if line.startswith("voluntary_ctxt_switches"))

    time.sleep(0.02)
    before = wakings()
    time.sleep(0.02)
    return wakings() != before


def finished(folder: Path) -> None:
    """The run goes on, alone, from a checkpoint that is whole."""
    saved = mg.load_checkpoint(folder / "checkpoint.safetensors").metadata["step"]
    assert leftovers(folder) == []
    run = mg.Trainer.resume(folder, score=spread, progress=False)
    run.fit(steps=saved + 3)
    assert run.gan.step_count == saved + 3


def test_a_worker_is_killed(tmp_path):
    process, found = training(tmp_path, workers=3)
    worker = workers_of(process.pid)[1]
    os.kill(worker, signal.SIGKILL)
    process.send_signal(signal.SIGCONT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 2
    assert error.strip().splitlines()[-1] == "harness: error: worker 2 was killed by signal 9"
    assert gone(found)
    finished(tmp_path)


def test_the_leader_is_killed(tmp_path):
    process, found = training(tmp_path)
    process.kill()
    process.communicate(timeout=60)
    assert gone(found)
    finished(tmp_path)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_interrupted(name, tmp_path):
    """Ctrl-C reaches all processes of a terminal, and SIGTERM those of a service."""
    process, found = training(tmp_path)
    os.killpg(process.pid, getattr(signal, name))
    process.send_signal(signal.SIGCONT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == {"SIGINT": 130, "SIGTERM": 143}[name]
    assert f"{name}: saved at step" in error
    assert "Traceback" not in error
    assert gone(found)


def interrupted_at_random(folder: Path, moments: int, how: str) -> None:
    """Signals at random moments from the very start: no orphan, and a run that can go on."""
    dice = random.Random(how)
    whole = folder / "whole"
    finish(whole, "--workers", 2, "--steps", 200)
    for k in range(moments):
        cut = folder / f"{how}{k}"
        process = spawn(cut, "--workers", 2, "--steps", 200, start_new_session=True)
        found: list[int] = []
        end = time.monotonic() + dice.uniform(0.1, 3.0)
        while time.monotonic() < end and process.poll() is None:
            found = descendants(process.pid) or found
            time.sleep(0.01)
        if how == "SIGINT":
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(getattr(signal, how))
        process.communicate(timeout=60)
        assert gone(found), k
        if (cut / "checkpoint.safetensors").exists():
            finish(cut, "--workers", 2, "--steps", 200)
            assert contents(cut) == contents(whole), k


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT", "SIGTERM"])
def test_at_thirty_random_moments(how, tmp_path):
    interrupted_at_random(tmp_path, 30, how)


@pytest.mark.parametrize("delay", [0.15, pytest.param(0.6, marks=pytest.mark.slow)])
def test_the_leader_is_killed_as_it_starts(delay, tmp_path):
    """Before the shared memory has lost its name, and before the workers know of a run."""
    process = spawn(tmp_path, "--workers", 2, "--steps", 10**6, start_new_session=True)
    process.stdout.readline()  # "training"
    time.sleep(delay)
    found = descendants(process.pid)
    process.kill()
    process.communicate(timeout=60)
    assert gone(found)
    finished(tmp_path)
