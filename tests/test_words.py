"""Every word of the NumPy backend against its formula, written the plain way.

Each case is run three times: as a caller would, with the pool of temporaries and the result full
of NaN before, since a kernel may read nothing that it was not given, and with the first argument
as the result where the rules of the house allow it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conditional_games import EDGES, at_the_edges, moved_images
from draws import normals, uniforms
from test_backend import vocabulary

import minigan as mg
from minigan.backend import numpy as ops
from minigan.backend.numpy import convolution, optimizers
from minigan.backend.numpy.pool import pool
from minigan.backend.window import Window

SHAPES = [(1, 1), (5, 7), (1, 3), (4, 1), (2, 5, 3), (3, 1, 1)]
ROUNDING = {"float32": 2e-6, "float64": 1e-13}


def numbers(*shape: int, low: float = -3.0, high: float = 3.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).uniform(low, high, shape)


class Case:
    """A word, its arguments, and what it should make of those it writes into.

    Args:
        word: of the vocabulary.
        args: the arguments in order; arrays are given as copies.
        expected: position of an array -> what is in it afterwards; the others keep what they hold.
        wide: positions of the arrays that are float64 whatever the others are.
        reads: whether the word also reads what it writes into.
    """

    def __init__(
        self,
        word: str,
        args: list[Any],
        expected: dict[int, np.ndarray],
        wide: tuple[int, ...] = (),
        reads: bool = False,
    ) -> None:
        self.word = word
        self.args = args
        self.expected = expected
        self.wide = wide
        self.reads = reads


def sigmoid(X):
    return 1 / (1 + np.exp(-X))


def held_log(P):
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(P), -100.0)


def taps(window: Window) -> list[tuple[int, ...]]:
    """Each number of the windows of an image and its pixel: place, tap, row and column."""
    h, w, _, (kh, kw), (sh, sw), (ph, pw) = window
    oh, ow = window.places
    every = itertools.product(range(oh), range(ow), range(kh), range(kw))
    found = [(i, j, a, b, i * sh + a - ph, j * sw + b - pw) for i, j, a, b in every]
    return [one for one in found if 0 <= one[4] < h and 0 <= one[5] < w]


def windows_of(X: np.ndarray, window: Window) -> np.ndarray:
    """(..., B, h w c) -> (..., B oh ow, kh kw c)"""
    images = X.reshape(*X.shape[:-1], *window[:3])
    made = np.zeros((*X.shape[:-1], *window.places, *window.kernel, window.channels))
    for i, j, a, b, y, x in taps(window):
        made[..., i, j, a, b, :] = images[..., y, x, :]
    return made.reshape(*X.shape[:-2], -1, window.values)


def images_of(windows: np.ndarray, window: Window, shape: tuple[int, ...]) -> np.ndarray:
    """(..., B oh ow, kh kw c) -> (..., B, h w c): each number is added to its pixel."""
    made = windows.reshape(*shape[:-1], *window.places, *window.kernel, window.channels)
    images = np.zeros((*shape[:-1], *window[:3]))
    for i, j, a, b, y, x in taps(window):
        images[..., y, x, :] += made[..., i, j, a, b, :]
    return images.reshape(shape)


#: A window, how many images, how many channels it makes of theirs.
CONVOLUTIONS = [
    (Window(1, 1, 1, (1, 1), (1, 1), (0, 0)), 1, 1),
    (Window(6, 6, 2, (4, 4), (2, 2), (1, 1)), 3, 4),
    (Window(5, 7, 2, (3, 2), (2, 3), (1, 0)), 2, 3),
    (Window(6, 4, 1, (2, 1), (3, 3), (0, 0)), 2, 9),  # some pixels are in no window
    (Window(4, 3, 2, (3, 5), (1, 2), (2, 3)), 4, 1),  # some windows are all padding
    (Window(7, 5, 1, (3, 4), (2, 1), (1, 2)), 3, 6),  # more channels than SCATTER times theirs
]
#: B rows of n pixels with c channels
PIXELS = [(2, 1, 1), (5, 1, 4), (3, 6, 2), (4, 9, 5), (40, 3, 1)]


def image_cases(case: Callable[..., None], members: tuple[int, ...]) -> None:
    for window, B, o in CONVOLUTIONS:
        (oh, ow), name = window.places, f"{window[:3]} {window.kernel} {members}"
        X = numbers(*members, B, window.features)
        W = numbers(*members, window.values, o, seed=1)
        Y = numbers(*members, B, oh * ow * o, seed=2)
        windows, dY = windows_of(X, window), Y.reshape(*members, -1, o)
        made = (windows @ W).reshape(Y.shape)
        case(name, "convolve", X, W, window, 0 * Y, at3=made)
        dX = images_of(dY @ W.mT, window, X.shape)
        case(name, "convolve_input_gradient", Y, W, window, 0 * X, at3=dX)
        case(name, "convolve_weight_gradient", X, Y, window, 0 * W, at3=windows.mT @ dY)
    for size, c, factor, B in (((1, 1), 1, (1, 1), 1), ((3, 2), 2, (2, 3), 4), ((2, 2), 3, 2, 2)):
        fh, fw = factor if isinstance(factor, tuple) else (factor, factor)
        X = numbers(*members, B, *size, c)
        large = np.repeat(np.repeat(X, fh, axis=-3), fw, axis=-2)
        dY = numbers(*large.shape, seed=1)
        parts = dY.reshape(*members, B, size[0], fh, size[1], fw, c)
        dX = parts.sum(axis=(-4, -2)).reshape(*members, B, -1)
        X, large, dY = (array.reshape(*members, B, -1) for array in (X, large, dY))
        name = f"{size} {factor} {members}"
        case(name, "upsample", X, size, (fh, fw), 0 * large, at3=large)
        case(name, "upsample_backward", dY, size, (fh, fw), 0 * X, at3=dX)
    for size, c, B, settings in (
        *(((4, 5), 2, 3, (0.3, 0.6, 1.7, -1.0)), ((3, 3), 1, 2, (0.0, 0.0, 0.0, 9.0))),
        *(((5, 4), 1, 4, (0.0, 0.0, 3.0, 0.5)), ((1, 1), 3, 2, (0.2, 0.2, 0.4, 0.0))),
    ):
        X = numbers(*members, B, size[0] * size[1] * c)
        amounts = numbers(*members, B, 5, low=-0.99, seed=1)
        moved = moved_images(X, amounts, size, *settings)
        case(f"{size} {c} {members}", "move_images", X, amounts, size, *settings, 0 * X, at7=moved)


def normalisation_cases(case: Callable[..., None], members: tuple[int, ...]) -> None:
    for B, n, c in PIXELS:
        name, eps, N = f"{B} {n} {c} {members}", 0.03, B * n
        X, Y = numbers(*members, N, c), numbers(*members, N, c, seed=1)  # as pixels
        flat = (*members, B, n * c)
        m, gamma, beta = (numbers(*members, 1, c, seed=k) for k in (2, 3, 4))
        v = numbers(*members, 1, c, low=0.1, seed=5)
        mean, zeros = X.mean(axis=-2, keepdims=True), 0 * m
        variance = ((X - mean) ** 2).mean(axis=-2, keepdims=True)
        case(name, "batch_statistics", X.reshape(flat), zeros, zeros, at1=mean, at2=variance)
        normalised = (X - m) / np.sqrt(v + eps)
        out = (gamma * normalised + beta).reshape(flat)
        case(
            name,
            "normalise",
            *(X.reshape(flat), m, v, gamma, beta, eps, 0 * X, 0 * out),
            at6=normalised,
            at7=out,
        )
        dgamma, dbeta = ((Y * f).sum(axis=-2, keepdims=True) for f in (X, np.ones_like(X)))
        gradients = (Y.reshape(flat), X, zeros, zeros)
        case(name, "normalise_gradients", *gradients, at2=dgamma, at3=dbeta)
        dX = gamma / np.sqrt(v + eps) * (Y - beta / N - X * m / N)
        settings = (v, gamma, eps, m, beta)
        backward = (Y.reshape(flat), X, *settings, 0 * out)
        case(name, "normalise_backward", *backward, at7=dX.reshape(flat))
        if n > 1:
            case(name, "add_rows", X.reshape(flat), m, 0 * out, at2=(X + m).reshape(flat))
            case(name, "multiply_rows", X.reshape(flat), m, 0 * out, at2=(X * m).reshape(flat))
            sums = X.sum(axis=-2, keepdims=True)
            case(name, "sum_rows", X.reshape(flat), zeros, at1=sums)


def layer_norm_cases(case: Callable[..., None], shape: tuple[int, ...]) -> None:
    name, eps = "x".join(map(str, shape)), 0.03
    X, dY, U, Y = (numbers(*shape, seed=k) for k in range(4))
    s = numbers(*shape[:-1], 1, low=0.5, seed=4)

    def mean(A: np.ndarray) -> np.ndarray:
        return A.mean(axis=-1, keepdims=True)

    def t(A: np.ndarray) -> np.ndarray:
        return (A - mean(A) - Y * mean(A * Y)) / s

    std = np.sqrt(((X - mean(X)) ** 2).mean(axis=-1, keepdims=True) + eps)
    made = (X - mean(X)) / std
    case(name, "normalise_rows", X, eps, 0 * s, 0 * X, at2=std, at3=made)
    case(name, "normalise_rows_backward", dY, Y, s, 0 * X, at3=t(dY))
    bent = -(mean(U * Y) * t(dY) + mean(dY * Y) * t(U) + mean(dY * t(U)) * Y) / s
    case(name, "normalise_rows_curvature", dY, U, Y, s, 0 * X, at4=bent)


def cases() -> dict[str, Case]:
    found: dict[str, Case] = {}

    def case(name: str, word: str, *args: Any, **expected: Any) -> None:
        options = {key: expected.pop(key) for key in ("wide", "reads") if key in expected}
        places = {int(place.removeprefix("at")): array for place, array in expected.items()}
        found[f"{word} {name}"] = Case(word, list(args), places, **options)

    for shape in SHAPES:
        name = "x".join(map(str, shape))
        X, Y, out = numbers(*shape), numbers(*shape, seed=1), np.zeros(shape)
        layer_norm_cases(case, shape)
        row = (*shape[:-2], 1, shape[-1])
        one = (*shape[:-2],)
        case(name, "copy", X, out, at1=X)
        case(name, "fill", 0.3, out, at1=np.full(shape, 0.3))
        case(name, "add", X, Y, out, at2=X + Y)
        case(name, "negate", X, out, at1=-X)
        case(name, "scale", X, -0.7, out, at2=-0.7 * X)
        case(name, "clip", X, -1.2, 0.4, out, at3=np.clip(X, -1.2, 0.4))
        R = numbers(*row, seed=2)
        case(name, "add_rows", X, R, out, at2=X + R)
        case(name, "multiply_rows", X, R, out, at2=X * R)
        case(name, "sum_rows", X, np.zeros(row), at1=X.sum(axis=-2, keepdims=True))
        case(name, "relu", X, out, at1=np.where(X > 0, X, 0))
        case(name, "relu_backward", Y, X, out, at2=np.where(X > 0, Y, 0))
        case(name, "leaky_relu", X, 0.2, out, at2=np.where(X > 0, X, 0.2 * X))
        case(name, "leaky_relu_backward", Y, X, 0.2, out, at3=np.where(X > 0, Y, 0.2 * Y))
        for alpha in (1.0, 0.4, 1.7):
            slope = np.where(X > 0, 1.0, alpha * np.exp(X))
            value = np.where(X > 0, X, alpha * (np.exp(X) - 1))
            case(f"{name} {alpha}", "elu", X, alpha, np.zeros(shape), out, at2=slope, at3=value)
        case(name, "elu_backward", Y, X, out, at2=Y * X)
        case(name, "sigmoid", X, out, at1=sigmoid(X))
        case(name, "sigmoid_backward", Y, X, out, at2=Y * X * (1 - X))
        case(name, "tanh", X, out, at1=np.tanh(X))
        case(name, "tanh_backward", Y, X, out, at2=Y * (1 - X**2))
        U, kink = numbers(*shape, seed=4), X.copy()
        kink[..., -1] = 0.0
        bent = np.where(kink > 0, 0, Y * U * R)
        case(name, "elu_curvature", Y, U, kink, R + 0 * X, out, at4=bent)
        case(name, "sigmoid_curvature", Y, U, X, out, at3=Y * U * X * (1 - X) * (1 - 2 * X))
        case(name, "tanh_curvature", Y, U, X, out, at3=-2 * Y * U * X * (1 - X**2))
        case(name, "multiply", X, Y, out, at2=X * Y)
        case(name, "mean", X, np.zeros(shape[:-1]), at1=X.mean(axis=-1))
        A = numbers(*shape[:-1], 1, low=0.2, high=2, seed=5)  # a number for each row
        norms = np.sqrt((X**2).sum(axis=-1, keepdims=True))
        case(name, "interpolate", X, Y, A, out, at3=A * X + (1 - A) * Y)
        case(name, "row_norms", X, 0 * A, at1=norms)
        case(name, "norm_gradient", X, A, 0.7, out, at3=0.7 * (1 - 1 / A) * X)
        case(name, "dropout", X, Y, out, at2=X * Y)
        case(name, "dropout_backward", X, Y, out, at2=X * Y)
        case(name, "pack_mean", X, np.zeros(row), at1=X.mean(axis=-2, keepdims=True))
        case(name, "pack_deviations", X, R, out, at2=(X - R) ** 2)
        case(name, "pack_deviations_backward", Y, X, R, out, at3=2 * (X - R) * Y)

        P = numbers(*shape, low=0.05, high=0.95)
        T = numbers(*shape, low=0, high=1, seed=3)
        for t, which in ((0.9, "one target"), (0.0, "no"), (T, "targets")):
            label = f"{name} {which}"
            bce = -(t * np.log(P) + (1 - t) * np.log(1 - P))
            case(label, "bce_loss", P, t, np.zeros(shape[:-1]), at2=bce.mean(axis=-1))
            case(label, "bce_gradient", P, t, 7, out, at3=(P - t) / (P * (1 - P)) / 7)
            case(f"{label} 1", "bce_gradient", P, t, 1, out, at3=(P - t) / (P * (1 - P)))
            logits = -(t * np.log(sigmoid(X)) + (1 - t) * np.log(sigmoid(-X)))
            case(label, "bce_with_logits_loss", X, t, np.zeros(shape[:-1]), at2=logits.mean(-1))
            case(label, "bce_with_logits_gradient", X, t, 7, out, at3=(sigmoid(X) - t) / 7)
            squares = ((X - t) ** 2).mean(axis=-1)
            case(label, "mean_squared_error_loss", X, t, np.zeros(shape[:-1]), at2=squares)
            case(label, "mean_squared_error_gradient", X, t, 7, out, at3=2 * (X - t) / 7)
        edge, signs = np.round(X), np.sign(Y)  # some are 1 or -1, where the slope changes
        for t, which in ((1.0, "real"), (-1.0, "fake"), (signs, "targets")):
            label, hinge = f"{name} {which}", np.maximum(0, 1 - t * edge)
            case(label, "hinge_loss", edge, t, np.zeros(shape[:-1]), at2=hinge.mean(axis=-1))
            case(label, "hinge_gradient", edge, t, 7, out, at3=np.where(t * edge < 1, -t / 7, 0))
        sure = np.zeros(shape)
        sure[..., ::2] = 1.0
        for t in (0.0, 0.3, 1.0):
            held = -(t * held_log(sure) + (1 - t) * held_log(1 - sure)).mean(axis=-1)
            case(f"{name} sure {t}", "bce_loss", sure, t, np.zeros(shape[:-1]), at2=held)
            case(f"{name} sure {t}", "bce_gradient", sure, t, 3, out, at3=(sure - t) / 1e-12 / 3)
        softmax = np.exp(X) / np.exp(X).sum(axis=-1, keepdims=True)
        classes = np.random.default_rng(0).integers(0, shape[-1], shape[:-1])
        onehot, shares = np.eye(shape[-1])[classes], T / T.sum(axis=-1, keepdims=True)
        for t, which in ((onehot, "one-hot"), (shares, "targets")):
            label, entropy = f"{name} {which}", -(t * np.log(softmax)).sum(axis=-1).mean(axis=-1)
            case(label, "softmax_cross_entropy_loss", X, t, np.zeros(one), at2=entropy)
            case(label, "softmax_cross_entropy_gradient", X, t, 7, out, at3=(softmax - t) / 7)
        members = numbers(*one, 6)
        case(name, "record_finite", members, np.full(one, 7.0), at1=np.ones(one), wide=(1,))
        for bad in (np.nan, np.inf, -np.inf):
            spoilt = members.copy()
            spoilt[..., -1] = bad
            case(f"{name} {bad}", "record_finite", spoilt, np.ones(one), at1=0 * np.ones(one))
        losses, totals = numbers(*one, 4, 3), numbers(*one, 2, 3, seed=1)
        after = totals.copy()
        after[..., 0, :] += losses.sum(axis=-2)
        after[..., 1, :] += 4
        case(name, "record_losses", losses, totals, at1=after, wide=(1,), reads=True)

    for M, K, N in ((1, 1, 1), (5, 3, 2), (1, 4, 6), (7, 1, 2)):
        for population in ((), (3,)):
            A, B = numbers(*population, M, K), numbers(*population, K, N, seed=1)
            for ta in (False, True):
                for tb in (False, True):
                    case(
                        f"{M} {K} {N} {population} {ta} {tb}",
                        "matmul",
                        A.mT.copy() if ta else A,
                        B.mT.copy() if tb else B,
                        np.zeros((*population, M, N)),
                        *(ta, tb),
                        at2=A @ B,
                    )
    for members in ((), (3,)):
        image_cases(case, members)
        normalisation_cases(case, members)
    table = numbers(9, 4)
    index = np.array([8, 0, 3, 3, 1])
    case("", "take_rows", table, index, np.zeros((5, 4)), at2=table[index])
    pixels = np.arange(0, 252, 7, dtype=np.uint8).reshape(9, 4)
    shown = (pixels[index] - 127.5) / 127.5
    case("", "take_pixels", pixels, index, np.zeros((5, 4)), at2=shown)

    for clock, settings, after in (
        ([0, 0.5, 9], (0.0, math.inf, 1.0), [1, 0.5, 0.5]),
        ([7, 0.5, 9], (0.0, math.inf, 1.0), [8, 0.5, 0.5]),
        ([2, 0.5, 9], (2.0, 6.0, 0.2), [3, 0.5, 0.5]),
        ([3, 0.5, 9], (2.0, 6.0, 0.2), [4, 0.5, 0.4]),
        ([5, 0.5, 9], (2.0, 6.0, 0.2), [6, 0.5, 0.2]),
        ([6, 0.5, 9], (2.0, 6.0, 0.2), [7, 0.5, 0.1]),
        ([90, 0.5, 9], (2.0, 6.0, 0.2), [91, 0.5, 0.1]),
        ([[4, 0.5, 9], [4, 3, 1]], (2.0, 6.0, 0.2), [[5, 0.5, 0.3], [5, 3, 1.8]]),  # two members'
    ):
        case(f"{clock} {settings}", "tick", np.array(clock, float), *settings,
             at0=np.array(after), wide=(0,), reads=True)  # fmt: skip
    for size, rates in (
        *(((1,), 0.1), ((8,), 0.1), ((3, 5), 0.1), ((2, 1), 0.1)),
        ((3, 5), [0.1, 0.0, 2.0]),  # a clock for each member
    ):
        data, grad = numbers(*size), numbers(*size, seed=1)
        m, v = numbers(*size, seed=2), numbers(*size, low=0, seed=3)
        # step, base rate (which no update looks at), rate
        clock = np.stack(np.broadcast_arrays(4.0, 0.9, rates), axis=-1)
        rate = np.array(rates) if isinstance(rates, float) else np.array(rates)[:, None]
        for momentum in (0.0, 0.6):
            u = momentum * m + grad
            case(f"{size} {rates} {momentum}", "sgd", data, grad, m, clock, momentum,
                 at0=data - rate * u, at2=u, wide=(3,), reads=True)  # fmt: skip
        for alpha, eps in ((0.99, 1e-8), (0.5, 0.3)):
            squares = alpha * v + (1 - alpha) * grad**2
            new = data - rate * grad / (np.sqrt(squares) + eps)
            case(f"{size} {rates} {alpha}", "rmsprop", data, grad, v, clock, alpha, eps,
                 at0=new, at2=squares, wide=(3,), reads=True)  # fmt: skip
        for beta1, beta2 in ((0.5, 0.9), (0.0, 0.99)):
            for eps, weight_decay in ((1e-8, 0.0), (0.3, 0.2)):
                g = beta1 * m + grad if beta1 else grad
                v2 = beta2 * v + grad**2
                m_hat = g * (1 - beta1) / (1 - beta1**4)
                v_hat = v2 * (1 - beta2) / (1 - beta2**4)
                new = (1 - rate * weight_decay) * data - rate * m_hat / (np.sqrt(v_hat) + eps)
                case(
                    f"{size} {rates} {beta1} {eps}",
                    "adam",
                    *(data, grad, m, v, clock, beta1, beta2, eps, weight_decay),
                    **{"at0": new, "at3": v2} | ({"at2": g} if beta1 else {}),
                    wide=(4,),
                    reads=True,
                )
        for t, decay, d in ((0, 0.9, 0.1), (71, 0.999, 72 / 81), (1000, 0.9, 0.9)):
            case(f"{size} {rates} {t}", "moving_average", data, grad, np.array([float(t)]), decay,
                 at1=d * grad + (1 - d) * data, at2=np.array([t + 1.0]),
                 wide=(2,), reads=True)  # fmt: skip
    return found


CASES = cases()
#: Words that make memory, record steps or draw numbers: they have tests of their own.
ELSEWHERE = {"empty", "zeros", "asarray", "from_host", "to_host", "capture"}
ELSEWHERE |= {word for word in vocabulary() if word.startswith("fill_")}
#: The words whose result may not be the first argument, by the rule or by its shape.
APART = {"matmul", "sum_rows", "pack_mean", "take_rows", "take_pixels"}
APART |= {"mean", "row_norms", "hinge_loss", "rmsprop"}
APART |= {"fill", "tick", "sgd", "adam", "moving_average", "record_losses", "record_finite"}
APART |= {"convolve", "convolve_input_gradient", "convolve_weight_gradient", "upsample"}
APART |= {"upsample_backward", "batch_statistics", "normalise_gradients"}
APART |= {"bce_loss", "bce_with_logits_loss", "mean_squared_error_loss"}
APART |= {"softmax_cross_entropy_loss"}


def test_every_word_has_a_case():
    assert {case.word for case in CASES.values()} == set(vocabulary()) - ELSEWHERE


def given(case: Case, dtype: str) -> list[Any]:
    """The arguments as a caller has them: copies, in the dtype of the networks."""
    return [
        arg.astype(np.float64 if i in case.wide or arg.dtype != np.float64 else dtype)
        if isinstance(arg, np.ndarray) and arg.dtype.kind == "f"
        else arg.copy()
        if isinstance(arg, np.ndarray)
        else arg
        for i, arg in enumerate(case.args)
    ]


def run(case: Case, args: list[Any]) -> None:
    with np.errstate(invalid="ignore"):
        getattr(ops, case.word)(*args)


@pytest.fixture(autouse=True)
def pool_of_its_own(monkeypatch) -> None:
    """A pool as at the start: what other tests have left in it takes long to poison."""
    monkeypatch.setattr(pool, "buffers", {})
    monkeypatch.setattr(pool, "views", {})


def poison_the_pool() -> None:
    """NaN into every temporary, so that one that is read before it is written shows."""
    for (dtype, slot), buffer in pool.buffers.items():
        if not isinstance(slot, tuple):  # constants are written once
            buffer.fill(np.nan if dtype in "fd" else 255)


def check(name: str, args: list[Any], dtype: str) -> None:
    """Results are what they should be, and everything else is what it was."""
    case = CASES[name]
    for i, (arg, original) in enumerate(zip(args, given(case, dtype), strict=True)):
        if isinstance(arg, np.ndarray):
            told = f"{name}, argument {i}"
            assert arg.dtype == original.dtype, told
            expected, near = case.expected.get(i, original), ROUNDING[dtype]
            np.testing.assert_allclose(arg, expected, rtol=near, atol=near, err_msg=told)


words = pytest.mark.parametrize("word", sorted(set(vocabulary()) - ELSEWHERE))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@words
def test_a_word_is_its_formula(word, dtype):
    for name, case in CASES.items():
        if case.word == word:
            args = given(case, dtype)
            run(case, args)
            check(name, args, dtype)


@words
def test_a_word_reads_nothing_that_it_was_not_given(word):
    for name, case in CASES.items():
        if case.word == word:
            run(case, given(case, "float64"))  # so that the pool has what the word needs
            args = given(case, "float64")
            poison_the_pool()
            for i in [] if case.reads else case.expected:
                args[i].fill(np.nan)
            run(case, args)
            check(name, args, "float64")


@pytest.mark.parametrize("block", [1, 3, 7, 8])
@pytest.mark.parametrize("word", ["sgd", "rmsprop", "adam", "moving_average"])
def test_an_update_in_blocks_is_an_update(word, block, monkeypatch):
    """Large networks are updated block by block, of which the last one may be short."""
    monkeypatch.setattr(optimizers, "OPTIMIZER_BLOCK", block)
    for name, case in CASES.items():
        if case.word == word:
            args = given(case, "float64")
            run(case, args)
            check(name, args, "float64")


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize(
    "word", ["convolve", "convolve_input_gradient", "convolve_weight_gradient"]
)
def test_a_convolution_in_blocks_is_a_convolution(word, images, monkeypatch):
    """The windows of all images are too many: they are made for one or two at a time."""
    blocks = []
    whole = convolution._blocks

    def counted(numbers: int, *arrays: Any) -> Any:
        for block in whole(numbers, *arrays):
            assert len(block[0]) == 1 or len(block[0]) * numbers <= convolution.BLOCK
            blocks.append(len(block[0]))
            yield block

    monkeypatch.setattr(convolution, "_blocks", counted)
    for name, case in CASES.items():
        if case.word == word:
            window = next(arg for arg in case.args if isinstance(arg, Window))
            monkeypatch.setattr(convolution, "BLOCK", images * convolution._numbers(window))
            args = given(case, "float64")
            run(case, args)
            check(name, args, "float64")
    assert len(blocks) > 4 * len(CONVOLUTIONS)  # more than one for a member


#: Words of images or of rows of pixels: which of their arguments may have gaps between the rows.
GAPS = {
    "convolve": (0, 3),
    "convolve_input_gradient": (0, 3),
    "convolve_weight_gradient": (0, 1),
    "upsample": (0, 3),
    "upsample_backward": (0, 3),
    "add_rows": (0, 2),
    "multiply_rows": (0, 2),
    "sum_rows": (0,),
    "batch_statistics": (0,),
    "normalise": (0, 7),
    "normalise_gradients": (0,),
    "normalise_backward": (0, 7),
    "normalise_rows": (0, 3),
    "normalise_rows_backward": (0, 1, 3),
    "normalise_rows_curvature": (0, 1, 2, 4),
    "softmax_cross_entropy_loss": (0, 1),
    "softmax_cross_entropy_gradient": (0, 1, 3),
}


@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("word", GAPS)
def test_rows_of_pixels_may_have_gaps(word, captured):
    """And what is in the gaps stays there."""
    for name, case in CASES.items():
        if case.word != word:
            continue
        originals = given(case, "float64")
        args, whole = list(originals), {}
        for i in GAPS[word]:
            shape = originals[i].shape
            whole[i] = np.full((*shape[:-1], shape[-1] + 3), 0.5)
            args[i] = whole[i][..., : shape[-1]]
        again = ops.capture(lambda args=args, case=case: run(case, args)) if captured else None
        for i, original in enumerate(given(case, "float64")):
            if isinstance(original, np.ndarray):
                np.copyto(args[i], original)
        poison_the_pool()
        if again is not None:
            again()
        else:
            run(case, args)
        check(name, args, "float64")
        for i, array in whole.items():
            assert (array[..., args[i].shape[-1] :] == 0.5).all(), name


#: They make losses and look for NaN between steps, and read what they have computed.
BETWEEN_STEPS = {"record_losses", "record_finite"}


@pytest.mark.parametrize("word", sorted({case.word for case in CASES.values()} - BETWEEN_STEPS))
def test_a_word_can_be_recorded_and_replayed(word):
    """On the same arrays, whose numbers have changed."""
    for name, case in CASES.items():
        if case.word != word:
            continue
        args, originals = given(case, "float64"), given(case, "float64")
        for arg in args:
            if isinstance(arg, np.ndarray) and arg.dtype.kind == "f":
                arg[...] = 0.5
        replay = ops.capture(lambda args=args, case=case: run(case, args))
        for arg, original in zip(args, originals, strict=True):
            if isinstance(arg, np.ndarray):
                np.copyto(arg, original)
        with np.errstate(invalid="ignore"):
            replay()
        check(name, args, "float64")


@pytest.mark.parametrize("word", sorted({case.word for case in CASES.values()} - APART))
def test_the_first_argument_can_be_the_result(word):
    for name, case in CASES.items():
        first, last = case.args[0], max(case.expected)
        if case.word == word and case.args[last].shape == getattr(first, "shape", None):
            args = given(case, "float64")
            args[last] = args[0]
            run(case, args)
            np.testing.assert_allclose(
                args[last], case.expected[last], rtol=1e-13, atol=1e-13, err_msg=name
            )


@pytest.mark.parametrize("columns", range(1, 9))
def test_a_column_of_a_table_is_negated_alone(columns):
    """np.negative of NumPy 2.4 is not right for one of four columns."""
    table = np.arange(7.0 * columns, dtype=np.float32).reshape(7, columns)
    expected = np.concatenate([-table[:, :1], table[:, 1:]], axis=1)
    ops.negate(table[:, 0], out=table[:, 0])
    np.testing.assert_array_equal(table, expected)


# -- memory -----------------------------------------------------------------------------


def test_memory_by_hand():
    assert ops.zeros((2, 3), "float32").tolist() == [[0, 0, 0]] * 2
    assert ops.zeros((2,), "float64").dtype == np.float64
    assert ops.empty((2, 3), "float32").shape == (2, 3)
    assert ops.empty((1,), "float32").dtype == np.float32
    X = np.arange(6.0).reshape(2, 3)
    assert ops.asarray(X) is X
    assert ops.asarray([[1.0]]).tolist() == [[1.0]]
    for copied in (ops.to_host(X), ops.from_host(X, "float64")):
        assert not np.shares_memory(copied, X)
        np.testing.assert_array_equal(copied, X)
    turned = ops.from_host(X.T, "float32")
    assert turned.flags.c_contiguous
    assert turned.dtype == np.float32
    np.testing.assert_array_equal(turned, X.T)


# -- random fills -----------------------------------------------------------------------


def fill(word: str, *settings: float, shape=(3, 5), dtype="float64", each=8) -> np.ndarray:
    """A fill that starts at block 2; a block gives `each` numbers."""
    out = np.full(shape, np.nan, dtype)
    stream = mg.Stream(7, "words", 2)
    getattr(ops, word)(stream, *settings, out=out)
    assert stream.position == 2 + -(-out.size // each)
    return out


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 3.0), (2.0, 2.5), (0.0, 7.0)])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (40, 60)])
def test_uniform_fills_by_hand(low, high, shape, dtype):
    expected = low + (high - low) * uniforms(mg.Stream(7, "words", 2), math.prod(shape)).reshape(
        shape
    )
    made = fill("fill_uniform", low, high, shape=shape, dtype=dtype)
    np.testing.assert_allclose(made, expected, rtol=1e-6, atol=1e-6)


def drawn_together(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The two uniform fills (B, F) of a stratified one that starts at block 2."""
    blocks = -(-math.prod(shape) // 8)
    streams = (mg.Stream(7, "words", 2 + start) for start in (0, blocks))
    keys, u = (uniforms(stream, math.prod(shape)).reshape(shape) for stream in streams)
    return keys, u


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 3.0), (0.0, 7.0)])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (1, 9), (60, 4)])
def test_stratified_fills_by_hand(low, high, shape, dtype):
    keys, u = drawn_together(shape)
    B, stream = shape[0], mg.Stream(7, "words", 2)
    ranks = (keys[None] < keys[:, None]).sum(axis=1)  # how many keys of the column are smaller
    for _ in range(2):  # the second time without what the pool held
        out, stream.position = np.full(shape, np.nan, dtype), 2
        ops.fill_stratified(stream, low, high, out=out)
        assert stream.position == 2 + 2 * -(-out.size // 8)
        expected = low + (high - low) * (ranks + u) / B
        np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-6)
        poison_the_pool()


