"""The classic mistakes in convolutions, batch norm and its use in a game: each one is caught.

As in test_planted_faults.py, a case pairs a fault with the check that guards against it, which must
pass before the fault is planted, and fail once it is in. A check is a function that raises an
AssertionError: most are tests of other files.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import test_batch_norm
import test_convolution

import minigan as mg
from minigan.backend import numpy as ops
from minigan.backend.numpy import convolution
from minigan.gan.average import MovingAverage
from minigan.lessons import explain_own
from minigan.nn.layers.batch_norm import BatchNormPass
from minigan.nn.layers.convolution import ConvolutionPass, ConvTranspose2dPass

Fault = tuple[object, str, Any]

# -- the checks -----------------------------------------------------------------------------

IMAGES = (mg.Conv2d(2, 3, 3, 2, 1, size=4), mg.ConvTranspose2d(3, 2, 3, 2, 1, size=2))
UPSAMPLED = (mg.Upsample2d(2, 2, size=3), mg.Conv2d(2, 2, (3, 2), 1, 1, size=6))
NORMALISED = (mg.Linear(4, 6), mg.BatchNorm(3), mg.Tanh())


def gradients(*layers: mg.Layer, train: bool = True) -> None:
    """The library's own check of the gradients."""
    net = mg.Sequential(*layers, seed=1)
    net.buffers.data = np.random.default_rng(1).uniform(0.5, 2.0, net.buffers.data.shape)
    X = np.random.default_rng(0).normal(size=(4, net.in_features))
    assert mg.gradcheck(net, X, train=train).ok


def own_layer(layer: mg.Layer) -> None:
    """The library's check of the layers in a user's file."""
    assert explain_own(layer)[1]


def loops(way: str = "shorter") -> None:
    with pytest.MonkeyPatch.context() as patch:
        test_convolution.test_the_words_are_those_of_plain_loops(500, way, patch)


scattering = partial(loops, "scattering")
adjoint = test_convolution.test_the_gradients_are_adjoints
upsampling = test_convolution.test_upsampling_and_its_adjoint
by_hand = test_batch_norm.test_statistics_by_hand
evaluation = test_batch_norm.test_evaluation_changes_no_statistics
one_step = test_batch_norm.test_real_and_generated_samples_have_statistics_of_their_own
averaged = test_batch_norm.test_the_averaged_generator_has_statistics_of_its_own
neighbours = partial(
    test_batch_norm.test_a_sample_does_not_depend_on_its_neighbours, 0.9, "float64"
)


def textbook() -> None:
    """The step of a game, with two updates of D and three of G."""
    test_batch_norm.test_a_step_is_that_of_the_textbook(test_batch_norm.ALL_GAMES[3], False)


# -- convolution ------------------------------------------------------------------------------


def instead(target: object, name: str, change: Callable[..., Any]) -> Fault:
    """Call the original with changed arguments."""
    original = getattr(target, name)
    return target, name, lambda *args, **options: original(*change(*args), **options)


def turned(W: Any, window: Any) -> Any:
    """A kernel with its rows and columns in reverse order."""
    kernel = W.reshape(*W.shape[:-2], *window.kernel, window.channels, -1)
    return np.flip(kernel, (-4, -3)).reshape(W.shape)


def kernel_flipped_in_forward() -> Fault:
    return instead(ops, "convolve", lambda X, W, window: (X, turned(W, window), window))


def kernel_flipped_in_backward() -> Fault:
    return instead(
        ops, "convolve_input_gradient", lambda dY, W, window: (dY, turned(W, window), window)
    )


def kernel_not_flipped_by_phases() -> Fault:
    original = convolution._phases

    def phases(*settings: int) -> Any:
        found = []
        for phase in original(*settings):
            taps = range(100)[phase.taps]
            ascending = slice(taps[-1], taps[0] + 1, -taps.step) if taps else phase.taps
            found.append(phase._replace(taps=ascending))
        return found

    return convolution, "_phases", phases


def rolled(X: Any, window: Any, by: int = 1) -> Any:
    """Images whose rows of pixels are moved down."""
    return np.roll(X.reshape(*X.shape[:-1], window.height, -1), by, axis=-2).reshape(X.shape)


def padding_off_by_one_in_forward() -> Fault:
    return instead(ops, "convolve", lambda X, W, window: (rolled(X, window), W, window))


