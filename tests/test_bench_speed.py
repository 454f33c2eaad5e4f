"""The bench of speed: its processes, its tables, and that its engines do what they are timed at.

Nothing here says how fast anything is.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import os
import re
import textwrap

import pytest

import bench.__main__ as command
import minigan as mg
from bench import machine, speed
from bench.engines import ENGINES, Entry
from bench.engines.limit import Limit
from bench.engines.ours import build
from bench.processes import NOT_INSTALLED, Timing, time_in_rounds, workers
from bench.report import Plan
from bench.workloads import (
    EPS,
    FAKE_TARGET,
    LR,
    MEAN,
    PIXELS,
    STD,
    TITLES,
    WORKLOADS,
    convolutions,
    images,
)
from examples import gaussian1d
from minigan.backend import numpy as numpy_backend
from minigan.backend.numpy import convolution

WORKLOAD = WORKLOADS["gaussian1d"]
SMALL = {
    "gaussian1d": WORKLOAD,
    "mnist": images("mnist", 24, batch=50),
    "mnist-same": images("mnist-same", 24, batch=50, same_noise=True),
    "dcgan": convolutions("dcgan", 4, 16, batch=8),
}

# -- the processes --------------------------------------------------------------------

FAKES = """
import os, sys, time
from pathlib import Path

log = Path(os.environ["FAKE_LOG"])

class Fake:
    chunk = 1
    said = (1.0, 1.0)
    def __init__(self, workload, threads):
        self.name = f"{type(self).__name__} {threads}"
        print("no answer, only noise on stdout")
        self.runs = 0
    def run(self, steps):
        self.runs += 1
        with log.open("a") as file:
            print(self.name, steps, file=file)
    def losses(self):
        return self.said

class One(Fake): pass
class Two(Fake): pass
class Three(Fake): pass
class Sevens(Fake):
    chunk = 7
    def run(self, steps):
        super().run(steps)
        time.sleep(steps * 1e-5)
class Limitlike(Fake): said = None
class Lost(Fake): said = (float("nan"), 1.0)
class Wild(Fake): said = (1.0, 1e9)

class Unbuilt(Fake):
    def __init__(self, workload, threads):
        raise RuntimeError("cannot | be built")

class Breaks(Fake):
    def run(self, steps):
        super().run(steps)
        if self.runs == 4:
            print("a warning before", file=sys.stderr)
            raise RuntimeError("broke in its second turn")

class Wordy(Fake):
    def run(self, steps):
        raise ValueError("the reason\\nand advice")

class Vanishes(Fake):
    def run(self, steps):
        if self.runs == 3:
            os._exit(7)
        super().run(steps)

class Environment(Fake):
    def run(self, steps):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "XLA_FLAGS")
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
        log.write_text("\\n".join([str(cpus)] + [os.environ.get(n, "") for n in names]))
