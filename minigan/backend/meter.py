"""Record which kernels are called, and from where; then call them again with a clock.

No clock is read while the step itself runs: the work of recording would slow down the next small
kernel. The recorded calls are made again afterwards, one right after the other, each timed.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FrameType
from typing import Any, NamedTuple, TypeAlias

from minigan.backend.base import Backend
from minigan.backend.window import Window
from minigan.errors import OrderError

BLANKS = 1000  # timings of a call that does nothing
KERNELS = [n for n, f in vars(Backend).items() if inspect.isfunction(f) and not n.startswith("_")]
#: {id of a bound layer: (network, layer)}, such as ("G", "0 Linear")
Places: TypeAlias = Mapping[int, tuple[str, str]]
_in_use = threading.Lock()


class Key(NamedTuple):
    """A kernel in one place of a step."""

    network: str  # "G", "D in its half", "D in G's half"; "" outside the networks
    part: str  # the layer, "0 Linear"; outside the networks the class that called, "Uniform"
    method: str  # "forward" or "backward"; "" outside the networks
    kernel: str  # the backend's function
    result: str  # which of the layer's arrays it writes: "Y", "dX", "dweight"; or ""


class Call(NamedTuple):
    """A recorded call."""

    key: Key
    flops: int  # floating-point operations of a product or convolution; 0 for other kernels
    repeat: Callable[[], Any]  # makes the call again


@contextlib.contextmanager
def observed_calls(ops: Backend, places: Places) -> Iterator[list[Call]]:
    """A list that receives this thread's calls of a backend until the end of the block.

        with observed_calls(numpy_backend, {id(layer): ("G", "0 Linear")}) as calls:
            layer.forward(X, train=True)
        calls[0].key  # Key("G", "0 Linear", "forward", "matmul", "Y")

    Args:
        ops: the backend, a module. What its functions compute is not changed.
        places: the layers. Calls from outside a layer are labelled with the caller's class.

    Raises:
        OrderError: calls are being recorded already.
    """
    calls: list[Call] = []
    thread = threading.get_ident()

    def recorded(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(getattr(Backend, name))

        def call(*args: Any, **settings: Any) -> Any:
            result = kernel(*args, **settings)
            if threading.get_ident() != thread:
                return result
            given = signature.bind(ops, *args, **settings).arguments
            key = _key(name, given.get("out"), sys._getframe(1), places)
            count = FLOPS.get(name)
            flops = 0 if count is None else count(**given)
            calls.append(Call(key, flops, functools.partial(kernel, *args, **settings)))
            return result

        return call

    if not _in_use.acquire(blocking=False):
        raise OrderError("the calls of a backend are being recorded already")
    originals = {name: getattr(ops, name) for name in KERNELS}
    try:
        for name, kernel in originals.items():
            setattr(ops, name, recorded(name, kernel))
        yield calls
    finally:
        for name, kernel in originals.items():
            setattr(ops, name, kernel)
        _in_use.release()


def _key(kernel: str, out: Any, frame: FrameType | None, places: Places) -> Key:
    """Look for a layer in the call stack, from the innermost call outwards."""
    caller = ""
    while frame is not None:
        owner, method = frame.f_locals.get("self"), frame.f_code.co_name
        if id(owner) in places and method in ("forward", "backward"):
            arrays = [name for name, array in vars(owner).items() if array is out is not None]
            return Key(*places[id(owner)], method, kernel, "".join(arrays[:1]))
        caller = caller or ("" if owner is None else type(owner).__name__)
        frame = frame.f_back
    return Key("", caller, "", kernel, "")


def _product(*, A: Any, out: Any, transpose_A: bool = False, **others: Any) -> int:
    """2 M N K operations for (M, K) times (K, N), for each member of a population."""
    return int(2 * out.size * A.shape[-2 if transpose_A else -1])


def _convolution(*, window: Window, out: Any, dY: Any = None, **others: Any) -> int:
    """2 B oh ow kh kw c o operations, for each member: the same for all three kernels."""
    places = out if dY is None else dY  # (B, oh ow o)
    return int(2 * places.size * window.values)


#: Kernels that do nearly all of the arithmetic, and how to count theirs.
FLOPS: dict[str, Callable[..., int]] = {
    "matmul": _product,
    "convolve": _convolution,
    "convolve_input_gradient": _convolution,
    "convolve_weight_gradient": _convolution,
}


def timed(calls: Iterable[Call]) -> list[float]:
    """Make the calls again, one right after the other; the seconds of each.

    The Python inside a kernel counts; reading the clock does not.
    """

    def seconds(work: Callable[[], Any]) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    blank = statistics.median(seconds(functools.partial(bool)) for _ in range(BLANKS))
    return [max(0.0, seconds(call.repeat) - blank) for call in calls]
