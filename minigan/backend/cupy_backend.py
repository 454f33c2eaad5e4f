"""The GPU twin: the words of `numpy_backend`, said in CUDA kernels through CuPy.

Every word checks how its arrays lie in memory, and launches a kernel or two of
minigan/backend/cuda. Nothing waits for the GPU but `to_host`: a launch only puts the kernel into
the queue of the current CUDA stream. What each kernel computes is said there and, for reading, in
`numpy_backend`.

Four things are different from the CPU:

* A launch costs the host five to ten microseconds, as much as a small kernel takes. `capture`
  records a step as a CUDA graph, which is launched as a whole.
* CuPy lets neither cuBLAS nor cuRAND into a recording, so products and random numbers are kernels
  of our own.
* What is recorded can be looked at before it becomes a graph: some kernels are made one
  (minigan/backend/cuda/fusion.py).
* A recording freezes what was passed by value. So the positions of random streams are kept on the
  GPU while a recording is replayed; see `Replay`.

docs/gpu.md tells the story. A word that is new has its kernel in the .cu file of its subject, and
its launch here, under the heading that it has in base.py.
"""

from __future__ import annotations

import functools
import itertools
import math
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import cupy
import numpy as np

from minigan.backend.base import Array
from minigan.backend.cuda import MODULES, source
from minigan.backend.cuda.fusion import Call, Launch, fuse
from minigan.backend.cuda_errors import explained
from minigan.backend.random import WORDS_PER_BLOCK, Stream
from minigan.errors import DTypeError, OrderError, ShapeError

THREADS = 256  # of a block, where a kernel leaves it open
REDUCING = 128  # of a block that reduces: BLOCK in common.cuh
BLOCKS = 65_535  # at most: kernels loop over what is left
TILE = 64  # a block's part of a product is TILE x TILE: see matmul.cu
MULTIPLIERS = 128  # threads that make it
BLOCKS_EACH = 2  # blocks of a product that each multiprocessor is to have
DEEP = 64  # a product is split along K into pieces no shorter than this
LARGEST = 2**31  # kernels count numbers in 32 bits
_REAL = {"float32": "float", "float64": "double"}
_UNIFORMS_PER_BLOCK = 2 * WORDS_PER_BLOCK
_DECISIONS_PER_BLOCK = 2 * 4 * WORDS_PER_BLOCK  # two halves of 16-bit numbers: see random.cu
_NULL = np.uint64(0)


# -- launching ------------------------------------------------------------------------


def open_device(index: int) -> None:
    """Make a CUDA device the one that this process uses, and run a kernel on it.

    Raises:
        Whatever CuPy raises if there is no such device, or it does not work.
    """
    cupy.cuda.Device(index).use()
    probe = zeros((2,), "float32")
    negate(probe, out=probe)
    synchronize()


def synchronize() -> None:
    """Wait until the GPU has done all that it was asked to do."""
    cupy.cuda.Device().synchronize()


def launch(
    name: str,
    dtype: Any,
    grid: tuple[int, ...],
    block: tuple[int, ...],
    *args: Any,
    module: str = "kernels",
    shared_memory: int = 0,
) -> None:
    """Put a kernel into the queue of the current stream.

    Args:
        name: the kernel's.
        dtype: float32 or float64, what it computes in.
        grid, block: numbers of blocks, and of threads a block.
        args: arrays; and NumPy scalars of just the types of its parameters.
        module: which of `minigan.backend.cuda.MODULES` it is in.
        shared_memory: bytes of dynamic shared memory a block.
    """
    kernel = _kernel(name, str(dtype), module)
    _issue(Launch(kernel, name, dtype, grid, block, args, shared_memory))


def _issue(call: Call) -> None:
    """Do something on the GPU; or note it down, while a step is recorded."""
    listener = _heard()
    if listener is None or listener.launches is None:
        call()
    else:
        listener.launches.append(call)


@functools.cache
def _kernel(name: str, dtype: str, module: str) -> Any:
    with explained(cupy):
        kernel = _module(module, dtype).get_function(name)
        # CuPy compiles when a kernel is first asked for something, and CUDA loads it then: now, and
        # not while a stream is being captured.
        _ = kernel.max_dynamic_shared_size_bytes
        return kernel


