"""Sweeps on several processes give the same bytes; also killed, and on a Dask cluster."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import ROOT, differing, run_python

from minigan.cli.main import main as minigan

POSIX = pytest.mark.skipif(
    not Path("/proc").is_dir(), reason="it kills groups of processes, and looks for them in /proc"
)
PAGE = ROOT / "docs" / "scale.md"
GAUSSIAN = "examples/gaussian1d.py"
GRID = ("--set", "d_lr=0.002,0.006", "--seeds", "0,1", "--set")


@pytest.fixture(autouse=True)
def _examples(tmp_path, monkeypatch):
    """Run in a folder that has the examples, as the commands of the page expect."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", "examples")


def in_this_process(*words: str) -> None:
    """The sweep of these words, in the folder "one"."""
    assert minigan(["sweep", GAUSSIAN, *words, "--jobs", "1", "--out", "one"]) == 0


def test_a_dask_cluster_gives_the_bytes_of_one_process(capsys):
    """The cluster is the one of docs/scale.md: this runs the code of that page."""
    pytest.importorskip("distributed")
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.M)
    Path("cluster.py").write_text(block, encoding="utf-8")
    table = run_python("cluster.py").stdout
    in_this_process(*GRID, "steps=10")
    assert capsys.readouterr().out.startswith(table)
    assert len([*Path("one/runs").iterdir()]) == 4
    assert differing(Path("one"), Path("runs/dask")) == []


# -- killed -------------------------------------------------------------------------------


def start(*words: str) -> subprocess.Popen:
    """A sweep on two workers in the folder "cut", in a session of its own, to be killed."""
    command = ["-m", "minigan", "sweep", GAUSSIAN, *words, "--jobs", "2", "--out", "cut"]
    return subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


def finish(process: subprocess.Popen, code: int = 0) -> str:
    """Wait for the end of a sweep; returns what it printed on stderr."""
    _, said = process.communicate(timeout=600)
    assert process.returncode == code, said
    return said


def living(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, own = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has ended meanwhile
            continue
        if int(own) == session and state != "Z":
            found.append(int(folder.name))
    return found


def require_no_orphan(session: int) -> None:
    """Processes that the sweep started end soon after it."""
    end = time.monotonic() + 20.0
    while living(session):
        assert time.monotonic() < end, living(session)
        time.sleep(0.05)


def remove_semaphores(numbers: list[int]) -> None:
    """Remove what joblib's process that tidies up leaves behind when it is killed, too."""
    for number in numbers:
        for pattern in (f"sem.loky-{number}-*", f"joblib_memmapping_folder_{number}_*"):
            for path in Path("/dev/shm").glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def began() -> int:
    """How many runs have begun."""
    return len([*Path("cut").glob("runs/*/recipe.json")])


def ended() -> dict[str, tuple[int, int]]:
    """The runs that have ended; the numbers change if one is trained again."""
    found = {}
    for result in Path("cut").glob("runs/*/result.json"):
        status = (result.parent / "checkpoint.safetensors").stat()
        found[result.parent.name] = status.st_ino, status.st_mtime_ns
    return found


def wait_until_one_is_running(process: subprocess.Popen) -> None:
    end = time.monotonic() + 120.0
    while began() <= len(ended()) and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.01)


def kill_and_go_on(kills: int, pause: float, *words: str) -> int:
    """Kill a sweep at random moments, alternately its parent alone and all its processes.

    The first run that a sweep trains is killed after 0 to `pause` seconds. Returns how many of the
    kills found a run that had begun and not ended.
    """
    dice, before, inside = random.Random(kills), {}, 0
    for k in range(kills):
        process = start(*words)
        wait_until_one_is_running(process)
        time.sleep(dice.uniform(0.0, pause))
        numbers = living(process.pid)
        if k % 2:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        require_no_orphan(process.pid)
        process.communicate()
        remove_semaphores(numbers)
        now = ended()
        assert before.items() <= now.items(), "a run that had ended was trained again"
        before = now
        inside += began() > len(now)
    finish(start(*words))
    assert before.items() <= ended().items()
    in_this_process(*words)
    assert differing(Path("cut"), Path("one")) == []
    return inside


@POSIX
def test_killed_twice_two_workers_go_on_to_the_bytes_of_one_process():
    kill_and_go_on(2, 0.3, *GRID, "steps=10")


@POSIX
@pytest.mark.slow
def test_killed_ten_times_two_workers_go_on_to_the_bytes_of_one_process(capsys):
    inside = kill_and_go_on(10, 2.0, *GRID, "steps=1500", "--seeds", "0-9")
    with capsys.disabled():
        print(f"\n10 kills, {inside} of them within a run")
    assert inside > 5


@POSIX
def test_ctrl_c_ends_it_with_a_sentence_and_no_orphan():
    process = start("--set", "steps=1000000")
    wait_until_one_is_running(process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it, too
    said = finish(process, 130)
    words = f"minigan sweep {GAUSSIAN} --set steps=1000000 --jobs 2 --out cut"
    assert said.strip() == f"interrupted; go on with: {words}"
    require_no_orphan(process.pid)


@POSIX
def test_workers_in_a_long_run_end_when_their_parent_is_killed():
    process = start("--set", "steps=1000000")
    wait_until_one_is_running(process)
    process.kill()
    require_no_orphan(process.pid)
    process.communicate()
