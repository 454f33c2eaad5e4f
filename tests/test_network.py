"""Networks: flat parameters, passes that share weights only, and clear refusals."""

from __future__ import annotations

import copy
import dataclasses
import json

import numpy as np
import pytest

import minigan as mg
from minigan.nn import LayerPass, Sequential
from minigan.nn.sequential import PASSES_KEPT


def small(**options) -> mg.Sequential:
    return mg.Sequential(mg.Linear(3, 4), mg.ELU(), mg.Linear(4, 2), seed=0, **options)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_parameters_are_views_into_one_flat_buffer():
    net = small()
    named = net.parameters.named()
    assert {k: v.shape for k, v in named.items()} == {
        "0.weight": (3, 4),
        "0.bias": (1, 4),
        "2.weight": (4, 2),
        "2.bias": (1, 2),
    }
    assert net.parameters.data.shape == (3 * 4 + 4 + 4 * 2 + 2,)
    for view in [*named.values(), *net.parameters.named_grads().values()]:
        assert np.shares_memory(view, net.parameters.data) != np.shares_memory(
            view, net.parameters.grad
        )
    net.parameters.data[:] = np.arange(26.0)
    assert named["0.weight"][0, 1] == 1.0
    assert named["2.bias"][0, 1] == 25.0
    net.forward(normal(5, 3))
    net.backward(np.ones((5, 2), "float32"))
    np.testing.assert_allclose(net.parameters.named_grads()["2.bias"], [[5.0, 5.0]])


def test_forward_and_backward_of_two_layers_by_hand():
    net = small(dtype="float64")
    p = net.parameters.named()
    X = normal(5, 3).astype("float64")
    H = X @ p["0.weight"] + p["0.bias"]
    A = np.where(H > 0, H, np.expm1(H))
    Y = A @ p["2.weight"] + p["2.bias"]
    np.testing.assert_allclose(net.forward(X), Y)
    dY = normal(5, 2, seed=1).astype("float64")
    dH = (dY @ p["2.weight"].T) * np.where(H > 0, 1.0, np.exp(H))
    np.testing.assert_allclose(net.backward(dY), dH @ p["0.weight"].T)
    g = net.parameters.named_grads()
    np.testing.assert_allclose(g["0.weight"], X.T @ dH)
    np.testing.assert_allclose(g["0.bias"], dH.sum(axis=0, keepdims=True))
    np.testing.assert_allclose(g["2.weight"], A.T @ dY)


def test_passes_share_weights_and_nothing_else():
    net = small()
    one, two = net.bind(5), net.bind(5)
    X1, X2 = normal(5, 3, seed=1), normal(5, 3, seed=2)
    Y1 = one.forward(X1).copy()
    two.forward(X2)
    np.testing.assert_array_equal(one.Y, Y1)
    dY = normal(5, 2)
    dX1 = one.backward(dY).copy()
    two.backward(dY)
    one.forward(X1)
    np.testing.assert_array_equal(one.backward(dY), dX1)
    net.parameters.data[:] = 0.0
    assert (one.forward(X1) == 0).all()
    assert (two.forward(X2) == 0).all()


def test_backward_skips_what_is_not_asked_for():
    net = small()
    net.forward(normal(5, 3))
    net.parameters.grad[:] = 7.0
    dX = net.backward(np.ones((5, 2)), parameter_grads=False)
    assert (net.parameters.grad == 7.0).all()
    assert dX.shape == (5, 3)
    assert net.backward(np.ones((5, 2)), input_grad=False) is None
    assert not (net.parameters.grad == 7.0).any()


def test_skipped_work_is_not_done(monkeypatch):
    from minigan.backend import numpy as ops

    products = []
    matmul = ops.matmul
    monkeypatch.setattr(
        ops, "matmul", lambda *args, **kwargs: (products.append(1), matmul(*args, **kwargs))[1]
    )
    bound = small().bind(5)
    bound.forward(normal(5, 3))
    counts = []
    for options in ({}, {"parameter_grads": False}, {"input_grad": False}):
        products.clear()
        bound.backward(normal(5, 2), **options)
        counts.append(len(products))
    assert counts == [4, 2, 3]


def test_a_part_of_a_pass_goes_backward_for_its_rows_alone():
    layers = [mg.Linear(3, 5), mg.ELU(), mg.Dropout(0.4), mg.Linear(5, 4), mg.ReLU()]
    net = mg.Sequential(*layers, mg.Linear(4, 2), seed=0, dtype="float64")
    X, dY = normal(10, 3).astype("float64"), normal(10, 2, seed=1).astype("float64")
    whole = net.bind(10)
    before = whole.part(2, 8)
    assert whole.parts == [before]
    assert before.parts == []
    with pytest.raises(mg.OrderError):
        before.backward(dY[2:8])
    before.forward(-X[:6])
    whole.forward(X)
    after = whole.part(2, 8)
    assert whole.parts == [before, after]
    rows = slice(2, 8)
    for part in (before, after):
        masked = np.zeros_like(dY)
        masked[rows] = dY[rows]
        dX = whole.backward(masked).copy()
        expected = net.parameters.grad.copy()
        net.parameters.grad[:] = 0.0
        np.testing.assert_allclose(part.backward(dY[rows]), dX[rows], rtol=1e-12)
        np.testing.assert_allclose(net.parameters.grad, expected, rtol=1e-12, atol=1e-15)
    kept = whole.Y.copy()
    before.forward(-X[:6])
    np.testing.assert_array_equal(whole.Y[:2], kept[:2])
    np.testing.assert_array_equal(whole.Y[8:], kept[8:])
    assert (whole.Y[2:8] != kept[2:8]).any()


def test_a_pass_refuses_another_dtype():
    bound = mg.Sequential(mg.Linear(3, 2), seed=0, dtype="float64").bind(4)
    with pytest.raises(mg.DTypeError, match="X is float32"):
        bound.forward(normal(4, 3))
    bound.forward(normal(4, 3).astype("float64"))
    with pytest.raises(mg.DTypeError, match="dY is float32"):
        bound.backward(normal(4, 2))


