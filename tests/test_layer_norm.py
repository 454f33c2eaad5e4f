"""Layer normalisation by hand: rows, their tangents and curvature, and critics that use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import test_capture
import test_gan

import minigan as mg
from minigan.backend import numpy as ops
from minigan.nn.layers.layer_norm import LayerNormPass
from minigan.nn.second_order import SecondOrder

Layers = tuple[mg.Layer, ...]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def network(*layers: mg.Layer, **options: Any) -> mg.Sequential:
    """In float64, with parameters that differ from those at the start."""
    net = mg.Sequential(*layers, **{"dtype": "float64", "seed": 1, **options})
    net.parameters.data = 0.7 * normal(*net.parameters.data.shape, seed=2)
    return net


# -- the layer ------------------------------------------------------------------------------


def test_rows_by_hand():
    """The statistics are those of a whole row; gamma and beta are repeated over its pixels."""
    for c, gamma, beta in ((2, [2.0, 3.0], [-1.0, 4.0]), (6, [*range(6)], [*range(6, 12)])):
        net = mg.Sequential(mg.LayerNorm(c, eps=0.5), in_features=6, dtype="float64")
        net.parameters.data = [*gamma, *beta]
        X = normal(4, 6) + 5.0
        for x, y in zip(X, net.forward(X), strict=True):
            m = sum(x) / 6
            s = np.sqrt(sum((x - m) ** 2) / 6 + 0.5)
            right = [gamma[i % c] * (x[i] - m) / s + beta[i % c] for i in range(6)]
            np.testing.assert_allclose(y, right, rtol=1e-12)


def test_rows_are_independent_and_evaluation_is_training():
    """To the bit: of the other rows, and of `train`. There is nothing to remember."""
    layer = mg.LayerNorm(3)
    net = network(layer, mg.Tanh(), mg.Linear(12, 2), in_features=12)
    X = normal(5, 12)
    for train in (True, False):
        alone = [net.forward(X[i : i + 1], train=train)[0].copy() for i in range(5)]
        np.testing.assert_allclose(net.forward(X, train=train), alone, rtol=1e-12)
    normalised = [
        mg.Sequential(layer, in_features=12).forward(X[rows], train=train).copy()
        for rows, train in ((slice(None), True), (slice(None), False), (slice(2, 3), True))
    ]
    np.testing.assert_array_equal(normalised[0], normalised[1])
    np.testing.assert_array_equal(normalised[0][2:3], normalised[2])
    assert not layer.mixes_rows
    assert not layer.mixes_rows_in_evaluation
    assert net.buffers.data.size == 0


def test_a_row_far_from_zero_keeps_its_digits():
    """The variance is that of deviations: E[x^2] - m^2 would be all rounding in float32.

    The mean is near 1e4, where numbers of float32 are 1e-3 apart.
    """
    X = (normal(3, 500) + 1e4).astype("float32")
    std, out = np.zeros((3, 1), "float32"), np.zeros((3, 500), "float32")
    ops.normalise_rows(X, 1e-5, std, out)
    wide = X.astype("float64")
    deviations = wide - wide.mean(-1, keepdims=True)
    np.testing.assert_allclose(out, deviations / wide.std(-1, keepdims=True), atol=4e-3)
    np.testing.assert_allclose(std, wide.std(-1, keepdims=True), rtol=1e-4)


def test_a_constant_row_is_beta():
    net = network(mg.LayerNorm(4), in_features=4)
    beta = net.parameters.named()["0.beta"]
    np.testing.assert_allclose(net.forward(np.full((2, 4), 3.0)), np.repeat(beta, 2, axis=0))


# -- second order -----------------------------------------------------------------------------


def differences(f: Callable[[float], Any]) -> Any:
    """df/dt at 0, from central differences of two steps (Richardson)."""
    slopes = [(f(h) - f(-h)) / (2 * h) for h in (2e-3, 1e-3)]
    return (4 * slopes[1] - slopes[0]) / 3


def near(ours: Any, theirs: Any) -> None:
    assert np.abs(ours - theirs).max() <= 1e-8 * max(np.abs(theirs).max(), 1.0)


@pytest.mark.parametrize("eps", [1e-5, 0.8])
@pytest.mark.parametrize(("c", "F"), [(4, 4), (2, 6), (1, 5)])
def test_tangents_and_curvature_of_the_layer(c, F, eps):
    """In numbers: J U, and the gradients of <dY, J U> by gamma, beta and X."""
    net = network(mg.LayerNorm(c, eps=eps), in_features=F)
    X, U, dY, R = (normal(3, F, seed=k) for k in range(4))
    layer = net.bind(3).layers[0]
    start = net.parameters.data.copy()

    def tangent(at: np.ndarray) -> np.ndarray:
        layer.forward(at, train=True)
        out = np.full_like(at, np.nan)
        layer.tangent(U, out)
        return out

    near(tangent(X), differences(lambda h: layer.forward(X + h * U, train=True).copy()))
    bent = np.full_like(X, np.nan)
    tangent(X)
    layer.curvature(U, dY, bent)
    near((bent * R).sum(), differences(lambda h: (dY * tangent(X + h * R)).sum()))

    tangent(X)
    net.parameters.grad[:] = 0.0
    layer.tangent_gradients(U, dY)
    for k, d in enumerate(np.eye(start.size)):

        def moved(h: float, d: np.ndarray = d) -> float:
            net.parameters.data = start + h * d
            return float((dY * tangent(X)).sum())

        near(net.parameters.grad[k], differences(moved))


CRITICS: dict[str, Layers] = {
    "dense": (
        *(mg.Linear(4, 6), mg.LayerNorm(6, eps=0.3), mg.LeakyReLU(0.2), mg.Linear(6, 6)),
        *(mg.LayerNorm(3), mg.Tanh(), mg.Linear(6, 1)),
    ),
    "images": (
        *(mg.Conv2d(1, 3, 3, 1, 1, size=2), mg.LayerNorm(3), mg.ELU(), mg.Conv2d(3, 2, 2, size=2)),
        *(mg.LayerNorm(2), mg.LeakyReLU(0.2), mg.Linear(8, 1)),
    ),
    "first": (mg.LayerNorm(2, eps=0.1), mg.Linear(4, 1)),
    "one after the other": (mg.LayerNorm(4), mg.LayerNorm(2), mg.Sigmoid(), mg.Linear(4, 1)),
    "packs": (mg.Pack(2), mg.LayerNorm(16, eps=0.1), mg.Linear(16, 1)),
}


def gradient_of_a_penalty(net: mg.Sequential, X: np.ndarray, V: np.ndarray) -> np.ndarray:
    """Of <V, g> by the parameters, with g the input gradient."""
    second = SecondOrder(net, X.shape[-2])
    second.input_gradient(X)
    made = np.zeros_like(net.parameters.data)
    second.add_gradients(V, made)
    return made


def second_order_of(layers: Layers) -> None:
    net = network(*layers, in_features=4)
    X, V, d = normal(4, 4, seed=3), normal(4, 4, seed=4), normal(net.parameters.size, seed=5)
    ours = gradient_of_a_penalty(net, X, V) @ d
    start, second = net.parameters.data.copy(), SecondOrder(net, 4)

    def moved(h: float) -> float:
        net.parameters.data = start + h * d
        return float((V * second.input_gradient(X)).sum())

    near(ours, differences(moved))


@pytest.mark.parametrize("name", CRITICS)
def test_second_order_of_a_critic(name):
    second_order_of(CRITICS[name])


def test_second_order_of_a_population_is_that_of_its_members():
    layers = CRITICS["images"]
    together = mg.Sequential(*layers, seed=[3, 1], dtype="float64")
    X, V = normal(2, 3, 4), normal(2, 3, 4, seed=1)
    both = gradient_of_a_penalty(together, X, V)
    for k, seed in enumerate((3, 1)):
        alone = mg.Sequential(*layers, seed=seed, dtype="float64")
        np.testing.assert_allclose(
            both[k], gradient_of_a_penalty(alone, X[k], V[k]), rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize(("c", "size"), [(5, (1, 1)), (3, (2, 2))])
def test_second_order_against_pytorch(c, size):
    """PyTorch's double backward, through LayerNorm and through GroupNorm with one group."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    h, w = size
    F, smooth = c * h * w, mg.Tanh()
    net = network(mg.LayerNorm(c, eps=0.2), smooth, mg.Linear(F, 1), in_features=F)
    X, V = normal(4, F, seed=3), normal(4, F, seed=4)
    ours = gradient_of_a_penalty(net, X, V)
    gamma, beta, W, b = (
        torch.tensor(view, requires_grad=True) for view in net.parameters.named().values()
    )
    x = torch.tensor(X, requires_grad=True)
    if h == 1:
        n = torch.nn.functional.layer_norm(x, [c], gamma[0], beta[0], 0.2)
    else:
        images = x.reshape(4, h, w, c).permute(0, 3, 1, 2)
        n = torch.nn.functional.group_norm(images, 1, gamma[0], beta[0], 0.2)
        n = n.permute(0, 2, 3, 1).reshape(4, F)
    (g,) = torch.autograd.grad((torch.tanh(n) @ W + b).sum(), x, create_graph=True)
    theirs = torch.autograd.grad((g * torch.tensor(V)).sum(), [gamma, beta, W])
    right = np.concatenate([t.numpy().ravel() for t in theirs] + [np.zeros(1)])
    near(ours, right)


