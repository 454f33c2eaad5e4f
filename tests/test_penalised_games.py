"""Games with a penalty of D's slope: captured, resumed, without new memory; and G learns."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_capture
import test_gan
from test_resume_gan import same_files
from test_second_order import PENALTIES, normal

import minigan as mg

B = 8
LOSSES = {"Wasserstein": mg.Wasserstein(), "Hinge": mg.Hinge(), "NonSaturating": None}


def game(loss: str, penalty: str, pack: int = 1, seeds: Any = None, **options: Any) -> mg.GAN:
    """Samples of three numbers; D has curved and straight layers, and a random one."""
    settings: dict[str, Any] = {"dtype": "float64", "seed": 0 if seeds is None else seeds}
    G = mg.Sequential(
        *(mg.Linear(2, 6), mg.ELU(), mg.Dropout(0.2), mg.Linear(6, 3)), name="g", **settings
    )
    first = mg.Pack(pack) if pack > 1 else mg.Linear(3, 6)
    D = mg.Sequential(
        *(first, mg.Linear(6 if pack == 1 else 6 * pack, 5), mg.Tanh(), mg.Dropout(0.2)),
        *(mg.Linear(5, 4), mg.LeakyReLU(0.2), mg.Linear(4, 1)),
        name="d", **settings,
    )  # fmt: skip
    return mg.GAN(
        *(G, D, mg.Stratified(dim=2), LOSSES[loss]),
        discriminator_optimizer=mg.RMSprop(D.parameters, 1e-2),
        penalty=PENALTIES[penalty],
        **options,
    )


@pytest.mark.parametrize("seeds", [None, [3, 1]], ids=["alone", "population"])
@pytest.mark.parametrize("fresh", [False, True], ids=["same real", "fresh real"])
@pytest.mark.parametrize("pack", [1, 2])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_captured_step_is_the_step_to_the_bit(loss, penalty, pack, fresh, seeds):
    options = {"d_steps": 2, "fresh_real": fresh, "average": 0.9}
    plain, captured = (game(loss, penalty, pack, seeds, **options) for _ in range(2))
    captured.capture()
    for t in range(4):
        real = normal(*plain.population, B * (2 if fresh else 1), 3, seed=t)
        for gan in (plain, captured):
            gan.step(real)
    assert captured.recording.replay is not None
    assert test_capture.same_state(plain, captured)
    mine, theirs = plain.losses(), captured.losses()
    assert [*mine] == [*theirs]
    assert {"penalty", "slope"} < {*mine}
    for name in mine:
        np.testing.assert_array_equal(mine[name], theirs[name])


@pytest.mark.parametrize("captured", [False, True], ids=["run", "captured"])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_step_allocates_nothing(penalty, captured):
    """An array with a number for each feature of the samples would be 150 KiB."""
    G = mg.Sequential(mg.Linear(2, 60), mg.ELU(), mg.Linear(60, 64), name="g")
    D = mg.Sequential(
        *(mg.Conv2d(1, 4, size=8), mg.Tanh(), mg.Pack(2, deviations=False), mg.Dropout(0.2)),
        *(mg.Linear(128, 60), mg.LeakyReLU(0.2), mg.Linear(60, 1)),
        name="d",
    )  # fmt: skip
    gan = mg.GAN(G, D, mg.Stratified(dim=2), mg.Wasserstein(), penalty=PENALTIES[penalty])
    gan.capture(captured)
    assert test_gan.step_peak(gan, mg.Samples(normal(600, 64)), 600) <= test_gan.BUDGET


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_generator_moves_towards_the_data(loss, penalty):
    G = mg.Sequential(mg.Linear(2, 8), mg.Tanh(), mg.Linear(8, 2), name="g")
    D = mg.Sequential(mg.Linear(2, 8), mg.Tanh(), mg.Linear(8, 1), name="d")
    optimizers = [mg.Adam(n.parameters, lr, (0.0, 0.9)) for n, lr in ((G, 5e-3), (D, 1e-2))]
    gan = mg.GAN(
        *(G, D, mg.Normal(dim=2), LOSSES[loss], *optimizers),
        penalty=PENALTIES[penalty],
        d_steps=2,
        fresh_real=True,
    )
    gan.capture()
    centre, random = np.array([1.5, -1.0]), np.random.default_rng(0)
    before = np.linalg.norm(gan.sample(200, seed=1).mean(0) - centre)
    for _ in range(50):
        gan.step(centre + 0.5 * random.normal(size=(32, 2)))
    after = np.linalg.norm(gan.sample(200, seed=1).mean(0) - centre)
    assert after < 0.7 * before


def begin(out: Path) -> mg.Trainer:
    return mg.Trainer(
        game_of_one(), mg.Gaussian(), out, batch=B, print_every=10, checkpoint_every=5,
        progress=False,
    )  # fmt: skip


def game_of_one() -> mg.GAN:
    G = mg.Sequential(mg.Linear(2, 6), mg.ELU(), mg.Dropout(0.2), mg.Linear(6, 1), name="g")
    D = mg.Sequential(
        *(mg.Pack(2), mg.Linear(4, 5), mg.Tanh(), mg.Dropout(0.2), mg.Linear(5, 1)), name="d"
    )
    optimizers = [mg.RMSprop(net.parameters, 1e-2, 0.9, decay=mg.LinearDecay(40)) for net in (G, D)]
    return mg.GAN(
        *(G, D, mg.Stratified(dim=2), mg.Wasserstein(), *optimizers),
        penalty=mg.GradientPenalty(one_sided=True),
        d_steps=2,
        fresh_real=True,
    )


def test_a_resumed_run_is_the_run_to_the_byte(tmp_path):
    begin(tmp_path / "whole").fit(steps=40)
    begin(tmp_path / "cut").fit(steps=20)
    mg.Trainer.resume(tmp_path / "cut", progress=False).fit(steps=40)
    assert same_files(tmp_path / "cut", tmp_path / "whole")
    names = [*mg.read_history(tmp_path / "whole" / "history.csv")[-1]]
    assert {"estimate", "penalty", "slope"} < {*names}


def test_the_penalty_draws_from_a_stream_of_its_own():
    """Which is part of the state: the points between the samples go on where they were."""
    gan = game("Hinge", "two-sided")
    gan.step(normal(B, 3))
    assert gan.state()[1]["stream/gan/penalty"] > 0
    assert mg.GAN.from_config(gan.to_config()).penalty == gan.penalty


def test_a_copy_takes_the_same_steps():
    gan = game("Wasserstein", "one-sided", pack=2)
    gan.step(normal(B, 3))
    twin = copy.deepcopy(gan)
    for one in (gan, twin):
        one.step(normal(B, 3, seed=1))
    assert test_capture.same_state(gan, twin)
    assert gan.losses() == twin.losses()


def test_a_loss_with_other_columns_is_another_game():
    gan = game("Wasserstein", "R1")
    before = gan.loss
    with pytest.raises(mg.ConfigError, match=r"NonSaturating\(.* reports other columns than Wass"):
        gan.set_loss(mg.NonSaturating())
    assert gan.loss is before
    other = game("Hinge", "R1")
    other.step(normal(B, 3))
    other.set_loss(mg.LeastSquares())  # the three that every loss reports
    other.step(normal(B, 3))
    assert [*other.losses()] == ["d_real", "d_fake", "g", "penalty", "slope"]