def test_a_gradient_that_was_not_asked_for_is_not_returned():
    for layers in ([mg.Tanh()], [mg.Pack(2)], [mg.Tanh(), mg.Linear(3, 2)]):
        net = mg.Sequential(*layers, in_features=3, seed=0)
        Y = net.forward(normal(4, 3))
        assert net.backward(np.ones_like(Y), input_grad=False) is None


def test_the_arrays_of_the_caller_are_not_changed():
    for layers in (
        [mg.ReLU()],
        [mg.Tanh(), mg.ReLU()],
        [mg.Sigmoid(), mg.Dropout(0.5)],
        [mg.Linear(3, 3), mg.ELU(), mg.ReLU(), mg.Dropout(0.5), mg.Sigmoid()],
    ):
        net = mg.Sequential(*layers, in_features=3, seed=0)
        bound = net.bind(5)
        X, dY = normal(5, 3), normal(5, 3, seed=1)
        X0, dY0 = X.copy(), dY.copy()
        bound.forward(X)
        bound.backward(dY)
        np.testing.assert_array_equal(X, X0)
        np.testing.assert_array_equal(dY, dY0)


def test_stacked_activations_have_right_gradients_whoever_shares_a_buffer():
    every = [mg.ReLU(), mg.LeakyReLU(0.3), mg.ELU(1.3), mg.Sigmoid(), mg.Tanh(), mg.Dropout(0.3)]
    for first in [*every, mg.Pack(2), mg.Pack(2, deviations=False)]:
        for second in every:
            for third in every:
                net = mg.Sequential(mg.Linear(3, 4), first, second, third, seed=3)
                assert mg.gradcheck(net, normal(2, 3, seed=5), directions=2).ok, net


def test_forward_result_is_a_view_and_predict_a_copy():
    net = small()
    Y = net.forward(normal(5, 3, seed=1))
    kept = net.predict(normal(5, 3, seed=1))
    net.forward(normal(5, 3, seed=2))
    assert not np.array_equal(Y, kept)
    np.testing.assert_allclose(kept, net.predict(normal(5, 3, seed=1)))


def test_predict_takes_any_number_of_rows():
    net = small()
    X = normal(5000, 3)
    Y = net.predict(X)
    for n in (0, 1, 2, 1023, 1024, 1025, 5000):
        np.testing.assert_allclose(net.predict(X[:n]), Y[:n], rtol=1e-5)
    packed = mg.Sequential(mg.Pack(10), mg.Linear(20, 1), seed=0)
    assert packed.predict(normal(50, 1)).shape == (5, 1)
    with pytest.raises(mg.ShapeError, match="multiple of 10"):
        packed.predict(normal(55, 1))


def test_predict_leaves_forward_and_backward_alone():
    net = small()
    X, dY = normal(5, 3), normal(5, 2, seed=1)
    net.forward(X)
    dX = net.backward(dY).copy()
    net.predict(normal(7, 3, seed=2))
    np.testing.assert_array_equal(net.backward(dY), dX)


def test_the_caller_may_reuse_the_input_between_forward_and_backward():
    net = small()
    X, dY = normal(5, 3), normal(5, 2, seed=1)
    net.forward(X)
    net.backward(dY)
    grad = net.parameters.grad.copy()
    net.forward(X)
    X[:] = 0.0
    net.backward(dY)
    np.testing.assert_array_equal(net.parameters.grad, grad)


def test_only_the_latest_shapes_stay_bound():
    net = small()
    for rows in range(1, 3 * PASSES_KEPT):
        net.forward(normal(rows, 3))
    assert len(net._passes) == PASSES_KEPT


def test_pack_by_hand():
    net = mg.Sequential(mg.Pack(2), in_features=1, dtype="float64")
    Y = net.forward(np.array([[1.0], [3.0], [4.0], [4.0]]))
    np.testing.assert_allclose(Y, [[1, 3, 1, 1], [4, 4, 0, 0]])
    dX = net.backward(np.array([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 5.0, 6.0]]))
    # dx_i = dy_i + 2 (x_i - c) dy_(m+i), with the mean c = 2 held constant
    np.testing.assert_allclose(dX, [[1 - 2 * 3], [2 + 2 * 4], [0], [0]])
    plain = mg.Sequential(mg.Pack(2, deviations=False), in_features=3)
    X = normal(4, 3)
    np.testing.assert_array_equal(plain.forward(X), X.reshape(2, 6))


def test_default_initialisation_is_pytorchs():
    net = mg.Sequential(mg.Linear(400, 300), seed=0)
    named = net.parameters.named()
    for values in named.values():
        bound = 1 / np.sqrt(400)
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > 0.98 * bound
    assert named["0.weight"].std() == pytest.approx(1 / np.sqrt(3 * 400), rel=0.01)


@pytest.mark.parametrize(
    ("init", "std"),
    [
        ("kaiming_uniform", np.sqrt(2 / 400)),
        ("kaiming_normal", np.sqrt(2 / 400)),
        ("xavier_uniform", np.sqrt(2 / 700)),
        ("xavier_normal", np.sqrt(2 / 700)),
    ],
)
def test_other_initialisations(init, std):
    named = mg.Sequential(mg.Linear(400, 300, init=init), seed=0).parameters.named()
    assert named["0.weight"].std() == pytest.approx(std, rel=0.01)
    assert (named["0.bias"] == 0).all()


def test_seed_and_name_decide_the_weights():
    assert (small().parameters.data == small().parameters.data).all()
    assert (small().parameters.data != small(name="other").parameters.data).any()
    other = mg.Sequential(mg.Linear(3, 4), mg.ELU(), mg.Linear(4, 2), seed=1)
    assert (other.parameters.data != small().parameters.data).any()
    np.testing.assert_allclose(
        small(dtype="float64").parameters.data, small().parameters.data, rtol=1e-5, atol=1e-7
    )


