"""Tests of the tests: plant the classic mistakes, and see each one caught.

Every case pairs a fault with the check that guards against it. The check must pass on the
code as it is, and fail once the fault is in.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import planted_layers
import pytest
import right_layers
from additions import OwnBatchNorm

import minigan as mg
from minigan.backend import numpy as ops
from minigan.lessons import explain_own
from minigan.nn.layers.dropout import DropoutPass
from minigan.nn.layers.linear import LinearPass
from minigan.nn.layers.pack import PackPass

X = np.random.default_rng(0).normal(size=(6, 4))


def network_gradients() -> bool:
    """The gradient check of a network with every kind of layer."""
    net = mg.Sequential(
        mg.Pack(2),
        mg.Linear(16, 5),
        mg.ELU(),
        mg.Dropout(0.5),
        mg.Linear(5, 4),
        mg.LeakyReLU(0.2),
        mg.Linear(4, 3),
        mg.Tanh(),
        mg.Linear(3, 2),
        mg.Sigmoid(),
        seed=1,
    )
    return mg.gradcheck(net, X).ok


def second_pass_gradients() -> bool:
    """Backward answers for the latest forward, not for an earlier one."""
    net = mg.Sequential(mg.Linear(4, 3), mg.Tanh(), mg.Linear(3, 1), seed=1, dtype="float64")
    net.forward(X)
    dY = np.ones((6, 1))
    net.forward(X + 1.0)
    net.backward(dY)
    stale_or_not = net.parameters.grad.copy()
    fresh = mg.Sequential(mg.Linear(4, 3), mg.Tanh(), mg.Linear(3, 1), seed=1, dtype="float64")
    fresh.forward(X + 1.0)
    fresh.backward(dY)
    return np.allclose(stale_or_not, fresh.parameters.grad)


def loss_gradients() -> bool:
    """The gradient check of the losses."""
    targets = np.random.default_rng(1).uniform(size=X.shape)
    return all(
        mg.gradcheck_function(lambda Y, f=f: f(Y, targets), at).ok
        for f, at in ((mg.bce_with_logits, X), (mg.mean_squared_error, X))
    )


def adam_by_hand() -> bool:
    """Three steps of Adam against its published formulas."""
    net = mg.Sequential(mg.Linear(4, 3), seed=1, dtype="float64")
    opt = mg.Adam(net.parameters, lr=0.1, betas=(0.8, 0.9))
    p = net.parameters.data.copy()
    m = v = np.zeros_like(p)
    for t in (1, 2, 3):
        g = np.cos(np.arange(p.size) + t)
        net.parameters.grad[:] = g
        opt.step()
        m = 0.8 * m + 0.2 * g
        v = 0.9 * v + 0.1 * g * g
        p = p - 0.1 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.9**t)) + 1e-8)
    return np.allclose(net.parameters.data, p, rtol=1e-12)


# -- the faults -----------------------------------------------------------------------


def after(target: object, name: str, damage: Callable[..., None]) -> tuple[object, str, Callable]:
    """Let the original run, then damage its result."""
    original = getattr(target, name)

    def faulty(*args, **kwargs):
        result = original(*args, **kwargs)
        damage(*args, **kwargs)
        return result

    return target, name, faulty


def wrong_sign() -> tuple[object, str, Callable]:
    return after(ops, "tanh_backward", lambda dY, Y, out: np.negative(out, out=out))


def wrong_elu_slope() -> tuple[object, str, Callable]:
    def damage(X, alpha, slope, out):
        np.subtract(slope, X <= 0.0, out=slope)  # e^X - 1 where it should be e^X

    return after(ops, "elu", damage)


def missing_mean_in_bce() -> tuple[object, str, Callable]:
    return after(
        ops,
        "bce_with_logits_gradient",
        lambda logits, targets, n, out: np.multiply(out, n, out=out),
    )


def missing_mean_in_mse() -> tuple[object, str, Callable]:
    return after(
        ops,
        "mean_squared_error_gradient",
        lambda Y, targets, n, out: np.multiply(out, n, out=out),
    )


def dropped_bias_gradient() -> tuple[object, str, Callable]:
    return after(LinearPass, "backward", lambda self, dY, **options: self.dbias.fill(0.0))


def untransposed_weight() -> tuple[object, str, Callable]:
    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        self.ops.matmul(self.X, dY, out=self.dweight, transpose_A=True)
        self.ops.sum_rows(dY, out=self.dbias)
        self.dX[...] = dY.sum(axis=-1, keepdims=True)
        return self.dX

    return LinearPass, "backward", backward


def stale_input() -> tuple[object, str, Callable]:
    original = LinearPass.forward

    def forward(self, X, train):
        first = getattr(self, "first", None)
        Y = original(self, X, train)
        self.first = X.copy() if first is None else first
        self.X = self.first
        return Y

    return LinearPass, "forward", forward


def dropout_mask_drawn_again() -> tuple[object, str, Callable]:
    original = DropoutPass.backward

    def backward(self, dY, **options):
        self.ops.fill_dropout_mask(self.stream, self.rate, out=self.mask)
        return original(self, dY, **options)

    return DropoutPass, "backward", backward


def pack_forgets_the_samples() -> tuple[object, str, Callable]:
    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        dsquares = dY[..., self.width :].reshape(self.packed)
        self.ops.pack_deviations_backward(dsquares, self.samples, self.mean, out=self.dX_packed)
        return self.dX

    return PackPass, "backward", backward


def pack_differentiates_the_mean() -> tuple[object, str, Callable]:
    def damage(dY, X, mean, out):
        term = 2.0 * (X - mean) * dY
        np.subtract(term, term.mean(axis=-2, keepdims=True), out=out)

    return ops, "pack_deviations_backward", damage


def adam_without_bias_correction() -> tuple[object, str, Callable]:
    def adam(data, grad, g_sum, g2_sum, clock, beta1, beta2, eps, weight_decay):
        g_sum[...] = beta1 * g_sum + (1 - beta1) * grad
        g2_sum[...] = beta2 * g2_sum + (1 - beta2) * grad * grad
        data -= clock[2] * g_sum / (np.sqrt(g2_sum) + eps)

    return ops, "adam", adam


FAULTS = [
    (wrong_sign, network_gradients),
    (wrong_elu_slope, network_gradients),
    (missing_mean_in_bce, loss_gradients),
    (missing_mean_in_mse, loss_gradients),
    (dropped_bias_gradient, network_gradients),
    (untransposed_weight, network_gradients),
    (stale_input, second_pass_gradients),
    (dropout_mask_drawn_again, network_gradients),
    (pack_forgets_the_samples, network_gradients),
    (pack_differentiates_the_mean, network_gradients),
    (adam_without_bias_correction, adam_by_hand),
]


@pytest.mark.parametrize(("fault", "caught_by"), FAULTS, ids=lambda f: f.__name__)
def test_fault_is_caught(fault, caught_by, monkeypatch):
    assert caught_by(), "the check must pass before the fault is planted"
    monkeypatch.setattr(*fault())
    assert not caught_by(), "the check did not notice the fault"


# -- a layer's file ---------------------------------------------------------------------


@pytest.mark.parametrize("name", planted_layers.LAYERS)
def test_a_planted_layer_is_called_wrong_and_its_condition_is_named(name):
    try:
        text, right = explain_own(planted_layers.LAYERS[name])
    except (mg.MiniganError, ValueError):  # "does not run", and the exit code is 2
        assert name not in planted_layers.SAID
        return
    assert not right
    assert planted_layers.SAID.get(name, "DISAGREE") in text


OURS = [
    *(mg.Linear(4, 3), mg.Linear(1, 5, bias=False), mg.ReLU(), mg.LeakyReLU(0.3), mg.ELU(0.5)),
    *(mg.Sigmoid(), mg.Tanh(), mg.Dropout(0.4), mg.Pack(2, deviations=False), mg.Pack(3)),
    mg.Dropout(0.002),  # whose masks of a few numbers are mostly the same
    *(mg.BatchNorm(1), mg.BatchNorm(3), mg.LayerNorm(2), mg.Upsample2d(1, size=(2, 2))),
    *(mg.Conv2d(1, 2, 3, size=2), mg.ConvTranspose2d(2, 1, kernel=3, size=(1, 2))),
    *(mg.AppendCondition(4, 3), mg.AppendChannels(1, 2, size=(2, 2)), mg.Embedding(3, 2, 4)),
    mg.Projection(4, 3),
]


@pytest.mark.parametrize("layer", [*right_layers.LAYERS.values(), *OURS, OwnBatchNorm(3)], ids=repr)
def test_a_right_layer_is_not_refused(layer):
    for seed in (0, 1):
        text, right = explain_own(layer, seed)
        assert right, [line for line in text.splitlines() if line.startswith("Right")]
