"""How GANs fail: divergence and rollback, the measures that show a failure, the best checkpoint."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import networks, poisoned, served, start
from running import load_example

import minigan as mg
from minigan.cli.main import main as minigan
from minigan.training import diagnose
from minigan.training.health import (
    PATIENCE,
    SAMPLES,
    SEED,
    area_under_curve,
    measure,
    relative_spread,
    shorten,
)

gaussian1d = load_example("gaussian1d")


# -- diverged -------------------------------------------------------------------------


def test_a_nan_in_the_data_stops_the_run_before_it_is_saved(tmp_path, capsys):
    from minigan.command_line import guard

    trainer = start(tmp_path, data=poisoned(37))
    with np.errstate(all="ignore"):
        code = guard("test", lambda: trainer.fit(steps=200))
    assert code == 1
    err = capsys.readouterr().err
    assert "step 37" in err
    assert "discriminator" in err
    assert mg.load_checkpoint(tmp_path / "checkpoint.safetensors").metadata["step"] == 35
    resumed = mg.Trainer.resume(tmp_path, progress=False)  # with data that are sound
    resumed.fit(steps=60)
    start(tmp_path / "whole").fit(steps=60)
    name = "checkpoint.safetensors"
    assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("role", ["generator", "discriminator"])
def test_a_parameter_that_is_not_finite_is_never_saved(role, tmp_path):
    trainer = start(tmp_path)
    trainer.fit(steps=10)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    getattr(trainer.gan, role).parameters.data[5] = np.inf
    with pytest.raises(mg.NonFiniteError, match=f"the {role} holds a parameter"):
        trainer.save()
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def hot(
    folder: Path, limit: float, since: int = 26, data: mg.DataSource | None = None, **options: Any
) -> mg.Trainer:
    """A trainer whose data blow up while G's learning rate is above a limit, from a step on."""
    trainer = start(folder, data=data or mg.Gaussian(), on_nan="rollback", **options)
    gan = trainer.gan

    def heat(number: int, out: np.ndarray) -> None:
        if gan.step_count >= since and gan.generator_optimizer.lr > limit:
            out[0] = np.inf

    served(trainer.data, heat)
    return trainer


def test_rollback_halves_the_rates_and_is_recorded(tmp_path, caplog, capsys):
    trainer = hot(tmp_path, limit=4e-4)  # 1e-3 must be halved twice
    with np.errstate(all="ignore"):
        trainer.fit(steps=60)
    rows = mg.read_history(tmp_path / "history.csv")
    assert [(row["step"], row["rollbacks"]) for row in rows] == [
        (10, 0), (20, 0), (30, 2), (40, 2), (50, 2), (60, 2),
    ]  # fmt: skip
    assert trainer.gan.generator_optimizer.lr == 2.5e-4
    assert rows[2]["g_lr"] < 0.26 * rows[1]["g_lr"]
    assert rows[2]["d_lr"] < 0.26 * rows[1]["d_lr"]
    assert caplog.text.count("rolled back to step 25") == 2
    assert minigan(["show", str(tmp_path)]) == 0
    assert "diverged   2 times" in capsys.readouterr().out
    resumed = mg.Trainer.resume(tmp_path, progress=False)  # the halved rates are state
    assert resumed.rollbacks == 2
    assert resumed.gan.generator_optimizer.lr == 2.5e-4


def test_rollback_gives_up_after_three(tmp_path):
    trainer = hot(tmp_path, limit=0.0)
    with np.errstate(all="ignore"), pytest.raises(mg.NonFiniteError, match="3 rollbacks did not"):
        trainer.fit(steps=60)
    saved = mg.load_checkpoint(tmp_path / "checkpoint.safetensors")
    assert (saved.metadata["step"], saved.metadata["rollbacks"]) == (25, 3)


def test_rollback_past_a_damaged_checkpoint(tmp_path, monkeypatch):
    """The sound one is not pushed out of its place by the damaged one."""

    trainer = hot(tmp_path, limit=6e-4)

    def damage(number: int, out: np.ndarray) -> None:
        if trainer.gan.step_count == 26 and not trainer.rollbacks:
            (tmp_path / "checkpoint.safetensors").write_bytes(b"rubbish")

    served(trainer.data, damage)
    found = []
    save = mg.Trainer.save

    def and_look(self: mg.Trainer, scored: bool = False) -> None:
        save(self, scored=scored)
        if self.rollbacks and not found:
            found.append(mg.load_checkpoint(tmp_path / "checkpoint-previous.safetensors"))

    monkeypatch.setattr(mg.Trainer, "save", and_look)
    with np.errstate(all="ignore"):
        trainer.fit(steps=40)
    assert found[0].metadata["step"] == 20
    assert trainer.gan.step_count == 40


