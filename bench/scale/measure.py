"""What is timed: computing alone, exchanging alone, and both at once. MNIST, H = 256, batch 100."""

from __future__ import annotations

import functools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from bench.engines import ours
from bench.report import in_turn
from bench.scale.teams import Alone, Slow, mpiexec, run_ranks, two_workers
from bench.workloads import WORKLOADS
from minigan.training.trainer import CHECK_EVERY

WORKLOAD = WORKLOADS["mnist256"]
BATCH = WORKLOAD.batch
DELAY = 1e-3  # seconds
ALONE = (1, 2, 4, 10, 25, 50)  # ranks: the share of one, computed alone
ROWS = 50  # of a share of larger batches
BATCHES = (100, 200, 400)  # of which it is a share
SIZES = (0, 1 << 12, 1 << 15, 1 << 17, 267_009)  # numbers of a gradient that is averaged
TIMES = 200  # exchanges in a turn

Row = dict[str, Any]  # a line of the results: quantity, transport, ranks, batch, numbers, seconds


def one_thread() -> None:
    """Let the BLAS library compute with one thread from now on."""
    threadpool_limits(limits=1, user_api="blas")


def build(batch: int = BATCH) -> tuple[Any, Any]:
    """The game, bound, and its data."""
    game, data = ours.build(WORKLOAD)
    game.bind(batch)
    return game, data


def row(quantity: str, seconds: float, **where: Any) -> Row:
    """A line of the results."""
    return {
        "quantity": quantity,
        "transport": "",
        "ranks": 1,
        "batch": BATCH,
        "numbers": 0,
        **where,
        "seconds": seconds,
    }


def measure(rounds: int, seconds: float) -> list[Row]:
    """Everything: alone, two workers, and two ranks if there is MPI."""
    one_thread()
    rows = measure_alone(rounds, seconds)
    game, data = build()
    with two_workers(game, data) as team:
        rows += measure_team(team, game, data, "workers", rounds, seconds)
    if mpiexec() is not None:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "rows.json"
            run_ranks(out, rounds, seconds)
            rows += json.loads(out.read_text())
    return rows


def steps(team: Any, game: Any, data: Any, count: int) -> float:
    """The seconds of a step, as the mean over a stretch without its beginning and its end."""
    times: list[float] = []

    def more() -> bool:
        times.append(time.perf_counter())
        return len(times) <= count

    team.lead(game, data, True, more)
    return (times[-1] - times[1]) / (count - 1)  # the first one may be recorded


def counted(team: Any, game: Any, data: Any, seconds: float) -> int:
    """How many steps take about that long, at most a stretch of the trainer."""
    steps(team, game, data, 3)
    return max(3, min(CHECK_EVERY, round(seconds / steps(team, game, data, 10))))


def measure_alone(rounds: int, seconds: float) -> list[Row]:
    """The share of one of p ranks, which exchanges nothing; and the optimizers."""
    cases = [(p, BATCH) for p in ALONE] + [(b // ROWS, b) for b in BATCHES if b != BATCH]
    turns = []
    for p, batch in cases:
        game, data = build(batch)
        team = Alone(p, game)
        team.engage(game)
        count = counted(team, game, data, seconds)
        turns.append(functools.partial(steps, team, game, data, count))
    game, _ = build()

    def update() -> float:
        start = time.perf_counter()
        for _ in range(20):
            for optimizer in game.optimizers.values():
                optimizer.step()
        return (time.perf_counter() - start) / 20

    *alone, updates = in_turn([*turns, update], rounds)
    rows = [
        row("alone", min(times), ranks=p, batch=batch)
        for (p, batch), times in zip(cases, alone, strict=True)
    ]
    numbers = sum(net.parameters.size for net in game.networks.values())
    return [*rows, row("update", min(updates), numbers=numbers)]


def measure_team(
    team: Slow, game: Any, data: Any, transport: str, rounds: int, seconds: float
) -> list[Row]:
    """Two processes: their steps, also with a delay in each exchange, and exchanges alone."""
    where = {"transport": transport, "ranks": 2}
    count = counted(team, game, data, seconds)
    before = team.exchanges
    steps(team, game, data, 2)
    two = team.exchanges - before
    before = team.exchanges
    steps(team, game, data, 12)
    exchanges = (team.exchanges - before - two) / 10  # of a step

    def delayed() -> float:
        team.delay = DELAY
        result = steps(team, game, data, max(3, count // 2))
        team.delay = 0.0
        return result

    def exchange(n: int) -> float:
        return team.exchange(n, TIMES)

    turns = [functools.partial(steps, team, game, data, count), delayed]
    turns += [functools.partial(exchange, n) for n in SIZES]
    step, slow, *sums = in_turn(turns, rounds)
    return [
        row("step", min(step), **where),
        row("delayed step", min(slow), **where, numbers=exchanges),
        *(
            row("exchange", min(times), **where, numbers=n)
            for n, times in zip(SIZES, sums, strict=True)
        ),
    ]
