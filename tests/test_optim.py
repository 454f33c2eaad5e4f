"""Optimizers against steps computed by hand."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan.checks import SMALLEST


def parameters(dtype: str = "float64", n_in: int = 2, n_out: int = 1) -> mg.Parameters:
    return mg.Sequential(mg.Linear(n_in, n_out), dtype=dtype).parameters


def test_adam_by_hand():
    p = parameters()
    p.data[:] = [1.0, -2.0, 0.5]
    opt = mg.Adam(p, lr=0.1, betas=(0.9, 0.999), eps=1e-8)
    p.grad[:] = [2.0, -1.0, 0.0]
    opt.step()
    # The first step of Adam is lr * sign(g), whatever the size of g.
    np.testing.assert_allclose(p.data, [0.9, -1.9, 0.5], atol=1e-8)
    p.grad[:] = [-2.0, -1.0, 0.0]
    opt.step()
    # m = 0.9 * 0.2 - 0.1 * 2 = -0.02, m_hat = -0.02 / 0.19; v_hat = 4
    m_hat = (0.9 * 0.2 - 0.2) / (1 - 0.9**2)
    np.testing.assert_allclose(p.data[0], 0.9 - 0.1 * m_hat / 2.0, atol=1e-8)
    np.testing.assert_allclose(p.data[1:], [-1.8, 0.5], atol=1e-8)
    assert opt.step_count == 2


def test_adam_in_blocks_equals_adam_at_once():
    from minigan.backend.numpy.optimizers import OPTIMIZER_BLOCK

    p = parameters(n_in=400, n_out=400)  # 160,400 numbers: three blocks
    assert p.size > 2 * OPTIMIZER_BLOCK
    start = p.data.copy()
    opt = mg.Adam(p, lr=1e-2, betas=(0.5, 0.9))
    m = v = np.zeros_like(start)
    rng = np.random.default_rng(0)
    for t in range(1, 6):
        g = rng.normal(size=p.size)
        p.grad[:] = g
        opt.step()
        m, v = 0.5 * m + 0.5 * g, 0.9 * v + 0.1 * g * g
        start = start - 1e-2 * (m / (1 - 0.5**t)) / (np.sqrt(v / (1 - 0.9**t)) + 1e-8)
    np.testing.assert_allclose(p.data, start, rtol=1e-12, atol=1e-15)


def test_weight_decay_is_apart_from_the_gradient():
    p = parameters()
    p.data[:] = [1.0, -2.0, 0.5]
    opt = mg.Adam(p, lr=0.1, weight_decay=0.3, decay=mg.LinearDecay(end=2, final=0.5))
    p.grad[:] = [0.0, 5.0, 0.0]
    opt.step()  # all shrink by 0.1 * 0.3; the second also moves by lr, whatever the gradient
    np.testing.assert_allclose(p.data, [0.97, -2.0 * 0.97 - 0.1, 0.5 * 0.97], atol=1e-8)
    assert opt.buffers()["g_sum"][0] == opt.buffers()["g2_sum"][0] == 0.0
    opt.step()  # the rate has fallen to 0.075, and the decay with it
    assert p.data[0] == pytest.approx(0.97 * (1 - 0.075 * 0.3), abs=1e-12)
    assert mg.Adam(parameters()).weight_decay == 0.0


def test_adam_without_momentum_is_allowed():
    p = parameters()
    p.data[:] = 0.0
    p.grad[:] = [3.0, -4.0, 0.0]
    mg.Adam(p, lr=0.1, betas=(0.0, 0.0)).step()
    np.testing.assert_allclose(p.data, [-0.1, 0.1, 0.0], atol=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("beta", [0.0, 1e-40, 1.0 - 1e-9, np.nextafter(1.0, 0.0)])
def test_adam_at_the_edges_of_its_settings(dtype, beta):
    """The steps of a constant gradient are lr sign(g), for any betas; and 0 where g is 0."""
    p = parameters(dtype)
    p.data[:] = 0.0
    opt = mg.Adam(p, lr=0.5, betas=(beta, beta), eps=SMALLEST)
    p.grad[:] = [3.0, -0.01, 0.0]
    for _ in range(4):
        opt.step()
    np.testing.assert_allclose(p.data, [-2.0, 2.0, 0.0], rtol=1e-5)


def test_rmsprop_by_hand():
    p = parameters()
    p.data[:] = [1.0, -2.0, 0.5]
    opt = mg.RMSprop(p, lr=0.1, alpha=0.75)
    p.grad[:] = [2.0, -1.0, 0.0]
    opt.step()
    # v = g^2 / 4: the first step is lr / sqrt(1 - alpha), whatever the size of g.
    np.testing.assert_allclose(p.data, [0.8, -1.8, 0.5], atol=1e-7)
    p.grad[:] = [-2.0, 3.0, 0.0]
    opt.step()  # v = 0.75 + 1, and 0.1875 + 2.25
    np.testing.assert_allclose(opt.g2_mean, [1.75, 2.4375, 0.0])
    np.testing.assert_allclose(
        p.data, [0.8 + 0.2 / np.sqrt(1.75), -1.8 - 0.3 / np.sqrt(2.4375), 0.5], atol=1e-7
    )


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 2e-5), ("float64", 1e-12)])
def test_rmsprop_in_blocks_is_its_formula(dtype, rtol):
    """With decay; and an eps that matters."""
    p = parameters(dtype, n_in=400, n_out=400)  # three blocks
    theta = p.data.astype("float64")
    opt = mg.RMSprop(p, 1e-2, alpha=0.9, eps=0.1, decay=mg.LinearDecay(end=4, final=0.5))
    v, rng = np.zeros_like(theta), np.random.default_rng(0)
    for rate in (1e-2, 0.875e-2, 0.75e-2, 0.625e-2, 0.5e-2):
        g = rng.normal(size=p.size).astype(dtype)
        p.grad[:] = g
        opt.step()
        assert opt.rate == pytest.approx(rate)
        v = 0.9 * v + 0.1 * g.astype("float64") ** 2
        theta -= rate * g / (np.sqrt(v) + 0.1)
    np.testing.assert_allclose(p.data, theta, rtol=rtol, atol=rtol)


def test_the_state_of_rmsprop_is_saved_and_resumed():
    def make():
        G, D = (
            mg.Sequential(mg.Linear(1, 3), mg.Linear(3, 1), name="g"),
            mg.Sequential(mg.Linear(1, 1), name="d"),
        )
        rules = (mg.RMSprop(net.parameters, 0.01, decay=mg.LinearDecay(end=9)) for net in (G, D))
        return mg.GAN(G, D, mg.Normal(), None, *rules)

    gan = make()
    for _ in range(3):
        gan.step(np.ones((4, 1)))
    tensors, counters = gan.state()
    assert {"generator.rmsprop.g2_mean/0.weight", "discriminator.rmsprop.g2_mean/0.bias"} <= {
        *tensors
    }
    twin = make()
    twin.load_state({name: array.copy() for name, array in tensors.items()}, counters)
    for one in (gan, twin):
        one.step(np.ones((4, 1)))
    for name, array in gan.state()[0].items():
        np.testing.assert_array_equal(array, twin.state()[0][name])
    assert twin.generator_optimizer.rate == gan.generator_optimizer.rate < 0.01


def test_sgd_by_hand():
    p = parameters()
    p.data[:] = [1.0, 2.0, 3.0]
    opt = mg.SGD(p, lr=0.5, momentum=0.9)
    p.grad[:] = [1.0, 0.0, -1.0]
    opt.step()
    np.testing.assert_allclose(p.data, [0.5, 2.0, 3.5])
    opt.step()  # velocity 1.9
    np.testing.assert_allclose(p.data, [0.5 - 0.95, 2.0, 3.5 + 0.95])
    plain = parameters()
    plain.data[:], plain.grad[:] = 1.0, 2.0
    mg.SGD(plain, lr=0.25).step()
    np.testing.assert_allclose(plain.data, 0.5)


def test_linear_decay_by_hand():
    p = parameters()
    opt = mg.SGD(p, lr=1.0, decay=mg.LinearDecay(end=6, start=2, final=0.2))
    rates = []
    for _ in range(8):
        opt.step()
        rates.append(opt.rate)
    np.testing.assert_allclose(rates, [1.0, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2, 0.2])


def test_float32_steps_stay_float32():
    p = parameters("float32")
    p.grad[:] = 1.0
    for opt in (mg.Adam(p), mg.RMSprop(p), mg.SGD(p, 0.1, 0.9)):
        opt.step()
        assert p.data.dtype == np.float32
        assert all(buffer.dtype == np.float32 for buffer in opt.buffers().values())


def test_adam_learns_a_line():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(64, 3))
    T = X @ np.array([[1.0], [-2.0], [0.5]]) + 3.0
    net = mg.Sequential(mg.Linear(3, 1), seed=0, dtype="float64")
    opt = mg.Adam(net.parameters, lr=0.05)
    for _ in range(800):
        loss, dY = mg.mean_squared_error(net.forward(X), T)
        net.backward(dY)
        opt.step()
    assert loss < 1e-6
    np.testing.assert_allclose(net.parameters.data, [1.0, -2.0, 0.5, 3.0], atol=1e-3)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: mg.Adam(p, lr=-1.0),
        lambda p: mg.Adam(p, weight_decay=-0.1),
        lambda p: mg.Adam(p, lr=float("nan")),
        lambda p: mg.Adam(p, betas=(0.9, 1.0)),
        lambda p: mg.Adam(p, eps=0.0),
        lambda p: mg.SGD(p, 0.1, momentum=1.0),
        lambda p: mg.RMSprop(p, lr=-1.0),
        lambda p: mg.RMSprop(p, alpha=1.0),
        lambda p: mg.RMSprop(p, alpha=-0.1),
        lambda p: mg.RMSprop(p, eps=0.0),
        lambda p: mg.LinearDecay(end=0),
        lambda p: mg.LinearDecay(end=5, final=2.0),
    ],
)
def test_bad_settings_are_refused(make):
    with pytest.raises(mg.ConfigError):
        make(parameters())


def test_rate_before_the_first_step_is_the_base_rate_and_lr_can_be_set():
    p = parameters()
    opt = mg.SGD(p, lr=0.5)
    assert opt.rate == opt.lr == 0.5
    p.data[:], p.grad[:] = 1.0, 1.0
    opt.lr = 0.25
    assert opt.rate == 0.25
    opt.step()
    np.testing.assert_allclose(p.data, 0.75)
    assert opt.to_config()["lr"] == 0.25
    with pytest.raises(mg.ConfigError, match="lr"):
        opt.lr = -1.0


@pytest.mark.parametrize("make", [mg.SGD, mg.RMSprop, mg.Adam])
def test_a_clock_is_step_base_rate_and_rate(make):
    p = parameters()
    opt = make(p, 0.5, decay=mg.LinearDecay(end=4, final=0.5))
    assert opt.clock.tolist() == [0.0, 0.5, 0.5]
    for step, rate in ((1, 0.5), (2, 0.4375), (3, 0.375), (4, 0.3125), (5, 0.25), (6, 0.25)):
        opt.step()
        assert opt.clock.tolist() == [step, 0.5, rate]
        assert (opt.step_count, opt.lr, opt.rate) == (step, 0.5, rate)
    opt.lr = 2.0  # takes effect with the next step
    assert (opt.lr, opt.rate) == (2.0, 0.25)
    opt.step()
    assert opt.rate == 1.0


def test_an_optimizer_without_decay_keeps_its_rate():
    opt = mg.SGD(parameters(), 0.5)
    for _ in range(3):
        opt.step()
        assert opt.rate == 0.5


def test_an_optimizers_buffers_are_laid_out_like_the_data():
    p = parameters(n_in=3, n_out=2)
    for opt, names in (
        (mg.SGD(p, 0.1), ["velocity"]),
        (mg.RMSprop(p), ["g2_mean"]),
        (mg.Adam(p), ["g_sum", "g2_sum"]),
    ):
        assert [*opt.buffers()] == names
        for name, buffer in opt.buffers().items():
            assert buffer is getattr(opt, name)
            assert buffer.shape == p.data.shape
            assert not buffer.any()
            assert {k: v.shape for k, v in p.views(buffer).items()} == {
                "0.weight": (3, 2),
                "0.bias": (1, 2),
            }


def test_parameters_as_text():
    assert repr(parameters(n_in=3, n_out=2)) == "Parameters(8 numbers, float64)"
    population = mg.Sequential(mg.Linear(3, 2), seed=[0, 1]).parameters
    assert repr(population) == "Parameters(8 numbers x 2 members, float32)"
    assert population.data.shape == population.grad.shape == (2, 8)
    assert not population.grad.any()


@pytest.mark.parametrize(
    "make",
    [
        lambda p: mg.Adam(p, betas=0.9),
        lambda p: mg.Adam(p, betas=(0.9, 0.9, 0.9)),
        lambda p: mg.Adam(p, betas=(1.0, 0.9)),
        lambda p: mg.Adam(p, betas=(-0.1, 0.9)),
        lambda p: mg.Adam(p, betas=(0.9, -0.1)),
        lambda p: mg.Adam(p, eps=-1e-8),
        lambda p: mg.SGD(p, 0.1, momentum=-0.1),
        lambda p: mg.SGD(p, -1e-9),
        lambda p: mg.LinearDecay(end=5, start=5),
        lambda p: mg.LinearDecay(end=5, start=-1),
        lambda p: mg.LinearDecay(end=5, final=-0.1),
        lambda p: mg.LinearDecay(end=5.0),
    ],
)
def test_settings_at_and_beyond_their_bounds(make):
    p = parameters()
    mg.Adam(p, lr=0.0, betas=(0.0, 0.0), weight_decay=0.0)
    mg.SGD(p, 0.0, momentum=0.0)
    mg.RMSprop(p, lr=0.0, alpha=0.0)
    mg.LinearDecay(end=1)
    mg.LinearDecay(end=5, start=4, final=0.0)
    mg.LinearDecay(end=5, start=0, final=1.0)
    with pytest.raises(mg.ConfigError):
        make(p)


@pytest.mark.parametrize("make", [lambda p: mg.SGD(p, 0.1, 0.9), mg.RMSprop, mg.Adam])
def test_no_attribute_of_an_optimizer_can_be_replaced_but_lr(make):
    """A recorded step has read them, and would go on with the old ones."""
    opt, other = make(parameters()), make(parameters())
    mine = [name for name in type(opt).fixed if name in vars(opt)]
    assert {"parameters", "clock", "decay", "ops", *opt.buffers()} <= {*mine}
    assert {*vars(opt)} == {*mine}  # all there is
    for name in mine:
        kept = getattr(opt, name)
        for value in (getattr(other, name), mg.LinearDecay(end=9), object()):
            if value is kept:
                continue
            with pytest.raises(mg.ConfigError) as error:
                setattr(opt, name, value)
            told = f"{type(opt).__name__}.{name} cannot be replaced; {type(opt).fixed[name]}"
            assert str(error.value) == told
        with pytest.raises(mg.ConfigError, match=f"{name} cannot be deleted"):
            delattr(opt, name)
        assert getattr(opt, name) is kept
    opt.lr = 0.25
    assert opt.lr == 0.25


def test_every_name_that_is_fixed_belongs_to_an_optimizer():
    for opt in (mg.SGD(parameters(), 0.1), mg.RMSprop(parameters()), mg.Adam(parameters())):
        assert {*vars(opt)} == {*type(opt).fixed}


def test_an_optimizer_of_ones_own_has_the_settings_that_it_says():
    """It says what is fixed, too; what it doesn't say can be changed."""

    class Signs(mg.Optimizer):
        capturable = False

        def __init__(self, parameters: mg.Parameters, lr: float, decay: Any = None) -> None:
            super().__init__(parameters, lr, decay)
            self.share = 0.5

        def update(self) -> None:
            self.parameters.data -= self.rate * self.share * np.sign(self.parameters.grad)

    p = parameters()
    p.data = [1.0, 2.0, 3.0]
    opt = Signs(p, 0.5)
    p.grad = [2.0, -1.0, 0.0]
    opt.step()
    np.testing.assert_array_equal(p.data, [0.75, 2.25, 3.0])
    opt.share = 1.0
    opt.step()
    np.testing.assert_array_equal(p.data, [0.25, 2.75, 3.0])
    assert opt.buffers() == {}
    assert opt.to_config() == {"optimizer": "Signs", "lr": 0.5, "decay": None}
    with pytest.raises(mg.ConfigError, match=r"Signs\.clock cannot be replaced"):
        opt.clock = np.zeros(3)


def test_a_deep_copy_of_an_optimizer_trains_a_copy_of_the_parameters():
    p = parameters()
    opt = mg.SGD(p, 0.5, momentum=0.9, decay=mg.LinearDecay(end=4))
    p.grad = np.ones(3)
    opt.step()
    twin = copy.deepcopy(opt)
    kept = p.data.copy()
    np.testing.assert_array_equal(twin.parameters.data, kept)
    np.testing.assert_array_equal(twin.velocity, opt.velocity)
    twin.step()
    np.testing.assert_array_equal(p.data, kept)
    assert (opt.step_count, twin.step_count) == (1, 2)
    opt.step()
    np.testing.assert_array_equal(p.data, twin.parameters.data)
