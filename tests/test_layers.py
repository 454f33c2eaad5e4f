"""Laws that every layer keeps, whatever it computes.

`LAYERS` is the registry, so a layer that is added there is asked for an example here, and then
held to all of them.
"""

from __future__ import annotations

import itertools
from typing import ClassVar

import numpy as np
import pytest

import minigan as mg
from minigan.backend import numpy_backend as ops
from minigan.nn import Binding
from minigan.nn.layers import LAYERS, LayerPass, Needs

FEATURES, ROWS = 4, 6
#: Every layer, some with several settings.
EXAMPLES = [
    mg.Linear(FEATURES, 3, bias=False, init="xavier_normal"),
    mg.Linear(FEATURES, 5),
    mg.ReLU(),
    mg.LeakyReLU(0.3),
    mg.ELU(0.5),
    mg.ELU(),
    mg.Sigmoid(),
    mg.Tanh(),
    mg.Dropout(0.4),
    mg.Dropout(0.0),
    mg.Pack(2, deviations=False),
    mg.Pack(3),
]
KINKED = [mg.ReLU(), mg.LeakyReLU(0.3), mg.ELU(0.5), mg.ELU()]
IN_PLACE = [layer for layer in EXAMPLES if layer.in_place]
each = pytest.mark.parametrize("layer", EXAMPLES, ids=repr)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def network(*layers: mg.Layer, **options) -> mg.Sequential:
    return mg.Sequential(*layers, in_features=FEATURES, seed=1, dtype="float64", **options)


def test_every_layer_has_an_example():
    assert {type(layer).__name__ for layer in EXAMPLES} == set(LAYERS)


def gradients(
    layer: mg.Layer, forwards: list[tuple[np.ndarray, bool]], held: int = 0
) -> list[np.ndarray]:
    """Y, dX and the parameters' gradients after some forwards, and one backward.

    Args:
        forwards: X, and whether to train.
        held: this many of them run on another binding, only to advance the layer's stream.
    """
    net = network(mg.Linear(FEATURES, FEATURES), layer)
    for X, train in forwards[:held]:
        net.bind(ROWS).forward(X, train)
    bound = net.bind(ROWS)
    for X, train in forwards[held:]:
        Y = bound.forward(X, train).copy()
    dX = bound.backward(normal(*Y.shape, seed=9))
    return [Y, dX.copy(), net.parameters.grad.copy()]


@each
@pytest.mark.parametrize("modes", [*itertools.product([True, False], repeat=3)], ids=str)
def test_backward_answers_for_the_latest_forward(layer, modes):
    """Train, then evaluate, or the other way round: a pass is what a fresh one would be."""
    forwards = [(normal(ROWS, FEATURES, seed=k), train) for k, train in enumerate(modes)]
    for mine, fresh in zip(
        gradients(layer, forwards), gradients(layer, forwards, held=2), strict=True
    ):
        np.testing.assert_array_equal(mine, fresh)


@each
@pytest.mark.parametrize("train", [True, False])
def test_gradients_are_right_in_training_and_in_evaluation(layer, train):
    for layers in ([layer], [mg.Linear(FEATURES, FEATURES), layer, mg.Tanh()]):
        assert mg.gradcheck(network(*layers), normal(ROWS, FEATURES, seed=3), train=train).ok


@each
def test_what_is_not_asked_for_is_not_computed(layer):
    net = network(layer)
    bound = net.bind(ROWS)
    Y = bound.forward(normal(ROWS, FEATURES))
    pass_ = bound.layers[0]
    pass_.dX[...] = 7.0
    net.parameters.grad[...] = 7.0
    dY = normal(*Y.shape)
    assert pass_.backward(dY, parameter_grads=False, input_grad=False) is None
    assert (pass_.dX == 7.0).all()
    assert (net.parameters.grad == 7.0).all()
    pass_.backward(dY, parameter_grads=False)
    assert (net.parameters.grad == 7.0).all()
    assert not (pass_.dX == 7.0).any()
    pass_.dX[...] = 7.0
    pass_.backward(dY, input_grad=False)
    assert (pass_.dX == 7.0).all()
    assert not (net.parameters.grad == 7.0).any()


@each
def test_a_pass_keeps_its_promises_about_memory(layer):
    """Y and dX are the buffers that it was given, and nothing else of the caller's is changed."""
    bound = network(layer).bind(ROWS)
    X = normal(ROWS, FEATURES)
    Y = bound.forward(X)
    dY = normal(*Y.shape)
    before = X.copy(), dY.copy(), Y.copy()
    dX = bound.backward(dY)
    assert Y is bound.layers[0].Y
    assert dX is bound.layers[0].dX
    for array, kept in zip((X, dY, Y), before, strict=True):
        np.testing.assert_array_equal(array, kept)