"""


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """Engines that write down when they run; returns a function that makes jobs of their names."""
    (tmp_path / "fakes.py").write_text(textwrap.dedent(FAKES))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    return lambda *names, threads=1: [(n, fake(n), WORKLOAD, threads) for n in names]


def fake(name: str) -> Entry:
    return Entry(f"fake {name}", f"fakes:{name}", "json")


def lines_of(tmp_path) -> list[str]:
    return (tmp_path / "log").read_text().splitlines()


def test_engines_take_turns(fakes, tmp_path):
    with workers(fakes("One", "Two", "Three")) as started:
        timings = time_in_rounds(started, rounds=4, seconds=0.0)
    names = [line.split()[0] for line in lines_of(tmp_path)]
    # To be warm: three calls, and a timed one. Then rounds, each with another one at first.
    assert names[:12] == [*4 * ["One"], *4 * ["Two"], *4 * ["Three"]]
    assert names[12:] == [
        *("One", "Two", "Three"),
        *("Two", "Three", "One"),
        *("Three", "One", "Two"),
        *("One", "Two", "Three"),
    ]
    assert [(t.engine, t.steps, len(t.turns), t.failure) for t in timings] == [
        (name, 1, 4, "") for name in ("One", "Two", "Three")
    ]


def test_turns_are_whole_chunks(fakes, tmp_path):
    with workers(fakes("Sevens")) as started:
        (timing,) = time_in_rounds(started, rounds=2, seconds=0.005)
    assert timing.steps % 7 == 0
    assert all(int(line.split()[-1]) % 7 == 0 for line in lines_of(tmp_path))


def test_what_is_not_installed_is_left_out(fakes):
    absent = ("absent", Entry("absent", "no:matter", "a_module_that_does_not_exist"), WORKLOAD, 1)
    with workers([absent, *fakes("One")]) as started:
        assert started[0].process is None
        first, second = time_in_rounds(started, rounds=2, seconds=0.0)
    assert (first.failure, first.fastest, first.turns) == (NOT_INSTALLED, None, [])
    assert len(second.turns) == 2
    assert second.fastest is not None


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Unbuilt", "RuntimeError: cannot | be built"),
        ("Breaks", "RuntimeError: broke in its second turn"),
        ("Wordy", "ValueError: the reason"),
        ("NoSuchClass", "has no attribute 'NoSuchClass'"),
    ],
)
def test_a_worker_that_crashes_says_why_and_stops_no_other(name, told, fakes):
    with workers(fakes("One", name, "Two")) as started:
        timings = time_in_rounds(started, rounds=3, seconds=0.0)
    assert timings[1].failure.endswith(told)
    assert timings[1].fastest is None
    assert timings[1].spread is None
    assert [len(timings[i].turns) for i in (0, 2)] == [3, 3]
    assert timings[0].failure == timings[2].failure == ""


def test_a_worker_that_vanishes_is_known_by_its_exit_code(fakes):
    with workers(fakes("Vanishes")) as started:
        (timing,) = time_in_rounds(started, rounds=3, seconds=0.0)
    assert timing.failure == "the process ended with exit code 7"


def test_no_process_is_left(fakes):
    with pytest.raises(KeyboardInterrupt), workers(fakes("One", "Two")) as started:
        raise KeyboardInterrupt
    assert all(one.process.poll() is not None for one in started)


def test_threads_and_cpus_are_fixed(fakes, tmp_path, monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    with workers(fakes("Environment")) as (one,):
        one.ask("turn", steps=1)
    cpus, *threads, xla = lines_of(tmp_path)
    assert threads == ["1"] * 3
    assert "intra_op_parallelism_threads=1" in xla
    if hasattr(os, "sched_setaffinity"):
        assert cpus == "1"


def test_networks_that_do_not_train_are_no_result(fakes, tmp_path):
    names = ("One", "Limitlike", "Lost", "Wild")
    engines = {name: fake(name) for name in names}
    short = plan(tmp_path, rounds=1, seconds=0.0)
    timings = speed.measure(short, engines, ["gaussian1d"])
    assert [t.failure for t in timings[:2]] == ["", ""]
    assert timings[2].failure == "losses nan (D) and 1 (G)"
    assert timings[3].failure == "losses 1 (D) and 1e+09 (G)"
    assert [t.fastest is None for t in timings] == [False, False, True, True]


# -- the tables -----------------------------------------------------------------------


def timing(engine: str, threads: int, *turns: float, failure: str = "") -> Timing:
    return Timing(engine, "gaussian1d", threads, 10, list(turns), failure)


MEASURED = [
    timing("minigan", 1, 30.0, 20.0, 40.0),
    timing("pytorch", 1, 80.0, 90.0, 80.0),
    timing("jax_jit", 1, 40.0),
    timing("jax_scan", 1, failure="a | b"),
    timing("limit", 1, 10.0),
    timing("minigan", 2, 19.0),
    timing("pytorch", 2, failure="not installed"),
    timing("jax_jit", 2, 38.0),
    timing("jax_scan", 2, 2000.0),
    timing("limit", 2, 9.5),
]


def test_the_table_compares_the_fastest_turns():
    assert MEASURED[0].fastest == 20.0
    assert MEASURED[0].spread == 1.5
    text = speed.tables(MEASURED)
    assert f"## {TITLES['gaussian1d']}" in text
    assert "| minigan | 20.0 | 0.25 | 0.50 | 1.50 | 19.0 |  | 0.50 | 1.00 |" in text
    assert "| PyTorch, eager | 80.0 | 1.00 | 2.00 | 1.00 | not installed |  |  |  |" in text
    assert "| JAX, lax.scan over steps | a / b |  |  |  | 2,000 |  | 52.63 | 1.00 |" in text
    widths = {line.count("|") for line in text if line.startswith("|")}
    assert widths == {10}


def test_what_was_not_measured_is_compared_with_nothing():
    assert speed.compare(MEASURED, MEASURED[3], "limit") is None  # it failed
    assert speed.compare(MEASURED, MEASURED[5], "pytorch") is None  # the other failed
    assert speed.compare(MEASURED, MEASURED[5], "torch_compile") is None  # the other was not asked


def plan(tmp_path, **changes) -> Plan:
    return dataclasses.replace(Plan(tmp_path, 2, 0.002, (1,), "from nowhere"), **changes)


def test_pages_and_numbers_are_written(tmp_path, monkeypatch):
    few = {name: ENGINES[name] for name in ("minigan", "limit")}
    only = functools.partial(speed.measure, engines=few)
    monkeypatch.setattr(speed, "measure", only)
    assert speed.run(plan(tmp_path), ["gaussian1d"])
    text = (tmp_path / "speed.md").read_text()
    assert "\nfrom nowhere\n" in text
    rows = list(csv.DictReader((tmp_path / "speed.csv").read_text().splitlines()))
    assert [row["engine"] for row in rows] == ["minigan", "limit"]
    mine, limit = (float(row["fastest_us"]) for row in rows)
    assert float(rows[0]["to_limit"]) == pytest.approx(mine / limit)
    assert rows[0]["to_pytorch"] == ""
    assert min(map(float, rows[0]["turns_us"].split())) == pytest.approx(mine, abs=1e-3)


# -- the command ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--quick"], "--out DIR is needed"),
        (["--workloads", "dcgan"], "--out DIR is needed"),
        (["--workloads", "cgan"], "invalid choice"),
        (["--out", ""], "must not be empty"),
    ],
)
def test_flags_that_cannot_be_are_refused(words, told, monkeypatch, capsys):
    monkeypatch.setattr(machine, "installed", lambda module: True)
    with pytest.raises(SystemExit) as end:
        command.main(words)
    assert end.value.code == 2
    assert told in capsys.readouterr().err


def test_a_table_without_its_peers_is_not_the_default_one(monkeypatch, capsys):
    monkeypatch.setattr(machine, "installed", lambda module: module != "jax")
    with pytest.raises(SystemExit):
        command.main([])
    assert "jax cannot be imported" in capsys.readouterr().err
    monkeypatch.setattr(machine, "installed", lambda module: True)
    whole, workloads = command.parse([])
    assert whole.out.parts[-2:] == ("bench", "results")
    assert workloads == list(WORKLOADS)


def test_some_workloads_alone():
    _, workloads = command.parse(["--workloads", "dcgan", "dcgan-half", "--out", "x"])
    assert workloads == ["dcgan", "dcgan-half"]


@pytest.mark.parametrize("succeeded", [True, False])
def test_a_failure_decides_the_exit_code(succeeded, tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "run", lambda plan, workloads: succeeded)
    assert command.main(["--quick", "--out", str(tmp_path / "new")]) == (0 if succeeded else 1)
    assert (tmp_path / "new").is_dir()


def test_the_machine_is_told():
    asked, _ = command.parse(["--quick", "--out", "x"])
    assert asked.origin.endswith("By `python -m bench --quick --out x`.")
    for word in ("minigan ", "numpy ", "NumPy's BLAS is", "Python 3.", " CPU"):
        assert word in asked.origin


# -- the engines ----------------------------------------------------------------------


def words_of(layers) -> list[tuple[str, ...]]:
    """Layers in PyTorch's words, each with its whole numbers, without those that reshape alone."""
    found = []
    for layer in layers:
        kind, _, rest = layer.removeprefix("torch.nn.").partition("(")
        if "flatten" not in kind.lower():
            kind = kind.replace("BatchNorm2d", "BatchNorm1d")
            found.append((kind, *re.findall(r"-?[\d.]+", rest.partition(", eps")[0])))
    return found


