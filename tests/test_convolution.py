"""The words of convolution and upsampling, against plain loops, and as adjoints of each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigan.backend import numpy as ops
from minigan.backend.numpy import convolution
from minigan.backend.numpy.pool import fresh_pool, pool
from minigan.backend.window import Window

CONFIGURATIONS = 200
#: Numbers of windows at a time: one image, a few images, all of them.
BLOCKS = (1, 500, convolution.BLOCK)
#: Which way the input gradient takes: by phases, by scattering, or the shorter one.
WAYS = {"phases": 10**9, "scattering": 0, "shorter": convolution.SCATTER}


def random_window(random: np.random.Generator) -> Window:
    """Any geometry: kernels longer than the stride, shorter, and longer than the image."""
    while True:
        height, width, channels = (int(n) for n in random.integers(1, 8, 3))
        kernel, stride, padding = (
            tuple(int(n) for n in random.integers(low, high, 2))
            for low, high in ((1, 6), (1, 5), (0, 4))
        )
        window = Window(height, width, channels, kernel, stride, padding)
        if min(window.places) > 0:
            return window


def random_arrays(seed: int) -> tuple[Window, Any, Any, Any]:
    """A window; images X (B, h w c), W (kh kw c, o) and dY (B, oh ow o), some for a population."""
    random = np.random.default_rng(seed)
    window = random_window(random)
    B, o = int(random.integers(1, 5)), int(random.integers(1, 9))
    members = (2,) if seed % 4 == 0 else ()
    oh, ow = window.places
    shapes = (B, window.features), (window.values, o), (B, oh * ow * o)
    return window, *(random.normal(size=(*members, *shape)) for shape in shapes)


def by_loops(X: Any, W: Any, window: Window) -> Any:
    """Y (B, oh ow o): at each place, the pixels under the kernel times W."""
    (h, w), (kh, kw) = (window.height, window.width), window.kernel
    (sh, sw), (ph, pw), (oh, ow) = window.stride, window.padding, window.places
    padded = np.zeros((len(X), h + 2 * ph, w + 2 * pw, window.channels))
    padded[:, ph : ph + h, pw : pw + w] = X.reshape(len(X), h, w, -1)
    Y = np.empty((len(X), oh, ow, W.shape[1]))
    for i in range(oh):
        for j in range(ow):
            under = padded[:, i * sh : i * sh + kh, j * sw : j * sw + kw]
            Y[:, i, j] = under.reshape(len(X), -1) @ W
    return Y.reshape(len(X), -1)


def right_results(X: Any, W: Any, dY: Any, window: Window) -> tuple[Any, Any, Any]:
    """Y, dX and dW: the convolution is linear in X and in W, so that it is two matrices."""
    if X.ndim == 3:
        members = [right_results(*arrays, window) for arrays in zip(X, W, dY, strict=True)]
        return tuple(np.stack(results) for results in zip(*members, strict=True))
    by_X = by_loops(np.eye(window.features), W, window)  # (h w c, oh ow o)
    by_W = by_loops(X, np.eye(window.values), window)  # (B, oh ow kh kw c)
    by_W = by_W.reshape(-1, window.values)  # (B oh ow, kh kw c)
    return by_loops(X, W, window), dY @ by_X.T, by_W.T @ dY.reshape(len(by_W), -1)


def with_gaps(A: Any) -> Any:
    """The same numbers in every second column of an array."""
    return np.repeat(A, 2, axis=-1)[..., ::2]


def off(given: Any, right: Any) -> float:
    """The largest error, relative to the largest number."""
    return float(np.abs(given - right).max() / max(np.abs(right).max(), 1e-300))


def three_words(X: Any, W: Any, dY: Any, window: Window, kind: Any = np.empty) -> tuple[Any, ...]:
    """Y, dX and dW, into arrays that `kind` makes."""
    Y, dX, dW = kind(dY.shape), kind(X.shape), kind(W.shape)
    ops.convolve(X, W, window, out=Y)
    ops.convolve_input_gradient(dY, W, window, out=dX)
    ops.convolve_weight_gradient(X, dY, window, out=dW)
    return Y, dX, dW


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("block", BLOCKS)
def test_the_words_are_those_of_plain_loops(block, way, monkeypatch):
    monkeypatch.setattr(convolution, "BLOCK", block)
    monkeypatch.setattr(convolution, "SCATTER", WAYS[way])
    for seed in range(CONFIGURATIONS // 4):
        window, X, W, dY = random_arrays(1000 * block + seed)
        right = right_results(X, W, dY, window)
        for given, expected in zip(three_words(X, W, dY, window), right, strict=True):
            assert off(given, expected) <= 1e-13, (window, X.shape, W.shape)


def test_arrays_may_have_gaps():
    def empty_with_gaps(shape):
        return np.full((*shape[:-1], 2 * shape[-1]), np.nan)[..., ::2]

    for seed in range(CONFIGURATIONS // 4):
        window, X, W, dY = random_arrays(seed)
        right = three_words(X, W, dY, window)
        gaps = with_gaps(X), with_gaps(W), with_gaps(dY)
        for given, expected in zip(
            three_words(*gaps, window, kind=empty_with_gaps), right, strict=True
        ):
            assert off(given, expected) <= 1e-13, (window, X.shape, W.shape)
            assert np.isnan(given.base).any()  # nothing is written between


def test_the_gradients_are_adjoints():
    """<A x, y> = <x, A^T y>, and both are <W, dW>, for A = A(W)."""
    for seed in range(CONFIGURATIONS):
        window, X, W, dY = random_arrays(seed)
        Y, dX, dW = three_words(X, W, dY, window)
        size = np.abs(Y * dY).sum()
        assert abs((X * dX).sum() - (Y * dY).sum()) <= 1e-12 * size, window
        assert abs((W * dW).sum() - (Y * dY).sum()) <= 1e-12 * size, window


def test_upsampling_and_its_adjoint():
    random = np.random.default_rng(0)
    for seed in range(CONFIGURATIONS):
        h, w, c, fh, fw, B = random.integers(1, 6, 6).tolist()
        before = (2, B) if seed % 4 == 0 else (B,)
        X = random.normal(size=(*before, h * w * c))
        dY = random.normal(size=(*before, fh * h * fw * w * c))
        Y, dX = np.zeros(dY.shape), np.zeros(X.shape)
        if seed % 2:
            Y, dX = with_gaps(Y), with_gaps(dX)
        ops.upsample(X, (h, w), (fh, fw), out=Y)
        ops.upsample_backward(dY, (h, w), (fh, fw), out=dX)
        images = X.reshape(*before, h, w, c)
        right = images.repeat(fh, axis=-3).repeat(fw, axis=-2).reshape(dY.shape)
        np.testing.assert_array_equal(Y, right)
        assert abs((X * dX).sum() - (Y * dY).sum()) <= 1e-12 * np.abs(Y * dY).sum()


@pytest.mark.parametrize("padding", [0, 1])
def test_a_stride_far_longer_than_the_image_takes_no_longer(padding):
    """Most remainders by it have no pixel; with a padding no pixel is seen at all."""
    far, near = (Window(3, 3, 2, (1, 1), (n, n), (padding, padding)) for n in (10**9, 10))
    X, W = np.ones((2, 18)), np.ones((2, 4))
    dY = np.ones((2, 4 * far.places[0] ** 2))
    for given, right in zip(three_words(X, W, dY, far), three_words(X, W, dY, near), strict=True):
        np.testing.assert_array_equal(given, right)


@pytest.mark.parametrize("way", WAYS)
def test_the_temporaries_do_not_grow_with_the_batch(way, monkeypatch):
    """Each kind of temporary takes at most BLOCK numbers, of the million of all windows."""
    monkeypatch.setattr(convolution, "BLOCK", 20_000)
    monkeypatch.setattr(convolution, "SCATTER", WAYS[way])
    window = Window(16, 16, 4, (4, 4), (2, 2), (1, 1))
    X, W, dY = np.ones((256, 1024)), np.ones((64, 8)), np.ones((256, 512))
    with fresh_pool():
        three_words(X, W, dY, window)
        assert 0 < max(buffer.size for buffer in pool.buffers.values()) <= 20_000


def test_arrays_with_gaps_are_recorded_and_replayed():
    """Rows with gaps cannot be seen as rows of pixels; a copy must be made at every replay."""
    window = Window(4, 4, 2, (3, 3), (2, 2), (1, 1))
    X, dY = np.zeros((3, 64))[:, :32], np.zeros((3, 24))[:, :12]
    W, row, sums = np.ones((18, 3)), np.ones((1, 3)), np.zeros((1, 2))
    results = [np.zeros((3, 64))[:, :12], np.zeros((3, 64))[:, :32], np.zeros((18, 3))]

    def step() -> None:
        ops.convolve(X, W, window, out=results[0])
        ops.add_rows(results[0], row, out=results[0])
        ops.convolve_input_gradient(dY, W, window, out=results[1])
        ops.convolve_weight_gradient(X, dY, window, out=results[2])
        ops.sum_rows(X, out=sums)

    step()  # the first one allocates memory
    replay = ops.capture(step)
    X[...] = np.random.default_rng(0).normal(size=X.shape)
    dY[...] = np.random.default_rng(1).normal(size=dY.shape)
    replay()
    right = right_results(X, W, dY, window)
    for given, expected in zip(results, (right[0] + 1.0, *right[1:]), strict=True):
        assert off(given, expected) <= 1e-13
    assert off(sums[0], X.reshape(-1, 2).sum(0)) <= 1e-13