def test_a_population_is_its_members_side_by_side():
    def make(seed) -> mg.Sequential:
        return mg.Sequential(
            mg.Pack(2), mg.Linear(12, 5), mg.ELU(), mg.Dropout(0.3), mg.Linear(5, 1), seed=seed
        )

    seeds = [3, 1, 4]
    together = make(seeds)
    X = np.stack([normal(8, 3, seed=s) for s in seeds])
    Y = together.forward(X).copy()
    dY = np.stack([normal(4, 1, seed=10 + s) for s in seeds])
    dX = together.backward(dY)
    for k, s in enumerate(seeds):
        alone = make(s)
        np.testing.assert_array_equal(together.parameters.data[k], alone.parameters.data)
        np.testing.assert_allclose(Y[k], alone.forward(X[k]), rtol=1e-6)
        np.testing.assert_allclose(dX[k], alone.backward(dY[k]), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(
            together.parameters.grad[k], alone.parameters.grad, rtol=1e-5, atol=1e-6
        )
    assert together.predict(X).shape == (3, 4, 1)


def test_a_numpy_dtype_is_a_dtype():
    net = small(dtype=np.dtype("float64"))
    assert type(net.dtype) is str
    json.dumps(net.to_config())


def test_config_rebuilds_the_network():
    net = mg.Sequential(mg.Pack(2), mg.Linear(12, 5), mg.ELU(2.0), mg.Dropout(0.1), seed=[1, 2])
    twin = mg.Sequential.from_config(net.to_config())
    assert twin.layers == net.layers
    np.testing.assert_array_equal(twin.parameters.data, net.parameters.data)
    for bad in ({}, {"layers": [{"layer": "Exec"}]}, {"layers": [{"layer": "Linear"}]}):
        with pytest.raises(mg.ConfigError):
            mg.Sequential.from_config(bad)


# -- layers defined outside minigan -----------------------------------------------------


class OddPass(LayerPass):
    """Gives back its result in another array, in another shape, or not at all."""

    def forward(self, X, train):
        return {"other": X * 2.0, "list": (X * 2.0).tolist(), "short": X[:1], "none": None}.get(
            self.layer.gives, X
        )

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        return dY * 2.0


@dataclasses.dataclass(frozen=True)
class Odd(mg.Layer):
    gives: str = "other"

    def bind(self, binding):
        if self.gives == "no pass":
            return binding
        bound = OddPass(binding)
        bound.layer = self
        return bound


def test_a_result_in_another_array_is_put_where_it_was_promised():
    net = mg.Sequential(mg.Linear(3, 2), Odd(), seed=0)
    inside = mg.Sequential(mg.Linear(3, 2), seed=0)
    X, out = normal(4, 3), np.empty((4, 2), "float32")
    bound = net.bind(4, out=out)
    assert bound.forward(X) is out
    np.testing.assert_array_equal(out, 2.0 * inside.forward(X))
    dY = normal(4, 2, seed=1)
    np.testing.assert_array_equal(bound.backward(dY), inside.backward(2.0 * dY))


def test_a_result_in_another_array_is_put_there_in_the_middle_of_a_network_too():
    """The layer behind reads it from the buffer: in forward, and as its X in backward."""
    layers = mg.Linear(3, 4), mg.Linear(4, 2), mg.Tanh()
    net = mg.Sequential(layers[0], Odd(), *layers[1:], seed=0)
    plain = mg.Sequential(*layers, seed=0)
    plain.parameters.data = net.parameters.data
    for name in ("0.weight", "0.bias"):
        plain.parameters.named()[name][:] *= 2.0  # what Odd does
    X, dY = normal(5, 3), normal(5, 2, seed=1)
    bound = net.bind(5)
    np.testing.assert_allclose(bound.forward(X), plain.forward(X), rtol=1e-6)
    assert bound.layers[2].X is bound.layers[1].Y
    bound.backward(dY)
    plain.backward(dY)
    for mine, theirs in (("0.weight", "0.weight"), ("2.weight", "1.weight")):
        grad = plain.parameters.named_grads()[theirs] * (2.0 if mine == "0.weight" else 1.0)
        np.testing.assert_allclose(net.parameters.named_grads()[mine], grad, rtol=1e-5)


def test_a_layer_that_gives_something_else_is_told_what_was_expected():
    for gives, error, told in (
        ("short", mg.ShapeError, r"an array \(1, 2\); expected \(4, 2\)"),
        ("none", mg.ShapeError, "forward returned None"),
    ):
        bound = mg.Sequential(mg.Linear(3, 2), Odd(gives), seed=0).bind(4)
        with pytest.raises(error, match=told):
            bound.forward(normal(4, 3))
    with pytest.raises(mg.ConfigError, match=r"Odd\(gives='no pass'\): bind must return a Layer"):
        mg.Sequential(Odd("no pass"), in_features=3).bind(4)


def test_own_layers_first_are_asked_for_their_gradients_alone():
    """Without `input_grad`, dX of the first layer with parameters is not needed, nor the rest."""
    asked = []

    class AskedPass(LayerPass):
        def forward(self, X, train):
            np.copyto(self.Y, X)
            return self.Y

        def backward(self, dY, *, parameter_grads=True, input_grad=True):
            asked.append((self.name, parameter_grads, input_grad))
            np.copyto(self.dX, dY)
            return self.dX if input_grad else None

    @dataclasses.dataclass(frozen=True)
    class Asked(mg.Layer):
        name: str
        scale: bool = False

        def parameter_shapes(self):
            return {"scale": (1, 3)} if self.scale else {}

        def bind(self, binding):
            made = AskedPass(binding)
            made.name = self.name
            return made

    layers = [Asked("a"), Asked("b", scale=True), Asked("c"), Asked("d", scale=True)]
    bound = mg.Sequential(*layers, in_features=3).bind(2)
    dY = bound.forward(normal(2, 3)).copy()
    assert bound.backward(dY) is not None
    assert asked == [(name, True, True) for name in "dcba"]
    asked.clear()
    assert bound.backward(dY, input_grad=False) is None
    assert asked == [("d", True, True), ("c", True, True), ("b", True, False)]
    asked.clear()
    bound.backward(dY, parameter_grads=False)
    assert asked == [(name, False, True) for name in "dcba"]
    asked.clear()
    bare = mg.Sequential(Asked("a"), Asked("c"), in_features=3).bind(2)
    bare.forward(normal(2, 3))
    assert bare.backward(dY, input_grad=False) is None
    assert asked == []


def test_hold_is_heard_by_every_layer_and_can_be_let_go():
    net = mg.Sequential(mg.Dropout(0.5), mg.Pack(2), mg.Dropout(0.5), in_features=3, seed=0)
    bound = net.bind(4)
    X = normal(4, 3)
    first = bound.forward(X).copy()
    bound.hold(True)
    assert [layer.hold for layer in bound.layers] == [True] * 3
    np.testing.assert_array_equal(bound.forward(X), first)
    bound.hold(False)
    assert [layer.hold for layer in bound.layers] == [False] * 3
    assert (bound.forward(X) != first).any()


def test_masks_are_held_once_there_are_some():
    """A forward of training draws them; one of evaluation has none, and needs none."""
    X = normal(6, 3)
    for first, second, allowed in (
        (None, True, False),
        (None, False, False),
        (False, False, True),
        (False, True, False),
        (True, True, True),
        (True, False, True),
    ):
        net = mg.Sequential(mg.Linear(3, 4), mg.Dropout(0.5), seed=0)
        bound = net.bind(6)
        part = bound.part(1, 4)
        if first is not None:
            bound.forward(X, train=first)
        bound.hold(True)
        for one, rows in ((part, X[1:4]), (bound, X)):
            if allowed:
                one.forward(rows, train=second)
            else:
                with pytest.raises(mg.OrderError, match="there was none yet"):
                    one.forward(rows, train=second)
        bound.hold(False)
        bound.forward(X, train=True)
        bound.hold(True)
        np.testing.assert_array_equal(part.forward(X[1:4]), bound.Y[1:4])


def test_a_pass_tells_its_layers_what_the_latest_forward_was_of():
    net = small()
    bound = net.bind(5)
    part = bound.part(1, 3)
    for train in (True, False, True):
        X = normal(5, 3, seed=train)
        bound.forward(X, train=train)
        assert [layer.train for layer in (*bound.layers, *part.layers)] == [train] * 6
        assert bound.layers[0].X is X
        np.testing.assert_array_equal(part.layers[0].X, X[1:3])
        for one in (bound, part):
            assert one.layers[1].X is one.layers[0].Y
            assert one.layers[2].X is one.layers[1].Y
    part.forward(X[2:4], train=False)
    assert [layer.train for layer in (*bound.layers, *part.layers)] == [True] * 3 + [False] * 3
    assert bound.layers[0].X is X


class TestRefusals:
    """One clear sentence each, naming what was given and what was expected."""

    def test_backward_before_forward(self):
        with pytest.raises(mg.OrderError, match="before forward"):
            small().backward(np.ones((5, 2)))
        with pytest.raises(mg.OrderError, match="before forward"):
            small().bind(5).backward(np.ones((5, 2), "float32"))

    @pytest.mark.parametrize("shape", [(5, 4), (3,), (2, 5, 3), ()])
    def test_wrong_input_shape(self, shape):
        with pytest.raises(mg.ShapeError, match=r"expected \(batch, 3\)"):
            small().forward(np.zeros(shape, "float32"))

    @pytest.mark.parametrize("dtype", ["int64", "bool", "complex64", "object"])
    def test_wrong_dtype(self, dtype):
        with pytest.raises(mg.DTypeError, match="floating-point"):
            small().forward(np.zeros((5, 3), dtype))

    def test_a_pass_of_another_shape(self):
        bound = small().bind(5)
        for shape in ((4, 3), (5, 4), (1, 5, 3), (5,)):
            with pytest.raises(mg.ShapeError, match=r"X has shape .*; expected \(5, 3\)"):
                bound.forward(np.zeros(shape, "float32"))
        bound.forward(normal(5, 3))
        for shape in ((4, 2), (5, 3), (5,)):
            with pytest.raises(mg.ShapeError, match=r"dY has shape .*; expected \(5, 2\)"):
                bound.backward(np.zeros(shape, "float32"))

    def test_what_is_no_array(self):
        for bad in ([[1.0], [1.0, 2.0]], "abc", [["a", "b", "c"]]):
            with pytest.raises(mg.DTypeError, match="X"):
                small().forward(bad)

        class Unwilling:
            def __array__(self, *args, **options):
                raise TypeError("not today")

        with pytest.raises(mg.DTypeError, match=r"X cannot be read as .*: not today"):
            small().forward(Unwilling())
        with pytest.raises(mg.DTypeError, match="the noise cannot be read as an array"):
            small().accept([[1.0], [1.0, 2.0]], name="the noise")

    def test_a_definition_that_is_none(self):
        config = small().to_config()
        for bad in (
            [],
            7,
            config | {"layers": None},
            config | {"colour": 3},
            config | {"layers": [None]},
            {key: value for key, value in config.items() if key != "layers"},
        ):
            with pytest.raises(mg.ConfigError, match=r"not the definition of an? "):
                mg.Sequential.from_config(bad)
        unknown = config | {"layers": [{"layer": "Mine"}]}
        with pytest.raises(mg.ConfigError, match=r"no layer called 'Mine' here; .*registered"):
            mg.Sequential.from_config(unknown)

    def test_rows_that_cannot_be_bound(self):
        for rows in (0, -1, 2.0, True, "2"):
            with pytest.raises((mg.ShapeError, mg.ConfigError), match="rows"):
                small().bind(rows)
        packed = mg.Sequential(mg.Pack(3), mg.Linear(6, 1))
        for rows in (1, 2, 4):
            with pytest.raises(mg.ShapeError, match=f"multiple of 3 rows, not {rows}"):
                packed.bind(rows)
        assert packed.bind(6).Y.shape == (2, 1)

    def test_an_optimizer_takes_parameters(self):
        for make in (lambda p: mg.SGD(p, 0.1), mg.Adam):
            with pytest.raises(mg.ConfigError, match=r"takes net\.parameters, not Sequential"):
                make(small())

    def test_wrong_gradient_shape(self):
        net = small()
        net.forward(normal(5, 3))
        with pytest.raises(mg.ShapeError, match=r"\(5, 2\)"):
            net.backward(np.ones((5, 1)))

    def test_empty_batch(self):
        with pytest.raises(mg.ShapeError, match="multiple"):
            small().forward(np.zeros((0, 3), "float32"))

    def test_layers_that_do_not_fit(self):
        with pytest.raises(mg.ShapeError, match="layer 1"):
            mg.Sequential(mg.Linear(3, 4), mg.Linear(5, 2))
        with pytest.raises(mg.ShapeError):
            mg.Sequential(mg.Pack(2), mg.Linear(7, 2))

    def test_population_of_another_size(self):
        net = mg.Sequential(mg.Linear(3, 2), seed=[0, 1, 2])
        for shape in ((1, 5, 3), (2, 5, 3), (5, 3), (1, 3, 5, 3)):
            with pytest.raises(mg.ShapeError, match=r"\(3, batch, 3\)"):
                net.forward(np.zeros(shape))
            with pytest.raises(mg.ShapeError, match=r"\(3, batch, 3\)"):
                net.predict(np.zeros(shape))

    def test_output_buffer_of_another_shape(self):
        with pytest.raises(mg.ShapeError, match="out has shape"):
            small().bind(5, out=np.zeros((5, 3), "float32"))

    def test_hold_before_there_is_anything_to_hold(self):
        for layer in (mg.Dropout(0.5), mg.Pack(1)):
            bound = mg.Sequential(layer, in_features=3).bind(5)
            bound.hold(True)
            with pytest.raises(mg.OrderError, match="hold"):
                bound.forward(normal(5, 3))

    def test_in_features_that_cannot_be(self):
        for bad in (-3, 2.5, "2", True):
            with pytest.raises(mg.ConfigError, match="in_features"):
                mg.Sequential(mg.ReLU(), in_features=bad)
        with pytest.raises(mg.ShapeError, match="in_features=5"):
            mg.Sequential(mg.Linear(3, 2), in_features=5)

    def test_bad_definitions(self):
        for make in (
            lambda: mg.Sequential(),
            lambda: mg.Sequential(mg.ReLU()),
            lambda: mg.Sequential("Linear"),
            lambda: mg.Linear(0, 3),
            lambda: mg.Linear(3, 2.5),
            lambda: mg.Linear(True, 1),
            lambda: mg.ELU(float("inf")),
            lambda: mg.ELU("1"),
            lambda: mg.Sequential(mg.Linear(1, 1), seed=b"abc"),
            lambda: mg.Linear(3, 2, init="zeros"),
            lambda: mg.ELU(0.0),
            lambda: mg.LeakyReLU(1.0),
            lambda: mg.Pack(0),
            lambda: small(device="tpu"),
        ):
            with pytest.raises(mg.ConfigError):
                make()
        with pytest.raises(mg.DTypeError, match="float16"):
            small(dtype="float16")
        with pytest.raises(mg.DeviceError, match="cuda"):
            small(device="cuda")


def test_lists_and_dlpack_arrays_are_accepted():
    net = small()

    class Foreign:
        """An array of another library: all we know is that it speaks DLPack."""

        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **options):
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    X = normal(5, 3)
    Y = net.forward(X).copy()
    np.testing.assert_array_equal(net.forward(Foreign(X)), Y)
    np.testing.assert_allclose(net.forward(X.astype("float64").tolist()), Y)
    np.testing.assert_allclose(net.forward(np.asfortranarray(X)), Y)


