"""The classic mistakes in a gradient of a gradient, and in penalties: each one is caught.

As in test_planted_faults.py, a case pairs a fault with the check that guards against it, which must
pass before the fault is planted, and fail once it is in.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import test_penalised_games as games
import test_second_order as proofs

import minigan as mg
from minigan.backend import numpy as ops
from minigan.gan import penalties
from minigan.gan.losses import _Scores
from minigan.gan.penalties import GradientPenaltyPass, R1Pass, SlopePass
from minigan.nn.layers.activations import ELUPass, SigmoidPass, TanhPass
from minigan.nn.layers.condition import AppendPass, EmbeddingPass
from minigan.nn.layers.convolution import Conv2dPass, ConvTranspose2dPass
from minigan.nn.layers.dropout import DropoutPass
from minigan.nn.layers.linear import LinearPass
from minigan.nn.layers.pack import PackPass
from minigan.nn.layers.projection import ProjectionPass
from minigan.nn.layers.upsample import Upsample2dPass
from minigan.nn.second_order import SecondOrder

Fault = tuple[object, str, Any]

# -- the checks -----------------------------------------------------------------------------


def differences(layers: str, penalty: str = "two-sided") -> None:
    proofs.test_the_gradient_of_a_penalty_is_that_of_differences(layers, penalty)


symmetry = proofs.test_the_second_derivative_is_symmetric
values = proofs.test_the_values_are_those_of_the_formula
one_point = proofs.test_one_point_lies_between_each_pair
real_alone = proofs.test_r1_is_a_penalty_of_the_real_samples_alone
zero_slope = proofs.test_a_slope_of_zero_has_a_finite_gradient
moves = games.test_the_generator_moves_towards_the_data
captured = games.test_a_captured_step_is_the_step_to_the_bit
allocates = games.test_a_step_allocates_nothing

# -- the second order -------------------------------------------------------------------------


def no_curvature(kind: type) -> Fault:
    """sigma'' is dropped."""
    return kind, "curvature", lambda self, U, dY, out: self.ops.fill(0.0, out=out)


def no_second_sweep() -> Fault:
    return SecondOrder, "_send_down", lambda self: self.ops.fill(0.0, out=self.bound.grad)


def second_sweep_ends_a_layer_early() -> Fault:
    original = SecondOrder._send_down

    def send_down(self: Any) -> None:
        self.first += 1
        original(self)
        self.first -= 1

    return SecondOrder, "_send_down", send_down


def first_layer_left_out() -> Fault:
    """The penalty's gradient stops before the first layer with parameters."""
    original = SecondOrder.add_gradients

    def add_gradients(self: Any, V: Any, out: Any) -> None:
        whole = np.zeros_like(out)
        original(self, V, whole)
        for view in self.bound.net.parameters.views(whole).values():
            view[...] = 0.0
            break
        out += whole

    return SecondOrder, "add_gradients", add_gradients


def no_bias_in_the_sweep() -> Fault:
    original = SecondOrder._send_down

    def send_down(self: Any) -> None:
        original(self)
        for name, view in self.bound.net.parameters.views(self.bound.grad).items():
            view *= not name.endswith("bias")

    return SecondOrder, "_send_down", send_down


def nothing_through_u() -> Fault:
    """The tangent stays where it enters: later weights get no gradient."""
    return LinearPass, "tangent", lambda self, U, out: self.ops.fill(0.0, out=out)


def tangent_with_the_bias() -> Fault:
    def tangent(self: Any, U: Any, out: Any) -> None:
        np.matmul(U, self.weight, out=out)
        out += 0.0 if self.bias is None else self.bias

    return LinearPass, "tangent", tangent


def tangent_that_is_the_layer_itself() -> Fault:
    """The activation is applied to the tangent, not its slope at X."""
    return TanhPass, "tangent", lambda self, U, out: self.apply(U, out=out)


def tangent_of_a_flipped_kernel(kind: type) -> Fault:
    original = kind.tangent  # type: ignore[attr-defined]

    def tangent(self: Any, U: Any, out: Any) -> None:
        kept, self.weight = self.weight, self.weight[::-1].copy()
        original(self, U, out)
        self.weight = kept

    return kind, "tangent", tangent


def weight_gradient_of_the_input(kind: type) -> Fault:
    """dW of a transposed convolution is formed as that of a convolution is: with X for U."""
    original = kind.tangent_gradients  # type: ignore[attr-defined]
    return kind, "tangent_gradients", lambda self, U, dY: original(self, self.X, dY)


def new_mask_for_the_tangent() -> Fault:
    original = DropoutPass.tangent

    def tangent(self: Any, U: Any, out: Any) -> None:
        self.mask[...] = np.roll(self.mask, 1)
        original(self, U, out)

    return DropoutPass, "tangent", tangent