def test_a_stratified_fill_has_one_number_in_each_stratum_of_each_column():
    """In an order of its own in each column, and for each member of a population."""
    out = np.zeros((2, 50, 3))
    ops.fill_stratified(mg.Stream([7, 8], "words"), -1.0, 3.0, out=out)
    strata = np.floor((out + 1) / 4 * 50).astype(int)  # (2, 50, 3)
    for order in strata.transpose(0, 2, 1).reshape(6, 50):
        assert sorted(order) == list(range(50))
    assert len({tuple(order) for order in strata.transpose(0, 2, 1).reshape(6, 50)}) == 6


def test_of_equal_keys_of_a_stratified_fill_the_first_ranks_lower():
    B = 20_000
    keys, u = drawn_together((B, 1))
    order = sorted(range(B), key=lambda i: (keys[i, 0], i))
    assert len(np.unique(keys)) < B
    ranks = np.zeros((B, 1))
    ranks[order, 0] = np.arange(B)
    out = np.zeros((B, 1))
    ops.fill_stratified(mg.Stream(7, "words", 2), 0.0, 1.0, out=out)
    np.testing.assert_allclose(out, (ranks + u) / B, atol=1e-12)


def test_a_stratified_fill_is_replayed():
    """Each replay goes on in the stream."""
    streams = [mg.Stream(7, "words", 2) for _ in range(2)]
    out, expected = np.zeros((6, 2)), np.zeros((6, 2))
    replay = ops.capture(lambda: ops.fill_stratified(streams[0], 0.0, 1.0, out=out))
    ops.fill_stratified(streams[1], 0.0, 1.0, out=expected)
    for _ in range(3):
        replay()
        ops.fill_stratified(streams[1], 0.0, 1.0, out=expected)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (4.0, 1.25)])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (40, 61)])