def test_rollback_before_the_first_checkpoint(tmp_path):
    trainer = hot(tmp_path, limit=6e-4, checkpoint_every=1000)
    with np.errstate(all="ignore"):
        trainer.fit(steps=50)
    assert trainer.rollbacks == 1
    assert mg.read_history(tmp_path / "history.csv")[0]["rollbacks"] == 1  # from step 0 again


def test_a_rollback_serves_finite_data_again_as_they_were(tmp_path):
    """Over the end of an epoch, too: the run is that of halving the rates by hand."""
    X = np.random.default_rng(0).normal(size=(25, 1))
    data = mg.Samples(X, seed=1)
    trainer = hot(tmp_path / "rolled", limit=6e-4, since=13, data=data, checkpoint_every=4)
    with np.errstate(all="ignore"):
        trainer.fit(steps=40)  # fails at step 14, in the fifth epoch; step 12 is in the fourth
    assert trainer.rollbacks == 1

    data = mg.Samples(X, seed=1)
    by_hand = start(tmp_path / "hand", data=data, checkpoint_every=4, on_nan="rollback")
    by_hand.fit(steps=12)
    for optimizer in (by_hand.gan.generator_optimizer, by_hand.gan.discriminator_optimizer):
        optimizer.lr *= 0.5
    by_hand.fit(steps=40)
    for name, array in by_hand.gan.state()[0].items():
        if name != "losses/totals":
            np.testing.assert_array_equal(trainer.gan.state()[0][name], array, err_msg=name)
    assert trainer.data.state() == by_hand.data.state()


# -- failing --------------------------------------------------------------------------


def rows(auc: float = 0.6, g_grad: float = 1.0, diversity: float = 0.9, n: int = 3) -> list:
    return [{"auc": auc, "g_grad": g_grad, "diversity": diversity} for _ in range(n)]


def names(history: list) -> list[str]:
    return [failure.name for failure in diagnose(history)]


def test_failures_are_named_with_their_measure():
    assert names([]) == names(rows(n=2, auc=1.0)) == names(rows(n=20)) == []
    assert names(rows(auc=1.0)) == ["D saturated"]
    assert names(rows() + rows(g_grad=1e-5)) == ["G's gradient vanished"]
    assert names(rows() + rows(diversity=0.1)) == ["samples collapsed"]
    assert names(rows() + rows(1.0, 0.0, 0.0)) == [
        "D saturated", "G's gradient vanished", "samples collapsed",
    ]  # fmt: skip
    assert names(rows(g_grad=1e-9)) == ["G's gradient vanished"]  # from the beginning
    for almost in (rows(auc=0.99), rows(g_grad=1e-3), rows(diversity=0.3)):
        assert names(rows() + almost) == []
    assert names(rows() + rows(auc=1.0, n=2)) == []  # may be chance
    assert names(rows(auc=1.0, n=5) + rows(n=1)) == []  # is over
    assert names(rows(diversity=0.1, n=PATIENCE - 1)) == []  # may still become wide
    assert names(rows(diversity=0.1, n=PATIENCE)) == ["samples collapsed"]
    assert names(rows(auc=1.0, n=2) + rows(auc=math.nan, n=1)) == []
    assert names(rows(auc=math.nan, n=1) + rows(auc=1.0, n=2)) == []
    nothing = rows(math.nan, math.nan, math.nan, n=12)
    assert names(nothing) == names(rows() + nothing) == []
    assert "AUC of at least 1.0000" in str(diagnose(rows(auc=1.0))[0])
    critic = [row | {"estimate": 3.0} for row in rows(auc=1.0, diversity=0.1, n=PATIENCE)]
    assert names(critic) == ["samples collapsed"]


def advice(history: list, loss: mg.Loss | None) -> str:
    (failure,) = diagnose(history, loss)
    return failure.advice


