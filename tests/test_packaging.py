"""What is installed is what was written: one version, typed, and a wheel that works alone."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

import minigan
from minigan.lessons.exercise_definitions import EXERCISES

ROOT = Path(__file__).resolve().parent.parent


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


@pytest.mark.slow
def test_a_wheel_builds_installs_and_runs(tmp_path):
    def run(*command: object) -> str:
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "dist", ROOT)
    (wheel,) = (tmp_path / "dist").glob("minigan-*.whl")
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel)
    out = run(
        python,
        "-c",
        "import minigan, pathlib; p = pathlib.Path(minigan.__file__).parent;"
        "print(minigan.__version__, (p / 'py.typed').exists(), p)",
    )
    version, typed, place = out.split(maxsplit=2)
    assert (version, typed) == (minigan.__version__, "True")
    assert str(tmp_path) in place
    run(python, ROOT / "examples" / "gaussian1d.py", "--steps", 20, "--out", tmp_path / "run")
    run(python, "-m", "minigan", "explain", "Linear")
    run(python, "-m", "minigan", "ninja", "new", tmp_path / "exercises")
    assert len(list((tmp_path / "exercises").glob("ex*.py"))) == len(EXERCISES)
