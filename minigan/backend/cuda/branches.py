"""What a recorded step may do at the same time.

A step is a list of calls, and most kernels of a small network leave most of a large GPU idle. Many
calls do not need each other: the gradient of a layer's weights and that of its input are two
products of the same factors, and G's second batch does not wait for D's update. So the calls become
a CUDA graph in which one waits for another only if one of them writes memory that the other uses.

CUDA builds such a graph from streams: calls on one stream follow each other, and an event makes a
stream wait for another one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cupy

from minigan.backend.base import span
from minigan.backend.cuda.launching import Call

STREAMS = 4  # calls that may run at the same time


@dataclass
class _Use:
    """Memory from byte `start` to byte `end`, which call number `call` uses."""

    start: int
    end: int
    call: int
    writes: bool


@dataclass
class Place:
    """Where a call goes: on a stream, after some calls that are on other streams."""

    stream: int
    after: list[int]


def places(calls: Sequence[Call], streams: int = STREAMS) -> list[Place]:
    """A place for each call, such that calls that need each other keep their order."""
    found: list[Place] = []
    earlier: list[set[int]] = []  # for each call, all that have finished when it begins
    last: dict[int, int] = {}  # call of each stream
    for number, needed in enumerate(_needed(calls)):
        before = needed.union(*(earlier[one] for one in needed))
        stream = _stream(needed, before, last, streams)
        direct = needed | ({last[stream]} if stream in last else set())
        implied = set().union(*(earlier[one] for one in direct))
        others = [one for one in direct - implied if found[one].stream != stream]
        found.append(Place(stream, sorted(others)))
        earlier.append(direct | implied)
        last[stream] = number
    return found


def _stream(needed: set[int], before: set[int], last: dict[int, int], streams: int) -> int:
    """The stream for a call that needs some calls, before which are more.

    It continues the stream of the last call that it needs, if that call is the stream's last one.
    Otherwise it goes where it waits for nothing else, if there is such a stream.
    """
    ends = [stream for stream, call in last.items() if call in needed]
    idle = [stream for stream, call in last.items() if call in before]
    if ends:
        return max(ends, key=last.__getitem__)
    if idle:
        return idle[0]
    return len(last) if len(last) < streams else min(last, key=last.__getitem__)


def _needed(calls: Sequence[Call]) -> Iterator[set[int]]:
    """For each call the earlier ones that it must follow: at least those that no other implies."""
    uses: list[_Use] = []
    for number, call in enumerate(calls):
        written = {span(array) for array in call.written()}
        own = [_Use(*extent, number, extent in written) for extent in map(span, call.arrays())]
        needed = set()
        for use in own:
            for other in uses:
                overlap = use.start < other.end and other.start < use.end
                if overlap and (use.writes or other.writes):
                    needed.add(other.call)
        yield needed
        # Later calls follow this one, and need not be compared with what it overwrites.
        uses = [
            other
            for other in uses
            if not any(
                use.writes and use.start <= other.start and other.end <= use.end for use in own
            )
        ]
        uses += own


def record(calls: Sequence[Call]) -> cupy.cuda.Graph:
    """The calls as a CUDA graph. None of them runs."""
    where = places(calls)
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(STREAMS)]
    awaited = {one for place in where for one in place.after}
    events: dict[int, cupy.cuda.Event] = {}
    main, begun = streams[0], {0}
    main.begin_capture()
    try:
        start = _event(main)
        for number, (call, place) in enumerate(zip(calls, where, strict=True)):
            stream = streams[place.stream]
            if place.stream not in begun:  # it joins the recording
                stream.wait_event(start)
                begun.add(place.stream)
            for one in place.after:
                stream.wait_event(events[one])
            with stream:
                call()
            if number in awaited:
                events[number] = _event(stream)
        for other in sorted(begun - {0}):
            main.wait_event(_event(streams[other]))
    except BaseException:
        with contextlib.suppress(Exception):  # the error that counts is the first one
            main.end_capture()
        raise
    return main.end_capture()


def _event(stream: cupy.cuda.Stream) -> cupy.cuda.Event:
    """What the stream has done so far, for others to wait for."""
    event = cupy.cuda.Event(disable_timing=True)
    event.record(stream)
    return event