def test_normal_fills_by_hand(mean, std, shape, dtype):
    z = normals(mg.Stream(7, "words", 2), math.prod(shape))
    made = fill("fill_normal", mean, std, shape=shape, dtype=dtype)
    np.testing.assert_allclose(made, (mean + std * z).reshape(shape), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 2), (3, 5), (40, 3)])
def test_mixture_fills_by_hand(shape, dtype):
    """All choices come first, each from a uniform number; then the normal ones, in a new block."""
    centres = numbers(7, shape[1]).astype(dtype)
    rows, stream, out = shape[0], mg.Stream(7, "words", 2), np.full(shape, np.nan, dtype)
    ops.fill_mixture(stream, centres, 0.25, out=out)
    choices = -(-rows // 8)
    assert stream.position == 2 + choices + -(-out.size // 8)
    chosen = np.floor(7 * uniforms(mg.Stream(7, "words", 2), rows)).astype(int)
    z = normals(mg.Stream(7, "words", 2 + choices), out.size).reshape(shape)
    np.testing.assert_allclose(out, centres[chosen] + 0.25 * z, rtol=1e-5, atol=1e-5)
    if rows == 40:
        assert set(chosen) == {*range(7)}


def test_a_member_of_a_mixture_draws_what_it_draws_alone():
    centres, out = numbers(5, 2), np.full((2, 2, 9, 2), np.nan)[0]
    ops.fill_mixture(mg.Stream([3, 4], "words"), centres, 0.5, out=out)
    alone = np.full((9, 2), np.nan)
    ops.fill_mixture(mg.Stream(4, "words"), centres, 0.5, out=alone)
    np.testing.assert_array_equal(out[1], alone)


def test_a_permutation_is_the_order_of_the_words():
    for n in (1, 4, 5, 33):
        out = np.zeros(n, np.int64)
        stream = mg.Stream(7, "words", 2)
        ops.fill_permutation(stream, out=out)
        assert stream.position == 2 + -(-n // 4)
        np.testing.assert_array_equal(out, np.argsort(mg.Stream(7, "words", 2).words(n)[0]))


ALMOST_ONE = float(np.nextafter(1.0, 0.0))


@pytest.mark.parametrize("rate", [2**-17 + 2**-30, 0.25, 0.5, 1 - 2**-16, 0.999999, ALMOST_ONE])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_dropout_rate_is_realised_to_a_multiple_of_a_65536th(rate, dtype):
    """Up to the largest number below one, where one in 65,536 is kept."""
    n = 200_000
    mask = fill("fill_dropout_mask", rate, shape=(1, n), dtype=dtype, each=32)
    threshold = min(round(rate * 65536), 65535)
    kept = mask.dtype.type(65536 / (65536 - threshold))
    assert set(np.unique(mask)) <= {0, kept}
    share = (mask > 0).mean()
    p = 1 - threshold / 65536
    assert abs(share - p) < 6 * math.sqrt(p * (1 - p) / n) + 1 / n
    if 0.1 < rate < 0.9:
        assert 0 < share < 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("settings", EDGES[:2])
def test_images_move_by_halves_to_the_even_pixel(settings, channels):
    X, amounts = at_the_edges(channels)
    out = np.full_like(X, 7.0)
    ops.move_images(X, amounts, (4, 5), *settings, out=out)
    np.testing.assert_array_equal(out, moved_images(X, amounts, (4, 5), *settings))


def test_images_that_move_far_are_background():
    X, amounts = at_the_edges(2)
    amounts[amounts == 0.0] = 0.25
    out = np.empty_like(X)
    ops.move_images(X, amounts, (4, 5), *EDGES[2], out=out)
    np.testing.assert_array_equal(out, 0.5)
