"""Laws that every layer keeps, whatever it computes.

A layer that is registered is asked for an example here, and then held to all of them.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest

import minigan as mg
from minigan.backend import numpy as ops
from minigan.backend.base import may_be_captured
from minigan.config import CLASSES
from minigan.nn import Binding, LayerPass, Needs

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
    mg.Conv2d(1, 3, kernel=2, stride=1, padding=1, size=2),
    mg.Conv2d(2, 1, kernel=(1, 2), stride=3, padding=(0, 1), size=(1, 2), bias=False),
    mg.ConvTranspose2d(1, 2, kernel=3, size=2, output_padding=1),
    mg.ConvTranspose2d(4, 1, kernel=(2, 3), stride=(1, 2), padding=(0, 1), size=1, bias=False),
    mg.BatchNorm(4),
    mg.BatchNorm(2, eps=1e-3, momentum=0.3),
    mg.LayerNorm(4),
    mg.LayerNorm(2, eps=1e-3),
    mg.Upsample2d(2, factor=(3, 2), size=(2, 1)),
    mg.AppendCondition(FEATURES, 3),
    mg.AppendChannels(2, 3, size=(1, 2)),
    mg.Embedding(FEATURES, 3, 2),
    mg.Projection(FEATURES, 3),
]
KINKED = [mg.ReLU(), mg.LeakyReLU(0.3), mg.ELU(0.5), mg.ELU()]
IN_PLACE = [layer for layer in EXAMPLES if layer.in_place]
DIVISIBLE = [layer for layer in EXAMPLES if not layer.mixes_rows]
each = pytest.mark.parametrize("layer", EXAMPLES, ids=repr)
each_divisible = pytest.mark.parametrize("layer", DIVISIBLE, ids=repr)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def network(*layers: mg.Layer, **options) -> mg.Sequential:
    return mg.Sequential(*layers, in_features=FEATURES, seed=1, dtype="float64", **options)


def conditions(net: mg.Sequential, rows: int = ROWS) -> dict[str, np.ndarray]:
    """A condition for this many rows, as an argument by name; nothing if the network reads none."""
    shape = (*net.population, rows, net.condition_features)
    return {"condition": normal(*shape, seed=7)} if net.condition_features else {}


def test_every_layer_has_an_example():
    ours = {cls for cls in CLASSES["layer"].values() if cls.__module__.startswith("minigan.")}
    assert {type(layer) for layer in EXAMPLES} == ours


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
        net.bind(ROWS, **conditions(net)).forward(X, train=train)
    bound = net.bind(ROWS, **conditions(net))
    for X, train in forwards[held:]:
        Y = bound.forward(X, train=train).copy()
    dX = bound.backward(normal(*Y.shape, seed=9))
    return [Y, dX.copy(), net.parameters.grad.copy()]


@pytest.mark.parametrize("layer", [mg.ReLU(), mg.LeakyReLU(0), mg.LeakyReLU(0.5)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_infinite_inputs_and_gradients(layer, dtype):
    """As in PyTorch, and with slope 0 as ReLU: what is not wanted is 0, not infinity times 0."""
    slope = getattr(layer, "slope", 0.0)
    bound = mg.Sequential(layer, in_features=4, dtype=dtype).bind(2)
    X = np.array([[np.inf, -np.inf, 2.0, -2.0]] * 2, dtype)  # (B, F)
    dY = np.array([[np.inf] * 4, [np.nan] * 4], dtype)  # (B, F)
    expected = [np.inf, -np.inf if slope else 0.0, 2.0, -2.0 * slope]
    np.testing.assert_array_equal(bound.forward(X), [expected] * 2)
    dead = dY[:, 1] if slope else np.zeros(2)
    np.testing.assert_array_equal(bound.backward(dY), np.stack([dY[:, 0], dead] * 2, axis=1))


@pytest.mark.parametrize("alpha", [0.3, 1.6732632, 1e9, 1e30])
def test_the_slope_of_elu_is_one_above_zero(alpha):
    """To the bit: alpha + (1 - alpha) is 0 in float32 for a large alpha."""
    bound = mg.Sequential(mg.ELU(alpha), in_features=3).bind(1)
    bound.forward(np.array([[1e-3, 1.0, 300.0]], np.float32))
    np.testing.assert_array_equal(bound.backward(np.ones((1, 3), np.float32)), np.ones((1, 3)))


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
        net = network(*layers)
        X = normal(ROWS, FEATURES, seed=3)
        assert mg.gradcheck(net, X, train=train, **conditions(net)).ok


@each
def test_what_is_not_asked_for_is_not_computed(layer):
    net = network(layer)
    bound = net.bind(ROWS, **conditions(net))
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
    net = network(layer)
    given = conditions(net)
    bound = net.bind(ROWS, **given)
    X = normal(ROWS, FEATURES)
    Y = bound.forward(X)
    dY = normal(*Y.shape)
    arrays = X, dY, Y, *given.values()
    before = [array.copy() for array in arrays]
    dX = bound.backward(dY)
    assert Y is bound.layers[0].Y
    assert dX is bound.layers[0].dX
    for array, kept in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, kept)


def bound_by_hand(layer: mg.Layer, Y: np.ndarray, dX: np.ndarray) -> LayerPass:
    """A pass of a layer that writes into these arrays. Its parameters and buffers are ones."""
    shapes = layer.parameter_shapes(), layer.parameter_shapes(), layer.buffer_shapes()
    named = [{name: np.ones(shape) for name, shape in some.items()} for some in shapes]
    binding = Binding(ops, "float64", (), Y, dX, *named, mg.Stream(1, "layer"), np.empty)
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
    C = conditions(net).get("condition")
    whole = net.predict(X, C)
    unit = net.rows_multiple
    assert (unit == 1) == (not isinstance(layer, mg.Pack))
    for start in range(0, ROWS, unit):
        rows = slice(start, start + unit)
        np.testing.assert_allclose(
            net.predict(X[rows], None if C is None else C[rows]),
            whole[start // unit : start // unit + 1],
            rtol=1e-14,
        )


@each
def test_a_population_is_its_members(layer):
    seeds = [5, 2]
    net = mg.Sequential(layer, in_features=FEATURES, seed=seeds, dtype="float64")
    given = conditions(net)
    together = net.bind(ROWS, **given)
    X = normal(2, ROWS, FEATURES)
    Y = together.forward(X).copy()
    dY = normal(*Y.shape, seed=4)
    dX = together.backward(dY)
    for k, seed in enumerate(seeds):
        alone = mg.Sequential(layer, in_features=FEATURES, seed=seed, dtype="float64")
        bound = alone.bind(ROWS, **{name: C[k] for name, C in given.items()})
        np.testing.assert_allclose(Y[k], bound.forward(X[k]), rtol=1e-13)
        np.testing.assert_allclose(dX[k], bound.backward(dY[k]), rtol=1e-13)
        np.testing.assert_allclose(
            together.net.parameters.grad[k], alone.parameters.grad, rtol=1e-12
        )


#: Parts of `ROWS` rows, by the number of rows that a layer packs together.
PARTS = {1: [(1, 4), (0, 2), (4, 6), (2, 4)], 2: [(2, 6), (0, 2), (2, 4)], 3: [(0, 3), (3, 6)]}


@each_divisible
@pytest.mark.parametrize("population", [False, True])
def test_a_part_follows_the_whole(layer, population):
    """A part is ready after a forward of the whole, whether it was made before or after it."""
    members = (2,) if population else ()
    seed = [1, 2] if population else 1
    net = mg.Sequential(layer, in_features=FEATURES, seed=seed, dtype="float64")
    unit = net.rows_multiple
    bound = net.bind(ROWS, **conditions(net))
    assert bound.X.shape == (*members, ROWS, FEATURES)  # made, and no part's
    parts = [(cut, bound.part(*cut)) for cut in PARTS[unit]]
    for (start, stop), part in parts:
        assert part.X.shape == part.input_shape == (*members, stop - start, FEATURES)
        rows_out, features_out = (stop - start) // layer.rows_multiple, bound.Y.shape[-1]
        assert part.output_shape == (*members, rows_out, features_out)
        assert not np.shares_memory(part.X, bound.X)
    for train in (True, False, True):
        X = normal(*members, ROWS, FEATURES, seed=train)
        Y = bound.forward(X, train=train)
        dY = normal(*Y.shape, seed=2)
        dX = bound.backward(dY).copy()
        late = PARTS[unit][0], bound.part(*PARTS[unit][0])
        np.testing.assert_array_equal(bound.backward(dY), dX)  # as if there were no late part
        for (start, stop), part in [*parts, late]:
            rows = slice(start // unit, stop // unit)
            np.testing.assert_array_equal(part.Y, Y[..., rows, :])
            np.testing.assert_allclose(
                part.backward(dY[..., rows, :]), dX[..., start:stop, :], rtol=1e-12
            )


@each_divisible
def test_a_part_that_runs_alone_leaves_the_other_rows_as_they_are(layer):
    """Y, and what the layers keep for backward, are in the same memory as the whole's."""
    net = network(mg.Linear(FEATURES, FEATURES), layer, mg.Tanh())
    unit = net.rows_multiple
    bound = net.bind(ROWS, **conditions(net))
    start, stop = PARTS[unit][0]
    part = bound.part(start, stop)
    X = normal(ROWS, FEATURES)
    Y = bound.forward(X, train=False).copy()
    dY = normal(*Y.shape, seed=2)
    dX = bound.backward(dY).copy()
    moved = X.copy()
    moved[start:stop] += 1.0
    part.forward(moved[start:stop], train=False)
    inside = np.zeros(len(Y), bool)
    inside[start // unit : stop // unit] = True
    np.testing.assert_array_equal(bound.Y[~inside], Y[~inside])
    assert (bound.Y[inside] != Y[inside]).any()
    expected = net.astype("float64").forward(moved, train=False, **conditions(net))
    np.testing.assert_allclose(bound.Y, expected, rtol=1e-12)
    kept = ~np.repeat(inside, unit)
    np.testing.assert_array_equal(bound.backward(dY)[kept], dX[kept])


class SquarePass(LayerPass):
    """Y = X^2, which keeps X for backward in an array that `keep` makes."""

    capturable = True

    def __init__(self, layer, binding):
        super().__init__(binding)
        self.kept = layer.keep(binding, *self.Y.shape[-2:])

    def forward(self, X, train):
        self.ops.copy(X, out=self.kept.reshape(X.shape))
        self.ops.dropout(X, X, out=self.Y)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        self.ops.dropout_backward(dY, self.kept.reshape(dY.shape), out=self.dX)
        self.ops.add(self.dX, self.dX, out=self.dX)
        return self.dX


class SilentPass(SquarePass):
    """Inherits the promise, and has formulas of its own: so it has made none."""

    def backward(self, dY, **asked):
        return super().backward(dY, **asked)


class AgainPass(SilentPass):
    """Says it again, but not for the class that it inherits from."""

    capturable = True


class ListedPass(SquarePass):
    """Has an array of its own, in a list."""

    capturable = True

    def __init__(self, layer, binding):
        super().__init__(layer, binding)
        self.more = [self.Y, {"own": np.empty(self.Y.shape)}]

    forward, backward = SquarePass.forward, SquarePass.backward


class SlicedPass(SquarePass):
    """Has views of what the pass handed out, some of them back to front."""

    capturable = True

    def __init__(self, layer, binding):
        super().__init__(layer, binding)
        self.backwards = self.dX[..., ::-1, ::-1]
        self.corner = self.kept[..., -1:, -1:]
        self.scale, self.dscale = binding.parameters["scale"], binding.gradients["scale"]

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        if parameter_grads:
            self.ops.fill(1.0, out=self.dscale)
        return super().backward(dY)


@dataclasses.dataclass(frozen=True)
class Square(mg.Layer):
    keep: Callable[..., np.ndarray] = Binding.empty
    bound: type[LayerPass] = SquarePass

    def parameter_shapes(self):
        return {"scale": (1, 2)} if self.bound is SlicedPass else {}

    def bind(self, binding):
        return self.bound(self, binding)


class Mixing(Square):
    mixes_rows = True


class Counting(Square):
    """Has statistics of its own, so a batch cannot be cut: each part would count."""

    def buffer_shapes(self):
        return {"count": (1, 1)}


def numpys(binding, rows, features):
    return np.empty((rows, features))


CAN_BE_CUT = [
    (Square(), True),
    (Square(bound=SlicedPass), True),
    (Square(keep=lambda binding, rows, features: binding.dX), True),
    (Square(keep=numpys), False),
    (Square(bound=ListedPass), False),
    (Square(keep=lambda binding, rows, features: binding.ops.empty((rows, 4), "float64")), False),
    (Square(keep=lambda binding, *shape: binding.empty(*shape).copy()), False),
    (Square(bound=SilentPass), False),
    (Square(bound=AgainPass), False),
    (Mixing(), False),
    (Counting(), False),
]


@pytest.mark.parametrize(
    ("layer", "divisible"), CAN_BE_CUT, ids=[str(k) for k in range(len(CAN_BE_CUT))]
)
def test_whether_a_pass_can_be_cut(layer, divisible):
    """Every layer says `capturable`, none mixes rows, and their arrays are the pass's."""
    for layers in ([layer], [mg.Linear(FEATURES, FEATURES), mg.Dropout(0.5), layer, mg.Tanh()]):
        bound = network(*layers).bind(ROWS)
        assert bound.divisible == divisible
        bound.forward(normal(ROWS, FEATURES))  # of the caller's X a layer keeps nothing
        assert bound.divisible == divisible
        if divisible:
            assert bound.part(0, 2).Y.shape == (2, FEATURES)
            continue
        told = "a layer mixes" if bound.net.mixes_rows else "only if every layer is capturable"
        with pytest.raises(mg.ConfigError, match=told):
            bound.part(0, 2)


def test_a_method_put_onto_a_pass_ends_its_being_cut():
    """No class has promised what it computes then."""
    bound = network(mg.Tanh(), mg.Dropout(0.5)).bind(ROWS)
    assert bound.divisible
    bound.layers[1].forward = bound.layers[1].forward
    assert not bound.divisible
    with pytest.raises(mg.ConfigError, match="capturable"):
        bound.part(0, 2)


@each_divisible
def test_cuts_are_at_multiples_of_the_rows_that_are_packed(layer):
    net = network(mg.Linear(FEATURES, FEATURES), layer)
    bound, unit = net.bind(ROWS), net.rows_multiple
    for start, stop in itertools.combinations(range(ROWS + 1), 2):
        if start % unit == 0 and stop % unit == 0:
            assert bound.part(start, stop).Y.shape[0] == (stop - start) // unit
        else:
            with pytest.raises(mg.ConfigError, match="packs together"):
                bound.part(start, stop)


def kept_in(*shape: str) -> Callable[..., np.ndarray]:
    """A way to keep (rows, features) in an array whose sizes are products of these."""

    def keep(binding, rows, features):
        sizes = {"rows": rows, "features": features, "half": rows // 2, "two": 2, "one": 1}
        return binding.empty(*(math.prod(sizes[n] for n in name.split()) for name in shape))

    return keep


KEPT = [
    ("rows", "features"),
    ("rows features",),
    ("half", "two", "features"),
    ("one", "rows features"),
    ("half", "two features"),
]


@pytest.mark.parametrize("shape", KEPT, ids=str)
def test_arrays_of_a_layer_are_cut_along_their_rows_whatever_their_shape(shape):
    """Wherever the rows are in it, a part is handed the part of the array that is its own."""
    net = network(mg.Linear(FEATURES, FEATURES), Square(keep=kept_in(*shape)), mg.Tanh())
    bound = net.bind(ROWS)
    parts = {cut: bound.part(*cut) for cut in PARTS[2]}
    whole = bound.layers[1].kept
    for (start, stop), part in parts.items():
        kept = part.layers[1].kept
        assert kept.shape == kept_in(*shape)(AnyBinding, stop - start, FEATURES).shape
        first = np.arange(ROWS * FEATURES).reshape(whole.shape)
        whole[...] = first  # numbered, in order
        np.testing.assert_array_equal(
            kept.ravel(), np.arange(start * FEATURES, stop * FEATURES, dtype="float64")
        )
    Y = bound.forward(normal(ROWS, FEATURES))
    dY = normal(*Y.shape, seed=3)
    dX = bound.backward(dY).copy()
    for (start, stop), part in parts.items():
        np.testing.assert_allclose(part.backward(dY[start:stop]), dX[start:stop], rtol=1e-12)


class AnyBinding:
    """Makes arrays as a binding does."""

    @staticmethod
    def empty(*shape: int) -> np.ndarray:
        return np.empty(shape)


def test_a_part_of_a_part():
    bound = network(mg.Linear(FEATURES, FEATURES), mg.ELU()).bind(ROWS)
    inner = bound.part(1, 5).part(1, 3)  # rows 2 and 3 of the whole
    Y = bound.forward(normal(ROWS, FEATURES))
    dY = normal(*Y.shape, seed=3)
    dX = bound.backward(dY).copy()
    np.testing.assert_allclose(inner.backward(dY[2:4]), dX[2:4], rtol=1e-12)


@pytest.mark.parametrize("late", [False, True])
def test_a_part_holds_what_the_whole_holds(late):
    """Whether it was made before `hold` or after it."""
    bound = network(mg.Dropout(0.5)).bind(ROWS)
    early = bound.part(1, 4)
    X = normal(ROWS, FEATURES)
    Y = bound.forward(X).copy()
    bound.hold(True)
    part = bound.part(1, 4) if late else early
    np.testing.assert_array_equal(part.forward(X[1:4]), Y[1:4])
    bound.hold(False)
    assert [layer.hold for layer in part.layers] == [False]


# -- what a layer says, and who says it -----------------------------------------------------


class Bare(LayerPass):
    pass


class Says(LayerPass):
    capturable = True


class SaysIndeed(Says):
    capturable = True


class Inherits(Says):
    pass


class Overrides(Says):
    def forward(self, X, train):
        return X


class SaysAgain(Overrides):
    capturable = True


class SaysOne(LayerPass):
    capturable = 1


class Mixed:
    def forward(self, X, train):
        return X


class MixedIn(Mixed, Says):
    capturable = True


class SaysNo(Says):
    capturable = False


@pytest.mark.parametrize(
    ("kind", "may"),
    [
        (Says, True),
        (SaysIndeed, True),
        (Bare, False),
        (Inherits, False),
        (Overrides, False),
        (SaysAgain, False),  # for itself, but not for the class before
        (SaysOne, False),
        (MixedIn, False),  # Mixed has said nothing about its forward
        (SaysNo, False),
    ],
)
def test_a_promise_is_made_by_the_class_that_has_the_formulas(kind, may):
    assert may_be_captured(bound_pass(kind), LayerPass) == may


def bound_pass(kind: type[LayerPass]) -> LayerPass:
    return kind(
        Binding(ops, "float64", (), np.empty((2, 3)), np.empty((2, 3)), {}, {}, {}, None, np.empty)
    )


def test_a_promise_is_about_the_classes_methods_and_about_no_other_kind_of_part():
    part = bound_pass(Says)
    assert not may_be_captured(part, mg.Noise)  # it is none
    part.note = lambda: None  # not a method of the class
    assert may_be_captured(part, LayerPass)
    for name in ("forward", "backward", "kinks"):
        part = bound_pass(Says)
        setattr(part, name, getattr(part, name))  # even its own
        assert not may_be_captured(part, LayerPass)
        delattr(part, name)
        assert may_be_captured(part, LayerPass)


def test_every_layer_of_minigans_can_be_captured():
    for layer in EXAMPLES:
        bound = network(layer).bind(ROWS)
        assert may_be_captured(bound.layers[0], LayerPass), layer
        assert bound.divisible == (layer in DIVISIBLE)


# -- predict --------------------------------------------------------------------------------


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
    (bound,) = net._predictors
    bound.X[...] = np.nan
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


class CentredPass(LayerPass):
    """Takes the batch's mean away, as the first part of batch normalisation does."""

    def forward(self, X, train):
        Centred.seen.append(len(X))
        np.subtract(X, X.mean(axis=-2, keepdims=True), out=self.Y)
        return self.Y


class Centred(mg.Layer):
    mixes_rows = True
    seen: ClassVar[list[int]] = []

    def bind(self, binding):
        return CentredPass(binding)


@pytest.mark.parametrize("layers", [[Centred()], [mg.Pack(2), Centred(), mg.ELU()]], ids=str)
def test_predict_fills_no_rows_up_where_rows_are_mixed(layers):
    """A mean that zeros had a part in would be another one."""
    net = network(*layers)
    unit = net.rows_multiple
    for n in (2, 6, 1022, 1024, 1030, 2048 + 4):
        X = normal(n, FEATURES) + 5.0
        Centred.seen = []
        Y = net.predict(X)
        assert Centred.seen == [min(1024, n - start) // unit for start in range(0, n, 1024)]
        for start in range(0, n, 1024):
            batch = X[start : start + 1024]
            right = net.bind(len(batch)).forward(batch, train=False)
            np.testing.assert_array_equal(Y[start // unit : (start + 1024) // unit], right)
    assert net.predict(X[:0]).shape == (0, net.out_features)


@pytest.mark.parametrize("value", ["no", 0, None])
def test_a_setting_that_is_on_or_off_must_be_true_or_false(value):
    with pytest.raises(mg.ConfigError, match=f"Linear: bias must be True or False, not {value!r}"):
        mg.Linear(2, 3, bias=value)
    with pytest.raises(mg.ConfigError, match="Pack: deviations must be True or False"):
        mg.Pack(2, deviations=value)
    G, D = (mg.Sequential(mg.Linear(1, 1), name=name) for name in "GD")
    with pytest.raises(mg.ConfigError, match="generator_optimizer must be a Optimizer, not 0"):
        mg.GAN(G, D, mg.Uniform(), generator_optimizer=0)
