"""A meter: stands in for a backend, and notes what is asked of it, by whom, and what it costs.

The calls that were noted can be made again, one right after the other, each with a clock beside
it. To read a clock while a step runs would be simpler, but wrong for small kernels: what a meter
does between two of them makes the second one slower.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from minigan.backend.base import Backend
from minigan.backend.costs import cost, vocabulary

BLANKS = 1000  # readings of a kernel that does nothing
Where: TypeAlias = tuple[str, ...]


class Place(NamedTuple):
    """Where a step is, and what the arrays are called there."""

    where: Where  # such as ("G", "0.linear", "forward")
    names: Mapping[int, str]  # {id of an array: its name}


class Key(NamedTuple):
    """What is counted together."""

    where: Where
    word: str
    result: str  # the name of the array `out`, where it has one; else ""


class Call(NamedTuple):
    """A call that was noted."""

    key: Key
    flops: int  # see `minigan.backend.costs`
    bytes: int
    kernel: Callable[..., Any]
    args: tuple[Any, ...]
    settings: dict[str, Any]


class Meter:
    """Every word of a backend, noted; what a word computes and returns is left as it is.

        meter = Meter(numpy_backend)
        with meter.at(("G", "0.linear", "forward"), {id(Y): "Y"}):
            meter.matmul(X, W, out=Y)  # computes what numpy_backend.matmul computes
        (call,) = meter.take()
        call.key  # Key(where=("G", "0.linear", "forward"), word="matmul", result="Y")

    Args:
        ops: the backend that does the work.
    """

    def __init__(self, ops: Backend) -> None:
        self.ops = ops
        self._words = vocabulary()
        self._place = Place((), {})
        self._calls: list[Call] = []

    @contextlib.contextmanager
    def at(self, where: Where, names: Mapping[int, str] | None = None) -> Iterator[None]:
        """Note what is called inside as called at `where`.

        Args:
            where: any words, such as ("G", "0.linear", "forward").
            names: {id of an array: its name}, for `Key.result`.
        """
        before, self._place = self._place, Place(where, names or {})
        try:
            yield
        finally:
            self._place = before

    def take(self) -> list[Call]:
        """What was called since the last `take`, in order."""
        calls, self._calls = self._calls, []
        return calls

    def __getattr__(self, word: str) -> Any:
        if word not in self.__dict__.get("_words", ()):
            raise AttributeError(f"{word!r} is no word of a backend")
        metered = self._metered(word, getattr(self.ops, word))
        self.__dict__[word] = metered  # found at once the next time
        return metered

    def _metered(self, word: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        names = self._words[word]

        def call(*args: Any, **settings: Any) -> Any:
            result = kernel(*args, **settings)
            arguments = {**dict(zip(names, args, strict=False)), **settings}
            where, arrays = self._place
            key = Key(where, word, arrays.get(id(arguments.get("out")), ""))
            self._calls.append(Call(key, *cost(word, arguments), kernel, args, settings))
            return result

        return call


def timed(calls: Iterable[Call]) -> list[float]:
    """Make the calls again, one right after the other; the seconds of each.

    They are those of the host's clock, with the Python inside a kernel, less what is read of a
    kernel that does nothing. A backend that returns before it is done would have to be waited for.
    """
    clock, blank = time.perf_counter, _blank()
    readings = []
    for _, _, _, kernel, args, settings in calls:
        start = clock()
        kernel(*args, **settings)
        readings.append(clock() - start)
    return [max(0.0, reading - blank) for reading in readings]


def _blank() -> float:
    """The seconds that a clock shows although nothing was done, for a call as in `timed`."""
    clock, args, settings = time.perf_counter, (None,), {"out": None}
    readings = []
    for _ in range(BLANKS):
        start = clock()
        _nothing(*args, **settings)
        readings.append(clock() - start)
    return statistics.median(readings)


def _nothing(X: Any, out: Any) -> None:
    pass
