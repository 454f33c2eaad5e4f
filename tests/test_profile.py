"""What a training step costs, counted exactly; and `minigan profile`, which adds the clock.

The counts guard the step's speed without a stopwatch: a product that nobody needs, or a call
more than before, changes them on every machine. Each check is seen to fail once: see FAULTS.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import ROOT, load_example
from test_backend import vocabulary

import minigan as mg
import minigan.cli.main as command_line
from minigan.backend import Stream, costs, meter, numpy_backend
from minigan.backend.base import Backend
from minigan.backend.meter import Call, Key, Meter, timed
from minigan.cli import profile as command
from minigan.nn import Pass
from minigan.nn.layers.linear import LinearPass
from minigan.training import attach
from minigan.training import limits as machine
from minigan.training import profile as profiling
from minigan.training.attach import attached
from minigan.training.limits import Limits, measure_limits
from minigan.training.profile import StepProfile, profile_step

LIMITS = Limits(flops=1e11, bandwidth=1e10)  # measuring them takes a while
Game = tuple[mg.GAN, Any, int]  # GAN, data, batch


def gaussian1d(recipe: str = "article") -> Game:
    example = load_example("gaussian1d")
    settings = example.RECIPES[recipe]
    return *example.build(settings), settings.batch


def mnist(recipe: str = "article") -> Game:
    example = load_example("mnist")
    settings = example.RECIPES[recipe]
    data = mg.Images(np.random.default_rng(0).integers(0, 256, (500, 28, 28), dtype=np.uint8))
    return example.build(settings, data.features, data.size), data, settings.batch


def of_all_parts() -> Game:
    """A GAN that has every kind of part, with several updates of each network a step."""
    G = mg.Sequential(mg.Linear(2, 8), mg.ReLU(), mg.Dropout(0.2), mg.Linear(8, 1), name="g")
    D = mg.Sequential(mg.Linear(1, 8), mg.ELU(), mg.Linear(8, 1), name="d")
    gan = mg.GAN(
        G, D, mg.Normal(dim=2), mg.LeastSquares(), penalty=mg.Drift(), constraint=mg.Clip(0.3),
        average=0.9, d_steps=3, g_steps=2, fresh_real=True,
    )  # fmt: skip
    return gan, mg.Gaussian(), 16


def profile(game: Game, steps: int = 1) -> StepProfile:
    return profile_step(*game, steps=steps, limits=LIMITS)


# -- the cost of each word ----------------------------------------------------------------


def numbers(*shape: int, dtype: str = "float32") -> np.ndarray:
    """Numbers in (0.1, 0.9), always the same ones for a shape."""
    return np.random.default_rng(0).uniform(0.1, 0.9, shape).astype(dtype)


def clock() -> np.ndarray:
    return np.array([3.0, 0.1, 0.1])  # (3,) float64: 24 bytes


#: word: arguments, operations, bytes. An array (2, 3) of float32 has 24 bytes.
CASES: dict[str, tuple[Callable[[], tuple[Any, ...]], int, int]] = {
    "empty": (lambda: ((0, 3), "float32"), 0, 0),
    "zeros": (lambda: ((2, 3), "float32"), 0, 24),
    "asarray": (lambda: (numbers(2, 3),), 0, 0),
    "from_host": (lambda: (numbers(2, 3, dtype="float64"), "float32"), 0, 48 + 24),
    "to_host": (lambda: (numbers(2, 3),), 0, 24 + 24),
    "copy": (lambda: (numbers(2, 3), numbers(2, 3)), 0, 24 + 24),
    "fill": (lambda: (1.0, numbers(2, 3)), 0, 24),
    "capture": (lambda: (lambda: None,), 0, 0),
    "matmul": (
        lambda: (numbers(2, 3), numbers(3, 4), numbers(2, 4)),
        2 * 2 * 4 * 3,
        24 + 48 + 32,
    ),
    "matmul, transposed": (
        lambda: (numbers(3, 2), numbers(4, 3), numbers(2, 4), True, True),
        2 * 2 * 4 * 3,
        24 + 48 + 32,
    ),
    "matmul, of a population": (
        lambda: (numbers(5, 2, 3), numbers(5, 3, 4), numbers(5, 2, 4)),
        5 * 2 * 2 * 4 * 3,
        5 * (24 + 48 + 32),
    ),
    "add": (lambda: (numbers(2, 3), numbers(2, 3), numbers(2, 3)), 6, 3 * 24),
    "add_rows": (lambda: (numbers(2, 3), numbers(1, 3), numbers(2, 3)), 6, 24 + 12 + 24),
    "sum_rows": (lambda: (numbers(2, 3), numbers(1, 3)), 6, 24 + 12),
    # of X (9, 3) two rows are read
    "take_rows": (lambda: (numbers(9, 3), np.array([4, 2]), numbers(2, 3)), 0, 24 + 16 + 24),
    "take_pixels": (
        lambda: (np.full((9, 3), 7, np.uint8), np.array([4, 2]), numbers(2, 3)),
        2 * 6,
        6 + 16 + 24,
    ),
    "relu": (lambda: (numbers(2, 3), numbers(2, 3)), 6, 2 * 24),
    "relu_backward": (lambda: (numbers(2, 3), numbers(2, 3), numbers(2, 3)), 6, 3 * 24),
    "leaky_relu": (lambda: (numbers(2, 3), 0.2, numbers(2, 3)), 2 * 6, 2 * 24),
    "leaky_relu_backward": (
        lambda: (numbers(2, 3), numbers(2, 3), 0.2, numbers(2, 3)),
        2 * 6,
        3 * 24,
    ),
    "elu": (lambda: (numbers(2, 3), 1.0, numbers(2, 3), numbers(2, 3)), 3 * 6, 3 * 24),
    "elu, alpha": (lambda: (numbers(2, 3), 0.7, numbers(2, 3), numbers(2, 3)), 4 * 6, 3 * 24),
    "elu_backward": (lambda: (numbers(2, 3), numbers(2, 3), numbers(2, 3)), 6, 3 * 24),
    "sigmoid": (lambda: (numbers(2, 3), numbers(2, 3)), 4 * 6, 2 * 24),
    "sigmoid_backward": (lambda: (numbers(2, 3), numbers(2, 3), numbers(2, 3)), 3 * 6, 3 * 24),
    "tanh": (lambda: (numbers(2, 3), numbers(2, 3)), 6, 2 * 24),
    "tanh_backward": (lambda: (numbers(2, 3), numbers(2, 3), numbers(2, 3)), 3 * 6, 3 * 24),
    "dropout": (lambda: (numbers(2, 3), numbers(2, 3), numbers(2, 3)), 6, 3 * 24),
    "dropout_backward": (lambda: (numbers(2, 3), numbers(2, 3), numbers(2, 3)), 6, 3 * 24),
    # two packs of 3 samples of 2 numbers
    "pack_mean": (lambda: (numbers(2, 3, 2), numbers(2, 1, 2)), 12 + 4, 48 + 16),
    "pack_deviations": (
        lambda: (numbers(2, 3, 2), numbers(2, 1, 2), numbers(2, 3, 2)),
        2 * 12,
        48 + 16 + 48,
    ),
    "pack_deviations_backward": (
        lambda: (numbers(2, 3, 2), numbers(2, 3, 2), numbers(2, 1, 2), numbers(2, 3, 2)),
        3 * 12,
        48 + 48 + 16 + 48,
    ),
    # the last operation of a mean is the division by N
    "bce_loss": (lambda: (numbers(2, 3), 0.9, numbers(2)), 9 * 6 + 2, 24 + 8),
    "bce_with_logits_loss": (lambda: (numbers(2, 3), 0.9, numbers(2)), 9 * 6 + 2, 24 + 8),
    "mean_squared_error_loss": (
        lambda: (numbers(2, 3), numbers(2, 3), numbers(2)),
        3 * 6 + 2,
        24 + 24 + 8,
    ),
    "bce_gradient": (lambda: (numbers(2, 3), 0.9, 6, numbers(2, 3)), 6 * 6, 24 + 24),
    "bce_with_logits_gradient": (
        lambda: (numbers(2, 3), numbers(2, 3), 6, numbers(2, 3)),
        6 * 6,
        24 + 24 + 24,
    ),
    "mean_squared_error_gradient": (
        lambda: (numbers(2, 3), 0.9, 6, numbers(2, 3)),
        2 * 6,
        24 + 24,
    ),
    "softmax_cross_entropy": (
        lambda: (numbers(2, 3), np.array([0, 2]), numbers(1)[0, ...], numbers(2, 3)),
        7 * 6 + 3 * 2,
        24 + 16 + 4 + 24,
    ),
    "scale": (lambda: (numbers(2, 3), 0.5, numbers(2, 3)), 6, 24 + 24),
    "clip": (lambda: (numbers(2, 3), 0.2, 0.5, numbers(2, 3)), 2 * 6, 24 + 24),
    "negate": (lambda: (numbers(2, 3), numbers(2, 3)), 6, 24 + 24),
    "record_losses": (
        lambda: (numbers(4, 3), numbers(2, 3, dtype="float64")),
        3 * 12,
        48 + 2 * 48,
    ),
    "record_losses, of five columns": (
        lambda: (numbers(4, 5), numbers(2, 5, dtype="float64")),
        3 * 20,
        80 + 2 * 80,
    ),
    "record_finite": (lambda: (numbers(6), np.zeros(())), 6, 24 + 8),
    "tick": (lambda: (clock(), 0.0, 9.0, 0.5), 0, 2 * 24),
    # read: data, grad, velocity, clock; written: data, velocity
    "sgd": (
        lambda: (numbers(6), numbers(6), numbers(6), clock(), 0.5),
        4 * 6,
        5 * 24 + 24,
    ),
    # read: data, grad, m, v, clock; written: data, m, v
    "adam": (
        lambda: (numbers(6), numbers(6), numbers(6), numbers(6), clock(), 0.9, 0.99, 1e-8, 0.0),
        10 * 6,
        7 * 24 + 24,
    ),
    "adam, without momentum, with decay": (
        lambda: (numbers(6), numbers(6), numbers(6), numbers(6), clock(), 0.0, 0.99, 1e-8, 0.1),
        9 * 6,
        5 * 24 + 24,
    ),
    # read: data, average, clock; written: average, clock
    "moving_average": (
        lambda: (numbers(6), numbers(6), np.zeros(1), 0.9),
        3 * 6,
        3 * 24 + 2 * 8,
    ),
    "fill_uniform": (lambda: (Stream(0, "a"), -1.0, 1.0, numbers(2, 3)), 2 * 6, 24),
    "fill_normal": (lambda: (Stream(0, "a"), 4.0, 1.0, numbers(2, 3)), 13 * 3, 24),
    "fill_dropout_mask": (lambda: (Stream(0, "a"), 0.2, numbers(2, 3)), 2 * 6, 24),
    "fill_permutation": (lambda: (Stream(0, "a"), np.zeros(6, np.int64)), 0, 6 * 8),
}


def every_word_has_a_cost() -> bool:
    return set(costs.COSTS) == set(vocabulary()) == {case.split(",")[0] for case in CASES}


@pytest.mark.parametrize("case", CASES)
def test_cost_of_a_word(case):
    build, flops, moved = CASES[case]
    meter = Meter(numpy_backend)
    getattr(meter, case.split(",")[0])(*build())
    (call,) = meter.take()
    assert (call.flops, call.bytes) == (flops, moved)


@pytest.mark.parametrize("case", CASES)
def test_a_meter_computes_what_its_backend_computes(case):
    word, build = case.split(",")[0], CASES[case][0]
    metered, plain = build(), build()
    results = (
        getattr(Meter(numpy_backend), word)(*metered),
        getattr(numpy_backend, word)(*plain),
    )
    if word != "capture":
        np.testing.assert_array_equal(*results)
    for mine, theirs in zip(metered, plain, strict=True):
        if isinstance(mine, np.ndarray):
            np.testing.assert_array_equal(mine, theirs)


def test_kinds_and_words_that_do_not_exist():
    assert {costs.kind(word) for word in vocabulary()} == set(costs.KINDS)
    for ask in (costs.kind, lambda word: costs.cost(word, {})):
        with pytest.raises(mg.ConfigError, match="'swish'"):
            ask("swish")
    with pytest.raises(AttributeError, match="'swish' is no word"):
        Meter(numpy_backend).swish  # noqa: B018


def test_a_blank_reading_is_not_that_of_a_busy_moment(monkeypatch):
    """The clock's own cost is the median of many readings."""
    now, turns = [0.0], [0]

    def clock() -> float:
        turns[0] += 1
        now[0] += 5.0 if turns[0] <= 100 else 1e-6  # another program, for a while
        return now[0]

    monkeypatch.setattr("minigan.backend.meter.time.perf_counter", clock)
    assert meter._blank() == pytest.approx(1e-6, rel=1e-3)


