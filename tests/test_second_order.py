"""The gradient of a gradient, by hand: against differences, in each layer and each penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan.backend import Stream, get_backend
from minigan.backend import numpy as ops
from minigan.backend.numpy import matmul
from minigan.config import CLASSES
from minigan.gan.penalties import DiscriminatorUpdate, SlopePass
from minigan.nn.differences import Differences, Evaluation
from minigan.nn.layers.activations import ELUPass
from minigan.nn.second_order import SecondOrder

TOLERANCE = 1e-8  # relative to the largest entry of a gradient
N = 8  # samples; four packs of two

Layers = tuple[mg.Layer, ...]

#: Layers that can be anywhere in a network, by the name of a test.
ANYWHERE: dict[str, mg.Layer] = {
    "ReLU": mg.ReLU(),
    "LeakyReLU": mg.LeakyReLU(0.2),
    "ELU": mg.ELU(),
    "ELU 0.4": mg.ELU(0.4),
    "ELU 2.5": mg.ELU(2.5),
    "Sigmoid": mg.Sigmoid(),
    "Tanh": mg.Tanh(),
    "Dropout": mg.Dropout(0.3),
}


def dense(layer: mg.Layer) -> Layers:
    return mg.Linear(3, 5), layer, mg.Tanh(), mg.Linear(5, 4, bias=False), layer, mg.Linear(4, 1)


def convolutional(layer: mg.Layer) -> Layers:
    """Images of 4 x 4 pixels, then of 2 x 2 with two channels."""
    first = mg.Conv2d(1, 2, 3, 2, 1, size=4), layer, mg.Tanh()
    return *first, mg.Conv2d(2, 3, 2, 1, 0, size=2), layer, mg.Linear(3, 1)


NETS: dict[str, Layers] = {
    "Linear": (mg.Linear(3, 4), mg.Linear(4, 1)),
    "Linear alone": (mg.Linear(3, 1),),
    **{f"{name}, dense": dense(layer) for name, layer in ANYWHERE.items()},
    **{f"{name}, convolutional": convolutional(layer) for name, layer in ANYWHERE.items()},
    "LayerNorm": (
        *(mg.Linear(3, 6), mg.LayerNorm(6), mg.Tanh(), mg.Linear(6, 4), mg.LayerNorm(2)),
        *(mg.LeakyReLU(0.2), mg.Linear(4, 1)),
    ),
    "LayerNorm, convolutional": (
        *(mg.Conv2d(1, 2, 3, 2, 1, size=4), mg.LayerNorm(2), mg.ELU()),
        *(mg.Conv2d(2, 3, 2, 1, 0, size=2), mg.LayerNorm(3), mg.Linear(3, 1)),
    ),
    "Sigmoid last": (mg.Linear(3, 4), mg.Tanh(), mg.Linear(4, 1), mg.Sigmoid()),
    "Tanh first": (mg.Tanh(), mg.Linear(3, 4), mg.ELU(), mg.Linear(4, 1)),
    "Pack": (mg.Pack(2), mg.Linear(12, 5), mg.LeakyReLU(0.2), mg.Linear(5, 1)),
    "Pack, smooth": (mg.Pack(2), mg.Linear(12, 5), mg.Tanh(), mg.Linear(5, 1)),
    "Pack without deviations": (
        *(mg.Pack(2, deviations=False), mg.Linear(6, 5), mg.ELU(), mg.Linear(5, 1)),
    ),
    "Pack later": (mg.Linear(3, 2), mg.Pack(2), mg.Linear(8, 3), mg.ReLU(), mg.Linear(3, 1)),
    "Pack later, smooth": (
        *(mg.Linear(3, 2), mg.Tanh(), mg.Pack(2), mg.Linear(8, 3), mg.Sigmoid(), mg.Linear(3, 1)),
    ),
    "Pack later, without deviations": (
        *(mg.Linear(3, 2), mg.Tanh(), mg.Pack(2, deviations=False)),
        *(mg.Linear(4, 3), mg.Tanh(), mg.Linear(3, 1)),
    ),
    "Pack of packs": (
        *(mg.Pack(2), mg.Linear(12, 2), mg.Tanh(), mg.Pack(2), mg.Linear(8, 1)),
    ),
    "ConvTranspose2d": (
        *(mg.Conv2d(1, 2, 3, 2, 1, size=4), mg.ELU(), mg.ConvTranspose2d(2, 1, 3, 2, 1, size=2)),
        *(mg.Tanh(), mg.Linear(9, 1)),
    ),
    "ConvTranspose2d first": (
        *(mg.ConvTranspose2d(2, 1, 3, 2, 1, output_padding=1, size=2), mg.Sigmoid()),
        mg.Linear(16, 1),
    ),
    "Upsample2d": (
        *(mg.Upsample2d(1, (2, 1), size=2), mg.Conv2d(1, 2, 3, 2, 1, size=(4, 2)), mg.Tanh()),
        *(mg.Upsample2d(2, 2, size=(2, 1)), mg.Linear(16, 1)),
    ),
    "AppendCondition": (
        *(mg.AppendCondition(3, 2), mg.Linear(5, 4), mg.Tanh(), mg.AppendCondition(4, 2)),
        *(mg.LeakyReLU(0.2), mg.Linear(6, 1)),
    ),
    "AppendChannels": (
        *(mg.Conv2d(1, 2, 3, 2, 1, size=4), mg.Tanh(), mg.AppendChannels(2, 3, size=2)),
        *(mg.Conv2d(5, 3, 2, 1, 0, size=2), mg.ELU(), mg.Linear(3, 1)),
    ),
    "Embedding": (
        *(mg.Embedding(3, 2, 3), mg.Linear(6, 4), mg.Tanh(), mg.Embedding(4, 2, 1)),
        *(mg.Linear(5, 4), mg.Sigmoid(), mg.Linear(4, 1)),
    ),
    "Projection": (mg.Linear(3, 4), mg.Tanh(), mg.Projection(4, 2)),
    "Projection, smooth": (
        *(mg.Linear(3, 4), mg.Tanh(), mg.Projection(4, 2), mg.Tanh(), mg.Linear(1, 1)),
    ),
    "Projection alone": (mg.Projection(3, 2),),
    "Embedding, packs": (
        *(mg.Embedding(3, 2, 1), mg.Linear(4, 4), mg.ELU(), mg.Pack(2), mg.Linear(16, 1)),
    ),
}  # fmt: skip

PENALTIES: dict[str, mg.Penalty] = {
    "two-sided": mg.GradientPenalty(10.0),
    "one-sided": mg.GradientPenalty(10.0, one_sided=True),
    "R1": mg.R1(3.0),
}


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def slopes(second: SecondOrder, X: np.ndarray) -> np.ndarray:
    """The norm of D's input gradient, by the first backward: (P,)"""
    packs = second.dY.shape[-2]
    return np.linalg.norm(second.input_gradient(X).reshape(packs, -1), axis=-1)


