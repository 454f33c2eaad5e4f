"""Arrays from outside: what can be read is taken, and the rest is refused in one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import minigan as mg
from minigan.backend import get_backend
from minigan.evaluation import response, score_gaussian
from minigan.evaluation.image_scores import classifier_score, frechet_distance
from minigan.nn.gradcheck import compare
from minigan.nn.layer import LayerPass

ONES = np.ones((2, 4))


def network() -> mg.Sequential:
    net = mg.Sequential(mg.Linear(4, 4))
    net.forward(ONES)
    return net


def gan() -> mg.GAN:
    return mg.GAN(mg.Sequential(mg.Linear(1, 4)), mg.Sequential(mg.Linear(4, 1)), mg.Normal())


def assign(X: Any) -> Any:
    net = mg.Sequential(mg.Linear(3, 2))
    net.parameters.data = X
    return net.parameters.data


class ForeignPass(LayerPass):
    """Returns an array of another library."""

    result: Any = None

    def forward(self, X, train):
        return self.result


class Foreign(mg.Layer):
    def bind(self, binding):
        return ForeignPass(binding)


def layer_returns(X: Any) -> Any:
    bound = mg.Sequential(Foreign(), in_features=4).bind(2)
    bound.layers[0].result = X  # type: ignore[attr-defined]
    return bound.forward(ONES.astype("float32"))


#: What takes floating-point numbers (2, 4), or (8,); each returns something made of them.
ENTRANCES: dict[str, Callable[[Any], Any]] = {
    "forward": lambda X: network().forward(X),
    "backward": lambda X: network().backward(X),
    "predict": lambda X: network().predict(X),
    "what a layer returns": layer_returns,
    "parameters.data": assign,
    "a loss": lambda X: mg.mean_squared_error(X, 0.5)[1],
    "targets of mean_squared_error": lambda X: mg.mean_squared_error(ONES, X)[1],
    "targets of bce": lambda X: mg.bce(0.5 * ONES, X)[1],
    "targets of bce_with_logits": lambda X: mg.bce_with_logits(ONES, X)[1],
    "gradcheck": lambda X: mg.gradcheck(network(), X).rows[0].analytic,
    "compare": lambda X: compare(network(), ONES, X)[1][0].analytic,
    "gradcheck_function": lambda X: (
        mg.gradcheck_function(lambda Y: mg.mean_squared_error(Y, 0.5), X).rows[0].analytic
    ),
    "a function's gradient": lambda X: (
        mg.gradcheck_function(lambda Y: (float(Y.sum()), X), ONES).rows[0].analytic
    ),
    "Samples": lambda X: mg.Samples(X).X,
    "frechet_distance": lambda X: frechet_distance(X, 2.0 * ONES),
    "classifier_score": lambda X: classifier_score(X),
    "score_gaussian": lambda X: score_gaussian(X, 0.0, 1.0).mean,
}
FLAT = ("parameters.data",)


def step(X: Any) -> Any:
    game = gan()
    game.step(X)
    return game.real


ENTRANCES["step"] = step


def given(entrance: str, make: Callable[[np.ndarray], Any]) -> Any:
    return make(np.ones(8) if entrance in FLAT else ONES.copy())


class Refusing:
    """An array whose library does not hand it over, and says why."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.shape = (2, 4)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise self.error

    def __dlpack__(self, **options: Any) -> Any:
        return np.full(self.shape, 7.0).__dlpack__()  # as PyTorch: without the lazy minus

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


class OnlyDLPack:
    """An array of which we know that it speaks DLPack."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


class Nested:
    """A tensor without a shape, as PyTorch's nested ones."""

    dtype = "float32"

    @property
    def shape(self) -> tuple[int, ...]:
        raise RuntimeError("no sizes")

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("no such layout")


def endless() -> list[Any]:
    inside: list[Any] = []
    inside.append(inside)
    return inside


def masked(X: np.ndarray) -> Any:
    return np.ma.masked_array(X, mask=[True, *[False] * (X.size - 1)])