def test_a_numpy_integer_is_a_seed_and_not_a_population():
    net = mg.Sequential(mg.Linear(3, 2), seed=np.int64(4))
    assert net.population == ()
    np.testing.assert_array_equal(
        net.parameters.data, mg.Sequential(mg.Linear(3, 2), seed=4).parameters.data
    )


def test_numpy_numbers_are_numbers_in_definitions():
    layers = (
        mg.Linear(np.int64(6), np.int32(2)),
        mg.ELU(np.float32(1.5)),
        mg.Dropout(np.float64(0.5)),
    )
    assert layers == (mg.Linear(6, 2), mg.ELU(1.5), mg.Dropout(0.5))
    json.dumps([layer.to_config() for layer in layers])


def test_packs_multiply():
    net = mg.Sequential(
        mg.Pack(2, deviations=False), mg.Pack(3, deviations=False), mg.Linear(12, 1), seed=0
    )
    assert net.in_features == 2
    assert net.predict(normal(18, 2)).shape == (3, 1)
    with pytest.raises(mg.ShapeError, match="multiple of 6"):
        net.forward(normal(9, 2))
    with pytest.raises(mg.ShapeError, match="multiple of 4"):
        mg.Sequential(mg.Pack(2), mg.Linear(6, 1))


def test_a_copy_in_another_dtype_goes_on_with_the_same_masks():
    net = mg.Sequential(mg.Dropout(0.5), in_features=6, seed=0)
    X = np.ones((4, 6), "float32")
    net.forward(X)
    twin = net.astype("float64")
    np.testing.assert_array_equal(net.forward(X), twin.forward(X))


