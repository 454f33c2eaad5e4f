"""The gallery of failures: each fails in the way that its page says, and the mend ends it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from harness import registered_only_here
from running import ROOT, load_example

import minigan as mg
from minigan.cli.main import main as minigan
from minigan.evaluation.image_scores import frechet_distance
from minigan.evaluation.modes import score_points
from minigan.training import diagnose

PAGE = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    """The module, with its own five classes: other tests load it again."""
    with registered_only_here():
        yield load_example("failures")


class Run(NamedTuple):
    """What became of a recipe."""

    gan: Any
    data: Any
    rows: list[dict[str, float]]  # of its history
    stopped: str  # the error that ended it, or ""

    @property
    def named(self) -> set[str]:
        """The failures that the health check has named in any row."""
        ends = range(1, len(self.rows) + 1)
        return {one.name for end in ends for one in diagnose(self.rows[:end], self.gan.loss)}

    @property
    def last(self) -> dict[str, float]:
        return self.rows[-1]


@pytest.fixture(scope="module")
def both(example, tmp_path_factory) -> Any:
    """The runs of a failure and of its mend, each as a trainer makes them."""

    def train(name: str) -> Run:
        recipe, folder = example.RECIPES[name], tmp_path_factory.mktemp(name)
        gan, data = example.build(recipe)
        settings = {"batch": recipe.batch, "print_every": recipe.steps // 20, "progress": False}
        trainer, stopped = mg.Trainer(gan, data, folder, **settings), ""
        try:
            trainer.fit(steps=recipe.steps, threads=1)
        except mg.NonFiniteError as error:
            stopped = str(error)
        return Run(gan, data, mg.read_history(folder / "history.csv"), stopped)

    return lambda name: [train(name), train(f"{name}-mended")]


# -- the measures: each is true of a failure, and not of its mend ------------------------


def near(run: Run, mean: float, std: float) -> bool:
    """Whether the samples have about the data's mean and standard deviation."""
    X = run.gan.sample(2000, seed=3)
    return abs(X.mean() - mean) < std and 0.4 < X.std() / std < 1.8


def frechet(run: Run) -> float:
    test = mg.load_images("digits").test.reshape(-1, 64) / 127.5 - 1.0  # (n, 64)
    return frechet_distance(run.gan.sample(2000, seed=3), test)


def copied(run: Run) -> float:
    """How near samples are to the nearest training image, as a share of how near unseen ones are.

    Of the median distances.
    """
    seen = run.data.X / 127.5 - 1.0  # (N, 64)
    unseen = mg.load_images("digits").test.reshape(-1, 64)[:300] / 127.5 - 1.0  # (300, 64)

    def distance(A: Any) -> float:
        squares = (A**2).sum(axis=1)[:, None] + (seen**2).sum(axis=1) - 2 * A @ seen.T  # (300, N)
        return float(np.sqrt(np.median(squares.min(axis=1))))

    return distance(run.gan.sample(300, seed=3)) / distance(unseen)


def as_asked(run: Run) -> float:
    """The share of samples whose class is the one that was asked for."""
    ring, asked = mg.Ring(4, radius=1.0), np.repeat(np.arange(4), 250)
    X = run.gan.sample(1000, seed=3, labels=asked)  # (1000, 2)
    nearest = ((X[:, None] - ring.modes) ** 2).sum(axis=2).argmin(axis=1)  # (1000,)
    return float(np.mean(nearest == asked))


def swing(run: Run) -> float:
    """The standard deviation of the samples' mean over the second half of the run."""
    return float(np.std([row["mean"] for row in run.rows[10:]]))


def lost_modes(run: Run) -> bool:
    return score_points(run.gan.sample(2000, seed=3), run.data).reverse_kl > 0.5


def certain(run: Run) -> bool:
    """Whether D's losses are far below those of a D that cannot tell."""
    return run.last["d_real"] + run.last["d_fake"] < 0.3


def at_its_best(run: Run) -> bool:
    """Whether G's loss, log(1 - D), is at its largest value, which D wants."""
    return run.last["g"] > -0.01


