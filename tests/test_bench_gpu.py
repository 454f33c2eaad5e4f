"""The bench for a GPU, on a machine without one: its flags, its tables, and that its engines run.

Nothing here says how fast anything is: all numbers are made up.
"""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import pytest

from bench import gpu, report, speed
from bench.engines import Entry, ours
from bench.processes import NOT_INSTALLED, Timing, environment, workers
from bench.report import Plan
from bench.workloads import WORKLOADS, images
from minigan.errors import DeviceError

PAGE = Path(__file__).resolve().parent.parent / "docs" / "gpu.md"


def no_gpu(device):
    raise DeviceError(f"device {device!r} is not here")


def test_without_a_gpu_one_sentence_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "get_backend", no_gpu)
    assert gpu.main(["--out", str(tmp_path / "new")]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "bench.gpu: error: device 'cuda' is not here\n")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--quick"], "--out DIR is needed"),
        (["--out", ""], "must not be empty"),
    ],
)
def test_flags_that_cannot_be_are_refused(words, told, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "get_backend", no_gpu)
    with pytest.raises(SystemExit) as end:
        gpu.main(words)
    assert end.value.code == 2
    assert told in capsys.readouterr().err


# -- the tables -----------------------------------------------------------------------


def made_up(engine, workload, *turns, failure=""):
    return Timing(engine, workload, 1, 10, list(turns), failure)


MADE_UP = [
    made_up("cupy", "gaussian1d", 4000.0),
    made_up("minigan", "gaussian1d", 60.0, 40.0, 50.0),
    made_up("jax_scan", "gaussian1d", 20.0),
    made_up("pytorch", "gaussian1d", 1600.0),
    made_up("jax_jit", "gaussian1d", failure=NOT_INSTALLED),
    made_up("minigan", "mnist256", 130.0),
    made_up("torch_graph", "mnist256", 100.0),
    made_up("by_hand", "mnist1200", failure="no | memory"),
    made_up("jax_scan", "mnist1200", 300.0),
]


def test_the_summary_has_every_engine():
    lines = gpu.summary(MADE_UP)
    assert len(lines) == 2 + len(gpu.ENGINES)
    unmeasured = gpu.UNMEASURED
    assert lines[2] == "| 1. NumPy's first draft, in CuPy | 4,000 |  |  |  |"
    assert lines[3] == (
        f"| 2. minigan's kernels, launched one by one | {unmeasured} | {unmeasured} | no / memory "
        f"| {unmeasured} |"
    )
    assert lines[4] == (
        f"| 3. minigan, captured: a CUDA graph | 40.0 | 130.0 | {unmeasured} | {unmeasured} |"
    )
    jitted = next(line for line in lines if "jitted" in line)
    assert jitted.startswith("| JAX, one jitted step | not installed | not yet")


def test_a_workload_has_its_table():
    text = "\n".join(speed.tables(MADE_UP, gpu.ENGINES))
    assert "| 3. minigan, captured: a CUDA graph | 40.0 | 0.03 |  | 1.25 |" in text
    assert "| JAX, one jitted step | not installed |  |  |  |" in text


def test_the_results_are_written(tmp_path):
    gpu.write(Plan(tmp_path, 1, 0.0, (1,), "from nowhere"), MADE_UP)
    text = (tmp_path / "gpu.md").read_text(encoding="utf-8")
    assert "\nfrom nowhere\n" in text
    rows = list(csv.DictReader((tmp_path / "gpu.csv").read_text().splitlines()))
    assert [row["engine"] for row in rows] == [one.engine for one in MADE_UP]
    assert rows[1]["turns_us"] == "60.000 40.000 50.000"
    assert float(rows[1]["to_pytorch"]) == 40 / 1600
    assert rows[4]["failure"] == NOT_INSTALLED


