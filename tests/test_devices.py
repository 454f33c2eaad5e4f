"""Which device a name means; and what is said, word for word, where one cannot be used."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import stand_in
from running import ROOT, load_example, run_python

import minigan as mg
from minigan.backend import devices, get_backend
from minigan.backend import numpy as numpy_backend
from minigan.backend.cuda import errors
from minigan.cli.main import main

WITHOUT_CUPY = importlib.util.find_spec("cupy") is None
INSTALL = (
    'pip install "minigan[cuda13]", or "minigan[cuda12]" for an NVIDIA driver older than 580 or a '
    "GPU older than Turing (2018)"
)
AGAIN = f"run pip uninstall -y cupy-cuda12x, then {INSTALL}"


class DynamicLibNotFoundError(RuntimeError):
    """As cuda.pathfinder raises it, where CuPy 14 looks for a library."""


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch) -> Iterator[None]:
    """No device is in use yet, and none afterwards; CUDA_VISIBLE_DEVICES is as if never set."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    devices.forget()
    yield
    devices.forget()


@pytest.fixture
def no_packages(monkeypatch) -> None:
    """No package of CuPy's is installed, whatever this machine has."""
    monkeypatch.setattr(errors, "PACKAGES", ())


@pytest.fixture
def absent(monkeypatch, no_packages) -> None:
    """There is no module cupy."""
    monkeypatch.setitem(sys.modules, "cupy", None)


@pytest.fixture
def gpu(no_packages) -> Iterator[ModuleType]:
    """The stand-in for cupy, with one device."""
    with stand_in.install() as cupy:
        yield cupy


def package(folder: Path, name: str, version: str) -> None:
    """Let a package seem to be installed in a folder."""
    where = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    where.mkdir(parents=True)
    (where / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def raising(error: BaseException) -> Any:
    def fail(*args: Any, **options: Any) -> None:
        raise error

    return fail


def refused(device: str = "cuda") -> str:
    """The sentence with which a device is refused."""
    with pytest.raises(mg.DeviceError) as caught:
        get_backend(device)
    sentence = str(caught.value)
    assert sentence.startswith(f"device {device!r} cannot be used: ")
    assert "\n" not in sentence
    return sentence


# -- names --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["cuda:x", "cuda:-1", "cuda:", "cuda:01", "cuda:\u0661", "cuda0", "gpu", "CPU", "", None],
)
def test_what_is_no_name_of_a_device(name):
    with pytest.raises(
        mg.ConfigError, match=re.escape(f"{name!r}; expected 'cpu', 'cuda', 'cuda:N'")
    ):
        get_backend(name)


def test_the_cpu_asks_nobody_about_cuda(monkeypatch):
    monkeypatch.setattr(devices, "is_installed", raising(AssertionError("asked")))
    assert get_backend("cpu") is numpy_backend
    assert devices.device_name("cpu") == "cpu"
    assert devices.chosen("cpu") == "using the CPU"


def test_a_device_that_works(gpu):
    ops = get_backend("cuda")
    assert ops is get_backend("cuda:0") is get_backend("auto")
    assert ops is not numpy_backend
    assert isinstance(ops.zeros((2,), "float32"), gpu.ndarray)
    assert devices.device_name("auto") == devices.device_name("cuda") == "cuda:0"
    assert devices.chosen("auto") == "auto: using cuda:0 (stand-in)"
    assert devices.chosen("cuda") == "cuda:0 is stand-in"


def test_one_process_uses_one_device():
    with stand_in.install(cards=2) as cupy:
        get_backend("cuda:1")
        assert cupy.cuda.runtime.getDevice() == 1
        assert devices.device_name("cuda") == devices.device_name("auto") == "cuda:1"
        assert "uses cuda:1 already, and one process uses one device; start another" in refused(
            "cuda:0"
        )
        get_backend("cuda:1")  # which has not been lost


def test_a_device_beyond_the_last(gpu):
    assert "there is no cuda:1, only 1 from cuda:0; choose one" in refused("cuda:1")
    get_backend("cuda:0")  # the other one works all the same


def test_a_device_beyond_several():
    with stand_in.install(cards=2):
        assert "there is no cuda:7, only 2 from cuda:0; choose" in refused("cuda:7")


