"""Which calls of a recorded CUDA step may run at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minigan.backend.base import span


@pytest.fixture
def branches(cupy) -> Any:
    return import_module("minigan.backend.cuda.branches")


class Said:
    """A call that reads and writes some arrays."""

    def __init__(self, reads: Sequence[np.ndarray], writes: Sequence[np.ndarray]) -> None:
        self.reads, self.writes = reads, writes

    def arrays(self) -> list[np.ndarray]:
        return [*self.reads, *self.writes]

    def written(self) -> list[np.ndarray]:
        return [*self.writes]


MEMORY = np.zeros(8)
PIECES = st.tuples(st.integers(0, 7), st.integers(1, 8)).map(
    lambda pair: MEMORY[pair[0] : pair[0] + pair[1]]
)
CALLS = st.lists(
    st.builds(Said, st.lists(PIECES, max_size=2), st.lists(PIECES, min_size=1, max_size=2)),
    max_size=12,
)


def need_each_other(one: Said, other: Said) -> bool:
    """Whether one writes what the other uses."""
    return any(
        a < d and c < b
        for writer, user in ((one, other), (other, one))
        for a, b in map(span, writer.written())
        for c, d in map(span, user.arrays())
    )


def followed(places: Sequence[Any]) -> list[set[int]]:
    """For each call, all that have finished when it begins."""
    before: list[set[int]] = []
    last: dict[int, int] = {}
    for number, place in enumerate(places):
        direct = [*place.after, *([last[place.stream]] if place.stream in last else [])]
        before.append(set(direct).union(*(before[one] for one in direct)))
        last[place.stream] = number
    return before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=CALLS, streams=st.integers(1, 4))
def test_calls_that_need_each_other_keep_their_order(branches, calls, streams):
    places = branches.places(calls, streams)
    assert {place.stream for place in places} <= set(range(streams))
    before = followed(places)
    for late in range(len(calls)):
        for early in range(late):
            if need_each_other(calls[early], calls[late]):
                assert early in before[late]
        after = places[late].after
        assert not any(one in before[other] for one in after for other in after)


def test_what_is_independent_is_apart_and_a_chain_is_together(branches):
    A, B, C, D = np.zeros(4), np.zeros(4), np.zeros(4), np.zeros(4)
    calls = [
        Said([A], [B]),
        Said([B], [C]),  # after 0
        Said([A], [D]),  # needs nothing
        Said([C], [B]),  # after 1
        Said([B, D], [A]),  # after all
    ]
    places = branches.places(calls)
    assert [place.stream for place in places] == [0, 0, 1, 0, 0]
    assert [place.after for place in places] == [[], [], [], [], [2]]


def test_a_call_waits_for_no_more_than_it_must(branches):
    """The last call needs 0, 2 and 3, but what follows 2 follows 0."""
    A, B, C, D, E = (np.zeros(4) for _ in range(5))
    calls = [Said([], [A]), Said([A], [B]), Said([B], [C]), Said([], [D]), Said([A, C, D], [E])]
    places = branches.places(calls)
    assert [place.stream for place in places] == [0, 0, 0, 1, 1]
    assert places[4].after == [2]


def test_a_stream_that_is_done_is_used_again(branches):
    """Call 3 goes to stream 1, which ended with a call that it needs anyway."""
    A, B, C = np.zeros(4), np.zeros(4), np.zeros(4)
    calls = [Said([], [A]), Said([], [B]), Said([A, B], [C]), Said([C], [A]), Said([C], [B])]
    places = branches.places(calls, streams=2)
    assert len({places[3].stream, places[4].stream}) == 2


def test_a_captured_step_has_branches(cupy):
    """The gradients of a layer's weights and of its input are apart, and the graph is right."""
    cuda = import_module("minigan.backend").get_backend("cuda")
    rng = np.random.default_rng(0)
    X, W, dY = (cuda.from_host(rng.normal(size=(40, 40)), "float32") for _ in range(3))
    dX, dW = cuda.zeros((40, 40), "float32"), cuda.zeros((40, 40), "float32")

    def step() -> None:
        cuda.matmul(X, dY, out=dW, transpose_A=True)
        cuda.matmul(dY, W, out=dX, transpose_B=True)
        cuda.add(dX, dW, out=X)

    replay = cuda.capture(step)
    replay()
    graph = replay.graph
    assert [after for _, after in graph._nodes] == [set(), set(), {0, 1}]


def test_a_call_that_fails_ends_the_recording(cupy, branches):
    """With its own error, although another stream has joined; and the next recording works."""
    X, Y = cupy.zeros((4,), "float32"), cupy.zeros((4,), "float32")
    cupy.cuda.Device().synchronize()
    launching = import_module("minigan.backend.cuda.launching")

    def fail() -> None:
        raise ValueError("no such kernel")

    calls = [launching.Call("fill", lambda out=out: out.fill(1), {"out": out}) for out in (X, Y)]
    with pytest.raises(ValueError, match="no such kernel"):
        branches.record([*calls, launching.Call("fails", fail, {"out": X})])
    graph = branches.record(calls)
    graph.launch()
    cupy.cuda.Device().synchronize()
    assert X.get().tolist() == Y.get().tolist() == [1] * 4
