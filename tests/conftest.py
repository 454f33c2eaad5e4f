"""What all tests share: Hypothesis profiles and small helpers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

if "PYTEST_XDIST_WORKER" in os.environ:  # one process per core, so one BLAS thread in each
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when NumPy is imported

import browser
import pytest
import stand_in
from hypothesis import settings
from stand_in import emulator

from minigan.backend import get_backend
from minigan.evaluation import forms, pictures, plots

# Background jobs ignore some signals, which tests send to this process and to their own.
for name, usual in {"SIGINT": signal.default_int_handler, "SIGHUP": signal.SIG_DFL}.items():
    if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_IGN:
        signal.signal(getattr(signal, name), usual)

# At least 200 examples a law. In CI the same ones every time; elsewhere new ones.
settings.register_profile("default", max_examples=200, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

DATA_DIR = os.environ.get("MINIGAN_DATA_DIR")  # as it was before any test changed it


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """The folder with real MNIST in its folder `mnist`; the test is skipped without it."""
    folder = DATA_DIR
    if not folder or not (Path(folder) / "mnist" / "train-images-idx3-ubyte.gz").exists():
        pytest.skip("real MNIST is not here: set MINIGAN_DATA_DIR to a folder that holds mnist/")
    return Path(folder)


@pytest.fixture
def unpainted(monkeypatch) -> None:
    """Draw figures, but do not paint them: that takes most of the time of a short run."""
    for module in (plots, forms):
        monkeypatch.setattr(module, "save_figure", lambda figure, path: path.write_bytes(b"PNG"))


@pytest.fixture
def image_runs(request, monkeypatch, tmp_path) -> None:
    """Run in an empty folder, without a data folder from outside, and draw no film.

    Only tests with "pictures" in their name paint the curves.
    """
    if "pictures" not in request.node.name:
        request.getfixturevalue("unpainted")
    monkeypatch.delenv("MINIGAN_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pictures, "save_film", lambda frames, path: path.write_bytes(b"GIF89a"))


@pytest.fixture
def cupy() -> Iterator[ModuleType]:
    """A stand-in for CuPy, which runs CUDA sources on the CPU (see tests/stand_in)."""
    if not emulator.available():
        pytest.skip(emulator.missing())
    with stand_in.install() as module:
        yield module


@pytest.fixture(params=["stand-in", pytest.param("card", marks=pytest.mark.gpu)])
def cuda(request) -> Any:
    """The CUDA backend: on the stand-in, and on a card with `pytest -m gpu`."""
    if request.param == "stand-in":
        request.getfixturevalue("cupy")
    return get_backend("cuda")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium; the test is skipped without one. It ends with the module's tests."""
    with browser.started() as started:
        yield started


@pytest.fixture
def visits(chromium) -> Iterator[browser.Visits]:
    """Opens pages in Chromium. The test fails if a page complains or asks for anything."""
    with browser.visits(chromium) as visitor:
        yield visitor


@pytest.fixture(scope="session", autouse=True)
def cache_of_our_own(tmp_path_factory) -> Iterator[None]:
    """Tests neither use nor fill the cache of whoever runs them."""
    before = os.environ.get("MINIGAN_CACHE_DIR")
    os.environ["MINIGAN_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["no_proxy"] = "127.0.0.1"  # a proxy of the machine's is not asked for our servers
    yield
    if before is None:
        del os.environ["MINIGAN_CACHE_DIR"]
    else:
        os.environ["MINIGAN_CACHE_DIR"] = before