def test_advice_fits_the_loss():
    """Only a cross-entropy has labels to smooth. What the game has already is not advised."""
    saturated, vanished = rows(auc=1.0), rows() + rows(g_grad=1e-9)
    logits, probabilities = mg.NonSaturating(), mg.NonSaturating(probabilities=True)
    for loss in (logits, probabilities, mg.Minimax()):
        assert "label smoothing" in advice(saturated, loss)
    for loss in (mg.LeastSquares(), mg.Hinge(), None):
        assert "label smoothing" not in advice(saturated, loss)
    assert advice(vanished, logits) == "G learns nothing from D: a weaker D"
    assert "logits instead of probabilities" in advice(vanished, probabilities)
    assert "non-saturating" not in advice(vanished, probabilities)
    assert "the non-saturating loss" in advice(vanished, mg.Minimax())
    assert "logits" not in advice(vanished, mg.Minimax())
    for loss in (mg.LeastSquares(), mg.Hinge()):
        assert "D is flat" in advice(vanished, loss)
    critic = [row | {"estimate": 1.0} for row in rows() + rows(auc=1.0, g_grad=1e-9)]
    assert "GradientPenalty" in advice(critic, mg.Wasserstein())
    assert "logits" not in advice(vanished, None)
    for loss in (None, logits, mg.Hinge(), mg.Wasserstein()):  # a bug, whatever the loss
        assert "passes D's gradient on to G" in advice(rows(g_grad=0.0), loss)


LIMITS = [
    # a measure, the value from which it is a failure, the nearest one that is none, and its name
    ("auc", 0.999, np.nextafter(0.999, 0.0), "D saturated"),
    ("g_grad", 1e-4, np.nextafter(1e-4, 1.0), "G's gradient vanished"),  # of 1, the largest
    ("diversity", 0.2, np.nextafter(0.2, 1.0), "samples collapsed"),
]


@pytest.mark.parametrize(("measure", "limit", "sound", "name"), LIMITS)
def test_a_failure_begins_at_its_limit(measure, limit, sound, name):
    assert names(rows() + rows(**{measure: limit})) == [name]
    assert names(rows() + rows(**{measure: float(sound)})) == []
    # In three rows in sequence, each of which may be the one that is sound.
    for i in range(3):
        last = rows(**{measure: limit})
        last[i][measure] = float(sound)
        assert names(rows() + last) == []


def test_a_gradient_below_adams_eps_has_vanished_in_any_case():
    assert names(rows(g_grad=1e-8)) == ["G's gradient vanished"]
    assert names(rows(g_grad=float(np.nextafter(1e-8, 1.0)))) == []


def test_the_largest_gradient_and_spread_are_those_of_the_whole_run():
    early = rows(g_grad=100.0, n=1) + rows(n=20)
    assert names(early + rows(g_grad=0.01)) == ["G's gradient vanished"]
    assert names(early + rows(g_grad=0.02)) == []
    (failure,) = diagnose(early + rows(g_grad=0.01))
    assert failure.measure == "norm of at most 0.01 in the last 3 rows; its largest 1e+02"
    narrow = rows(diversity=0.2, n=6)  # never wider: it has ten rows to become so
    assert names(narrow) == []
    assert names(rows(diversity=0.21, n=1) + narrow) == ["samples collapsed"]
    (failure,) = diagnose(rows(n=1) + narrow)
    assert failure.measure == "at most 20 % of the data's spread in the last 3 rows"
    (failure,) = diagnose(rows(auc=0.9995, n=2) + rows(auc=1.0, n=1))
    assert failure.measure == "AUC of at least 0.9995 in the last 3 rows"


def test_few_rows_are_enough_to_diagnose():
    dice = random.Random(0)
    for _ in range(300):
        history: list = []
        kept: list = []
        for _ in range(dice.randint(0, 40)):
            row = {
                "auc": dice.choice([0.5, 1.0, math.nan]),
                "g_grad": dice.choice([1.0, 1e-3, 1e-8, math.nan]),
                "diversity": dice.choice([0.05, 0.1, 0.9, math.nan]),
            }
            history.append(row)
            kept = shorten([*kept, row])
            assert [str(f) for f in diagnose(kept)] == [str(f) for f in diagnose(history)]
            assert len(kept) <= PATIENCE + 2


