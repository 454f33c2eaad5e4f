"""The plan of the house: imports run one way, and nobody but the backend does arithmetic on a GPU.

backend -> nn -> gan -> training -> replay -> experiment -> sweeps -> cli
data next to nn, evaluation next to training
"""

from __future__ import annotations

import ast
import functools
import shutil
from pathlib import Path

import pytest

import minigan

PACKAGE = Path(minigan.__file__).parent
ROOT_MODULES = {
    "checks",
    "command_line",
    "config",
    "errors",
    "files",
    "fixed",
    "reading",
    "text",
    "version",
}  # belong to no package; import nothing but each other
MAY_IMPORT = {
    "backend": set(),
    "nn": {"backend"},
    "gan": {"backend", "nn"},
    "data": {"backend"},
    "evaluation": {"backend", "nn", "gan", "data"},
    "parallel": {"backend", "nn", "gan"},
    "training": {"backend", "nn", "gan", "data", "parallel"},
    "lessons": {"backend", "nn", "gan", "data", "training"},
    "replay": {"backend", "nn", "gan", "data", "evaluation", "training"},
    "experiment": {"backend", "gan", "data", "evaluation", "parallel", "training", "replay"},
    "sweeps": {
        *("backend", "nn", "gan", "data", "evaluation", "training", "experiment", "lessons"),
        "parallel",
    },
    # the top floor
    "cli": {
        *("backend", "nn", "gan", "data", "evaluation", "training", "experiment", "lessons"),
        *("replay", "sweeps"),
    },
}


parse = functools.cache(ast.parse)  # many tests read the same texts


def imports(path: Path) -> set[str]:
    """The minigan modules that a file imports, anywhere in it: {"nn.layer", ...}."""
    found = set()
    for node in ast.walk(parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the direction"
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names] + [module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {n.removeprefix("minigan.") for n in names if n.startswith("minigan.")}
    return found


def violations(package: Path) -> list[str]:
    """Every arrow that runs back, and every circle between files."""
    wrong = []
    graph: dict[str, set[str]] = {}
    files = {
        ".".join(p.relative_to(package).with_suffix("").parts).removesuffix(".__init__"): p
        for p in package.rglob("*.py")
    }
    for name, path in files.items():
        subpackage = name.split(".")[0]
        targets = imports(path)
        graph[name] = {t for t in targets if t in files and t != name}
        if name in ("__init__", "__main__"):  # the doors: of the library, and of the command
            continue
        for target in targets:
            other = target.split(".")[0]
            if subpackage in ROOT_MODULES:
                allowed = other in ROOT_MODULES
            else:
                allowed = other in {subpackage} | ROOT_MODULES | MAY_IMPORT[subpackage]
            if not allowed:
                wrong.append(f"{name} imports {target}")
    # A file may import its own package's __init__ only if that does not lead back to it.
    for name in files:
        seen, todo = set(), list(graph[name])
        while todo:
            target = todo.pop()
            if target == name:
                wrong.append(f"{name} is on a circle")
                break
            if target not in seen:
                seen.add(target)
                todo += graph[target]
    return sorted(wrong)


def test_imports_run_one_way():
    assert violations(PACKAGE) == []


def test_every_wing_has_a_rule():
    packages = {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert packages == set(MAY_IMPORT)


ARROWS_BACK = [
    ("backend/numpy/losses.py", "from minigan.nn import Linear", "backend.numpy.losses imports"),
    ("nn/losses.py", "import minigan.gan.gan", "nn.losses imports"),
    ("gan/gan.py", "from minigan.training import Trainer", "gan.gan imports"),
    ("training/trainer.py", "from minigan.evaluation import plots", "training.trainer imports"),
    ("data/gaussian.py", "from minigan.nn import Linear", "data.gaussian imports"),
    ("errors.py", "from minigan.backend import Stream", "errors imports"),
    ("config.py", "from minigan.nn import Layer", "config imports"),
    ("text.py", "from minigan.gan import Game", "text imports"),
    ("command_line.py", "from minigan.training import Trainer", "command_line imports"),
    (
        "experiment/recipe.py",
        "from minigan.cli.common import add_best",
        "experiment.recipe imports",
    ),
    ("training/trainer.py", "from minigan.experiment import flag", "training.trainer imports"),
    ("replay/recorder.py", "from minigan.experiment import flag", "replay.recorder imports"),
    ("experiment/recipe.py", "from minigan.sweeps import sweep", "experiment.recipe imports"),
    ("training/frames.py", "from minigan.replay import page", "training.frames imports"),
    ("data/source.py", "from minigan.evaluation import FORMS", "data.source imports"),
    ("nn/layer.py", "from minigan.nn.passes import Pass", "nn.layer is on a circle"),
]


@pytest.mark.parametrize(("file", "line", "complaint"), ARROWS_BACK)
def test_an_arrow_turned_round_is_noticed(file, line, complaint, tmp_path):
    copy = tmp_path / "minigan"
    shutil.copytree(PACKAGE, copy)
    path = copy / file
    path.write_text(path.read_text(encoding="utf-8") + f"\n\ndef late():\n    {line}\n")
    assert any(complaint in v for v in violations(copy)), violations(copy)


def test_only_the_backend_names_cupy():
    for path in PACKAGE.rglob("*.py"):
        tree = parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(name.split(".")[0] == "cupy" for name in names):
                assert path.parent == PACKAGE / "backend" / "cuda"


def test_layers_and_gan_do_no_array_arithmetic_of_their_own():
    """Contract of the hot path: layers and optimizers speak to `ops`, never to NumPy."""
    for path in [*(PACKAGE / "nn" / "layers").glob("*.py"), PACKAGE / "nn" / "optim.py"]:
        assert "import numpy" not in path.read_text(encoding="utf-8"), path


@functools.cache
def class_names() -> set[str]:
    """Every class of the package."""
    trees = [parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")]
    return {
        node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    }


def compared_names(text: str, names: set[str]) -> list[str]:
    """Where a class is told by its name: compared as a string, matched, or looked up in a table."""
    found = []
    for node in ast.walk(parse(text)):
        parts: list[ast.AST | None] = []
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            parts = [node.value]
        elif isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.value, ast.Dict):
            parts = list(node.value.keys)
        inner = [one for part in parts if part is not None for one in ast.walk(part)]
        for one in inner:
            if isinstance(one, ast.Constant) and one.value in names:
                found.append(f"line {node.lineno}: {one.value!r}")
            if ast.unparse(one).startswith("type(") and ast.unparse(one).endswith(").__name__"):
                found.append(f"line {node.lineno}: {ast.unparse(one)}")
    return found


def test_no_class_is_told_by_its_name():
    """Whether something is a Gaussian is asked of the class (`form`), never of a string."""
    names = class_names()
    found = {
        path.relative_to(PACKAGE): compared_names(path.read_text(encoding="utf-8"), names)
        for path in PACKAGE.rglob("*.py")
    }
    assert {file: lines for file, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "line",
    [
        'if config["data"] == "Gaussian": pass',
        'if data.get("data") in ("Samples", "Images"): pass',
        'size = {"Samples": 2, "Images": 3}.get(name)',
        "if type(layer).__name__ != other: pass",
        'match name:\n    case "Linear":\n        pass',
    ],
)
def test_a_class_told_by_its_name_is_noticed(line):
    assert compared_names(line, class_names())


def test_the_clock_is_in_small_files():
    for path in (PACKAGE / "training").rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 300, path
