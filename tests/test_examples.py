"""Every example, with every recipe and on every set of images, from nothing to its pictures."""

from __future__ import annotations

import dataclasses
import gzip
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import ROOT, load_example

import minigan as mg
from minigan.cli.main import main as minigan
from minigan.data.datasets import FILES
from minigan.evaluation import pictures
from minigan.experiment.images import SOURCES, ImageExperiment
from minigan.experiment.recipe import AUTO, flags_of, goal_of

MODULES = {file.stem: load_example(file.stem) for file in (ROOT / "examples").glob("*.py")}
#: They have tests of their own: two have no Experiment, failures trains all of its recipes.
NOT_TRAINED = {"atlas", "diracgan", "failures"}
EXAMPLES = {name: module for name, module in MODULES.items() if name not in NOT_TRAINED}
SMALL = {
    "steps": 4,
    "epochs": 1,
    "batch": 1000,
    "hidden": 8,
    "channels": 2,
}  # of fields that are flags


CONVOLUTIONAL = ("dcgan", "cgan", "infogan")


def cases() -> Iterator[Any]:
    """An example, a recipe, and a set of images or None for its default data."""
    for name, example in sorted(EXAMPLES.items()):
        for number, recipe in enumerate(example.experiment.recipes.values()):
            of_images = isinstance(example.experiment, ImageExperiment)
            sets = SOURCES[1:] if of_images else (None,)
            for data in sets:
                # Each recipe trains on the digits. The other sets are larger, and differ only in
                # how they are found: one recipe is enough, and of convolutions none.
                other = of_images and data != "digits"
                long = other and (number > 0 or name in CONVOLUTIONAL)
                marks = [pytest.mark.slow] if long else []
                which = f"{name} {recipe.name} {data}"
                yield pytest.param(name, recipe.name, data, id=which, marks=marks)


def clothes(folder: Path) -> None:
    """Four files with the names and the form of Fashion-MNIST's, and noise in them."""
    draw = np.random.default_rng(0)
    (folder / "fashion").mkdir(parents=True)
    for file, n in zip(FILES, (2000, 2000, 100, 100), strict=True):
        shape = (n, 28, 28) if "images" in file else (n,)
        kind = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()
        data = draw.integers(0, 10, shape, dtype=np.uint8).tobytes()
        (folder / "fashion" / f"{file}.gz").write_bytes(gzip.compress(kind + data, 1))


@pytest.fixture
def data_dir(request, data, tmp_path) -> Path | None:
    """Where the files of a set are."""
    if data == "mnist":
        return request.getfixturevalue("mnist_folder")
    if data == "fashion":
        clothes(tmp_path / "data")
        return tmp_path / "data"
    return None


@pytest.mark.parametrize(("name", "recipe", "data"), list(cases()))
def test_smoke(name, recipe, data, data_dir, tmp_path, monkeypatch, capsys, request):
    """It trains, draws, can be resumed, and opens in `minigan show`'s way.

    Figures are painted once for each example and set; painting them would take most of the time.
    """
    if recipe != next(iter(EXAMPLES[name].experiment.recipes)):
        request.getfixturevalue("unpainted")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINIGAN_DATA_DIR", raising=False)
    film = [(f"frame {k}", np.zeros((8, 8), np.uint8)) for k in range(2)]
    draw = pictures.save_film  # its own tests draw long ones
    monkeypatch.setattr(pictures, "save_film", lambda frames, file: draw(film, file))
    experiment = EXAMPLES[name].experiment
    flags = ["--recipe", recipe, "--out", "run", "--threads", "1"]
    for field, flag in flags_of(experiment.recipe(recipe)).items():
        if field in SMALL:
            flags += [flag, str(SMALL[field])]
    flags += ["--data", data] if data else []
    flags += ["--data-dir", str(data_dir)] if data_dir else []
    assert experiment.main(flags) == 0
    run = mg.load_run("run")
    assert run.gan.step_count > 0
    assert run.recipe["name"] == recipe
    assert data is None or run.recipe["data"] == data
    assert len(mg.read_history("run/history.csv")) > 0
    assert [file for file in Path("run").iterdir() if file.suffix in (".png", ".gif")]
    request.getfixturevalue("unpainted")  # the same figures
    again = ["--data-dir", str(data_dir)] if data_dir else []
    assert experiment.main(["--out", "run", "--resume", "--threads", "1", *again]) == 0
    assert "continuing after" in capsys.readouterr().out


def test_every_example_is_one_page():
    for name in MODULES:
        lines = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8").splitlines()
        # Of several recipes, layer by layer; and five bugs.
        networks = 50 if name in ("cgan", "infogan", "failures") else 0
        assert 80 <= len(lines) <= 150 + networks, name


def test_an_example_says_what_it_is():
    for name, example in EXAMPLES.items():
        experiment = example.experiment
        assert experiment.name == name
        assert experiment.help == example.__doc__
        for key, recipe in experiment.recipes.items():
            assert recipe.name == key
            assert f"\n  {key} " in example.__doc__, f"--help of {name} lacks the recipe {key}"
            assert dataclasses.fields(recipe)
            goal = getattr(recipe, goal_of(recipe))
            assert goal == AUTO or goal > 0


def test_a_run_of_an_earlier_version_goes_on(tmp_path, monkeypatch, capsys):
    """tests/old_run was made before trainer and examples were rebuilt (commit 9cdaa78).

    Its flags: --data digits --hidden 2 --threads 1 --epochs 1 --recipe article.
    """
    monkeypatch.chdir(tmp_path)
    shutil.copytree(Path(__file__).with_name("old_run"), "run")
    assert minigan(["show", "run"]) == 0
    assert minigan(["explain", "run"]) == 0
    words = ["--out", "run", "--resume", "--epochs", "2", "--threads", "1"]
    assert EXAMPLES["mnist"].experiment.main(words) == 0
    assert "continuing after epoch 1, step 15" in capsys.readouterr().out
    assert [row["step"] for row in mg.read_history("run/history.csv")] == [15, 29]
    new = ["--data", "digits", "--hidden", "2", "--epochs", "2", "--recipe", "article"]
    assert EXAMPLES["mnist"].experiment.main([*new, "--threads", "1", "--out", "new"]) == 0
    old, new = (mg.load_run(folder).gan.sample(50, seed=1) for folder in ("run", "new"))
    np.testing.assert_allclose(old, new, rtol=1e-3, atol=1e-4)  # another machine's BLAS began it


def test_help_keeps_the_lines_of_the_docstring(capsys):
    for example in MODULES.values():
        with pytest.raises(SystemExit):
            example.main(["--help"])
        out = capsys.readouterr().out.splitlines()
        assert [line for line in example.__doc__.splitlines() if line and line not in out] == []


def test_the_set_that_auto_found_is_found_again(tmp_path, monkeypatch, capsys):
    """Without --out and --data, a resumed run is the latest on any of the sets."""
    monkeypatch.chdir(tmp_path)
    main = EXAMPLES["mnist"].experiment.main
    small = ["--hidden", "2", "--batch-size", "1000", "--threads", "1", "--recipe", "article"]
    assert main(["--data", "digits", "--epochs", "1", *small]) == 0
    (tmp_path / "runs" / "mnist-article-seed0").mkdir()  # of a start that was killed
    assert main(["--resume", "--epochs", "2", "--recipe", "article", "--threads", "1"]) == 0
    assert f"run folder {Path('runs', 'digits-article-seed0')}" in capsys.readouterr().out
    assert main(["--resume", "--data", "mnist", "--recipe", "article"]) == 2
    assert "holds no run" in capsys.readouterr().err
