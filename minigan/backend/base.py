"""The vocabulary: every word that the rest of the engine may say to a device.

A *backend* is a module that offers exactly these functions. `numpy_backend` is the
reference, written to be read; a GPU backend says the same words in fused kernels.
Three rules hold for all of them:

* The caller owns the memory. A result is written into `out`, never returned fresh.
* `out` may be the same array as the first argument: every kernel works in place.
* The last two axes are (batch, features). Axes before them are a *population* of
  networks trained side by side, so a kernel sums over axis -2, never over axis 0.

`B` is the batch, `I` and `O` are features in and out, `S` the population.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from minigan.errors import ConfigError, DeviceError, DTypeError

if TYPE_CHECKING:
    from minigan.backend.random import Stream

#: An array of whichever library the backend speaks: `numpy.ndarray` or `cupy.ndarray`.
Array: TypeAlias = Any

DTYPES = ("float32", "float64")


class Backend(Protocol):
    """What a backend module offers. A type checker holds each backend to it."""

    # -- memory ---------------------------------------------------------------------
    def empty(self, shape: tuple[int, ...], dtype: str) -> Array: ...
    def zeros(self, shape: tuple[int, ...], dtype: str) -> Array: ...
    def asarray(self, X: Any) -> Array: ...
    def from_host(self, X: Any, dtype: str) -> Array: ...
    def to_host(self, X: Array) -> Any: ...
    def copy(self, X: Array, out: Array) -> None: ...
    def fill(self, value: float, out: Array) -> None: ...

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
    def take_rows(self, X: Array, index: Array, out: Array) -> None: ...

    # -- activations, each beside its backward --------------------------------------
    def relu(self, X: Array, out: Array) -> None: ...
    def relu_backward(self, dY: Array, Y: Array, out: Array) -> None: ...
    def leaky_relu(self, X: Array, slope: float, out: Array) -> None: ...
    def leaky_relu_backward(self, dY: Array, Y: Array, slope: float, out: Array) -> None: ...
    def elu(self, X: Array, alpha: float, out: Array) -> None: ...
    def elu_backward(self, dY: Array, Y: Array, alpha: float, out: Array) -> None: ...
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

    # -- losses: the mean over the batch, and its gradient, in one call --------------
    def bce(self, P: Array, targets: Any, loss: Array, dP: Array) -> None: ...
    def bce_with_logits(self, logits: Array, targets: Any, loss: Array, dlogits: Array) -> None: ...
    def softmax_cross_entropy(
        self, logits: Array, labels: Array, loss: Array, dlogits: Array
    ) -> None: ...
    def mean_squared_error(self, Y: Array, targets: Any, loss: Array, dY: Array) -> None: ...
    def negate(self, loss: Array, dY: Array) -> None: ...
    def record_losses(self, losses: Array, totals: Array) -> None: ...

    # -- optimizers -----------------------------------------------------------------
    def tick(self, clock: Array, start: float, end: float, final: float) -> None: ...
    def sgd(
        self, data: Array, grad: Array, velocity: Array, clock: Array, momentum: float
    ) -> None: ...
    def adam(
        self,
        data: Array,
        grad: Array,
        m: Array,
        v: Array,
        clock: Array,
        beta1: float,
        beta2: float,
        eps: float,
    ) -> None: ...
    def moving_average(self, data: Array, average: Array, clock: Array, decay: float) -> None: ...

    # -- random fills: the bits of a counter-based stream ------------------------------
    def fill_uniform(self, stream: Stream, low: float, high: float, out: Array) -> None: ...
    def fill_normal(self, stream: Stream, mean: float, std: float, out: Array) -> None: ...
    def fill_dropout_mask(self, stream: Stream, rate: float, out: Array) -> None: ...


def get_backend(device: str) -> Backend:
    """Return the backend module of a device.

    Args:
        device: "cpu", or "auto", which takes the best device this version can use.

    Raises:
        DeviceError: a CUDA device was asked for; nothing falls back to the CPU silently.
        ConfigError: the name is not that of a device.
    """
    if device in ("cpu", "auto"):
        from minigan.backend import numpy_backend

        return numpy_backend
    if device == "cuda" or device.startswith("cuda:"):
        raise DeviceError(
            f"device {device!r} needs minigan's CUDA backend, which this version does not "
            "have yet; use device 'cpu'"
        )
    raise ConfigError(f"unknown device {device!r}; expected 'cpu', 'cuda', 'cuda:N' or 'auto'")


def check_dtype(dtype: str) -> str:
    """Return `dtype` if it is one that the engine computes in, else raise `DTypeError`."""
    if dtype not in DTYPES:
        raise DTypeError(f"dtype must be 'float32' or 'float64', not {dtype!r}")
    return dtype