# -- in a game --------------------------------------------------------------------------------


def critic_gan(dtype: str = "float64", **options: Any) -> mg.GAN:
    """A Wasserstein GAN on images of 8 x 8 pixels with a gradient penalty."""
    G = mg.Sequential(
        *(mg.Linear(3, 8), mg.LayerNorm(2), mg.ReLU(), mg.ConvTranspose2d(2, 1, size=2)),
        *(mg.Upsample2d(1, 2, size=4), mg.Tanh()),
        name="g", dtype=dtype,
    )  # fmt: skip
    D = mg.Sequential(
        *(mg.Conv2d(1, 4, size=8), mg.LayerNorm(4), mg.LeakyReLU(0.2)),
        *(mg.Linear(64, 32), mg.LayerNorm(32), mg.LeakyReLU(0.2), mg.Linear(32, 1)),
        name="d", dtype=dtype,
    )  # fmt: skip
    options = {"loss": mg.Wasserstein(), "penalty": mg.GradientPenalty(10), **options}
    return mg.GAN(G, D, mg.Normal(dim=3), **options)


def test_a_captured_step_of_a_critic_is_the_step_to_the_bit():
    plain, captured = critic_gan("float32"), critic_gan("float32")
    captured.capture()
    for t in range(4):
        for gan in (plain, captured):
            gan.step(np.tanh(normal(6, 64, seed=t)).astype("float32"))
    assert captured.recording.replay is not None
    assert test_capture.same_state(plain, captured)
    assert plain.losses() == captured.losses()


