"""Losses at their edges: huge logits, sure probabilities, wrong arguments."""

from __future__ import annotations

import numpy as np
import pytest

import minigan as mg

LOGITS = [0.0, 1.0, -1.0, 20.0, -20.0, 100.0, -100.0, 1e4, -1e4]


def exact_bce(x: np.longdouble, t: float) -> tuple[np.longdouble, np.longdouble]:
    """Loss and gradient of one logit in extended precision."""
    x = np.longdouble(x)
    e = np.exp(-np.abs(x))
    loss = np.maximum(x, 0) - x * t + np.log1p(e)
    p = 1 / (1 + e) if x >= 0 else e / (1 + e)
    return loss, p - t


@pytest.mark.parametrize("logit", LOGITS)
@pytest.mark.parametrize("target", [0.0, 0.95, 1.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bce_with_logits_is_finite_and_right(logit, target, dtype):
    loss, grad = mg.bce_with_logits(np.full((1, 1), logit, dtype), target)
    expected_loss, expected_grad = exact_bce(logit, target)
    assert np.isfinite(loss)
    assert loss == pytest.approx(float(expected_loss), rel=1e-6, abs=1e-6)
    assert abs(float(grad[0, 0]) - float(expected_grad)) <= 1e-6


def test_bce_is_finite_at_certainty_and_right_elsewhere():
    for dtype in ("float32", "float64"):
        P = np.array([[0.0, 1.0, 0.0, 1.0]], dtype)
        T = np.array([[0.0, 1.0, 1.0, 0.0]], dtype)
        loss, grad = mg.bce(P, T)
        assert np.isfinite(loss)
        assert np.isfinite(grad).all()
        assert loss == pytest.approx(50.0)  # two right for nothing, two wrong for 100 each
    P = np.array([[0.2, 0.7]])
    loss, grad = mg.bce(P, 0.95)
    expected = -(0.95 * np.log(P) + 0.05 * np.log(1 - P)).mean()
    assert loss == pytest.approx(expected)
    np.testing.assert_allclose(grad, (P - 0.95) / (P * (1 - P)) / 2)


def test_bce_of_sigmoid_equals_bce_with_logits():
    x = np.linspace(-6, 6, 13)[:, None]
    p = 1 / (1 + np.exp(-x))
    loss_p, dp = mg.bce(p, 0.95)
    loss_x, dx = mg.bce_with_logits(x, 0.95)
    assert loss_p == pytest.approx(loss_x)
    np.testing.assert_allclose(dp * p * (1 - p), dx, rtol=1e-10)


def test_softmax_cross_entropy_against_its_definition():
    logits = np.array([[1.0, 2.0, 3.0], [1e4, 0.0, -1e4]])
    labels = np.array([2, 0])
    loss, grad = mg.softmax_cross_entropy(logits, labels)
    shifted = logits - logits.max(axis=1, keepdims=True)
    p = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    assert loss == pytest.approx(-np.log(p[[0, 1], labels]).mean())
    np.testing.assert_allclose(grad, (p - np.eye(3)[labels]) / 2, atol=1e-15)


def test_mean_squared_error_against_its_definition():
    Y, T = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[0.0, 2.0], [4.0, 1.0]])
    loss, grad = mg.mean_squared_error(Y, T)
    assert loss == pytest.approx((1 + 0 + 1 + 16) / 4)
    np.testing.assert_allclose(grad, (Y - T) / 2)


def test_a_population_has_a_loss_a_member():
    Y = np.random.default_rng(0).normal(size=(3, 5, 2))
    losses, grads = mg.bce_with_logits(Y, 1.0)
    assert losses.shape == (3,)
    for k in range(3):
        loss, grad = mg.bce_with_logits(Y[k], 1.0)
        assert losses[k] == pytest.approx(loss)
        np.testing.assert_allclose(grads[k], grad)


def test_losses_do_not_change_their_arguments():
    Y = np.full((2, 2), 0.3)
    mg.bce(Y, 1.0)
    mg.bce_with_logits(Y, 1.0)
    mg.mean_squared_error(Y, 1.0)
    mg.softmax_cross_entropy(Y, np.array([0, 1]))
    assert (Y == 0.3).all()


