"""Counts the NumPy calls of a step, and the new arrays that they return."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np

from bench.ladder.start import Start, start
from minigan.backend.numpy import pool, recording

#: Functions that make the arrays in which a step computes.
MAKERS = ("empty", "zeros", "ones", "full", "array")


class Counted(np.ndarray):
    """An array that counts the calls it takes part in; so do the results of such calls."""

    calls = 0  # of all such arrays
    arrays = 0  # new ones that the calls returned

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        out = settings.pop("out", ())
        if out:
            settings["out"] = tuple(plain(array) for array in out)
        result = getattr(ufunc, method)(*map(plain, inputs), **settings)
        Counted.calls += 1
        return out[0] if out else new(result)

    def __array_function__(self, function: Any, types: Any, args: Any, settings: Any) -> Any:
        result = super().__array_function__(function, types, args, settings)
        if function not in (np.copyto, np.dot, np.where, np.concatenate):
            return result
        Counted.calls += 1
        return result if any(result is a for a in (*args, *settings.values())) else new(result)


def plain(array: Any) -> Any:
    """The array as one that does not count."""
    return array.view(np.ndarray) if isinstance(array, Counted) else array


def new(result: Any) -> Any:
    """Count what a call returned if it is an array; scalars, and copyto's None, are not."""
    if not isinstance(result, np.ndarray):
        return result
    Counted.arrays += 1
    return result.view(Counted)


class CountingNumpy:
    """Stands in for the module `numpy` in the rungs: new arrays are `Counted`."""

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)
        if name in MAKERS:
            return lambda *args, **settings: function(*args, **settings).view(Counted)
        return function


class CountingStream:
    """A random generator whose numbers are `Counted`; drawing them is not a call."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def random(self, *args: Any, **settings: Any) -> Any:
        return self.stream.random(*args, **settings).view(Counted)


def count_calls(kind: Callable[[Start], Any], steps: int) -> tuple[float, float]:
    """(calls, new arrays) of a rung's step, means over `steps`, after `steps` uncounted ones."""
    given = start()
    for net in (given.G, given.D):
        net[:] = [array.view(Counted) for array in net]
    for name in ("d_noise", "g_noise", "data"):
        setattr(given, name, CountingStream(getattr(given, name)))
    counts = []

    def count() -> None:
        rung = kind(given)
        for _ in range(2):
            Counted.calls = Counted.arrays = 0
            for _ in range(steps):
                rung.step()
        counts.extend((Counted.calls / steps, Counted.arrays / steps))

    with contextlib.ExitStack() as stack:
        numpy = CountingNumpy()
        for name, module in sys.modules.items():  # all rungs, since one uses another's kernels
            if name.startswith("bench.ladder.rung") and getattr(module, "np", None) is np:
                stack.enter_context(mock.patch.object(module, "np", numpy))
        makers = {name: getattr(numpy, name) for name in MAKERS}
        stack.enter_context(mock.patch.dict(vars(recording.np), makers))
        stack.enter_context(mock.patch.object(pool, "np", numpy))
        # In a thread of its own, whose temporaries in the engine end with it.
        thread = threading.Thread(target=count)
        thread.start()
        thread.join()
    calls, arrays = counts
    return calls, arrays