def test_the_page_is_filled(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table: gpu -->\nold\n<!-- end -->\nafter\n", encoding="utf-8")
    monkeypatch.setattr(gpu, "get_backend", lambda device: None)
    monkeypatch.setattr(gpu, "measure", lambda *args: MADE_UP)
    monkeypatch.setattr(report, "RESULTS", tmp_path / "new")
    monkeypatch.setattr(gpu, "PAGE", page)
    assert gpu.main([]) == 1  # for what failed
    head, *lines, last = page.read_text(encoding="utf-8").splitlines()
    assert (head, last) == ("before", "after")
    assert lines[1:-1] == gpu.summary(MADE_UP)
    assert "By `python -m bench.gpu`" in (tmp_path / "new" / "gpu.md").read_text("utf-8")


def test_what_was_not_measured_is_not_claimed():
    """docs/gpu.md has times only where bench/results has them too."""
    text = PAGE.read_text(encoding="utf-8")
    _, _, rest = text.partition("<!-- table: gpu -->\n")
    shown = rest.partition("<!-- end -->")[0].splitlines()
    results = PAGE.parent.parent / "bench" / "results" / "gpu.md"
    if results.exists():
        assert "\n".join(shown) in results.read_text(encoding="utf-8")
    else:
        assert shown == gpu.summary([])


# -- the engines ----------------------------------------------------------------------

FAKE = """
import os

class Fake:
    chunk = 7
    def __init__(self, workload, threads, device):
        self.said = device, os.environ.get("JAX_PLATFORMS")
        self.steps = 0
    def run(self, steps):
        assert steps % 7 == 0
        self.steps += steps
    def losses(self):
        if self.said != ("cuda", "cuda"):
            raise RuntimeError(f"told {self.said}")
        return 1.0, 1.0
"""


def test_engines_are_told_their_device_and_measured(tmp_path, monkeypatch):
    (tmp_path / "fakes_of_gpu.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    fake = Entry("fake", "fakes_of_gpu:Fake", "json")
    plain = dataclasses.replace(fake, one_dimensional=True)
    absent = Entry("absent", "no:matter", "a_module_that_does_not_exist")
    monkeypatch.setattr(gpu, "ENGINES", {"cupy": plain, "minigan": fake, "pytorch": absent})
    plan = Plan(tmp_path, 1, 0.0, (1,), "")
    measured = speed.measure(plan, gpu.ENGINES, ("gaussian1d", "mnist256"), "cuda")
    assert [(m.engine, m.workload, m.failure) for m in measured] == [
        ("cupy", "gaussian1d", ""),
        ("minigan", "gaussian1d", ""),
        ("pytorch", "gaussian1d", NOT_INSTALLED),
        ("minigan", "mnist256", ""),  # plain CuPy is written for one dimension alone
        ("pytorch", "mnist256", NOT_INSTALLED),
    ]


def test_a_worker_of_a_gpu_sees_it(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert environment(1, "cuda")["CUDA_VISIBLE_DEVICES"] == "1"
    assert environment(1, "cuda")["NVIDIA_TF32_OVERRIDE"] == "0"
    assert environment(1)["CUDA_VISIBLE_DEVICES"] == ""


def test_the_first_draft_trains_with_either_library():
    w = WORKLOADS["gaussian1d"]
    entry = dataclasses.replace(gpu.ENGINES["cupy"], needs="numpy")
    with workers([("cupy", entry, w, 1)]) as (worker,):
        worker.ask("turn", steps=200)
        d, g = worker.ask("losses")["losses"]
    assert worker.failure == ""
    assert 0.2 < d < 2.0
    assert 0.6 < g < 4.0


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("ByHand", "gaussian1d"),
        ("Minigan", "gaussian1d"),
        ("ByHand", "mnist256"),
        ("Minigan", "mnist256"),
    ],
)
def test_our_engines_train_on_a_gpu(kind, name, monkeypatch, cupy):
    """On the stand-in for CuPy, which takes its time: few steps, and narrow networks on images."""
    w = WORKLOADS[name]
    if not w.one_dimensional:
        w = images(name, 16, batch=20)
    engine = getattr(ours, kind)(w, 1, device="cuda")
    gan, happened = engine.gan, []
    recorded(monkeypatch, happened, type(gan), "step", "train")
    recorded(monkeypatch, happened, type(gan), "check_finite", "wait")  # it reads from the GPU
    recorded(monkeypatch, happened, gan.ops, "synchronize", "wait")
    engine.run(14)
    turn = list(happened)  # what follows may wait, too
    d, g = engine.losses()
    engine.limits.restore_original_limits()
    assert isinstance(gan.real, cupy.ndarray)
    assert gan.step_count == 14
    assert turn.count("train") == 14
    assert turn[-1] == "wait"  # else a turn would end before its work does
    assert (gan.recording.replay is not None) == (kind == "Minigan")
    assert 1.0 < d < 2.0
    assert 0.4 < g < 1.2


def recorded(monkeypatch, happened, owner, name, what):
    """Record each call of a method, after its work."""
    method = getattr(owner, name)

    def recording(*args, **kwargs):
        result = method(*args, **kwargs)
        happened.append(what)
        return result

    monkeypatch.setattr(owner, name, recording)