def padding_off_by_one_everywhere() -> Fault:
    """One row more above and one less below, in a layer and its gradients alike."""

    original = test_convolution.three_words

    def shifted(X: Any, W: Any, dY: Any, window: Any, kind: Any = np.empty) -> Any:
        Y, dX, dW = original(rolled(X, window), W, dY, window, kind)
        return Y, rolled(dX, window, -1), dW

    return test_convolution, "three_words", shifted


def phases_one_place_late() -> Fault:
    original = convolution._phases
    return (
        convolution,
        "_phases",
        lambda *settings: [p._replace(first=p.first + 1) for p in original(*settings)],
    )


def sum_of_the_blocks_forgotten() -> Fault:
    original = convolution.convolve_weight_gradient

    def last_block(X: Any, dY: Any, window: Any, out: Any) -> None:
        n = max(1, convolution.BLOCK // convolution._numbers(window))
        start = (X.shape[-2] - 1) // n * n
        original(X[..., start:, :], dY[..., start:, :], window, out)

    return ops, "convolve_weight_gradient", last_block


def scattered_into_old_numbers() -> Fault:
    class Numpy:
        """NumPy, but the padded image is not set to zero."""

        def __getattr__(self, name: str) -> Any:
            return getattr(np, name)

        @staticmethod
        def copyto(to: Any, what: Any) -> None:
            if not isinstance(what, float):
                np.copyto(to, what)

    return convolution, "np", Numpy()


def bias_of_the_transposed_convolution_forgotten() -> Fault:
    def backward(self: Any, dY: Any, **wanted: bool) -> Any:
        kept, self.dbias = self.dbias, None
        try:
            return original(self, dY, **wanted)
        finally:
            self.dbias = kept

    original = ConvTranspose2dPass.backward
    return ConvTranspose2dPass, "backward", backward


def bias_per_pixel() -> Fault:
    def add_bias(self: Any) -> Any:
        self.Y[..., : self.bias.shape[-1]] += self.bias  # the first pixel alone
        return self.Y

    return ConvolutionPass, "add_bias", add_bias


def upsampling_takes_the_mean() -> Fault:
    original = ops.upsample_backward

    def mean(dY: Any, size: Any, factor: Any, out: Any) -> None:
        original(dY, size, factor, out)
        out /= factor[0] * factor[1]

    return ops, "upsample_backward", mean


# -- batch norm -------------------------------------------------------------------------------


def no_division_by_n() -> Fault:
    def without(dY, normalised, variance, gamma, eps, dgamma, dbeta):
        return dY, normalised, variance, gamma, eps, dgamma, dbeta * normalised.shape[-2]

    return instead(ops, "normalise_backward", without)


def constant_statistics_in_training() -> Fault:
    def constant(dY, normalised, variance, gamma, eps, dgamma, dbeta):
        return dY, normalised, variance, gamma, eps, 0 * dgamma, 0 * dbeta

    return instead(ops, "normalise_backward", constant)


def unbiased_variance() -> Fault:
    original = ops.batch_statistics

    def statistics(X: Any, mean: Any, variance: Any) -> None:
        original(X, mean, variance)
        N = X.size / X.shape[0] * len(X) / mean.shape[-1]
        variance *= N / (N - 1)

    return ops, "batch_statistics", statistics


def biased_running_variance() -> Fault:
    original = BatchNormPass.update_running
    return (
        BatchNormPass,
        "update_running",
        lambda self, running, value, factor: original(self, running, value, 1.0),
    )


def momentum_of_the_old_value() -> Fault:
    original = BatchNormPass.update_running

    def update_running(self: Any, running: Any, value: Any, factor: float) -> None:
        self.momentum = 1.0 - self.momentum
        original(self, running, value, factor)
        self.momentum = 1.0 - self.momentum

    return BatchNormPass, "update_running", update_running


def statistics_updated_in_evaluation() -> Fault:
    original = BatchNormPass.forward

    def forward(self: Any, X: Any, train: bool) -> Any:
        Y = original(self, X, train)
        if not train:
            rows = X.reshape(-1, self.mean.shape[-1])
            self.running_mean += self.momentum * (rows.mean(0) - self.running_mean)
        return Y

    return BatchNormPass, "forward", forward


def statistics_of_the_batch_in_evaluation() -> Fault:
    original = BatchNormPass.forward

    def forward(self: Any, X: Any, train: bool) -> Any:
        kept = self.running_mean.copy(), self.running_variance.copy()
        Y = original(self, X, True)
        if not train:
            self.running_mean[...], self.running_variance[...] = kept
        return Y

    return BatchNormPass, "forward", forward


# -- in a game --------------------------------------------------------------------------------


def statistics_shared_by_real_and_fake() -> Fault:
    """D judges both in one pass, as if no layer mixed rows."""
    return mg.Sequential, "mixes_rows", property(lambda self: self.name == "g")


def statistics_updated_in_gs_half() -> Fault:
    original = mg.Sequential.bind

    def bind(self: Any, rows: int, out: Any = None, **options: bool) -> Any:
        return original(self, rows, out, **options | {"keep_buffers": False})

    return mg.Sequential, "bind", bind


def fake_before_real() -> Fault:
    original = mg.GAN._bind_discriminator

    def bind(self: Any, batch: int) -> None:
        original(self, batch)
        self._half.reverse()

    return mg.GAN, "_bind_discriminator", bind


def generated_twice() -> Fault:
    original = mg.GAN._generate_for_generator

    def generate(self: Any) -> None:
        original(self)
        self._g_sampler.forward(self._g_z, train=True)

    return mg.GAN, "_generate_for_generator", generate


def generated_in_evaluation() -> Fault:
    """So that G's statistics stay what they were."""

    def generate(self: Any) -> None:
        self.draw("generator")
        self._g_sampler.forward(self._g_z, train=False)

    return mg.GAN, "_generate_for_generator", generate


def average_with_statistics_of_g() -> Fault:
    right = MovingAverage.update

    def update(self: Any) -> None:
        right(self)
        self.ops.copy(self.net.buffers.data, out=self.network.buffers.data)

    return MovingAverage, "update", update


def average_without_statistics() -> Fault:
    right = mg.GAN._bind_generator

    def bind(self: Any, batch: int) -> None:
        right(self, batch)
        self._averaged = None

    return mg.GAN, "_bind_generator", bind


FAULTS = [
    (kernel_flipped_in_forward, partial(gradients, *IMAGES)),
    (kernel_flipped_in_forward, adjoint),
    (kernel_flipped_in_forward, loops),
    (kernel_flipped_in_backward, partial(gradients, *IMAGES)),
    (kernel_flipped_in_backward, adjoint),
    (kernel_not_flipped_by_phases, loops),
    (padding_off_by_one_in_forward, partial(gradients, *IMAGES)),
    (padding_off_by_one_in_forward, loops),
    (padding_off_by_one_everywhere, loops),
    (phases_one_place_late, partial(gradients, *IMAGES)),
    (phases_one_place_late, adjoint),
    (sum_of_the_blocks_forgotten, loops),
    (scattered_into_old_numbers, scattering),
    (bias_of_the_transposed_convolution_forgotten, partial(gradients, *IMAGES)),
    (bias_per_pixel, partial(gradients, *IMAGES)),
    (upsampling_takes_the_mean, partial(gradients, *UPSAMPLED)),
    (upsampling_takes_the_mean, upsampling),
    (no_division_by_n, partial(gradients, *NORMALISED)),
    (no_division_by_n, partial(own_layer, mg.BatchNorm(3))),
    (constant_statistics_in_training, partial(gradients, *NORMALISED)),
    (unbiased_variance, partial(gradients, *NORMALISED)),
    (unbiased_variance, by_hand),
    (biased_running_variance, by_hand),
    (momentum_of_the_old_value, by_hand),
    (statistics_updated_in_evaluation, evaluation),
    (statistics_updated_in_evaluation, partial(own_layer, mg.BatchNorm(3))),
    (statistics_of_the_batch_in_evaluation, partial(own_layer, mg.BatchNorm(3))),
    (statistics_of_the_batch_in_evaluation, by_hand),
    (statistics_of_the_batch_in_evaluation, neighbours),
    (statistics_shared_by_real_and_fake, textbook),
    (statistics_shared_by_real_and_fake, one_step),
    (statistics_updated_in_gs_half, textbook),
    (statistics_updated_in_gs_half, one_step),
    (fake_before_real, textbook),
    (fake_before_real, one_step),
    (generated_twice, textbook),
    (generated_in_evaluation, textbook),
    (average_with_statistics_of_g, averaged),
    (average_without_statistics, averaged),
]


def name(value: Any) -> str:
    return getattr(value, "func", value).__name__.removeprefix("test_")


@pytest.mark.parametrize(("fault", "caught_by"), FAULTS, ids=name)
def test_fault_is_caught(fault, caught_by, monkeypatch):
    caught_by()  # it must pass before the fault is planted
    monkeypatch.setattr(*fault())
    with pytest.raises(AssertionError):
        caught_by()
