"""Networks: flat parameters, passes that share weights only, and clear refusals."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import minigan as mg
from minigan.nn import LayerPass
from minigan.nn.network import PASSES_KEPT


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


def test_backward_skips_what_nobody_reads():
    net = small()
    net.forward(normal(5, 3))
    net.parameters.grad[:] = 7.0
    dX = net.backward(np.ones((5, 2)), parameter_grads=False)
    assert (net.parameters.grad == 7.0).all()
    assert dX.shape == (5, 3)
    assert net.backward(np.ones((5, 2)), input_grad=False) is None
    assert not (net.parameters.grad == 7.0).any()


def test_skipped_work_is_not_done(monkeypatch):
    from minigan.backend import numpy_backend as ops

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
    inner = before.part(1, 3)  # rows 3 and 4 of the whole
    with pytest.raises(mg.OrderError):
        before.backward(dY[2:8])
    before.forward(-X[:6])
    whole.forward(X)
    after = whole.part(2, 8)
    for part, rows in ((before, slice(2, 8)), (after, slice(2, 8)), (inner, slice(3, 5))):
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
    assert (whole.Y[2:8] != kept[2:8]).any()
    with pytest.raises(mg.ConfigError, match="packed"):
        mg.Sequential(mg.Pack(2), mg.Linear(4, 1)).bind(4).part(0, 2)


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


def test_nobody_elses_arrays_are_changed():
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


def test_whether_a_pass_can_be_cut():
    """A layer from elsewhere says which of its arrays have rows, or it cannot be."""

    class TellingPass(OddPass):
        by_rows = LayerPass.by_rows

    class FollowingPass(OddPass):
        def follow(self, whole, rows):
            pass

    class WrongPass(OddPass):
        by_rows = (*LayerPass.by_rows, "missing")

    def bound(kind):
        @dataclasses.dataclass(frozen=True)
        class Layer(Odd):
            def bind(self, binding):
                made = kind(binding)
                made.layer = self
                return made

        return mg.Sequential(mg.Linear(3, 2), Layer(), seed=0).bind(4)

    for kind, divisible in ((OddPass, False), (TellingPass, True), (FollowingPass, True)):
        assert bound(kind).divisible == divisible
    assert mg.Sequential(mg.Linear(3, 2), mg.Dropout(0.5), mg.ELU()).bind(4).divisible
    assert not mg.Sequential(mg.Pack(2), mg.Linear(4, 2)).bind(4).divisible
    with pytest.raises(mg.ConfigError, match="name them in its `by_rows`"):
        bound(OddPass).part(0, 2)
    with pytest.raises(mg.ConfigError, match="`by_rows` names missing"):
        bound(WrongPass).part(0, 2)


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
            with pytest.raises(mg.ShapeError, match=r"bound to input \(5, 3\), not"):
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

        with pytest.raises(mg.DTypeError, match="X is not an array: not today"):
            small().forward(Unwilling())
        with pytest.raises(mg.DTypeError, match="the noise is not an array"):
            small().accept([[1.0], [1.0, 2.0]], "the noise")

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
            with pytest.raises(mg.ConfigError, match="not a"):
                mg.Sequential.from_config(bad)
        unknown = config | {"layers": [{"layer": "Mine"}]}
        with pytest.raises(mg.ConfigError, match=r"no layer 'Mine' here; .*LAYERS"):
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