def test_measures_against_their_definitions():
    from scipy import stats

    random_ = np.random.default_rng(0)
    real, fake = random_.integers(0, 9, 50), random_.integers(0, 7, 70)
    u = stats.mannwhitneyu(real, fake).statistic
    assert area_under_curve(real, fake) == pytest.approx(u / (50 * 70), abs=1e-12)
    assert area_under_curve(np.ones(4), np.zeros(3)) == 1.0
    assert area_under_curve(np.ones(4), np.ones(3)) == 0.5
    assert math.isnan(area_under_curve(np.ones(4), np.zeros(0)))
    X = random_.normal(size=(100, 3))
    assert relative_spread(2.0 * X + 5.0, X) == pytest.approx(2.0)
    assert relative_spread(np.zeros((9, 3)), X) == 0.0
    assert math.isnan(relative_spread(X, np.ones((5, 3))))
    assert math.isnan(relative_spread(X, X[:1]))


def test_a_failing_run_says_so_in_its_lines_and_to_show(tmp_path, capsys):
    """A discriminator that learns alone: G's rate is zero."""
    trainer = start(tmp_path / "sick", progress=True)
    trainer.gan.generator_optimizer.lr = 0.0
    trainer.gan.discriminator_optimizer.lr = 0.3
    trainer.fit(steps=300)
    assert "! D saturated (AUC" in capsys.readouterr().out
    assert minigan(["show", str(tmp_path / "sick")]) == 0
    out = capsys.readouterr().out
    assert "! D saturated (AUC" in out
    assert "a lower rate for D" in out
    assert gaussian1d.main(["--steps", "2000", "--out", str(tmp_path / "sound")]) == 0
    assert "!" not in capsys.readouterr().out
    assert minigan(["show", str(tmp_path / "sound")]) == 0
    assert "!" not in capsys.readouterr().out


def test_a_vanishing_gradient_is_seen_in_a_real_run(tmp_path, capsys):
    """Minimax on probabilities with a D far ahead: Goodfellow et al. 2014, section 3."""
    G = mg.Sequential(mg.Linear(2, 8), mg.ReLU(), mg.Linear(8, 1), name="g")
    D = mg.Sequential(mg.Linear(1, 16), mg.ReLU(), mg.Linear(16, 1), name="d")
    gan = mg.GAN(
        G, D, mg.Normal(dim=2), mg.Minimax(),
        mg.Adam(G.parameters, 1e-5), mg.Adam(D.parameters, 0.3),
    )  # fmt: skip
    X = 40.0 + np.random.default_rng(0).normal(size=(500, 1))
    trainer = mg.Trainer(gan, mg.Samples(X), tmp_path, batch=16, print_every=20)
    trainer.fit(steps=400)
    assert "! D saturated" in (out := capsys.readouterr().out)
    assert "G's gradient vanished (norm of at most" in out


def test_data_without_spread_and_packs_too_few_have_no_measure(tmp_path):
    """One sample, packs of two: nothing to compare, and nothing that fails."""
    G = mg.Sequential(mg.Linear(2, 1), name="g")
    D = mg.Sequential(mg.Pack(2), mg.Linear(4, 1), name="d")
    gan = mg.GAN(G, D, mg.Normal(dim=2))
    data = mg.Samples(np.ones((1, 1)))
    trainer = mg.Trainer(gan, data, tmp_path, batch=2, print_every=1, progress=False)
    trainer.fit(steps=12)
    last = mg.read_history(tmp_path / "history.csv")[-1]
    assert math.isnan(last["auc"])
    assert math.isnan(last["diversity"])
    assert diagnose(mg.read_history(tmp_path / "history.csv")) == []
    mg.Trainer.resume(tmp_path, data=data, progress=False).fit(steps=20)


def test_measuring_changes_nothing(tmp_path):
    """Rows and scores draw no numbers of the run: seldom or often, the state is the same."""
    for name, every in (("often", 1), ("seldom", 50)):
        score = (lambda gan: 1.0) if every == 1 else None
        start(tmp_path / name, print_every=every, score=score).fit(steps=50)
    a, b = (
        mg.load_checkpoint(tmp_path / name / "checkpoint.safetensors")
        for name in ("often", "seldom")
    )
    for name, tensor in a.tensors.items():
        if name != "losses/totals":
            np.testing.assert_array_equal(tensor, b.tensors[name], err_msg=name)
    assert a.metadata["counters"] == b.metadata["counters"]
    assert a.metadata["data"] == b.metadata["data"]


def test_a_large_gradient_has_a_length():
    """Whose square is too large for float32."""
    gan = networks()
    gan.step(np.ones((8, 1)))
    gan.generator.parameters.grad[...] = 0.0
    gan.generator.parameters.grad[:2] = 3e30, 4e30
    assert measure(gan, mg.Gaussian())["g_grad"] == pytest.approx(5e30, rel=1e-6)


