"""Sweeps on several processes: the same bytes on joblib's and on a Dask cluster; killed, resumed."""

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

PEAKS = ROOT / "tests" / "two_peaks.py"
POSIX = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and process groups")
PAGE = ROOT / "docs" / "scale.md"


def sweep(out: str, *words: object, jobs: int = 2) -> list[str]:
    """The command line of a sweep."""
    command = ["-m", "minigan", "sweep", PEAKS, "--jobs", jobs, "--out", out, *words]
    return [*map(str, command)]


def test_two_workers_and_a_dask_cluster_give_the_bytes_of_one_process(tmp_path, monkeypatch):
    """The cluster is the one of docs/scale.md: this runs the code of that page."""
    pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.M)
    Path("cluster.py").write_text(block, encoding="utf-8")
    shutil.copytree(ROOT / "examples", "examples")
    table = run_python("cluster.py").stdout
    grid = ["--set", "d_lr=0.002,0.006", "--set", "steps=20", "--seeds", "0-2"]
    for out, jobs in (("one", 1), ("two", 2)):
        words = sweep(out, *grid, jobs=jobs)
        words[words.index(str(PEAKS))] = "examples/gaussian1d.py"
        printed = run_python(*words).stdout
        assert printed.startswith(table)
        assert differing(Path(out), Path("runs/dask")) == []
    assert len([*Path("one/runs").iterdir()]) == 6


# -- killed -------------------------------------------------------------------------------


def start(out: str, *words: object) -> subprocess.Popen:
    """A sweep in a session of its own, so that all its processes can be killed at once."""
    return subprocess.Popen(
        [sys.executable, *sweep(out, *words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


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


def ended(out: str) -> dict[str, tuple[int, int]]:
    """The runs that have ended; the numbers change if one is trained again."""
    found = {}
    for result in Path(out).glob("runs/*/result.json"):
        status = (result.parent / "checkpoint.safetensors").stat()
        found[result.parent.name] = status.st_ino, status.st_mtime_ns
    return found


def kill_and_go_on(kills: int, steps: int, seeds: str) -> int:
    """Kill a sweep at random moments, alternately its parent alone and all its processes.

    Returns how many of the kills found a run that had begun and not ended.
    """
    words = ["--set", f"steps={steps}", "--set", "distance=1.5,2", "--seeds", seeds]
    began = time.monotonic()
    run_python(*sweep("whole", *words))
    duration = time.monotonic() - began
    dice, before, inside = random.Random(kills), {}, 0
    for k in range(kills):
        process = start("cut", *words)
        time.sleep(dice.uniform(0.1, 0.8) * duration)
        if k % 2:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        require_no_orphan(process.pid)
        process.communicate()
        now = ended("cut")
        assert before.items() <= now.items(), "a run that had ended was trained again"
        before, begun = now, len([*Path("cut").glob("runs/*/recipe.json")])
        inside += begun > len(now)
    run_python(*sweep("cut", *words))
    assert before.items() <= ended("cut").items()
    assert differing(Path("cut"), Path("whole")) == []
    return inside


@POSIX
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="it looks for orphans in /proc")
def test_killed_twice_a_sweep_goes_on_to_the_same_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kill_and_go_on(2, 40, "0,1")


@POSIX
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="it looks for orphans in /proc")
def test_killed_ten_times_a_sweep_goes_on_to_the_same_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    inside = kill_and_go_on(10, 1500, "0-4")
    with capsys.disabled():
        print(f"\n10 kills, {inside} of them within a run")
    assert inside > 2


@POSIX
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="it looks for orphans in /proc")
@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_a_signal_ends_it_with_a_sentence_and_no_orphan(signum, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    process = start("out", "--set", "steps=1000000", "--seeds", "0-3")
    end = time.monotonic() + 60.0
    while len([*Path("out").glob("runs/*/recipe.json")]) < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    if signum == signal.SIGINT:  # a terminal sends it to all
        os.killpg(process.pid, signum)
    else:
        process.send_signal(signum)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert "go on with: minigan sweep" in said
    assert "Traceback" not in said
    require_no_orphan(process.pid)
