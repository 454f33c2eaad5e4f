"""Faults planted into the consistency, each caught by a test of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import test_consistency
from conditional_games import moving
from test_infogan import step_by_step
from test_planted_game_faults import Fault, after, passes

import minigan as mg
from minigan.backend import numpy as ops
from minigan.gan.consistency import ConsistencyPass

# -- the checks -------------------------------------------------------------------------------


def steps() -> bool:
    return step_by_step(moving())


def steps_of_two_updates() -> bool:
    return step_by_step(moving(d_steps=2, fresh_real=True))


def differences() -> bool:
    return passes(test_consistency.test_each_player_gets_the_gradient_of_its_loss, True)


def parts() -> bool:
    return passes(test_consistency.test_the_two_parts_of_the_gradient)


def sum_of_three() -> bool:
    return passes(test_consistency.test_the_trunk_s_gradient_is_the_sum_of_three, False)


def statistics() -> bool:
    return passes(test_consistency.test_copies_leave_the_running_statistics_alone)


def column() -> bool:
    return passes(test_consistency.test_the_cross_entropy_is_reported_in_nats, False)


# -- the faults -------------------------------------------------------------------------------


def copies_of_generated_samples() -> Fault:
    original = ConsistencyPass.__init__

    def faulty(self: Any, consistency: Any, trunk: Any, Q: Any, real: Any, *rest: Any) -> None:
        B = real.shape[-2]
        original(self, consistency, trunk, Q, real.base[..., B : 2 * B, :], *rest)

    return ConsistencyPass, "__init__", faulty


def guesses_for_generated_samples() -> Fault:
    """p is Q's guess for the wrong images."""
    original = mg.InfoGAN._trunk_of_real

    def faulty(self: Any) -> Any:
        trunk = original(self)
        return trunk if trunk.Y.shape[-2] == self.batch else trunk.part(self.batch, 2 * self.batch)

    return mg.InfoGAN, "_trunk_of_real", faulty


def copies_of_another_image() -> Fault:
    def damage(X: Any, *rest: Any, out: Any) -> None:
        out[...] = np.roll(out, 1, axis=-2)

    return after(ops, "move_images", damage)


def copies_that_do_not_move() -> Fault:
    return ops, "move_images", lambda X, *rest, out: ops.copy(X, out=out)


def p_that_is_not_held() -> Fault:
    """The gradient goes through p as well: -log q by p, through the softmax of the logits / T."""
    original = ConsistencyPass.add_to_gradients

    def faulty(self: Any) -> None:
        original(self)
        p, B, T = self.p, len(self.p), self.settings.temperature
        log_q = self.logits - np.log(np.exp(self.logits).sum(axis=1, keepdims=True))
        dguess = np.zeros_like(self.dguess)
        by_p = p * ((p * log_q).sum(axis=1, keepdims=True) - log_q)
        dguess[:, : p.shape[1]] = self.settings.weight / (B * T) * by_p
        self.moved.grad += own_gradient(self.still, dguess)

    return ConsistencyPass, "add_to_gradients", faulty


def own_gradient(bound: Any, dY: np.ndarray) -> np.ndarray:
    """The gradient by the parameters of a pass that has none of its own."""
    kept = bound.grad.copy()
    bound.backward(dY)
    made = bound.grad.copy()
    bound.grad[...] = kept
    return made


def no_sharpening() -> Fault:
    original = ConsistencyPass.__init__

    def faulty(self: Any, consistency: Any, *rest: Any) -> None:
        settings = {**vars(consistency), "temperature": 1.0}
        original(self, mg.Consistency(**settings), *rest)

    return ConsistencyPass, "__init__", faulty


def balanced(factor: float) -> Fault:
    """The balance's part of the gradient, times a factor."""

    def damage(self: Any) -> None:
        K, B = self.logits.shape[1], self.logits.shape[0]
        q = np.exp(self.logits) / np.exp(self.logits).sum(axis=1, keepdims=True)
        share = K * q.mean(axis=0)
        part = self.settings.weight / B * q * (share - q @ share[:, None])
        self.dlogits += (factor - 1.0) * part

    return after(ConsistencyPass, "_logit_gradient", damage)