def value(penalty: mg.Penalty, norms: np.ndarray) -> float:
    """The published formula, of the norms (P,)."""
    if isinstance(penalty, mg.R1):
        return penalty.gamma / 2 * float(np.mean(norms**2))
    over = np.maximum(norms - 1, 0) if penalty.one_sided else norms - 1
    return penalty.weight * float(np.mean(over**2))


def network(layers: Layers, seed: Any = 1, dtype: str = "float64") -> mg.Sequential:
    """A critic whose slopes lie on both sides of 1."""
    features = getattr(layers[0], "in_features", 3)
    net = mg.Sequential(*layers, in_features=features, seed=seed, dtype=dtype)
    last = isinstance(layers[-1], (mg.Linear, mg.Projection))
    net.parameters.data = (0.6 if last else 2.0) * normal(*net.parameters.data.shape, seed=2)
    if last and not net.population:
        twin = net.astype("float64")  # whose masks are drawn from streams of its own
        norms = slopes(SecondOrder(twin, N, condition(net)), normal(N, features, seed=3))
        net.parameters.named()[f"{len(layers) - 1}.weight"][:] /= 0.9 * np.median(norms[norms > 0])
    return net


def condition(net: mg.Sequential) -> np.ndarray | None:
    """Of each sample, (N, condition features); None if the network reads none."""
    k = net.condition_features
    return normal(*net.population, N, k, seed=7).astype(net.dtype) if k else None


def samples(net: mg.Sequential) -> list[np.ndarray]:
    """Real and generated ones (N, features)."""
    shape = (*net.population, N, net.in_features)
    return [normal(*shape, seed=s).astype(net.dtype) for s in (3, 4)]


