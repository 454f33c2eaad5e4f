"""The bench of two processes, with engines that only say what they would have measured."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from bench import workers as bench
from bench.workloads import WORKLOADS


class Engine:
    """A worker of the bench: each of its steps takes `seconds`."""

    def __init__(self, job: Any, seconds: float, failure: str) -> None:
        self.name, _, self.workload, self.threads = job
        self.seconds, self.failure = seconds, failure

    def ask(self, do: str, **settings: Any) -> dict[str, Any] | None:
        if self.failure:
            return None
        answers = {
            "warm": {"steps": 10},
            "turn": {"seconds": 10 * self.seconds},
            "losses": {"losses": [1.0, 0.7]},
        }
        return answers[do]


@pytest.fixture
def started(monkeypatch) -> list[Engine]:
    """The engines in the order in which they are started; the second of "together" fails."""
    started: list[Engine] = []

    @contextlib.contextmanager
    def workers(jobs: list[Any]) -> Iterator[list[Engine]]:
        [job] = jobs
        turns = sum((one.name, one.workload) == (job[0], job[2]) for one in started)
        failure = "killed" if (job[0], turns) == ("together", 1) else ""
        started.append(Engine(job, 0.004 - 0.001 * turns, failure))
        yield started[-1:]

    monkeypatch.setattr(bench, "workers", workers)
    return started


def test_every_turn_is_a_new_process_and_a_failure_is_kept(started, tmp_path, capsys):
    assert bench.main(["--quick", "--out", str(tmp_path)]) == 1
    ours = [e for e in started if e.name == "minigan" and e.workload is WORKLOADS[bench.MNIST[0]]]
    assert len(ours) == bench.QUICK[0] == 3
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| MNIST")]
    assert lines[0].split(" | ")[1:4] == ["minigan", "2.00", "1.00"]  # ms of the fastest turn
    assert lines[1].split(" | ")[2] == "killed"
    assert (tmp_path / "workers.md").exists()
