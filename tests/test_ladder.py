"""The speed ladder: every rung takes the engine's steps, and the page quotes what is there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from bench.ladder import facts, measure
from bench.ladder.counting import count_calls
from bench.ladder.rung1_loops import Loops
from bench.ladder.rung2_vectorised import Vectorised
from bench.ladder.rung3_preallocated import Preallocated
from bench.ladder.rung4_kernels import Kernels
from bench.ladder.rung5_shared import Shared
from bench.ladder.rung6_engine import Captured, Layers
from bench.ladder.start import BATCH, engine, start

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
RESULTS = ROOT / "bench" / "results" / "ladder.md"
BY_HAND = (Vectorised, Preallocated, Kernels, Shared)
TABLES = ("ladder", "parts", "calls", "threads")


def after(kind, dtype, steps):
    """A rung that has taken `steps` steps."""
    rung = kind(start(dtype))
    for _ in range(steps):
        rung.step()
    return rung


def assert_same(kind, dtype, steps, rtol, atol):
    """A rung's parameters and losses are the engine's."""
    mine, engines = after(kind, dtype, steps), after(Layers, dtype, steps)
    for ours, theirs in zip(mine.parameters(), engines.parameters(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)
    np.testing.assert_allclose(mine.losses(), engines.losses(), rtol=1e-5)


# 70 steps go past the 64 after which some rungs draw numbers and make losses.
@pytest.mark.parametrize("steps", [5, 70])
@pytest.mark.parametrize("kind", [*BY_HAND, Captured])
def test_every_rung_takes_the_engines_steps(kind, steps):
    assert_same(kind, "float64", steps, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("kind", [*BY_HAND, Captured])
def test_in_single_precision_too(kind):
    assert_same(kind, "float32", 5, rtol=1e-5, atol=2e-6)


def test_lists_and_loops_take_the_engines_step():
    assert_same(Loops, "float64", 1, rtol=1e-10, atol=1e-13)


def test_the_settings_are_those_of_the_recipe():
    (wide, _), (narrow, _) = engine("float64"), engine("float32")
    assert wide.generator.dtype == "float64"
    one, other = wide.to_config(), narrow.to_config()
    for net in ("generator", "discriminator"):
        one[net].pop("dtype"), other[net].pop("dtype")
    assert one == other
    assert narrow.batch == BATCH


def test_preallocated_rungs_make_no_arrays_and_each_makes_fewer_calls():
    counts = {kind: count_calls(kind, 64) for kind in (*BY_HAND, Layers, Captured)}
    assert counts[Vectorised][1] > 100
    others = [arrays for kind, (_, arrays) in counts.items() if kind is not Vectorised]
    assert max(others) < 0.1  # the engine makes one, of three numbers, every 64 steps
    calls = [counts[kind][0] for kind in BY_HAND]
    assert calls == sorted(calls, reverse=True)
    assert counts[Layers][0] == counts[Captured][0] < 1.1 * counts[Shared][0]


def test_a_planted_allocation_is_counted(monkeypatch):
    step = Preallocated.step

    def wasteful(self):
        step(self)
        _ = self.z + self.z

    monkeypatch.setattr(Preallocated, "step", wasteful)
    assert count_calls(Preallocated, 64)[1] == 1


def test_memory_of_a_step():
    array = BATCH * 50 * 4  # bytes of a hidden layer
    assert measure.peak_bytes(Vectorised, 3) > 10 * array
    for kind in (Preallocated, Kernels, Shared, Captured):
        assert measure.peak_bytes(kind, 3) < 3 * array  # NumPy's own buffers


@pytest.fixture
def few(monkeypatch):
    """Three rungs and one fact, so that a test can measure them."""
    titles = {kind: measure.TITLES[kind] for kind in (Vectorised, Shared, Captured)}
    monkeypatch.setattr(measure, "TITLES", titles)
    what, ways = next(iter(facts.facts().items()))
    monkeypatch.setattr(facts, "facts", lambda: {what: ways})
    monkeypatch.setattr(facts, "PRODUCTS", ((2, 3, 4),))


def test_the_bench_writes_its_tables(few, tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- table: {name} -->\nold\n<!-- end -->\n" for name in TABLES))
    out = tmp_path / "ladder.md"
    for name, value in (("PAGE", page), ("ROUNDS", 1), ("SECONDS", 0.01)):
        monkeypatch.setattr(measure, name, value)
    monkeypatch.setattr(measure.report, "RESULTS", tmp_path)
    assert measure.main([]) == 0
    text = out.read_text(encoding="utf-8")
    assert "| 7. minigan, captured |" in text
    assert "| products |" in text
    assert text[text.index("| rung |") :].strip() in capsys.readouterr().out
    assert len(out.with_suffix(".csv").read_text().splitlines()) == 4
    assert "old" not in page.read_text()
    for lines in tables_of(page.read_text(), TABLES).values():
        assert lines in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--out", "x.txt"], "must be a .md file"),
        (["--out", "no/such/x.md"], "must be a .md file"),
    ],
)
def test_refusals_come_before_the_work(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        measure.main(words)
    assert end.value.code == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def tables_of(page, names):
    """{name: what stands between its marks}."""
    return {
        name: re.search(rf"<!-- table: {name} -->\n(.*?)<!-- end -->", page, re.DOTALL).group(1)
        for name in names
    }


def test_the_page_has_the_measured_tables():
    measured = RESULTS.read_text(encoding="utf-8")
    for name, lines in tables_of(PAGE, TABLES).items():
        assert lines.strip(), name
        assert lines in measured, f"{name}: run `make ladder`"


def test_the_page_quotes_code_that_is_there():
    sources = [*(ROOT / "bench" / "ladder").glob("*.py"), *(ROOT / "minigan").rglob("*.py")]
    there = {
        line.strip() for file in sources for line in file.read_text(encoding="utf-8").splitlines()
    }
    quoted = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert quoted
    for line in "".join(quoted).splitlines():
        assert line.strip() in there, line
