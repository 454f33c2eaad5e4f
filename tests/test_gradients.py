"""Every backward pass, proved: property tests over shapes, inputs and whole networks.

The law, in `minigan.gradcheck`:  dT . u = d/dh L(T + h u)  for every tensor T.
Smooth ops must hold it to 1e-7, ops with kinks and whole networks to 1e-6, in float64.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

import minigan as mg
from minigan.nn import LayerPass

sizes = st.integers(1, 8)
seeds = st.integers(0, 10_000)
scales = st.sampled_from([0.1, 1.0, 3.0])


def normal(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape) * scale


def check(net: mg.Sequential, X: np.ndarray, tolerance: float, **options) -> mg.GradcheckReport:
    try:
        report = mg.gradcheck(net, X, tolerance=tolerance, **options)
    except mg.DataError:  # the random point sits on a kink
        reject()
    assert report.ok, f"\n{report}"
    return report


@given(B=sizes, I=sizes, O=sizes, seed=seeds, scale=scales, bias=st.booleans())
def test_linear(B, I, O, seed, scale, bias):  # noqa: E741
    check(
        mg.Sequential(mg.Linear(I, O, bias=bias), seed=seed), normal(seed, B, I, scale=scale), 1e-7
    )


SMOOTH = {"Sigmoid": mg.Sigmoid(), "Tanh": mg.Tanh(), "Dropout": mg.Dropout(0.4)}
KINKED = {
    "ReLU": mg.ReLU(),
    "LeakyReLU": mg.LeakyReLU(0.2),
    "ELU": mg.ELU(),
    "ELU alpha": mg.ELU(1.7),
}


@pytest.mark.parametrize("name", SMOOTH)
@given(B=sizes, F=sizes, seed=seeds, scale=scales)
def test_smooth_layers(name, B, F, seed, scale):
    net = mg.Sequential(SMOOTH[name], in_features=F, seed=seed)
    check(net, normal(seed, B, F, scale=scale), 1e-7)


@pytest.mark.parametrize("name", KINKED)
@given(B=sizes, F=sizes, seed=seeds, scale=scales)
def test_kinked_layers(name, B, F, seed, scale):
    net = mg.Sequential(KINKED[name], in_features=F, seed=seed)
    check(net, normal(seed, B, F, scale=scale), 1e-6)


@given(packs=st.integers(1, 4), m=sizes, F=st.integers(1, 4), seed=seeds, deviations=st.booleans())
def test_pack(packs, m, F, seed, deviations):
    net = mg.Sequential(mg.Pack(m, deviations=deviations), in_features=F, seed=seed)
    check(net, normal(seed, packs * m, F), 1e-7)


few = st.integers(1, 3)
pairs = st.one_of(few, st.tuples(few, few))


@st.composite
def convolutions(draw) -> mg.Layer:
    kind = draw(st.sampled_from([mg.Conv2d, mg.ConvTranspose2d]))
    c, o, kernel, stride, size = (draw(one) for one in (few, few, pairs, pairs, pairs))
    options = {"bias": draw(st.booleans())}
    if kind is mg.ConvTranspose2d:
        options["output_padding"] = draw(st.integers(0, 2))
    try:
        return kind(c, o, kernel, stride, draw(st.integers(0, 2)), size, **options)
    except mg.ConfigError:  # the kernel does not fit
        reject()


@settings(max_examples=60)
@given(layer=convolutions(), B=st.integers(1, 2), seed=seeds)
def test_convolutions(layer, B, seed):
    check(mg.Sequential(layer, seed=seed), normal(seed, B, layer.in_features), 1e-7)


@settings(max_examples=100)
@given(B=st.integers(2, 6), c=few, n=few, seed=seeds, scale=scales, train=st.booleans())
def test_batch_norm(B, c, n, seed, scale, train):
    """Of rows of features (n = 1) and of pixels."""
    net = mg.Sequential(mg.BatchNorm(c, eps=0.1), seed=seed, in_features=n * c)
    net.buffers.data = np.random.default_rng(seed).uniform(0.5, 2.0, net.buffers.data.shape)
    net.parameters.data = normal(seed, *net.parameters.data.shape)
    check(net, normal(seed, B, n * c, scale=scale), 1e-7, train=train)


@settings(max_examples=100)
@given(B=few, c=few, n=st.integers(1, 4), seed=seeds, scale=scales)
def test_layer_norm(B, c, n, seed, scale):
    """Of rows of features (n = 1) and of pixels."""
    assume(n * c > 1)
    net = mg.Sequential(mg.LayerNorm(c, eps=0.1), seed=seed, in_features=n * c)
    net.parameters.data = normal(seed, *net.parameters.data.shape)
    check(net, normal(seed, B, n * c, scale=scale), 1e-7)


@settings(max_examples=50)
@given(c=few, factor=pairs, size=pairs, B=few, seed=seeds)
def test_upsampling(c, factor, size, B, seed):
    layer = mg.Upsample2d(c, factor, size)
    check(mg.Sequential(layer, seed=seed), normal(seed, B, layer.in_features), 1e-7)


CONDITIONED = {
    "AppendCondition": lambda F, k, n: mg.AppendCondition(F, k),
    "AppendChannels": lambda F, k, n: mg.AppendChannels(F, k, n),
    "Embedding": lambda F, k, n: mg.Embedding(F, k, n),
    "Projection": lambda F, k, n: mg.Projection(F, k),
}


@pytest.mark.parametrize("name", CONDITIONED)
@settings(max_examples=30)
@given(B=sizes, F=few, k=sizes, n=few, seed=seeds, one_hot=st.booleans())
def test_layers_that_read_a_condition(name, B, F, k, n, seed, one_hot):
    rng = np.random.default_rng(seed)
    C = np.eye(k)[rng.integers(k, size=B)] if one_hot else rng.normal(size=(B, k))
    net = mg.Sequential(CONDITIONED[name](F, k, n), seed=seed)
    check(net, normal(seed, B, net.in_features), 1e-7, condition=C)


LOSSES = {
    "bce": lambda Y, t: mg.bce(Y, t),
    "bce_with_logits": lambda Y, t: mg.bce_with_logits(Y, t),
    "mean_squared_error": lambda Y, t: mg.mean_squared_error(Y, t),
}


@pytest.mark.parametrize("name", LOSSES)
@given(B=sizes, F=sizes, seed=seeds, smooth=st.booleans())
def test_losses(name, B, F, seed, smooth):
    rng = np.random.default_rng(seed)
    targets = 0.95 if smooth else rng.uniform(size=(B, F))
    Y = rng.uniform(0.1, 0.9, size=(B, F)) if name == "bce" else rng.normal(size=(B, F)) * 3
    report = mg.gradcheck_function(lambda Y: LOSSES[name](Y, targets), Y, tolerance=1e-7)
    assert report.ok, f"\n{report}"


@given(B=sizes, K=sizes, seed=seeds)
def test_softmax_cross_entropy(B, K, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, K, size=B)
    logits = rng.normal(size=(B, K)) * 3
    report = mg.gradcheck_function(
        lambda Y: mg.softmax_cross_entropy(Y, labels), logits, tolerance=1e-7
    )
    assert report.ok, f"\n{report}"


@st.composite
def networks(draw) -> tuple[mg.Sequential, np.ndarray, int]:
    """A random network of one to three Linears or convolutions, with anything between.

    Returns:
        The network, an input for it, and its seed.
    """
    seed = draw(seeds)
    packs = draw(st.integers(1, 3))
    m = draw(st.sampled_from([1, 1, 2, 4]))
    features = draw(sizes)
    layers: list[mg.Layer] = []
    width = features
    if m > 1:
        deviations = draw(st.booleans())
        layers.append(mg.Pack(m, deviations=deviations))
        width = m * features * (2 if deviations else 1)
    between = st.sampled_from([*SMOOTH.values(), *KINKED.values()])
    layers += draw(st.lists(between, max_size=2))  # before any Linear, right behind Pack too
    image = (1, width, 1)  # that a convolution takes
    for i in range(draw(st.integers(1, 3))):
        new = draw(sizes)
        packed = m > 1 and i == 0  # which no convolution takes
        if packed or draw(st.booleans()):
            layers.append(mg.Linear(width, new, bias=draw(st.booleans())))
            image = (1, new, 1)
        else:
            h, w, c = image
            layers.append(mg.Conv2d(c, new, (1, 2), (1, 2), (0, 1), (h, w)))
            image = layers[-1].output_image
            new = image.features
        layers += draw(st.lists(between, max_size=3))
        width = new
    net = mg.Sequential(*layers, seed=seed, in_features=features)
    return net, normal(seed, packs * m, features), seed


@given(networks())
def test_random_networks(case):
    net, X, seed = case
    check(net, X, 1e-6, directions=3, seed=seed)


@given(networks(), st.data())
def test_some_rows_of_a_random_network(case, data):
    """A part's gradients are those of the whole, if no other row says anything."""
    net, X, seed = case
    net = net.astype("float64")
    unit = net.rows_multiple
    packs = len(X) // unit
    start = data.draw(st.integers(0, packs - 1))
    stop = data.draw(st.integers(start + 1, packs))
    whole = net.bind(len(X))
    part = whole.part(start * unit, stop * unit)
    Y = whole.forward(X)
    dY = normal(seed + 1, *Y.shape)
    masked = np.zeros_like(dY)
    masked[start:stop] = dY[start:stop]
    dX, grad = whole.backward(masked).copy(), net.parameters.grad.copy()
    net.parameters.grad = np.full_like(grad, np.nan)
    back = part.backward(dY[start:stop])
    np.testing.assert_allclose(back, dX[start * unit : stop * unit], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(net.parameters.grad, grad, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(part.Y, Y[start:stop])


def smallest_slope(bound) -> float:
    """The smallest derivative among the saturating units of a pass."""
    slopes = [1.0]
    for layer, one in zip(bound.net.layers, bound.layers, strict=True):
        if isinstance(layer, mg.Tanh):
            slopes.append((1 - one.Y**2).min())
        elif isinstance(layer, mg.Sigmoid):
            slopes.append((one.Y * (1 - one.Y)).min())
        elif isinstance(layer, mg.ELU):
            slopes.append((np.minimum(one.Y, 0) + layer.alpha).min() / layer.alpha)
    return float(min(slopes))


@given(networks())
def test_float32_gradients_against_float64(case):
    net32, X, seed = case
    net64 = net32.astype("float64")
    X32 = X.astype("float32")
    grads = []
    for net, x in ((net32, X32), (net64, X32.astype("float64"))):
        bound = net.bind(len(x))
        Y = bound.forward(x, train=True)
        R = normal(seed + 1, *Y.shape).astype(net.dtype)
        dX = bound.backward(R)
        sides = [np.sign(k) for k in (p.kinks() for p in bound.layers) if k is not None]
        grads.append((np.concatenate([dX.ravel(), net.parameters.grad.ravel()]), sides))
    (g32, sides32), (g64, sides64) = grads
    if any((a != b).any() for a, b in zip(sides32, sides64, strict=True)):
        reject()  # a unit within rounding of its kink
    if smallest_slope(bound) < 2e-3:
        reject()  # float32 knows Y to 6e-8, so the slope 1 - Y^2 of a saturated unit only to 3e-5
    size = np.linalg.norm(g64)
    assert np.linalg.norm(g32 - g64) <= 1e-4 * size + 1e-30


def test_report_reads_as_a_table_and_names_the_place():
    net = mg.Sequential(mg.Linear(3, 4), mg.ReLU(), mg.Linear(4, 30), mg.Tanh(), seed=0)
    report = mg.gradcheck(net, normal(0, 5, 3))
    assert report.ok
    assert [row.name for row in report.rows] == ["X", "0.weight", "0.bias", "2.weight", "2.bias"]
    assert report.rows[3].how == "8 directions"
    text = str(report)
    assert "max rel. error" in text
    assert "passed" in text
    assert report.max_relative_error == max(row.max_relative_error for row in report.rows)


def test_a_wrong_element_of_a_large_tensor_is_found(monkeypatch):
    from minigan.nn.layers.linear import LinearPass

    right = LinearPass.backward

    def wrong(self, dY, **options):
        dX = right(self, dY, **options)
        self.dweight[7, 11] *= 1.01
        return dX

    monkeypatch.setattr(LinearPass, "backward", wrong)
    report = mg.gradcheck(mg.Sequential(mg.Linear(20, 30), seed=0), normal(1, 9, 20))
    assert not report.ok
    bad = [row for row in report.rows if not row.ok]
    assert [(row.name, row.where) for row in bad] == [("0.weight", "[7, 11]")]
    assert "WRONG" in str(report)


def test_kinks_are_avoided_or_said():
    net = mg.Sequential(mg.ReLU(), in_features=2)
    assert mg.gradcheck(net, np.array([[3e-4, 1.0]])).kinks_avoided > 0
    with pytest.raises(mg.DataError, match="kink"):
        mg.gradcheck(net, np.array([[0.0, 1.0]]))


def test_gradcheck_leaves_the_network_alone():
    net = mg.Sequential(mg.Linear(2, 3), mg.Dropout(0.5), mg.Linear(3, 1), seed=0)
    net.parameters.grad[:] = 7.0
    before = net.parameters.data.copy()
    positions = [stream.position for stream in net.streams]
    mg.gradcheck(net, normal(0, 4, 2))
    np.testing.assert_array_equal(net.parameters.data, before)
    assert (net.parameters.grad == 7.0).all()
    assert [stream.position for stream in net.streams] == positions


def test_gradcheck_refuses_what_it_cannot_judge():
    net = mg.Sequential(mg.Linear(2, 3), seed=[0, 1])
    with pytest.raises(mg.ConfigError, match="population"):
        mg.gradcheck(net, normal(0, 4, 2))
    with pytest.raises(mg.DataError, match="NaN"):
        mg.gradcheck(mg.Sequential(mg.Linear(2, 3)), np.array([[np.nan, 0.0]]))


def test_a_gradient_that_is_no_number_is_reported_where_it_is(monkeypatch):
    from minigan.nn.layers.linear import LinearPass

    right = LinearPass.backward
    for size, place in (((3, 4), (1, 2)), ((20, 30), (7, 11))):

        def wrong(self, dY, place=place, **options):
            dX = right(self, dY, **options)
            self.dweight[place] = np.nan
            return dX

        with monkeypatch.context() as patch:
            patch.setattr(LinearPass, "backward", wrong)
            report = mg.gradcheck(mg.Sequential(mg.Linear(*size), seed=0), normal(1, 9, size[0]))
        bad = [row for row in report.rows if not row.ok]
        assert [(row.name, row.where) for row in bad] == [("0.weight", str(list(place)))]
        assert report.max_relative_error == np.inf
        assert not report.ok


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_a_wrong_gradient_is_noticed_whatever_the_size_of_the_loss(scale):
    X = normal(0, 3, 2)
    right = mg.gradcheck_function(lambda X: (scale * (X**2).sum(), scale * 2 * X), X)
    assert right.ok
    wrong = mg.gradcheck_function(lambda X: (scale * (X**2).sum(), scale * 2.0001 * X), X)
    assert not wrong.ok


def test_gradcheck_function_compares_shapes():
    X = normal(0, 3, 2)
    larger = (np.ones((4, 2)), np.ones((3, 3)), np.ones((3, 2, 1)))
    for dX in (np.float64(2.0), 2 * X[:1], 2 * X[None], *larger):
        with pytest.raises(mg.ShapeError, match="gradient"):
            mg.gradcheck_function(lambda X, dX=dX: ((X**2).sum(), dX), X)
    with pytest.raises(mg.DataError, match="empty"):
        mg.gradcheck_function(lambda X: (0.0, X), np.zeros((0, 2)))
    net = mg.Sequential(mg.Linear(2, 3))
    with pytest.raises(mg.ShapeError):
        mg.gradcheck(net, np.zeros(2))
    for bad in ({"tolerance": 0.0}, {"directions": 0}):
        with pytest.raises(mg.ConfigError):
            mg.gradcheck(net, X, **bad)


class LabelPass(LayerPass):
    """Its last column is a class number, by which it chooses a factor: each column has its role."""

    def forward(self, X, train):
        self.factor = np.array([1.0, 2.0, 3.0])[np.rint(X[:, -1]).astype(int)][:, None]
        np.multiply(X, self.factor, out=self.Y)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        np.multiply(dY, self.factor, out=self.dX)
        return self.dX


@dataclasses.dataclass(frozen=True)
class Label(mg.Layer):
    def bind(self, binding):
        return LabelPass(binding)


def test_columns_keep_their_roles_in_a_gradient_check():
    X = np.random.default_rng(0).uniform(5.0, 9.0, size=(6, 4))
    X[:, -1] = [0, 1, 2, 2, 1, 0]
    assert mg.gradcheck(mg.Sequential(Label(), in_features=4), X).ok