#: By name: what is true of the failure and not of the mend, and what the health check names.
SYMPTOMS: dict[str, tuple[list[Any], set[str]]] = {
    "mode-collapse": ([lost_modes], {"samples collapsed"}),
    "vanishing-gradient": (
        [lambda run: not near(run, 4.0, 0.3), certain, lambda run: run.last["g_grad"] < 1e-6],
        {"D saturated", "G's gradient vanished"},
    ),
    "strong-discriminator": ([lambda run: frechet(run) > 5.0, certain], set()),
    "oscillation": ([lambda run: swing(run) > 1.25], set()),
    "nan": ([lambda run: "no longer finite" in run.stopped], set()),
    "batch-norm": ([lambda run: not near(run, 0.0, 1.0), certain], {"samples collapsed"}),
    "detached": (
        [lambda run: not near(run, 4.0, 1.25), lambda run: run.last["g_grad"] == 0.0, certain],
        {"D saturated", "G's gradient vanished", "samples collapsed"},
    ),
    "wrong-sign": ([lambda run: not near(run, 4.0, 1.25), at_its_best], {"D saturated"}),
    "label-leakage": ([lambda run: as_asked(run) < 0.6, certain], set()),
    "memory": ([lambda run: copied(run) < 0.8], set()),
}


def section(name: str) -> str:
    """The part of the page about a failure, with single spaces."""
    _, *parts = PAGE.split("\n## ")
    (part,) = (part for part in parts if f"failures.py {name}\n" in part)
    return " ".join(part.split())


@pytest.mark.parametrize("name", SYMPTOMS)
def test_it_fails_and_the_mend_ends_it(name, both):
    failed, mended = both(name)
    symptoms, named = SYMPTOMS[name]
    for symptom in symptoms:
        assert symptom(failed)
        assert not symptom(mended)
    assert named <= failed.named
    assert not mended.stopped
    assert diagnose(mended.rows, mended.gan.loss) == []
    # The page quotes what `minigan show` says.
    for failure in diagnose(failed.rows, failed.gan.loss):
        if failure.name in named:
            assert f"! {failure.name}" in section(name)
            assert failure.advice in section(name)


# -- the command and the page -------------------------------------------------------------


def test_all_of_them_are_on_the_page_with_figure_and_change(example):
    names = [name for name in example.RECIPES if f"{name}-mended" in example.RECIPES]
    assert names == [*SYMPTOMS]
    assert len(names) == 10
    for name in names:
        assert f"\n  {name} " in example.__doc__
        text = section(name)
        assert f"(figures/failures-{name}.png)" in text
        assert (ROOT / "docs" / "figures" / f"failures-{name}.png").exists()
        failing, mended = example.RECIPES[name], example.RECIPES[f"{name}-mended"]
        (field,) = (
            field
            for field in vars(failing)
            if field != "name" and getattr(failing, field) != getattr(mended, field)
        )
        assert f"{field}=" in text or field in ("game", "loss", "images"), field


def test_without_a_name_they_are_listed(example, capsys):
    assert example.main([]) == 0
    assert capsys.readouterr().out == f"{example.__doc__}\n"


def test_mended_is_a_recipe(example, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["--threads", "1", "--steps"]
    assert example.main(["detached", *small, "4", "--mended"]) == 0
    (folder,) = Path("runs").iterdir()
    assert folder.name == "failures-detached-mended-seed0"
    assert (folder / "failures.png").exists()
    capsys.readouterr()
    assert minigan(["show", str(folder)]) == 0
    assert '"detached-mended"' in capsys.readouterr().out
    assert example.main(["detached", "--mended", "--resume", *small, "8"]) == 0
    assert "continuing after step 4" in capsys.readouterr().out


def test_a_bug_is_a_class_that_a_run_can_be_opened_with(example, tmp_path):
    """All five are registered."""
    for name in ("nan", "batch-norm", "detached", "wrong-sign", "label-leakage"):
        recipe = example.RECIPES[name]
        trainer = mg.Trainer(*example.build(recipe), tmp_path / name, batch=8, progress=False)
        trainer.fit(steps=2)
        opened = mg.load_run(tmp_path / name).gan
        assert {type(opened).__name__, type(opened.loss).__name__} == {recipe.game, recipe.loss}
        assert "failures" in (type(opened).__module__, type(opened.loss).__module__)


def test_an_unknown_name_is_answered_with_the_known_ones(example, capsys):
    with pytest.raises(SystemExit) as ended:
        example.main(["colapse"])
    assert ended.value.code == 2
    assert "invalid choice: 'colapse' (choose from" in capsys.readouterr().err
