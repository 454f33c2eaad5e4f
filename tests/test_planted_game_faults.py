"""Faults planted into the conditional GAN and InfoGAN, each caught by a test of theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import test_conditional
import test_infogan
from conditional_games import conditional, info

import minigan as mg
from minigan.backend import numpy as ops
from minigan.gan.two_heads import TwoHeads

Fault = tuple[object, str, Any]


# -- the checks -------------------------------------------------------------------------------


def passes(test: Callable[..., None], *arguments: Any) -> bool:
    """Whether a test passes."""
    try:
        test(*arguments)
    except (AssertionError, mg.MiniganError):
        return False
    return True


def conditional_steps(**options: Any) -> Callable[[], bool]:
    def check() -> bool:
        return all(
            test_conditional.step_by_step(conditional(recipe, **options))
            for recipe in ("append", "embed")
        )

    check.__name__ = "_".join(["conditional", *options])
    return check


def info_steps(**options: Any) -> Callable[[], bool]:
    def check() -> bool:
        return test_infogan.step_by_step(info(**options))

    check.__name__ = "_".join(["info", *options])
    return check


def differences_of_info() -> bool:
    return passes(test_infogan.test_each_player_gets_the_gradient_of_its_loss)


def halves_of_info() -> bool:
    return passes(
        test_infogan.test_each_half_leaves_the_others_and_their_statistics_alone, True, "plain"
    )


def trunk_of_info() -> bool:
    return passes(test_infogan.test_the_trunk_s_gradient_is_the_sum_of_those_of_its_heads, False)


def codes_of_info() -> bool:
    return passes(test_infogan.test_categories_are_equally_likely_and_continuous_codes_uniform)


def bound_of_info() -> bool:
    return passes(test_infogan.test_the_bound_is_reported_in_nats, 2)


def wishes() -> bool:
    return passes(test_conditional.test_samples_take_turns_or_are_of_the_class_asked_for)


def halves_of_conditional() -> bool:
    return passes(test_conditional.test_the_halves_of_a_step_alone_are_the_step, "append")


# -- faults of the conditional GAN ------------------------------------------------------------


def labels_rolled(game: mg.ConditionalGAN) -> None:
    """The labels of generated samples of D's half, moved on by a row."""
    B = game.batch
    game._condition[B : 2 * B] = np.roll(game._condition[B : 2 * B], 1, axis=0)