def of_images(average: float | None = None) -> mg.GAN:
    """Convolutions, and batch normalisation in both networks."""
    G = mg.Sequential(
        *(mg.Linear(3, 32), mg.BatchNorm(2), mg.ReLU(), mg.ConvTranspose2d(2, 1, size=(4, 4))),
        seed=1,
        name="g",
    )
    D = mg.Sequential(
        *(mg.Conv2d(1, 2, size=(8, 8)), mg.BatchNorm(2), mg.LeakyReLU(0.2), mg.Linear(32, 1)),
        seed=1,
        name="d",
    )
    return mg.GAN(G, D, mg.Normal(dim=3), average=average)


@pytest.mark.parametrize("average", [None, 0.9])
def test_measures_of_batch_normalisation_are_of_evaluation(average):
    """With running statistics, which a measurement leaves as they are."""
    gan, data = of_images(average), mg.Images(mg.load_images("digits").train)
    for _ in range(3):
        gan.step(data.reference(16))
    before = {name: np.array(array) for name, array in gan.state()[0].items()}
    row = measure(gan, data)
    for name, array in gan.state()[0].items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    real, G, D = data.reference(SAMPLES), gan.generator, gan.discriminator
    shown = G.predict(gan.draw_noise(SAMPLES, SEED))
    assert row["auc"] == area_under_curve(D.predict(real)[:, 0], D.predict(shown)[:, 0])
    alone = [D.predict(one[None])[0, 0] for one in real[:2]]  # the others have no say
    np.testing.assert_allclose(alone, D.predict(real)[:2, 0], rtol=1e-5)
    gradients = gan.generator.parameters.named_grads()
    assert np.linalg.norm(gradients["1.gamma"]) > 0.0
    squares = sum(np.sum(g.astype("float64") ** 2) for g in gradients.values())
    assert row["g_grad"] == pytest.approx(np.sqrt(squares))


def test_running_statistics_that_are_not_finite_are_named():
    """They overflow before a parameter does: a batch is normalised, whatever its size."""
    gan = of_images()
    rows = 1e25 * np.random.default_rng(0).normal(size=(8, 64))
    with np.errstate(all="ignore"):
        gan.step(rows.astype("float32"))
        with pytest.raises(mg.NonFiniteError, match="step 1: the discriminator's running stat"):
            gan.check_finite()


@pytest.mark.parametrize("average", [None, 0.9])
def test_d_judges_g_itself_and_the_rest_is_of_the_samples(average):
    """The averaged G is what users get; D has never played against it."""
    G = mg.Sequential(mg.Linear(1, 2), name="g", dtype="float64")
    D = mg.Sequential(mg.Linear(2, 1), name="d", dtype="float64")
    gan = mg.GAN(G, D, mg.Uniform(-1, 1, dim=1), average=average)
    gan.step(np.random.default_rng(0).normal(size=(4, 2)))
    data = mg.Samples(np.random.default_rng(1).normal(size=(1300, 2)), dtype="float64")
    G.parameters.data[:] = [3.0, -1.0, 9.0, 9.0]  # far away, where D is sure
    if average is not None:
        gan.average.network.parameters.data[:] = [1.0, 2.0, 0.1, -0.1]
    D.parameters.data[:] = [-1.0, -1.0, 0.5]
    G.parameters.grad[:] = [3.0, 0.0, -4.0, 0.0]
    row = measure(gan, data)
    assert set(row) == {"mean", "std", "auc", "g_grad", "diversity"}

    samples, real = gan.sample(SAMPLES, seed=SEED), data.reference(SAMPLES)
    shown = G.predict(gan.draw_noise(SAMPLES, SEED))
    assert np.array_equal(shown, samples) == (average is None)
    assert row["auc"] == area_under_curve(D.predict(real)[:, 0], D.predict(shown)[:, 0])
    assert row["auc"] > 0.99
    assert row["mean"] == pytest.approx(samples.mean())
    assert row["std"] == pytest.approx(samples.std())
    assert row["diversity"] == relative_spread(samples, real)
    assert row["g_grad"] == 5.0


