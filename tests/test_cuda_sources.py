"""Every CUDA source compiles, for each GPU generation that is promised: no card, no driver needed.

The compiler is NVRTC, which is what CuPy calls on a machine with a card (from the wheel
`nvidia-cuda-nvrtc`), or else `nvcc` from the PATH. The options are those of
`launching._module` and of CuPy itself, and the result is machine code, not PTX, so that
the assembler (ptxas) has its say too. A warning is an error.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from minigan.backend.cuda.sources import FILES, source

ARCHITECTURES = ("sm_80", "sm_90")  # A100; H100 and H200
REALS = ("float", "double")
#: CuPy adds the second to every module. With the last, ptxas warns where registers do not suffice.
OPTIONS = ("-std=c++17", "-ftz=true", "--ptxas-options=-warn-spills")
WHEELS = ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12")  # CUDA 13 and later, CUDA 12
LIBRARY = re.compile(r"libnvrtc\.so\.\d+|nvrtc64_\d+_0\.dll")


class CompileError(Exception):
    """What a compiler had to complain of."""


class Nvrtc:
    """As much of NVIDIA's runtime compiler as is needed here.

    Args:
        library: path of the shared library.
    """

    def __init__(self, library: Path) -> None:
        if sys.platform == "win32":  # where it finds its other half
            self.folder = os.add_dll_directory(str(library.parent))
        self.nvrtc = ctypes.CDLL(str(library))
        self.nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
        major, minor = ctypes.c_int(), ctypes.c_int()
        self.call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        self.name = f"NVRTC {major.value}.{minor.value}"

    def call(self, function: str, *args: object) -> None:
        status = getattr(self.nvrtc, function)(*args)
        if status:
            raise CompileError(f"{function}: {self.nvrtc.nvrtcGetErrorString(status).decode()}")

    def bytes_of(self, what: str, program: ctypes.c_void_p) -> bytes:
        size = ctypes.c_size_t()
        self.call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self.call(f"nvrtcGet{what}", program, buffer)
        return buffer.raw

    def compile(self, text: str, options: tuple[str, ...]) -> bytes:
        """Machine code (a cubin); `CompileError` for an error or a warning."""
        program = ctypes.c_void_p()
        place = ctypes.byref(program)
        self.call("nvrtcCreateProgram", place, text.encode(), b"minigan.cu", 0, None, None)
        try:
            words = (ctypes.c_char_p * len(options))(*(word.encode() for word in options))
            status = self.nvrtc.nvrtcCompileProgram(program, len(options), words)
            log = self.bytes_of("ProgramLog", program).rstrip(b"\0\n").decode()
            if status or log:
                raise CompileError(log or f"NVRTC failed with status {status}")
            return self.bytes_of("CUBIN", program)
        finally:
            self.call("nvrtcDestroyProgram", place)


class Nvcc:
    """The command-line compiler; it also needs a C++ compiler."""

    name = "nvcc"

    def __init__(self, command: str, folder: Path) -> None:
        self.command, self.folder = command, folder

    def compile(self, text: str, options: tuple[str, ...]) -> bytes:
        """Machine code (a cubin); `CompileError` for an error or a warning."""
        code, cubin = self.folder / "minigan.cu", self.folder / "minigan.cubin"
        code.write_text(text, encoding="utf-8")
        done = subprocess.run(
            [self.command, "-cubin", *options, "-o", str(cubin), str(code)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode or done.stdout.strip():
            raise CompileError(done.stdout)
        return cubin.read_bytes()


@functools.cache
def nvrtc() -> Path | None:
    """The library, where one of the wheels has put it."""
    for wheel in WHEELS:
        try:
            files = importlib.metadata.files(wheel) or ()
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in files:
            if LIBRARY.fullmatch(file.name):
                return Path(str(file.locate()))
    return None


@pytest.fixture(scope="module")
def compiler(tmp_path_factory):
    library = nvrtc()
    if library is not None:
        return Nvrtc(library)
    nvcc, host = shutil.which("nvcc"), shutil.which("cl" if sys.platform == "win32" else "g++")
    if nvcc is None or host is None:
        pytest.skip(f"no CUDA compiler: neither the wheel {WHEELS[0]} nor nvcc and a C++ compiler")
    return Nvcc(nvcc, tmp_path_factory.mktemp("nvcc"))


def compiled(compiler, text: str, architecture: str = "sm_80", real: str = "float") -> bytes:
    return compiler.compile(text, (*OPTIONS, f"-DREAL={real}", f"-arch={architecture}"))


def declared(text: str) -> set[str]:
    """The kernels of a source: lines that begin with KERNEL, or a macro that makes one."""
    return set(re.findall(r"^[A-Z][A-Z0-9_]+[ (](\w+)[(,]", text, flags=re.MULTILINE))


def kernels_in(cubin: bytes) -> set[str]:
    """The kernels in machine code: an ELF file, with a section of code for each."""
    return {name.decode() for name in re.findall(rb"\0\.text\.(\w+)(?=\0)", cubin)}


@pytest.mark.parametrize(
    ("architecture", "real"),
    [  # the first two have each architecture and each kind of number once
        *zip(ARCHITECTURES, reversed(REALS), strict=True),
        *(
            pytest.param(*target, marks=pytest.mark.slow)
            for target in zip(ARCHITECTURES, REALS, strict=True)
        ),
    ],
)
def test_every_source_compiles(architecture, real, compiler):
    text = source(*FILES)
    cubin = compiled(compiler, text, architecture, real)
    assert cubin.startswith(b"\x7fELF")
    assert kernels_in(cubin) == declared(text)
    assert declared(text)


def test_every_file_is_compiled():
    folder = Path(str(resources.files("minigan.backend.cuda") / "kernels"))
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.cu*")} == {*FILES}


KERNEL = 'extern "C" __global__ void kernel(float *x) {{ {} }}\n'
FAULTS = {
    "syntax": ("x[0] = 1", "expected a"),
    "an unknown function": ("x[0] = erfff(x[0]);", "erfff"),
    "a warning": ("int nobody_reads_this;", "nobody_reads_this"),
    "too much shared memory": (
        "__shared__ float much[20000]; much[threadIdx.x] = x[threadIdx.x];"
        "__syncthreads(); x[threadIdx.x] = much[threadIdx.x + 1];",
        "too much shared data",
    ),
    "spilled registers": (
        "float own[256]; for (int k = 0; k < 9; ++k) {"
        '_Pragma("unroll") for (int i = 0; i < 256; ++i) own[i] = k ? own[i] * x[i] : x[i + 9];'
        '_Pragma("unroll") for (int i = 0; i < 256; ++i) x[i] = own[255 - i]; }',
        "spill",
    ),
}


@pytest.mark.parametrize(("fault", "told"), FAULTS.values(), ids=FAULTS)
def test_faults_are_found(fault, told, compiler):
    with pytest.raises(CompileError, match=told):
        compiled(compiler, KERNEL.format(fault))


def test_an_instruction_that_a_gpu_lacks_is_found(compiler):
    text = KERNEL.format('asm volatile("barrier.cluster.arrive;"); x[0] = 1;')
    compiled(compiler, text, "sm_90")
    with pytest.raises(CompileError, match="sm_90"):
        compiled(compiler, text, "sm_80")


def test_an_error_names_its_file_and_line(compiler):
    text = source("common.cuh", "random.cu") + '#line 7 "matmul.cu"\nint x = nothing;\n'
    with pytest.raises(CompileError, match=r"matmul\.cu\(7\)"):
        compiled(compiler, text)


def test_a_compiler_error_names_the_file_and_line():
    """Each file is preceded by a line directive, and its text begins on line 1."""
    found = re.findall(r'^#line (\d+) "(.+)"$', source(*FILES), re.MULTILINE)
    assert found == [("1", name) for name in FILES]
