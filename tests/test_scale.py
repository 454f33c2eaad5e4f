"""The model of scaling: its formulas, its fit, what it is fitted to, and the page's numbers."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import ROOT, run_python
from shared_games import GAMES

from bench.scale import fit
from bench.scale.measure import ALONE, BATCH, BATCHES, DELAY, ROWS, row, steps
from bench.scale.model import FLOAT, NETWORKS, Link, Step
from bench.scale.tables import tables
from bench.scale.teams import Alone, two_workers

FAST = NETWORKS["100 Gbit/s, 2 µs"]
TRUE = Step(3e-3, 5e-6, 7e-5, 1.5e-3, fit.PARAMETERS)
LINK = Link(9e-6, 5e9)


def synthetic(slower: float = 1.1) -> list[dict]:
    """The rows of a machine that is as the model has it."""
    rows = [row("alone", TRUE.compute(p, BATCH), ranks=p) for p in ALONE]
    rows += [
        row("alone", TRUE.compute(b // ROWS, b), ranks=b // ROWS, batch=b)
        for b in BATCHES
        if b != BATCH
    ]
    rows.append(row("update", TRUE.update))
    where = {"transport": "workers", "ranks": 2}
    together = Step(**{**vars(TRUE), "slower": slower, "divided": True})
    step = together.seconds(2, BATCH, LINK)
    rows.append(row("step", step, **where))
    rows.append(row("delayed step", step + 5 * DELAY, **where, numbers=5))
    for n in (1000, 30_000, 250_000):
        rows.append(row("exchange", LINK.total(2, FLOAT * n), **where, numbers=n))
    return rows


# -- formulas ---------------------------------------------------------------------------


@given(size=st.floats(1.0, 1e9), p=st.sampled_from([2, 4, 8, 64, 1024]))
def test_sums_over_ranks(size, p):
    """By halving there are as few messages as along a tree, and as few bytes as around a ring."""
    for link in NETWORKS.values():
        no_bytes, no_messages = Link(link.latency, 1e30), Link(0.0, link.bandwidth)
        assert link.halving(p, size) == pytest.approx(
            no_bytes.tree(p, size) + no_messages.ring(p, size)
        )
        assert link.total(p, size) == link.halving(p, size) <= link.ring(p, size) * (1 + 1e-12)
        assert link.total(p, size) <= link.tree(p, size)


def test_sums_by_hand():
    link = Link(1e-3, 1000.0)
    assert link.ring(4, 400.0) == pytest.approx(6 * (1e-3 + 0.1))
    assert link.tree(5, 400.0) == pytest.approx(6 * (1e-3 + 0.4))
    assert link.halving(4, 400.0) == pytest.approx(4e-3 + 0.6)
    for way in (link.ring, link.halving, link.total):
        assert way(2, 400.0) == pytest.approx(2e-3 + 0.4)
    assert (link.total(1, 400.0), link.message(1), link.message(5)) == (0.0, 0.0, 3e-3)


def test_a_step_by_hand():
    step = Step(1.0, 0.01, 0.1, 2.0, (100, 150), messages=3, slower=1.5)
    assert step.compute(1, 20) == pytest.approx(1.0 + 0.2 + 2.0 + 2.0)
    assert step.compute(4, 20) == pytest.approx(1.5 * (1.0 + 0.2 + 0.5 + 2.0))
    divided = Step(**{**vars(step), "divided": True})
    assert divided.compute(4, 20) == pytest.approx(1.5 * (1.0 + 0.2 + 0.5 + 0.5))
    link = Link(1e-3, 1000.0)
    sums = link.total(4, 400) + link.total(4, 600)
    assert step.exchanges(4, link) == pytest.approx(sums + 3 * 2e-3)
    assert step.efficiency(1, 20, link, 20) == pytest.approx(1.0)
    seconds = step.compute(4, 20) + step.exchanges(4, link)
    assert step.efficiency(4, 20, link, 20) == pytest.approx(5.2 / 4 / seconds)
    assert step.efficiency(4, 80, link, 20) == pytest.approx(5.2 / step.seconds(4, 80, link))
    larger = step.larger(500)
    assert (larger.each, larger.update, larger.parameters) == (0.2, 4.0, (200, 300))


def test_more_ranks_never_make_an_efficiency_rise():
    for link, step in itertools.product(NETWORKS.values(), (TRUE, TRUE.larger(10**8))):
        for batch in (lambda p: 8192, lambda p: 100 * p):
            alone = batch(1)
            found = [step.efficiency(2**k, batch(2**k), link, alone) for k in range(11)]
            assert found == sorted(found, reverse=True)


# -- the fit ----------------------------------------------------------------------------


def test_the_fit_finds_the_constants_of_a_machine_that_is_as_the_model():
    rows = synthetic()
    found = fit.step_together(rows, "workers")
    for name in ("fixed", "whole", "each", "update", "slower"):
        expected = 1.1 if name == "slower" else getattr(TRUE, name)
        assert getattr(found, name) == pytest.approx(expected), name
    link = fit.link_of(rows, "workers")
    assert (link.latency, link.bandwidth) == pytest.approx((LINK.latency, LINK.bandwidth))
    _, measured, modelled = fit.with_delay(rows, "workers")
    assert modelled == pytest.approx(measured)


# -- what was measured ------------------------------------------------------------------


def test_the_model_predicts_a_step_with_a_delay_within_a_fifth():
    rows = fit.read()
    assert fit.transports(rows) == ["workers", "mpi"]
    for name in fit.transports(rows):
        exchanges, measured, modelled = fit.with_delay(rows, name)
        assert exchanges == {"workers": 5, "mpi": 3}[name]
        assert modelled == pytest.approx(measured, rel=0.2)


def test_the_page_has_the_measured_tables():
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    results = (ROOT / "bench" / "results" / "scale.md").read_text(encoding="utf-8")
    for name, lines in tables(fit.read()).items():
        text = "\n".join(lines)
        assert f"<!-- table: {name} -->\n{text}\n<!-- end -->" in page, name
        assert text in results, name


def test_what_the_page_says_of_the_tables():
    """`make scale` on another machine may contradict the text: then it has to be rewritten."""
    step = fit.step_alone(fit.read())
    own = step.each * BATCH / step.compute(1, BATCH)
    assert 1 / 3 < 1 - own < 0.4  # more than a third, so never three times as fast
    others = step.whole * BATCH * 64 / step.seconds(64, BATCH * 64, FAST)
    assert others == pytest.approx(0.4, abs=0.03)  # two fifths
    sums = [step.sums(2, link) for link in NETWORKS.values()]
    assert sums == pytest.approx([0.2e-3, 2e-3], rel=0.1)
    latency = Link(2e-6, 1e30)
    assert step.exchanges(1024, latency) == pytest.approx(0.1e-3, rel=0.05)
    assert sum(latency.ring(1024, FLOAT * n) for n in step.parameters) == pytest.approx(8e-3, 0.05)
    assert sum(step.larger(10**8).parameters) * FLOAT * 2 == pytest.approx(800e6)


# -- what is timed ----------------------------------------------------------------------


def test_two_processes_with_a_delay():
    """Two updates of each network, and whether there is another step: nine exchanges."""
    game, data = (make() for make in GAMES["clipped"])
    game.bind(10)
    with two_workers(game, data) as team:
        steps(team, game, data, 3)
        before = team.exchanges
        steps(team, game, data, 4)
        of_four = team.exchanges - before
        before = team.exchanges
        steps(team, game, data, 6)
        assert (team.exchanges - before - of_four) / 2 == 9
        fast = steps(team, game, data, 5)
        team.delay = 2e-3
        assert steps(team, game, data, 5) >= max(fast, 9 * 2e-3)
        team.delay = 0.0
        assert team.exchange(100, 3) > 0
        assert team.exchange(0, 3) > 0
        assert game.step_count == 3 + 4 + 6 + 5 + 5


def test_one_rank_alone_computes_with_its_rows():
    game, data = (make() for make in GAMES["plain"])
    game.bind(10)
    team = Alone(3, game)
    team.engage(game)
    assert (game.rows, team.share.start) == (4, 6)
    assert steps(team, game, data, 3) > 0
    assert game.step_count == 3
    game.check_finite()


@pytest.mark.slow
def test_the_command(tmp_path):
    run_python("-m", "bench.scale", "--quick", "--out", tmp_path)
    assert fit.read(tmp_path / "scale.csv")
    assert "scale-delay" in (tmp_path / "scale.md").read_text(encoding="utf-8")