def the_sign_of_the_balance() -> Fault:
    return balanced(-1.0)


def no_balance() -> Fault:
    return balanced(0.0)


def balance_without_its_mean() -> Fault:
    return balanced(6.0)


def the_gradient_of_q_is_lost() -> Fault:
    return after(
        ConsistencyPass, "add_to_gradients", lambda self: ops.fill(0.0, out=self.moved.grad)
    )


def the_gradient_of_q_is_added_twice() -> Fault:
    return after(
        ConsistencyPass,
        "add_to_gradients",
        lambda self: ops.scale(self.moved.grad, 2.0, out=self.moved.grad),
    )


def q_learns_in_d_s_half() -> Fault:
    """Of the copies, before its own update."""

    def damage(self: mg.InfoGAN) -> None:
        self._consistency.moved.add_gradients()
        self.recogniser_optimizer.step()

    return after(mg.InfoGAN, "update_discriminator", damage)


def the_trunk_s_gradient_is_lost() -> Fault:
    """It is added after D's update."""
    original = mg.InfoGAN.add_to_gradients

    def faulty(self: mg.InfoGAN) -> None:
        kept = self.discriminator.parameters.grad.copy()
        original(self)
        self.discriminator.parameters.grad[...] = kept

    return mg.InfoGAN, "add_to_gradients", faulty


def copies_overwrite_d_s_gradient() -> Fault:
    def damage(self: Any) -> None:
        self.trunk.net.parameters.grad[...] = self.trunk.grad

    return after(ConsistencyPass, "add_to_gradients", damage)


def statistics_of_copies() -> Fault:
    """The running statistics follow the copies, too."""

    def damage(self: Any, *rest: Any) -> None:
        self.trunk._spare = None

    return after(ConsistencyPass, "__init__", damage)


def statistics_of_q_s_guesses() -> Fault:
    def damage(self: Any, *rest: Any) -> None:
        self.still._spare = None

    return after(ConsistencyPass, "__init__", damage)


def amounts_that_are_drawn_once() -> Fault:
    """All updates of D move their images alike."""
    return after(
        ConsistencyPass, "add_to_gradients", lambda self: setattr(self.stream, "position", 0)
    )


def perplexity_instead_of_nats() -> Fault:
    return after(
        ConsistencyPass, "values", lambda self, kept, out: np.exp(out[..., 0], out=out[..., 0])
    )


FAULTS = [
    (copies_of_generated_samples, steps),
    (copies_of_generated_samples, sum_of_three),
    (guesses_for_generated_samples, steps),
    (copies_of_another_image, steps),
    (copies_of_another_image, differences),
    (copies_that_do_not_move, sum_of_three),
    (p_that_is_not_held, steps),
    (p_that_is_not_held, differences),
    (no_sharpening, steps),
    (no_sharpening, differences),
    (the_sign_of_the_balance, differences),
    (the_sign_of_the_balance, parts),
    (no_balance, differences),
    (balance_without_its_mean, parts),
    (the_gradient_of_q_is_lost, steps),
    (the_gradient_of_q_is_lost, differences),
    (the_gradient_of_q_is_added_twice, steps),
    (the_gradient_of_q_is_added_twice, differences),
    (q_learns_in_d_s_half, differences),
    (the_trunk_s_gradient_is_lost, sum_of_three),
    (the_trunk_s_gradient_is_lost, differences),
    (copies_overwrite_d_s_gradient, sum_of_three),
    (copies_overwrite_d_s_gradient, steps),
    (statistics_of_copies, statistics),
    (statistics_of_q_s_guesses, statistics),
    (amounts_that_are_drawn_once, steps_of_two_updates),
    (perplexity_instead_of_nats, column),
]


@pytest.mark.parametrize(("fault", "caught_by"), FAULTS, ids=lambda function: function.__name__)
def test_fault_is_caught(fault, caught_by, monkeypatch):
    assert caught_by(), "the check must pass before the fault is planted"
    monkeypatch.setattr(*fault())
    assert not caught_by(), "the check did not notice the fault"
