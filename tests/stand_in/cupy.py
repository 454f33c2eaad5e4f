"""A strict stand-in for the `cupy` module: the GPU is the emulator, and only what is listed exists.

It is stricter than CuPy where CuPy would silently be slow or wrong:

* nothing is converted implicitly: not by `float(X)`, `bool(X)`, a loop over X, arithmetic, or
  NumPy's functions;
* a NumPy array is never accepted in place of a GPU array;
* an argument of a kernel has exactly the type of the parameter;
* new memory is NaN (all bits set), with guard zones on both sides that are checked after each
  launch;
* nothing is allocated during a capture, and a graph whose memory has been freed is an error;
* what one stream writes is not read from another one before the first is synchronized.

`module(...)` makes the module object; `stand_in.install` puts it where `import cupy` finds it.
"""

from __future__ import annotations

import importlib.machinery
import math
import types
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from stand_in import array as arrays
from stand_in import emulator
from stand_in.array import ndarray
from stand_in.machine import (
    CompileException,
    CUDADriverError,
    CUDARuntimeError,
    Device,
    Event,
    Graph,
    Memory,
    OutOfMemoryError,
    Stream,
    issue,
    machine,
    not_listed,
)

# -- kernels -----------------------------------------------------------------------------------
_MEANT_FOR_NVRTC = ("-std=", "--std=", "--fmad=", "-lineinfo", "--use_fast_math")


class RawModule:
    """A CUDA source, compiled when its first kernel is asked for."""

    def __init__(self, *, code: str, options: tuple[str, ...] = ()) -> None:
        if not isinstance(code, str) or not isinstance(options, tuple):
            raise TypeError("RawModule takes code as a str and options as a tuple")
        for option in options:
            if not option.startswith(("-D", "-U", *_MEANT_FOR_NVRTC)):
                raise ValueError(f"option {option!r} is not on the list of cupy's stand-in")
        self._code = code
        self._options = tuple(o for o in options if not o.startswith(_MEANT_FOR_NVRTC))

    def __getattr__(self, name: str) -> NoReturn:
        not_listed("cupy.RawModule", name)

    def get_function(self, name: str) -> RawKernel:
        machine.device  # noqa: B018 - an error where there is none
        try:
            library = emulator.build(self._code, self._options)
        except emulator.CompileError as error:
            raise CompileException(str(error)) from None
        if name not in library.signatures:
            raise CUDADriverError("CUDA_ERROR_NOT_FOUND: named symbol not found")
        return RawKernel(library, name)


class RawKernel:
    """A kernel: `kernel(grid, block, args)`. In CuPy, asking for an attribute compiles it."""

    def __init__(self, library: emulator.Library, name: str) -> None:
        self._library = library
        self._signature = library.signatures[name]
        self.name = name
        self.max_dynamic_shared_size_bytes = 48 * 1024

    def __getattr__(self, name: str) -> NoReturn:
        not_listed("cupy.RawKernel", name)

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: Any) -> None:
        self._sizes("grid", grid, (2**31 - 1, 65535, 65535))
        self._sizes("block", block, (1024, 1024, 64))
        if math.prod(block) > emulator.MOST_THREADS:
            raise CUDADriverError(f"CUDA_ERROR_INVALID_VALUE: a block of {block} threads")
        if not isinstance(args, (tuple, list)) or len(args) != len(self._signature):
            raise TypeError(
                f"kernel {self.name!r} takes {len(self._signature)} arguments, not {args!r}"
            )
        reads: list[Memory] = []
        writes: list[Memory] = []
        values: list[int | float] = []
        for number, (arg, parameter) in enumerate(zip(args, self._signature, strict=True)):
            if parameter.pointer and isinstance(arg, ndarray) and arg.dtype == parameter.dtype:
                (reads if parameter.const else writes).append(arg._memory)
                values.append(arg._view.ctypes.data)
            elif parameter.pointer and type(arg) in (np.uint64, np.uintp) and arg == 0:
                values.append(0)
            elif (
                not parameter.pointer
                and isinstance(arg, np.generic)
                and arg.dtype == parameter.dtype
            ):
                values.append(arg.item())
            else:
                raise TypeError(
                    f"kernel {self.name!r}: argument {number} is {_described(arg)}, and the "
                    f"parameter {parameter}"
                )
        packed = self._library.pack(self.name, values)
        library, name, sizes = self._library, self.name, (tuple(grid), tuple(block))
        issue(
            lambda: library.launch(name, *sizes, packed),
            f"kernel {name!r}",
            reads,
            writes,
        )

    def _sizes(self, what: str, sizes: Any, most: Sequence[int]) -> None:
        if (
            not isinstance(sizes, tuple)
            or not 1 <= len(sizes) <= 3
            or any(type(size) is not int for size in sizes)
        ):
            raise TypeError(f"kernel {self.name!r}: {what} is one to three ints, not {sizes!r}")
        if any(not 1 <= size <= limit for size, limit in zip(sizes, most, strict=False)):
            raise CUDADriverError(f"CUDA_ERROR_INVALID_VALUE: {what} {sizes} of {self.name!r}")


def _described(arg: Any) -> str:
    dtype = f" of {arg.dtype}" if isinstance(arg, (ndarray, np.ndarray)) else ""
    return f"{type(arg).__module__}.{type(arg).__name__}{dtype}"


def _properties(device: int) -> dict[str, Any]:
    Device(device)._exists()
    return {
        "name": b"stand-in",
        "major": 9,
        "minor": 0,
        "multiProcessorCount": 132,
        "totalGlobalMem": machine.memory,
    }


def _device_count() -> int:
    if not machine.devices:
        raise CUDARuntimeError(100)
    return machine.devices


# -- the module --------------------------------------------------------------------------------
def _module(name: str, **contents: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(contents, __getattr__=lambda attribute: not_listed(name, attribute))
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    return module


def module(memory: int = 2**30, devices: int = 1) -> types.ModuleType:
    """A module `cupy` with a fresh machine.

    Args:
        memory: bytes of each device.
        devices: how many; 0 to be without a GPU.
    """
    machine.reset(memory, devices)
    runtime = _module(
        "cupy.cuda.runtime",
        CUDARuntimeError=CUDARuntimeError,
        getDevice=lambda: machine.device,
        getDeviceCount=_device_count,
        getDeviceProperties=_properties,
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 13000,
    )
    cuda = _module(
        "cupy.cuda",
        Device=Device,
        Event=Event,
        Graph=Graph,
        Stream=Stream,
        compiler=_module("cupy.cuda.compiler", CompileException=CompileException),
        driver=_module("cupy.cuda.driver", CUDADriverError=CUDADriverError),
        get_current_stream=lambda: machine.stream,
        is_available=lambda: machine.devices > 0,
        memory=_module("cupy.cuda.memory", OutOfMemoryError=OutOfMemoryError),
        runtime=runtime,
    )
    names = ("float32", "float64", "uint8", "uint32", "uint64", "int64")
    return _module(
        "cupy",
        RawModule=RawModule,
        argsort=arrays.argsort,
        array=arrays.array,
        asarray=arrays.asarray,
        asnumpy=arrays.asnumpy,
        copyto=arrays.copyto,
        cuda=cuda,
        empty=arrays.empty,
        from_dlpack=arrays.from_dlpack,
        ndarray=ndarray,
        zeros=arrays.zeros,
        __version__="stand-in",
        **{name: getattr(np, name) for name in names},
    )
