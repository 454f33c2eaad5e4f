"""The GPU twin says what the CPU says: every word, every layer, steps, runs.

Each test runs twice: here, on a stand-in for CuPy that compiles the CUDA sources as C++ for the
CPU and is stricter than CuPy (see tests/stand_in); and on a card, with `pytest -m gpu`.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import subprocess
import threading
from typing import Any

import numpy as np
import pytest
import test_backend
from conditional_games import EDGES, at_the_edges, conditional, info, labelled, moving
from harness import fill_inputs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stand_in import emulator

import minigan as mg
from examples import gaussian1d, mnist
from minigan.backend import numpy as numpy_backend
from minigan.backend.window import Window
from minigan.cli.main import main
from minigan.errors import OrderError, ShapeError
from minigan.evaluation import response, score_gaussian
from minigan.training.profile import profile_step

#: What the CUDA backend offers besides the vocabulary: what a CPU has no use for.
EXTRA = {"open_device", "synchronize"}


def module_of(subject: str) -> Any:
    """A module of the backend that is in use."""
    return importlib.import_module(f"minigan.backend.cuda.{subject}")


def test_it_offers_the_vocabulary_with_the_same_signatures(cuda):
    words = test_backend.vocabulary()
    public = {
        name
        for name, value in vars(cuda).items()
        if inspect.isfunction(value) and not name.startswith("_")
        if value.__module__.startswith("minigan.backend.cuda.")
    }
    assert public == set(words) | EXTRA
    for name, signature in words.items():
        assert inspect.signature(getattr(cuda, name)) == signature, name


def test_a_launch_takes_what_its_kernel_declares(cupy):
    """The declarations that Python reads are those of the source once its macros are expanded."""
    sources = module_of("sources")
    text = sources.source(*sources.FILES)
    pattern = r'"C" __global__ void\s+(?:__launch_bounds__\([\w, ]+\)\s+)?(\w+)\(([^)]*)\)'
    declared = {name: plain(rest) for name, rest in re.findall(pattern, expanded(text))}
    assert declared.keys() == emulator.build(text).signatures.keys()
    assert declared == {
        name: plain(", ".join(f"{kind} {field}" for field, kind in taken.items()))
        for name, taken in sources.signatures().items()
    }


def expanded(source: str) -> str:
    command = ["g++", "-E", "-P", "-x", "c++", "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout


def plain(parameters: str) -> str:
    """Parameters without needless blanks."""
    return re.sub(r"\s*([*,])\s*", r"\1", " ".join(parameters.split()))


def test_a_launch_needs_every_argument_and_no_other(cuda):
    launch, clock = module_of("launching").launch, cuda.zeros((1,), "float64")
    for args in ({}, {"clock": clock, "momentum": 0.9}, {"clocks": clock}):
        with pytest.raises(TypeError, match="kernel 'count': missing or unknown arguments: "):
            launch("count", "float32", (1,), (1,), args)
    launch("count", "float32", (1,), (1,), {"clock": clock})
    assert cuda.to_host(clock).tolist() == [1.0]


# -- words ------------------------------------------------------------------------------


def numbers(*shape: int, low: float = -3.0, high: float = 3.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, shape)


def labels(*shape: int, classes: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, classes, shape)


def bytes_(*shape: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)


def double(*values: float) -> np.ndarray:
    """An array that stays float64 whatever the other arrays are: a clock, totals."""
    return np.array(values, np.float64).view(Double)


class Double(np.ndarray):
    pass


def words() -> dict[str, tuple[str, list[Any]]]:
    """Name of the case: the word, and its arguments; every array among them is compared."""
    cases: dict[str, tuple[str, list[Any]]] = {}

    def case(word: str, *args: Any, name: str = "") -> None:
        cases[f"{word} {name}".strip()] = (word, list(args))

    for shape in ((1, 1), (5, 7), (3, 4, 9), (2, 300, 257)):
        to = numbers(*shape)
        name = "x".join(map(str, shape))
        for word, more in (("relu", ()), ("leaky_relu", (0.2,)), ("sigmoid", ()), ("tanh", ())):
            case(word, numbers(*shape), *more, to, name=name)
            case(
                f"{word}_backward",
                numbers(*shape),
                numbers(*shape, seed=1),
                *more,
                to,
                name=name,
            )
        case("elu", numbers(*shape), 1.0, numbers(*shape, seed=1), to, name=name)
        case("elu", numbers(*shape), 1.3, numbers(*shape, seed=1), to, name=name + " 1.3")
        case("elu_backward", numbers(*shape), numbers(*shape, seed=1), to, name=name)
        three = [numbers(*shape, seed=k) for k in range(3)]  # dY, U, Y
        for word, more in (("elu", [numbers(*shape, seed=3)]), ("sigmoid", []), ("tanh", [])):
            case(f"{word}_curvature", *three, *more, to, name=name)
        case("multiply", numbers(*shape), numbers(*shape, seed=1), to, name=name)
        case("mean", numbers(*shape), numbers(*shape[:-1]), name=name)
        column = numbers(*shape[:-1], 1, low=0.1, high=1, seed=4)
        case("interpolate", numbers(*shape), numbers(*shape, seed=1), column, to, name=name)
        case("row_norms", numbers(*shape), column, name=name)
        case("norm_gradient", numbers(*shape), column, 0.3, to, name=name)
        case("dropout", numbers(*shape), numbers(*shape, seed=1), to, name=name)
        case("dropout_backward", numbers(*shape), numbers(*shape, seed=1), to, name=name)
        case("add", numbers(*shape), numbers(*shape, seed=1), to, name=name)
        case("negate", numbers(*shape), to, name=name)
        case("scale", numbers(*shape), -0.7, to, name=name)
        case("clip", numbers(*shape), -0.3, 0.4, to, name=name)
        case("copy", numbers(*shape), to, name=name)
        case("fill", 0.3, to, name=name)
        row = (*shape[:-2], 1, shape[-1])
        case("add_rows", numbers(*shape), numbers(*row, seed=1), to, name=name)
        case("multiply_rows", numbers(*shape), numbers(*row, seed=1), to, name=name)
        case("sum_rows", numbers(*shape), numbers(*row), name=name)
        X, dY, U, Y = (numbers(*shape, seed=k) for k in range(4))
        std = numbers(*shape[:-1], 1, low=0.5, seed=4)
        case("normalise_rows", X + 100, 1e-5, std, to, name=name)
        case("normalise_rows_backward", dY, Y, std, to, name=name)
        case("normalise_rows_curvature", dY, U, Y, std, to, name=name)
        case("pack_mean", numbers(*shape), numbers(*row), name=name)
        case("pack_deviations", numbers(*shape), numbers(*row, seed=1), to, name=name)
        case(
            "pack_deviations_backward",
            *(numbers(*shape), numbers(*shape, seed=1), numbers(*row, seed=2), to),
            name=name,
        )
        p, many = numbers(*shape, low=0.01, high=0.99), numbers(*shape, low=0, high=1, seed=3)
        mean = numbers(*shape[:-1])
        for loss, X in (("bce", p), ("bce_with_logits", to * 3), ("mean_squared_error", to)):
            for targets, which in ((0.95, ""), (many, " targets")):
                case(f"{loss}_loss", X, targets, mean, name=name + which)
                case(f"{loss}_gradient", X, targets, 7, to, name=name + which)
        signs = np.sign(numbers(*shape, seed=5))
        for targets, which in ((1.0, ""), (-1.0, " -1"), (signs, " targets")):
            case("hinge_loss", to, targets, mean, name=name + which)
            case("hinge_gradient", to, targets, 7, to, name=name + which)
        onehot = np.eye(shape[-1])[labels(*shape[:-1], classes=shape[-1])]
        for targets, which in ((onehot, ""), (many / many.sum(-1, keepdims=True), " targets")):
            entropy = numbers(*shape[:-2])
            case("softmax_cross_entropy_loss", to, targets, entropy, name=name + which)
            case("softmax_cross_entropy_gradient", to, targets, 7, to, name=name + which)
        case(
            "record_finite",
            numbers(*shape[:-2], 7),
            double(*[3.0] * int(np.prod(shape[:-2]))).reshape(shape[:-2]),
            name=name,
        )
    for M, K, N in (
        (1, 1, 1),
        (5, 3, 2),
        (100, 784, 30),
        (65, 64, 129),
        (70, 1300, 3),
        (2, 200, 50),
    ):
        for members in ((), (3,)):
            for tA, tB in ((False, False), (True, False), (False, True), (True, True)):
                A = numbers(*members, *((K, M) if tA else (M, K)), low=-1, high=1)
                B = numbers(*members, *((N, K) if tB else (K, N)), low=-1, high=1, seed=1)
                name = f"{M}x{K}x{N} {members} {tA} {tB}"
                case("matmul", A, B, numbers(*members, M, N), tA, tB, name=name)
    for members in ((), (2,)):
        image_words(case, members)
        normalisation_words(case, members)
    case("take_rows", numbers(9, 4), labels(6, classes=9), numbers(6, 4))
    case("take_pixels", bytes_(9, 4), labels(6, classes=9), numbers(6, 4))
    case("record_losses", numbers(5, 3), double(1, 2, 3, 4, 5, 6).reshape(2, 3))
    case("record_losses", numbers(2, 5, 3), double(*range(12)).reshape(2, 2, 3), name="members")
    for done in (0.0, 5.0, 100.0):
        case("tick", double(done, 0.1, 0.1), 3.0, 20.0, 0.1, name=f"{done}")
        case("tick", double(done, 0.1, 0.1), 0.0, float("inf"), 1.0, name=f"{done} constant")
    two = double(4.0, 0.1, 0.02, 4.0, 0.1, 1.5).reshape(2, 3)  # a clock for each of two members
    three = double(5.0, 0.1, 0.1, 5.0, 2.0, 0.1, 5.0, 0.0, 0.1).reshape(3, 3)
    case("tick", three, 3.0, 20.0, 0.1, name="members")
    for n, clock in (
        *(((n), double(4.0, 0.1, 0.02)) for n in ((1,), (1000,), (2, 70_000))),
        ((2, 33_000), two),
        ((2, 501), two),  # four neighbours of the second member are not aligned
    ):
        flat = [numbers(*n, seed=k) for k in range(3)]
        square = numbers(*n, low=0, high=1, seed=3)
        name = f"{n} {len(clock.shape)}"
        case("sgd", *flat, clock, 0.9, name=name)
        case("rmsprop", *flat[:2], square, clock, 0.99, 1e-8, name=name)
        case("moving_average", *flat[:2], double(3.0), 0.999, name=name)
        for beta1, decay in ((0.9, 0.0), (0.0, 0.0), (0.5, 0.1)):
            settings = (clock, beta1, 0.99, 1e-8, decay)
            case("adam", *flat, square, *settings, name=f"{name} {beta1} {decay}")
    return cases


def image_words(case: Any, members: tuple[int, ...]) -> None:
    """Convolutions of B images to o channels, and upsampling."""
    for window, B, o in (
        (Window(1, 1, 1, (1, 1), (1, 1), (0, 0)), 1, 1),
        (Window(8, 8, 3, (4, 4), (2, 2), (1, 1)), 5, 4),
        (Window(5, 7, 2, (3, 2), (2, 3), (1, 0)), 3, 5),
        (Window(6, 4, 1, (2, 1), (3, 3), (0, 0)), 2, 70),  # some pixels are in no window
        (Window(4, 3, 2, (3, 5), (1, 2), (2, 3)), 4, 1),  # some windows are all padding
    ):
        (oh, ow), name = window.places, f"{window[:3]} {window.kernel} {members}"
        X = numbers(*members, B, window.features)
        W = numbers(*members, window.values, o, seed=1)
        Y = numbers(*members, B, oh * ow * o, seed=2)
        case("convolve", X, W, window, Y, name=name)
        case("convolve_input_gradient", Y, W, window, X, name=name)
        case("convolve_weight_gradient", X, Y, window, W, name=name)
    for (h, w), c, factor, B in (((1, 1), 1, (1, 1), 1), ((3, 2), 4, (2, 3), 5)):
        name = f"{h} {w} {factor} {members}"
        small = numbers(*members, B, h * w * c)
        large = numbers(*members, B, h * w * c * factor[0] * factor[1], seed=1)
        case("upsample", small, (h, w), factor, large, name=name)
        case("upsample_backward", large, (h, w), factor, small, name=name)
        amounts, settings = numbers(*members, B, 5, seed=2), (0.3, 0.6, 1.7, -1.0)
        case("move_images", small, amounts, (h, w), *settings, numbers(*small.shape), name=name)


def normalisation_words(case: Any, members: tuple[int, ...]) -> None:
    """X (B, n c) as rows of features, with n = 1, and as n pixels."""
    for B, n, c in ((2, 1, 1), (5, 1, 7), (3, 1, 130), (70, 6, 3), (9, 12, 40)):
        name = f"{B} {n} {c} {members}"
        X, Y = numbers(*members, B, n * c), numbers(*members, B, n * c, seed=1)
        normalised = numbers(*members, B * n, c, seed=2)
        row, other, third = (numbers(*members, 1, c, seed=3 + k) for k in range(3))
        positive = numbers(*members, 1, c, low=0.1, seed=6)
        case("batch_statistics", X, row, positive, name=name)
        case("normalise", X, row, positive, other, third, 1e-5, normalised, Y, name=name)
        case("normalise_gradients", Y, normalised, row, other, name=name)
        settings = (positive, other, 1e-5, row, third)
        case("normalise_backward", Y, normalised, *settings, X, name=name)
        if n > 1:
            case("add_rows", X, row, Y, name=name)
            case("multiply_rows", X, row, Y, name=name)
            case("sum_rows", X, row, name=name)


WORDS = words()
FILLS = {word for word in test_backend.vocabulary() if word.startswith("fill_")}
MEMORY = {"empty", "zeros", "asarray", "from_host", "to_host", "capture"}


def test_every_word_is_compared():
    assert {word for word, _ in WORDS.values()} == set(test_backend.vocabulary()) - FILLS - MEMORY


def said(ops: Any, word: str, args: list[Any], dtype: str) -> list[np.ndarray]:
    """Say a word on a device; all its arrays afterwards, on the host."""
    given = [
        ops.from_host(
            a, dtype if a.dtype == np.float64 and not isinstance(a, Double) else str(a.dtype)
        )
        if isinstance(a, np.ndarray)
        else a
        for a in args
    ]
    getattr(ops, word)(*given)
    return [
        np.array(ops.to_host(a))
        for a, b in zip(given, args, strict=True)
        if isinstance(b, np.ndarray)
    ]


def far(mine: np.ndarray, theirs: np.ndarray) -> float:
    """The norm of the difference, relative to the norm."""
    difference = np.linalg.norm((mine.astype(np.float64) - theirs).ravel())
    return float(difference / max(np.linalg.norm(theirs.ravel()), 1e-30)) if theirs.size else 0.0


@pytest.mark.parametrize(("dtype", "within"), [("float32", 1e-5), ("float64", 1e-13)])
def test_a_word_means_the_same(cuda, dtype, within):
    """As a relative norm against the CPU's float64, for every word and shape."""
    worst = {}
    for name, (word, args) in WORDS.items():
        ours, theirs = said(cuda, word, args, dtype), said(numpy_backend, word, args, "float64")
        for mine, reference in zip(ours, theirs, strict=True):
            assert mine.shape == reference.shape
            worst[name] = max(worst.get(name, 0.0), far(mine, reference))
    too_far = {name: error for name, error in worst.items() if not error <= within}
    assert not too_far