def test_packs_are_judged_whole():
    """Samples that do not fill a pack are left out."""
    G = mg.Sequential(mg.Linear(1, 1), name="g", dtype="float64")
    D = mg.Sequential(mg.Pack(3), mg.Linear(6, 1), name="d", dtype="float64")
    gan = mg.GAN(G, D, mg.Normal())
    data = mg.Samples(np.random.default_rng(1).normal(size=(1001, 1)), dtype="float64")
    row = measure(gan, data)
    real, fake = data.reference(SAMPLES)[:999], gan.sample(SAMPLES, seed=SEED)[:999]
    assert row["auc"] == area_under_curve(D.predict(real)[:, 0], D.predict(fake)[:, 0])


# -- the best -------------------------------------------------------------------------


def test_the_best_checkpoint_is_kept(tmp_path, capsys):
    scores = {5: 3.0, 10: 1.0, 15: math.nan, 20: -math.inf, 25: 1.0}
    start(tmp_path, score=lambda gan: scores[gan.step_count]).fit(steps=25)
    best = mg.load_checkpoint(tmp_path / "best.safetensors").metadata
    assert (best["step"], best["score"]) == (10, 1.0)
    assert mg.load_run(tmp_path, best=True).gan.step_count == 10
    assert mg.load_run(tmp_path).gan.step_count == 25
    assert minigan(["show", str(tmp_path)]) == 0
    assert "best       step 10: score 1 (lower is better)" in capsys.readouterr().out
    out = str(tmp_path / "x.npy")
    assert minigan(["sample", str(tmp_path), "--best", "--n", "4", "--out", out]) == 0
    np.testing.assert_array_equal(
        np.load(out, allow_pickle=False), mg.load_run(tmp_path, best=True).gan.sample(4, seed=0)
    )
    trainer = mg.Trainer.resume(tmp_path, score=lambda gan: 0.5, progress=False)
    trainer.fit(steps=30)
    assert mg.load_run(tmp_path, best=True).gan.step_count == 30


def test_a_state_that_could_not_be_opened_is_not_saved(tmp_path):
    """An optimizer's second moment overflows long before a parameter does."""
    trainer = start(tmp_path)
    trainer.fit(steps=10)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    trainer.gan.generator_optimizer.g2_sum[0] = np.inf
    with pytest.raises(mg.NonFiniteError, match=r"step 1\d: generator\.adam\.g2_sum is not finite"):
        trainer.fit(steps=20)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before
    assert mg.load_run(tmp_path).gan.step_count == 10


def test_a_parameter_is_named_before_what_it_may_have_spoiled():
    gan = networks()
    gan.generator_optimizer.g2_sum[0] = np.inf
    gan.discriminator.parameters.data[0] = np.nan
    with pytest.raises(mg.NonFiniteError, match="the discriminator holds a parameter"):
        gan.check_finite()


@pytest.mark.parametrize("every", [10, 1000])  # before a save, and where nothing is saved for long
def test_data_too_large_for_float32_are_named(every, tmp_path):
    """Adam's sums overflow while the parameters stay finite, so they would never change again."""
    rows = np.random.default_rng(0).normal(size=(40, 2)) * 1e20
    G = mg.Sequential(mg.Linear(2, 6), mg.ReLU(), mg.Linear(6, 2), name="g")
    D = mg.Sequential(mg.Linear(2, 6), mg.LeakyReLU(0.2), mg.Linear(6, 1), name="d")
    trainer = mg.Trainer(
        mg.GAN(G, D, mg.Normal(dim=2)), mg.Samples(rows), tmp_path, batch=8,
        print_every=every, checkpoint_every=every, progress=False,
    )  # fmt: skip
    match = r"discriminator\.adam\.g2_sum is not finite.*too large for float32; scale your data"
    with np.errstate(all="ignore"), pytest.raises(mg.NonFiniteError, match=match):
        trainer.fit(steps=1000)
    assert trainer.gan.step_count <= 100
    assert mg.load_run(tmp_path).gan.step_count == 0


def test_all_that_a_reader_refuses_is_found_by_the_check():
    """Every array of the state in turn, so that a state that passes can be loaded."""
    gan = networks()
    gan.step(np.ones((8, 1)))
    tensors, counters = gan.state()
    twin = networks()
    twin.load_state(tensors, counters)
    for array in tensors.values():
        if not array.size:
            continue
        good = array.copy()
        for bad in (np.nan, np.inf, -np.inf):
            array.reshape(-1)[0] = bad
            with pytest.raises(mg.CheckpointError):
                twin.load_state(tensors, counters)
            with np.errstate(all="ignore"), pytest.raises(mg.NonFiniteError, match=r"step \d"):
                gan.check_finite()
            array[...] = good
    gan.check_finite()