def mean_that_moves_with_the_tangent() -> Fault:
    """The pack's mean is not held: the tangent has its own mean subtracted."""
    original = PackPass.tangent

    def tangent(self: Any, U: Any, out: Any) -> None:
        original(self, U, out)
        if self.deviations:
            U = U.reshape(self.packed)
            moved = 2.0 * (self.samples - self.mean) * U.mean(-2, keepdims=True)
            out[..., self.width :] -= moved.reshape(out[..., self.width :].shape)

    return PackPass, "tangent", tangent


def blocks_half_filled() -> Fault:
    original = Upsample2dPass.tangent

    def tangent(self: Any, U: Any, out: Any) -> None:
        original(self, U, out)
        out[..., ::2] = 0.0

    return Upsample2dPass, "tangent", tangent


def condition_in_the_tangent(kind: type) -> Fault:
    """What is appended to the tangent is what forward appends, as if the condition moved, too."""

    def tangent(self: Any, U: Any, out: Any) -> None:
        kept = self.Y.copy()
        self.forward(U, train=True)
        out[...], self.Y[...] = self.Y, kept

    return kind, "tangent", tangent


def tangent_of_another_class() -> Fault:
    original = ProjectionPass.tangent

    def tangent(self: Any, U: Any, out: Any) -> None:
        kept = self.chosen.copy()
        self.chosen[..., 1:] = np.roll(kept[..., 1:], 1, axis=-1)
        original(self, U, out)
        self.chosen[...] = kept

    return ProjectionPass, "tangent", tangent


def gradients_overwritten() -> Fault:
    """The penalty's gradient replaces D's, to which it should be added."""
    original = SecondOrder.add_gradients

    def add_gradients(self: Any, V: Any, out: Any) -> None:
        out[...] = 0.0
        original(self, V, out)

    return SecondOrder, "add_gradients", add_gradients


# -- the penalties ----------------------------------------------------------------------------


def one_alpha_per_number() -> Fault:
    def interpolate(A: Any, B: Any, alpha: Any, out: Any) -> None:
        alphas = alpha * np.linspace(0.0, 1.0, A.shape[-1])
        out[...] = alphas * A + (1 - alphas) * B

    return ops, "interpolate", interpolate


def one_alpha_per_batch() -> Fault:
    def interpolate(A: Any, B: Any, alpha: Any, out: Any) -> None:
        out[...] = alpha[..., :1, :] * A + (1 - alpha[..., :1, :]) * B

    return ops, "interpolate", interpolate


def zero_norm_unguarded() -> Fault:
    return penalties, "TINY", 0.0


def mean_over_samples() -> Fault:
    """The packs' penalties are divided by the number of samples."""
    original = GradientPenaltyPass.add_to_gradients

    def add_to_gradients(self: Any) -> None:
        before = self.D.parameters.grad.copy()
        original(self)
        grad = self.D.parameters.grad
        grad[...] = before + (grad - before) / self.D.rows_multiple

    return GradientPenaltyPass, "add_to_gradients", add_to_gradients


def a_norm_for_each_sample() -> Fault:
    original = SlopePass.slopes

    def slopes(self: Any, X: Any) -> Any:
        G = original(self, X)
        m = self.D.rows_multiple
        of_samples = np.linalg.norm(G.reshape(*G.shape[:-1], m, -1), axis=-1)
        self.norms[...] = of_samples.mean(-1, keepdims=True)
        return G

    return SlopePass, "slopes", slopes


def no_half_in_r1() -> Fault:
    """gamma E[n^2]: its gradient has the factor 2."""
    original = R1Pass.add_to_gradients

    def add_to_gradients(self: Any) -> None:
        self.gamma *= 2.0
        original(self)
        self.gamma /= 2.0

    return R1Pass, "add_to_gradients", add_to_gradients


def no_half_in_the_value_of_r1() -> Fault:
    original = R1Pass.values

    def of(self: Any, kept: Any, out: Any) -> None:
        original(self, kept, out)
        out[..., 0] *= 2.0

    return R1Pass, "values", of


def r1_at_generated_samples() -> Fault:
    original = penalties.R1.bind

    def bind(self: Any, update: Any) -> Any:
        return original(self, update._replace(real=update.fake))

    return penalties.R1, "bind", bind


def one_sided_as_two_sided() -> Fault:
    original = GradientPenaltyPass.__init__

    def make(self: Any, penalty: Any, update: Any) -> None:
        original(self, penalty, update)
        self.least = penalties.TINY

    return GradientPenaltyPass, "__init__", make


# -- in a game --------------------------------------------------------------------------------


def generator_never_trained() -> Fault:
    return mg.GAN, "update_generator", lambda self: None


def generator_wants_low_scores() -> Fault:
    def gradient(self: Any, ops: Any, Y: Any, dY: Any) -> None:
        ops.fill(1.0 / Y.shape[-2], out=dY)

    return _Scores, "generator_gradient", gradient


def frozen_alpha() -> Fault:
    """alpha is drawn when the step is recorded, and never again."""
    return ops, "fill_uniform", ops.fill_uniform.__wrapped__  # type: ignore[attr-defined]