def after(target: Any, name: str, damage: Callable[..., None]) -> Fault:
    """Let the original run, then damage its result."""
    original = getattr(target, name)

    def faulty(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        damage(*args, **kwargs)
        return result

    return target, name, faulty


def d_judges_by_the_label_of_another_sample() -> Fault:
    """G makes a sample of one label, and D is asked about another."""
    return before_d(lambda game: labels_rolled(game))


def before_d(damage: Callable[[mg.GAN], None]) -> Fault:
    original = mg.GAN.update_discriminator

    def faulty(self: mg.GAN) -> None:
        kept = self._condition.copy()
        damage(self)
        original(self)
        self._condition[...] = kept

    return mg.GAN, "update_discriminator", faulty


def d_judges_by_the_labels_of_another_batch() -> Fault:
    """Generated samples get the labels that the step before had."""
    original = mg.ConditionalGAN.take_real

    def faulty(self: mg.ConditionalGAN, repeat: int) -> None:
        B, kept = self.batch, self._condition[: self.batch].copy()
        original(self, repeat)
        if self.step_count:
            self._condition[B : 2 * B] = kept

    return mg.ConditionalGAN, "take_real", faulty


def real_samples_without_their_labels() -> Fault:
    return before_d(lambda game: game._condition[: game.batch].fill(0.0))


def g_is_given_other_labels_than_d() -> Fault:
    """In G's half."""
    original = mg.GAN.update_generator

    def faulty(self: mg.GAN) -> None:
        kept = self._condition.copy()
        B = self.batch
        self._condition[-B:] = np.roll(self._condition[-B:], 1, axis=0)
        original(self)
        self._condition[...] = kept

    return mg.GAN, "update_generator", faulty


def labels_of_the_first_batch_alone() -> Fault:
    """Also for the later real samples of a step."""
    original = mg.ConditionalGAN.take_real

    def faulty(self: mg.ConditionalGAN, repeat: int) -> None:
        original(self, repeat)
        self._condition.reshape(-1, self.batch, self.classes)[...] = self.labels[: self.batch]

    return mg.ConditionalGAN, "take_real", faulty


def no_labels_in_g_s_half_alone() -> Fault:
    def faulty(self: mg.GAN) -> None:
        self._generate_for_generator()
        self.update_generator()

    return mg.GAN, "generator_step", faulty


def one_class_too_few() -> Fault:
    """By default, samples are of all classes but the last."""
    original = mg.ConditionalGAN.draw_condition

    def faulty(self: Any, n: int, seed: Any = None, labels: Any = None, codes: Any = None) -> Any:
        labels = np.arange(n) % (self.classes - 1) if labels is None else labels
        return original(self, n, seed, labels, codes)

    return mg.ConditionalGAN, "draw_condition", faulty


# -- faults of InfoGAN --------------------------------------------------------------------------


def one_category_too_few() -> Fault:
    """0 to 8 of ten."""
    original = ops.fill_mixture

    def faulty(stream: Any, centres: Any, std: float, out: Any) -> None:
        original(stream, centres[:-1], std, out=out)

    return ops, "fill_mixture", faulty


def softmax_before_the_cross_entropy() -> Fault:
    original = ops.softmax_cross_entropy_gradient

    def faulty(logits: Any, targets: Any, n: int, out: Any) -> None:
        shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        original(shares, targets, n, out=out)

    return ops, "softmax_cross_entropy_gradient", faulty


def the_sign_of_the_term() -> Fault:
    return after(
        mg.InfoGAN, "code_gradient", lambda self, guess, code, out: np.negative(out, out=out)
    )


def the_term_without_its_mean() -> Fault:
    return after(
        mg.InfoGAN, "code_gradient", lambda self, guess, code, out: np.multiply(out, 6, out=out)
    )


def the_spread_instead_of_its_square() -> Fault:
    def damage(self: mg.InfoGAN, guess: Any, code: Any, out: Any) -> None:
        out[..., self.categories :] *= self.std

    return after(mg.InfoGAN, "code_gradient", damage)


def without_q(kind: str) -> Fault:
    """In one half, Q's message is not added to that of D's head."""
    original = TwoHeads.backward

    def faulty(self: TwoHeads, dY: Any, *, parameter_grads: bool = True, **options: Any) -> Any:
        in_d = parameter_grads
        if self.recogniser is None or (kind == "trunk") != in_d:
            return original(self, dY, parameter_grads=parameter_grads, **options)
        self.game.code_gradient(self.guess, self.code, out=self.dguess)
        self.recogniser.backward(self.dguess, parameter_grads=not parameter_grads)
        down = self.head.backward(dY, parameter_grads=parameter_grads)
        return self.trunk.backward(down, parameter_grads=parameter_grads, **options)

    return TwoHeads, "backward", faulty


def q_does_not_reach_g() -> Fault:
    return without_q("g")


def q_does_not_reach_the_trunk() -> Fault:
    return without_q("trunk")


def one_head_s_gradient_overwrites_the_other_s() -> Fault:
    original = ops.add

    def faulty(A: Any, B: Any, out: Any) -> None:
        if out.shape[-1] == 5:  # the trunk's features
            ops.copy(B, out=out)
        else:
            original(A, B, out=out)

    return ops, "add", faulty


def q_learns_in_d_s_half() -> Fault:
    return after(mg.InfoGAN, "update_discriminator", lambda self: self.recogniser_optimizer.step())


def q_s_statistics_move_in_d_s_half() -> Fault:
    original = TwoHeads.__init__

    def faulty(self: TwoHeads, game: Any, rows: slice, out: Any = None, **options: Any) -> None:
        original(self, game, rows, out, **options)
        if self.recogniser is not None:
            self.recogniser._spare = None

    return TwoHeads, "__init__", faulty


def d_gets_the_term_in_g_s_half() -> Fault:
    return after(mg.InfoGAN, "update_generator", lambda self: self.discriminator_optimizer.step())


def codes_of_d_s_half_in_g_s() -> Fault:
    def damage(self: mg.InfoGAN, half: str) -> None:
        B = self.batch
        if half == "generator" and not self.same_noise:
            self._condition[2 * B :] = self._condition[B : 2 * B]

    return after(mg.InfoGAN, "draw", damage)


def codes_that_are_drawn_once_a_step() -> Fault:
    """The later updates of G see those of the first."""
    original = mg.InfoGAN.draw

    def faulty(self: mg.InfoGAN, half: str) -> None:
        kept = self._condition[-self.batch :].copy()
        original(self, half)
        if half == "generator" and self._seen == self.step_count:
            self._condition[-self.batch :] = kept
        self._seen = self.step_count if half == "generator" else -1

    return mg.InfoGAN, "draw", faulty


def codes_of_real_samples() -> Fault:
    """Q is compared with the rows where the real samples' codes would be."""
    original = TwoHeads.__init__

    def faulty(self: TwoHeads, game: Any, rows: slice, out: Any = None, **options: Any) -> None:
        original(self, game, rows, out, **options)
        if self.recogniser is not None:
            self.code = game._condition[: self.guess.shape[-2]]

    return TwoHeads, "__init__", faulty


def information_without_its_ceiling() -> Fault:
    return ops, "add_rows", lambda X, row, out: ops.copy(X, out=out)


FAULTS = [
    (d_judges_by_the_label_of_another_sample, conditional_steps()),
    (d_judges_by_the_labels_of_another_batch, conditional_steps()),
    (real_samples_without_their_labels, conditional_steps()),
    (g_is_given_other_labels_than_d, conditional_steps()),
    (labels_of_the_first_batch_alone, conditional_steps(d_steps=2, fresh_real=True)),
    (no_labels_in_g_s_half_alone, halves_of_conditional),
    (one_class_too_few, wishes),
    (one_category_too_few, codes_of_info),
    (softmax_before_the_cross_entropy, info_steps()),
    (softmax_before_the_cross_entropy, differences_of_info),
    (the_sign_of_the_term, info_steps()),
    (the_sign_of_the_term, differences_of_info),
    (the_term_without_its_mean, differences_of_info),
    (the_spread_instead_of_its_square, differences_of_info),
    (q_does_not_reach_g, info_steps()),
    (q_does_not_reach_g, differences_of_info),
    (q_does_not_reach_the_trunk, info_steps()),
    (q_does_not_reach_the_trunk, differences_of_info),
    (one_head_s_gradient_overwrites_the_other_s, trunk_of_info),
    (q_learns_in_d_s_half, halves_of_info),
    (q_s_statistics_move_in_d_s_half, halves_of_info),
    (d_gets_the_term_in_g_s_half, halves_of_info),
    (codes_of_d_s_half_in_g_s, info_steps()),
    (codes_that_are_drawn_once_a_step, info_steps(g_steps=2)),
    (codes_of_real_samples, info_steps()),
    (information_without_its_ceiling, bound_of_info),
]


@pytest.mark.parametrize(("fault", "caught_by"), FAULTS, ids=lambda function: function.__name__)
def test_fault_is_caught(fault, caught_by, monkeypatch):
    assert caught_by(), "the check must pass before the fault is planted"
    monkeypatch.setattr(*fault())
    assert not caught_by(), "the check did not notice the fault"