@functools.cache
def _module(name: str, dtype: str) -> Any:
    """The compiled kernels of a module; CuPy keeps them on disk for the next process."""
    options = ("-std=c++17", f"-DREAL={_REAL[dtype]}")
    return cupy.RawModule(code=source(*MODULES[name]), options=options)


def _bytes(shape: tuple[int, ...], dtype: Any) -> int:
    return int(math.prod(shape) * np.dtype(dtype).itemsize)


@functools.cache
def _multiprocessors() -> int:
    return int(cupy.cuda.Device().attributes["MultiProcessorCount"])


def shared_memory() -> int:
    """Bytes of shared memory that a block can ask for."""
    return int(cupy.cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"])


def _grid(n: int, threads: int = THREADS) -> tuple[int]:
    """Blocks of so many threads for n items."""
    return (max(1, min(-(-n // threads), BLOCKS)),)


def _real(dtype: Any, value: float) -> Any:
    return np.float32(value) if dtype == np.float32 else np.float64(value)


# -- how arrays lie ---------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def _together(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> int:
    """How many of the last axes lie together, without a gap."""
    size = itemsize
    for axes, (length, stride) in enumerate(zip(reversed(shape), reversed(strides), strict=True)):
        if length != 1 and stride != size:
            return axes
        size *= length
    return len(shape)


@functools.lru_cache(maxsize=4096)
def _distance(
    shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int, axes: int
) -> int | None:
    """Numbers from a row to the next, where a row is the last `axes` axes.

    None if there is no such distance, because the other axes cannot be seen as one.
    """
    outer = [
        (length, stride // itemsize)
        for length, stride in zip(shape[: len(shape) - axes], strides, strict=False)
        if length != 1
    ]
    for (_, stride), (length, below) in itertools.pairwise(outer):
        if stride != length * below:
            return None
    return outer[-1][1] if outer else 0


def _rows(X: Array, axes: int) -> Any:
    return _distance(X.shape, X.strides, X.dtype.itemsize, axes)


def _lies(X: Array) -> int:
    return _together(X.shape, X.strides, X.dtype.itemsize)


def _members(X: Array, axes: int) -> int:
    """How many pieces of the last `axes` axes an array has."""
    return math.prod(X.shape[: X.ndim - axes])


def _member_distance(X: Array, axes: int = 2) -> Any:
    """Numbers from a member's piece (the last `axes` axes) to the next one's."""
    distance = _rows(X, axes)
    if distance is None:
        raise ShapeError(f"a kernel cannot walk over an array of shape {X.shape} that lies so")
    return np.uint64(distance)


def _row_distance(X: Array) -> Any:
    """Numbers from a row of a matrix to the next, whose own numbers must lie together."""
    if X.shape[-1] != 1 and X.strides[-1] != X.dtype.itemsize:
        raise ShapeError("a kernel needs the numbers of a row to lie together")
    if X.shape[-2] == 1:
        return np.uint64(X.shape[-1])
    return np.uint64(X.strides[-2] // X.dtype.itemsize)


def _map(
    name: str,
    out: Array,
    X: Array,
    *more: Array,
    factor: Array = None,
    numbers: tuple[Any, ...] = (),
) -> None:
    """Launch an elementwise kernel: out = f(X, ...), all of one shape.

    Args:
        name: the kernel's.
        out, X, more: (..., B, F), of one dtype; without a factor to repeat they may have gaps.
        factor: one more array; or (..., 1, F), to be repeated along the rows of each member.
        numbers: the kernel's other parameters.
    """
    arrays = (out, X, *more) if factor is None else (out, X, *more, factor)
    repeated = factor is not None and factor.shape != out.shape
    for array in arrays:
        if array.shape != out.shape and not (repeated and array is factor):
            raise ShapeError(f"{name}: {array.shape} does not fit {out.shape}")
        if array.dtype != out.dtype:
            raise DTypeError(f"{name}: {array.dtype} does not fit {out.dtype}")
    if repeated and factor.shape != (*out.shape[:-2], 1, out.shape[-1]):
        raise ShapeError(f"{name}: {factor.shape} does not fit {out.shape}")
    if out.size >= LARGEST:
        raise ShapeError(f"{name}: {out.size:,} numbers are more than a kernel takes")
    if not out.size:
        return
    axes = min(_lies(array) for array in arrays)
    if repeated:
        if axes < 2:
            raise ShapeError(f"{name} of rows needs arrays whose rows lie together")
        axes = 2
    distances = [_rows(array, axes) for array in arrays]
    if None in distances:  # they lie in more than one way: piece by piece
        for i in range(out.shape[0]):
            pieces = [array[i] for array in arrays]
            _map(
                name,
                *pieces[: 2 + len(more)],
                factor=None if factor is None else pieces[-1],
                numbers=numbers,
            )
        return
    inner = math.prod(out.shape[out.ndim - axes :])
    placed: list[Any] = []
    for array, distance in zip(arrays, distances, strict=True):
        placed += [array, np.uint64(distance)]
    if factor is not None:
        placed.append(np.uint32(factor.shape[-1] if repeated else inner))
    sizes = (np.uint32(out.size), np.uint32(inner))
    numbers = tuple(_real(out.dtype, number) for number in numbers)
    launch(name, out.dtype, _grid(out.size), (THREADS,), *sizes, *placed, *numbers)


# -- memory ---------------------------------------------------------------------------


def empty(shape: tuple[int, ...], dtype: str) -> Array:
    """A new array whose contents are undefined."""
    with explained(cupy, _bytes(shape, dtype)):
        return cupy.empty(shape, dtype)


def zeros(shape: tuple[int, ...], dtype: str) -> Array:
    """A new array of zeros."""
    with explained(cupy, _bytes(shape, dtype)):
        return cupy.zeros(shape, dtype)


def asarray(X: Any) -> Array:
    """Anything array-like on this device: CuPy arrays and DLPack's of the GPU as they are."""
    if isinstance(X, cupy.ndarray):
        return X
    with explained(cupy, getattr(X, "nbytes", None)):
        if isinstance(X, np.ndarray) or not hasattr(X, "__dlpack__"):
            return cupy.asarray(X)
        on_host = X.__dlpack_device__()[0] == 1  # kDLCPU
        return cupy.asarray(np.from_dlpack(X)) if on_host else cupy.from_dlpack(X)


def from_host(X: Any, dtype: str) -> Array:
    """A new C-contiguous array on this device with the contents of a NumPy array."""
    with explained(cupy, _bytes(getattr(X, "shape", ()), dtype)):
        return cupy.array(X, dtype=dtype, order="C", copy=True)


def to_host(X: Array) -> Any:
    """A new NumPy array with the contents of a device array; waits for them."""
    return X.get()


def copy(X: Array, out: Array) -> None:
    """out = X"""
    _issue(Call(functools.partial(cupy.copyto, out, X), "copy", (out, X)))


def fill(value: float, out: Array) -> None:
    """out = value, everywhere"""
    _issue(Call(functools.partial(out.fill, value), "fill", (out, value)))


# -- a step, recorded and replayed ---------------------------------------------------------


class Replay:
    """A step as a CUDA graph: call it to repeat the step.

    A stream's position is an integer on the host, and a recording would freeze it. So a replayed
    step finds on the GPU where each of its streams stood at its start (`starts`), its fills count
    from there, and its last kernel moves the starts on. The positions on the host follow; where
    one of them was set to something else in between, the starts are written anew.

    Args:
        step: what to record; it has run once, so that its memory and kernels are there.
        drawn: the blocks that it draws from each stream.
    """

    def __init__(self, step: Callable[[], None], drawn: dict[Stream, int]) -> None:
        self.step = step
        self.drawn = drawn
        self.starts = zeros((max(1, len(drawn)),), "uint64")  # (streams,)
        self.each = asarray(np.array([*drawn.values()] or [0], np.uint64))  # (streams,)
        self.expected: list[int] = []  # the positions that the starts stand for
        self.graph: Any = None
        #: What the graph does. It keeps the memory alive that the graph uses.
        self.launches: list[Call] = []

    def __call__(self) -> None:
        if self.graph is None:
            self._record()
        positions = [stream.position for stream in self.drawn]
        if positions != self.expected:
            self.starts.set(np.array(positions or [0], np.uint64))
        self.expected = []  # an interruption from here on must not leave the two apart
        self.graph.launch()
        for stream, blocks in self.drawn.items():
            stream.advance(blocks)
        self.expected = [stream.position for stream in self.drawn]

    def _record(self) -> None:
        """Record the step: its kernels go into the graph, and none of them runs."""
        global _listener
        positions = [stream.position for stream in self.drawn]
        _listener = listener = Listener(self)
        try:
            self.step()
            if self.drawn:
                sizes = (np.uint32(len(self.drawn)), self.starts, self.each)
                launch("advance_streams", np.dtype("float32"), (1,), (THREADS,), *sizes)
        finally:
            _listener = None
        if listener.drawn != self.drawn:
            raise OrderError("a step drew other random numbers when it was recorded than before")
        for stream, position in zip(self.drawn, positions, strict=True):
            stream.position = position  # nothing was drawn yet
        assert listener.launches is not None
        self.launches = fuse(listener.launches, _table)
        queue = cupy.cuda.Stream(non_blocking=True)
        with queue:
            queue.begin_capture()
            try:
                for call in self.launches:
                    call()
            finally:
                with explained(cupy):
                    self.graph = queue.end_capture()


class Listener:
    """What a step does: the blocks it draws from each stream and, for a replay, its launches.

    It hears the thread that made it alone.

    Attributes:
        launches: they are kept here instead of being done; None if they are to be done.
        drawn: blocks by stream.
    """

    def __init__(self, replay: Replay | None = None) -> None:
        self.replay = replay
        self.thread = threading.get_ident()
        self.launches: list[Call] | None = None if replay is None else []
        self.drawn: dict[Stream, int] = {}

    def draw(self, stream: Stream, blocks: int) -> tuple[Any, np.uint64]:
        """Where the next blocks of a stream begin: (start, offset) as the kernels take them."""
        before = self.drawn.get(stream, 0)
        self.drawn[stream] = before + blocks
        position = stream.position
        stream.advance(blocks)
        if self.replay is None:
            return _NULL, np.uint64(position)
        streams = list(self.replay.drawn)
        if stream not in streams:
            raise OrderError(f"a recorded step may not begin to draw from stream {stream.name!r}")
        i = streams.index(stream)
        return self.replay.starts[i : i + 1], np.uint64(before)


_listener: Listener | None = None


def _heard() -> Listener | None:
    """The listener, if there is one and it hears this thread."""
    there = _listener
    return there if there is not None and there.thread == threading.get_ident() else None


def capture(step: Callable[[], None]) -> Callable[[], None]:
    """Run a step once; return a function that repeats its kernels on the same arrays.

    What the step decided in Python is decided for good: the repetition is right as long as
    the step would make the same calls again.
    """
    global _listener
    if _listener is not None:
        raise OrderError("a step that is being captured cannot capture another")
    _listener = listener = Listener()
    try:
        step()
    finally:
        _listener = None
    return Replay(step, listener.drawn)


def _table(name: str, dtype: Any, grid: tuple[int, ...], block: tuple[int, ...], *args: Any) -> Any:
    """A launch that `fuse` made, with NumPy arrays among its arguments as arrays on the GPU."""
    args = tuple(asarray(a) if isinstance(a, np.ndarray) else a for a in args)
    return Launch(_kernel(name, str(dtype), "kernels"), name, dtype, grid, block, args)


# -- linear algebra -------------------------------------------------------------------

#: No formula at the end of a product: see matmul.cu.
_NOTHING = {
    dtype: (np.uint32(0), _NULL, np.dtype(dtype).type(0.0)) for dtype in ("float32", "float64")
}
#: Memory that kernels share, by name; it grows as needed. All work is in one queue.
_temporaries: dict[tuple[str, str], Array] = {}


def _temporary(name: str, size: int, dtype: str) -> Array:
    """So many numbers (size,) that are a kernel's until it is done; zeros at first."""
    there = _temporaries.get((name, dtype))
    if there is None or there.size < size:
        there = _temporaries[name, dtype] = zeros((size,), dtype)
    return there


def matmul(
    A: Array,
    B: Array,
    out: Array,
    transpose_A: bool = False,
    transpose_B: bool = False,
) -> None:
    """out = A B, with either factor transposed on request. `out` must be neither of them."""
    M, K = A.shape[-2:][:: -1 if transpose_A else 1]
    K_too, N = B.shape[-2:][:: -1 if transpose_B else 1]
    members = _members(out, 2)
    fits = K_too == K and out.shape[-2:] == (M, N)
    if not fits or {_members(A, 2), _members(B, 2)} != {members}:
        raise ShapeError(f"matmul: {A.shape} and {B.shape} do not make {out.shape}")
    if A.dtype != out.dtype or B.dtype != out.dtype:
        raise DTypeError(f"matmul: {A.dtype} and {B.dtype} do not make {out.dtype}")
    columns, rows = -(-N // TILE), -(-M // TILE)
    tiles = columns * rows * members
    splits = max(1, min(BLOCKS_EACH * _multiprocessors() // tiles, K // DEEP))
    partials = _temporary("partials", splits * members * M * N if splits > 1 else 1, str(out.dtype))
    launch(
        "matmul",
        out.dtype,
        (columns, rows, members * splits),
        (MULTIPLIERS,),
        *map(np.uint32, (M, N, K)),
        *(A, _row_distance(A), _member_distance(A), np.uint32(transpose_A)),
        *(B, _row_distance(B), _member_distance(B), np.uint32(transpose_B)),
        *(out, _row_distance(out), _member_distance(out)),
        *(np.uint32(splits), partials, _temporary("tickets", tiles, "uint32")),
        *(*_NOTHING[str(out.dtype)] * 3, np.uint64(0)),
    )


def add(A: Array, B: Array, out: Array) -> None:
    """out = A + B"""
    _map("add", out, A, factor=B)


def add_rows(X: Array, row: Array, out: Array) -> None:
    """out = X + row, the row (1, O) added to each row of X (B, O)"""
    _map("add", out, X, factor=row)


def sum_rows(X: Array, out: Array) -> None:
    """out (1, O) = the sum of the rows of X (B, O)"""
    _sum_rows(X, 1.0, out)


def _sum_rows(X: Array, scale: float, out: Array) -> None:
    if _rows(X, 2) is None or _rows(out, 2) is None:
        for i in range(X.shape[0]):
            _sum_rows(X[i], scale, out[i])
        return
    rows, columns = X.shape[-2:]
    launch(
        "sum_rows",
        X.dtype,
        (-(-columns // 32), _members(X, 2)),
        (32, 8),
        *(np.uint32(rows), np.uint32(columns), X, _member_distance(X), _row_distance(X)),
        *(out, _member_distance(out), _real(X.dtype, scale)),
    )


def take_rows(X: Array, index: Array, out: Array) -> None:
    """out (B, I) = the rows of X (N, I) at index (B,), which must lie in [0, N)"""
    _take("take_rows", X, index, out)


def take_pixels(X: Array, index: Array, out: Array) -> None:
    """out (B, I) = (X[index] - 127.5) / 127.5: bytes X (N, I) as numbers in [-1, 1]"""
    _take("take_pixels", X, index, out)


def _take(name: str, X: Array, index: Array, out: Array) -> None:
    if X.ndim != 2 or index.shape != out.shape[:1] or out.shape[1:] != X.shape[1:]:
        raise ShapeError(f"{name}: rows {index.shape} of {X.shape} do not make {out.shape}")
    for array in (X, index, out):
        if not array.flags.c_contiguous:
            raise ShapeError(f"{name} needs arrays without gaps")
    if out.size:
        sizes = (np.uint32(out.size), np.uint32(X.shape[1]))
        launch(name, out.dtype, _grid(out.size), (THREADS,), *sizes, out, X, index)


# -- activations ----------------------------------------------------------------------


def relu(X: Array, out: Array) -> None:
    """out = max(X, 0)"""
    _map("relu", out, X)


def relu_backward(dY: Array, Y: Array, out: Array) -> None:
    """out = dY where Y > 0, else 0"""
    _map("relu_backward", out, dY, factor=Y)


def leaky_relu(X: Array, slope: float, out: Array) -> None:
    """out = X where X > 0, else slope X"""
    _map("leaky_relu", out, X, numbers=(slope,))


def leaky_relu_backward(dY: Array, Y: Array, slope: float, out: Array) -> None:
    """out = dY where Y > 0, else slope dY"""
    _map("leaky_relu_backward", out, dY, factor=Y, numbers=(slope,))


def elu(X: Array, alpha: float, slope: Array, out: Array) -> None:
    """out = X where X > 0, else alpha (exp(X) - 1);   slope = 1 where X > 0, else alpha exp(X)"""
    _map("elu", out, X, slope, numbers=(alpha,))


def elu_backward(dY: Array, slope: Array, out: Array) -> None:
    """out = dY * slope"""
    _map("multiply", out, dY, factor=slope)


def sigmoid(X: Array, out: Array) -> None:
    """out = E / (1 + E) with E = exp(X), held below overflow"""
    _map("sigmoid", out, X)


def sigmoid_backward(dY: Array, Y: Array, out: Array) -> None:
    """out = dY Y (1 - Y)"""
    _map("sigmoid_backward", out, dY, factor=Y)


def tanh(X: Array, out: Array) -> None:
    """out = tanh(X)"""
    _map("tanh_forward", out, X)


def tanh_backward(dY: Array, Y: Array, out: Array) -> None:
    """out = dY (1 - Y^2)"""
    _map("tanh_backward", out, dY, factor=Y)


# -- dropout and packing ----------------------------------------------------------------


def dropout(X: Array, mask: Array, out: Array) -> None:
    """out = X * mask, where the mask holds 0 (dropped) or 1 / (1 - rate) (kept)"""
    _map("multiply", out, X, factor=mask)


def dropout_backward(dY: Array, mask: Array, out: Array) -> None:
    """out = dY * mask"""
    _map("multiply", out, dY, factor=mask)


def pack_mean(X: Array, out: Array) -> None:
    """out (P, 1, F) = the mean of the m samples of each pack X (P, m, F)"""
    _sum_rows(X, 1.0 / X.shape[-2], out)


def pack_deviations(X: Array, mean: Array, out: Array) -> None:
    """out (P, m, F) = (X - mean)^2"""
    _map("pack_deviations", out, X, factor=mean)


def pack_deviations_backward(dY: Array, X: Array, mean: Array, out: Array) -> None:
    """out (P, m, F) = 2 (X - mean) dY, the mean held constant"""
    _map("pack_deviations_backward", out, dY, X, factor=mean)


# -- losses ---------------------------------------------------------------------------


def bce_loss(P: Array, targets: Any, out: Array) -> None:
    """out (...) = the mean of -(t log p + (1 - t) log(1 - p)) over the last axis of P (..., N)"""
    _loss("bce_loss", P, targets, out)


def bce_gradient(P: Array, targets: Any, n: int, out: Array) -> None:
    """out = (p - t) / (p (1 - p)) / n: of the mean BCE of n probabilities, P (B, O) among them"""
    _loss_gradient("bce_gradient", P, targets, n, out)


def bce_with_logits_loss(logits: Array, targets: Any, out: Array) -> None:
    """out (...) = mean of max(x, 0) - x t + log(1 + exp(-|x|)) over the last axis of (..., N)"""
    _loss("bce_with_logits_loss", logits, targets, out)


def bce_with_logits_gradient(logits: Array, targets: Any, n: int, out: Array) -> None:
    """out = (sigmoid(x) - t) / n: of the mean BCE of n logits, these (B, O) among them"""
    _loss_gradient("bce_with_logits_gradient", logits, targets, n, out)


def softmax_cross_entropy(logits: Array, labels: Array, loss: Array, dlogits: Array) -> None:
    """Cross-entropy of softmax(logits) (B, K) with integer labels (B,), its mean over B."""
    for array in (logits, dlogits, loss):
        if not array.flags.c_contiguous:
            raise ShapeError("softmax_cross_entropy needs arrays without gaps")
    B, K = logits.shape[-2:]
    labels = labels if labels.dtype == np.int64 else labels.astype("int64")
    sizes = (np.uint32(B), np.uint32(K))
    members = (_members(logits, 2),)
    launch(
        "softmax_cross_entropy",
        logits.dtype,
        members,
        (REDUCING,),
        *sizes,
        *(logits, labels, loss, dlogits),
    )


def mean_squared_error_loss(Y: Array, targets: Any, out: Array) -> None:
    """out (...) = the mean of (y - t)^2 over the last axis of Y (..., N)"""
    _loss("mean_squared_error_loss", Y, targets, out)


def mean_squared_error_gradient(Y: Array, targets: Any, n: int, out: Array) -> None:
    """out = 2 (y - t) / n: of the mean squared error of n numbers, Y (B, O) among them"""
    _loss_gradient("mean_squared_error_gradient", Y, targets, n, out)


def negate(X: Array, out: Array) -> None:
    """out = -X"""
    _map("negate", out, X)


def scale(X: Array, factor: float, out: Array) -> None:
    """out = factor X"""
    _map("scale", out, X, numbers=(factor,))


def clip(X: Array, low: float, high: float, out: Array) -> None:
    """out = min(max(X, low), high); NaN stays NaN"""
    _map("clip", out, X, numbers=(low, high))


def record_losses(losses: Array, totals: Array) -> None:
    """Add the C losses (K, C) of K steps to totals[0] (C,); totals[1] (C,) counts finite steps."""
    members, (K, C) = _members(totals, 2), losses.shape[-2:]
    launch(
        "record_losses",
        losses.dtype,
        _grid(C * members),
        (THREADS,),
        *(np.uint32(members), np.uint32(K), np.uint32(C)),
        *(losses, _member_distance(losses), totals),
    )


def record_finite(X: Array, out: Array) -> None:
    """out () = 1 if every entry of X (n,) is finite, else 0; (S,) of X (S, n)."""
    if _lies(X) < 1:
        raise ShapeError("record_finite needs the numbers of a row to lie together")
    launch(
        "record_finite",
        X.dtype,
        (_members(X, 1),),
        (REDUCING,),
        *(np.uint32(X.shape[-1]), X, _member_distance(X, 1)),
        *(out, _member_distance(out, 0)),
    )


def _loss(name: str, X: Array, targets: Any, out: Array) -> None:
    """Launch a mean over the last axis of X (..., N), one block a row."""
    many = isinstance(targets, cupy.ndarray)
    arrays = (X, targets) if many else (X,)
    if min(_lies(array) for array in arrays) < 1:
        raise ShapeError(f"{name} needs the numbers of a row to lie together")
    distances = [_rows(array, 1) for array in arrays]
    to = _rows(out, 0)
    if None in distances or to is None:
        for i in range(X.shape[0]):
            _loss(name, X[i], targets[i] if many else targets, out[i])
        return
    target = (targets, np.uint64(distances[1])) if many else (_NULL, _NULL)
    launch(
        name,
        X.dtype,
        (_members(X, 1),),
        (REDUCING,),
        *(np.uint32(X.shape[-1]), out, np.uint64(to), X, np.uint64(distances[0])),
        *(*target, _real(X.dtype, 0.0 if many else targets)),
    )


def _loss_gradient(name: str, X: Array, targets: Any, n: int, out: Array) -> None:
    if isinstance(targets, cupy.ndarray):
        _map(name, out, X, targets, numbers=(0.0, n))
        return
    if _lies(X) < X.ndim or _lies(out) < out.ndim:
        raise ShapeError(f"{name} needs arrays without gaps")
    sizes = (np.uint32(out.size), np.uint32(out.size))
    placed = (out, np.uint64(0), X, np.uint64(0), _NULL, np.uint64(0))
    numbers = (_real(out.dtype, targets), _real(out.dtype, n))
    launch(name, out.dtype, _grid(out.size), (THREADS,), *sizes, *placed, *numbers)


# -- optimizers -------------------------------------------------------------------------


def tick(clock: Array, start: float, end: float, final: float) -> None:
    """Advance an optimizer's clock = [step, base rate, rate] and set this step's rate."""
    numbers = (np.float64(start), np.float64(end), np.float64(final))
    launch("tick", np.dtype("float32"), (1,), (1,), clock, *numbers)


def sgd(data: Array, grad: Array, velocity: Array, clock: Array, momentum: float) -> None:
    """velocity = momentum velocity + grad;   data = data - rate velocity"""
    _flat("sgd", data, grad, velocity, clock, _real(data.dtype, momentum))


def adam(
    data: Array,
    grad: Array,
    m: Array,
    v: Array,
    clock: Array,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> None:
    """One Adam step t over the flat buffer (Kingma and Ba, 2015, algorithm 1)."""
    numbers = map(np.float64, (beta1, beta2, eps, weight_decay))
    _flat("adam", data, grad, m, v, clock, *numbers)


def moving_average(data: Array, average: Array, clock: Array, decay: float) -> None:
    """average = d average + (1 - d) data, with d = min(decay, (1 + t) / (10 + t))."""
    _flat("moving_average", data, average, clock, np.float64(decay))
    launch("count", np.dtype("float32"), (1,), (1,), clock)


def _flat(name: str, *args: Any) -> None:
    """Launch a kernel over flat buffers that lie without gaps; the first one says how long."""
    data = args[0]
    for array in args:
        if isinstance(array, cupy.ndarray) and not array.flags.c_contiguous:
            raise ShapeError(f"{name} needs buffers without gaps")
    launch(name, data.dtype, _grid(data.size), (THREADS,), np.uint32(data.size), *args)


# -- random fills -----------------------------------------------------------------------


def fill_uniform(stream: Stream, low: float, high: float, out: Array) -> None:
    """out = uniform numbers in [low, high), up to rounding; `out` is contiguous by member"""
    numbers = (_real(out.dtype, low), _real(out.dtype, high - low))
    _fill("fill_uniform", stream, _UNIFORMS_PER_BLOCK, numbers, out)


def fill_normal(stream: Stream, mean: float, std: float, out: Array) -> None:
    """out = mean + std z with z standard normal, by Box and Muller's transform."""
    numbers = (_real(out.dtype, mean), _real(out.dtype, std))
    _fill("fill_normal", stream, _UNIFORMS_PER_BLOCK, numbers, out)


def fill_dropout_mask(stream: Stream, rate: float, out: Array) -> None:
    """out = 0 with probability rate, else 1 / (1 - rate), each from 16 random bits."""
    threshold = min(round(rate * 65536), 65535)
    numbers = (np.uint32(threshold), _real(out.dtype, 65536 / (65536 - threshold)))
    _fill("fill_dropout_mask", stream, _DECISIONS_PER_BLOCK, numbers, out)


def fill_permutation(stream: Stream, out: Array) -> None:
    """out (N,) int64 = 0 to N - 1 in a random order: the one that sorts N random 64-bit words"""
    if _heard() is not None:
        raise OrderError("CuPy cannot sort inside of a captured step")
    blocks = -(-out.size // WORDS_PER_BLOCK)
    words = empty((blocks * WORDS_PER_BLOCK,), "uint64")  # (N rounded up,)
    start, offset = Listener().draw(stream, blocks)
    sizes = (np.uint32(1), np.uint32(blocks))
    launch(
        "fill_words",
        np.dtype("float32"),
        _grid(blocks),
        (THREADS,),
        *(*sizes, _keys_of(stream), start, offset, words),
    )
    cupy.copyto(out, cupy.argsort(words[: out.size]))


#: Each stream's keys (S, 2) uint64 on the GPU.
_keys: WeakKeyDictionary[Stream, Array] = WeakKeyDictionary()


def _keys_of(stream: Stream) -> Array:
    keys = _keys.get(stream)
    if keys is None:
        keys = _keys[stream] = asarray(np.stack(stream.keys))
    return keys


def _fill(name: str, stream: Stream, per_block: int, numbers: tuple[Any, ...], out: Array) -> None:
    """Launch a fill: a thread makes a block of random words, and `per_block` numbers of it."""
    members = len(stream.seeds)
    if math.prod(out.shape[:-2]) != members:
        raise ShapeError(
            f"stream {stream.name!r} has {members} seeds; "
            f"an array of shape {out.shape} belongs to {math.prod(out.shape[:-2])} networks"
        )
    if _lies(out) < 2:
        raise ShapeError(f"a random fill needs contiguous memory; {out.shape} given is strided")
    if not out.size:
        return
    n = out.size // members
    blocks = -(-n // per_block)
    start, offset = (_heard() or Listener()).draw(stream, blocks)
    launch(
        name,
        out.dtype,
        _grid(members * blocks),
        (THREADS,),
        *(np.uint32(members), np.uint32(n), np.uint32(blocks), _keys_of(stream), start, offset),
        *(*numbers, out, _member_distance(out)),
    )