def test_the_least_recently_used_shape_is_let_go():
    net = small()
    for rows in range(1, PASSES_KEPT + 1):
        net.forward(normal(rows, 3))
    first = net._passes[1]
    net.forward(normal(1, 3))  # used again, so not the next to go
    net.forward(normal(PASSES_KEPT + 1, 3))
    assert net._passes[1] is first
    assert 2 not in net._passes


def test_initialising_again_starts_afresh():
    net = mg.Sequential(mg.Linear(3, 2, init="kaiming_normal"), seed=0)
    start = net.parameters.data.copy()
    net.parameters.data[:] = 7.0
    net.initialise()
    np.testing.assert_array_equal(net.parameters.data, start)


# -- passes with something of their own -----------------------------------------------------


def deep(**options) -> mg.Sequential:
    layers = [mg.Linear(3, 5), mg.ReLU(), mg.Linear(5, 4), mg.ELU(), mg.Sigmoid(), mg.Linear(4, 2)]
    return mg.Sequential(*layers, dtype="float64", **options)


@pytest.mark.parametrize("seed", [0, [0, 1]])
def test_gradients_of_two_passes_add_up_to_those_of_a_joint_one(seed):
    """Which is how a discriminator that mixes rows judges real and generated samples."""
    net = deep(seed=seed)
    X, dY = normal(*net.population, 9, 3), normal(*net.population, 9, 2, seed=1)
    X, dY = X.astype("float64"), dY.astype("float64")
    joint = net.bind(9)
    joint.forward(X)
    joint.backward(dY)
    whole = net.parameters.grad.copy()
    one, other = net.bind(4), net.bind(5, own_gradients=True)
    assert one.grad is joint.grad is net.parameters.grad
    assert other.grad.shape == whole.shape
    assert other.grad.dtype == whole.dtype
    assert not np.shares_memory(other.grad, net.parameters.grad)
    one.forward(X[..., :4, :])
    other.forward(X[..., 4:, :])
    one.backward(dY[..., :4, :])
    first = net.parameters.grad.copy()
    other.backward(dY[..., 4:, :])
    np.testing.assert_array_equal(net.parameters.grad, first)  # it has left them alone
    np.testing.assert_allclose(first + other.grad, whole, rtol=1e-12, atol=1e-14)
    part = other.part(1, 4)  # fills the gradients of the pass that it is a part of
    part.backward(dY[..., 5:8, :])
    np.testing.assert_array_equal(net.parameters.grad, first)
    masked = np.zeros_like(dY)
    masked[..., 5:8, :] = dY[..., 5:8, :]
    joint.backward(masked)
    np.testing.assert_allclose(other.grad, net.parameters.grad, rtol=1e-12, atol=1e-14)