GRAD = "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
BAD: dict[str, tuple[Callable[[np.ndarray], Any], str]] = {
    "requires grad": (lambda X: Refusing(RuntimeError(GRAD)), "detach"),
    "on a GPU": (lambda X: Refusing(TypeError("Use Tensor.cpu() first.")), "cpu"),
    "bfloat16": (lambda X: Refusing(TypeError("Got unsupported ScalarType")), "float32 first"),
    "no buffer": (lambda X: Refusing(BufferError("no such layout")), "no such layout"),
    "many lines": (lambda X: Refusing(NotImplementedError("one\ntwo")), "one$"),
    "an error of its own kind": (lambda X: Refusing(LookupError("no entry")), "no entry"),
    "a list in itself": (lambda X: endless(), "recursion"),
    "masked": (lambda X: masked(X.ravel()).reshape(X.shape), "filled"),
    "rows that are masked": (lambda X: [*np.ma.masked_array(X, X == 1.0)], "filled"),
    "sparse": (lambda X: sparse.csr_array(X.reshape(2, 4)), "toarray"),
    "None": (lambda X: None, "None"),
    "complex": (lambda X: X.astype(complex), "complex"),
    "strings": (lambda X: X.astype(str), "<U"),
    "bytes": (lambda X: X.astype("S3"), "S3"),
    "dates": (lambda X: X.astype("M8[s]"), "datetime64"),
    "durations": (lambda X: X.astype("m8[s]"), "timedelta64"),
    "objects": (lambda X: X.astype(object), "object"),
    "fields": (lambda X: np.zeros(X.shape, [("a", "f4")]), "f4"),
    "a word": (lambda X: "word", "<U4"),
    "a ragged list": (lambda X: [[1.0], [1.0, 2.0]], "inhomogeneous"),
}
GOOD: dict[str, Callable[[np.ndarray], Any]] = {
    "float32": lambda X: X.astype("float32"),
    "another byte order": lambda X: X.astype(">f8"),
    "longdouble": lambda X: X.astype(np.longdouble),
    "nothing is masked": lambda X: np.ma.masked_array(X, mask=np.zeros(X.shape, bool)),
    "a list": lambda X: X.tolist(),
    "a list of rows": lambda X: [*X],
    "columns first": np.asfortranarray,
    "only DLPack": OnlyDLPack,
    "read-only": lambda X: np.broadcast_to(1.0, X.shape),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_what_cannot_be_read_is_refused_with_what_to_do(entrance, bad):
    if bad == "None" and entrance in ("step", "what a layer returns"):
        return  # step(None) is step(), and a layer's None has an error of its own
    make, said = BAD[bad]
    kinds = (mg.DTypeError, mg.DataError) if entrance == "Samples" else mg.DTypeError
    if bad == "a word" and entrance == "Samples":
        kinds = mg.ShapeError
        said = "not ()"
    with pytest.raises(kinds, match=re.escape(said) if said[-1] != "$" else said) as error:
        ENTRANCES[entrance](given(entrance, make))
    assert "\n" not in str(error.value)
    assert ". " not in str(error.value)


@pytest.mark.parametrize("good", GOOD)
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_what_can_be_read_is_read(entrance, good):
    expected = ENTRANCES[entrance](given(entrance, lambda X: X))
    if entrance == "a loss" and good == "another byte order":
        return  # the gradient has the array's own dtype
    made = ENTRANCES[entrance](given(entrance, GOOD[good]))
    np.testing.assert_allclose(made, expected, rtol=1e-6)


def test_labels_and_images_come_through_the_same_gate():
    labels, pixels = np.array([0, 1]), np.zeros((2, 3, 3), "uint8")
    assert mg.Samples(ONES, labels=OnlyDLPack(labels)).classes == 2
    assert mg.Images(OnlyDLPack(pixels)).size == 2
    loss, _ = mg.softmax_cross_entropy(ONES, OnlyDLPack(labels))
    assert loss == pytest.approx(np.log(4.0))
    for make in (
        lambda X: mg.Samples(ONES, labels=X),
        lambda X: mg.Images(pixels, labels=X),
        lambda X: mg.softmax_cross_entropy(ONES, X),
        mg.Images,
    ):
        for bad in ("masked", "requires grad", "on a GPU", "a ragged list", "sparse"):
            with pytest.raises(mg.DTypeError):
                make(BAD[bad][0](np.ones(2, int)) if bad != "sparse" else sparse.csr_array(ONES))
        for bad in ("complex", "strings", "dates", "objects"):
            with pytest.raises((mg.DTypeError, mg.DataError)):
                make(BAD[bad][0](np.ones(2, int)))


def test_the_samples_of_a_response_come_through_it_too():
    D = mg.Sequential(mg.Linear(1, 1))
    x = np.linspace(-1.0, 1.0, 5)
    for samples, places in ((masked(np.ones(4)), x), (np.ones(4), masked(x))):
        with pytest.raises(mg.DTypeError, match="filled"):
            response.discriminator_response(D, samples, places, np.ones_like)


def test_a_state_comes_through_it_too():
    game = gan()
    tensors, counters = game.state()
    name = "generator/0.weight"
    with pytest.raises(mg.CheckpointError, match="masked"):
        game.load_state(tensors | {name: masked(tensors[name])}, counters)
    with pytest.raises(mg.CheckpointError, match="no such layout"):
        game.load_state(tensors | {name: Nested()}, counters)
    game.load_state(tensors, counters)


def test_a_pass_takes_arrays_of_its_own_kind_alone():
    bound = mg.Sequential(mg.Linear(4, 4)).bind(2)
    X = ONES.astype("float32")
    for bad in (X.tolist(), masked(X.ravel()).reshape(2, 4), OnlyDLPack(X), None):
        with pytest.raises(mg.DTypeError, match="the network's own forward and backward convert"):
            bound.forward(bad)
    bound.forward(X)
    for bad in (X.tolist(), masked(X.ravel()).reshape(2, 4), OnlyDLPack(X), None):
        with pytest.raises(mg.DTypeError, match="dY is a"):
            bound.backward(bad)


def test_longdouble_is_rounded_to_float64():
    third = np.full((2, 4), np.longdouble(1) / 3)
    _, dY = mg.mean_squared_error(third, 0.0)
    assert dY.dtype == "float64"
    assert get_backend("cpu").asarray(third).dtype == "float64"


def test_a_readable_array_is_not_copied():
    X = np.ones((2, 4), "float32")
    assert network().accept(X) is X
    assert np.shares_memory(network().accept(OnlyDLPack(X)), X)


# -- PyTorch itself -------------------------------------------------------------------------


def tensors() -> dict[str, tuple[Any, str]]:
    """Tensors that cannot be read, each with what to do."""
    torch = pytest.importorskip("torch")
    ones = torch.ones(2, 4)
    return {
        "requires grad": (torch.ones(2, 4, requires_grad=True), "detach()"),
        "a parameter": (torch.nn.Parameter(ones), "detach()"),
        "bfloat16": (ones.bfloat16(), "float32 first"),
        "quantised": (torch.quantize_per_tensor(ones, 0.1, 0, torch.qint8), "float32 first"),
        "sparse": (ones.to_sparse(), "to_dense()"),
        "sparse rows": (ones.to_sparse_csr(), "to_dense()"),
        "lazily negated": (torch.complex(ones, ones).conj().imag, "resolve_neg()"),
        "lazily conjugated": (torch.complex(ones, ones).conj(), "resolve_conj()"),
        "on no device": (torch.ones(2, 4, device="meta"), "cpu()"),
    }


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("entrance", [name for name in ENTRANCES if name not in FLAT])
def test_every_entrance_names_pytorchs_own_mend(entrance):
    for bad, said in tensors().values():
        with pytest.raises(mg.DTypeError, match=re.escape(said)):
            ENTRANCES[entrance](bad)


def test_plain_tensors_are_read():
    torch = pytest.importorskip("torch")
    X = torch.arange(8.0).reshape(2, 4)
    net = network()
    np.testing.assert_array_equal(net.predict(X), net.predict(X.numpy()))
    np.testing.assert_array_equal(net.predict(X.half()), net.predict(X.numpy()))
    np.testing.assert_array_equal(net.predict(X.flip(1)), net.predict(X.numpy()[:, ::-1]))
    np.testing.assert_array_equal(net.predict([*X]), net.predict(X.numpy()))
    with pytest.raises(mg.DTypeError, match="detach"):
        net.predict([*X.requires_grad_()])
