"""A step that several processes take together is the step of one, up to the order of sums.

The workers are threads here (crews.py). test_workers.py has processes.
"""

from __future__ import annotations

import copy
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crews import worker_threads
from harness import registered_only_here
from running import contents, differing
from shared_games import BATCH, GAMES, discriminator, generator, plain, points, two_dimensional

import minigan as mg
from minigan.parallel import workers as workers_module
from minigan.parallel.fit import require_shareable
from minigan.replay import camera_of
from minigan.replay.recorder import Recorder


@pytest.fixture(autouse=True)
def _threads():
    with worker_threads():
        yield


def trainer(out: Path, name: str = "plain", **settings: Any) -> mg.Trainer:
    """A trainer of a game of shared_games.py, on its data."""
    game, data = (make() for make in GAMES[name])
    return mg.Trainer(
        *(game, data, out),
        **{"batch": BATCH, "print_every": 20, "progress": False} | settings,
    )


def require_equal(one: mg.Trainer, other: mg.Trainer, within: float = 1e-10) -> None:
    """Both have the same counters and history, and the same arrays up to rounding."""
    (a, counters), (b, others) = one.gan.state(), other.gan.state()
    assert counters == others
    assert one.data.state() == other.data.state()
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(b[name], a[name], rtol=0, atol=within, err_msg=name)
    rows = [mg.read_history(run.out / "history.csv") for run in (one, other)]
    for row, same in zip(*rows, strict=True):
        assert same == pytest.approx(row, rel=10 * within, abs=10 * within, nan_ok=True)


# -- the run is the same ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "workers"), [("plain", 2), ("packed", 2), *((name, 3) for name in GAMES)]
)
def test_every_game_is_that_of_one_process(name, workers, tmp_path):
    one, several = (trainer(tmp_path / folder, name) for folder in ("one", "several"))
    one.fit(steps=50)
    several.fit(steps=50, workers=workers)
    require_equal(one, several)


