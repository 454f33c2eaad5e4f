"""The README keeps its word: its code runs, and what it quotes is what the source says."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import minigan as mg

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def methods(tree: ast.AST) -> dict[str, str]:
    """Functions by name, without type annotations or formatting."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            for argument in [*node.args.args, *node.args.kwonlyargs]:
                argument.annotation = None
            found[node.name] = ast.dump(node)
    return found


def test_readme_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mg.Trainer, "fit", lambda self, steps: None)  # the demo tests train
    first, _, gan = BLOCKS
    names: dict[str, object] = {}
    exec(first, names)
    exec(gan, names)
    out = capsys.readouterr().out
    assert "passed" in out
    assert float(re.search(r"loss (\S+)", out).group(1)) < 0.1


def test_readme_quotes_linear_as_it_is():
    _, quoted, _ = BLOCKS
    source = (ROOT / "minigan" / "nn" / "layers" / "linear.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    (linear_pass,) = [n for n in ast.walk(tree) if getattr(n, "name", "") == "LinearPass"]
    real = methods(linear_pass)
    for name, text in methods(ast.parse(textwrap.dedent(quoted))).items():
        assert text == real[name], name


@pytest.mark.parametrize("page", [p.relative_to(ROOT) for p in ROOT.glob("docs/*.md")], ids=str)
def test_links_and_pictures_of_the_docs_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


def test_tests_that_the_docs_name_exist():
    there = {
        name
        for file in (ROOT / "tests").glob("test_*.py")
        for name in re.findall(r"def (test_\w+)\(", file.read_text(encoding="utf-8"))
    }
    named = {
        name
        for page in ROOT.glob("docs/*.md")
        for name in re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= there, named - there


def test_links_of_the_readme_exist():
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target


def test_every_public_name_has_a_docstring():
    for name in mg.__all__:
        if not name.startswith("_"):
            assert (getattr(mg, name).__doc__ or "").strip(), name


SLOW = ["matplotlib", "scipy", "tqdm", "sklearn", "pooch", "requests", "PIL"]
SLOW += ["importlib.metadata", "cupy", "joblib"]


def test_what_is_imported_later_is_there():
    code = (
        "import minigan as mg; from minigan import *; assert set(mg.__all__) <= set(dir(mg));"
        "mg.training.Trainer is Trainer and mg.evaluation and mg.data and mg.cli and mg.experiment;"
        "mg.gradcheck"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = mg.nonsense


def test_importing_minigan_imports_nothing_slow():
    code = f"import minigan, sys; print([m for m in {SLOW} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
