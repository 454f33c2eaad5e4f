"""What a step does on the GPU, call by call: done at once, or kept while the step is recorded."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cupy
import numpy as np

from minigan.backend.base import Array
from minigan.backend.cuda.errors import explained
from minigan.backend.cuda.sources import FILES, signatures, source
from minigan.backend.random import Stream
from minigan.errors import OrderError

THREADS = 256  # of a block, where a kernel does not require another number
BLOCKS = 65_535  # at most: kernels loop over the rest
_REAL = {"float32": "float", "float64": "double"}
_NUMBERS = {"u32": np.uint32, "u64": np.uint64, "double": np.float64}
_NULL = np.uint64(0)  # as CuPy takes a null pointer


class Call:
    """Something that a step does on the GPU.

    Args:
        name: of the function, or of the kernel.
        run: does it.
        args: by name, with all arrays that it touches.

    Attributes:
        kept: calls that this one replaces and of whose arrays it has only the addresses. Keeping
            them keeps those arrays alive.
    """

    def __init__(self, name: str, run: Callable[..., None], args: dict[str, Any]) -> None:
        self.name = name
        self.run = run
        self.args = args
        self.kept: Sequence[Call] = ()

    def __call__(self) -> None:
        self.run()

    def arrays(self) -> list[Array]:
        """The arrays that it reads or writes, also in place of the calls that it keeps."""
        own = [a for a in self.args.values() if is_array(a)]
        return [*own, *(a for call in self.kept for a in call.arrays())]

    def written(self) -> list[Array]:
        """The arrays that it writes."""
        return [self.args["out"]]


class Launch(Call):
    """A kernel with its arguments, which are looked up in the declaration of the kernel.

    Args:
        name: of the kernel.
        dtype: float32 or float64, in which it computes.
        grid, block: numbers of blocks, and of threads per block.
        args: all parameters by name: an array or None for a pointer, else a number.

    Raises:
        TypeError: a parameter has no argument, or an argument no parameter.
    """

    def __init__(
        self,
        name: str,
        dtype: Any,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: dict[str, Any],
    ) -> None:
        self.types = signatures()[name]
        if args.keys() != self.types.keys():
            wrong = sorted(args.keys() ^ self.types.keys())
            raise TypeError(f"kernel {name!r}: missing or unknown arguments: {', '.join(wrong)}")
        self.dtype = np.dtype(dtype)
        convert = {**_NUMBERS, "real": self.dtype.type}
        ordered: dict[str, Any] = {}
        for field, kind in self.types.items():
            value = args[field]
            if kind in convert:
                ordered[field] = convert[kind](value)
            else:
                ordered[field] = _NULL if value is None else value
        super().__init__(name, _compiled(name, str(self.dtype)), ordered)
        self.grid = grid
        self.block = block

    def __call__(self) -> None:
        self.run(self.grid, self.block, tuple(self.args.values()))

    def written(self) -> list[Array]:
        own = [
            a
            for field, a in self.args.items()
            if is_array(a) and not self.types[field].startswith("const")
        ]
        return [*own, *(a for call in self.kept for a in call.written())]


def launch(name: str, dtype: Any, *where: Any) -> None:
    """Put a kernel into the queue of the current stream. The arguments are those of `Launch`."""
    issue(Launch(name, dtype, *where))


def issue(call: Call) -> None:
    """Do something on the GPU, or keep it while a step is recorded."""
    listener = current_listener()
    if listener is None or listener.calls is None:
        call()
    else:
        listener.calls.append(call)


def grid_for(n: int, threads: int = THREADS) -> tuple[int]:
    """The grid for n items, an item a thread, in blocks of `threads`."""
    return (max(1, min(-(-n // threads), BLOCKS)),)


def is_array(X: Any) -> bool:
    """Whether this is an array; NumPy's numbers are not."""
    return hasattr(X, "strides") and not isinstance(X, np.generic)


@functools.cache
def _compiled(name: str, dtype: str) -> Any:
    with explained(cupy):
        kernel = _module(dtype).get_function(name)
        # CuPy compiles when a kernel is first asked for an attribute, and CUDA then loads it: it
        # must happen now, not while a stream is being captured.
        _ = kernel.max_dynamic_shared_size_bytes
        return kernel


@functools.cache
def _module(dtype: str) -> Any:
    """The compiled kernels; CuPy keeps them on disk for the next process."""
    options = ("-std=c++17", f"-DREAL={_REAL[dtype]}")
    return cupy.RawModule(code=source(*FILES), options=options)


# -- listening to a step ------------------------------------------------------------------


class Listener:
    """What a step does: the blocks that it draws from each stream and, for a replay, its calls.

    Args:
        starts: for a replay: stream -> (1,) uint64 on the GPU, its position when a step begins.

    Attributes:
        calls: they are kept here instead of being done; None if they are to be done.
        drawn: blocks by stream.
        turns: how often a temporary was asked for before, by name.
    """

    def __init__(self, starts: dict[Stream, Array] | None = None) -> None:
        self.starts = starts
        self.calls: list[Call] | None = None if starts is None else []
        self.drawn: dict[Stream, int] = {}
        self.turns: dict[str, int] = {}

    def turn(self, name: str) -> int:
        """How often a temporary was asked for before."""
        self.turns[name] = self.turns.get(name, -1) + 1
        return self.turns[name]

    def draw(self, stream: Stream, blocks: int) -> dict[str, Any]:
        """Where the next blocks of a stream begin: `start` and `offset` as the kernels take them.

        Raises:
            OrderError: a replay does not know this stream.
        """
        before = self.drawn.get(stream, 0)
        self.drawn[stream] = before + blocks
        position = stream.position
        stream.advance(blocks)
        if self.starts is None:
            return {"start": None, "offset": position}
        if stream not in self.starts:
            raise OrderError(f"a recorded step may not begin to draw from stream {stream.name!r}")
        return {"start": self.starts[stream], "offset": before}


class _ThisThread(threading.local):
    listener: Listener | None = None


_this_thread = _ThisThread()


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Inside, the listener hears what this thread does.

    Raises:
        OrderError: another one listens already.
    """
    if _this_thread.listener is not None:
        raise OrderError("a step that is being captured cannot capture another")
    _this_thread.listener = listener
    try:
        yield
    finally:
        _this_thread.listener = None


def current_listener() -> Listener | None:
    """The listener that hears this thread, if there is one."""
    return _this_thread.listener


# -- the device ---------------------------------------------------------------------------


def synchronize() -> None:
    """Wait until the GPU has finished all its work."""
    cupy.cuda.Device().synchronize()


@functools.cache
def multiprocessors() -> int:
    """How many multiprocessors the GPU has."""
    return int(cupy.cuda.Device().attributes["MultiProcessorCount"])
