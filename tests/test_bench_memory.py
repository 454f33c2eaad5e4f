"""The bench of memory: that it counts memory, and its page."""

from __future__ import annotations

import csv

import pytest

from bench import memory
from bench.engines import Entry
from bench.workloads import convolutions

MIB = 2**20
HOLDS = """
import numpy as np

class Holds:
    chunk = 1
    def __init__(self, workload, threads):
        pass
    def hold(self, mib):
        np.ones(mib * 2**20, np.uint8)
    def run(self, steps):
        self.hold(10 * steps)
    def sample(self, count):
        self.hold(count // 100)

class Fails(Holds):
    def sample(self, count):
        raise MemoryError("too much")
"""


@pytest.fixture
def engines(tmp_path, monkeypatch):
    pytest.importorskip("resource", reason="Windows does not say how much a process held")
    (tmp_path / "holders.py").write_text(HOLDS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = {name: Entry(name, f"holders:{name}", "numpy") for name in ("Holds", "Fails")}
    monkeypatch.setattr(memory, "ENGINES", made)
    monkeypatch.setattr(memory, "COMPARED", tuple(made))
    monkeypatch.setattr(memory, "CHOSEN", ("dcgan-half",))


def test_the_page_has_what_a_task_held_at_most(engines, tmp_path):
    out = tmp_path / "memory.md"
    assert memory.main(["--out", str(out)]) == 1  # for the engine that failed
    rows = list(csv.DictReader(out.with_suffix(".csv").read_text().splitlines()))
    sizes = [row["grown_bytes"] and int(row["grown_bytes"]) / MIB for row in rows]
    assert [(row["task"], row["engine"]) for row in rows] == [
        (task, engine) for task in ("20 steps", "10,000 samples") for engine in ("Holds", "Fails")
    ]
    assert sizes[0] == pytest.approx(200, abs=10)
    assert sizes[1] == pytest.approx(200, abs=10)
    assert rows[3]["failure"] == "MemoryError: too much"
    assert "| MemoryError: too much |" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(("steps", "samples"), [(2, 0), (0, 50)])
def test_minigan_grows(steps, samples, monkeypatch):
    pytest.importorskip("resource", reason="Windows does not say how much a process held")
    monkeypatch.setitem(memory.WORKLOADS, "small", convolutions("small", 4, 16, batch=8))
    failure, size = memory.grown("small", "minigan", steps, samples)
    assert failure == ""
    assert size > 40 * MIB  # the images alone
