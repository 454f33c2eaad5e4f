"""The condition, a network's second input: the layers that read it, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import test_layers

import minigan as mg
from minigan.nn.init import SCHEMES
from minigan.nn.layers.condition import AppendPass, EmbeddingPass
from minigan.nn.layers.projection import ProjectionPass

F, K, B = 4, 3, 6  # features, condition features, rows
LAYERS = {
    "AppendCondition": mg.AppendCondition(F, K),
    "AppendChannels": mg.AppendChannels(2, K, size=(1, 2)),
    "Embedding": mg.Embedding(F, K, 2),
    "Projection": mg.Projection(F, K),
}
each = pytest.mark.parametrize("name", LAYERS)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def one_hot(*labels: int) -> np.ndarray:
    return np.eye(K)[list(labels)]


LABELS = [2, 0, 1, 1, 2, 2]
X, C = normal(B, F), one_hot(*LABELS)


def network(*layers: mg.Layer, seed: Any = 1, dtype: str = "float64") -> mg.Sequential:
    """A network whose parameters are all different numbers, the biases, too."""
    net = mg.Sequential(*layers, seed=seed, dtype=dtype)
    net.parameters.data = normal(*net.parameters.data.shape, seed=2)
    return net


# -- the formulas ---------------------------------------------------------------------------


def by_hand(layer: mg.Layer, net: mg.Sequential, x: np.ndarray, label: int) -> np.ndarray:
    """What a layer makes of one sample of a class, number by number."""
    named = net.parameters.named()
    if isinstance(layer, mg.AppendCondition):
        return np.array([*x, *(float(k == label) for k in range(K))])
    if isinstance(layer, mg.AppendChannels):
        made = [[*pixel, *(float(k == label) for k in range(K))] for pixel in x.reshape(-1, 2)]
        return np.ravel(made)
    if isinstance(layer, mg.Embedding):
        return np.array([*x, *named["0.weight"][label]])
    w, V = named["0.weight"][:, 0], named["0.weight"][:, 1:].T  # (F,), (k, F)
    return x @ w + named["0.bias"][0] + x @ V[label]


def check_formula(name: str) -> None:
    net = network(LAYERS[name])
    Y = net.forward(X, condition=C)
    right = [by_hand(LAYERS[name], net, x, label) for x, label in zip(X, LABELS, strict=True)]
    np.testing.assert_allclose(Y, right, rtol=1e-12, atol=1e-12)


@each
def test_a_layer_is_its_formula(name):
    check_formula(name)


@each
def test_a_condition_may_be_any_numbers(name):
    """Every layer is linear in the condition: half of two classes lies half-way between them."""
    net = network(LAYERS[name])
    made = [net.forward(X[:1], condition=one_hot(label)).copy() for label in (0, 2)]
    half = net.forward(X[:1], condition=(one_hot(0) + one_hot(2)) / 2)
    np.testing.assert_allclose(half, (made[0] + made[1]) / 2, rtol=1e-12)


@each
def test_a_pass_reads_what_its_condition_holds(name):
    """One array for all steps, into which the labels of each are written."""
    net = network(LAYERS[name])
    condition = np.zeros((B, K))
    bound = net.bind(B, condition=condition)
    assert bound.condition is condition
    for k in range(3):
        condition[...] = np.roll(C, k, axis=0)
        given = condition.copy()
        expected = net.bind(B, condition=given).forward(X)
        np.testing.assert_array_equal(bound.forward(X), expected)
        np.testing.assert_array_equal(condition, given)


@each
def test_a_condition_may_be_columns_of_a_wider_array(name):
    net = network(LAYERS[name])
    wide = normal(B, 2 * K)
    wide[:, ::2] = C
    bound = net.bind(B, condition=wide[:, ::2])
    expected = net.forward(X, condition=C)
    dY = normal(*expected.shape)
    np.testing.assert_array_equal(bound.forward(X), expected)
    dX = bound.backward(dY)
    grad = net.parameters.grad.copy()
    np.testing.assert_array_equal(dX, net.backward(dY))
    np.testing.assert_array_equal(grad, net.parameters.grad)
    np.testing.assert_array_equal(bound.part(2, 4).backward(dY[2:4]), dX[2:4])


def test_a_pass_without_a_condition_has_one_of_zeros():
    bound = network(LAYERS["Embedding"]).bind(B)
    assert bound.condition.shape == (B, K)
    np.testing.assert_array_equal(bound.forward(X)[:, F:], 0.0)
    assert network(mg.Linear(F, 2)).bind(B).condition is None


def test_several_layers_read_the_same_condition():
    net = network(
        *(mg.AppendCondition(F, K), mg.Linear(F + K, 5), mg.Tanh(), mg.Embedding(5, K, 2)),
        *(mg.Linear(7, 4), mg.ELU(), mg.Projection(4, K)),
    )
    assert net.condition_features == K
    assert mg.gradcheck(net, X, condition=C).ok
    Y = net.forward(X, condition=C).copy()
    for k in range(B):  # of another class each row has another result, and no other row has
        other = C.copy()
        other[k] = np.roll(other[k], 1)
        changed = (net.forward(X, condition=other) != Y).ravel()
        np.testing.assert_array_equal(changed, np.arange(B) == k)


def test_a_condition_before_a_pack():
    """Each sample of a pack has its own."""
    layers = mg.AppendCondition(F, K), mg.Pack(2), mg.Linear(4 * (F + K), 3), mg.Tanh()
    net = network(*layers)
    assert mg.gradcheck(net, X, condition=C).ok
    whole = net.predict(X, C)
    for k in range(3):
        rows = slice(2 * k, 2 * k + 2)
        np.testing.assert_allclose(net.predict(X[rows], C[rows]), whole[k : k + 1], rtol=1e-12)


@each
def test_predict_takes_each_row_with_its_own_condition(name):
    """Whatever the number of rows, and among several threads."""
    net = network(LAYERS[name])
    n = 2100  # two batches and some rows
    many, labels = normal(n, F), normal(n, K, seed=1)
    cuts = [slice(k, k + 7) for k in range(0, n, 7)]
    right = [net.forward(many[cut], train=False, condition=labels[cut]).copy() for cut in cuts]
    right = np.concatenate(right)
    np.testing.assert_allclose(net.predict(many, labels), right, rtol=1e-10, atol=1e-12)
    whole = net.predict(many, labels)
    for n in (0, 1, 1023, 1024, 1025):
        np.testing.assert_array_equal(net.predict(many[:n], labels[:n]), whole[:n])
    made: dict[int, np.ndarray] = {}

    def work(k: int) -> None:
        made[k] = net.predict(many, labels + k)

    threads = [threading.Thread(target=work, args=[k]) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        np.testing.assert_array_equal(made[k], net.predict(many, labels + k))


def test_a_condition_that_is_nan_stays_in_its_row():
    """Also in what `predict` keeps for the next call."""
    net = network(mg.AppendCondition(F, K), mg.Linear(F + K, 2))
    broken = C.copy()
    broken[2] = np.nan
    finite = np.isfinite(net.predict(X, broken)).all(axis=1)
    np.testing.assert_array_equal(finite, np.arange(B) != 2)
    (bound,) = net._predictors
    net.predict(X[:1], C[:1])
    assert (bound.condition[1:] == 0.0).all()


@pytest.mark.parametrize("init", SCHEMES)
def test_first_weights_are_those_of_a_linear_layer(init):
    """E as of one that is given the condition, W as of one with an output for each column."""

    def weights(layer: mg.Layer) -> dict[str, np.ndarray]:
        return mg.Sequential(layer, seed=3).parameters.named()

    E, W = weights(mg.Embedding(F, K, 2, init=init)), weights(mg.Projection(F, K, init=init))
    plain = weights(mg.Linear(K, 2, bias=False, init=init))
    np.testing.assert_array_equal(E["0.weight"], plain["0.weight"])
    plain = weights(mg.Linear(F, 1 + K, init=init))
    np.testing.assert_array_equal(W["0.weight"], plain["0.weight"])
    np.testing.assert_array_equal(W["0.bias"] != 0.0, plain["0.bias"][:, :1] != 0.0)


# -- what is refused ------------------------------------------------------------------------

READS = mg.Sequential(mg.AppendCondition(F, K), mg.Linear(F + K, 2), name="D")
NONE = mg.Sequential(mg.Linear(F, 2), name="D")
TWO = mg.Sequential(mg.AppendCondition(F, K), seed=[1, 2], name="D")
floats = np.float32

REFUSED: dict[str, Callable[[], Any]] = {
    r"D reads a condition \(6, 3\): give condition=\.\.\.": lambda: READS.predict(X),
    r"D reads a condition \(6, 3\)": lambda: READS.forward(X),
    r"D reads a condition \(2, 6, 3\)": lambda: TWO.predict(np.stack([X, X])),
    r"no layer of D reads a condition": lambda: NONE.predict(X, C),
    r"no layer of D reads a condition$": lambda: NONE.bind(B, condition=C.astype(floats)),
    r"the condition has shape \(5, 3\); expected \(6, 3\)": lambda: READS.predict(X, C[:5]),
    r"the condition has shape \(6, 2\); expected \(6, 3\)": lambda: READS.forward(
        X, condition=C[:, :2]
    ),
    r"the condition has shape \(6, 3\); expected \(2, 6, 3\)": lambda: TWO.predict(
        np.stack([X, X]), C
    ),
    r"the condition has shape \(5, 3\); expected \(6, 3\), as it is bound": lambda: READS.bind(
        B, condition=C[:5].astype(floats)
    ),
    r"the condition must be floating-point numbers, not int64": lambda: READS.predict(
        X, C.astype("int64")
    ),
    r"this pass computes in float32; the condition is float64": lambda: READS.bind(B, condition=C),
    r"the condition is a list, and a pass takes a ndarray": lambda: READS.bind(
        B, condition=C.tolist()
    ),
    r"gradcheck: the condition holds NaN": lambda: mg.gradcheck(READS, X, condition=C * np.nan),
    r"D reads a condition \(6, 3\): give": lambda: mg.gradcheck(READS, X),
    r"Projection\(.*\) reads a condition for each sample: put it before the Pack": (
        lambda: mg.Sequential(mg.Pack(2, deviations=False), mg.Projection(2 * F, K))
    ),
    r"Projection\(.*\) reads a condition of 2 features; a layer before it, of 3": (
        lambda: mg.Sequential(mg.AppendCondition(F, 3), mg.Projection(F + 3, 2))
    ),
    r"AppendCondition\(.*\) was given 5 features; it expects 4": lambda: mg.Sequential(
        mg.Linear(2, 5), mg.AppendCondition(4, K)
    ),
    r"AppendChannels expects images of .*size=\(2, 2\).*would fit": lambda: mg.Sequential(
        mg.Conv2d(1, 2, 3, 2, 1, size=4), mg.AppendChannels(2, K, size=3)
    ),
    r"Embedding: size must be an integer >= 1, not 0": lambda: mg.Embedding(F, K, 0),
    r"Projection: condition_features must be an integer >= 1": lambda: mg.Projection(F, 0),
    r"AppendCondition: in_features must be an integer >= 1": lambda: mg.AppendCondition(0, K),
    r"AppendChannels: channels must be an integer >= 1": lambda: mg.AppendChannels(0, K),
    r"unknown initialisation 'zeros'": lambda: mg.Embedding(F, K, 2, init="zeros"),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_a_sentence_says_what_is_wrong(sentence):
    with pytest.raises(mg.MiniganError, match=sentence):
        REFUSED[sentence]()


# -- planted faults -------------------------------------------------------------------------

Fault = tuple[object, str, Any]


def check_gradients(name: str) -> None:
    assert mg.gradcheck(network(LAYERS[name], mg.Tanh()), X, condition=normal(B, K, seed=5)).ok


def check_labels(name: str) -> None:
    assert mg.gradcheck(network(LAYERS[name], mg.Tanh()), X, condition=C).ok


def check_parts(name: str) -> None:
    test_layers.test_a_part_follows_the_whole(LAYERS[name], False)


check_live = test_a_pass_reads_what_its_condition_holds


def row_of_another_class() -> Fault:
    def forward(self: Any, X: Any, train: bool) -> Any:
        self.kept[...] = X
        self.appended[...] = np.roll(self.condition, 1, axis=-1) @ self.weight
        return self.Y

    return EmbeddingPass, "forward", forward


def gradient_for_all_classes() -> Fault:
    """Every row of E gets the gradient of every sample, whatever its class."""
    original = EmbeddingPass.backward

    def backward(self: Any, dY: Any, **asked: bool) -> Any:
        dX = original(self, dY, **asked)
        self.dweight[...] = dY[..., self.features :].sum(0)
        return dX

    return EmbeddingPass, "backward", backward


def gradient_of_the_last_sample() -> Fault:
    """dE[label] = dY in a loop over the samples: what the class has already is lost."""
    original = EmbeddingPass.backward

    def backward(self: Any, dY: Any, **asked: bool) -> Any:
        dX = original(self, dY, **asked)
        for row, label in zip(dY, self.condition.argmax(-1), strict=True):
            self.dweight[label] = row[self.features :]
        return dX

    return EmbeddingPass, "backward", backward


def gradient_is_added_to_the_last() -> Fault:
    original = EmbeddingPass.backward

    def backward(self: Any, dY: Any, **asked: bool) -> Any:
        before = self.dweight.copy()
        dX = original(self, dY, **asked)
        self.dweight += before
        return dX

    return EmbeddingPass, "backward", backward


def label_first() -> Fault:
    """[c, x] in both directions, which differences cannot see."""
    original = AppendPass.__init__

    def make(self: Any, binding: Any, pixels: int) -> None:
        original(self, binding, pixels)
        Y = self.pixels(self.Y)
        self.appended, self.kept = Y[..., :K], Y[..., K:]

    return AppendPass, "__init__", make


def gradient_of_the_label() -> Fault:
    def backward(self: Any, dY: Any, **asked: bool) -> Any:
        self.dX_pixels[...] = self.pixels(dY)[..., -self.channels :]
        return self.dX

    return AppendPass, "backward", backward


def planes_behind_the_image() -> Fault:
    """All of x, then the condition once for each pixel: the form of an image channel by channel."""

    def forward(self: Any, X: Any, train: bool) -> Any:
        self.Y[..., : X.shape[-1]] = X
        self.Y[..., X.shape[-1] :] = np.tile(self.condition[..., 0, :], self.count)
        return self.Y

    return AppendPass, "forward", forward


def condition_of_the_first_forward(kind: type) -> Fault:
    original = kind.forward  # type: ignore[attr-defined]

    def forward(self: Any, X: Any, train: bool) -> Any:
        if not hasattr(self, "first"):
            self.first = self.condition.copy()
        now, self.condition = self.condition, self.first
        Y = original(self, X, train)
        self.condition = now
        return Y

    return kind, "forward", forward


def nothing_shared() -> Fault:
    """<x, w>, which all classes share, is left out of backward."""
    original = ProjectionPass._spread

    def spread(self: Any, dY: Any) -> Any:
        made = original(self, dY)
        made[..., :1] = 0.0
        return made

    return ProjectionPass, "_spread", spread


def all_classes_at_once() -> Fault:
    """The sum over all classes, not the sample's own."""
    original = ProjectionPass._choose

    def choose(self: Any, X: Any, out: Any) -> None:
        kept = self.chosen.copy()
        self.chosen[...] = 1.0
        original(self, X, out)
        self.chosen[...] = kept

    return ProjectionPass, "_choose", choose


