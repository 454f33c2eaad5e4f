"""CUDA sources, compiled as C++ for the CPU and run one block after the other.

What a source may use is in emulator.hpp. A kernel is spelled `extern "C" __global__ void NAME(...)`
once macros are expanded; its parameters are numbers, or pointers to numbers. A source includes no
headers.

What a GPU would not report is an error here (`Fault`): a barrier that not all threads of a block
reach. Shared memory starts as NaN, and the order of threads and blocks turns around from launch to
launch, so a missing barrier shows as a result that changes.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import math
import os
import platform
import re
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

SHIM = Path(__file__).with_name("emulator.hpp")
MOST_THREADS = 1024  # of a block

_FLAGS = ["-std=c++17", "-O2", "-fPIC", "-shared", "-w", "-ffp-contract=off"]
_FLAGS += ["-fno-strict-aliasing", "-U_FORTIFY_SOURCE"]  # fortified, longjmp refuses other stacks
if platform.machine() in ("x86_64", "AMD64"):
    _FLAGS += ["-fcf-protection=none"]  # nor may it want a shadow stack

_BOUNDS = r"(?:__launch_bounds__\s*\([^()]*\)\s*)?"
_KERNEL = re.compile(rf"\b__global__\s+{_BOUNDS}void\s+{_BOUNDS}(\w+)\s*\(")

#: How `struct` packs a number into a slot of 8 bytes.
_SLOTS = {
    "float32": "f4x",
    "float64": "d",
    "uint8": "B7x",
    "int32": "i4x",
    "uint32": "I4x",
    "int64": "q",
    "uint64": "Q",
}


class Fault(AssertionError):
    """A mistake that a GPU would not report, but answer with wrong numbers or a hang."""


class CompileError(Exception):
    """The source does not compile; the message is the compiler's."""


class Parameter(NamedTuple):
    """A kernel's parameter: a number, or a pointer to numbers, which may be const."""

    dtype: np.dtype
    pointer: bool
    const: bool

    def __str__(self) -> str:
        return f"{'const ' if self.const else ''}{self.dtype}{'*' if self.pointer else ''}"


def available() -> bool:
    """Whether CUDA sources can be run here: on Linux, with g++."""
    return sys.platform == "linux" and shutil.which("g++") is not None


def missing() -> str:
    """Why they can't be run here, for a test that is skipped."""
    return "CUDA sources run on the CPU only on Linux with g++"


class Library:
    """The kernels of one source.

    Attributes:
        signatures: for each kernel's name its parameters.
    """

    def __init__(self, path: Path) -> None:
        # PyDLL keeps the interpreter's lock: the fibers are one set for all threads.
        self._library = ctypes.PyDLL(str(path))
        self._library.emulator_name.restype = ctypes.c_char_p
        self._library.emulator_signature.restype = ctypes.c_char_p
        self._library.emulator_message.restype = ctypes.c_char_p
        self._library.emulator_launch.argtypes = [
            ctypes.c_int,
            ctypes.c_uint * 6,
            ctypes.c_int,
            ctypes.c_char_p,
        ]
        self.signatures: dict[str, tuple[Parameter, ...]] = {}
        self._numbers: dict[str, int] = {}
        self._packers: dict[str, struct.Struct] = {}
        for number in range(self._library.emulator_count()):
            name = self._library.emulator_name(number).decode()
            codes = self._library.emulator_signature(number).decode().split(",")[:-1]
            signature = tuple(
                Parameter(np.dtype(code.strip("*").split()[-1]), "*" in code, "const" in code)
                for code in codes
            )
            self.signatures[name] = signature
            self._numbers[name] = number
            slots = ("Q" if p.pointer else _SLOTS[p.dtype.name] for p in signature)
            self._packers[name] = struct.Struct("=" + "".join(slots))
        self._backward = False

    def pack(self, name: str, args: Sequence[int | float]) -> bytes:
        """The arguments of a launch as bytes: numbers, and addresses for pointers."""
        return self._packers[name].pack(*args)

    def launch(
        self,
        name: str,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        packed: bytes,
        backward: bool | None = None,
    ) -> None:
        """Run a kernel to its end.

        Args:
            grid: one to three sizes.
            block: the same, of at most MOST_THREADS threads.
            packed: what `pack` returns.
            backward: the order of threads and blocks: the last ones first, or the first ones.
                By default it is the other one at each launch.

        Raises:
            Fault: a barrier that not all threads of a block reach.
        """
        sizes = [(*size, 1, 1)[:3] for size in (grid, block)]
        if math.prod(sizes[1]) > MOST_THREADS:
            raise ValueError(f"too large a block: {block}")
        if backward is None:
            backward, self._backward = self._backward, not self._backward
        dims = (ctypes.c_uint * 6)(*sizes[0], *sizes[1])
        if self._library.emulator_launch(self._numbers[name], dims, backward, packed):
            raise Fault(f"kernel {name!r}: {self._library.emulator_message().decode()}")


@functools.cache
def build(source: str, options: tuple[str, ...] = ()) -> Library:
    """Compile a CUDA source, or find it compiled; skip the test where there is no compiler.

    Args:
        source: the text.
        options: definitions, such as "-DREAL=float".

    Raises:
        CompileError: the source is wrong, or uses what emulator.hpp does not offer.
    """
    if not available():
        pytest.skip(missing())
    parts = (source, *options, SHIM.read_text(), *_FLAGS, _TABLE, _compiler())
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    path = _folder() / f"{name}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / "library.so"  # another process may be making it just now
            _compile(source, options, made)
            os.replace(made, path)
    return Library(path)


# What comes after the source: its kernels, by number.
_TABLE = """
static const emulator::Kernel emulator_kernels[] = {%s {nullptr, nullptr, nullptr}};
extern "C" {
int emulator_count() { return sizeof emulator_kernels / sizeof emulator_kernels[0] - 1; }
const char *emulator_name(int i) { return emulator_kernels[i].name; }
const char *emulator_message() { return emulator::message; }
const char *emulator_signature(int i) {
    static char text[4096];
    text[0] = 0;
    emulator_kernels[i].signature(text);
    return text;
}
int emulator_launch(int i, const unsigned *sizes, int backward, const char *slots) {
    return emulator::launch(emulator_kernels[i], sizes, backward, (const unsigned char *)slots);
}
}
"""


def _compile(source: str, options: Sequence[str], out: Path) -> None:
    """Macros first, so that kernels that macros make are seen; then the rest."""
    expanded = _run(["-E", "-x", "c++", *options, "-"], source)
    plain = re.sub(r"^#.*$", "", expanded, flags=re.MULTILINE)
    kernels = "".join(f"emulator::kernel<{k}>({k!r}), " for k in _KERNEL.findall(plain))
    # A namespace without a name makes all of it local, so that shared memory has one section.
    text = "\n".join(
        (
            f'#include "{SHIM.resolve()}"',
            "namespace {",
            expanded,
            "}",
            _TABLE % kernels.replace("'", '"'),
        )
    )
    _run([*_FLAGS, "-x", "c++", "-", "-o", str(out)], text)


def _run(arguments: list[str], text: str) -> str:
    done = subprocess.run(["g++", *arguments], input=text, capture_output=True, text=True)
    if done.returncode:
        raise CompileError(done.stderr)
    return done.stdout


@functools.cache
def _compiler() -> str:
    return _run(["--version"], "")


@functools.cache
def _folder() -> Path:
    """Where compiled libraries stay: a folder that nobody else can write to."""
    folder = Path(tempfile.gettempdir()) / f"minigan-emulator-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        return Path(tempfile.mkdtemp(prefix="minigan-emulator-"))
    return folder