def bound_by_hand(layer: mg.Layer, Y: np.ndarray, dX: np.ndarray) -> LayerPass:
    """A pass of a layer without parameters that writes into these arrays."""
    binding = Binding(ops, "float64", (), Y, dX, {}, {}, mg.Stream(1, "layer"))
    return layer.bind(binding)


@pytest.mark.parametrize("layer", IN_PLACE, ids=repr)
def test_in_place_is_the_same_as_apart(layer):
    """Y is written over X, and dX over dY; a layer that needs nothing of Y may lose that, too."""
    X, dY = normal(ROWS, FEATURES), normal(ROWS, FEATURES, seed=1)
    apart = bound_by_hand(layer, np.empty_like(X), np.empty_like(X))
    Y, dX = apart.forward(X, True), apart.backward(dY)
    over, back = X.copy(), dY.copy()
    in_place = bound_by_hand(layer, over, back)
    np.testing.assert_array_equal(in_place.forward(over, True), Y)
    if layer.needs is Needs.NOTHING:
        over[...] = np.nan
    elif layer.needs is Needs.SIGNS:
        over[...] = np.sign(over)
    np.testing.assert_array_equal(in_place.backward(back), dX)


@pytest.mark.parametrize("layer", KINKED, ids=repr)
@pytest.mark.parametrize("after", IN_PLACE, ids=repr)
def test_kinks_are_those_of_the_layer_whatever_writes_over_its_output(layer, after):
    X = normal(ROWS, FEATURES)
    bound = network(mg.Linear(FEATURES, FEATURES), layer, after).bind(ROWS)
    inside = network(mg.Linear(FEATURES, FEATURES)).bind(ROWS).forward(X, train=False)
    bound.forward(X, train=False)  # in training, what dropout drops has no kink
    np.testing.assert_array_equal(np.sign(bound.layers[1].kinks()) > 0, inside > 0)


def test_layers_without_kinks_name_none():
    for layer in EXAMPLES:
        kinks = network(layer).bind(ROWS).layers[0].kinks()
        assert (kinks is None) == (layer not in KINKED)


#: Layers behind a Linear: which of them write over the array of the layer before (Y), and over
#: that of the layer behind (dX).
MEMORY = [
    ([mg.ELU()], [True], [False]),
    ([mg.ReLU(), mg.Dropout(0.5)], [True, True], [True, False]),
    ([mg.ReLU(), mg.Tanh()], [True, False], [True, False]),
    ([mg.LeakyReLU(), mg.Dropout(0.5), mg.Tanh()], [True, True, False], [True, True, False]),
    ([mg.Tanh(), mg.Dropout(0.5)], [True, False], [True, False]),
    ([mg.Dropout(0.5), mg.Sigmoid()], [True, True], [True, False]),
    ([mg.ELU(), mg.Linear(4, 4)], [True, False], [True, False]),
    ([mg.Sigmoid(), mg.Linear(4, 4), mg.ReLU()], [True, False, True], [True, False, False]),
    ([mg.Pack(2), mg.Tanh()], [False, False], [False, False]),
    ([mg.Pack(2), mg.Linear(16, 3), mg.Tanh()], [False, False, True], [False, False, False]),
]


@pytest.mark.parametrize(("layers", "over_Y", "over_dX"), MEMORY, ids=lambda value: None)
def test_which_layers_share_a_buffer(layers, over_Y, over_dX):
    """An in-place layer writes over its input where no backward pass reads it, and only there."""
    net = network(mg.Linear(FEATURES, FEATURES), *layers)
    bound = net.bind(ROWS)
    Y = [pass_.Y for pass_ in bound.layers]
    dX = [pass_.dX for pass_ in bound.layers]
    assert [mine is before for before, mine in itertools.pairwise(Y)] == over_Y
    assert [mine is behind for mine, behind in itertools.pairwise([*dX[1:], None])] == over_dX
    X = bound.X
    assert not any(np.shares_memory(X, array) for array in [*Y, *dX])
    assert not any(np.shares_memory(one, other) for one in Y for other in dX)
    out = np.empty_like(bound.Y)
    given = net.bind(ROWS, out=out)
    assert given.forward(normal(ROWS, FEATURES)) is out is given.Y
    assert [p.Y is q.Y for q, p in itertools.pairwise(given.layers)] == over_Y