def test_a_meter_says_where_and_what():
    meter = Meter(numpy_backend)
    X, Y = numbers(2, 3), numbers(2, 3)
    meter.relu(X, out=Y)
    with meter.at(("G", "1.relu", "forward"), {id(Y): "Y"}):
        meter.relu(X, Y)
        meter.copy(Y, out=X)
    meter.tanh(X, out=Y)
    calls = meter.take()
    assert [(*call.key,) for call in calls] == [
        ((), "relu", ""),
        (("G", "1.relu", "forward"), "relu", "Y"),
        (("G", "1.relu", "forward"), "copy", ""),
        ((), "tanh", ""),
    ]
    assert meter.take() == []
    Y[...] = 0.0
    seconds = timed(calls)  # makes the calls again
    np.testing.assert_array_equal(Y, np.tanh(X))
    assert len(seconds) == 4
    assert min(seconds) >= 0.0


# -- the cost of a step, by hand ----------------------------------------------------------


def products(rows: int, sizes: tuple[int, ...], skip_first: bool = False) -> int:
    """2 rows in out for each Linear of a network: of Y, or of dW, or of dX."""
    pairs = list(itertools.pairwise(sizes))
    return sum(2 * rows * i * o for i, o in pairs[1 if skip_first else 0 :])


def parameters(sizes: tuple[int, ...]) -> int:
    """A weight for each pair of features, a bias for each feature made."""
    return sum((i + 1) * o for i, o in itertools.pairwise(sizes))


