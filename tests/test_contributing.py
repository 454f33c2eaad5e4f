"""The recipes of CONTRIBUTING.md, followed to the letter in a copy of the package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^## Add an? (\w+)\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE))


def follow(recipe: str, folder: Path) -> None:
    """Write the recipe's file and its examples in a copy of the package, and export its name."""
    copied = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "minigan", folder / "minigan", ignore=copied)
    (folder / "examples").mkdir()
    ((file, code),) = re.findall(
        r"Write\s+`(\S+)`:\n\n```python\n(.*?)^```$", recipe, re.DOTALL | re.MULTILINE
    )
    assert not (ROOT / file).exists()
    (folder / file).write_text(code, encoding="utf-8")
    examples = re.findall(r"^```pycon\n(.*?)^```$", recipe, re.DOTALL | re.MULTILINE)
    (folder / "recipe.txt").write_text("\n".join(examples), encoding="utf-8")
    for name, places in re.findall(r"Export `(\w+)` from (.*?)\. ", recipe, re.DOTALL):
        for place in re.findall(r"`(\S+)`", places):
            module = file.removesuffix(".py").replace("/", ".")
            text = (folder / place).read_text(encoding="utf-8")
            listed = f'\n__all__ += ["{name}"]\n' if "__all__" in text else ""
            text += f"\nfrom {module} import {name}\n{listed}"
            (folder / place).write_text(text, encoding="utf-8")


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "MPLBACKEND": "agg"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_there_are_four_recipes():
    assert list(RECIPES) == ["layer", "loss", "game", "experiment"]


@pytest.mark.parametrize("name", ["layer", "loss", "game"])
def test_a_recipe_gives_what_it_shows(name, tmp_path):
    follow(RECIPES[name], tmp_path)
    assert RECIPES[name].count(">>>") > 5
    done = run(tmp_path, "-m", "doctest", "recipe.txt")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_check_of_a_recipe_notices_a_fault(tmp_path):
    wrong = RECIPES["layer"].replace("np.square(1 + np.abs(self.X))", "(1 + np.abs(self.X))")
    assert wrong != RECIPES["layer"]
    follow(wrong, tmp_path)
    done = run(tmp_path, "-m", "doctest", "recipe.txt")
    assert ">>> mg.gradcheck(net, X).ok" not in done.stderr
    assert "mg.gradcheck(net, X).ok" in done.stdout


def test_the_experiment_has_its_flags_trains_and_resumes(tmp_path):
    follow(RECIPES["experiment"], tmp_path)
    commands = re.findall(r"^    python (.*)$", RECIPES["experiment"], re.MULTILINE)
    help_, dry, train, resume = (run(tmp_path, *command.split()) for command in commands[:4])
    for done in (help_, dry, train, resume):
        assert done.returncode == 0, done.stdout + done.stderr
    assert "--std" in help_.stdout
    assert "of the data" in help_.stdout
    assert "std 0.2" in dry.stdout
    assert "nothing was trained" in dry.stdout
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"narrow"}
    assert "step      40" in train.stdout
    assert "continuing after step 40" in resume.stdout
    assert "step      80" in resume.stdout


def test_make_check_runs_files_that_there_are():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    core = re.search(r"^CORE := (.*)$", makefile, re.MULTILINE)[1].split()
    assert {"golden", "gradients", "gradcheck", "backend", "imports", "configs"} <= {*core}
    for name in core:
        assert (ROOT / "tests" / f"test_{name}.py").is_file(), name


def test_only_the_folders_that_commands_make_are_ignored_by_git():
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"/runs/", "/exercises/"} <= {*lines}
    assert not {"runs/", "exercises/"} & {*lines}  # minigan/lessons/exercises is ours