def in_words(layers) -> list[str]:
    return [f"{kind}({', '.join(map(str, arguments))})" for kind, *arguments in layers]


@pytest.mark.parametrize("w", [*WORKLOADS.values(), *SMALL.values()], ids=lambda w: w.name)
def test_a_workload_is_its_recipe(w):
    gan, data = build(w)
    for net, layers in ((gan.generator, w.G), (gan.discriminator, w.D)):
        named = [layer.pytorch() for layer in net.layers if not isinstance(layer, mg.Pack)]
        own = [name.replace("(4, 4), (2, 2), (1, 1)", "4, 2, 1") for name in named]
        assert words_of(own) == words_of(in_words(layers))
    assert gan.batch == w.batch
    assert gan.same_noise == w.same_noise
    for adam in (gan.generator_optimizer, gan.discriminator_optimizer):
        assert (adam.lr, adam.betas, adam.eps) == (LR, w.betas, EPS)
    assert (gan.noise.low, gan.noise.high, gan.noise.dim) == (w.noise_low, 1.0, w.noise)
    loss = gan.loss
    targets = (loss.real_target, loss.fake_target, loss.generator_target)
    assert targets == (w.real_target, FAKE_TARGET, w.generator_target)
    assert loss.probabilities != w.logits
    assert gan.average is None
    if w.one_dimensional:
        recipe = gaussian1d.RECIPES["article"]
        assert (recipe.mean, recipe.std, data.features) == (MEAN, STD, 1)
    else:
        assert data.features == PIXELS


