"""The machine of cupy's stand-in: devices, their memory, streams and graphs."""

from __future__ import annotations

import operator
import threading
import weakref
from collections.abc import Callable
from typing import ClassVar, NoReturn

import numpy as np

from stand_in.emulator import Fault

GUARD = 256  # bytes on each side of an allocation
ROUND = 512  # CuPy's pool hands out multiples of so many bytes


def not_listed(owner: str, name: str) -> NoReturn:
    raise AttributeError(f"{owner}.{name} is not on the list of cupy's stand-in")


# -- errors ------------------------------------------------------------------------------------
_STATUS = {
    2: "cudaErrorMemoryAllocation: out of memory",
    35: "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version",
    100: "cudaErrorNoDevice: no CUDA-capable device is detected",
    101: "cudaErrorInvalidDevice: invalid device ordinal",
    900: "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing",
    901: "cudaErrorStreamCaptureInvalidated: operation failed due to a previous error during "
    "capture",
    904: "cudaErrorStreamCaptureUnjoined: capturing stream has unjoined work",
    905: "cudaErrorStreamCaptureIsolation: dependency created on uncaptured work in another stream",
    906: "cudaErrorStreamCaptureImplicit: operation would make the legacy stream depend on a "
    "capturing blocking stream",
}


class CUDARuntimeError(RuntimeError):
    __module__ = "cupy_backends.cuda.api.runtime"

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(_STATUS[status])


class CUDADriverError(RuntimeError):
    __module__ = "cupy_backends.cuda.api.driver"


class CompileException(Exception):
    __module__ = "cupy.cuda.compiler"


class OutOfMemoryError(MemoryError):
    __module__ = "cupy.cuda.memory"

    def __init__(self, size: int, total: int) -> None:
        super().__init__(
            f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes)."
        )


# -- the machine -------------------------------------------------------------------------------
class Machine:
    """Its devices, and what is going on there."""

    def __init__(self) -> None:
        self.reset(2**30, 1)

    def reset(self, memory: int, devices: int) -> None:
        """A machine like new.

        Args:
            memory: bytes of each device.
            devices: how many there are; with none, everything fails as without a GPU.
        """
        self.memory = memory
        self.devices = devices
        self.used = [0] * devices
        self.serial = 0  # of an allocation
        self.capturing: list[Stream] = []
        self.local = threading.local()

    @property
    def device(self) -> int:
        """The calling thread's current device."""
        if not self.devices:
            raise CUDARuntimeError(100)
        return getattr(self.local, "device", 0)

    @property
    def stream(self) -> Stream:
        """The calling thread's current stream."""
        return getattr(self.local, "stream", Stream.null)

    def no_capture(self) -> None:
        """What CUDA refuses during a capture, and what makes the capture worthless."""
        for stream in self.capturing:
            stream.spoiled = True
        if self.capturing:
            raise CUDARuntimeError(900)


machine = Machine()


