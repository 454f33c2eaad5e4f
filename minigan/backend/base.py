"""The vocabulary: the functions through which the rest of the engine computes.

A *backend* is a module that exports exactly these functions: `minigan.backend.numpy` is the
reference, written to be read; the GPU's offers the same functions as fused kernels. All of them
follow three rules:

* The caller owns the memory. A kernel writes its result into an array that it is given; only the
  functions under "memory" return arrays. **Outputs come last.** Two kinds of functions differ:
  `matmul` has options after its `out`; and the updates of optimizers (`tick`, `sgd`, `adam`,
  `moving_average`) have their settings last, after the arrays that they read and change.
* `out` may be the same array as the first argument wherever the shapes agree, except in `matmul`
  and in convolutions: every elementwise kernel works in place.
* The last two axes are (batch, features). Axes before them are a *population* of networks trained
  side by side, so a kernel sums over axis -2, never over axis 0.

`B` is the batch, `I` and `O` are features in and out, `S` the population.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from minigan.backend.window import Pair, Window
from minigan.errors import DTypeError

if TYPE_CHECKING:
    from minigan.backend.random import Stream

#: An array of the backend's library: `numpy.ndarray` or `cupy.ndarray`.
Array: TypeAlias = Any

DTYPES = ("float32", "float64")


class Backend(Protocol):
    """The functions of a backend module.

    A type checker compares the NumPy module with it, and a test the CUDA module, whose functions
    are collected at run time.
    """

    # -- memory ---------------------------------------------------------------------
    def empty(self, shape: tuple[int, ...], dtype: str) -> Array: ...
    def zeros(self, shape: tuple[int, ...], dtype: str) -> Array: ...
    def asarray(self, X: Any) -> Array: ...
    def from_host(self, X: Any, dtype: str) -> Array: ...
    def to_host(self, X: Array) -> Any: ...
    def copy(self, X: Array, out: Array) -> None: ...
    def fill(self, value: float, out: Array) -> None: ...

    # -- a step, recorded and replayed ----------------------------------------------
    def capture(self, step: Callable[[], None]) -> Callable[[], None]: ...

    # -- linear algebra -------------------------------------------------------------
    def matmul(
        self,
        A: Array,
        B: Array,
        out: Array,
        transpose_A: bool = False,
        transpose_B: bool = False,
    ) -> None: ...
    def add(self, A: Array, B: Array, out: Array) -> None: ...
    def add_rows(self, X: Array, row: Array, out: Array) -> None: ...
    def sum_rows(self, X: Array, out: Array) -> None: ...
    def negate(self, X: Array, out: Array) -> None: ...
    def scale(self, X: Array, factor: float, out: Array) -> None: ...

    # -- batches out of a data set --------------------------------------------------
    def take_rows(self, X: Array, index: Array, out: Array) -> None: ...
    def take_pixels(self, X: Array, index: Array, out: Array) -> None: ...

    # -- activations, each next to its backward -------------------------------------
    def relu(self, X: Array, out: Array) -> None: ...
    def relu_backward(self, dY: Array, Y: Array, out: Array) -> None: ...
    def leaky_relu(self, X: Array, slope: float, out: Array) -> None: ...
    def leaky_relu_backward(self, dY: Array, Y: Array, slope: float, out: Array) -> None: ...
    def elu(self, X: Array, alpha: float, slope: Array, out: Array) -> None: ...
    def elu_backward(self, dY: Array, slope: Array, out: Array) -> None: ...
    def sigmoid(self, X: Array, out: Array) -> None: ...
    def sigmoid_backward(self, dY: Array, Y: Array, out: Array) -> None: ...
    def tanh(self, X: Array, out: Array) -> None: ...
    def tanh_backward(self, dY: Array, Y: Array, out: Array) -> None: ...

    # -- dropout and packing --------------------------------------------------------
    def dropout(self, X: Array, mask: Array, out: Array) -> None: ...
    def dropout_backward(self, dY: Array, mask: Array, out: Array) -> None: ...
    def pack_mean(self, X: Array, out: Array) -> None: ...
    def pack_deviations(self, X: Array, mean: Array, out: Array) -> None: ...
    def pack_deviations_backward(self, dY: Array, X: Array, mean: Array, out: Array) -> None: ...

    # -- images (B, h w c): convolution with W (kh kw c, o), and the repetition of pixels ---
    def convolve(self, X: Array, W: Array, window: Window, out: Array) -> None: ...
    def convolve_input_gradient(self, dY: Array, W: Array, window: Window, out: Array) -> None: ...
    def convolve_weight_gradient(self, X: Array, dY: Array, window: Window, out: Array) -> None: ...
    def upsample(self, X: Array, size: Pair, factor: Pair, out: Array) -> None: ...
    def upsample_backward(self, dY: Array, size: Pair, factor: Pair, out: Array) -> None: ...

    # -- batch normalisation of X (B, n c), seen as N = B n rows of c channels ---------
    def batch_statistics(self, X: Array, mean: Array, variance: Array) -> None: ...
    def normalise(
        self,
        X: Array,
        mean: Array,
        variance: Array,
        gamma: Array,
        beta: Array,
        eps: float,
        normalised: Array,
        out: Array,
    ) -> None: ...
    def normalise_gradients(
        self, dY: Array, normalised: Array, dgamma: Array, dbeta: Array
    ) -> None: ...
    def normalise_backward(
        self,
        dY: Array,
        normalised: Array,
        variance: Array,
        gamma: Array,
        eps: float,
        dgamma: Array,
        dbeta: Array,
        out: Array,
    ) -> None: ...

    # -- losses: the mean over the last axis, and the gradient of a mean over n numbers ---
    def bce_loss(self, P: Array, targets: Any, out: Array) -> None: ...
    def bce_gradient(self, P: Array, targets: Any, n: int, out: Array) -> None: ...
    def bce_with_logits_loss(self, logits: Array, targets: Any, out: Array) -> None: ...
    def bce_with_logits_gradient(self, logits: Array, targets: Any, n: int, out: Array) -> None: ...
    def mean_squared_error_loss(self, Y: Array, targets: Any, out: Array) -> None: ...
    def mean_squared_error_gradient(self, Y: Array, targets: Any, n: int, out: Array) -> None: ...
    def softmax_cross_entropy(
        self, logits: Array, labels: Array, loss: Array, dlogits: Array
    ) -> None: ...
    def record_losses(self, losses: Array, totals: Array) -> None: ...
    def record_finite(self, X: Array, out: Array) -> None: ...

    # -- optimizers and constraints -------------------------------------------------
    def clip(self, X: Array, low: float, high: float, out: Array) -> None: ...
    def tick(self, clock: Array, start: float, end: float, final: float) -> None: ...
    def sgd(
        self, data: Array, grad: Array, velocity: Array, clock: Array, momentum: float
    ) -> None: ...
    def adam(
        self,
        data: Array,
        grad: Array,
        g_sum: Array,
        g2_sum: Array,
        clock: Array,
        beta1: float,
        beta2: float,
        eps: float,
        weight_decay: float,
    ) -> None: ...
    def moving_average(self, data: Array, average: Array, clock: Array, decay: float) -> None: ...

    # -- random fills: the bits of a counter-based stream ------------------------------
    def fill_uniform(self, stream: Stream, low: float, high: float, out: Array) -> None: ...
    def fill_normal(self, stream: Stream, mean: float, std: float, out: Array) -> None: ...
    def fill_dropout_mask(self, stream: Stream, rate: float, out: Array) -> None: ...
    def fill_permutation(self, stream: Stream, out: Array) -> None: ...


def is_cupy(X: Any) -> bool:
    """Whether this is a CuPy array; CuPy is not imported."""
    return hasattr(X, "get") and hasattr(X, "__cuda_array_interface__")


def on_host(X: Any) -> Any:
    """X, with a CuPy array as a NumPy array: for code that takes arrays of any device."""
    return X.get() if is_cupy(X) else X


def span(X: Array) -> tuple[int, int]:
    """The address of the first byte of an array, on any device, and of the one after its last."""
    start = int(X.data.ptr) if hasattr(X, "__cuda_array_interface__") else int(X.ctypes.data)
    ends = [(n - 1) * stride for n, stride in zip(X.shape, X.strides, strict=True)]
    first = start + sum(min(end, 0) for end in ends)
    return first, start + sum(max(end, 0) for end in ends) + int(X.dtype.itemsize)


def may_be_captured(part: Any, base: type) -> bool:
    """Whether a step with this part can be recorded and replayed.

    A class promises with `capturable = True` that its formulas are calls of the backend alone. The
    promise does not cover a subclass that overrides them, so every class between the part's own and
    `base` must make it; nor does it cover a method that was assigned to the object.

    Args:
        part: a layer's pass, a noise, a loss ...
        base: minigan's class of such parts.
    """
    kind = type(part)
    replaced = any(callable(value) and hasattr(kind, name) for name, value in vars(part).items())
    if replaced or not issubclass(kind, base):
        return False
    below = kind.__mro__[: kind.__mro__.index(base)]
    return all(vars(cls).get("capturable") is True for cls in below)


def check_dtype(dtype: str) -> str:
    """Return `dtype` if it is one that the engine computes in, else raise `DTypeError`."""
    if dtype not in DTYPES:
        raise DTypeError(f"dtype must be 'float32' or 'float64', not {dtype!r}")
    return str(dtype)  # a NumPy dtype object equals its name, but is no plain string