def test_cuda_is_tried_once(gpu, monkeypatch):
    tried = []
    count = gpu.cuda.runtime.getDeviceCount
    monkeypatch.setattr(gpu.cuda.runtime, "getDeviceCount", lambda: tried.append(1) or count())
    for _ in range(3):
        get_backend("cuda")
        get_backend("auto")
    assert tried == [1]
    devices.forget()
    tried.clear()
    monkeypatch.setattr(
        gpu.cuda.runtime, "getDeviceCount", lambda: tried.append(1) or raising(no_driver(gpu))()
    )
    for _ in range(3):
        assert get_backend("auto") is numpy_backend
        refused("cuda")
    assert tried == [1]


# -- CuPy that is not there, or broken ------------------------------------------------------


def test_cupy_is_not_installed(absent):
    assert f"CuPy is not installed; run {INSTALL}" in refused()
    assert get_backend("auto") is numpy_backend
    assert devices.device_name("auto") == "cpu"
    assert devices.chosen("auto") == (
        "auto: no CUDA device can be used (CuPy is not installed); using the CPU"
    )


def test_two_packages_at_once(tmp_path, monkeypatch):
    for name in ("cupy-cuda12x", "cupy-cuda13x"):
        package(tmp_path, name, "13.6.0")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(devices, "is_installed", lambda: True)
    sentence = refused()
    assert "overwrite each other's files of CuPy: cupy-cuda12x, cupy-cuda13x;" in sentence
    assert "; run pip uninstall -y cupy-cuda12x cupy-cuda13x, then pip install" in sentence


#: What `import cupy` does -> (what is wrong, what fixes it). The page is what CuPy makes of it.
PAGE = "================\nFailed to import CuPy.\n\nIf you installed CuPy via wheels\n"
IMPORTS = {
    "no CUDA library": (
        "try: raise ImportError('libcublas.so.12: cannot open shared object file: No such file')\n"
        f"except ImportError as exc: raise ImportError({PAGE!r}) from exc",
        "CuPy does not find a library of CUDA (ImportError: libcublas.so.12: cannot open",
        AGAIN,
    ),
    "a Windows library": (
        "raise ImportError('DLL load failed while importing runtime: module not found.')",
        "CuPy does not find a library of CUDA (ImportError: DLL load failed while",
        AGAIN,
    ),
    "no driver": (
        "raise ImportError('libcuda.so.1: cannot open shared object file: No such file')",
        "there is no NVIDIA driver",
        "install the driver of your GPU until nvidia-smi lists it",
    ),
    "another NumPy": (
        f"try: raise ValueError('numpy.dtype size changed')\n"
        f"except ValueError as exc: raise ImportError({PAGE!r}) from exc",
        "CuPy is installed but cannot be imported (ValueError: numpy.dtype size changed)",
        AGAIN,
    ),
    "what an uninstaller left": (
        "",
        "CuPy is installed but cannot be imported (ImportError: the module is empty)",
        AGAIN,
    ),
}


