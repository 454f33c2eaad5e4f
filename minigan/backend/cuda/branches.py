"""What a recorded step may do at the same time.

A step is a list of calls, and most kernels of a small network leave most of a large GPU idle. Many
calls do not need each other: the gradient of a layer's weights and that of its input are two
products of the same factors, and G's second batch does not wait for D's update. So the calls become
a CUDA graph in which one waits for another only if one of them writes memory that the other uses.

CUDA builds such a graph from streams: calls on one stream follow each other, and an event makes a
stream wait for another one.
"""

from __future__ import annotations

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
    """A place for each call, such that calls that need each other keep their order.

    A call continues the stream of the last call that it needs, if that is the stream's last one.
    Otherwise it goes where it waits for nothing that it does not need, if there is such a stream.
    """
    found: list[Place] = []
    earlier: list[int] = []  # for each call, a bit for every call that is before it
    last: list[int] = []  # call of each stream
    for number, needed in enumerate(_needed(calls)):
        before = 0
        for one in needed:
            before |= earlier[one] | 1 << one
        ends = [stream for stream, call in enumerate(last) if call in needed]
        idle = [stream for stream, call in enumerate(last) if before >> call & 1]
        if ends:
            stream = max(ends, key=lambda each: last[each])
        elif idle:
            stream = idle[0]
        elif len(last) < streams:
            stream = len(last)
            last.append(number)
        else:
            stream = min(range(streams), key=lambda each: last[each])
        if last[stream] != number:
            before |= earlier[last[stream]] | 1 << last[stream]
        # Of the calls on other streams, those that no other needed call is after.
        others = [one for one in needed if found[one].stream != stream]
        implied = earlier[last[stream]] if last[stream] != number else 0
        for one in others:
            implied |= earlier[one]
        found.append(Place(stream, [one for one in others if not implied >> one & 1]))
        earlier.append(before)
        last[stream] = number
    return found


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
        # What is overwritten is in nobody's way any more: later calls follow this one.
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
        for stream in sorted(begun - {0}):
            main.wait_event(_event(streams[stream]))
    finally:
        graph = main.end_capture()
    return graph


def _event(stream: cupy.cuda.Stream) -> cupy.cuda.Event:
    """What the stream has done so far, for others to wait for."""
    event = cupy.cuda.Event(disable_timing=True)
    event.record(stream)
    return event
