"""What is installed is what was written: one version, typed, and a wheel that works alone."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from replay_reader import Reader

import minigan
from minigan.lessons.exercise_definitions import EXERCISES

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "minigan"


def test_package_is_typed_and_has_a_version():
    assert (Path(minigan.__file__).parent / "py.typed").exists()
    assert minigan.__version__.count(".") == 2


def test_the_citation_is_of_this_version():
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert "cff-version: 1.2.0" in lines
    assert f"version: {minigan.__version__}" in lines
    assert "license: MIT" in lines
    fields = {line.partition(":")[0] for line in lines if line[0] not in " -"}
    assert {"title", "message", "authors", "abstract", "keywords"} <= fields


def test_extras_name_cupy_wheels_and_never_the_source_package():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for extra in ("test", "docs", "bench", "cuda12", "cuda13"):
        assert f"\n{extra} = [" in text
    assert "cupy-cuda12x" in text
    assert "cupy-cuda13x" in text
    assert '"cupy"' not in text
    assert '"cupy>' not in text
    assert 'conflicts = [[{ extra = "cuda12" }, { extra = "cuda13" }]]' in text


TOP = {
    *("minigan", "examples", "tests", "docs", "bench", ".ci", ".github"),
    *("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "CITATION.cff", "LICENSE"),
    *("pyproject.toml", "Makefile", ".gitignore", ".gitattributes"),
}


def strays(files: list[str]) -> set[str]:
    """What lies at the top of the repository and does not belong there."""
    return {Path(file).parts[0] for file in files} - TOP


def test_the_top_of_the_repository_is_fixed():
    """No run folder and no picture was committed there by mistake."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert strays(listed) == set()
    assert strays([*listed, "run/recipe.json", "a.png"]) == {"run", "a.png"}


def test_a_wheel_has_every_file_that_is_no_python():
    """Scripts and styles of the replay page, CUDA sources: the patterns name all of them."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    listed = subprocess.run(
        ["git", "ls-files", "minigan"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (patterns,) = re.findall(r"package-data\]\nminigan = (\[[^\]]*\])", text)
    files = {ROOT / file for file in listed if not file.endswith(".py")}
    matched = {file for pattern in ast.literal_eval(patterns) for file in PACKAGE.glob(pattern)}
    assert sorted(files - matched) == []


class Installed:
    """The wheel, installed in an environment of its own.

    Args:
        folder: for the wheel and its environment.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run(sys.executable, "-m", "build", "--wheel", "--outdir", folder / "dist", ROOT)
        (wheel,) = (folder / "dist").glob("minigan-*.whl")
        venv.create(folder / "env", with_pip=True)
        self.python("-m", "pip", "install", "--quiet", wheel)

    def run(self, *command: object) -> str:
        """What a command prints; it must succeed."""
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def python(self, *words: object) -> str:
        """What the environment's Python prints."""
        scripts = "Scripts" if sys.platform == "win32" else "bin"
        return self.run(self.folder / "env" / scripts / "python", *words)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Installed:
    """The wheel, built and installed."""
    return Installed(tmp_path_factory.mktemp("wheel"))


@pytest.mark.slow
def test_a_wheel_builds_installs_and_runs(installed, tmp_path):
    out = installed.python(
        "-c",
        "import minigan, pathlib; p = pathlib.Path(minigan.__file__).parent;"
        "print(minigan.__version__, (p / 'py.typed').exists(), p)",
    )
    version, typed, place = out.split(maxsplit=2)
    assert (version, typed) == (minigan.__version__, "True")
    assert str(installed.folder) in place
    installed.python(ROOT / "examples" / "gaussian1d.py", "--steps", 20, "--out", tmp_path / "run")
    installed.python("-m", "minigan", "explain", "Linear")
    installed.python("-m", "minigan", "ninja", "new", tmp_path / "exercises")
    assert len(list((tmp_path / "exercises").glob("ex*.py"))) == len(EXERCISES)


@pytest.mark.slow
def test_a_wheel_replays(visits, installed, tmp_path):
    """It writes a replay without the sources, and Chromium plays it."""
    train = [ROOT / "examples" / "gaussian1d.py", "--steps", 20, "--record", 1]
    installed.python(*train, "--out", tmp_path / "run")
    page = tmp_path / "replay.html"
    installed.python("-m", "minigan", "replay", tmp_path / "run", "--out", page)
    reader = Reader(visits.open(page))
    reader.is_at(0)
    reader.press("End")
    reader.is_at(20)
    assert reader.pixels("density")["colours"] > 10