@pytest.mark.parametrize("captured", [False, True])
def test_a_step_of_a_critic_allocates_nothing(captured):
    gan = critic_gan("float32")
    gan.bind(128)
    gan.capture(captured)
    data = mg.Samples(np.tanh(normal(256, 64)))
    assert test_gan.step_peak(gan, data, 128) < test_gan.BUDGET
    assert gan.discriminator.layers[1].output_shape((128, 64))[1] * 128 * 4 * 2 >= test_gan.BUDGET


def test_the_critic_that_batch_norm_is_refused_in():
    """The refusal names this layer, and with it in the same place the network is accepted."""
    with pytest.raises(mg.ConfigError, match=r"BatchNorm mixes .* use LayerNorm instead"):
        SecondOrder(mg.Sequential(mg.Linear(2, 4), mg.BatchNorm(4), mg.Linear(4, 1)), 3)
    SecondOrder(mg.Sequential(mg.Linear(2, 4), mg.LayerNorm(4), mg.Linear(4, 1)), 3)


# -- the classic mistakes ---------------------------------------------------------------------

Fault = tuple[object, str, Any]


def mean(A: np.ndarray) -> np.ndarray:
    return A.mean(axis=-1, keepdims=True)


def backward_of(formula: Callable[..., np.ndarray]) -> Fault:
    def backward(dY: Any, Y: Any, std: Any, out: Any) -> None:
        out[...] = formula(dY, Y, std)

    return ops, "normalise_rows_backward", backward


def forward_of(std_of: Callable[..., np.ndarray]) -> Fault:
    def forward(X: Any, eps: float, std: Any, out: Any) -> None:
        std[...] = std_of(X, eps)
        out[...] = (X - mean(X)) / std

    return ops, "normalise_rows", forward


def curvature_without(term: int) -> Fault:
    t, original = ops.normalise_rows_backward, ops.normalise_rows_curvature

    def curvature(dY: Any, U: Any, Y: Any, std: Any, out: Any) -> None:
        of_dY, of_U, whole = (np.empty_like(Y) for _ in range(3))
        t(dY, Y, std, of_dY)
        t(U, Y, std, of_U)
        original(dY, U, Y, std, whole)
        terms = mean(U * Y) * of_dY, mean(dY * Y) * of_U, mean(dY * of_U) * Y
        out[...] = whole + terms[term] / std

    return ops, "normalise_rows_curvature", curvature