def gaussian1d_by_hand() -> dict[str, int]:
    """H = 50, B = 100. D judges packs: one row for 100 samples, each with its deviation.

    G makes the samples of both halves in one pass of 2 B rows, and learns from B of them.
    """
    G, D, B, H = (1, 50, 50, 1), (200, 50, 50, 1), 100, 50
    return {
        "products": products(2 * B, G)  # both halves' samples
        + products(2, D)  # D on a real and a fake pack: forward,
        + products(2, D)  # dW,
        + products(2, D, skip_first=True)  # and dX, but not of its input
        + products(1, D)  # D as judge: forward,
        + products(1, D)  # and dX, of its input too, but no dW
        + products(B, G)  # G: dW,
        + products(B, G, skip_first=True),  # and dX, but not of the noise
        "elementwise": (2 * B + 2 + 1) * (H + H + 1)  # biases of G, D and D as judge: + b,
        + (2 + B) * (H + H + 1)  # and their gradients, which D as judge needs not
        + 3 * (2 * B * H + (2 + 1) * 2 * H)  # ELU: one layer of G, two of D
        + 1 * (B * H + (2 + 1) * 2 * H)  # and backward
        + 4 * (2 * B * H + 2 + 1)  # sigmoid: one layer of G, and the end of D
        + 3 * (B * H + 2 + 1)  # and backward
        + (2 * B + 2) + (B + 1)  # Pack: means of two packs, and of one,
        + 2 * (2 * B + B)  # squared deviations,
        + 3 * B + B,  # backward to the samples, of the judge alone
        "random numbers": 2 * 2 * B + 13 * B // 2,  # uniform noise, normal data in pairs
        "data and copies": 0,
        "optimizer": 10 * (parameters(G) + parameters(D)),  # Adam with momentum
        "losses": 6 * (2 + 1),  # the gradient for each verdict
    }  # fmt: skip


def mnist_by_hand() -> dict[str, int]:
    """H = 256, B = 100. G learns on the samples that D judged, so it runs once."""
    G, D, B, H = (100, 256, 256, 784), (784, 256, 256, 1), 100, 256
    hidden = 2 * H * (B + 2 * B + B)  # units of the hidden layers of G, D and D as judge
    return {
        "products": products(B, G)  # samples for both halves
        + products(2 * B, D)  # D on real and fake images: forward,
        + products(2 * B, D)  # dW,
        + products(2 * B, D, skip_first=True)  # and dX, but not of the images
        + products(B, D)  # D as judge: forward,
        + products(B, D)  # and dX, of the images too, but no dW
        + products(B, G)  # G: dW,
        + products(B, G, skip_first=True),  # and dX, but not of the noise
        "elementwise": B * (2 * H + 784) + 3 * B * (2 * H + 1)  # + b
        + B * (2 * H + 784) + 2 * B * (2 * H + 1)  # db, which D as judge needs not
        + 4 * hidden  # ReLU and dropout, forward and backward
        + 1 * B * 784 + 3 * B * 784  # tanh, and backward
        + 4 * 3 * B + 3 * 3 * B,  # sigmoid of each verdict, and backward
        "random numbers": 2 * B * 100 + 2 * hidden,  # noise, and a mask for each hidden unit
        "data and copies": 2 * B * 784,  # bytes to numbers in [-1, 1]
        "optimizer": 10 * (parameters(G) + parameters(D)),
        "losses": 6 * 3 * B,
    }  # fmt: skip