IN_PLACE = (
    *("relu", "leaky_relu_backward", "elu_backward", "sigmoid", "tanh", "add", "negate"),
    *("scale", "multiply", "elu_curvature", "sigmoid_curvature", "tanh_curvature"),
    *("interpolate", "norm_gradient", "hinge_gradient", "softmax_cross_entropy_gradient"),
)


@pytest.mark.parametrize("word", IN_PLACE)
def test_a_word_works_in_place(cuda, word):
    args = next(args for name, (w, args) in WORDS.items() if w == word and "3x4x9" in name)
    (*_, expected) = said(numpy_backend, word, args, "float64")
    X = cuda.from_host(args[0], "float64")
    others = [cuda.from_host(a, "float64") if isinstance(a, np.ndarray) else a for a in args[1:-1]]
    getattr(cuda, word)(X, *others, out=X)
    assert far(cuda.to_host(X), expected) < 1e-13


def test_arrays_with_gaps(cuda):
    """Views as the engine makes them: rows of a population, packs in a wider row, columns."""
    host, X = numbers(2, 6, 5), cuda.from_host(numbers(2, 6, 5), "float64")
    out = cuda.zeros((2, 6, 5), "float64")
    cuda.relu(X[:, 2:5, :], out=out[:, 1:4, :])
    expected = np.zeros((2, 6, 5))
    expected[:, 1:4] = np.maximum(host[:, 2:5], 0)
    assert np.array_equal(cuda.to_host(out), expected)

    cuda.fill(0.0, out=out)
    cuda.add(X[..., :2], X[..., 3:], out=out[..., 1:3])
    assert np.array_equal(cuda.to_host(out)[..., 1:3], host[..., :2] + host[..., 3:])
    assert np.count_nonzero(cuda.to_host(out)) == 24

    losses = cuda.zeros((2, 4, 3), "float64")  # of three of four steps
    cuda.mean_squared_error_loss(X[:, :3, :2], 1.0, out=losses[:, :3, 1])
    cuda.negate(losses[:, :3, 1], out=losses[:, :3, 2])
    expected = np.zeros((2, 4, 3))
    expected[:, :3, 1] = ((host[:, :3, :2] - 1.0) ** 2).mean(axis=-1)
    expected[:, :3, 2] = -expected[:, :3, 1]
    assert np.allclose(cuda.to_host(losses), expected)

    logits, shares = numbers(2, 4, 6, 5), numbers(2, 4, 6, 3, low=0.2, high=1.0)
    shares /= shares.sum(axis=-1, keepdims=True)
    L, T = cuda.from_host(logits, "float64"), cuda.from_host(shares, "float64")
    cuda.softmax_cross_entropy_loss(L[:, :3, :, 1:4], T[:, 1:], out=losses[:, :3, 0])
    numpy_backend.softmax_cross_entropy_loss(
        logits[:, :3, :, 1:4], shares[:, 1:], out=expected[:, :3, 0]
    )
    assert np.allclose(cuda.to_host(losses), expected)

    row = cuda.from_host(numbers(2, 1, 3, seed=2), "float64")
    cuda.fill(0.0, out=out)
    cuda.add_rows(X[..., 2:], row, out=out[..., 1:4])
    expected = np.zeros((2, 6, 5))
    expected[..., 1:4] = host[..., 2:] + numbers(2, 1, 3, seed=2)
    assert np.array_equal(cuda.to_host(out), expected)

    made = cuda.zeros((2, 3, 4), "float64")
    W = cuda.from_host(numbers(2, 5, 4, seed=1), "float64")
    cuda.matmul(X[:, 2:5, :], W, out=made)
    assert np.allclose(cuda.to_host(made), host[:, 2:5] @ numbers(2, 5, 4, seed=1))


#: Words, and which of their arguments may have gaps between the rows.
GAPS = {
    "convolve": (0, 3),
    "convolve_input_gradient": (0, 3),
    "convolve_weight_gradient": (0, 1),
    "upsample": (0, 3),
    "upsample_backward": (0, 3),
    "move_images": (0, 1, 7),
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
    "multiply": (0, 1, 2),
    "mean": (0,),
    "elu_curvature": (0, 1, 2, 3, 4),
    "sigmoid_curvature": (0, 1, 2, 3),
    "tanh_curvature": (0, 1, 2, 3),
    "interpolate": (0, 1, 2, 3),
    "row_norms": (0, 1),
    "norm_gradient": (0, 1, 3),
    "softmax_cross_entropy_gradient": (0, 1, 3),
}


def poison_temporaries(cuda: Any) -> None:
    """NaN, so that what a word reads there before it has written it shows."""
    for (_, dtype, _), array in module_of("memory")._temporaries.items():
        if dtype.startswith("float"):
            cuda.fill(np.nan, out=array)


def wide(array: np.ndarray, gap: int) -> np.ndarray:
    """The array with more columns, of other numbers."""
    return np.concatenate([array, np.full((*array.shape[:-1], gap), 7.0)], axis=-1)