class RunningPass(LayerPass):
    """Takes a mean away: the batch's in training, the running one in evaluation."""

    def __init__(self, binding):
        super().__init__(binding)
        self.mean, self.count = binding.buffers["mean"], binding.buffers["count"]

    def forward(self, X, train):
        if train:
            batch = X.mean(axis=-2, keepdims=True)
            self.mean += 0.25 * (batch - self.mean)
            self.count += 1.0
            np.subtract(X, batch, out=self.Y)
        else:
            np.subtract(X, self.mean, out=self.Y)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        np.copyto(self.dX, dY)
        if self.train:
            self.dX -= dY.mean(axis=-2, keepdims=True)
        return self.dX


@dataclasses.dataclass(frozen=True)
class Running(mg.Layer):
    features: int = 4

    def buffer_shapes(self):
        return {"mean": (1, self.features), "count": (1, 1)}

    def initialise(self, ops, stream, tensors):
        assert (tensors["mean"] == 0).all()
        ops.fill(3.0, out=tensors["mean"])

    def bind(self, binding):
        return RunningPass(binding)


def running(**options) -> mg.Sequential:
    return mg.Sequential(mg.Linear(3, 4), Running(), mg.Linear(4, 2), seed=0, **options)


def test_buffers_are_views_into_a_flat_one_beside_the_parameters():
    net = running()
    assert net.mixes_rows
    assert not small().mixes_rows
    assert small().buffers.data.shape == (0,)
    named = net.buffers.named()
    assert {name: view.shape for name, view in named.items()} == {
        "1.mean": (1, 4),
        "1.count": (1, 1),
    }
    assert net.parameters.named().keys() == {"0.weight", "0.bias", "2.weight", "2.bias"}
    np.testing.assert_array_equal(net.buffers.data, [3.0, 3.0, 3.0, 3.0, 0.0])
    bound = net.bind(6)
    assert np.shares_memory(bound.layers[1].mean, net.buffers.data)
    X = normal(6, 3)
    bound.forward(X)
    inside = mg.Sequential(mg.Linear(3, 4), seed=0).forward(X)
    np.testing.assert_allclose(
        named["1.mean"], 0.75 * 3.0 + 0.25 * inside.mean(axis=0, keepdims=True), rtol=1e-6
    )
    assert named["1.count"] == 1.0
    kept = net.buffers.data.copy()
    bound.forward(X, train=False)
    net.predict(X)
    np.testing.assert_array_equal(net.buffers.data, kept)
    net.forward(X)
    assert named["1.count"] == 2.0
    net.initialise()  # starts them again, too
    np.testing.assert_array_equal(net.buffers.data, [3.0, 3.0, 3.0, 3.0, 0.0])
    population = running_population()
    assert population.buffers.data.shape == (2, 5)
    population.forward(normal(2, 6, 3))
    np.testing.assert_array_equal(population.buffers.named()["1.count"], np.ones((2, 1, 1)))


def running_population() -> mg.Sequential:
    return mg.Sequential(mg.Linear(3, 4), Running(), seed=[0, 1])


def test_a_network_with_statistics_has_right_gradients_and_is_not_cut_or_filled_up():
    net = running(dtype="float64")
    X = normal(6, 3).astype("float64")
    for train in (True, False):
        kept = net.buffers.data.copy()
        assert mg.gradcheck(net, X, train=train).ok
        np.testing.assert_array_equal(net.buffers.data, kept)
    with pytest.raises(mg.ConfigError, match="a layer mixes"):
        net.bind(6).part(0, 2)


def test_a_parameter_and_a_buffer_have_different_names():
    class Twice(Running):
        def parameter_shapes(self):
            return {"mean": (1, 4)}

    with pytest.raises(mg.ConfigError, match=r"a parameter and a buffer are both called 0\.mean"):
        mg.Sequential(Twice(), in_features=4)