def test_float32_losses_of_twenty_steps(tmp_path):
    runs = []
    for workers in (1, 2, 3):
        run = mg.Trainer(
            *(plain("float32"), points("float32"), tmp_path / str(workers)),
            batch=30,
            print_every=1,
            progress=False,
        )
        run.fit(steps=20, workers=workers)
        rows = mg.read_history(run.out / "history.csv")
        runs.append([[row[name] for name in run.gan.columns] for row in rows])
    for other in runs[1:]:
        np.testing.assert_allclose(other, runs[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["plain", "critic", "info_norm"])
def test_captured_or_not_and_again_the_same_bytes(name, tmp_path):
    for folder, capture in (("a", True), ("b", False), ("c", True)):
        trainer(tmp_path / folder, name).fit(steps=25, workers=3, capture=capture)
    assert differing(tmp_path / "a", tmp_path / "b") == []
    assert differing(tmp_path / "a", tmp_path / "c") == []
    assert "checkpoint.safetensors" in contents(tmp_path / "a")


def test_resumed_with_other_numbers_of_workers(tmp_path):
    one, several = trainer(tmp_path / "one"), trainer(tmp_path / "several")
    one.fit(steps=50)
    several.fit(steps=10, workers=3)
    several.fit(steps=20, workers=2)
    for steps, workers in ((30, 1), (50, 3)):
        game = {"gan": plain(), "data": points()}
        several = mg.Trainer.resume(several.out, **game, progress=False)
        several.fit(steps=steps, workers=workers)
    rows = [mg.read_history(run.out / "history.csv") for run in (one, several)]
    assert [row["step"] for row in rows[1]] == [10, 20, 30, 40, 50]
    a, b = one.gan.state(), several.gan.state()
    assert a[1] == b[1] | {"losses_since": 50}
    for name in a[0]:
        np.testing.assert_allclose(b[0][name], a[0][name], rtol=0, atol=1e-10, err_msg=name)


def test_afterwards_the_game_is_as_before(tmp_path):
    one, several = trainer(tmp_path / "one"), trainer(tmp_path / "several")
    held = several.gan.generator.parameters.data
    one.fit(steps=20)
    several.fit(steps=20, workers=3)
    assert several.gan.team is None
    assert several.gan.generator.parameters.data is held
    for run in (one, several):
        for _ in range(5):
            run.gan.read(run.data)
            run.gan.step()
        run.gan.losses()
        run.save()
    require_equal(one, several)


# -- what happens between the steps -----------------------------------------------------


def test_what_functions_change_reaches_all(tmp_path):
    """Learning rates, parameters, buffers, the loss: at any step, also within a stretch."""

    def slower(run: mg.Trainer) -> None:
        run.gan.generator_optimizer.lr *= 0.7
        run.gan.sample(3)  # without a seed: its streams move

    def nudge(run: mg.Trainer) -> None:
        run.gan.generator.parameters.data *= 0.99
        run.gan.generator.buffers.data *= 1.01
        run.gan.discriminator_optimizer.velocity *= 0.5

    def another_loss(run: mg.Trainer) -> None:
        if run.gan.step_count == 26:
            run.gan.set_loss(mg.NonSaturating(real_target=0.8))
        if run.gan.step_count == 39:
            run.change({"discriminator_lr": 0.01})

    seen: list[list[float]] = []
    runs = []
    for workers in (1, 3):
        run = trainer(tmp_path / str(workers))
        for every, change in ((7, slower), (11, nudge), (13, another_loss)):
            run.every(every, "step", change)
        losses: list[float] = []
        run.every(5, "step", lambda run, to=losses: to.extend(run.gan.latest_losses().values()))
        run.at(lambda step: step + 9, lambda run, to=losses: to.append(run.gan.step_count))
        run.fit(steps=50, workers=workers)
        runs.append(run)
        seen.append(losses)
    require_equal(*runs)
    np.testing.assert_allclose(seen[1], seen[0], rtol=0, atol=1e-10)


def test_rolled_back_together(tmp_path):
    """NaN is seen by process 0, which goes back; the others follow."""
    runs = []
    for workers in (1, 3):
        blown: list[int] = []

        def blow_up(run: mg.Trainer, blown: list[int] = blown) -> None:
            if run.gan.step_count == 24 and not blown:
                blown.append(1)
                run.gan.discriminator.parameters.data *= 1e200

        run = trainer(tmp_path / str(workers), on_nan="rollback", print_every=10)
        run.every(8, "step", blow_up)
        run.fit(steps=50, workers=workers)
        assert (run.rollbacks, blown) == (1, [1])
        runs.append(run)
    require_equal(*runs)


def test_a_copy_that_a_function_makes_is_trained_by_one_process(tmp_path):
    copies, data = [], points()
    for workers in (1, 3):
        run = trainer(tmp_path / str(workers))
        run.every(20, "step", lambda run: copies.append(copy.deepcopy(run.gan)))
        run.fit(steps=20, workers=workers)
    for game in copies:
        for _ in range(5):
            game.read(data)
            game.step()
        data = points()  # from the beginning
    for name, array in copies[0].state()[0].items():
        np.testing.assert_allclose(copies[1].state()[0][name], array, rtol=0, atol=1e-10)


def test_a_function_that_fails_ends_the_run_and_no_worker_is_left(tmp_path):
    run = trainer(tmp_path, print_every=5)
    run.every(12, "step", lambda run: 1 / 0)
    with pytest.raises(mg.CallbackError):
        run.fit(steps=50, workers=3)
    assert run.gan.team is None
    run.fit(steps=11, workers=3)  # it can go on
    assert run.gan.step_count == 12


def test_a_recorded_run(tmp_path):
    """The recorder looks at the step before a frame, so the stretches are of single steps."""
    recordings = []
    for workers in (1, 3):
        game, data = two_dimensional(), mg.Ring()
        run = mg.Trainer(game, data, tmp_path / str(workers), batch=BATCH, progress=False)
        Recorder(run, camera_of(game, data), 4)
        run.fit(steps=11, workers=workers)
        recordings.append(mg.read_frames(run.out / "frames.jsonl"))
    one, three = recordings
    assert three.steps == one.steps
    assert three.values.keys() == one.values.keys()
    for name in one.values:
        np.testing.assert_allclose(three.values[name], one.values[name], rtol=1e-5, atol=1e-8)
    for array in one.header["arrays"]:
        a, b = (frames.array(array["name"]) for frames in (one, three))
        assert np.abs(a - b).max() <= 0.005 * np.ptp(a), array["name"]  # the levels of a byte


# -- what cannot be shared --------------------------------------------------------------


class OwnLoss(mg.LeastSquares):
    """Defined outside minigan."""


class OwnAdam(mg.Adam):
    """Defined outside minigan."""


@dataclass(frozen=True)
class OwnNorm(mg.Layer):
    """A layer that mixes rows, defined outside minigan."""

    mixes_rows = True

    def bind(self, binding: Any) -> Any:
        return OwnNormPass(binding)


class OwnNormPass(mg.LayerPass):
    def forward(self, X: Any, train: bool) -> Any:
        self.Y[:] = X - X.mean(axis=0)
        return self.Y

    def backward(self, dY: Any, *, parameter_grads: bool = True, input_grad: bool = True) -> Any:
        self.dX[:] = dY - dY.mean(axis=0)
        return self.dX


class OwnAbs(OwnNorm):
    """Its rows are independent."""

    mixes_rows = False

    def bind(self, binding: Any) -> Any:
        return OwnAbsPass(binding)


class OwnAbsPass(mg.LayerPass):
    def forward(self, X: Any, train: bool) -> Any:
        np.abs(X, out=self.Y)
        self.signs = np.sign(X)
        return self.Y

    def backward(self, dY: Any, *, parameter_grads: bool = True, input_grad: bool = True) -> Any:
        np.multiply(dY, self.signs, out=self.dX)
        return self.dX


def with_layer(layer: mg.Layer) -> mg.GAN:
    """A GAN whose D has this layer."""
    D = mg.Sequential(mg.Linear(4, 8), layer, mg.Linear(8, 1), name="d", dtype="float64")
    return mg.GAN(generator(), D, mg.Normal(dim=3))


def with_optimizer(kind: type[mg.Optimizer]) -> mg.GAN:
    G = generator()
    return mg.GAN(G, discriminator(), mg.Normal(dim=3), None, kind(G.parameters))


def population() -> mg.GAN:
    where = {"seed": (0, 1), "dtype": "float64"}
    G = mg.Sequential(mg.Linear(3, 4), name="g", **where)
    D = mg.Sequential(mg.Linear(4, 1), name="d", **where)
    return mg.GAN(G, D, mg.Normal(dim=3))


def of_parts(*first: mg.Layer, **settings: Any) -> mg.GAN:
    return mg.GAN(generator(), discriminator(*first), mg.Normal(dim=3), **settings)


REFUSED = {
    "packs": (lambda: of_parts(mg.Pack(2)), "6 processes cannot share a batch of 10, 5 packs of 2"),
    "rows": (of_parts, "11 processes cannot share a batch of 10"),
    "samples": (lambda: of_parts(penalty=mg.R1(samples=4)), "leave out samples"),
    "loss": (lambda: of_parts(loss=OwnLoss()), "OwnLoss is defined outside minigan"),
    "optimizer": (lambda: with_optimizer(OwnAdam), "OwnAdam is defined outside minigan"),
    "layer": (lambda: with_layer(OwnNorm()), "OwnNorm is defined outside minigan"),
}


@pytest.fixture
def own_parts():
    with registered_only_here():
        for part in (OwnLoss, OwnAdam, OwnNorm, OwnAbs):
            mg.register(part)
        yield


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_sentence(name, tmp_path, own_parts):
    make, sentence = REFUSED[name]
    run = mg.Trainer(make(), points(), tmp_path, batch=BATCH, progress=False)
    before = mg.load_checkpoint(tmp_path / "checkpoint.safetensors").metadata
    with pytest.raises(mg.ConfigError, match=sentence) as caught:
        run.fit(steps=5, workers={"packs": 6, "rows": 11}.get(name, 2))
    assert "\n" not in str(caught.value)
    assert mg.load_checkpoint(tmp_path / "checkpoint.safetensors").metadata == before
    assert (run.gan.step_count, run.gan.team) == (0, None)
    run.fit(steps=2)  # alone


def test_own_layers_of_independent_rows_are_shared(tmp_path, own_parts):
    runs = []
    for workers in (1, 3):
        game = with_layer(OwnAbs())
        run = mg.Trainer(game, points(), tmp_path / str(workers), batch=BATCH, progress=False)
        run.fit(steps=20, workers=workers)
        runs.append(run)
    require_equal(*runs)


def test_a_population_is_refused():
    """A trainer keeps the run of one GAN, so only a loop of one's own gets so far."""
    with pytest.raises(mg.ConfigError, match="a population is not shared by processes"):
        require_shareable(population())


def test_a_game_on_a_gpu_is_refused(cupy):
    with pytest.raises(mg.ConfigError, match="on CPUs only"):
        require_shareable(plain(device="cuda"))


def test_too_little_shared_memory(tmp_path, monkeypatch):
    """Without this the process would be killed at the first page that is not there."""
    usage = shutil._ntuple_diskusage(1 << 30, 1 << 30, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    run = trainer(tmp_path)
    if not workers_module.SHARED.is_dir():
        pytest.skip("shared memory is no folder here")
    with pytest.raises(mg.ConfigError, match="enlarge it, or train with one process"):
        run.fit(steps=5, workers=2)
    run.fit(steps=5)


def test_the_number_of_workers_is_checked(tmp_path):
    run = trainer(tmp_path)
    for wrong in (0, -1, 1.5, "2", True):
        with pytest.raises(mg.ConfigError, match="fit: workers"):
            run.fit(steps=5, workers=wrong)