def operations(game: Game) -> dict[str, int]:
    """What a step costs, of each kind."""
    return {name: line.flops for name, line in profile(game).by_kind().items()}


def operations_are_those_by_hand() -> bool:
    return (
        operations(gaussian1d()) == gaussian1d_by_hand() and operations(mnist()) == mnist_by_hand()
    )


def test_the_arithmetic_in_numbers():
    """What the sums above come to, and how much of it are products."""
    for by_hand, all_of_it, in_products in (
        (gaussian1d_by_hand(), 2_508_717, 2_230_800),
        (mnist_by_hand(), 523_936_250, 516_096_000),
    ):
        assert sum(by_hand.values()) == all_of_it
        assert by_hand["products"] == in_products


# -- the words of a step, counted -----------------------------------------------------------


GAUSSIAN1D_WORDS = {
    # G forward; D forward, dW, dX of two; D as judge forward, dX; G dW, dX of two
    "matmul": 3 + (3 + 3 + 2) + (3 + 3) + (3 + 2),
    "add_rows": 3 + 3 + 3,
    "sum_rows": 3 + 3,
    "elu": 1 + 2 + 2,
    "elu_backward": 2 + 2 + 1,
    "sigmoid": 1 + 1 + 1,
    "sigmoid_backward": 1 + 1 + 1,
    "pack_mean": 1 + 1,
    "pack_deviations": 1 + 1,
    "pack_deviations_backward": 1,  # D as judge
    "add": 1,  # of the same
    "copy": 2 + 2,  # samples into packs; verdicts to make losses of
    "bce_gradient": 1 + 1,
    "tick": 1 + 1,
    "adam": 1 + 1,
    "fill_normal": 1,
    "fill_uniform": 2,
}
MNIST_WORDS = {
    "matmul": 3 + (3 + 3 + 2) + (3 + 3) + (3 + 2),
    "add_rows": 3 + 3 + 3,
    "sum_rows": 3 + 3,
    "relu": 2 + 2 + 2,
    "relu_backward": 2 + 2 + 2,
    "fill_dropout_mask": 2 + 2 + 2,
    "dropout": 2 + 2 + 2,
    "dropout_backward": 2 + 2 + 2,
    "tanh": 1,
    "tanh_backward": 1,
    "sigmoid": 1 + 1,
    "sigmoid_backward": 1 + 1,
    "copy": 2,
    "bce_gradient": 1 + 1,
    "tick": 1 + 1,
    "adam": 1 + 1,
    "take_pixels": 1,
    "fill_uniform": 1,
}


def words(game: Game) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for line in profile(game).lines:
        counted[line.word] += line.calls
    return dict(counted)


def words_are_counted() -> bool:
    return words(gaussian1d()) == GAUSSIAN1D_WORDS and words(mnist()) == MNIST_WORDS


def nobody_computes_what_nobody_reads() -> bool:
    """No gradient of D's input in D's half, or of G's; none of D's parameters in G's half."""
    for game in (gaussian1d(), gaussian1d("stable"), mnist(), mnist("stable")):
        first = 1 if isinstance(game[0].discriminator.layers[0], mg.Pack) else 0
        made = {(line.network, line.layer, line.result) for line in profile(game).lines}
        unwanted = {
            ("D in its half", f"{first}.linear", "dX"),
            ("G", "0.linear", "dX"),
            *(("D as judge", layer, of) for _, layer, _ in made for of in ("dweight", "dbias")),
        }
        wanted = {
            ("D in its half", f"{first}.linear", "dweight"),
            ("D as judge", f"{first}.linear", "dX"),
            ("G", "0.linear", "dweight"),
        }
        if made & unwanted or not wanted <= made:
            return False
    return True


def losses_are_made_once_in_64_steps() -> bool:
    of_losses = [line for line in profile(gaussian1d(), 64).lines if line.layer == "losses"]
    return {line.word: line.calls * 64 for line in of_losses} == {
        "bce_loss": 3,
        "record_losses": 1,
    }


def test_a_penalty_and_a_constraint_have_their_lines():
    """In each of D's three updates; the penalty's column of losses is made with the others."""
    found = {
        (line.network, line.layer, line.direction, line.word): line.calls
        for line in profile(of_all_parts(), 64).lines
        if line.layer in ("penalty", "constraint", "average", "losses")
    }
    assert found == {
        ("D in its half", "penalty", "backward", "scale"): 3,
        ("D in its half", "penalty", "backward", "add"): 3,
        ("D in its half", "constraint", "update", "clip"): 3,
        ("G", "average", "update", "moving_average"): 1,
        ("GAN", "losses", "", "mean_squared_error_loss"): 4 / 64,
        ("GAN", "losses", "", "scale"): 1 / 64,
        ("GAN", "losses", "", "record_losses"): 1 / 64,
    }


#: NumPy calls and live kernels of a captured step, at most. It may become fewer.
REPLAYED = {gaussian1d: 131, mnist: 214}


def a_captured_step_is_as_short_as_it_was() -> bool:
    for make, most in REPLAYED.items():
        gan, data, batch = make()
        gan.bind(batch)
        gan.capture()
        data.next_batch(out=gan.real)
        gan.step()
        if len(gan.recording.replay.calls) > most:
            return False
    return True


# -- profiling changes nothing -------------------------------------------------------------