def test_a_pass_that_keeps_buffers_leaves_them_alone():
    """D is the judge of G's samples in training mode, but learns nothing about its data there."""
    net = running()
    learns, judges = net.bind(6), net.bind(6, keep_buffers=True)
    X = normal(6, 3)
    expected = learns.forward(X).copy()
    dX = learns.backward(expected).copy()
    kept = net.buffers.data.copy()
    for train in (True, False, True):
        Y = judges.forward(X, train=train)
        np.testing.assert_array_equal(net.buffers.data, kept)
    np.testing.assert_array_equal(Y, expected)  # otherwise the same
    np.testing.assert_array_equal(judges.backward(Y), dX)
    np.testing.assert_array_equal(net.buffers.data, kept)
    learns.forward(X)
    assert net.buffers.named()["1.count"] == 2.0
    bare = small().bind(6, keep_buffers=True)  # nothing to keep
    np.testing.assert_array_equal(bare.forward(X), small().forward(X))


EVERY = [mg.ReLU(), mg.LeakyReLU(0.3), mg.ELU(1.3), mg.Sigmoid(), mg.Tanh(), mg.Dropout(0.3)]


@pytest.mark.parametrize("train", [True, False])
def test_a_pass_apart_keeps_every_result_and_computes_the_same(train):
    """The Y and dX of every layer can be looked at afterwards: nothing has written over them."""
    net = mg.Sequential(
        mg.Linear(3, 4), *EVERY, mg.Pack(2), *reversed(EVERY), mg.Linear(16, 2), seed=3
    )
    together, apart = net.bind(6), net.bind(6, apart=True)
    arrays = [array for layer in apart.layers for array in (layer.Y, layer.dX)]
    for i, one in enumerate(arrays):
        assert not any(np.shares_memory(one, other) for other in arrays[i + 1 :])
    assert together.layers[1].Y is together.layers[0].Y  # what is not so otherwise
    X, dY = normal(6, 3), normal(3, 2, seed=1)
    runs = []
    for bound in (together, apart):
        for stream in net.streams:
            stream.position = 0  # the same masks
        Y = bound.forward(X, train=train).copy()
        runs.append([Y, bound.backward(dY).copy(), net.parameters.grad.copy()])
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)
    A, seen = X, [layer.Y.copy() for layer in apart.layers]
    for stream in net.streams:
        stream.position = 0
    for layer, Y in zip(net.bind(6, apart=True).layers, seen, strict=True):  # one by one
        A = layer.forward(A, train).copy()
        np.testing.assert_array_equal(A, Y)
    out = np.empty((3, 2), "float32")
    given = net.bind(6, out, apart=True)
    assert given.Y is out
    assert given.forward(X, train=train) is out


# -- the number of input features -----------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Learned(Odd):
    """Has a parameter called weight, which says nothing about its input."""

    def parameter_shapes(self):
        return {"weight": (7, 5)}


@dataclasses.dataclass(frozen=True)
class Fixing(Learned):
    in_features: int | None = 6


def test_a_layer_says_itself_how_many_features_it_takes():
    assert mg.Sequential(Fixing()).in_features == 6
    assert mg.Sequential(mg.Tanh(), Fixing()).in_features == 6
    assert mg.Sequential(mg.Pack(3, deviations=False), Fixing()).in_features == 2
    assert mg.Sequential(Fixing(in_features=np.int64(4))).in_features == 4
    for layer in (Learned(), Fixing(in_features=None)):
        with pytest.raises(mg.ConfigError, match="no layer fixes the number of input features"):
            mg.Sequential(layer)
        assert mg.Sequential(layer, in_features=3).in_features == 3
        assert mg.Sequential(layer, mg.Linear(2, 1)).in_features == 2  # the next one does


# -- copies ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, [0, 1]])
@pytest.mark.parametrize("make", [copy.deepcopy, lambda net: net.astype("float32")])
def test_a_copy_is_whole_and_independent(make, seed):
    """Its weights, statistics and stream positions are equal, and all its own."""
    net = mg.Sequential(
        mg.Linear(3, 4), Running(), mg.Dropout(0.5), mg.Linear(4, 2), seed=seed, name="mine"
    )
    X = normal(*net.population, 6, 3)
    net.forward(X)
    net.backward(np.ones((*net.population, 6, 2), "float32"))
    net.predict(X)
    twin = make(net)
    assert twin.to_config() == net.to_config()
    assert twin.population == net.population
    for mine, theirs in (
        (net.parameters.data, twin.parameters.data),
        (net.buffers.data, twin.buffers.data),
    ):
        np.testing.assert_array_equal(mine, theirs)
        assert not np.shares_memory(mine, theirs)
    assert not np.shares_memory(net.parameters.grad, twin.parameters.grad)
    assert [s.position for s in twin.streams] == [s.position for s in net.streams]
    np.testing.assert_array_equal(twin.forward(X), net.forward(X))  # the same masks
    np.testing.assert_array_equal(twin.buffers.data, net.buffers.data)
    Y = net.predict(X)
    np.testing.assert_array_equal(twin.predict(X), Y)
    kept = [array.copy() for array in (net.parameters.data, net.buffers.data, net.parameters.grad)]
    twin.forward(X)
    twin.backward(np.full((*net.population, 6, 2), 7.0, "float32"))
    twin.parameters.data = np.zeros_like(twin.parameters.data)  # its own forward, its own weights
    assert (twin.forward(X) == 0).all()
    assert (twin.predict(X) == 0).all()
    now = net.parameters.data, net.buffers.data, net.parameters.grad
    for array, before in zip(now, kept, strict=True):
        np.testing.assert_array_equal(array, before)
    np.testing.assert_array_equal(net.predict(X), Y)


def test_a_deep_copy_keeps_the_gradient_and_forgets_the_passes():
    net = small()
    with pytest.raises(mg.OrderError):
        net.backward(np.ones((5, 2)))
    net.forward(normal(5, 3))
    net.backward(np.ones((5, 2)))
    twin = copy.deepcopy(net)
    np.testing.assert_array_equal(twin.parameters.grad, net.parameters.grad)
    with pytest.raises(mg.OrderError, match="before forward"):  # it has had none
        twin.backward(np.ones((5, 2)))
    assert twin.ops is net.ops
    assert not twin._passes
    assert net._passes
    views = twin.parameters.named()
    assert all(np.shares_memory(view, twin.parameters.data) for view in views.values())
    pair = copy.deepcopy([net, mg.Adam(net.parameters), net.parameters])
    assert pair[1].parameters is pair[0].parameters is pair[2]  # together they stay together
    assert not np.shares_memory(pair[2].data, net.parameters.data)
    with pytest.raises(mg.ConfigError):
        twin.layers = net.layers


