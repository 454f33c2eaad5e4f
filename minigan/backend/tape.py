"""A step on tape: the NumPy calls it made, to be made again without the Python around them.

A training step is the same calls on the same arrays every time; only the numbers in the
arrays differ. So the layers, the loops and the look-ups that led to the calls are needed
once. `numpy_backend.capture` lets a step run while a `Tape` stands in for NumPy in that
module, and gets back what a CUDA graph is on a GPU: the step as a flat list.

The tape holds calls, not values, so what a step does beside them would go wrong silently:

* a result in new memory would be frozen: a call on the tape must write into an array that is
  there before, and one that does not is an error;
* so is a function of NumPy's that the tape cannot repeat, such as `np.sum`, and a kernel that
  computes with operators or methods of arrays is seen by nobody: kernels don't;
* a number read from an array, or a position in a random stream, would be frozen: kernels
  that do such things are marked `@live`, and the tape calls them as a whole;
* a number given as a Python float is a constant, and is kept as an array () of the dtype
  that NumPy would have given it, which saves the conversion at every step.

What is computed outside the backend is not heard at all, so a step is captured only if every part
of it says that it is calls of the backend (see `may_be_captured`).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, ClassVar

import numpy

#: NumPy functions, beside the ufuncs, that write into an array they are given.
WRITERS = ("copyto", "dot", "matmul", "take")
#: What else a kernel may ask of NumPy while it is recorded: memory for the pool of temporaries.
HARMLESS = ("empty",)
#: Ufuncs whose `out` NumPy wants by name.
OUT_BY_NAME = (numpy.minimum, numpy.maximum)


class Replay:
    """A captured step: call it to repeat the step.

    Attributes:
        calls: NumPy functions and live kernels with their arguments, in order.
    """

    def __init__(self, calls: list[functools.partial[Any]]) -> None:
        self.calls = tuple(calls)

    def __call__(self) -> None:
        for call in self.calls:
            call()


class Tape:
    """Stands in for the module `numpy` while a step is captured, and records its calls.

    Calls of other threads pass through unrecorded.
    """

    lock: ClassVar[threading.RLock] = threading.RLock()
    current: ClassVar[Tape | None] = None

    def __init__(self, module: Any) -> None:
        self.module = module
        self.calls: list[functools.partial[Any]] = []
        self.owner = threading.get_ident()
        self.listening = True  # False inside a live kernel

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.module, name)
        if name in WRITERS or isinstance(function, numpy.ufunc):
            recorded = self.__dict__[name] = _Recorded(
                self, function
            )  # found at once the next time
            return recorded
        if name not in HARMLESS and self.hears_this_thread():
            raise RuntimeError(
                f"a captured step cannot repeat np.{name}; its kernel must be live, and a number "
                "that changes, such as a learning rate, must be read by a kernel and not before it"
            )
        return function

    def finish(self) -> Replay:
        """What was recorded. The tape itself lets go of all that it holds.

        (It and its `_Recorded` functions hold each other, so that the step's arrays would otherwise
        stay until Python looks for such rings.)
        """
        replay = Replay(self.calls)
        vars(self).clear()
        return replay

    def hears_this_thread(self) -> bool:
        return self.listening and threading.get_ident() == self.owner

    def record(self, function: Any, args: tuple[Any, ...], settings: dict[str, Any]) -> None:
        """Write down a call, in the form that runs fastest."""
        place = {numpy.copyto: 0, numpy.dot: 2, numpy.matmul: 2}.get(
            function, getattr(function, "nin", len(args))
        )
        if len(args) <= place and "out" not in settings:
            raise RuntimeError(f"a captured step may not take new memory: {function} without out")
        arrays = [a for a in (*args, settings.get("out")) if isinstance(a, numpy.ndarray)]
        args = tuple(
            numpy.array(a, arrays[0].dtype) if isinstance(a, (int, float)) else a for a in args
        )
        if isinstance(function, numpy.ufunc) and function not in OUT_BY_NAME:
            args, settings = (*args, settings["out"]) if "out" in settings else args, {}
        self.calls.append(functools.partial(function, *args, **settings))


class _Recorded:
    """A NumPy function whose calls go on the tape, with its methods such as `reduce`."""

    def __init__(self, tape: Tape, function: Any) -> None:
        self.tape = tape
        self.function = function

    def __call__(self, *args: Any, **settings: Any) -> Any:
        if self.tape.hears_this_thread():
            self.tape.record(self.function, args, settings)
        return self.function(*args, **settings)

    def __getattr__(self, name: str) -> Any:
        return _Recorded(self.tape, getattr(self.function, name))


def live(kernel: Callable[..., None]) -> Callable[..., None]:
    """Mark a kernel that a tape must call as a whole, since it decides or reads something."""

    @functools.wraps(kernel)
    def call(*args: Any, **settings: Any) -> None:
        tape = Tape.current
        if tape is None or not tape.hears_this_thread():
            kernel(*args, **settings)
            return
        tape.calls.append(functools.partial(kernel, *args, **settings))
        tape.listening = False
        try:
            kernel(*args, **settings)
        finally:
            tape.listening = True

    return call


def may_be_captured(part: Any, base: type) -> bool:
    """Whether what a part computes can be recorded and replayed.

    Args:
        part: a layer's pass, a noise, a loss ...
        base: minigan's class of such parts. Every class between it and the part's own must say
            `capturable = True` itself: a promise about some formulas is none about those that
            override them. Nor is it one about a method that was put onto the object.
    """
    for name, value in vars(part).items():
        if callable(value) and hasattr(type(part), name):
            return False
    for cls in type(part).__mro__:
        if cls is base:
            return True
        if vars(cls).get("capturable") is not True:
            return False
    return False