def backward_of_another_class() -> Fault:
    original = ProjectionPass.backward

    def backward(self: Any, dY: Any, **asked: bool) -> Any:
        self.chosen[..., 1:] = np.roll(self.chosen[..., 1:], 1, axis=-1)
        return original(self, dY, **asked)

    return ProjectionPass, "backward", backward


def no_bias_gradient() -> Fault:
    original = ProjectionPass.backward

    def backward(self: Any, dY: Any, **asked: bool) -> Any:
        dX = original(self, dY, **asked)
        self.dbias[...] = 0.0
        return dX

    return ProjectionPass, "backward", backward


def part_that_writes_over_the_whole() -> Fault:
    original = ProjectionPass.__init__

    def make(self: Any, binding: Any) -> None:
        original(self, binding)
        self.chosen[...] = 1.0

    return ProjectionPass, "__init__", make


FAULTS = [
    (row_of_another_class, check_gradients, "Embedding"),
    (row_of_another_class, check_labels, "Embedding"),
    (row_of_another_class, check_formula, "Embedding"),
    (gradient_for_all_classes, check_gradients, "Embedding"),
    (gradient_for_all_classes, check_labels, "Embedding"),
    (gradient_of_the_last_sample, check_labels, "Embedding"),
    (gradient_is_added_to_the_last, check_labels, "Embedding"),
    (label_first, check_formula, "AppendCondition"),
    (label_first, check_gradients, "AppendChannels"),
    (gradient_of_the_label, check_gradients, "AppendCondition"),
    (gradient_of_the_label, check_labels, "AppendChannels"),
    (planes_behind_the_image, check_gradients, "AppendChannels"),
    (planes_behind_the_image, check_formula, "AppendChannels"),
    (partial(condition_of_the_first_forward, AppendPass), check_live, "AppendCondition"),
    (partial(condition_of_the_first_forward, EmbeddingPass), check_labels, "Embedding"),
    (nothing_shared, check_gradients, "Projection"),
    (all_classes_at_once, check_gradients, "Projection"),
    (all_classes_at_once, check_formula, "Projection"),
    (backward_of_another_class, check_gradients, "Projection"),
    (backward_of_another_class, check_labels, "Projection"),
    (no_bias_gradient, check_labels, "Projection"),
    (part_that_writes_over_the_whole, check_parts, "Projection"),
]


def name_of(value: Any) -> str:
    return value if isinstance(value, str) else getattr(value, "func", value).__name__


@pytest.mark.parametrize(("fault", "caught_by", "name"), FAULTS, ids=name_of)
def test_fault_is_caught(fault, caught_by, name, monkeypatch):
    caught_by(name)  # it must pass before the fault is planted
    monkeypatch.setattr(*fault())
    with pytest.raises(AssertionError):
        caught_by(name)