@pytest.mark.parametrize("case", IMPORTS)
def test_cupy_that_cannot_be_imported(case, tmp_path):
    """As a process that meets such a CuPy: one sentence, exit code 2; `auto` says the reason."""
    source, reason, fix = IMPORTS[case]
    (tmp_path / "cupy").mkdir()
    (tmp_path / "cupy" / "__init__.py").write_text(source)
    package(tmp_path, "cupy-cuda12x", "13.6.0")
    program = (
        "import sys; from minigan.backend import devices; from minigan.backend.cuda import errors\n"
        "errors.PACKAGES = ('cupy-cuda12x',); from minigan.cli.main import main\n"
        "print(devices.chosen('auto')); sys.exit(main(['doctor', '--device', 'cuda']))"
    )
    done = run_python("-c", program, code=2, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    (sentence,) = done.stderr.splitlines()
    assert f"cannot be used: {reason}" in sentence
    assert f"; {fix}" in sentence
    assert done.stdout.startswith(f"auto: no CUDA device can be used ({reason}")
    assert "CPU        works" in done.stdout
    assert re.search(r"\ncupy .*cupy-cuda12x 13\.6\.0", done.stdout)


def test_the_packages_that_hold_cupy_are_known():
    cuda = [f"cupy-cuda{major}x" for major in (11, 12, 13, 14, 15)]
    assert list(errors.PACKAGES) == ["cupy", *cuda]


@pytest.mark.parametrize("pages", [0, 1, 2, 3])
def test_the_first_error_is_told_however_often_it_was_packed(pages, no_packages):
    error: Exception = ImportError("numpy.core is too old")
    for _ in range(pages):
        page = ImportError("================\nFailed to import CuPy.\n")
        page.__cause__ = error
        error = page
    assert errors.of_import(error) == errors.Problem(
        "CuPy is installed but cannot be imported (ImportError: numpy.core is too old)",
        f"run {INSTALL}",
    )


def test_an_errors_words_are_its_first_line_and_not_too_many():
    for text, told in (
        ("one.\ntwo", "one"),
        ("\n  == \n\t= two...\nthree", "two"),
        ("", "ValueError"),
        ("x" * 300, "x" * 200),
        ("f.cu(1): warning: unused\nf.cu(2): error: wrong\n", "f.cu(2): error: wrong"),
    ):
        assert errors.first_line(ValueError(text)) == told


def test_cupy_is_imported_when_cuda_is_meant_and_once(tmp_path):
    """Neither `import minigan` nor the CPU imports it, and a failure is not repeated."""
    (tmp_path / "cupy.py").write_text("print('imported'); raise ImportError('broken')")
    program = (
        "import sys, minigan as mg, minigan.cli.main; from minigan.backend import get_backend\n"
        "mg.Sequential(mg.Linear(1, 1)); mg.Gaussian(); print('quiet', 'cupy' in sys.modules)\n"
        "get_backend('auto'); get_backend('auto')"
    )
    done = run_python("-c", program, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert done.stdout.split() == ["quiet", "False", "imported"]


def test_a_fault_of_our_own_is_no_fault_of_cupys(gpu, monkeypatch):
    """It ends in a traceback, which is of use, and not in advice to install something."""
    monkeypatch.setattr(gpu, "RawModule", raising(KeyError("ours")))
    with pytest.raises(KeyError, match="ours"):
        get_backend("cuda")
    monkeypatch.setattr(devices, "CUDA_BACKEND", "minigan.backend.nothing_there")
    devices.forget()
    with pytest.raises(ModuleNotFoundError, match="nothing_there"):
        get_backend("auto")


# -- CuPy that is there, on a machine where something is amiss ---------------------------------


def no_driver(cupy: Any) -> Exception:
    return cupy.cuda.runtime.CUDARuntimeError(35)


@pytest.mark.parametrize(
    ("driver", "told"),
    [
        # Without a driver CuPy says "insufficient", and that its version is 0.
        (0, "there is no NVIDIA driver; install the driver of your GPU until nvidia-smi"),
        (
            12040,
            "the NVIDIA driver is too old (CUDARuntimeError: cudaErrorInsufficientDriver: CUDA "
            "driver version is insufficient for CUDA runtime version); update the driver to its "
            'newest version, or run pip install "minigan[cuda12]"',
        ),
    ],
)
def test_a_driver_that_is_not_there_or_too_old(driver, told, gpu, monkeypatch):
    runtime = gpu.cuda.runtime
    monkeypatch.setattr(runtime, "driverGetVersion", lambda: driver)
    monkeypatch.setattr(runtime, "getDeviceCount", raising(no_driver(gpu)))
    assert told in refused()


def test_a_driver_without_a_device(no_packages, monkeypatch):
    with stand_in.install(cards=0):
        assert (
            "the NVIDIA driver finds no CUDA device; install the driver of your GPU until nvidia"
            in refused()
        )
        assert get_backend("auto") is numpy_backend
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        devices.forget()
        sentence = refused("cuda:3")
    assert "since CUDA_VISIBLE_DEVICES is ''; run unset CUDA_VISIBLE_DEVICES" in sentence


def test_no_device_is_listed(gpu, monkeypatch):
    monkeypatch.setattr(gpu.cuda.runtime, "getDeviceCount", lambda: 0)
    assert "the NVIDIA driver finds no CUDA device" in refused()


#: What the first kernel raises -> what is told. The messages are CUDA's and CuPy's own.
FIRST_KERNEL = {
    "no compiler, CuPy 13": (
        RuntimeError(
            "CuPy failed to load libnvrtc.so.12: OSError: libnvrtc.so.12: cannot open shared object"
        ),
        "does not find a library of CUDA (RuntimeError: CuPy failed to ",
    ),
    "no compiler, CuPy 14": (
        DynamicLibNotFoundError('Failure finding "libnvrtc.so.13 or libnvrtc.so.12": No such file'),
        "does not find a library of CUDA (DynamicLibNotFoundError: Failure finding ",
    ),
    "no headers": (
        'f.cu(1): catastrophic error: could not open source file "cuda_fp16.h" (no directories)\n'
        "  #include <cuda_fp16.h>\n",
        "does not compile a kernel (CompileException: f.cu(1): catastrophic error: could not open",
    ),
    "an unknown GPU": (
        "nvrtc: error: invalid value for --gpu-architecture (-arch)\n",
        "does not compile a kernel (CompileException: nvrtc: error: invalid value for --gpu-arch",
    ),
    "a kernel that is wrong": (
        'warning: unused\nmatmul.cu(7): error: identifier "x" is unknown\n 1 error detected',
        'does not compile a kernel (CompileException: matmul.cu(7): error: identifier "x" is unk',
    ),
}


@pytest.mark.parametrize("case", FIRST_KERNEL)
def test_kernels_that_cannot_be_compiled(case, gpu, monkeypatch):
    raised, told = FIRST_KERNEL[case]
    if isinstance(raised, str):
        raised = gpu.cuda.compiler.CompileException(raised)
    monkeypatch.setattr(gpu, "RawModule", raising(raised))
    sentence = refused()
    assert told in sentence
    assert sentence.endswith(f"; run {INSTALL}")


def test_a_driver_older_than_the_compiler(gpu, monkeypatch):
    error = gpu.cuda.driver.CUDADriverError(
        "CUDA_ERROR_UNSUPPORTED_PTX_VERSION: the provided PTX was compiled with an unsupported"
    )
    monkeypatch.setattr(gpu, "RawModule", raising(error))
    sentence = refused()
    assert "too old (CUDADriverError: CUDA_ERROR_UNSUPPORTED_PTX_VERSION: the prov" in sentence
    assert "; update the driver to its newest version" in sentence


def test_a_failure_without_advice_of_its_own(gpu, monkeypatch):
    error = gpu.cuda.driver.CUDADriverError("CUDA_ERROR_ECC_UNCORRECTABLE: uncorrectable ECC error")
    monkeypatch.setattr(gpu.cuda.Device, "use", raising(error))
    sentence = refused()
    assert "CUDA fails (CUDADriverError: CUDA_ERROR_ECC_UNCORRECTABLE: uncorrectable" in sentence
    assert "; see whether nvidia-smi lists the GPU as free and healthy" in sentence


# -- in the middle of work ------------------------------------------------------------------


def test_out_of_memory(gpu):
    """With the size where CuPy says it, and the flags to lower."""
    for error, told in (
        (gpu.cuda.runtime.CUDARuntimeError(2), "CUDARuntimeError: cudaErrorMemoryAllocation: out"),
        (
            gpu.cuda.memory.OutOfMemoryError(3 * 2**30, 0),
            "OutOfMemoryError: Out of memory allocating 3,221,225,472 bytes",
        ),
    ):
        with pytest.raises(mg.DeviceError) as caught, errors.explained(gpu):
            raise error
        sentence = str(caught.value)
        assert sentence.startswith(f"CUDA: the GPU's memory is full ({told}")
        assert sentence.endswith(
            "); lower --batch or --hidden, or end what else runs on this GPU (nvidia-smi lists it)"
        )


def test_other_errors_are_left_alone(gpu):
    for error in (KeyError("x"), mg.DeviceError("y"), MemoryError(), OSError("no such file")):
        with pytest.raises(type(error)) as caught, errors.explained(gpu):
            raise error
        assert caught.value is error


# -- minigan doctor -------------------------------------------------------------------------


def diagnosis(capsys, *flags: str, code: int = 0) -> tuple[dict[str, str], str]:
    """What `minigan doctor` prints, by the word at the start of the line; and its stderr."""
    assert main(["doctor", *flags]) == code
    out, err = capsys.readouterr()
    assert max(map(len, out.splitlines())) <= 80
    out = out.replace(f"\n{' ' * 11}", " ")  # a line's continuation
    return {line[:11].strip(): line[11:] for line in out.splitlines()}, err


def test_doctor_without_cupy(absent, capsys):
    lines, err = diagnosis(capsys)
    assert err == ""
    assert lines["python"].startswith(".".join(map(str, sys.version_info[:3])))
    assert lines["minigan"] == mg.__version__
    assert lines["numpy"].startswith(f"{np.__version__}, ")
    assert re.search(r"\d+ threads? for matrix products", lines["cpu"])
    assert lines["cupy"] == "not installed"
    assert re.fullmatch(r"works: gradients are right to \de-\d\d", lines["CPU"])
    assert lines["CUDA"] == (
        f"does not work: device 'cuda' cannot be used: CuPy is not installed; run {INSTALL}"
    )


def test_doctor_is_asked_for_cuda(absent, capsys):
    _, err = diagnosis(capsys, "--device", "cuda", code=2)
    assert err.startswith("minigan doctor: error: device 'cuda' cannot be used: CuPy is not inst")
    _, err = diagnosis(capsys, "--device", "auto")
    assert "using the CPU" in err


def test_doctor_of_a_wrong_name(capsys):
    assert main(["doctor", "--device", "gpu"]) == 2
    sentence = capsys.readouterr().err
    assert sentence.startswith("minigan doctor: error: unknown device 'gpu'; expected 'cpu', ")


def test_doctor_with_a_gpu(gpu, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(errors, "installed", lambda: {"cupy-cuda13x": "14.2.0"})
    lines, err = diagnosis(capsys, "--device", "cuda")
    assert err == ""
    assert lines["cupy"] == "cupy-cuda13x 14.2.0"
    assert lines["cuda"].startswith("driver for 13.0, CuPy built for 13.0")
    assert lines["cuda:0"] == "stand-in, compute capability 9.0, 1,024 of 1,024 MiB free"
    assert lines["CUDA"] == "works: a kernel ran on cuda:0"
    assert "fix" not in lines["CPU"]


def test_doctor_without_a_driver(gpu, capsys, monkeypatch):
    monkeypatch.setattr(gpu.cuda.runtime, "getDeviceCount", raising(no_driver(gpu)))
    monkeypatch.setattr(gpu.cuda.runtime, "driverGetVersion", lambda: 0)
    lines, _ = diagnosis(capsys)
    assert lines["cuda"].startswith("no driver, CuPy built for 13.0")
    assert lines["devices"].startswith("unknown (cudaErrorInsufficientDriver: ")
    assert "cannot be used: there is no NVIDIA driver; install the" in lines["CUDA"]


def test_doctor_of_a_gpu_that_errs(gpu, capsys, monkeypatch):
    monkeypatch.setattr(gpu, "RawModule", raising(gpu.cuda.memory.OutOfMemoryError(2**30, 0)))
    lines, err = diagnosis(capsys, "--device", "cuda", code=2)
    assert "the GPU's memory is full (OutOfMemoryError: Out of" in lines["CUDA"]
    assert "lower --batch or --hidden" in err


def test_doctor_of_a_cpu_that_errs(absent, capsys, monkeypatch):
    def wrong(dY: Any, slope: Any, out: Any) -> None:
        np.multiply(dY, 1.01, out=out)

    monkeypatch.setattr(numpy_backend, "elu_backward", wrong)
    lines, _ = diagnosis(capsys, code=1)
    assert lines["CPU"].startswith("does not work: its gradients are wrong, by ")
    assert lines["CPU"].endswith("to fix it, run pip install --force-reinstall numpy")


# -- the examples and the other commands ----------------------------------------------------


@pytest.mark.skipif(not WITHOUT_CUPY, reason="CuPy is installed here")
@pytest.mark.parametrize("name", ["gaussian1d", "mnist"])
def test_an_example_without_cupy_is_one_sentence_and_nothing_written(name, tmp_path):
    flags = ("--device", "cuda", "--out", tmp_path / "run")
    example = ROOT / "examples" / f"{name}.py"
    done = run_python(example, *flags, code=2, MINIGAN_CACHE_DIR=str(tmp_path / "cache"))
    (sentence,) = done.stderr.splitlines()
    assert sentence.endswith(f"device 'cuda' cannot be used: CuPy is not installed; run {INSTALL}")
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["gaussian1d", "mnist"])
def test_an_example_says_what_auto_chose(name, absent, tmp_path, capsys):
    flags = ["--data", "digits"] if name == "mnist" else []
    example = load_example(name)
    for device in ("auto", "cpu"):
        words = [*flags, "--device", device, "--dry-run", "--out", str(tmp_path / "run")]
        assert example.main(words) == 0
        first, second, *_ = capsys.readouterr().out.splitlines()
        assert "device cpu" in first
        note = "  auto: no CUDA device can be used (CuPy is not installed); using the CPU"
        assert (second == note) == (device == "auto")


def test_a_command_says_what_auto_chose(absent, tmp_path, capsys):
    G = mg.Sequential(mg.Linear(2, 1), name="g")
    D = mg.Sequential(mg.Linear(1, 1), name="d")
    gan = mg.GAN(G, D, mg.Normal(dim=2))
    mg.Trainer(gan, mg.Gaussian(), tmp_path, batch=1, progress=False)
    out = str(tmp_path / "samples.npy")
    for device in ("auto", "cpu"):
        assert main(["sample", str(tmp_path), "--device", device, "--out", out]) == 0
        told = "auto: no CUDA device can be used (CuPy is not installed); using the CPU\n"
        assert capsys.readouterr().err == (told if device == "auto" else "")


# -- the source -----------------------------------------------------------------------------


def imported(source: str) -> set[str]:
    """The modules that a file imports, anywhere in it, by a statement or by name."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and re.search(
            "import(_module|__)$", ast.unparse(node.func)
        ):
            found |= {a.value for a in node.args if isinstance(a, ast.Constant)}
    return found


def speaks_to_cupy(source: str) -> bool:
    """Whether a file imports CuPy, or a module of the CUDA backend that does."""
    free = "|".join(stand_in.WITHOUT_CUPY)
    ours = rf"{re.escape(stand_in.CUDA)}\.(?!({free})\b)"
    return any(
        re.match(rf"(cupy|cupyx|cupy_backends)(\.|$)|{ours}", str(name))
        for name in imported(source)
    )


def test_only_the_backend_speaks_to_cupy():
    """And only `devices` imports it; a benchmark's peer may speak to it, too."""
    folder = "minigan/backend/cuda"
    files = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for folder in ("minigan", "examples", "bench")
        for path in (ROOT / folder).rglob("*.py")
    }
    found = [
        name
        for name, source in files.items()
        if not name.startswith("bench/engines/") and speaks_to_cupy(source)
    ]
    assert f"{folder}/backend.py" in found
    assert [name for name in found if Path(name).parent.as_posix() != folder] == []
    free = {"__init__", *stand_in.WITHOUT_CUPY}
    assert {Path(name).stem for name in found}.isdisjoint(free)
    assert [name for name, source in files.items() if "CUDA_BACKEND" in source] == [
        "minigan/backend/devices.py"
    ]


@pytest.mark.parametrize(
    "line",
    [
        "import cupy",
        "import cupy.cuda as c",
        "from cupy import cuda",
        "from cupyx.scipy import special",
        "import cupy_backends",
        "importlib.import_module('cupy')",
        "def f():\n    __import__('cupy.cuda')",
        "from minigan.backend.cuda import backend",
        "from minigan.backend.cuda.memory import zeros",
    ],
)
def test_an_import_of_cupy_is_noticed(line):
    assert speaks_to_cupy(line)
    assert not speaks_to_cupy(line.replace("cupy", "numpy").replace("cuda", "numpy"))
    assert not speaks_to_cupy("from minigan.backend.cuda.errors import Problem")


def test_cuda_sources_are_in_the_package():
    """Each file that is no Python is of a kind that pyproject.toml puts into the wheel."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    patterns = ast.literal_eval(re.search(r"package-data\]\nminigan = (\[.*\])", text)[1])
    package = ROOT / "minigan"
    files = {
        path.relative_to(package)
        for path in package.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert any(file.suffix == ".cu" for file in files)
    assert [str(file) for file in files if not any(file.match(p) for p in patterns)] == []
