"""The vocabulary: backends offer the same words, kernels obey the rules of the house."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from minigan.backend import get_backend
from minigan.backend import numpy as numpy_backend
from minigan.backend.base import Backend
from minigan.backend.numpy.pool import MOST_VIEWS, fresh_pool, full, pool, scratch
from minigan.errors import ConfigError, DeviceError

BACKENDS = [numpy_backend]


def vocabulary() -> dict[str, inspect.Signature]:
    """Every word of the protocol, without `self`."""
    words = {}
    for name, function in vars(Backend).items():
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())[1:]
        words[name] = signature.replace(parameters=parameters)
    return words


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: b.__name__)
def test_backend_offers_every_word_with_the_same_signature(backend):
    words = vocabulary()
    assert len(words) > 30
    for name, signature in words.items():
        assert inspect.signature(getattr(backend, name)) == signature, name


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: b.__name__)
def test_backend_offers_no_other_word(backend):
    public = {
        name
        for name, value in vars(backend).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(vocabulary())


def test_outputs_come_last():
    for name, signature in vocabulary().items():
        if "out" in signature.parameters and name != "matmul":
            assert [*signature.parameters][-1] == "out", name


ELEMENTWISE = {
    "relu": (),
    "leaky_relu": (0.2,),
    "sigmoid": (),
    "tanh": (),
}


@pytest.mark.parametrize("case", ELEMENTWISE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_work_in_place_and_keep_the_dtype(case, dtype):
    name, settings = case.split()[0], ELEMENTWISE[case]
    X = np.random.default_rng(0).normal(size=(5, 7)).astype(dtype) * 3
    dY = np.random.default_rng(1).normal(size=(5, 7)).astype(dtype)
    forward, backward = getattr(numpy_backend, name), getattr(numpy_backend, f"{name}_backward")
    Y, dX = np.empty_like(X), np.empty_like(X)
    forward(X, *settings, out=Y)
    backward(dY, Y, *settings, out=dX)
    assert Y.dtype == dX.dtype == dtype
    in_place, grad_in_place = X.copy(), dY.copy()
    forward(in_place, *settings, out=in_place)
    backward(grad_in_place, Y, *settings, out=grad_in_place)
    np.testing.assert_array_equal(in_place, Y)
    np.testing.assert_array_equal(grad_in_place, dX)


@pytest.mark.parametrize("alpha", [1.0, 1.7, 0.3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_elu_gives_its_value_and_slope_and_works_in_place(alpha, dtype):
    rounding = 1e-6 if dtype == "float32" else 1e-14
    X = np.random.default_rng(0).normal(size=(5, 7)).astype(dtype) * 3
    X[0, :3] = [0.0, -1e-4, 1e-4]
    Y, slope, dX = np.empty_like(X), np.empty_like(X), np.empty_like(X)
    numpy_backend.elu(X, alpha, slope, out=Y)
    assert Y.dtype == slope.dtype == dtype
    np.testing.assert_allclose(Y, np.where(X > 0, X, alpha * np.expm1(X)), atol=rounding)
    np.testing.assert_allclose(slope, np.where(X > 0, 1.0, alpha * np.exp(X)), atol=rounding)
    in_place = X.copy()
    numpy_backend.elu(in_place, alpha, dX, out=in_place)
    np.testing.assert_array_equal(in_place, Y)
    np.testing.assert_array_equal(dX, slope)
    dY = np.random.default_rng(1).normal(size=(5, 7)).astype(dtype)
    numpy_backend.elu_backward(dY, slope, out=dX)
    np.testing.assert_array_equal(dX, dY * slope)
    numpy_backend.elu_backward(dY, slope, out=dY)
    np.testing.assert_array_equal(dX, dY)


def test_activations_against_their_definitions():
    X = np.array([[-3.0, -1e-3, 0.0, 1e-3, 2.0]])
    out = np.empty_like(X)
    numpy_backend.leaky_relu(X, 0.1, out=out)
    np.testing.assert_allclose(out, np.where(X > 0, X, 0.1 * X))
    numpy_backend.relu(X, out=out)
    np.testing.assert_allclose(out, np.where(X > 0, X, 0.0))
    numpy_backend.sigmoid(X, out=out)
    np.testing.assert_allclose(out, 1 / (1 + np.exp(-X)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_are_finite_at_the_far_ends(dtype):
    X = np.array([[-1e30, -1000.0, -100.0, 0.0, 100.0, 1000.0, 1e30]], dtype)
    out = np.empty_like(X)
    for name, settings in (("sigmoid", ()), ("tanh", ()), ("elu", (1.0, np.empty_like(X)))):
        getattr(numpy_backend, name)(X, *settings, out=out)
        assert np.isfinite(out).all(), name
    numpy_backend.sigmoid(np.array([[-30.0]], dtype), out=out[:, :1])
    assert out[0, 0] == pytest.approx(np.exp(-30.0), rel=1e-5)  # small, but not rounded to 0


def test_row_kernels_sum_over_the_batch_of_each_member():
    X = np.arange(24.0).reshape(2, 3, 4)  # (S, B, F)
    out = np.empty((2, 1, 4))
    numpy_backend.sum_rows(X, out=out)
    np.testing.assert_array_equal(out[:, 0], X.sum(axis=1))
    rows = np.empty_like(X)
    numpy_backend.add_rows(X, out, out=rows)
    np.testing.assert_array_equal(rows, X + X.sum(axis=1, keepdims=True))


def test_matmul_transposes_on_request():
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(3, 4)), rng.normal(size=(4, 5))
    out = np.empty((3, 5))
    for ta in (False, True):
        for tb in (False, True):
            left, right = A.T.copy() if ta else A, B.T.copy() if tb else B
            numpy_backend.matmul(left, right, out=out, transpose_A=ta, transpose_B=tb)
            np.testing.assert_allclose(out, A @ B)


def test_cuda_is_an_error_and_never_a_quiet_cpu_run():
    for device in ("cuda", "cuda:1"):
        with pytest.raises(DeviceError, match="cuda"):
            get_backend(device)
    with pytest.raises(ConfigError, match="tpu"):
        get_backend("tpu")
    assert get_backend("auto") is get_backend("cpu") is numpy_backend


def test_sigmoid_keeps_its_relative_accuracy_far_out():
    X = np.array([[-80.0, -40.0]], "float32")
    out = np.empty_like(X)
    numpy_backend.sigmoid(X, out=out)
    np.testing.assert_allclose(out, np.exp(X.astype("float64")), rtol=1e-5)


def test_threads_do_not_share_temporaries():
    import threading

    mine = scratch((3, 4), "f")
    theirs = []
    thread = threading.Thread(target=lambda: theirs.append(scratch((3, 4), "f")))
    thread.start()
    thread.join()
    assert not np.shares_memory(mine, theirs[0])


def test_the_pool_grows_to_the_largest_use_and_no_further():
    with fresh_pool():
        for n in range(1, 3000):
            assert scratch((n, 2), "f").shape == (n, 2)
        for n in range(1, 3000):
            scratch((n, 2), "f")
        (buffer,) = pool.buffers.values()
        assert buffer.size == 2 * 2999
        assert len(pool.views) <= MOST_VIEWS
        one, other = scratch((5, 2), "f", 0), scratch((5, 2), "f", 1)
        assert not np.shares_memory(one, other)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_record_finite_sees_one_bad_number(bad):
    X = np.linspace(-1e38, 1e38, 1001, dtype="float32")
    out = np.full((), 7.0)
    numpy_backend.record_finite(X, out=out)
    assert out == 1.0
    for place in (0, 500, 1000):
        Y = np.stack([X, X])  # (2, 1001), a population of two
        Y[1, place] = bad
        flags = np.full(2, 7.0)
        numpy_backend.record_finite(Y, out=flags)
        assert flags.tolist() == [1.0, 0.0]


def test_a_constant_of_the_pool_cannot_be_written():
    with fresh_pool(), pytest.raises(ValueError, match="read-only"):
        full(2.0, (3, 2), "f")[0] = 1.0


def test_no_numbers_are_all_finite():
    """A network may have no parameters."""
    out = np.full(2, 7.0)
    numpy_backend.record_finite(np.empty((2, 0), "float32"), out=out)
    assert out.tolist() == [1.0, 1.0]