def tangent_without_gamma() -> Fault:
    def tangent(self: Any, U: Any, out: Any) -> None:
        self.ops.normalise_rows_backward(U, self.normalised, self.std, out=out)

    return LayerNormPass, "tangent", tangent


def curvature_without_gamma() -> Fault:
    def curvature(self: Any, U: Any, dY: Any, out: Any) -> None:
        self.ops.normalise_rows_curvature(dY, U, self.normalised, self.std, out=out)

    return LayerNormPass, "curvature", curvature


def gamma_of_the_wrong_tangent() -> Fault:
    """dgamma = sum of dY U: the tangent that comes in, instead of that of n"""

    def tangent_gradients(self: Any, U: Any, dY: Any) -> None:
        self.ops.multiply(dY, U, out=self.terms)
        self.ops.sum_rows(self.terms, out=self.dgamma)

    return LayerNormPass, "tangent_gradients", tangent_gradients


def statistics_of_the_batch() -> Fault:
    def forward(X: Any, eps: float, std: Any, out: Any) -> None:
        std[...] = 1.0
        out[...] = (X - X.mean(-2, keepdims=True)) / np.sqrt(X.var(-2, keepdims=True) + eps)

    return ops, "normalise_rows", forward


def statistics_of_each_channel() -> Fault:
    """Instance normalisation: of the pixels of a channel, instead of all numbers of a row."""
    original = LayerNormPass.forward

    def forward(self: Any, X: Any, train: bool) -> Any:
        original(self, X, train)
        pixels = X.reshape(len(X), -1, self.gamma.shape[-1])
        std = np.sqrt(pixels.var(1, keepdims=True) + self.eps)
        self.normalised[...] = ((pixels - pixels.mean(1, keepdims=True)) / std).reshape(X.shape)
        self.ops.multiply_rows(self.normalised, self.gamma, out=self.Y)
        self.ops.add_rows(self.Y, self.beta, out=self.Y)
        return self.Y

    return LayerNormPass, "forward", forward


def gradients() -> None:
    """The library's own check."""
    assert mg.gradcheck(network(*CRITICS["dense"]), normal(4, 4)).ok


def second_order() -> None:
    second_order_of(CRITICS["dense"])


FAULTS: dict[str, tuple[Callable[[], Fault], Callable[[], None]]] = {
    "eps is forgotten": (lambda: forward_of(lambda X, eps: np.sqrt(X.var(-1)[:, None])),
                         test_rows_by_hand),
    "eps is added to the spread": (lambda: forward_of(lambda X, eps: X.std(-1)[:, None] + eps),
                                   test_rows_by_hand),
    "unbiased variance": (
        lambda: forward_of(lambda X, eps: np.sqrt(X.var(-1, ddof=1)[:, None] + eps)),
        test_rows_by_hand,
    ),
    "variance from squares": (
        lambda: forward_of(lambda X, eps: np.sqrt(abs(mean(X * X) - mean(X) ** 2 + eps))),
        test_a_row_far_from_zero_keeps_its_digits,
    ),
    "statistics of the batch": (
        statistics_of_the_batch, test_rows_are_independent_and_evaluation_is_training,
    ),
    "statistics of each channel": (statistics_of_each_channel, test_rows_by_hand),
    "the mean held constant": (
        lambda: backward_of(lambda dY, Y, std: (dY - Y * mean(dY * Y)) / std), gradients,
    ),
    "the variance held constant": (
        lambda: backward_of(lambda dY, Y, std: (dY - mean(dY)) / std), gradients,
    ),
    "the mean over the batch": (
        lambda: backward_of(lambda dY, Y, std: (dY - dY.mean(-2, keepdims=True) -
                                                Y * (dY * Y).mean(-2, keepdims=True)) / std),
        gradients,
    ),
    "tangent without gamma": (tangent_without_gamma, second_order),
    "gamma of the wrong tangent": (gamma_of_the_wrong_tangent, second_order),
    "curvature without gamma": (curvature_without_gamma, second_order),
    "curvature without its first term": (lambda: curvature_without(0), second_order),
    "curvature without its second term": (lambda: curvature_without(1), second_order),
    "curvature without its third term": (lambda: curvature_without(2), second_order),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_caught(name, monkeypatch):
    fault, check = FAULTS[name]
    check()
    monkeypatch.setattr(*fault())
    with pytest.raises(AssertionError):
        check()
