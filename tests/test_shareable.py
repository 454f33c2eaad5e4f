"""What several processes cannot share is refused in one sentence, before anything is trained."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from crews import worker_threads
from harness import registered_only_here
from shared_games import BATCH, discriminator, generator, plain, points, require_equal

import minigan as mg
from minigan.parallel import workers
from minigan.parallel.fit import require_shareable


@pytest.fixture(autouse=True)
def _threads():
    with worker_threads():
        yield


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
def _own_parts():
    with registered_only_here():
        for part in (OwnLoss, OwnAdam, OwnNorm, OwnAbs):
            mg.register(part)
        yield


@pytest.mark.usefixtures("_own_parts")
@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_sentence(name, tmp_path):
    make, sentence = REFUSED[name]
    run = mg.Trainer(make(), points(), tmp_path, batch=BATCH, progress=False)
    before = mg.load_checkpoint(tmp_path / "checkpoint.safetensors").metadata
    with pytest.raises(mg.ConfigError, match=sentence) as caught:
        run.fit(steps=5, workers={"packs": 6, "rows": 11}.get(name, 2))
    assert "\n" not in str(caught.value)
    assert mg.load_checkpoint(tmp_path / "checkpoint.safetensors").metadata == before
    assert (run.gan.step_count, run.gan.team) == (0, None)
    run.fit(steps=2)  # alone


@pytest.mark.usefixtures("_own_parts")
def test_own_layers_of_independent_rows_are_shared(tmp_path):
    runs = []
    for size in (1, 3):
        game = with_layer(OwnAbs())
        run = mg.Trainer(game, points(), tmp_path / str(size), batch=BATCH, progress=False)
        run.fit(steps=20, workers=size)
        runs.append(run)
    require_equal(*runs)


def test_a_population_is_refused():
    """A trainer keeps the run of one GAN, so only a loop of one's own gets so far."""
    with pytest.raises(mg.ConfigError, match="a population is not shared by processes"):
        require_shareable(population(), BATCH, 2)


def test_a_game_on_a_gpu_is_refused(cupy):
    with pytest.raises(mg.ConfigError, match="on CPUs only"):
        require_shareable(plain(device="cuda"), BATCH, 2)


def test_too_little_shared_memory(tmp_path, monkeypatch):
    """Without this the process would be killed at the first page that is not there."""
    usage = shutil._ntuple_diskusage(1 << 30, 1 << 30, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    run = mg.Trainer(plain(), points(), tmp_path, batch=BATCH, progress=False)
    if not workers.SHARED.is_dir():
        pytest.skip("shared memory is no folder here")
    with pytest.raises(mg.ConfigError, match="enlarge it, or train with one process"):
        run.fit(steps=5, workers=2)
    run.fit(steps=5)


def test_the_number_of_workers_is_checked(tmp_path):
    run = mg.Trainer(plain(), points(), tmp_path, batch=BATCH, progress=False)
    for wrong in (0, -1, 1.5, "2", True):
        with pytest.raises(mg.ConfigError, match="fit: workers"):
            run.fit(steps=5, workers=wrong)
