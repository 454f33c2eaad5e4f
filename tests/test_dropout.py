"""Dropout: what is kept, how it is scaled, and that backward uses the same mask."""

from __future__ import annotations

import numpy as np
import pytest

import minigan as mg


def net(rate: float, features: int = 1000) -> mg.Sequential:
    return mg.Sequential(mg.Dropout(rate), in_features=features, seed=0)


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5, 0.9])
def test_kept_fraction_and_scaling(rate):
    X = np.ones((500, 1000), "float32")
    Y = net(rate).forward(X, train=True)
    kept = Y != 0
    n = X.size
    assert abs(kept.mean() - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / n)
    np.testing.assert_allclose(Y[kept], 1 / (1 - rate), rtol=2e-4)  # the rate is k / 2^16
    assert abs(Y.mean() - 1) < 6 * np.sqrt(rate / (1 - rate) / n)


def test_kept_units_are_independent_across_rows_and_columns():
    Y = net(0.5).forward(np.ones((1000, 1000), "float32"), train=True) > 0
    assert abs(np.corrcoef(Y[0], Y[1])[0, 1]) < 0.15
    assert abs(np.corrcoef(Y[:, 0], Y[:, 1])[0, 1]) < 0.15
    assert Y.mean(axis=0).min() > 0.4
    assert Y.mean(axis=0).max() < 0.6


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.37])
def test_decisions_that_share_a_byte_are_as_good_as_independent(rate):
    n = 2_000_000
    kept = net(rate, n).forward(np.ones((1, n), "float32"), train=True)[0] > 0
    first, second = kept[: n // 2].astype(float), kept[n // 2 :].astype(float)
    for shift in (0, 1):  # number k of the second half shares bytes with k and k + 1 of the first
        correlation = np.corrcoef(first[shift:], second[: n // 2 - shift])[0, 1]
        assert abs(correlation) < 1 / 256 + 5 / np.sqrt(n // 2)


def test_decisions_by_hand_from_the_words_of_the_stream():
    for n in (1, 2, 31, 32, 33, 64, 1001):
        mask = np.empty((1, n), "float64")
        stream = mg.Stream(3, "d")
        mg.backend.numpy.fill_dropout_mask(stream, 0.3, out=mask)
        half = -(-n // 2)
        assert stream.position == -(-2 * half // 32)
        words = mg.Stream(3, "d").words(stream.position * 4)[0]
        ring = words.astype("<u8").view(np.uint8)[: 2 * half].astype(int)
        starts = [*range(0, 2 * half, 2), *range(1, 2 * half, 2)][:n]
        numbers = np.array([ring[i] + 256 * ring[(i + 1) % (2 * half)] for i in starts])
        threshold = round(0.3 * 65536)
        expected = np.where(numbers >= threshold, 65536 / (65536 - threshold), 0.0)
        np.testing.assert_array_equal(mask[0], expected)


def test_backward_uses_the_mask_of_the_forward():
    layer = net(0.3, 40)
    X = np.random.default_rng(0).normal(size=(30, 40)).astype("float32")
    Y = layer.forward(X, train=True).copy()
    dX = layer.backward(np.ones_like(X))
    np.testing.assert_allclose(dX * X, Y, rtol=1e-6)
    np.testing.assert_allclose(layer.backward(np.ones_like(X)), dX)  # and again the same


def test_every_forward_draws_a_new_mask():
    layer = net(0.5, 40)
    X = np.ones((30, 40), "float32")
    first = layer.forward(X, train=True).copy()
    assert (layer.forward(X, train=True) != first).any()


def test_evaluation_is_the_identity():
    layer = net(0.5, 40)
    X = np.random.default_rng(0).normal(size=(30, 40)).astype("float32")
    np.testing.assert_array_equal(layer.forward(X, train=False), X)
    np.testing.assert_array_equal(layer.backward(X), X)
    np.testing.assert_array_equal(layer.predict(X), X)


def test_rate_zero_is_the_identity_in_training_too():
    layer = net(0.0, 4)
    X = np.ones((3, 4), "float32")
    np.testing.assert_array_equal(layer.forward(X, train=True), X)
    np.testing.assert_array_equal(layer.backward(X), X)
    assert layer.streams[0].position == 0  # nothing is drawn for it


def test_dropout_behind_relu_shares_its_buffer_and_still_has_the_right_gradient():
    stack = mg.Sequential(mg.Linear(6, 8), mg.ReLU(), mg.Dropout(0.5), mg.Linear(8, 2), seed=0)
    bound = stack.bind(10)
    assert bound.layers[0].Y is bound.layers[1].Y is bound.layers[2].Y
    X = np.random.default_rng(0).normal(size=(10, 6))
    assert mg.gradcheck(stack, X).ok


def test_bad_rates_are_refused():
    for rate in (-0.1, 1.0, float("nan")):
        with pytest.raises(mg.ConfigError, match="rate"):
            mg.Dropout(rate)