def test_the_first_layer_never_writes_over_the_input():
    for layer in IN_PLACE:
        bound = network(layer).bind(ROWS)
        X = normal(ROWS, FEATURES)
        assert not np.shares_memory(bound.forward(X), X)


@each
def test_every_row_is_alone_unless_the_layer_packs(layer):
    """In evaluation a row's result is the same among other rows."""
    net = network(layer)
    X = normal(ROWS, FEATURES)
    whole = net.predict(X)
    unit = net.rows_multiple
    assert (unit == 1) == (not isinstance(layer, mg.Pack))
    for start in range(0, ROWS, unit):
        np.testing.assert_allclose(
            net.predict(X[start : start + unit]),
            whole[start // unit : start // unit + 1],
            rtol=1e-14,
        )


@each
def test_a_population_is_its_members(layer):
    seeds = [5, 2]
    together = mg.Sequential(layer, in_features=FEATURES, seed=seeds, dtype="float64").bind(ROWS)
    X = normal(2, ROWS, FEATURES)
    Y = together.forward(X).copy()
    dY = normal(*Y.shape, seed=4)
    dX = together.backward(dY)
    for k, seed in enumerate(seeds):
        alone = mg.Sequential(layer, in_features=FEATURES, seed=seed, dtype="float64")
        bound = alone.bind(ROWS)
        np.testing.assert_allclose(Y[k], bound.forward(X[k]), rtol=1e-13)
        np.testing.assert_allclose(dX[k], bound.backward(dY[k]), rtol=1e-13)
        np.testing.assert_allclose(
            together.net.parameters.grad[k], alone.parameters.grad, rtol=1e-12
        )


@pytest.mark.parametrize(
    "layer", [layer for layer in EXAMPLES if not isinstance(layer, mg.Pack)], ids=repr
)
def test_a_part_follows_the_whole(layer):
    """A part is ready after a forward of the whole, whether it was made before or after it."""
    net = network(layer)
    bound = net.bind(ROWS)
    assert bound.X.shape == (ROWS, FEATURES)  # made, and no part's
    parts = {(1, 4): bound.part(1, 4), (0, 2): bound.part(0, 2), (4, 6): bound.part(4, 6)}
    parts[2, 4] = parts[1, 4].part(1, 3)  # parts of a part
    parts[1, 2] = parts[1, 4].part(0, 1)
    for (start, stop), part in parts.items():
        assert part.X.shape == part.input_shape == (stop - start, FEATURES)
        assert part.output_shape == (stop - start, bound.output_shape[-1])
        assert not np.shares_memory(part.X, bound.X)
    for train in (True, False, True):
        X = normal(ROWS, FEATURES, seed=train)
        Y = bound.forward(X, train)
        dY = normal(*Y.shape, seed=2)
        late = bound.part(1, 4)
        dX = bound.backward(dY).copy()
        for (start, stop), part in [*parts.items(), ((1, 4), late)]:
            np.testing.assert_array_equal(part.Y, Y[start:stop])
            np.testing.assert_allclose(part.backward(dY[start:stop]), dX[start:stop], rtol=1e-12)


class SpyPass(LayerPass):
    """Passes X on, and remembers every X."""

    def forward(self, X, train):
        Spy.seen.append(X.copy())
        np.copyto(self.Y, X)
        return self.Y


class Spy(mg.Layer):
    seen: ClassVar[list[np.ndarray]] = []

    def bind(self, binding):
        return SpyPass(binding)


def test_predict_shows_its_layers_nothing_but_what_it_was_given():
    """Rows that a short batch does not fill are zero, not those of an earlier call."""
    net = network(Spy())
    net.predict(normal(2000, FEATURES))
    net._predictor.X[...] = np.nan
    Spy.seen = []
    X = normal(5, FEATURES)
    np.testing.assert_array_equal(net.predict(X), X)
    (seen,) = Spy.seen
    np.testing.assert_array_equal(seen[:5], X)
    assert (seen[5:] == 0.0).all()
    for n in (1, 1023, 1024, 1025, 2049):
        X = normal(n, FEATURES)
        Spy.seen = []
        net.predict(X)
        shown = np.concatenate(Spy.seen)
        np.testing.assert_array_equal(shown[:n], X)
        assert (shown[n:] == 0.0).all()
        assert len(Spy.seen) == -(-n // 1024)
