"""A step recorded as a list of NumPy calls, and replayed without the Python around them.

A training step makes the same calls on the same arrays every time; only the numbers in the arrays
differ. So the layers, loops and look-ups that lead to the calls are needed only once. `capture`
runs a step, records its calls, and returns a `Replay`: what a CUDA graph is on a GPU.

Every kernel takes NumPy from here: `from minigan.backend.numpy.recording import np`. This `np` has
NumPy's functions as plain attributes, so it costs no more than the module. While a step is
recorded, functions that record their calls take their place.

A recording holds calls, not values. What a step does apart from calls could go wrong silently:

* A result in new memory would be frozen. Every recorded call must write into an existing array; one
  that does not is an error.
* A function such as `np.sum` cannot be replayed in this way, and is an error too.
* Operators and methods of arrays are not recorded, so kernels do not use them.
* A number read from an array, a position in a random stream, or a decision would be frozen. A
  kernel that depends on one is marked `@live`: it is recorded as one call, and runs again as a
  whole.
* A Python float is a constant. It is recorded as an array () of the dtype that NumPy would convert
  it to, which saves the conversion at every step.

What is computed outside the backend is not recorded either, so a step is captured only if all its
parts compute with the backend alone (see `minigan.backend.base.may_be_captured`).
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy

from minigan.backend.numpy.pool import fresh_pool
from minigan.errors import OrderError

#: Functions apart from the ufuncs that write into an array, and the place of that array.
WRITERS = {numpy.copyto: 0, numpy.dot: 2, numpy.take: 3}
#: Ufuncs that NumPy wants to be given `out` by name.
OUT_BY_NAME = (numpy.minimum, numpy.maximum)


class _Numpy:
    """Stands for the module `numpy`. Its attributes are NumPy's functions, types and numbers.

    It has no `__getattr__`, with which every look-up would be slower.
    """


#: NumPy, for the kernels.
np: Any = _Numpy()


class Replay:
    """A captured step: call it to run the step again.

    Attributes:
        calls: NumPy functions and live kernels with their arguments, in order.
    """

    def __init__(self, calls: list[functools.partial[None]]) -> None:
        self.calls = tuple(calls)

    def __call__(self) -> None:
        for call in self.calls:
            call()


class Recording:
    """The calls of a step that this thread records."""

    def __init__(self) -> None:
        self.calls: list[functools.partial[None]] = []
        self.paused = False  # True inside a live kernel

    @staticmethod
    def here() -> Recording | None:
        """The recording that a call made now belongs to, if there is one."""
        current = _this_thread.recording
        return None if current is None or current.paused else current

    def add(self, function: Any, args: tuple[Any, ...], settings: dict[str, Any]) -> None:
        """Record a call of a NumPy function, in the form that runs fastest."""
        out = settings.get("out")
        place = WRITERS.get(function, getattr(function, "nin", len(args)))
        if out is None and len(args) <= place:
            raise RuntimeError(f"a captured step may not take new memory: {function} without out")
        dtype = next(a.dtype for a in (*args, out) if isinstance(a, numpy.ndarray))
        args = tuple(numpy.array(a, dtype) if isinstance(a, (int, float)) else a for a in args)
        if out is not None and isinstance(function, numpy.ufunc) and function not in OUT_BY_NAME:
            args = (*args, out)
            settings = {name: value for name, value in settings.items() if name != "out"}
        self.calls.append(functools.partial(function, *args, **settings))


class _Recorded:
    """Replaces a NumPy function, or a method such as `np.add.reduce`, while a step is recorded."""

    def __init__(self, name: str, function: Any, writes: bool) -> None:
        self.name = name
        self.function = function
        self.writes = writes

    def __call__(self, *args: Any, **settings: Any) -> Any:
        recording = Recording.here()
        if recording is not None:
            if not self.writes:
                raise RuntimeError(
                    f"a captured step cannot repeat np.{self.name}; its kernel must be live, and a "
                    "number that changes, such as a learning rate, must be read by a kernel and "
                    "not before it"
                )
            recording.add(self.function, args, settings)
        return self.function(*args, **settings)

    def __getattr__(self, name: str) -> Any:
        return _Recorded(f"{self.name}.{name}", getattr(self.function, name), self.writes)


vars(np).update(
    {
        name: thing
        for name, thing in vars(numpy).items()
        if name[0] != "_" and not isinstance(thing, ModuleType)
    }
)
#: What takes the place of NumPy's functions while a step is recorded.
_RECORDED = {
    name: _Recorded(name, thing, isinstance(thing, numpy.ufunc) or thing in WRITERS)
    for name, thing in vars(np).items()
    if callable(thing)
    and not isinstance(thing, type)
    and thing is not numpy.empty  # memory for a result
}


class _ThisThread(threading.local):
    recording: Recording | None = None


_this_thread = _ThisThread()
#: The recordings of all threads. While there is one, `np` has the functions of `_RECORDED`.
_recordings: set[Recording] = set()
_plain = vars(np).copy()  # what `np` had before the first of them
_lock = threading.Lock()  # of both; it is never held while a step runs


def _after_fork() -> None:
    """Forget the recordings of threads that a forked process does not have."""
    global _lock
    _lock = threading.Lock()
    _recordings.intersection_update({_this_thread.recording})
    vars(np).update(_RECORDED if _recordings else _plain)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)


def capture(step: Callable[[], None]) -> Callable[[], None]:
    """Run a step once; return a function that makes its NumPy calls again, on the same arrays.

    What the step decides in Python is decided once: the replay is right as long as the step would
    make the same calls. It has temporaries of its own. Meanwhile other threads can compute, and
    capture, too.
    """
    if _this_thread.recording is not None:
        raise OrderError("a step that is being captured cannot capture another")
    recording = _this_thread.recording = Recording()
    with _lock:
        if not _recordings:
            _plain.update(vars(np))
        _recordings.add(recording)
        vars(np).update(_RECORDED)
    try:
        with fresh_pool():
            step()
    finally:
        _this_thread.recording = None
        with _lock:
            _recordings.discard(recording)
            if not _recordings:
                vars(np).update(_plain)
    return Replay(recording.calls)


def live(kernel: Callable[..., None]) -> Callable[..., None]:
    """Mark a kernel that must run as a whole in a replay, since it decides or reads something."""

    @functools.wraps(kernel)
    def call(*args: Any, **settings: Any) -> None:
        recording = Recording.here()
        if recording is None:
            kernel(*args, **settings)
            return
        recording.calls.append(functools.partial(kernel, *args, **settings))
        recording.paused = True
        try:
            kernel(*args, **settings)
        finally:
            recording.paused = False

    return call
