"""A part defined outside the package is small, and works in every way like minigan's own."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from typing import ClassVar

import additions
import numpy as np
import pytest
from additions import WGAN, Adagrad, OwnBatchNorm, Pearson, SmallWeights, Softsign

import minigan as mg
from minigan.cli.main import main
from minigan.config import CLASSES
from minigan.nn.pytorch import pytorch_sequential


def networks(*, dtype="float32", in_g=(), in_d=()):
    """Layers `in_g` and `in_d` stand behind the first Linear (of 6 features)."""
    G = mg.Sequential(*(mg.Linear(2, 6), *in_g, mg.ELU(), mg.Linear(6, 1)), name="g", dtype=dtype)
    D = mg.Sequential(
        *(mg.Linear(1, 6), *in_d, mg.LeakyReLU(0.2), mg.Linear(6, 1)), name="d", dtype=dtype
    )
    return G, D


def with_optimizer():
    G, D = networks()
    return mg.GAN(G, D, mg.Normal(dim=2), None, Adagrad(G.parameters), Adagrad(D.parameters))


def critic(kind=mg.GAN, loss=None, dtype="float32"):
    return kind(
        *networks(dtype=dtype), mg.Normal(dim=2), loss, constraint=mg.Clip(0.1), d_steps=3,
        fresh_real=True,
    )  # fmt: skip


#: A GAN with each addition; the columns of losses; whether its step can be recorded.
CASES = {
    "game": (lambda: critic(WGAN), ["critic", "g"], True),
    "loss": (lambda: critic(loss=Pearson()), ["d_real", "d_fake", "g", "chi2"], True),
    "penalty": (
        lambda: mg.GAN(*networks(), mg.Normal(dim=2), penalty=SmallWeights(), average=0.9),
        ["d_real", "d_fake", "g", "weights"],
        True,
    ),
    "row-mixing layer": (
        lambda: mg.GAN(
            *networks(in_g=(OwnBatchNorm(6),), in_d=(OwnBatchNorm(6),)),
            mg.Normal(dim=2),
            average=0.9,
        ),
        ["d_real", "d_fake", "g"],
        False,
    ),
    "layer": (
        lambda: mg.GAN(*networks(in_g=(Softsign(),), in_d=(Softsign(),)), mg.Normal(dim=2)),
        ["d_real", "d_fake", "g"],
        False,
    ),
    "optimizer": (with_optimizer, ["d_real", "d_fake", "g"], False),
}


NAMES = {
    "game": "WGAN",
    "loss": "Pearson",
    "penalty": "SmallWeights",
    "row-mixing layer": "OwnBatchNorm",
    "layer": "Softsign",
    "optimizer": "Adagrad",
}


def start(gan: mg.Game, out) -> mg.Trainer:
    return mg.Trainer(
        gan, mg.Gaussian(), out, batch=8, print_every=10, checkpoint_every=5, progress=False
    )


@pytest.mark.parametrize("name", NAMES.values())
def test_an_addition_is_small(name):
    parts = [getattr(additions, one) for one in (name, f"{name}Pass") if hasattr(additions, one)]
    lines = [line for part in parts for line in inspect.getsource(part).splitlines()]
    assert len([line for line in lines if line.strip()]) <= 40


@pytest.mark.parametrize("case", CASES)
def test_it_trains_and_is_recorded_if_it_says_so(case):
    make, columns, recordable = CASES[case]
    gan, data = make(), mg.Gaussian()
    gan.bind(8)
    gan.capture()
    before = gan.generator.parameters.data.copy()
    for _ in range(20):
        data.next_batch(out=gan.real)
        gan.step()
    assert (gan.recording.replay is not None) == recordable
    assert list(gan.losses()) == columns
    assert (gan.generator.parameters.data != before).any()


@pytest.mark.parametrize("case", CASES)
def test_recorded_or_not_the_run_is_the_same_and_resumes_to_the_byte(case, tmp_path):
    make = CASES[case][0]
    straight = start(make(), tmp_path / "straight")
    straight.fit(steps=40)
    start(make(), tmp_path / "stopped").fit(steps=15, capture=False)
    mg.Trainer.resume(tmp_path / "stopped", progress=False).fit(steps=40)
    one, other = (tmp_path / name / "checkpoint.safetensors" for name in ("straight", "stopped"))
    assert one.read_bytes() == other.read_bytes()
    loaded = mg.load_run(tmp_path / "stopped").gan
    assert type(loaded) is type(straight.gan)
    np.testing.assert_array_equal(loaded.sample(5, seed=1), straight.gan.sample(5, seed=1))


@pytest.mark.parametrize("case", CASES)
def test_history_show_and_explain_know_it(case, tmp_path, capsys):
    make, columns, _ = CASES[case]
    start(make(), tmp_path / "run").fit(steps=20)
    rows = mg.read_history(tmp_path / "run" / "history.csv")
    assert list(rows[0])[1 : 1 + len(columns)] == columns
    titles = {"d_real": "D real", "d_fake": "D fake", "g": "G"}
    capsys.readouterr()
    for command in ("show", "explain"):
        assert main([command, str(tmp_path / "run")]) == 0
        text = capsys.readouterr().out
        for column in columns:
            assert titles.get(column, column) in text
    if "layer" in case:
        assert ("OwnBatchNorm" if case == "row-mixing layer" else "Softsign") in text


@pytest.mark.parametrize("case", CASES)
def test_one_that_is_not_registered_is_refused_at_the_start(case, tmp_path, monkeypatch):
    name = NAMES[case]
    kind = getattr(additions, name).kind
    monkeypatch.delitem(CLASSES[kind], name)
    with pytest.raises(mg.ConfigError, match=f"{name} is not registered"):
        start(CASES[case][0](), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_game_of_ones_own_and_its_parts_in_a_plain_gan_are_one():
    """To rounding."""
    own, parts = critic(WGAN, dtype="float64"), critic(loss=mg.Wasserstein(), dtype="float64")
    for seed in range(5):
        real = np.random.default_rng(seed).normal(4, 1.25, (24, 1))
        own.step(real)
        parts.step(real)
    for role in ("generator", "discriminator"):
        np.testing.assert_allclose(
            own.networks[role].parameters.data, parts.networks[role].parameters.data, rtol=1e-9
        )
    assert np.abs(own.discriminator.parameters.data).max() <= 0.1


# -- layers that mix rows ---------------------------------------------------------------


def textbook(gan: mg.GAN, reals: list[np.ndarray], same_noise: bool) -> None:
    """Steps by separate passes of D over real and generated samples; changes `gan`."""
    G, D = gan.generator, gan.discriminator
    z = np.empty((len(reals[0]), 2))
    for real in reals:
        gan.noise.fill(gan.ops, gan.streams["discriminator_noise"], out=z)
        fake = G.forward(z).copy()  # G's statistics: once
        D.backward(mg.bce_with_logits(D.forward(real), 1.0)[1])  # D's statistics: real,
        grad = D.parameters.grad.copy()
        D.backward(mg.bce_with_logits(D.forward(fake), 0.0)[1])  # then generated
        D.parameters.grad += grad
        gan.discriminator_optimizer.step()
        if not same_noise:
            gan.noise.fill(gan.ops, gan.streams["generator_noise"], out=z)
            fake = G.forward(z).copy()  # a new batch: G's statistics once more
        before = D.buffers.data.copy()
        G.backward(D.backward(mg.bce_with_logits(D.forward(fake), 1.0)[1]))
        D.buffers.data = before  # D is the messenger: its statistics stay
        gan.generator_optimizer.step()
        if gan.average is not None:
            gan.average.update()
            gan.average.network.forward(z)


@pytest.mark.parametrize("same_noise", [False, True])
@pytest.mark.parametrize("where", ["G", "D", "both"])
def test_a_row_mixing_layer_gives_the_textbook_step(where, same_noise):
    def make():
        layers = {
            "in_g": (OwnBatchNorm(6),) if where != "D" else (),
            "in_d": (OwnBatchNorm(6),) if where != "G" else (),
        }
        nets = networks(dtype="float64", **layers)
        return mg.GAN(*nets, mg.Normal(dim=2), same_noise=same_noise, average=0.9)

    ours, book = make(), make()
    reals = [np.random.default_rng(k).normal(4, 1.25, (8, 1)) for k in range(6)]
    for real in reals:
        ours.step(real)
    textbook(book, reals, same_noise)
    for mine, theirs in (
        (ours.generator, book.generator),
        (ours.discriminator, book.discriminator),
        (ours.sampler, book.sampler),
    ):
        assert mine.buffers.size == theirs.buffers.size
        for flat in ("parameters", "buffers"):
            np.testing.assert_allclose(
                getattr(mine, flat).data, getattr(theirs, flat).data, rtol=1e-10, atol=1e-12
            )
    moved = (ours.generator if where == "G" else ours.discriminator).buffers.data
    assert (np.abs(moved[:6]) > 1e-3).all()  # running means
    X = np.random.default_rng(9).normal(size=(5, 1))
    np.testing.assert_allclose(ours.discriminator.predict(X), book.discriminator.predict(X))


def test_gradcheck_of_a_row_mixing_layer():
    net = mg.Sequential(
        mg.Linear(3, 4), OwnBatchNorm(4), mg.Tanh(), mg.Linear(4, 2), dtype="float64"
    )
    for train in (True, False):
        report = mg.gradcheck(net, np.random.default_rng(0).normal(size=(6, 3)), train=train)
        assert report.ok, report


def test_buffers_are_state(tmp_path):
    gan = CASES["row-mixing layer"][0]()
    for seed in range(3):
        gan.step(np.random.default_rng(seed).normal(4, 1.25, (8, 1)))
    tensors, counters = gan.state()
    assert {"generator.buffers/1.mean", "discriminator.buffers/1.var",
            "generator.average.buffers/1.mean"} <= set(tensors)  # fmt: skip
    twin = mg.GAN.from_config(gan.to_config())
    twin.load_state({name: array.copy() for name, array in tensors.items()}, counters)
    np.testing.assert_array_equal(twin.sampler.buffers.data, gan.sampler.buffers.data)
    assert (gan.sampler.buffers.data != gan.generator.buffers.data).all()  # its own
    for copied in (gan.generator.astype("float64"), copy.deepcopy(gan.generator)):
        np.testing.assert_allclose(copied.buffers.data, gan.generator.buffers.data)
        assert not np.shares_memory(copied.buffers.data, gan.generator.buffers.data)


@dataclasses.dataclass(frozen=True)
class Groups(mg.Layer):
    """Rows come in groups, and all of them go on: unlike Pack, which makes one row of a group."""

    rows_multiple = 2

    def bind(self, binding):
        return Identity(binding)


@dataclasses.dataclass(frozen=True)
class Named(mg.Layer):
    """A layer whose parameter has a name of its own."""

    in_features: int

    def parameter_shapes(self):
        return {"kernel": (self.in_features, self.in_features)}

    def pytorch(self):
        return "other.Named()"

    def bind(self, binding):
        return Identity(binding)


class Identity(mg.LayerPass):
    def forward(self, X, train):
        return X

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        return dY


def test_predict_keeps_the_rows_of_groups():
    net = mg.Sequential(mg.Linear(1, 1), Groups())
    X = np.arange(3000.0).reshape(-1, 1).astype("float32")  # more than are predicted at once
    np.testing.assert_array_equal(net.predict(X), net.forward(X))


def test_buffers_are_exported():
    class Exported(OwnBatchNorm):
        def pytorch(self):
            return "other.BatchNorm()"

    net = networks(in_d=(Exported(6),))[1]
    net.forward(np.random.default_rng(0).normal(4, 1.25, (8, 1)))
    _, state = pytorch_sequential(net)
    buffers = net.buffers.named()
    assert {"1.mean", "1.var"} <= state.keys()
    np.testing.assert_array_equal(state["1.mean"], buffers["1.mean"][0])
    np.testing.assert_array_equal(state["1.var"], buffers["1.var"][0])


def test_a_matrix_that_is_no_weight_is_not_exported():
    net = mg.Sequential(mg.Linear(2, 3), Named(3))
    with pytest.raises(mg.ConfigError, match=r"kernel \(3, 3\) of Named.* cannot be exported"):
        pytorch_sequential(net)


# -- real samples of their own -----------------------------------------------------------


@pytest.mark.parametrize("capture", [False, True])
def test_fresh_real_gives_each_update_its_own_samples(capture):
    seen = []

    @dataclasses.dataclass(frozen=True)
    class Spy(mg.Wasserstein):
        capturable = True

        def discriminator_gradient(self, ops, Y, targets, dY):
            seen.append(gan._samples[:4].copy())
            super().discriminator_gradient(ops, Y, targets, dY)

    gan = mg.GAN(*networks(), mg.Normal(dim=2), Spy(), d_steps=3, fresh_real=True)
    assert gan.samples_per_step == 0  # not bound yet
    real = np.arange(12.0).reshape(12, 1)
    gan.step(real)
    assert (gan.batch, gan.samples_per_step, gan.real.shape) == (4, 12, (12, 1))
    np.testing.assert_array_equal(np.concatenate(seen), real)
    with pytest.raises(mg.ShapeError, match="3 updates of D need a multiple of 3 rows, not 10"):
        gan.step(np.zeros((10, 1)))


# -- the parts that come with minigan ------------------------------------------------------


def test_drift_by_hand():
    def make(penalty):
        G, D = networks(dtype="float64")
        still = mg.SGD(D.parameters, lr=0.0)
        return mg.GAN(G, D, mg.Normal(dim=2), None, None, still, penalty=penalty, d_steps=2)

    gan, plain = make(mg.Drift(0.25)), make(None)
    real = np.random.default_rng(0).normal(4, 1.25, (8, 1))
    for one in (gan, plain):
        one.bind(8)
        one.ops.copy(real, out=one.real)
        one.discriminator_step()
    Y = plain._Y[:8]
    dY = np.zeros((16, 1))
    dY[:8] = 2 * 0.25 * Y / 8
    plain._both.backward(plain._dY + dY, input_grad=False)
    np.testing.assert_allclose(
        gan.discriminator.parameters.grad, plain.discriminator.parameters.grad, rtol=1e-12
    )
    gan.step(real)
    losses = gan.losses()
    assert list(losses) == ["d_real", "d_fake", "g", "drift"]
    assert losses["drift"] == pytest.approx(0.25 * np.mean(gan._Y[:8] ** 2), rel=1e-12)


def test_clip_holds_every_parameter():
    gan = mg.GAN(*networks(), mg.Normal(dim=2), constraint=mg.Clip(0.05))
    gan.step(np.random.default_rng(0).normal(4, 1.25, (8, 1)))
    assert np.abs(gan.discriminator.parameters.data).max() == np.float32(0.05)
    assert np.abs(gan.generator.parameters.data).max() > 0.05


def test_a_penalty_may_not_take_a_name_of_the_game():
    @dataclasses.dataclass(frozen=True)
    class Taken(SmallWeights):
        columns: ClassVar = {"g": "nothing"}

    with pytest.raises(mg.ConfigError, match="the penalty has a loss called g"):
        mg.GAN(*networks(), mg.Normal(dim=2), penalty=Taken())


@pytest.mark.parametrize("name", ["step", "mean", "rollbacks", "d_lr", "mine_lr", "a,b", "G"])
def test_a_loss_may_not_take_the_name_of_another_column(name, tmp_path):
    @mg.register
    @dataclasses.dataclass(frozen=True)
    class Named(SmallWeights):
        columns: ClassVar = {name: "nothing"}

    try:
        with pytest.raises(mg.ConfigError, match=r"a loss (must|cannot)"):
            start(mg.GAN(*networks(), mg.Normal(dim=2), penalty=Named()), tmp_path / "run")
    finally:
        del CLASSES["penalty"]["Named"]
    assert not (tmp_path / "run").exists()


def test_a_flat_array_to_keep_is_refused_in_a_sentence():
    class FlatPass(additions.SmallWeightsPass):
        def __init__(self, weight, D):
            super().__init__(weight, D)
            self.keeps = (D.parameters.data,)

    @dataclasses.dataclass(frozen=True)
    class Flat(SmallWeights):
        def bind(self, update):
            return FlatPass(self.weight, update.D)

    gan = mg.GAN(*networks(), mg.Normal(dim=2), penalty=Flat())
    with pytest.raises(mg.ShapeError, match=r"of arrays \(rows, features\), not \(19,\)"):
        gan.bind(4)
    assert gan.batch == 0


@pytest.mark.parametrize("case", CASES)
def test_a_deep_copy_of_a_gan_goes_its_own_way(case):
    gan = CASES[case][0]()
    reals = [np.random.default_rng(k).normal(4, 1.25, (24, 1)) for k in range(4)]
    gan.step(reals[0])
    gan.step(reals[1])
    twin = copy.deepcopy(gan)
    before = {name: array.copy() for name, array in gan.state()[0].items()}
    twin.step(reals[2])
    for name, array in gan.state()[0].items():
        np.testing.assert_array_equal(array, before[name])
    gan.step(reals[2])
    assert gan.state()[1] == twin.state()[1]
    for name, array in gan.state()[0].items():
        np.testing.assert_array_equal(array, twin.state()[0][name])