@pytest.mark.parametrize("w", SMALL.values(), ids=SMALL)
def test_the_limit_makes_the_products_of_minigans_step(w, monkeypatch):
    gan, data = build(w)
    made = []
    matmul, product = numpy_backend.matmul, convolution.product

    def recorded(A, B, out, transpose_A=False, transpose_B=False):
        made.append(((A.mT if transpose_A else A).shape, (B.mT if transpose_B else B).shape))
        matmul(A, B, out, transpose_A, transpose_B)

    def of_convolution(A, B, out):
        made.append((A.shape, B.shape))
        product(A, B, out)

    monkeypatch.setattr(numpy_backend, "matmul", recorded)
    monkeypatch.setattr(convolution, "product", of_convolution)
    data.next_batch(out=gan.real)
    gan.step()
    monkeypatch.undo()
    assert made
    limit = Limit(w, 1)
    limit.limits.restore_original_limits()
    assert sorted((A.shape, B.shape) for A, B, _ in limit.products) == sorted(made)
    before = [(A.copy(), B.copy()) for A, B, _ in limit.products]
    limit.run(2)
    for (A, B, out), (A_before, B_before) in zip(limit.products, before, strict=True):
        assert out.shape == (A.shape[0], B.shape[1])
        assert (A_before == A).all()
        assert (B_before == B).all()


@pytest.mark.parametrize("w", SMALL.values(), ids=SMALL)
@pytest.mark.parametrize(
    "name",
    [
        "minigan",
        "by_hand",
        "pytorch",
        "pytorch_tuned",
        pytest.param("torch_compile", marks=pytest.mark.slow),
        "jax_jit",
        "jax_scan",
    ],
)
def test_engines_train_the_same_networks(name, w):
    entry = ENGINES[name]
    if not machine.installed(entry.needs):
        pytest.skip(f"{entry.needs} is not installed")
    if not entry.takes(w):
        pytest.skip("it is not measured on this workload")
    with workers([(name, entry, w, 1)]) as (worker,):
        assert worker.failure == ""
        worker.ask("turn", steps=200)  # whole calls of every engine
        d, g = worker.ask("losses")["losses"]
    assert worker.failure == ""
    # D begins near 2 log 2 = 1.39 and G near log 2 = 0.69; in 200 steps they do not go far.
    assert 0.2 < d < 2.0
    assert 0.5 < g < 4.0