def norms_in_new_memory() -> Fault:
    def row_norms(G: Any, out: Any) -> None:
        np.sqrt((G * G).sum(-1, keepdims=True), out=out)

    return ops, "row_norms", row_norms


FAULTS = [
    (partial(no_curvature, TanhPass), partial(differences, "Tanh, dense")),
    (partial(no_curvature, SigmoidPass), partial(differences, "Sigmoid, convolutional", "R1")),
    (partial(no_curvature, ELUPass), partial(differences, "ELU 2.5, dense", "one-sided")),
    (partial(no_curvature, PackPass), partial(differences, "Pack later")),
    (no_second_sweep, partial(differences, "Tanh, dense")),
    (no_second_sweep, partial(symmetry, "dense")),
    (second_sweep_ends_a_layer_early, partial(differences, "Sigmoid, dense")),
    (second_sweep_ends_a_layer_early, partial(symmetry, "packs")),
    (first_layer_left_out, partial(differences, "LeakyReLU, dense")),
    (no_bias_in_the_sweep, partial(differences, "ELU, dense", "R1")),
    (no_bias_in_the_sweep, partial(differences, "Tanh, convolutional", "R1")),
    (nothing_through_u, partial(differences, "ReLU, dense")),
    (tangent_with_the_bias, partial(differences, "ReLU, dense")),
    (tangent_that_is_the_layer_itself, partial(differences, "Tanh, dense")),
    (partial(tangent_of_a_flipped_kernel, Conv2dPass), partial(symmetry, "convolutional")),
    (
        partial(tangent_of_a_flipped_kernel, ConvTranspose2dPass),
        partial(differences, "ConvTranspose2d"),
    ),
    (
        partial(weight_gradient_of_the_input, ConvTranspose2dPass),
        partial(differences, "ConvTranspose2d first"),
    ),
    (new_mask_for_the_tangent, partial(differences, "Dropout, dense")),
    (new_mask_for_the_tangent, partial(symmetry, "dense")),
    (mean_that_moves_with_the_tangent, partial(differences, "Pack")),
    (blocks_half_filled, partial(differences, "Upsample2d")),
    (partial(condition_in_the_tangent, AppendPass), partial(differences, "AppendCondition")),
    (partial(condition_in_the_tangent, AppendPass), partial(differences, "AppendChannels")),
    (partial(condition_in_the_tangent, AppendPass), partial(symmetry, "condition")),
    (partial(condition_in_the_tangent, EmbeddingPass), partial(differences, "Embedding", "R1")),
    (tangent_of_another_class, partial(differences, "Projection, smooth")),
    (tangent_of_another_class, partial(symmetry, "condition")),
    (
        partial(weight_gradient_of_the_input, ProjectionPass),
        partial(differences, "Projection", "one-sided"),
    ),
    (gradients_overwritten, partial(differences, "Linear")),
    (one_alpha_per_number, one_point),
    (one_alpha_per_number, partial(differences, "Tanh, dense")),
    (one_alpha_per_batch, one_point),
    (zero_norm_unguarded, partial(zero_slope, "two-sided", "float32")),
    (mean_over_samples, partial(differences, "Pack")),
    (a_norm_for_each_sample, partial(differences, "Pack without deviations")),
    (a_norm_for_each_sample, partial(values, "two-sided")),
    (no_half_in_r1, partial(differences, "ReLU, dense", "R1")),
    (no_half_in_the_value_of_r1, partial(values, "R1")),
    (r1_at_generated_samples, partial(differences, "ReLU, dense", "R1")),
    (r1_at_generated_samples, real_alone),
    (one_sided_as_two_sided, partial(differences, "ReLU, dense", "one-sided")),
    (generator_never_trained, partial(moves, "Wasserstein", "two-sided")),
    (generator_never_trained, partial(moves, "NonSaturating", "R1")),
    (generator_wants_low_scores, partial(moves, "Hinge", "two-sided")),
    (norms_in_new_memory, partial(allocates, "two-sided", False)),
]


def name(value: Any) -> str:
    function = getattr(value, "func", value).__name__.removeprefix("test_")
    settings = [getattr(one, "__name__", str(one)) for one in getattr(value, "args", ())]
    return "-".join([function, *settings])


@pytest.mark.parametrize(("fault", "caught_by"), FAULTS, ids=name)
def test_fault_is_caught(
    fault: Callable[[], Fault], caught_by: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    caught_by()  # it must pass before the fault is planted
    monkeypatch.setattr(*fault())
    with np.errstate(all="ignore"), pytest.raises(AssertionError):
        caught_by()


def test_a_frozen_alpha_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn when a step is recorded must be drawn again in each step."""
    monkeypatch.setattr(*frozen_alpha())
    with pytest.raises(RuntimeError, match="must be live"):
        captured("Wasserstein", "two-sided", 1, False, None)