# -- assignment -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["data", "grad"])
@pytest.mark.parametrize("seed", [0, [0, 1]])
def test_an_assignment_copies_into_the_buffer(name, seed):
    parameters = mg.Sequential(mg.Linear(3, 4), mg.Linear(4, 2), seed=seed).parameters
    buffer = getattr(parameters, name)
    views = parameters.named() if name == "data" else parameters.named_grads()
    values = normal(*buffer.shape)
    kept = values.copy()

    def holds(expected):
        assert getattr(parameters, name) is buffer
        assert buffer.dtype == "float32"
        np.testing.assert_array_equal(buffer, expected)
        np.testing.assert_array_equal(
            np.concatenate([v.reshape(*v.shape[:-2], -1) for v in views.values()], axis=-1), buffer
        )

    setattr(parameters, name, values)
    holds(kept)
    values[:] = 0.0  # the caller's array is not taken over
    holds(kept)
    if name == "data":
        parameters.data *= 2.0
        parameters.data += kept
    else:
        parameters.grad *= 2.0
        parameters.grad += kept
    holds(3.0 * kept)
    setattr(parameters, name, getattr(parameters, name)[..., ::-1])
    holds((3.0 * kept)[..., ::-1])
    setattr(parameters, name, kept.astype("float64"))
    holds(kept)
    setattr(parameters, name, np.arange(buffer.size).reshape(buffer.shape))
    holds(np.arange(buffer.size).reshape(buffer.shape))
    setattr(parameters, name, (kept + 1.0).tolist())
    holds(kept + np.float32(1.0))
    setattr(parameters, name, np.asfortranarray(kept))
    holds(kept)
    wrong: list = [kept[..., :-1], kept[None], kept.reshape(-1)[:1], 3.0, np.float32(1.0), []]
    for bad in wrong:
        with pytest.raises(mg.ShapeError, match=rf"Parameters\.{name} has shape \("):
            setattr(parameters, name, bad)
        holds(kept)
    for bad in (kept > 0, kept.astype(complex), kept.astype(object), None, "abc", [[1.0], [2, 3]]):
        with pytest.raises(mg.DTypeError, match=rf"Parameters\.{name} (must|cannot) be .*numbers"):
            setattr(parameters, name, bad)
        holds(kept)


def test_passes_and_optimizers_of_before_see_what_was_assigned():
    net, other = small(), small(name="other")
    bound, kept = net.bind(5), net.bind(5, own_gradients=True)
    part = bound.part(1, 3)
    optimizer = mg.SGD(net.parameters, 1.0)
    X = normal(5, 3)
    net.forward(X)
    net.parameters.data = other.parameters.data
    expected = other.forward(X)
    for forward in (bound.forward, kept.forward, net.forward):
        np.testing.assert_array_equal(forward(X), expected)
    np.testing.assert_allclose(part.forward(X[1:3]), expected[1:3], rtol=1e-5)
    np.testing.assert_allclose(net.predict(X), expected, rtol=1e-5)
    assert not np.shares_memory(net.parameters.data, other.parameters.data)
    net.parameters.grad = np.ones(net.parameters.size)
    optimizer.step()
    np.testing.assert_allclose(net.parameters.data, other.parameters.data - 1.0, rtol=1e-6)
    counting = running()
    judge = counting.bind(5)
    counting.buffers.data = [1.0, 2.0, 3.0, 4.0, 5.0]
    judge.forward(X)
    assert counting.buffers.named()["1.count"] == 6.0
    with pytest.raises(mg.ShapeError, match=r"FlatBuffer\.data has shape \(5,\)"):
        counting.buffers.data = np.ones(4)


# -- attributes that are set once -----------------------------------------------------------


def test_no_attribute_of_a_network_can_be_replaced():
    net, other = running(), running(name="other", dtype="float64")
    kept = {name: getattr(net, name) for name in Sequential.fixed}
    assert {"layers", "parameters", "buffers", "dtype", "in_features", "streams"} <= kept.keys()
    for name, instead in Sequential.fixed.items():
        for value in (getattr(other, name), None, object()):
            if value is kept[name]:
                continue
            with pytest.raises(mg.ConfigError) as error:
                setattr(net, name, value)
            assert str(error.value) == f"Sequential.{name} cannot be replaced; {instead}"
        with pytest.raises(mg.ConfigError, match=rf"Sequential\.{name} cannot be deleted"):
            delattr(net, name)
        setattr(net, name, kept[name])  # by itself: nothing happens
        assert getattr(net, name) is kept[name]
    with pytest.raises(mg.ConfigError, match=r"assign to net\.parameters\.data"):
        net.parameters = other.parameters
    net.note = "an attribute of one's own"
    net.note = "and again"
    del net.note
    assert not hasattr(net, "note")
    twin = copy.deepcopy(net)
    with pytest.raises(mg.ConfigError, match=r"Sequential\.layers cannot be replaced"):
        twin.layers = ()


def test_a_part_of_a_pass_that_is_held_is_held():
    net = mg.Sequential(mg.Dropout(0.5), in_features=64, seed=1)
    whole, X = net.bind(4), np.ones((4, 64), "float32")
    Y = whole.forward(X).copy()
    whole.hold(True)
    part = whole.part(1, 3)
    np.testing.assert_array_equal(part.forward(X[1:3]), Y[1:3])


def test_a_part_of_a_part_follows_the_forward_of_the_whole():
    net = mg.Sequential(mg.Linear(3, 2), seed=1)
    whole = net.bind(6)
    inner = whole.part(1, 5).part(1, 3)
    X = np.arange(18, dtype="float32").reshape(6, 3)
    whole.forward(X)
    dY = np.ones((2, 2), "float32")
    inner.backward(dY)
    np.testing.assert_array_equal(net.parameters.named_grads()["0.weight"], X[2:4].T @ dY)
