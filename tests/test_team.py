"""What the processes of a team exchange through shared memory; they are threads here."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from crews import worker_threads
from hypothesis import given
from hypothesis import strategies as st
from shared_games import plain

import minigan as mg
from minigan.parallel import barrier
from minigan.parallel.barrier import LINE, Barrier
from minigan.parallel.messages import send_to_all
from minigan.parallel.processes import own_cpus
from minigan.parallel.shared_memory import MESSAGE, Layout, SharedMemoryTeam


def together(size: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work(rank)` returns in each of `size` threads."""
    results: list[Any] = [None] * size

    def run(rank: int) -> None:
        results[rank] = work(rank)

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(size)]
    with worker_threads():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    return results


def team_of(size: int, batch: int = 10) -> list[SharedMemoryTeam]:
    """The members of a team, by rank."""
    game = plain()
    game.bind(batch)
    memory: Any = types.SimpleNamespace(buf=memoryview(bytearray(Layout(size, game).bytes)))
    return [SharedMemoryTeam(rank, size, game, memory, [], lambda: None) for rank in range(size)]


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_averages_are_weighted_by_rows_and_the_same_everywhere(size, dtype):
    """Short ones, and one that is sent in pieces; many after each other, as messages take turns."""
    random = np.random.default_rng(0)
    sizes = [1, 7, MESSAGE // np.dtype(dtype).itemsize * 2 + 5, *[3] * 20]
    own = [[random.normal(size=(n, 1)).astype(dtype) for n in sizes] for _ in range(size)]
    team = team_of(size)
    rows = [member.share.rows for member in team]
    assert len({*rows}) == (1 if size == 2 else 2)

    def work(rank: int) -> list[Any]:
        found = [X.copy() for X in own[rank]]
        for X in found:
            team[rank].average(X)
        return found

    results = together(size, work)
    for k, X in enumerate(results[0]):
        np.testing.assert_allclose(
            X, np.average([X[k] for X in own], axis=0, weights=rows), 1e-5, 1e-6
        )
        assert all(np.array_equal(other[k], X) for other in results[1:])


def test_all_take_the_answer_of_the_first():
    team, answers = team_of(3), [True, True, False, True, False]

    def work(rank: int) -> list[bool]:
        return [team[rank].agree(answer if rank == 0 else not answer) for answer in answers]

    assert together(3, work) == [answers] * 3


@given(n=st.integers(0, 500), size=st.integers(2, 7))
def test_each_number_is_updated_by_one_process(n, size):
    team = team_of(size)
    parts = [member.own(n) for member in team]
    assert [k for part in parts for k in range(part.start, part.stop)] == [*range(n)]
    assert all(part.start % 16 == 0 for part in parts if part.start < n)


@pytest.mark.parametrize("size", [2, 3])
def test_nobody_passes_a_barrier_before_all_have_come(size):
    memory = memoryview(bytearray(size * LINE))
    come: list[int] = []
    barriers = [Barrier(memory, rank, size, lambda: None) for rank in range(size)]

    def work(rank: int) -> bool:
        early = False
        for turn in range(30):
            if rank == turn % size:
                time.sleep(0.001)  # each is late in turn
            come.append(turn)
            barriers[rank].wait()
            early |= come.count(turn) < size
        return early

    assert together(size, work) == [False] * size


def naps(most: int) -> Callable[[float], None]:
    """A `sleep` that may be called `most` times."""
    left = iter(range(most))

    def sleep(seconds: float) -> None:
        assert next(left, None) is not None, "it would sleep for ever"

    return sleep


def test_a_long_wait_asks_whether_the_others_are_there(monkeypatch):
    asked: list[int] = []

    def check() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise mg.MiniganError("gone")

    monkeypatch.setattr(barrier, "SPINS", 100)
    monkeypatch.setattr(barrier, "LONG", 5 * barrier.NAP)
    monkeypatch.setattr(barrier, "time", types.SimpleNamespace(sleep=naps(100)))
    with pytest.raises(mg.MiniganError, match="gone"):
        Barrier(memoryview(bytearray(2 * LINE)), 0, 2, check).wait()


def test_a_spinning_process_gives_way(monkeypatch):
    """Else on a busy machine each barrier would take a slice of the others' time."""
    counts: list[int] = []
    memory = memoryview(bytearray(2 * LINE))
    one = Barrier(memory, 0, 2, lambda: None)

    def give_way() -> None:
        counts.append(1)
        if len(counts) == 5:
            memory.cast("q")[LINE // 8] = 1  # the other comes

    monkeypatch.setattr(barrier, "_give_way", give_way)
    monkeypatch.setattr(barrier, "time", types.SimpleNamespace(sleep=naps(0)))
    one.wait()
    assert len(counts) == 5


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="CPUs cannot be chosen here")
@pytest.mark.parametrize("size", [2, 3])
def test_processes_are_kept_on_cpus_of_their_own(size, monkeypatch):
    """Two on one CPU take turns, also if another is free for a while."""
    machine = {0: {*range(2, 9)}}  # seven CPUs; the key is the calling thread
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(machine[pid]))
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cpus: machine.update({pid: {*cpus}}))
    parts = []
    for member in team_of(size):
        member.barrier = types.SimpleNamespace(wait=lambda: None)
        game = plain()
        game.bind(10)
        member.engage(game)
        with contextlib.suppress(InterruptedError), member.stretch(game):
            parts.append(machine[0])
            raise InterruptedError
        assert machine[0] == {*range(2, 9)}
    assert sorted(cpu for part in parts for cpu in part) == [*range(2, 9)]  # none in two parts
    assert min(len(part) for part in parts) == 7 // size


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="CPUs cannot be chosen here")
def test_more_processes_than_cpus_share_them(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cpus: pytest.fail("chosen"))
    with own_cpus(2, 3):
        pass


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="CPUs cannot be chosen here")
def test_where_cpus_may_not_be_chosen_training_goes_on(monkeypatch):
    def forbidden(pid: int, cpus: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(os, "sched_setaffinity", forbidden)
    with own_cpus(1, 2):
        pass


def test_a_pipe_whose_other_end_is_gone_is_named():
    pipe, other = multiprocessing.Pipe()
    other.close()

    def broken(found: Any) -> None:
        assert found is pipe
        raise mg.WorkerError("gone")

    with pytest.raises(mg.WorkerError, match="gone"):
        send_to_all([pipe], "a message", broken)