@pytest.mark.parametrize(
    ("gap", "dtype"),
    [
        (0, "float32"),
        (3, "float64"),
        pytest.param(0, "float64", marks=pytest.mark.slow),
        pytest.param(3, "float32", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("word", GAPS)
def test_a_word_is_replayed(cuda, word, gap, dtype):
    """On other numbers than when it was recorded, with gaps between the rows or without."""
    for name, (w, args) in WORDS.items():
        if w != word:
            continue
        expected = said(numpy_backend, word, args, "float64")
        gaps = [gap if i in GAPS[word] else 0 for i in range(len(args))]
        whole = [wide(a, g) if isinstance(a, np.ndarray) else a for a, g in zip(args, gaps)]  # noqa: B905
        on = [cuda.from_host(a, dtype) if isinstance(a, np.ndarray) else a for a in whole]
        given = [
            a[..., : b.shape[-1]] if isinstance(b, np.ndarray) else a
            for a, b in zip(on, args, strict=True)
        ]
        replay = cuda.capture(lambda given=given: getattr(cuda, word)(*given))
        for array, values in zip(on, whole, strict=True):
            if isinstance(values, np.ndarray):
                array.set(values.astype(dtype))
        poison_temporaries(cuda)
        replay()
        arrays = [cuda.to_host(a) for a, b in zip(on, args, strict=True) if hasattr(b, "dtype")]
        for array, reference in zip(arrays, expected, strict=True):
            columns = reference.shape[-1]
            assert far(array[..., :columns], reference) < (1e-5 if dtype == "float32" else 1e-13)
            assert (array[..., columns:] == 7.0).all(), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("settings", EDGES)
@pytest.mark.parametrize("channels", [1, 3])
def test_moved_images_are_the_cpu_s_to_the_bit(cuda, channels, settings, dtype):
    """Also those with NaN, at the halves between two pixels, and far outside."""
    X, amounts = at_the_edges(channels, dtype)
    made = []
    for ops in (numpy_backend, cuda):
        out = ops.empty(X.shape, dtype)
        given = (ops.from_host(array, dtype) for array in (X, amounts))
        ops.move_images(*given, (4, 5), *settings, out=out)
        made.append(ops.to_host(out))
    np.testing.assert_array_equal(*made)


@pytest.mark.parametrize("images", [1, 2])
def test_convolutions_of_some_images_at_a_time(cuda, monkeypatch, images):
    """The windows of all images are too many: the temporary stays as small as it is told to."""
    memory, convolution = module_of("memory"), module_of("convolution")
    for word in ("convolve", "convolve_input_gradient", "convolve_weight_gradient"):
        for name, (w, args) in WORDS.items():
            if w != word:
                continue
            window = next(a for a in args if isinstance(a, Window))
            W = args[3 if word == "convolve_weight_gradient" else 1]  # (..., kh kw c, o)
            size = int(np.prod(W.shape[:-2])) * int(np.prod(window.places)) * max(W.shape[-2:])
            monkeypatch.setattr(convolution, "BLOCK", images * size + size // 2)
            monkeypatch.setattr(memory, "_temporaries", {})
            ours = said(cuda, word, args, "float64")
            expected = said(numpy_backend, word, args, "float64")
            for mine, reference in zip(ours, expected, strict=True):
                assert far(mine, reference) < 1e-13, name
            assert memory._temporaries["windows", "float64", 0].size <= images * size


def test_a_replay_keeps_the_temporary_that_it_was_recorded_with(cuda):
    """Also when a larger one has taken its place."""
    cases = [args for name, (word, args) in WORDS.items() if word == "convolve" and "()" in name]
    small, large = cases[2], cases[1]
    on = [cuda.from_host(a, "float64") if isinstance(a, np.ndarray) else a for a in small]
    replay = cuda.capture(lambda: cuda.convolve(*on))
    replay()
    temporaries = module_of("memory")._temporaries
    before = temporaries["windows", "float64", 0]
    said(cuda, "convolve", [np.tile(large[0], (3, 1)), *large[1:3], np.tile(large[3], (3, 1))],
         "float64")  # fmt: skip
    assert temporaries["windows", "float64", 0] is not before
    cuda.fill(0.0, out=on[3])
    replay()
    assert far(cuda.to_host(on[3]), said(numpy_backend, "convolve", small, "float64")[-1]) < 1e-13


@pytest.mark.parametrize("small_tiles", [0, 1_000_000], ids=["large", "small"])
@pytest.mark.parametrize("deep", [20, 1_000_000], ids=["split", "whole"])
def test_products_in_tiles_of_either_size(cuda, monkeypatch, small_tiles, deep):
    """Split along K, or not."""
    algebra = module_of("algebra")
    monkeypatch.setattr(algebra, "SMALL_TILES", small_tiles)
    monkeypatch.setattr(algebra, "DEEP", deep)
    for name, (word, args) in WORDS.items():
        if word == "matmul":
            expected = said(numpy_backend, word, args, "float64")[-1]
            assert far(said(cuda, word, args, "float64")[-1], expected) < 1e-13, name


def test_two_runs_of_a_word_give_the_same_bits(cuda):
    """The stand-in's threads run in the opposite order the second time."""
    for name, (word, args) in WORDS.items():
        if word in GAPS:
            runs = [said(cuda, word, args, "float32") for _ in range(2)]
            assert all(map(np.array_equal, *runs)), name


def test_images_that_do_not_fit_are_refused(cuda):
    window = Window(4, 4, 2, (3, 3), (1, 1), (0, 0))  # (3, 32) to (3, 4 o)
    X, W, Y = (cuda.zeros(shape, "float32") for shape in ((3, 32), (18, 5), (3, 20)))
    row, one = cuda.zeros((1, 5), "float32"), cuda.zeros((3, 18), "float32")
    normalised = cuda.zeros((12, 5), "float32")
    for refused in (
        lambda: cuda.convolve(one, W, window, out=Y),
        lambda: cuda.convolve(X, W[:17], window, out=Y),
        lambda: cuda.convolve(X, W, window, out=Y[:2]),
        lambda: cuda.convolve_input_gradient(Y, W, window, out=one),
        lambda: cuda.convolve_weight_gradient(X, Y, window, out=W[:, :4]),
        lambda: cuda.upsample(X, (3, 3), (1, 1), out=X),
        lambda: cuda.upsample_backward(X, (2, 2), (2, 1), out=X),
        lambda: cuda.add_rows(one, row, out=one),
        lambda: cuda.sum_rows(one, out=row),
        lambda: cuda.batch_statistics(one, row, row),
        lambda: cuda.batch_statistics(Y, row, row[:, :4]),
        lambda: cuda.normalise(Y, *[Y[:1, ::4]] * 4, 1e-5, normalised, out=Y),
        lambda: cuda.normalise(Y, *[row] * 4, 1e-5, normalised, out=Y[:2]),
        lambda: cuda.normalise_gradients(Y, normalised[:11], row, row),
        lambda: cuda.normalise_gradients(Y[:2], normalised[::2][:4], row, row),
        lambda: cuda.normalise_gradients(Y, cuda.zeros((12, 8), "float32")[:, :5], row, row),
    ):
        with pytest.raises(ShapeError):
            refused()
    double = cuda.zeros((1, 5), "float64")
    for refused in (
        lambda: cuda.convolve(X, cuda.zeros((18, 5), "float64"), window, out=Y),
        lambda: cuda.upsample(X, (4, 4), (1, 1), out=cuda.zeros((3, 32), "float64")),
        lambda: cuda.normalise_gradients(Y, normalised, row, double),
        lambda: cuda.normalise_gradients(Y, cuda.zeros((12, 5), "float64"), row, row),
    ):
        with pytest.raises(mg.DTypeError):
            refused()


def test_rows_that_do_not_fit_are_refused(cuda):
    X, column = cuda.zeros((4, 3), "float32"), cuda.zeros((4, 1), "float32")
    doubles = cuda.zeros((4, 3), "float64"), cuda.zeros((4, 1), "float64")
    for refused in (
        lambda: cuda.interpolate(X, X[:3], column, out=X),
        lambda: cuda.interpolate(X, X, column[:3], out=X),
        lambda: cuda.interpolate(X, X, X, out=X),
        lambda: cuda.row_norms(X, out=column[:3]),
        lambda: cuda.norm_gradient(X, column, 1.0, out=X[:3]),
        lambda: cuda.norm_gradient(X, column[:1], 1.0, out=X),
        lambda: cuda.multiply(X, X[:3], out=X),
        lambda: cuda.fill_stratified(mg.Stream([0, 1], "x"), 0.0, 1.0, out=X),
    ):
        with pytest.raises(ShapeError):
            refused()
    for refused in (
        lambda: cuda.interpolate(X, doubles[0], column, out=X),
        lambda: cuda.interpolate(X, X, doubles[1], out=X),
        lambda: cuda.row_norms(X, out=doubles[1]),
        lambda: cuda.norm_gradient(X, column, 1.0, out=doubles[0]),
    ):
        with pytest.raises(mg.DTypeError):
            refused()


def test_gaps_that_a_kernel_cannot_see_are_refused(cuda):
    wide, row = cuda.zeros((4, 6), "float32"), cuda.zeros((1, 3), "float32")
    out, means = cuda.zeros((4, 3), "float32"), cuda.zeros((4,), "float32")
    with pytest.raises(ShapeError, match="lie together"):
        cuda.add_rows(wide[:, ::2], row, out=out)
    with pytest.raises(ShapeError, match="lie together"):
        cuda.mean_squared_error_loss(wide[:, ::2], 1.0, out=means)
    with pytest.raises(ShapeError, match="lie together"):
        cuda.record_finite(wide[0, ::2], out=cuda.zeros((), "float64"))


def test_an_interruption_after_a_launch_does_not_shift_the_streams(cuda, monkeypatch):
    make, batch, features = STEPS["mnist stable"]
    plain, replayed = make("cuda"), make("cuda")
    replayed.capture()
    for gan in (plain, replayed):
        train(gan, batch, features, 3)
    saved = state_of(replayed)
    stream = next(iter(replayed.recording.replay.drawn))

    def interrupt(blocks: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(stream, "advance", interrupt)
        with pytest.raises(KeyboardInterrupt):
            replayed.step()
    replayed.load_state(*saved)
    for gan in (plain, replayed):
        train(gan, batch, features, 3, seed=1)
    assert same(plain, replayed)


@mg.register
class Blind(mg.NonSaturating):
    """A loss defined outside minigan, without gradients."""

    capturable = True

    def discriminator_gradient(self, ops, Y, targets, dY):
        ops.fill(0.0, out=dY)

    def generator_gradient(self, ops, Y, dY):
        ops.fill(0.0, out=dY)


def test_a_loss_that_changes_during_a_run_changes_the_graph(cuda, tmp_path):
    def change(trainer: mg.Trainer) -> None:
        trainer.gan.set_loss(Blind(probabilities=True))

    states = []
    for capture in (True, False):
        run = run_of("article", tmp_path / str(capture), "cuda")
        run.every(30, "step", change)
        run.fit(steps=40, capture=capture)
        assert (run.gan.recording.replay is not None) == capture
        states.append(cuda.to_host(run.gan.generator.parameters.data))
    assert np.array_equal(*states)


def test_nan_is_not_hidden(cuda):
    for word, more in (("relu", ()), ("leaky_relu", (0.2,)), ("sigmoid", ()), ("tanh", ())):
        X = cuda.from_host(np.array([[np.nan, 1.0]]), "float32")
        getattr(cuda, word)(X, *more, out=X)
        assert np.isnan(cuda.to_host(X)).tolist() == [[True, False]], word
        dY = cuda.from_host(np.array([[np.nan, 1.0]]), "float32")
        Y = cuda.from_host(np.array([[0.25, 0.5]]), "float32")
        getattr(cuda, f"{word}_backward")(dY, Y, *more, out=dY)
        assert np.isnan(cuda.to_host(dY)).tolist() == [[True, False]], word
    losses, totals = np.ones((4, 3)), np.zeros((2, 3))
    losses[1, 0], losses[3, 2] = np.nan, np.inf
    (_, counted), (_, expected) = (
        said(ops, "record_losses", [losses, totals.view(Double)], "float64")
        for ops in (cuda, numpy_backend)
    )
    assert counted[1].tolist() == expected[1].tolist() == [1.0, 4.0, 3.0]
    flag = cuda.from_host(np.array([5.0, 5.0]), "float64")
    for i, bad in enumerate((np.nan, 1.0)):
        X = cuda.from_host(np.array([1.0] * 300 + [bad]), "float32")
        cuda.record_finite(X, out=flag[i])
    assert cuda.to_host(flag).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_dead_unit_stops_any_gradient(cuda, dtype):
    """As in PyTorch: infinity and NaN, too, become 0 there; also at the end of a product."""
    host = np.array([[np.inf, np.nan, np.inf, 3.0]])  # (1, 4)
    Y = cuda.from_host(np.array([[0.0, 0.0, 0.5, 0.5]]), dtype)
    one = cuda.from_host(np.ones((1, 1)), dtype)

    def alone() -> None:
        cuda.relu_backward(dY, Y, out=dY)

    def after_a_product() -> None:
        cuda.matmul(one, dY, out=made)
        cuda.relu_backward(made, Y, out=made)

    dY, made = cuda.from_host(host, dtype), cuda.zeros((1, 4), dtype)
    cuda.capture(after_a_product)()
    alone()
    for result in (dY, made):
        assert cuda.to_host(result).tolist() == [[0.0, 0.0, np.inf, 3.0]]


def test_extreme_probabilities_and_logits_stay_finite(cuda):
    P = np.array([[0.0, 1.0, 0.5]])
    logits = np.array([[-1e4, 1e4, 0.0]])
    for word, X in (("bce", P), ("bce_with_logits", logits)):
        for t in (0.0, 1.0):
            for dtype in ("float32", "float64"):
                args = [X, t, 3, np.zeros_like(X)]
                ours = said(cuda, f"{word}_gradient", args, dtype)
                assert np.isfinite(ours[-1]).all()
                assert (
                    far(ours[-1], said(numpy_backend, f"{word}_gradient", args, dtype)[-1]) < 1e-6
                )
                args = [X, t, np.zeros(1)]
                ours = said(cuda, f"{word}_loss", args, dtype)
                assert far(ours[-1], said(numpy_backend, f"{word}_loss", args, dtype)[-1]) < 1e-6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_cross_entropy_of_extreme_logits(cuda, dtype):
    """They do not overflow, and a class of logit minus infinity and target 0 is excluded."""
    X = np.array([[0.0, 1.0, -np.inf], [1e4, 0.0, -1e4]])
    T = np.array([[0.25, 0.75, 0.0], [0.0, 1.0, 0.0]])
    for args in ((X, T, np.zeros(())), (X, T, 2, np.zeros((2, 3)))):
        word = f"softmax_cross_entropy_{'loss' if len(args) == 3 else 'gradient'}"
        ours, theirs = (said(ops, word, [*args], dtype)[-1] for ops in (cuda, numpy_backend))
        assert np.isfinite(theirs).all()
        assert far(ours, theirs) < 1e-5


def test_what_does_not_fit_is_refused(cuda):
    A, B = cuda.zeros((2, 3), "float32"), cuda.zeros((4, 5), "float32")
    with pytest.raises(ShapeError):
        cuda.matmul(A, B, out=cuda.zeros((2, 5), "float32"))
    with pytest.raises(ShapeError):
        cuda.add(A, B, out=A)
    with pytest.raises(mg.DTypeError):
        cuda.relu(A, out=cuda.zeros((2, 3), "float64"))
    for targets, error in ((B, ShapeError), (cuda.zeros((2, 3), "float64"), mg.DTypeError)):
        with pytest.raises(error, match="softmax_cross_entropy_gradient: "):
            cuda.softmax_cross_entropy_gradient(A, targets, 2, out=A)
        with pytest.raises(error, match="softmax_cross_entropy_loss: "):
            cuda.softmax_cross_entropy_loss(A, targets, out=cuda.zeros((), "float32"))
    with pytest.raises(ShapeError):
        cuda.fill_uniform(mg.Stream(0, "x"), 0, 1, out=cuda.zeros((2, 3, 4), "float32"))
    with pytest.raises(ShapeError):
        cuda.fill_uniform(mg.Stream(0, "x"), 0, 1, out=A[:, :2])


# -- random fills -----------------------------------------------------------------------


FILLED = {
    "uniform": ("fill_uniform", (-1.0, 3.0), 0.0),
    "normal": ("fill_normal", (4.0, 1.25), 1e-6),
    "stratified": ("fill_stratified", (-1.0, 3.0), 1e-6),
    "mask": ("fill_dropout_mask", (0.2,), 0.0),
    "mask 0.999": ("fill_dropout_mask", (0.999,), 0.0),
}


@pytest.mark.parametrize("case", FILLED)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fills_draw_the_same_numbers(cuda, case, dtype):
    word, settings, within = FILLED[case]
    for shape in ((1, 1), (1, 3), (5, 7), (8, 4), (100, 100), (3, 9, 5), (2, 1, 1000)):
        seed = list(range(shape[0])) if len(shape) == 3 else 7
        mine, theirs = (mg.Stream(seed, "fills", position=1000) for _ in range(2))
        for _ in range(3):  # one after the other
            ours = cuda.empty(shape, dtype)
            getattr(cuda, word)(mine, *settings, out=ours)
            reference = np.empty(shape, dtype)
            getattr(numpy_backend, word)(theirs, *settings, out=reference)
            assert np.allclose(cuda.to_host(ours), reference, rtol=0, atol=within or 3e-7), shape
            if case.startswith("mask"):
                assert np.array_equal(cuda.to_host(ours), reference)
            assert mine.position == theirs.position


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equal_keys_rank_as_on_the_cpu(cuda, dtype):
    """Of 8,000 keys of 24 bits a few are equal."""
    B = 8000
    keys, reference, ours = np.empty((B, 1)), np.empty((B, 1), dtype), cuda.empty((B, 1), dtype)
    numpy_backend.fill_uniform(mg.Stream(7, "keys"), 0.0, 1.0, out=keys)
    assert len(np.unique(keys)) < B
    numpy_backend.fill_stratified(mg.Stream(7, "keys"), 0.0, 1.0, out=reference)
    cuda.fill_stratified(mg.Stream(7, "keys"), 0.0, 1.0, out=ours)
    assert np.allclose(cuda.to_host(ours), reference, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mixtures_are_the_same(cuda, dtype):
    centres = numbers(25, 2)
    for shape in ((1, 2), (9, 2), (100, 2), (3, 9, 2)):
        seed = list(range(shape[0])) if len(shape) == 3 else 7
        mine, theirs = (mg.Stream(seed, "data", position=1000) for _ in range(2))
        ours, reference = cuda.empty(shape, dtype), np.empty(shape, dtype)
        for _ in range(2):
            cuda.fill_mixture(mine, cuda.from_host(centres, dtype), 0.5, out=ours)
            numpy_backend.fill_mixture(theirs, centres.astype(dtype), 0.5, out=reference)
            assert np.allclose(cuda.to_host(ours), reference, rtol=0, atol=1e-6), shape
            assert mine.position == theirs.position
    with pytest.raises(ShapeError, match="centres"):
        cuda.fill_mixture(mine, cuda.from_host(numbers(25, 3), dtype), 0.5, out=ours)


def test_permutations_are_the_same(cuda):
    for n in (1, 2, 7, 1000):
        mine, theirs = (mg.Stream(7, "data", position=1000) for _ in range(2))
        for _ in range(2):
            ours, reference = cuda.empty((n,), "int64"), np.empty(n, np.int64)
            cuda.fill_permutation(mine, out=ours)
            numpy_backend.fill_permutation(theirs, out=reference)
            assert np.array_equal(cuda.to_host(ours), reference)
            assert sorted(reference.tolist()) == list(range(n))
            assert mine.position == theirs.position
    with pytest.raises(OrderError, match="sort"):
        cuda.capture(lambda: cuda.fill_permutation(mine, out=ours))


# -- layers and losses ------------------------------------------------------------------


NETWORKS = {
    "every layer": lambda device: mg.Sequential(
        *(mg.Pack(2), mg.Linear(8, 7), mg.ELU(1.3), mg.Dropout(0.3), mg.Linear(7, 6), mg.ReLU()),
        *(mg.Dropout(0.2), mg.Linear(6, 5, bias=False), mg.LeakyReLU(0.2), mg.Linear(5, 4)),
        *(mg.Sigmoid(), mg.Linear(4, 3), mg.Tanh()),
        device=device,
    ),
    "images": lambda device: mg.Sequential(
        *(mg.Pack(2, deviations=False), mg.Linear(4, 8, bias=False), mg.BatchNorm(8), mg.Tanh()),
        *(mg.Upsample2d(2, 2, (2, 2)), mg.Conv2d(2, 3, 3, 2, 1, (4, 4), bias=False)),
        *(mg.BatchNorm(3), mg.LeakyReLU(0.2), mg.ConvTranspose2d(3, 2, 4, 2, 1, (2, 2))),
        *(mg.ELU(), mg.Conv2d(2, 1, 2, 2, 0, (4, 4)), mg.Linear(4, 2)),
        device=device,
    ),
    "packs alone": lambda device: mg.Sequential(
        mg.Pack(2, deviations=False), mg.Linear(4, 3), mg.ELU(), mg.Linear(3, 1), device=device
    ),
    "a condition": lambda device: mg.Sequential(
        *(mg.AppendCondition(2, 3), mg.Linear(5, 8), mg.Tanh(), mg.AppendChannels(2, 3, 2)),
        *(mg.Conv2d(5, 2, 2, 1, 0, 2), mg.Embedding(2, 3, 4), mg.Linear(6, 3), mg.Sigmoid()),
        *(mg.Pack(2), mg.Linear(12, 2)),
        device=device,
    ),
}


def condition_of(net: mg.Sequential, rows: int) -> dict[str, Any]:
    """A condition for this many rows, as an argument by name, if the network reads one."""
    k = net.condition_features
    return {"condition": numbers(*net.population, rows, k, seed=5)} if k else {}


@pytest.mark.parametrize("case", NETWORKS)
def test_gradients_are_right_on_the_device(cuda, case):
    net = NETWORKS[case]("cuda")
    report = mg.gradcheck(net, numbers(6, 2), **condition_of(net, 6))
    assert report.ok, str(report)
    assert report.max_relative_error < 1e-7


@pytest.mark.parametrize("case", NETWORKS)
def test_a_network_is_the_same_on_both_devices(cuda, case):
    here, there = NETWORKS[case]("cpu"), NETWORKS[case]("cuda")
    assert np.array_equal(here.parameters.data, cuda.to_host(there.parameters.data))
    doubles = here.astype("float64"), there.astype("float64")  # with buffers of the same bits
    X = numbers(8, 2)
    C = condition_of(here, 8)
    assert far(cuda.to_host(there.forward(X, **C)), here.forward(X, **C)) < 1e-5
    dY = numbers(4, here.out_features, seed=1)
    assert far(cuda.to_host(there.backward(dY)), here.backward(dY)) < 1e-4
    assert far(cuda.to_host(there.parameters.grad), here.parameters.grad) < 1e-4
    assert far(cuda.to_host(there.predict(X, **C)), here.predict(X, **C)) < 1e-5
    for method in ("predict", "forward"):
        expected, made = (getattr(net, method)(X, **C) for net in doubles)
        assert far(cuda.to_host(made), expected) < 1e-13
    expected, made = (net.buffers.data for net in doubles)
    assert far(cuda.to_host(made), expected) < 1e-13


def test_a_population_of_images_is_the_same_on_both_devices(cuda):
    def build(device: str) -> mg.Sequential:
        return mg.Sequential(
            *(mg.Conv2d(2, 3, 3, 2, 1, (4, 5)), mg.BatchNorm(3), mg.LeakyReLU(0.2)),
            *(mg.Upsample2d(3, 2, (2, 3)), mg.ConvTranspose2d(3, 2, 3, 1, 1, (4, 6))),
            *(mg.BatchNorm(2), mg.Linear(48, 2)),
            seed=[3, 1],
            dtype="float64",
            device=device,
        )

    here, there = build("cpu"), build("cuda")
    X, dY = numbers(2, 5, 40), numbers(2, 5, 2, seed=1)
    assert far(cuda.to_host(there.forward(X)), here.forward(X)) < 1e-13
    assert far(cuda.to_host(there.backward(dY)), here.backward(dY)) < 1e-12
    assert far(cuda.to_host(there.parameters.grad), here.parameters.grad) < 1e-12
    assert far(cuda.to_host(there.buffers.data), here.buffers.data) < 1e-13


@pytest.mark.parametrize("seed", [3, [3, 1]], ids=str)
def test_halves_that_read_a_condition_are_the_same_on_both_devices(cuda, seed):
    """Both halves of a split network, part of the rows, and an optimizer of one half."""

    def build(device: str) -> Any:
        net = mg.Sequential(
            *(mg.AppendChannels(1, 3, 2), mg.Conv2d(4, 2, 2, 1, 0, 2), mg.BatchNorm(2), mg.ELU()),
            *(mg.Embedding(2, 3, 2), mg.Tanh(), mg.Projection(4, 3)),
            seed=seed,
            dtype="float64",
            device=device,
        )
        trunk, head = net.split(4)
        given = net.ops.from_host(condition_of(net, 6)["condition"], "float64")
        first, second = trunk.bind(6, condition=given), head.bind(6, condition=given)
        X = net.ops.from_host(numbers(*net.population, 6, 4), "float64")
        Y = second.forward(first.forward(X))
        dY = net.ops.from_host(numbers(*Y.shape, seed=1), "float64")
        dX = first.backward(second.backward(dY))
        made = [Y, dX, net.parameters.grad, net.buffers.data]
        made = [net.ops.to_host(one).copy() for one in made]
        rows = second.part(2, 5)
        made.append(net.ops.to_host(rows.backward(dY[..., 2:5, :])).copy())
        if not net.population:  # whose halves have gaps in memory
            mg.Adam(head.parameters, 0.1).step()
            mg.SGD(trunk.parameters, 0.1, momentum=0.5).step()
        twice = net.bind(6, condition=given, own_gradients=True)
        twice.backward(twice.forward(X))
        twice.add_gradients()
        own = head.bind(6, condition=given, own_gradients=True)
        own.backward(own.forward(first.Y), input_grad=False)
        own.add_gradients()
        flat = net.parameters.data, net.parameters.grad
        return [*made, *map(net.ops.to_host, flat)]

    for here, there in zip(build("cpu"), build("cuda"), strict=True):
        assert far(there, here) < 1e-12


def test_the_surface_takes_arrays_of_both_devices(cuda):
    net = NETWORKS["every layer"]("cuda")
    X = numbers(8, 2).astype(np.float32)
    expected = cuda.to_host(net.predict(X))
    assert np.array_equal(cuda.to_host(net.predict(cuda.asarray(X))), expected)
    assert np.array_equal(cuda.to_host(net.predict(X.tolist())), expected)
    assert np.array_equal(NETWORKS["every layer"]("cpu").predict(cuda.asarray(X)).shape, (4, 3))


def test_any_numpy_array_comes_to_the_device(cuda):
    """Those that DLPack does not take, too: of another byte order, or read-only."""
    X = np.arange(6.0).reshape(2, 3)
    locked = X.copy()
    locked.flags.writeable = False
    for array in (X.astype(">f8"), locked, X[:, ::-1]):
        assert np.array_equal(cuda.to_host(cuda.asarray(array)), array)


def test_data_and_checks_take_arrays_of_the_device(cuda):
    X = numbers(6, 2)
    samples = mg.Samples(cuda.asarray(X), device="cuda", dtype="float64")
    assert np.array_equal(cuda.to_host(samples.X), X)
    assert mg.Samples(cuda.asarray(X), dtype="float64").sha256 == samples.sha256
    pixels = bytes_(3, 2, 2)
    assert mg.Images(cuda.asarray(pixels)).sha256 == mg.Images(pixels).sha256

    def squares(Y: np.ndarray) -> tuple[float, Any]:
        return float((Y**2).sum()), cuda.asarray(2 * Y)

    assert mg.gradcheck_function(squares, cuda.asarray(X)).ok


def test_losses_by_hand(cuda):
    P = numbers(4, 3, low=0.1, high=0.9)
    for loss, X, targets in (
        (mg.bce, P, 0.95),
        (mg.bce_with_logits, P * 4, P),
        (mg.mean_squared_error, P, P[::-1].copy()),
        (mg.softmax_cross_entropy, P, np.array([0, 2, 1, 1])),
    ):
        value, dX = loss(X, targets)
        ours, dours = loss(cuda.asarray(X), targets)
        assert ours == pytest.approx(value, rel=1e-13)
        assert far(cuda.to_host(dours), dX) < 1e-13


# -- steps ------------------------------------------------------------------------------


def small_mnist(recipe: str, device: str) -> mg.GAN:
    settings = dataclasses.replace(mnist.RECIPES[recipe], hidden=16)
    return mnist.build(settings, 49, 600, device=device)


def one_dimensional(recipe: str, device: str) -> mg.GAN:
    return gaussian1d.build(gaussian1d.RECIPES[recipe], device=device)[0]


def dcgan(
    device: str, side: int, noise: int, hidden: int, channels: int, dtype: str = "float32"
) -> mg.GAN:
    """A DCGAN of side x side images; batch normalisation in both networks undoes their biases."""
    half, quarter, deep = side // 2, side // 4, 2 * channels
    features = quarter * quarter * deep
    on, plain = {"device": device, "dtype": dtype}, {"bias": False, "init": "normal"}
    generator = mg.Sequential(
        *(mg.Linear(noise, hidden, **plain), mg.BatchNorm(hidden), mg.ReLU()),
        *(mg.Linear(hidden, features, **plain), mg.BatchNorm(features), mg.ReLU()),
        mg.ConvTranspose2d(deep, channels, size=quarter, **plain),
        *(mg.BatchNorm(channels), mg.ReLU()),
        *(mg.ConvTranspose2d(channels, 1, size=half, init="normal"), mg.Tanh()),
        **on,
    )
    discriminator = mg.Sequential(
        *(mg.Conv2d(1, channels, size=side, init="normal"), mg.LeakyReLU(0.2)),
        *(mg.Conv2d(channels, deep, size=half, **plain), mg.BatchNorm(deep), mg.LeakyReLU(0.2)),
        *(mg.Linear(features, hidden, **plain), mg.BatchNorm(hidden), mg.LeakyReLU(0.2)),
        mg.Linear(hidden, 1, init="normal"),
        **on,
    )
    return mg.GAN(
        generator=generator,
        discriminator=discriminator,
        noise=mg.Normal(dim=noise),
        loss=mg.NonSaturating(),
        generator_optimizer=mg.Adam(generator.parameters, 2e-4, (0.5, 0.999)),
        discriminator_optimizer=mg.Adam(discriminator.parameters, 2e-4, (0.5, 0.999)),
    )


def critic(device: str, dtype: str = "float32", seed: Any = 0) -> mg.GAN:
    """A Wasserstein GAN with a gradient penalty, whose D takes packs and is curved everywhere.

    As in the next game, the last layer has no bias: its gradient would be the rounding of 0.
    """
    on = {"device": device, "dtype": dtype, "seed": seed}
    generator = mg.Sequential(mg.Linear(3, 9), mg.Tanh(), mg.Linear(9, 2), **on)
    discriminator = mg.Sequential(
        *(mg.Pack(2), mg.Linear(8, 9), mg.ELU(1.3), mg.Dropout(0.2), mg.Linear(9, 8), mg.Tanh()),
        *(mg.Linear(8, 7), mg.Sigmoid(), mg.Linear(7, 1, bias=False)),
        **on,
    )
    return mg.GAN(
        generator=generator,
        discriminator=discriminator,
        noise=mg.Stratified(-1.0, 1.0, dim=3),
        loss=mg.Wasserstein(),
        penalty=mg.GradientPenalty(10.0),
        d_steps=2,
        generator_optimizer=mg.RMSprop(generator.parameters, 1e-3),
        discriminator_optimizer=mg.RMSprop(discriminator.parameters, 1e-3),
        seed=seed,
    )


def hinge(device: str, dtype: str = "float32") -> mg.GAN:
    """A GAN with R1, whose D has convolutions and normalises each image."""
    on = {"device": device, "dtype": dtype}
    generator = mg.Sequential(
        mg.Linear(3, 9, bias=False), mg.BatchNorm(9), mg.ReLU(), mg.Linear(9, 16), **on
    )
    discriminator = mg.Sequential(
        *(mg.Conv2d(1, 3, 3, 1, 1, (4, 4)), mg.LayerNorm(3), mg.LeakyReLU(0.2)),
        mg.Upsample2d(3, 2, (4, 4)),
        *(mg.Conv2d(3, 2, 4, 2, 1, (8, 8)), mg.ELU()),
        *(mg.ConvTranspose2d(2, 1, 4, 2, 1, (4, 4)), mg.Tanh(), mg.Linear(64, 1, bias=False)),
        **on,
    )
    return mg.GAN(
        generator=generator,
        discriminator=discriminator,
        noise=mg.Stratified(dim=3),
        loss=mg.Hinge(),
        penalty=mg.R1(0.5),
        generator_optimizer=mg.Adam(generator.parameters, 1e-3, (0.0, 0.9)),
        discriminator_optimizer=mg.Adam(discriminator.parameters, 1e-3, (0.0, 0.9)),
    )


def projecting(device: str, dtype: str = "float32") -> mg.GAN:
    """A conditional GAN with an embedding in G and a projection in D, whose slope is penalised."""
    options = {"penalty": mg.R1(0.3), "d_steps": 2, "fresh_real": True, "average": 0.9}
    return conditional("embed", device=device, dtype=dtype, **options)


def appending(device: str, dtype: str = "float32") -> mg.GAN:
    """A conditional GAN that appends the label in both networks."""
    return conditional("append", device=device, dtype=dtype, in_d=(mg.Dropout(0.2),))


def recognising(device: str, dtype: str = "float32") -> mg.GAN:
    """An InfoGAN with batch normalisation in all three networks, and images that are moved."""
    return moving(True, device=device, dtype=dtype, average=0.9, g_steps=2)


STEPS = {
    "projection": (projecting, 10, 4),
    "appended label": (appending, 10, 4),
    "InfoGAN": (recognising, 10, 4),
    "critic": (critic, 12, 2),
    "hinge": (hinge, 10, 16),
    "dcgan": (lambda d: dcgan(d, 8, 6, 9, 3), 10, 64),
    "gaussian1d article": (lambda d: one_dimensional("article", d), 100, 1),
    "gaussian1d stable": (lambda d: one_dimensional("stable", d), 128, 1),
    "mnist article": (lambda d: small_mnist("article", d), 20, 49),
    "mnist stable": (lambda d: small_mnist("stable", d), 20, 49),
}


def train(
    gan: mg.GAN, batch: int, features: int, steps: int, seed: int = 0
) -> list[dict[str, float]]:
    """The losses of each step, on the same real samples whatever the device."""
    gan.bind(batch)
    rng, losses = np.random.default_rng(seed), []
    assert gan.discriminator.in_features == features
    for _ in range(steps):
        fill_inputs(gan, rng)
        gan.step()
        losses.append(gan.losses())
    return losses


def state_of(gan: mg.GAN) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    tensors, counters = gan.state()
    return {name: np.array(gan.ops.to_host(a)) for name, a in tensors.items()}, counters


def same(one: mg.GAN, other: mg.GAN) -> bool:
    (mine, mine_at), (theirs, theirs_at) = state_of(one), state_of(other)
    return mine_at == theirs_at and all(np.array_equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("case", STEPS)
def test_twenty_steps_are_the_cpu_s(cuda, case):
    make, batch, features = STEPS[case]
    here, there = make("cpu"), make("cuda")
    expected, losses = (train(gan, batch, features, 20) for gan in (here, there))
    for mine, reference in zip(losses, expected, strict=True):
        assert mine == pytest.approx(reference, rel=1e-4, abs=1e-6)  # a mean score may be near 0
    assert here.state()[1] == there.state()[1]


#: Games in either dtype, with the batch size and the features of a sample.
GAMES = {
    "projection": (projecting, 10, 4),
    "InfoGAN": (recognising, 10, 4),
    "critic": (critic, 12, 2),
    "hinge": (hinge, 10, 16),
    "dcgan": (lambda device, dtype: dcgan(device, 8, 6, 9, 3, dtype), 10, 64),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("game", GAMES)
def test_a_captured_game_learns_what_the_cpu_s_learns(cuda, game, dtype):
    """Its parameters, its running statistics and the optimizers' state after ten steps."""
    make, batch, features = GAMES[game]
    here, there = (make(device, dtype) for device in ("cpu", "cuda"))
    there.capture()
    expected, losses = (train(gan, batch, features, 10) for gan in (here, there))
    within = 1e-3 if dtype == "float32" else 1e-10
    for mine, reference in zip(losses, expected, strict=True):
        assert mine == pytest.approx(reference, rel=within)
    assert there.recording.replay is not None
    tensors = state_of(there)[0]
    normalised = game in ("hinge", "dcgan", "InfoGAN")
    assert any("running_variance" in name for name in tensors) == normalised
    worst = {name: far(tensors[name], tensor) for name, tensor in state_of(here)[0].items()}
    assert {name: error for name, error in worst.items() if not error <= within} == {}


@pytest.mark.parametrize("game", GAMES)
def test_a_step_takes_no_memory_but_the_first(cuda, game, monkeypatch):
    make, batch, features = GAMES[game]
    gan = make("cuda", "float32")
    train(gan, batch, features, 1)

    def refuse(*args: Any) -> None:
        raise AssertionError("a step allocates")

    for name in ("zeros", "empty"):
        monkeypatch.setattr(module_of("memory"), name, refuse)
    gan.step()


FULL = {
    "article": (lambda d: mnist.build(mnist.RECIPES["article"], 784, 60_000, device=d), 100, 784),
    "stable": (lambda d: mnist.build(mnist.RECIPES["stable"], 784, 60_000, device=d), 100, 784),
}


@pytest.mark.gpu
@pytest.mark.parametrize("case", FULL)
def test_steps_of_mnist_in_its_size_are_the_cpu_s(case):
    """Within ten steps of `stable`, rounding becomes two ten-thousandths of a loss."""
    make, batch, features = FULL[case]
    expected, losses = (train(make(device), batch, features, 10) for device in ("cpu", "cuda"))
    for mine, reference in zip(losses, expected, strict=True):
        assert mine == pytest.approx(reference, rel=1e-3)


@pytest.mark.gpu
def test_a_dcgan_in_its_size_is_the_cpu_s():
    """In float64, since in float32 rounding becomes a thousandth of the loss within eight steps."""
    games = (dcgan(device, 28, 62, 1024, 64, "float64") for device in ("cpu", "cuda"))
    expected, losses = (train(gan, 64, 784, 8) for gan in games)
    for mine, reference in zip(losses, expected, strict=True):
        assert mine == pytest.approx(reference, rel=1e-8)


@pytest.mark.gpu
@pytest.mark.parametrize("seed", range(3))
def test_the_stable_recipe_is_as_good_on_a_card(tmp_path, seed):
    recipe = gaussian1d.RECIPES["stable"]
    run = run_of("stable", tmp_path / "run", "cuda", seed)
    run.fit(steps=recipe.steps)
    samples = run.gan.ops.to_host(run.gan.sample(100_000, seed=1))
    score = score_gaussian(samples, recipe.mean, recipe.std)
    assert abs(score.mean - recipe.mean) <= 0.05
    assert abs(score.std - recipe.std) <= 0.05
    assert score.ks <= 0.03


@pytest.mark.parametrize("case", STEPS)
def test_a_replayed_step_is_the_step_to_the_bit(cuda, case):
    make, batch, features = STEPS[case]
    plain, replayed = make("cuda"), make("cuda")
    replayed.capture()
    assert train(plain, batch, features, 5) == train(replayed, batch, features, 5)
    assert isinstance(replayed.recording.replay, module_of("capture").Replay)
    assert same(plain, replayed)


def test_populations(cuda):
    seeds = [3, 1]
    recipe = gaussian1d.RECIPES["article"]
    both = gaussian1d.build(recipe, seeds, "cuda")[0]
    both.bind(100)
    both.capture()
    for t in range(4):
        both.step(numbers(2, 100, 1, seed=t))
    for k, seed in enumerate(seeds):
        one = gaussian1d.build(recipe, seed, "cpu")[0]
        for t in range(4):
            one.step(numbers(2, 100, 1, seed=t)[k])
        member = cuda.to_host(both.generator.parameters.data)[k]
        assert far(member, one.generator.parameters.data) < 1e-5


@pytest.mark.parametrize("make", [conditional, info])
def test_wishes_are_the_same_on_the_device(cuda, make):
    """The labels and codes asked for, and those that are drawn without a wish."""
    here, there = make(average=0.9), make(average=0.9, device="cuda")
    codes = {"codes": [0.5, -2.0]} if make is info else {}
    for wish in ({}, {"labels": 2}, {"labels": [2, 0, 1, 1, 0], **codes}):
        mine = here.draw_condition(5, 3, **wish)
        assert far(cuda.to_host(there.draw_condition(5, 3, **wish)), mine) < 1e-12
        assert far(cuda.to_host(there.sample(5, 3, **wish)), here.sample(5, 3, **wish)) < 1e-10


def test_data_with_labels_are_served_to_a_step_on_the_device(cuda):
    here, there = conditional(), conditional(device="cuda")
    for gan, data in ((here, labelled()), (there, labelled(device="cuda"))):
        gan.bind(6)
        gan.capture()
        for _ in range(3):
            gan.read(data)
            gan.step()
    tensors = state_of(there)[0]
    for name, tensor in state_of(here)[0].items():
        assert far(tensors[name], tensor) < 1e-9, name


def test_a_population_with_a_penalty_is_its_members(cuda):
    seeds, real = [3, 1], numbers(4, 2, 12, 2)
    both = critic("cuda", "float64", seeds)
    both.bind(12)
    both.capture()
    for t in range(4):
        both.step(real[t])
    losses = both.losses()  # of four steps at once
    for k, seed in enumerate(seeds):
        one = critic("cpu", "float64", seed)
        for t in range(4):
            one.step(real[t, k])
        member = {name: means[k] for name, means in losses.items()}
        assert member == pytest.approx(one.losses(), rel=1e-8)
        for net in ("generator", "discriminator"):
            members, member = (getattr(gan, net).parameters.data for gan in (both, one))
            assert far(cuda.to_host(members)[k], member) < 1e-10


def test_a_replay_follows_its_streams(cuda):
    """A position that is set by hand, as on resuming, is where the next replay draws."""
    make, batch, features = STEPS["mnist stable"]
    plain, replayed = make("cuda"), make("cuda")
    replayed.capture()
    for gan in (plain, replayed):
        train(gan, batch, features, 3)
        tensors, counters = state_of(gan)
        train(gan, batch, features, 2, seed=1)
        gan.load_state(tensors, counters)
        gan.sample(3)
        gan.generator_optimizer.lr *= 0.5
        train(gan, batch, features, 3, seed=2)
    assert same(plain, replayed)


def test_a_change_is_noticed_when_asked(cuda):
    make, batch, features = STEPS["gaussian1d article"]
    plain, replayed = make("cuda"), make("cuda")
    replayed.capture()
    for gan in (plain, replayed):
        train(gan, batch, features, 3)
        gan.set_loss(dataclasses.replace(gan.loss, real_target=0.7))
    replayed.capture()
    for gan in (plain, replayed):
        train(gan, batch, features, 3)
        gan.capture(False)  # and back to plain steps
        train(gan, batch, features, 2)
    assert same(plain, replayed)


def test_a_capture_in_a_capture_is_refused(cuda):
    with pytest.raises(OrderError, match="cannot capture another"):
        cuda.capture(lambda: cuda.capture(lambda: None))
    cuda.capture(lambda: None)()  # and nothing is left behind


def test_other_threads_are_not_heard_in_a_capture(cuda):
    """What they ask for meanwhile is done, and is no part of the step."""
    X, Y = cuda.zeros((2, 2), "float64"), cuda.zeros((2, 2), "float64")
    stream, other = mg.Stream(0, "step"), mg.Stream(0, "other")

    def elsewhere() -> None:
        cuda.fill_uniform(other, 1.0, 2.0, out=Y)
        cuda.negate(Y, out=Y)

    def step() -> None:
        cuda.fill_uniform(stream, 0.0, 1.0, out=X)
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    replay = cuda.capture(step)
    replay()
    assert (cuda.to_host(Y) <= -1.0).all()
    assert other.position == 2  # it was asked twice: when listened to, and when recorded
    assert [call.name for call in replay.launches] == ["fill_uniform", "advance_streams"]


def test_a_step_that_draws_otherwise_when_recorded_is_refused(cuda):
    stream, X = mg.Stream(0, "x"), cuda.zeros((2, 2), "float32")
    fills = iter((1, 2))

    def step() -> None:
        for _ in range(next(fills)):
            cuda.fill_uniform(stream, 0, 1, out=X)

    replay = cuda.capture(step)
    with pytest.raises(OrderError, match="other random numbers"):
        replay()


def test_a_profile_of_a_gpu_is_refused(cuda):
    gan, data = gaussian1d.build(gaussian1d.RECIPES["article"], device="cuda")
    with pytest.raises(mg.DeviceError, match="profile on device 'cpu'"):
        profile_step(gan, data, 100)


# -- fewer launches ---------------------------------------------------------------------


#: Launches of a replayed step, and of one that is not fused, at most. They may become fewer.
LAUNCHES = {
    "critic": (186, 246),
    "hinge": (198, 216),
    "dcgan": (270, 292),
    "gaussian1d article": (42, 70),
    "gaussian1d stable": (55, 84),
    "mnist article": (35, 81),
    "mnist stable": (35, 74),
}


@pytest.mark.parametrize("case", LAUNCHES)
def test_a_replayed_step_is_as_short_as_it_was(cuda, case, monkeypatch):
    make, batch, features = STEPS[case]
    counts = []
    for fused in (True, False):
        if not fused:
            monkeypatch.setattr(module_of("capture"), "fuse", lambda calls: calls)
        gan = make("cuda")
        gan.capture()
        train(gan, batch, features, 2)
        counts.append(len(gan.recording.replay.launches))
    assert all(count <= most for count, most in zip(counts, LAUNCHES[case], strict=True)), counts


N = 6  # programs are of matrices N x N, and of rows and masks of their size
PLACES = st.integers(0, 3)
ROWS = st.integers(0, 3)  # two of N numbers, and two of N / 2: a row of features is two pixels
SENTENCES = st.one_of(
    st.tuples(st.just("matmul"), st.permutations(range(4)), st.booleans(), st.booleans()),
    st.tuples(st.just("matmul_pixels"), st.permutations(range(4))),
    st.tuples(st.sampled_from(["relu", "sigmoid", "tanh", "negate", "copy"]), PLACES, PLACES),
    st.tuples(st.sampled_from(["leaky_relu", "elu"]), PLACES, PLACES, PLACES),
    st.tuples(
        st.sampled_from(
            [
                *("relu_backward", "sigmoid_backward", "tanh_backward", "dropout", "add"),
                *("multiply", "sigmoid_curvature"),
            ]
        ),
        *(PLACES, PLACES, PLACES),
    ),
    st.tuples(st.just("add_rows"), PLACES, ROWS, PLACES),
    st.tuples(st.just("sum_rows"), PLACES, ROWS),
    st.tuples(
        st.sampled_from(["fill_uniform", "fill_stratified", "fill_normal", "fill_dropout_mask"]),
        PLACES,
    ),
    st.tuples(st.just("fill"), PLACES),
)


def say(ops: Any, sentence: tuple, X: list[Any], rows: list[Any], stream: mg.Stream) -> None:
    """One call of a program, on matrices X (four of N x N) and rows (1 x N, 1 x N / 2)."""
    word, *what = sentence
    speak = getattr(ops, word.removesuffix("_pixels"))
    if word == "matmul_pixels":
        a, b, out = (X[k].reshape(2 * N, N // 2) for k in what[0][:3])
        speak(a, b[: N // 2], out=out)
    elif word == "matmul":
        (a, b, out, *_), tA, tB = what
        speak(X[a], X[b], out=X[out], transpose_A=tA, transpose_B=tB)
    elif word == "leaky_relu":
        speak(X[what[0]], 0.2, out=X[what[1]])
    elif word == "elu":
        if len(set(what)) == 3 or (what[0] == what[2] != what[1]):
            speak(X[what[0]], 1.0, X[what[1]], out=X[what[2]])
    elif word == "add_rows":
        speak(X[what[0]], rows[what[1]], out=X[what[2]])
    elif word == "sum_rows":
        speak(X[what[0]], out=rows[what[1]])
    elif word == "fill":
        speak(0.5, out=X[what[0]])
    elif word == "fill_dropout_mask":
        speak(stream, 0.3, out=X[what[0]])
    elif word.startswith("fill_"):
        speak(stream, -1.0, 1.0, out=X[what[0]])
    elif word == "copy":
        if what[0] != what[1]:
            speak(X[what[0]], out=X[what[1]])
    elif len(what) == 2:
        speak(X[what[0]], out=X[what[1]])
    elif word.endswith("_curvature"):
        speak(X[what[0]], X[what[1]], X[what[1]], out=X[what[2]])
    else:
        speak(X[what[0]], X[what[1]], out=X[what[2]])


SUMS = st.one_of(
    st.tuples(st.just("sum_rows"), PLACES, ROWS),
    st.tuples(st.just("elu"), *(PLACES, PLACES, PLACES)),
    st.tuples(st.just("add_rows"), PLACES, ROWS, PLACES),
    st.tuples(st.just("copy"), PLACES, PLACES),
)


#: What must not be moved or made one, as programs: words on matrices 0 to 3 and rows 0 to 3.
PROGRAMS = {
    "a sum's matrix is overwritten": [("sum_rows", 1, 0), ("relu", 0, 1), ("sum_rows", 3, 1)],
    "by a slope": [("sum_rows", 1, 0), ("elu", 0, 1, 2), ("sum_rows", 3, 1)],
    "by a product's slope": [
        *(("sum_rows", 1, 0), ("matmul", (0, 3, 2), False, False), ("elu", 2, 1, 2)),
        ("sum_rows", 3, 1),
    ],
    "a sum is read": [("sum_rows", 0, 0), ("add_rows", 1, 0, 2), ("sum_rows", 3, 1)],
    "a sum is made twice": [("sum_rows", 0, 0), ("sum_rows", 1, 0)],
    "a product and its own slope": [("matmul", (0, 1, 2), False, False), ("dropout", 2, 2, 2)],
    "a product is replaced": [("matmul", (0, 1, 2), False, False), ("relu", 3, 2)],
    "a product is kept": [("matmul", (0, 1, 2), False, False), ("relu", 2, 3)],
    "four formulas": [
        *(("matmul", (0, 1, 2), True, True), ("add_rows", 2, 0, 2), ("elu", 2, 3, 2)),
        *(("dropout", 2, 0, 2), ("tanh", 2, 2)),
    ],
    "pixels, then rows": [
        *(("matmul_pixels", (0, 1, 2)), ("add_rows", 2, 2, 2), ("elu", 2, 3, 2)),
        ("dropout", 2, 0, 2),
    ],
    "pixels, and a row for features": [("matmul_pixels", (0, 1, 2)), ("add_rows", 2, 0, 2)],
    "rows, and a row for pixels": [("matmul", (0, 1, 2), False, False), ("add_rows", 2, 2, 2)],
    "sums of pixels": [("sum_rows", 0, 2), ("sum_rows", 1, 3), ("sum_rows", 2, 0)],
    "a mask in between": [
        *(("matmul", (0, 1, 2), False, False), ("relu", 2, 2), ("fill_dropout_mask", 3)),
        *(("dropout", 2, 3, 2), ("fill_uniform", 1)),
    ],
    "a fill of what was used": [("relu", 0, 1), ("fill_uniform", 0), ("fill_normal", 3)],
    "a fill of what was filled": [("fill_uniform", 0), ("fill_normal", 0), ("fill_uniform", 1)],
    "two stratified fills": [("fill_stratified", 0), ("fill_stratified", 1), ("fill_uniform", 2)],
    "a fill of what was filled and used": [
        *(("fill_uniform", 0), ("relu", 0, 1), ("fill_normal", 0), ("fill_uniform", 2)),
    ],
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_what_depends_on_its_order_keeps_it(cuda, program):
    replayed_as_spoken(cuda, program)


def test_a_convolution_ends_in_its_bias_its_activation_and_its_mask(cuda):
    """Although its product is of pixels, and they are of rows."""
    window = Window(4, 4, 2, (2, 2), (2, 2), (0, 0))
    shapes = ((3, 32), (8, 5), (1, 5), (3, 20), (3, 20))
    X, W, bias, mask, Y = (cuda.from_host(numbers(*shape), "float32") for shape in shapes)

    def step() -> None:
        cuda.convolve(X, W, window, out=Y)
        cuda.add_rows(Y, bias, out=Y)
        cuda.leaky_relu(Y, 0.2, out=Y)
        cuda.dropout(Y, mask, out=Y)

    replay = cuda.capture(step)
    expected = cuda.to_host(Y)
    cuda.fill(0.0, out=Y)
    replay()
    assert [call.name for call in replay.launches] == ["gather_windows", "matmul_small"]
    assert np.array_equal(cuda.to_host(Y), expected)


def test_a_slope_is_not_written_over_a_factor_that_is_still_read(cuda):
    """A product of several blocks, whose slope would go where its first factor is."""
    A, B = (numbers(130, 130, low=-1, high=1, seed=k) for k in range(2))
    results = []
    for replayed in (False, True):
        on = [cuda.from_host(array, "float32") for array in (A, B, B)]

        def step(on=on) -> None:
            cuda.matmul(on[0], on[1], out=on[2])
            cuda.elu(on[2], 1.0, on[0], out=on[2])

        again = cuda.capture(step) if replayed else step
        on[0].set(A.astype(np.float32))
        again()
        results.append([cuda.to_host(array) for array in on])
    assert all(map(np.array_equal, *results))


@pytest.mark.parametrize("gap", ["product", "mask"])
def test_a_mask_with_other_gaps_than_its_product_stays_a_launch_of_its_own(cuda, gap):
    A, B = (cuda.from_host(numbers(5, 5, seed=k), "float64") for k in range(2))
    product, mask = numbers(5, 8, seed=2), numbers(5, 8, seed=3)
    wide = {"product": product, "mask": mask}
    on = {name: cuda.from_host(array, "float64")[:, :5] for name, array in wide.items()}
    for name in on.keys() - {gap}:
        on[name] = cuda.from_host(wide[name][:, :5], "float64")

    def step() -> None:
        cuda.matmul(A, B, out=on["product"])
        cuda.dropout(on["product"], on["mask"], out=on["product"])

    replay = cuda.capture(step)
    expected = cuda.to_host(on["product"])
    cuda.fill(0.0, out=on["product"])
    replay()
    assert [call.name for call in replay.launches] == ["matmul_small", "multiply"]
    assert np.array_equal(cuda.to_host(on["product"]), expected)


def test_two_biases_of_a_population_keep_their_distances(cuda):
    results = []
    flat = numbers(2, 40)  # what a member's two biases are parts of
    for replayed in (False, True):
        A, B, out = (cuda.from_host(numbers(2, 3, 3, seed=k), "float32") for k in range(3))
        near = cuda.from_host(numbers(2, 1, 3, seed=7), "float32")
        far_apart = cuda.from_host(flat, "float32")[:, :3].reshape(2, 1, 3)

        def step(A=A, B=B, out=out, near=near, far_apart=far_apart) -> None:
            cuda.matmul(A, B, out=out)
            cuda.add_rows(out, near, out=out)
            cuda.add_rows(out, far_apart, out=out)

        again = cuda.capture(step) if replayed else step
        again()
        results.append(cuda.to_host(out))
    assert np.array_equal(*results)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.lists(words, min_size=1, max_size=12) for words in (SENTENCES, SUMS)))
def test_any_program_is_the_same_replayed(cuda, program):
    replayed_as_spoken(cuda, program)


def replayed_as_spoken(cuda: Any, program: list[tuple]) -> None:
    """Fusing moves launches and makes several one; no order of words may show it."""
    start = [numbers(N, N, seed=k, low=-1, high=1) for k in range(4)]
    start += [numbers(1, n, seed=k) for n in (N, N // 2) for k in range(2)]
    results = []
    for replayed in (False, True):
        arrays = [cuda.from_host(array, "float32") for array in start]
        stream = mg.Stream(0, "program")

        def step(arrays=arrays, stream=stream) -> None:
            for sentence in program:
                say(cuda, sentence, arrays[:4], arrays[4:], stream)

        again = cuda.capture(step) if replayed else step
        if replayed:  # the capture has run it; begin anew
            for array, values in zip(arrays, start, strict=True):
                array.set(values.astype(np.float32))
            stream.position = 0
        again()
        results.append([*map(cuda.to_host, arrays), np.array(stream.position)])
    for plain, replay in zip(*results, strict=True):
        assert np.array_equal(plain, replay, equal_nan=True)


# -- runs -------------------------------------------------------------------------------


def run_of(recipe: str, folder, device: str, seed: int = 0, **settings: Any) -> mg.Trainer:
    gan, data = gaussian1d.build(gaussian1d.RECIPES[recipe], seed, device)
    batch = gaussian1d.RECIPES[recipe].batch
    return mg.Trainer(gan, data, folder, batch=batch, print_every=20, progress=False, **settings)


FILES = ("checkpoint.safetensors", "history.csv")


def files_of(run: mg.Trainer) -> list[bytes]:
    return [(run.out / name).read_bytes() for name in FILES]


@pytest.mark.parametrize("recipe", ["article", "stable"])
def test_two_runs_are_byte_identical_interrupted_or_not(cuda, tmp_path, recipe):
    """A step is a graph by default. As single kernels it is the same, too."""
    one, two, single = (run_of(recipe, tmp_path / n, "cuda") for n in ("one", "two", "single"))
    one.fit(steps=40)
    two.fit(steps=20)
    single.fit(steps=20, capture=False)
    assert one.gan.recording.replay is not None
    assert single.gan.recording.replay is None
    assert files_of(two) == files_of(single)
    two = mg.Trainer.resume(tmp_path / "two", device="cuda", progress=False)
    two.fit(steps=40)
    assert files_of(one) == files_of(two)


def test_runs_of_graphs_and_of_single_kernels_are_byte_identical(cuda, tmp_path):
    files = []
    for capture in (True, True, False):
        gan, data = small_mnist("stable", "cuda"), mg.Images(bytes_(50, 7, 7), device="cuda")
        out = tmp_path / str(len(files))
        run = mg.Trainer(gan, data, out, batch=20, print_every=20, progress=False)
        run.fit(steps=40, capture=capture)
        assert (gan.recording.replay is not None) == capture
        files.append(files_of(run))
    assert files[0] == files[1] == files[2]


@pytest.mark.parametrize("capture", [True, False])
@pytest.mark.parametrize("on_nan", ["stop", "rollback"])
def test_a_number_that_is_not_finite_is_noticed(cuda, tmp_path, capture, on_nan):
    run = run_of("article", tmp_path / "run", "cuda", on_nan=on_nan)
    planted = []

    def plant(trainer: mg.Trainer) -> None:
        if trainer.gan.step_count == 40 and not planted:
            parameters = trainer.gan.discriminator.parameters.data
            values = cuda.to_host(parameters)
            values[5] = np.nan
            parameters.set(values)
            planted.append(True)

    run.every(1, "row", plant)
    if on_nan == "stop":
        with pytest.raises(mg.NonFiniteError, match=r"step 4.*discriminator"):
            run.fit(steps=60, capture=capture)
        return
    run.fit(steps=60, capture=capture)
    assert run.rollbacks == 1
    assert run.gan.generator_optimizer.lr == pytest.approx(1e-4)
    assert np.isfinite(state_of(run.gan)[0]["generator/0.weight"]).all()


def test_the_command_lines_work_on_the_device(cuda, tmp_path, monkeypatch, capsys):
    """Both examples, pictures and all, and what works on their run folders."""
    pytest.importorskip("sklearn")
    monkeypatch.setattr(response, "CONTEXTS", 2)  # the stand-in would take seconds for 32
    g, m = str(tmp_path / "g"), str(tmp_path / "m")
    on = ["--device", "cuda"]
    assert gaussian1d.main([*on, "--recipe", "article", "--steps", "8", "--out", g]) == 0
    words = ["--data", "digits", "--epochs", "1", "--hidden", "8", "--out", m]
    assert mnist.main([*on, *words]) == 0
    picture, walk = (str(tmp_path / name) for name in ("s.png", "w.gif"))
    assert main(["sample", m, "--n", "4", *on, "--out", picture]) == 0
    assert main(["interpolate", m, *on, "--out", walk]) == 0
    assert main(["score", g, *on]) == 0
    assert main(["doctor", *on]) == 0
    assert main(["profile", g, "--steps", "2"]) == 0  # on the CPU
    out = capsys.readouterr().out
    assert "device cuda:0" in out
    assert "vanished" not in out


@pytest.mark.parametrize(("first", "then"), [("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")])
def test_a_run_goes_on_on_the_other_device(cuda, tmp_path, first, then):
    run_of("stable", tmp_path / "run", first).fit(steps=20)
    run = mg.Trainer.resume(tmp_path / "run", device=then, progress=False)
    run.fit(steps=40)
    whole = run_of("stable", tmp_path / "whole", "cpu")
    whole.fit(steps=40)
    mine, expected = state_of(run.gan), state_of(whole.gan)
    assert mine[1] == expected[1]
    for name, tensor in expected[0].items():
        assert far(mine[0][name], tensor) < 1e-2, name
    assert (
        run.history.path.read_text().splitlines()[0]
        == whole.history.path.read_text().splitlines()[0]
    )


def test_images_are_served_on_the_device(cuda, tmp_path):
    pixels = bytes_(50, 7, 7)
    here, there = mg.Images(pixels, seed=3), mg.Images(pixels, seed=3, device="cuda")
    for _ in range(4):  # across the ends of epochs
        mine, expected = cuda.empty((30, 49), "float32"), np.empty((30, 49), np.float32)
        there.next_batch(out=mine)
        here.next_batch(out=expected)
        assert np.allclose(cuda.to_host(mine), expected, atol=1e-6)
    assert np.array_equal(cuda.to_host(there.reference(7)), here.reference(7))
    assert np.array_equal(there.next_index(60), here.next_index(60))
    assert there.sha256 == here.sha256
    gan = small_mnist("stable", "cuda")
    run = mg.Trainer(
        gan, there, tmp_path / "run", batch=20, unit="epoch", print_every=1, progress=False
    )
    run.fit(epochs=3)
    assert run.gan.step_count == 8
    samples = mg.Samples(numbers(30, 3), seed=1, device="cuda")
    out = cuda.empty((12, 3), "float32")
    samples.next_batch(out=out)
    expected = np.empty((12, 3), np.float32)
    mg.Samples(numbers(30, 3), seed=1).next_batch(out=expected)
    assert np.array_equal(cuda.to_host(out), expected)


@pytest.mark.parametrize("kind", ["Samples", "Images"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_labels_are_served_as_on_the_cpu(cuda, dtype, kind):
    """Across the ends of epochs; and they may lie on the device."""
    labels = np.arange(30) * 7 % 5
    X = bytes_(30, 2, 3) if kind == "Images" else numbers(30, 6)
    make = getattr(mg, kind)
    here = make(X, seed=1, dtype=dtype, labels=labels)
    there = make(X, seed=1, dtype=dtype, labels=cuda.asarray(labels), device="cuda")
    assert there.to_config() == here.to_config()
    for _ in range(3):
        expected, out = np.empty((25, 5), dtype), cuda.empty((25, 5), dtype)
        here.next_batch(np.empty((25, 6), dtype), labels=expected)
        there.next_batch(cuda.empty((25, 6), dtype), labels=out)
        np.testing.assert_array_equal(cuda.to_host(out), expected)