def a_profiled_step_is_a_step() -> bool:
    """Notes, repetitions and all: after as many steps the parameters are the same to the bit."""
    for make in (gaussian1d, lambda: gaussian1d("stable"), of_all_parts):
        gan, data, batch = game = make()
        profile(game, 3)
        other, its_data, _ = make()
        other.bind(batch)
        for _ in range(gan.generator_optimizer.step_count // gan.g_steps):
            its_data.next_batch(out=other.real)
            other.step()
        mine, theirs = gan.state()[0], other.state()[0]
        trained = [name for name in mine if not name.startswith("losses")]
        same = all(np.array_equal(mine[name], theirs[name]) for name in trained)
        if not same or data.state() != its_data.state() or other.step_count < 10:
            return False
    return True


def nothing_stays_attached() -> bool:
    """No meter and no method of an instance's own is left, in whatever a step goes through."""
    methods = (
        *("forward", "backward", "step", "update", "fill", "next_batch", "make", "apply"),
        *("discriminator_gradient", "generator_gradient", "add_to_verdicts", "add_to_gradients"),
    )
    for game in (mnist("stable"), of_all_parts()):
        gan, data, batch = game
        gan.bind(batch)
        owners = [gan, data, gan.noise, gan.loss, gan.average, gan.records]
        owners += [*gan.networks.values(), *gan.optimizers.values()]
        if gan.penalty is not None:
            owners += [gan.penalty, gan._penalty, gan.constraint]
        before = [set(vars(owner)) for owner in owners]
        profile(game)
        layers = [layer for bound in all_passes(gan) for layer in bound.layers]
        if before != [set(vars(owner)) for owner in owners] or any(
            isinstance(value, Meter) or name in methods
            for owner in [*owners, *layers]
            for name, value in vars(owner).items()
        ):
            return False
    return True


def all_passes(gan: mg.GAN) -> list[Pass]:
    """Those of a step, and the parts of their rows."""
    return [one for _, whole in gan.passes() for one in (whole, *whole.parts)]


@dataclasses.dataclass(frozen=True)
class Mixing(mg.Layer):
    """A layer that does not say whether its rows are independent."""

    mixes_rows = True

    def bind(self, binding: mg.nn.Binding) -> mg.LayerPass:
        return MixingPass(binding)


class MixingPass(mg.LayerPass):
    def forward(self, X: Any, train: bool) -> Any:
        self.ops.copy(X, out=self.Y)
        return self.Y

    def backward(self, dY: Any, *, parameter_grads: bool = True, input_grad: bool = True) -> Any:
        self.ops.copy(dY, out=self.dX)
        return self.dX


def of_mixed_rows() -> Game:
    G = mg.Sequential(mg.Linear(2, 1), Mixing(), name="g")
    D = mg.Sequential(mg.Linear(1, 3), Mixing(), mg.Linear(3, 1), name="d")
    return mg.GAN(G, D, mg.Normal(dim=2)), mg.Gaussian(), 4


def every_pass_has_a_title() -> bool:
    """Whichever way a GAN is bound; and no title is without a pass."""
    found = set()
    for gan, _, batch in (mnist(), mnist("stable"), of_all_parts(), of_mixed_rows()):
        gan.bind(batch)
        passes = all_passes(gan)
        names = {name for name, value in vars(gan).items() if isinstance(value, Pass)}
        found |= names
        if (
            len({id(bound) for bound in passes}) != len(passes)
            or {id(bound) for bound in passes} != {id(vars(gan)[name]) for name in names}
            or not {title for title, _ in gan.passes()} <= set(mg.GAN.titles.values())
        ):
            return False
    return found == set(mg.GAN.titles)


def test_an_error_leaves_nothing_attached_either():
    gan, data, batch = gaussian1d()
    gan.bind(batch)
    gan.capture(True)
    meter = Meter(gan.ops)
    with contextlib.suppress(KeyboardInterrupt), attached(meter, gan, data):
        assert gan.ops is data.ops is gan.generator_optimizer.ops is meter
        raise KeyboardInterrupt
    assert gan.ops is data.ops is gan.generator_optimizer.ops is numpy_backend
    data.next_batch = lambda out: 1 / 0
    with pytest.raises(ZeroDivisionError):
        profile((gan, data, batch))
    assert gan.ops is numpy_backend
    assert gan.recording.on


def test_what_cannot_be_profiled():
    gan, data, batch = gaussian1d()
    with pytest.raises(mg.ShapeError, match="the data have 5 features"):
        profile((gan, mg.Samples(numbers(9, 5)), batch))
    with pytest.raises(mg.ShapeError, match="multiple of 100, not 64"):
        profile((gan, data, 64))
    with pytest.raises(mg.ConfigError, match="batch must be an integer >= 1"):
        profile((gan, data, 0))
    with pytest.raises(mg.ConfigError, match="steps must be an integer >= 1"):
        profile((gan, data, batch), 0)


# -- times ----------------------------------------------------------------------------------


def test_times_add_up_and_limits_are_found(monkeypatch):
    monkeypatch.setattr(machine, "LOOK", 0.01)
    monkeypatch.setattr(machine, "COPIED", 2**20)
    limits = measure_limits(numpy_backend, "float32")
    assert limits.flops > 0.0
    assert limits.bandwidth > 0.0
    found = profile_step(*gaussian1d(), steps=130, limits=limits)
    assert found.steps == 128  # a multiple of 64
    assert found.kernels == pytest.approx(sum(line.seconds for line in found.lines))
    assert found.step == pytest.approx(max(found.whole, found.kernels))
    by_kind = found.by_kind()
    assert list(by_kind) == [kind for kind in costs.KINDS if kind in by_kind]
    for field in ("calls", "flops", "bytes", "seconds"):
        added = sum(getattr(line, field) for line in by_kind.values())
        assert added == pytest.approx(sum(getattr(line, field) for line in found.lines)), field
    for line in found.lines:
        product = line.flops / limits.flops if line.word == "matmul" else 0.0
        assert line.limit == pytest.approx(max(product, line.bytes / limits.bandwidth))
        assert line.seconds >= 0.0


def test_even_work_is_timed_in_the_faster_half_and_uneven_work_in_all_of_it():
    """Four steps in two rounds, of which the last two steps are slow."""

    def call(word: str, where: str) -> Call:
        return Call(Key(("G", where, ""), word, ""), 8, 16, print, (), {})

    even, drawn, seldom = call("tanh", "a"), call("fill_uniform", "b"), call("negate", "c")
    calls = [[even, drawn], [even, drawn], [even, drawn], [even, even, drawn, seldom]]
    quick = [1.0, 0.0, 1.5, 0.0, 9.0, 4.0, 5.0, 5.0, 0.0, 8.0]
    slow = [2.0 * seconds for seconds in quick]
    lines, uneven = profiling._lines(calls, [quick, slow], Limits(flops=2.0, bandwidth=4.0))
    assert [(line.layer, line.word, line.calls) for line in lines] == [
        ("a", "tanh", 1.25),
        ("b", "fill_uniform", 1.0),
        ("c", "negate", 0.25),
    ]
    assert [(line.flops, line.bytes, line.limit) for line in lines] == [
        (10.0, 20.0, 5.0),
        (8.0, 16.0, 4.0),
        (2.0, 4.0, 1.0),
    ]
    tanh, fill, negate = (line.seconds for line in lines)
    assert tanh == (1.0 + 1.5 + 2.0 + 3.0) / 4  # four of eight steps: the first two of each round
    assert fill == (1.0 + 2.0) / 2  # 4 in four steps, 8 in four: the median of the rounds
    assert negate == (2.0 + 4.0) / 2
    assert uneven == fill + negate  # none of which is in the faster half


@pytest.mark.parametrize(
    ("durations", "calls", "best"),
    [
        ([5.0, 4.0, 3.0, 1.0], 3, 3.0),  # at least three
        ([0.06, 0.05, 0.04, 0.03, 0.04, 0.01], 5, 0.03),  # and as long as it is allowed to look
    ],
)
def test_the_best_of_several_calls(durations, calls, best, monkeypatch):
    now, left = [0.0], list(durations)

    def work() -> None:
        now[0] += left.pop(0)

    monkeypatch.setattr("minigan.training.limits.time.perf_counter", lambda: now[0])
    assert machine._best(work) == pytest.approx(best)
    assert len(durations) - len(left) == calls


def test_limits_are_operations_and_bytes_a_second(monkeypatch):
    monkeypatch.setattr(machine, "COPIED", 2**20)
    monkeypatch.setattr(machine, "_best", lambda work: work() or 0.5)
    meter_ = Meter(numpy_backend)
    limits = measure_limits(meter_, "float64")
    (product,) = (call for call in meter_.take() if call.key.word == "matmul")
    assert limits.flops == product.flops / 0.5 == 2 * 512**3 / 0.5
    assert product.args[0].dtype == np.float64
    assert (product.args[0] == 1.0).all()
    assert limits.bandwidth == 2 * 2**20 / 0.5  # read and written


def test_a_slow_kernel_is_seen_where_it_is(monkeypatch):
    """A clock that counts kernels instead of time: each takes 1, but a sigmoid takes 100."""
    now = [0.0]

    def slow(kernel: Callable[..., Any], ticks: float) -> Callable[..., Any]:
        def call(*args: Any, **settings: Any) -> Any:
            now[0] += ticks
            return kernel(*args, **settings)

        return call

    for word in vocabulary():
        ticks = 100.0 if word == "sigmoid" else 1.0
        monkeypatch.setattr(numpy_backend, word, slow(getattr(numpy_backend, word), ticks))
    for module in ("minigan.backend.meter", "minigan.training.profile"):
        monkeypatch.setattr(f"{module}.time.perf_counter", lambda: now[0])
    found = profile(gaussian1d(), 5)
    seconds = {(line.network, line.word, line.result): line.seconds for line in found.lines}
    assert seconds["G", "sigmoid", "Y"] == 100.0
    assert seconds["D as judge", "sigmoid", "Y"] == 100.0
    assert seconds["D in its half", "adam", ""] == 1.0
    assert found.kernels == sum(GAUSSIAN1D_WORDS.values()) + 3 * 99.0


def test_the_faster_half():
    assert profiling.faster_half([3.0, 1.0, 2.0]).tolist() == [1, 2]
    assert profiling.faster_half([5.0]).tolist() == [0]
    assert profiling._mean_of_faster_half([9.0, 1.0, 2.0, 8.0]) == 1.5


# -- the command ----------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """The command without measuring the machine."""
    monkeypatch.setattr(profiling, "measure_limits", lambda ops, dtype: LIMITS)


def minigan(*flags: object) -> int:
    return command_line.main(["profile", *map(str, flags)])


def trained(folder: Path, data: Any, features: int, dtype: str = "float32") -> Path:
    """A run of one step."""
    G = mg.Sequential(mg.Linear(3, 8), mg.Tanh(), mg.Linear(8, features), name="g", dtype=dtype)
    D = mg.Sequential(mg.Linear(features, 8), mg.ReLU(), mg.Linear(8, 1), name="d", dtype=dtype)
    gan = mg.GAN(G, D, mg.Normal(dim=3))
    mg.Trainer(gan, data, folder, batch=20, progress=False).fit(steps=1)
    return folder


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def is_png(file: Path) -> bool:
    return file.exists() and file.read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def the_command_writes_what_it_measures(capsys: Any) -> bool:
    """Of examples/gaussian1d.py: the table on the screen, as CSV, and a chart."""
    for file in (Path("a.png"), Path("a.csv")):
        file.unlink(missing_ok=True)
    flags = ("--recipe", "article", "--steps", 2, "--out", "a.png", "--csv", "a.csv")
    if minigan(ROOT / "examples" / "gaussian1d.py", *flags) != 0:
        return False
    out = capsys.readouterr().out
    if not is_png(Path("a.png")) or not Path("a.csv").exists():
        return False
    table = rows(Path("a.csv"))
    shares = sum(float(row["share_of_step"]) for row in table)
    return (
        "recipe article: batch 100, float32, 1 thread" in out
        and all(f"  {kind} " in out for kind in costs.KINDS)
        and "captured, as in training" in out.splitlines()[-3]
        and out.splitlines()[-2:] == ["table a.csv", "chart a.png"]
        and [row["kernel"] for row in table[:2]] == ["fill_normal", "fill_uniform"]
        and sum(float(row["calls"]) for row in table) == sum(GAUSSIAN1D_WORDS.values())
        and sum(float(row["flops"]) for row in table) == sum(gaussian1d_by_hand().values())
        and 0.0 < shares < 1.0 + 1e-9
    )


@pytest.mark.usefixtures("quick")
class TestCommand:
    def test_a_run_of_numbers(self, folder, capsys):
        run = trained(folder / "run", mg.Gaussian(), 1)
        before = {file: file.read_bytes() for file in run.iterdir()}
        assert minigan(run, "--steps", 3, "--csv", "a.csv", "--threads", 1) == 0
        out = capsys.readouterr().out
        assert f"{run}: batch 20, float32, 1 thread" in out
        assert "3 steps" in out
        table = rows(folder / "a.csv")
        assert table[0]["kernel"] == "fill_normal"
        assert {row["network"] for row in table} == {
            *("data", "G", "D in its half", "D as judge", "GAN")
        }
        assert {file: file.read_bytes() for file in run.iterdir()} == before

    def test_runs_of_images_and_of_samples(self, folder, capsys):
        pixels = np.zeros((30, 4, 5), np.uint8)
        images = trained(folder / "images", mg.Images(pixels), 20)
        samples = trained(
            folder / "samples", mg.Samples(numbers(30, 7), dtype="float64"), 7, "float64"
        )
        for run, kernel in ((images, "take_pixels"), (samples, "take_rows")):
            assert minigan(run, "--steps", 1, "--batch", 10, "--csv", "a.csv") == 0
            assert kernel in [row["kernel"] for row in rows(folder / "a.csv")[:3]]
        out = capsys.readouterr().out
        assert "images: batch 10, float32" in out
        assert "samples: batch 10, float64" in out

    def test_the_example_on_images(self, folder, monkeypatch, capsys):
        monkeypatch.setattr("minigan.data.images.MOST_RANDOM", 50 * 28 * 28)
        monkeypatch.chdir(ROOT)
        flags = ("--steps", 1, "--batch", 5, "--hidden", 12, "--csv", folder / "a.csv")
        assert minigan("mnist", *flags) == 0  # ./examples/mnist.py
        assert (
            "examples/mnist.py, recipe stable, hidden width 12: batch 5" in capsys.readouterr().out
        )
        first = next(row for row in rows(folder / "a.csv") if row["kernel"] == "matmul")
        assert (first["layer"], float(first["flops"])) == ("0.linear", 2 * 10 * 100 * 12)

    def test_more_of_a_chart(self, folder):
        """One of an average, with a layer that takes no time at all."""
        found = profile(gaussian1d("stable"), 2)
        nothing = dataclasses.replace(found.lines[0], seconds=0.0)
        found = dataclasses.replace(found, lines=(nothing, *found.lines[1:]), cpu=0.4)
        figure = command.plots.new_figure()
        command.draw(figure, found, "title", "machine")
        command.plots.save_figure(figure, folder / "a.png")
        assert is_png(folder / "a.png")
        assert "average      update" in command.table(found)
        assert "had 40 % of a CPU" in command.notes(found)
        assert "in the way" not in command.notes(dataclasses.replace(found, cpu=1.0))

    def test_a_damaged_run(self, folder, capsys):
        run = trained(folder / "run", mg.Gaussian(), 1)
        (run / "checkpoint.safetensors").write_bytes(b"\x08" + bytes(50))
        (run / "checkpoint-previous.safetensors").unlink(missing_ok=True)
        assert minigan(run) == 2
        error = capsys.readouterr().err
        assert "is not a checkpoint" in error
        assert error.count("\n") == 1

    def test_images_that_do_not_fit(self, folder):
        gan = mg.load_run(trained(folder / "run", mg.Gaussian(), 1)).gan
        with pytest.raises(mg.CheckpointError, match="images are 4 x 5"):
            command.random_data({"data": "Images", "shape": [30, 4, 5]}, gan, "cpu")
        other = command.random_data({"data": "Mine"}, gan, "cpu")  # of a class we do not know
        assert (other.features, other.dtype) == (1, "float32")

    def test_any_number_of_threads(self, folder, monkeypatch):
        asked = []
        limit = command.limit_threads
        monkeypatch.setattr(command, "limit_threads", lambda n: asked.append(n) or limit(n))
        run = trained(folder / "run", mg.Gaussian(), 1)
        for flags in ((), ("--threads", 2)):
            assert minigan(run, "--steps", 1, *flags) == 0
        assert asked == [1, 2]  # by itself as the trainer chooses


EXAMPLE = ROOT / "examples" / "gaussian1d.py"
REFUSED = [
    (["nowhere"], "neither a run folder nowhere nor an example"),
    (["no/where"], "neither a run folder nor an example's .py file"),
    (["nowhere.py"], "there is no file nowhere.py"),
    (["."], "holds no run"),
    (["broken.py"], "cannot run broken.py: line 1: SyntaxError"),
    (["leaves.py"], "cannot run leaves.py: line 1: SystemExit"),
    (["empty.py"], "empty.py is not an example"),
    (["odd.py"], "odd.py is not an example"),
    ([EXAMPLE, "--recipe", "mine"], "has no recipe 'mine'; choose from article, stable"),
    ([EXAMPLE, "--recipe", "article", "--batch", "64"], "multiple of 100, not 64"),
    ([EXAMPLE, "--device", "cuda"], "cuda"),
    ([EXAMPLE, "--out", "a.jpg"], "--out must end in .png, not 'a.jpg'"),
    ([EXAMPLE, "--csv", "a.txt"], "--csv must end in .csv, not 'a.txt'"),
    ([EXAMPLE, "--steps", "1", "--csv", "no/such/a.csv"], "cannot write"),
    ([EXAMPLE, "--steps", "0"], "integer >= 1"),
    ([EXAMPLE, "--threads", "0"], "integer >= 1"),
    (["run", "--recipe", "stable"], "a run has its own recipe"),
    (["run", "--hidden", "9"], "a run has its own recipe"),
]


def bad_targets() -> None:
    """Files and a folder for REFUSED, here."""
    Path("broken.py").write_text("def\n")
    Path("leaves.py").write_text("raise SystemExit(3)\n")
    Path("empty.py").write_text("")
    Path("odd.py").write_text("experiment = 2\n")
    Path("run").mkdir(exist_ok=True)


def is_refused(flags: list[Any], told: str, capsys: Any) -> bool:
    """With one sentence and exit code 2."""
    there = {file.name for file in Path().iterdir()}
    try:
        code = minigan(*flags)
    except SystemExit as end:  # argparse's way
        code = end.code
    except Exception:
        return False
    error = capsys.readouterr().err.strip().splitlines()[-1]
    left = {file.name for file in Path().iterdir()} - there - {"__pycache__"}
    return code == 2 and told in error and not left


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("flags", "told"), REFUSED)
def test_refusals_are_one_sentence(flags, told, folder, capsys):
    bad_targets()
    assert is_refused(flags, told, capsys)