def test_bad_arguments_are_named():
    Y = np.zeros((2, 3))
    with pytest.raises(mg.ShapeError, match="targets"):
        mg.bce(Y, np.zeros((2, 1)))  # broadcasting here is how the article's (batch, 0) hid
    with pytest.raises(mg.DTypeError, match="int64"):
        mg.bce_with_logits(np.zeros((2, 3), np.int64), 1.0)
    with pytest.raises(mg.ShapeError, match="batch"):
        mg.mean_squared_error(np.zeros(3), 1.0)
    with pytest.raises(mg.DataError, match="labels"):
        mg.softmax_cross_entropy(Y, np.array([0, 3]))
    with pytest.raises(mg.DataError, match="labels"):
        mg.softmax_cross_entropy(Y, np.array([0, -1]))
    for loss in (mg.bce, mg.bce_with_logits):
        for bad in (5.0, -0.1, np.nan):
            with pytest.raises(mg.DataError, match="targets"):
                loss(Y, bad)
        with pytest.raises(mg.DTypeError, match="numbers"):
            loss(Y, None)
    with pytest.raises(mg.DataError, match="probabilities"):
        mg.bce(Y + 1.5, 1.0)
    with pytest.raises(mg.DTypeError, match="integers"):
        mg.softmax_cross_entropy(Y, np.array([0.0, 1.0]))
    with pytest.raises(mg.ShapeError, match="empty"):
        mg.bce(np.zeros((0, 3)), 1.0)


def test_softmax_cross_entropy_takes_a_class_that_is_ruled_out():
    logits = np.array([[0.0, 1.0, -np.inf]])
    loss, grad = mg.softmax_cross_entropy(logits, np.array([1]))
    assert loss == pytest.approx(np.log1p(np.exp(-1.0)))
    assert np.isfinite(grad).all()


@pytest.mark.parametrize("loss", [mg.bce, mg.bce_with_logits, mg.mean_squared_error])
def test_targets_may_be_a_number_or_an_array_of_the_same_shape(loss):
    Y = np.random.default_rng(0).uniform(0.1, 0.9, (3, 2))
    value, grad = loss(Y, 0.3)
    for targets in (np.full((3, 2), 0.3), np.full((3, 2), 0.3).tolist(), np.float32(0.3)):
        same, same_grad = loss(Y, targets)
        assert type(same) is float
        assert same == pytest.approx(value, rel=1e-6)
        np.testing.assert_allclose(same_grad, grad, rtol=1e-6)
    for targets in ("x", [["a"]], [[1.0], [1.0, 2.0]], object()):
        with pytest.raises(mg.DTypeError, match="numbers"):
            loss(Y, targets)
    for shape in ((2, 3), (3,), (2,), (1, 2), (1, 3, 2)):
        with pytest.raises(mg.ShapeError, match="targets of shape"):
            loss(Y, np.full(shape, 0.3))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gradient_has_the_dtype_of_what_it_is_of(dtype):
    Y = np.full((3, 2), 0.3, dtype)
    for loss in (mg.bce, mg.bce_with_logits, mg.mean_squared_error):
        assert loss(Y, np.full((3, 2), 0.5))[1].dtype == dtype
    assert mg.softmax_cross_entropy(Y, np.array([0, 1, 1]))[1].dtype == dtype


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_the_ends_of_a_range_belong_to_it(edge):
    Y = np.full((2, 2), edge)
    mg.bce(Y, edge)
    mg.bce_with_logits(Y, np.full((2, 2), edge))
    for beyond in (np.nextafter(1.0, 2.0), -5e-324):
        with pytest.raises(mg.DataError, match=r"targets must lie in \[0, 1\]"):
            mg.bce_with_logits(Y, beyond)
        with pytest.raises(mg.DataError, match=r"probabilities must lie in \[0, 1\]"):
            mg.bce(np.array([[0.5, beyond]]), 1.0)
    with pytest.raises(mg.DTypeError, match="targets must be numbers"):
        mg.bce(Y, "one")


def test_labels_of_a_population_and_labels_that_do_not_fit():
    logits = np.random.default_rng(0).normal(size=(2, 3, 4))
    labels = np.array([[0, 3, 1], [2, 2, 0]])
    losses, grads = mg.softmax_cross_entropy(logits, labels)
    assert losses.shape == (2,)
    for k in range(2):
        loss, grad = mg.softmax_cross_entropy(logits[k], labels[k])
        assert losses[k] == pytest.approx(loss)
        np.testing.assert_allclose(grads[k], grad)
    for bad in (labels[0], labels[:, :2], labels[..., None]):
        with pytest.raises(mg.ShapeError, match=r"labels of shape .* expected \(2, 3\)"):
            mg.softmax_cross_entropy(logits, bad)
    with pytest.raises(mg.DataError, match=r"labels must lie in \[0, 4\), not \[0, 4\]"):
        mg.softmax_cross_entropy(logits, labels + (labels == 3))
    for bad in (np.zeros((3, 4, 0)), np.zeros((0, 4))):
        with pytest.raises(mg.ShapeError, match="must not be empty"):
            mg.softmax_cross_entropy(bad, np.zeros(bad.shape[:-1], int))