def bound(penalty: mg.Penalty, net: mg.Sequential, *given: np.ndarray, C: Any = None) -> SlopePass:
    """The penalty of a net's update, of the given samples or others, with the condition C."""
    real, fake = given or samples(net)
    rows = (*net.population, N // net.rows_multiple, 1)
    outputs = [np.zeros(rows, net.dtype) for _ in range(4)]
    C = condition(net) if C is None else C
    update = DiscriminatorUpdate(net, real, fake, *outputs, Stream(net.seed, "alpha"), C)
    made = penalty.bind(update)
    assert isinstance(made, SlopePass)
    return made


def added(penalty: mg.Penalty, net: mg.Sequential) -> tuple[np.ndarray, SlopePass]:
    """The gradient that a penalty adds to D's, and the bound penalty after that."""
    made = bound(penalty, net)
    start = normal(*net.parameters.grad.shape, seed=9).astype(net.dtype)
    net.parameters.grad = start
    made.add_to_gradients()
    return net.parameters.grad - start, made


def by_differences(penalty: mg.Penalty, net: mg.Sequential, made: SlopePass) -> np.ndarray:
    """The same gradient from values of the penalty, whose slopes are those of the first backward.

    Masks, detached means and the points between the samples are those of `made`.
    """
    second, packs = made.second, (N // net.rows_multiple, -1)
    X, fake = samples(net)
    if isinstance(penalty, mg.GradientPenalty):
        alpha = made.alpha
        X = (alpha * X.reshape(packs) + (1 - alpha) * fake.reshape(packs)).reshape(X.shape)
    second.bound.hold(True)

    def loss() -> Evaluation:
        norms = slopes(second, X)
        kinks = [k for k in (layer.kinks() for layer in second.layers) if k is not None]
        sides = [np.sign(k).tobytes() for k in (*kinks, norms - 1)]
        found = value(penalty, norms)
        return Evaluation(found, found, tuple(sides))

    made_by = Differences(get_backend("cpu"), loss)
    numeric = np.empty(net.parameters.data.shape)
    for place, _, derivative in made_by.entries("data", net.parameters.data):
        numeric[place] = derivative
    return numeric


#: All layers of minigan, but the one that is refused because it mixes samples.
KINDS = {cls for cls in CLASSES["layer"].values() if cls.__module__.startswith("minigan.")}
KINDS -= {mg.BatchNorm}


def test_every_layer_is_here():
    assert {type(layer) for layers in NETS.values() for layer in layers} == KINDS


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("layers", NETS)
def test_the_gradient_of_a_penalty_is_that_of_differences(layers, penalty):
    net = network(NETS[layers])
    given, made = added(PENALTIES[penalty], net)
    right = by_differences(PENALTIES[penalty], net, made)
    assert np.abs(right).max() > 1e-3
    assert np.abs(given - right).max() <= TOLERANCE * np.abs(right).max()


@pytest.mark.parametrize("layers", ["AppendCondition", "AppendChannels", "Embedding", "Projection"])
def test_a_slope_is_that_with_the_condition_of_the_samples(layers):
    net = network(NETS[layers])
    (real, _), C = samples(net), condition(net)
    plain = net.bind(N, condition=C)
    plain.forward(real)
    right = plain.backward(np.ones((N, 1)))
    np.testing.assert_array_equal(SecondOrder(net, N, C).input_gradient(real), right)
    made = bound(mg.R1(3.0, N // 2), net)
    made.slopes(real[: N // 2])
    np.testing.assert_allclose(made.norms[:, 0], np.linalg.norm(right, axis=1)[: N // 2])


@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_values_are_those_of_the_formula(penalty):
    """Of the slopes that the latest update has found."""
    net = network(NETS["Pack"])
    _, made = added(PENALTIES[penalty], net)
    norms = np.linalg.norm(made.second.bound.layers[0].dX.reshape(4, -1), axis=-1)  # (P,)
    out = np.empty((1, 2))
    made.values([kept.reshape(1, -1) for kept in made.keeps], out)
    np.testing.assert_allclose(out[0], [value(PENALTIES[penalty], norms), norms.mean()], rtol=1e-12)


def test_one_point_lies_between_each_pair():
    """x = alpha real + (1 - alpha) fake, with one alpha for each pack, uniform in [0, 1)."""
    net = network(NETS["Pack"])
    shares = []
    made = bound(mg.GradientPenalty(), net)
    for _ in range(100):
        made.add_to_gradients()
        share = ((made.X - made.fake) / (made.real - made.fake)).reshape(N // 2, -1)  # (P, m F)
        np.testing.assert_allclose(share, np.broadcast_to(share[:, :1], share.shape), rtol=1e-8)
        assert len({*share[:, 0]}) == N // 2
        shares.append(share[:, 0])
    shares = np.sort(np.ravel(shares))
    assert shares[0] >= 0.0
    assert shares[-1] < 1.0
    expected = (np.arange(shares.size) + 0.5) / shares.size  # of a uniform distribution
    assert np.abs(shares - expected).max() < 0.1


def test_r1_is_a_penalty_of_the_real_samples_alone():
    net = network(NETS["Tanh, dense"])
    right, _ = added(mg.R1(), net)
    made = bound(mg.R1(), net, samples(net)[0], np.full((N, 3), np.nan))
    net.parameters.grad[:] = 0.0
    made.add_to_gradients()
    np.testing.assert_allclose(net.parameters.grad, right, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("layers", ["LeakyReLU, dense", "Pack"])
def test_r1_of_some_samples_is_that_of_a_smaller_batch(layers):
    """Those after them make no difference."""
    net = network(NETS[layers])
    real, fake = samples(net)
    some = N // 2
    gradients = []
    for penalty, given in ((mg.R1(3.0), real[:some]), (mg.R1(3.0, some), real)):
        net.parameters.grad[:] = 0.0
        made = bound(penalty, net, given, fake)
        made.add_to_gradients()
        gradients.append(net.parameters.grad.copy())
        assert made.norms.shape == (some // net.rows_multiple, 1)
    assert np.abs(gradients[0]).max() > 1e-3
    assert np.array_equal(*gradients)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_slope_of_zero_has_a_finite_gradient(penalty, dtype):
    """The norm has no derivative there. Its gradient counts as 0, as with the ReLU's at 0."""
    net = network(NETS["LeakyReLU, dense"], dtype=dtype)
    net.parameters.named()["5.weight"][:] = 0.0  # D is constant
    made = bound(PENALTIES[penalty], net)
    net.parameters.grad[:] = 0.0
    made.add_to_gradients()
    assert (made.norms == 0.0).all()
    assert (made.V == 0.0).all()
    assert (net.parameters.grad == 0.0).all()


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize(
    "layers",
    ["Sigmoid, convolutional", "Pack later, smooth", "Dropout, dense", "AppendChannels"],
)
def test_a_population_is_its_members(layers, penalty):
    together = network(NETS[layers], seed=[5, 2])
    given, _ = added(PENALTIES[penalty], together)
    for k, seed in enumerate((5, 2)):
        alone = network(NETS[layers], seed=seed)
        alone.parameters.data = together.parameters.data[k]
        alone.parameters.grad[:] = 0.0
        C = condition(together)
        of_member = [one if one is None else one[k] for one in (*samples(together), C)]
        bound(PENALTIES[penalty], alone, *of_member[:2], C=of_member[2]).add_to_gradients()
        np.testing.assert_allclose(given[k], alone.parameters.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("layer", "products"), [(mg.LeakyReLU(0.2), 11), (mg.ReLU(), 11), (mg.Tanh(), 14)]
)
def test_straight_layers_need_no_second_sweep(layer, products, monkeypatch):
    """Three Linear layers: 3 products forward, 3 back, 2 for tangents, 3 for gradients.

    The second sweep of a curved net takes dW of two layers, and dX of one.
    """
    made = bound(
        mg.R1(),
        network((mg.Linear(3, 5), layer, mg.Linear(5, 4), layer, mg.Linear(4, 1))),
    )
    calls = []
    monkeypatch.setattr(ops, "matmul", lambda *a, **k: calls.append(1) or matmul(*a, **k))
    made.add_to_gradients()
    assert len(calls) == products


# -- the second derivative is symmetric -----------------------------------------------------


def forms(layers: Layers) -> np.ndarray:
    """u . H v for two directions, all four ways (2, 2).

    D(x) = f(x W + b), so the gradient of <v, grad D> by b is H W^T v, with H the sum of f's
    Hessians over the samples, if all of them have the direction v.
    """
    net = network((mg.Linear(16, 16), *layers))
    second = SecondOrder(net, N, condition(net))
    X = normal(N, 16, seed=3)
    second.input_gradient(X)
    second.bound.hold(True)
    W, directions = net.parameters.named()["0.weight"], normal(2, 16, seed=5)
    found = np.empty((2, 2))
    for j, v in enumerate(directions):
        grad = np.zeros_like(net.parameters.grad)
        second.input_gradient(X)
        second.add_gradients(np.tile(v, (N, 1)), out=grad)
        Hv = net.parameters.views(grad)["0.bias"][0]
        found[:, j] = directions @ W @ Hv
    return found


SYMMETRIC: dict[str, Layers] = {
    "dense": (
        *(mg.ELU(0.7), mg.Linear(16, 5), mg.Tanh(), mg.Dropout(0.3), mg.Linear(5, 4)),
        *(mg.Sigmoid(), mg.Linear(4, 1)),
    ),
    "convolutional": (
        *(mg.Tanh(), mg.Conv2d(1, 2, 3, 2, 1, size=4), mg.Sigmoid(), mg.Upsample2d(2, size=2)),
        *(mg.Conv2d(2, 2, 3, 1, 1, size=4), mg.ELU(), mg.ConvTranspose2d(2, 1, 3, 2, 1, size=4)),
        *(mg.Tanh(), mg.Linear(49, 1)),
    ),
    "packs": (mg.Tanh(), mg.Pack(2), mg.Linear(64, 4), mg.Tanh(), mg.Linear(4, 1)),
    "condition": (
        *(mg.AppendChannels(4, 3, size=2), mg.Conv2d(7, 3, 2, 1, 0, size=2), mg.Tanh()),
        *(mg.Embedding(3, 3, 2), mg.Linear(5, 4), mg.Sigmoid(), mg.Projection(4, 3), mg.Tanh()),
        mg.Linear(1, 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("layers", SYMMETRIC)
def test_the_second_derivative_is_symmetric(layers):
    """u . H v = v . H u: what goes forward as u comes back as v, through the same slopes."""
    found = forms(SYMMETRIC[layers])
    assert np.abs(found).min() > 1e-3
    assert abs(found[0, 1] - found[1, 0]) <= 1e-10 * np.abs(found).max()


# -- what is refused ------------------------------------------------------------------------


class NoTangentPass(mg.LayerPass):
    def forward(self, X: Any, train: bool) -> Any:
        np.multiply(X, 2.0, out=self.Y)
        return self.Y

    def backward(self, dY: Any, *, parameter_grads: bool = True, input_grad: bool = True) -> Any:
        np.multiply(dY, 2.0, out=self.dX)
        return self.dX


class InheritedPass(ELUPass):
    """It computes something else, for which ELU's tangent is wrong."""

    def apply(self, X: Any, out: Any) -> None:
        self.ops.tanh(X, out=out)

    def apply_backward(self, dY: Any, Y: Any, out: Any) -> None:
        self.ops.tanh_backward(dY, Y, out=out)


@dataclass(frozen=True)
class Doubled(mg.Layer):
    def bind(self, binding: Any) -> mg.LayerPass:
        return NoTangentPass(binding)


@dataclass(frozen=True)
class Overridden(mg.ELU):
    def bind(self, binding: Any) -> mg.LayerPass:
        return InheritedPass(self, binding)


REFUSED = {
    "BatchNorm mixes the samples of a batch.* use LayerNorm": mg.BatchNorm(5),
    "Doubled has no tangent": Doubled(),
    "Overridden has no tangent": Overridden(),
}


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("sentence", REFUSED)
def test_a_layer_without_second_order_is_refused_when_the_game_is_made(sentence, penalty):
    G = mg.Sequential(mg.Linear(2, 3), name="g")
    D = mg.Sequential(mg.Linear(3, 5), REFUSED[sentence], mg.Linear(5, 1), name="d")
    with pytest.raises(mg.ConfigError, match=sentence):
        mg.GAN(G, D, mg.Normal(dim=2), penalty=PENALTIES[penalty])
    with pytest.raises(mg.ConfigError, match=sentence):
        SecondOrder(D, N)
    mg.GAN(G, D, mg.Normal(dim=2), penalty=mg.Drift())  # which needs no input gradient


def test_an_input_gradient_is_that_of_one_output():
    D = mg.Sequential(mg.Linear(3, 2))
    with pytest.raises(mg.ConfigError, match="needs one output, and the network has 2"):
        SecondOrder(D, N)
    G = mg.Sequential(mg.Linear(2, 3), name="g")
    with pytest.raises(mg.ShapeError, match="the discriminator must end in 1 feature, not 2"):
        mg.GAN(G, D, mg.Normal(dim=2), penalty=mg.R1())