def test_help_names_the_command(capsys):
    with pytest.raises(SystemExit):
        command_line.main(["--help"])
    assert "profile" in capsys.readouterr().out


# -- tests of the tests -----------------------------------------------------------------------


def a_word_without_a_cost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Backend, "swish", lambda self, X, out: None, raising=False)


def half_of_a_product(patch: pytest.MonkeyPatch) -> None:
    kind, of_call = costs.COSTS["matmul"]
    patch.setitem(
        costs.COSTS,
        "matmul",
        costs.Rule(kind, lambda a: costs.Cost(of_call(a).flops // 2, of_call(a).bytes)),
    )


def gradients_of_all_parameters(patch: pytest.MonkeyPatch) -> None:
    original = LinearPass.backward

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        return original(self, dY, parameter_grads=True, input_grad=input_grad)

    patch.setattr(LinearPass, "backward", backward)


def gradients_of_all_inputs(patch: pytest.MonkeyPatch) -> None:
    original = LinearPass.backward

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        return original(self, dY, parameter_grads=parameter_grads, input_grad=True)

    patch.setattr(LinearPass, "backward", backward)


def a_call_more(patch: pytest.MonkeyPatch) -> None:
    original = numpy_backend.sigmoid

    def sigmoid(X, out):
        original(X, out)
        numpy_backend.np.copyto(out, out)

    patch.setattr(numpy_backend, "sigmoid", sigmoid)


def losses_at_every_step(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("minigan.gan.records.PENDING", 1)


def a_meter_that_works_twice(patch: pytest.MonkeyPatch) -> None:
    original = Meter._metered

    def metered(self, word, kernel):
        def twice(*args, **settings):
            kernel(*args, **settings)
            return kernel(*args, **settings)

        return original(self, word, twice)

    patch.setattr(Meter, "_metered", metered)


def meters_left_behind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(attach, "_restore", lambda attributes, name, before: None)


def a_pass_without_a_title(patch: pytest.MonkeyPatch) -> None:
    patch.delitem(mg.GAN.titles, "_on_fake")


def a_title_without_a_pass(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(mg.GAN.titles, "_none", "D as nothing")


def a_pass_told_twice(patch: pytest.MonkeyPatch) -> None:
    original = mg.GAN.passes
    patch.setattr(mg.GAN, "passes", lambda self: [*original(self), *original(self)])


def nothing_is_written(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(command, "write_whole", lambda path, *pieces: None)


def errors_in_many_lines(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(command_line, "guard", lambda name, work: work())


FAULTS = [
    (every_word_has_a_cost, a_word_without_a_cost),
    (operations_are_those_by_hand, half_of_a_product),
    (operations_are_those_by_hand, gradients_of_all_inputs),
    (words_are_counted, gradients_of_all_parameters),
    (nobody_computes_what_nobody_reads, gradients_of_all_parameters),
    (nobody_computes_what_nobody_reads, gradients_of_all_inputs),
    (losses_are_made_once_in_64_steps, losses_at_every_step),
    (a_captured_step_is_as_short_as_it_was, a_call_more),
    (a_profiled_step_is_a_step, a_meter_that_works_twice),
    (nothing_stays_attached, meters_left_behind),
    (every_pass_has_a_title, a_pass_without_a_title),
    (every_pass_has_a_title, a_title_without_a_pass),
    (every_pass_has_a_title, a_pass_told_twice),
]


@pytest.mark.parametrize(("check", "fault"), FAULTS, ids=lambda f: f.__name__)
def test_a_check_passes_and_sees_a_fault(check, fault, monkeypatch):
    assert check(), "the check must pass before the fault is planted"
    fault(monkeypatch)
    assert not check(), "the check did not notice the fault"


@pytest.mark.usefixtures("quick", "folder")
def test_the_checks_of_the_command_see_faults(monkeypatch, capsys):
    assert the_command_writes_what_it_measures(capsys)
    bad_targets()
    assert is_refused(*REFUSED[0], capsys)
    with monkeypatch.context() as patch:
        nothing_is_written(patch)
        assert not the_command_writes_what_it_measures(capsys)
    with monkeypatch.context() as patch:
        errors_in_many_lines(patch)
        assert not is_refused(*REFUSED[0], capsys)