class Memory:
    """An allocation: poisoned, with a guard zone on both sides."""

    def __init__(self, nbytes: int, dtype: np.dtype) -> None:
        machine.no_capture()
        self.device = machine.device
        size = -(-nbytes // ROUND) * ROUND
        if machine.used[self.device] + size > machine.memory:
            raise OutOfMemoryError(size, machine.used[self.device])
        machine.used[self.device] += size
        machine.serial += 1
        weakref.finalize(self, _free, machine.used, self.device, size).atexit = False

        block = np.empty(GUARD + nbytes + 2 * GUARD, np.uint8)  # (.,) with room to align
        first = -block.ctypes.data % GUARD
        block = block[first : first + GUARD + nbytes + GUARD]
        self.before = block[:GUARD]
        self.bytes = block[GUARD : GUARD + nbytes]
        self.after = block[GUARD + nbytes :]
        self.bytes.fill(0xFF)
        self.pattern = _pattern(machine.serial, dtype)
        self.before[...] = self.after[...] = np.frombuffer(self.pattern, np.uint8)
        self.writer: Stream | None = None  # the stream that wrote here last,
        self.written = 0  # and which of its operations that was

    def check(self, what: str) -> None:
        for zone, where in ((self.before, "before"), (self.after, "behind")):
            if zone.tobytes() != self.pattern:
                zone[...] = np.frombuffer(self.pattern, np.uint8)  # one report is enough
                raise Fault(f"{what} wrote {where} the memory of an array")


def _free(used: list[int], device: int, size: int) -> None:
    used[device] -= size


def _pattern(serial: int, dtype: np.dtype) -> bytes:
    """256 bytes that differ from one allocation to the next.

    For floats they are signaling NaNs, which no arithmetic leaves as they are: what is read
    there and written back after any computation is seen.
    """
    if dtype == np.float32:
        words = 0xFF800001 + np.arange(GUARD // 4, dtype=np.uint32)
        return (words + np.uint32(serial % 4096 * 256)).tobytes()
    words = 0xFFF0000000000001 + np.arange(GUARD // 8, dtype=np.uint64)
    return (words + np.uint64(serial * 256)).tobytes()


# -- work: what a stream does, now or when a graph is launched ---------------------------------
class Work:
    """One operation on arrays.

    Args:
        run: does it.
        name: for messages.
        reads, writes: the memory it uses.
    """

    def __init__(
        self, run: Callable[[], None], name: str, reads: list[Memory], writes: list[Memory]
    ) -> None:
        self.run = run
        self.name = name
        # As on a GPU, captured work does not keep memory alive.
        self.reads = [weakref.ref(memory) for memory in reads]
        self.writes = [weakref.ref(memory) for memory in writes]

    def do(self, stream: Stream) -> None:
        reads = [ref() for ref in self.reads]
        writes = [ref() for ref in self.writes]
        alive = [memory for memory in (*reads, *writes) if memory is not None]
        if len(alive) < len(reads) + len(writes):
            raise Fault(f"{self.name} in a graph uses memory that has been freed since")
        for memory in alive:
            if memory.device != machine.device:
                raise Fault(
                    f"{self.name} on device {machine.device} uses memory of device {memory.device}"
                )
            see(memory, stream, self.name)
        self.run()
        for memory in alive:
            memory.check(self.name)
        stream.issued += 1
        for memory in writes:
            if memory is not None:
                memory.writer, memory.written = stream, stream.issued


def see(memory: Memory, stream: Stream, what: str) -> None:
    """Nothing is used while another stream may still be writing it."""
    writer = memory.writer
    if writer is None or writer is stream or memory.written <= writer.finished:
        return
    null = Stream.null
    if (writer is null and not stream.non_blocking) or (stream is null and not writer.non_blocking):
        return  # the null stream and blocking streams wait for each other
    raise Fault(f"{what} uses an array that another stream, not synchronized since, has written")


def issue(run: Callable[[], None], name: str, reads: list[Memory], writes: list[Memory]) -> None:
    """Do it, or note it down if the current stream is capturing."""
    stream = machine.stream
    work = Work(run, name, reads, writes)
    if stream.capture is not None:
        stream.at = {stream.capture.add(work, stream.at)}
    elif machine.capturing:
        raise CUDARuntimeError(906)
    else:
        work.do(stream)


# -- devices, streams, graphs ------------------------------------------------------------------
class Device:
    def __init__(self, device: int | None = None) -> None:
        self.id = machine.device if device is None else operator.index(device)
        self._before: list[int] = []

    def __getattr__(self, name: str) -> NoReturn:
        not_listed("cupy.cuda.Device", name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def _exists(self) -> None:
        if not 0 <= self.id < machine.devices:
            raise CUDARuntimeError(101 if machine.devices else 100)

    def use(self) -> None:
        self._exists()
        machine.local.device = self.id

    def __enter__(self) -> Device:
        before = machine.device
        self.use()
        self._before.append(before)
        return self

    def __exit__(self, *error: object) -> None:
        machine.local.device = self._before.pop()

    def synchronize(self) -> None:
        self._exists()
        machine.no_capture()
        for stream in Stream.all:
            stream.finished = stream.issued

    @property
    def compute_capability(self) -> str:
        self._exists()
        return "90"

    @property
    def attributes(self) -> dict[str, int]:
        self._exists()
        return {
            "MultiProcessorCount": 132,
            "ComputeCapabilityMajor": 9,
            "ComputeCapabilityMinor": 0,
            "MaxThreadsPerBlock": 1024,
            "MaxSharedMemoryPerBlock": 48 * 1024,
            "MaxSharedMemoryPerMultiprocessor": 228 * 1024,
            "WarpSize": 32,
        }

    @property
    def mem_info(self) -> tuple[int, int]:
        self._exists()
        return machine.memory - machine.used[self.id], machine.memory


class Stream:
    """A stream. Work is done when it is issued; that it might not be is kept account of."""

    null: Stream
    all: ClassVar[weakref.WeakSet[Stream]] = weakref.WeakSet()

    def __init__(self, *, non_blocking: bool = False) -> None:
        self.non_blocking = non_blocking
        self.capture: Capture | None = None  # that it takes part in
        self.at: set[int] = set()  # the captured work that its next work follows
        self.spoiled = False  # the capture is
        self.issued = 0  # operations
        self.finished = 0  # of them, at the last synchronization
        self._before: list[Stream] = []
        self._device = machine.device
        Stream.all.add(self)

    def __getattr__(self, name: str) -> NoReturn:
        not_listed("cupy.cuda.Stream", name)

    def use(self) -> Stream:
        if self is not Stream.null and self._device != machine.device:
            raise Fault(f"a stream of device {self._device} on device {machine.device}")
        machine.local.stream = self
        return self

    def __enter__(self) -> Stream:
        before = machine.stream
        self.use()
        self._before.append(before)
        return self

    def __exit__(self, *error: object) -> None:
        machine.local.stream = self._before.pop()

    def synchronize(self) -> None:
        machine.no_capture()
        self.finished = self.issued
        if self is Stream.null:
            for stream in Stream.all:
                if not stream.non_blocking:
                    stream.finished = stream.issued

    def record(self, event: Event) -> None:
        event.record(self)

    def wait_event(self, event: Event) -> None:
        """What follows on this stream waits for the event, which may take it into a capture."""
        if event.capture is None or event.capture.ended:
            raise Fault("waiting for an event outside of a capture is not on the list")
        if self.capture is None:
            event.capture.joined.append(self)
            machine.capturing.append(self)
            self.capture, self.at, self.spoiled = event.capture, set(), False
        if self.capture is not event.capture:
            raise CUDARuntimeError(905)
        self.at = self.at | event.at

    def begin_capture(self) -> None:
        if self is Stream.null:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self.capture is not None:
            raise CUDARuntimeError(900)
        self.capture, self.at, self.spoiled = Capture(self), set(), False
        machine.capturing.append(self)

    def end_capture(self) -> Graph:
        if self.capture is None or self.capture.joined[0] is not self:
            raise CUDARuntimeError(901)
        capture, at = self.capture, self.at
        capture.ended = True
        spoiled = any(stream.spoiled for stream in capture.joined)
        for stream in capture.joined:
            stream.capture = None
            machine.capturing.remove(stream)
        if spoiled:
            raise CUDARuntimeError(901)
        if not capture.is_followed_by(at):
            raise CUDARuntimeError(904)
        return Graph(capture.nodes)

    def is_capturing(self) -> bool:
        return self.capture is not None


Stream.null = Stream()


class Event:
    """What a stream had done when the event was recorded. Only captures take note of it."""

    def __init__(self, *, disable_timing: bool = False) -> None:
        self.capture: Capture | None = None
        self.at: set[int] = set()

    def __getattr__(self, name: str) -> NoReturn:
        not_listed("cupy.cuda.Event", name)

    def record(self, stream: Stream) -> None:
        self.capture, self.at = stream.capture, set(stream.at)


class Capture:
    """Work on one or more streams, each with the work that it follows."""

    def __init__(self, stream: Stream) -> None:
        self.joined = [stream]
        self.nodes: list[tuple[Work, set[int]]] = []
        self.ended = False

    def add(self, work: Work, after: set[int]) -> int:
        self.nodes.append((work, after))
        return len(self.nodes) - 1

    def is_followed_by(self, at: set[int]) -> bool:
        """Whether all work is before this place, or in it."""
        seen, more = set(), set(at)
        while more:
            one = more.pop()
            seen.add(one)
            more |= self.nodes[one][1] - seen
        return len(seen) == len(self.nodes)


class Graph:
    """What was captured, with its arguments as they were.

    Work that does not wait for each other is done in the order of the capture by one launch, and
    by the next in the opposite order, as far as it may.
    """

    def __init__(self, nodes: list[tuple[Work, set[int]]]) -> None:
        self._nodes = nodes
        self._orders = [_order(nodes, first) for first in (True, False)]
        self._backward = False

    def __getattr__(self, name: str) -> NoReturn:
        not_listed("cupy.cuda.Graph", name)

    def launch(self, stream: Stream | None = None) -> None:
        machine.no_capture()  # CUDA would make it a part of the other graph
        stream = machine.stream if stream is None else stream
        self._backward = not self._backward
        for work in self._orders[self._backward]:
            work.do(stream)


def _order(nodes: list[tuple[Work, set[int]]], first: bool) -> list[Work]:
    """An order that each work's others come before: of what may be next, the first or the last."""
    waiting = dict(enumerate(nodes))
    done: set[int] = set()
    order = []
    while waiting:
        ready = [number for number, (_, after) in waiting.items() if after <= done]
        number = ready[0 if first else -1]
        order.append(waiting.pop(number)[0])
        done.add(number)
    return order
