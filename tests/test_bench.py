"""The benches' own machinery; what they measure is under bench/results/."""

from __future__ import annotations

import csv
import dataclasses
import io
import json

import numpy as np
import pytest

import minigan as mg
from bench import cgan, dcgan, image_recipes, infogan, mnist_recipes, wgan
from examples.cgan import RECIPES as CONDITIONAL
from examples.dcgan import RECIPES as CONVOLUTIONS
from examples.infogan import RECIPES as INFORMATION
from examples.mnist import RECIPES

SMALL = {"data": "digits", "hidden": 4, "epochs": 1, "batch": 100}
TINY = {
    "mnist": dataclasses.replace(RECIPES["stable"], **SMALL),
    "dcgan": dataclasses.replace(CONVOLUTIONS["stable"], **SMALL, channels=2),
    "cgan": dataclasses.replace(CONDITIONAL["dense"], **SMALL),
    "infogan": dataclasses.replace(INFORMATION["stable"], **SMALL, networks="dense"),
}


@pytest.fixture(autouse=True)
def scores_that_cost_nothing(monkeypatch):
    def score(words):
        print('{"frechet": 1.0, "histogram": [0.1], "speckle": 0.0, "seed": 0}')
        return 0

    monkeypatch.setattr(image_recipes, "minigan", score)


@pytest.mark.parametrize("example", TINY)
def test_a_bench_that_was_stopped_goes_on(example, tmp_path, monkeypatch):
    fit = mg.Trainer.fit

    def stopped(*args, **settings):
        raise KeyboardInterrupt

    job = image_recipes.Job(example, "stable", TINY[example], 3, tmp_path, None)
    monkeypatch.setattr(mg.Trainer, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):  # in its first epoch, before any checkpoint
        image_recipes.measure(job)
    monkeypatch.setattr(mg.Trainer, "fit", fit)
    assert image_recipes.measure(job)["seed"] == 3
    assert mg.load_run(tmp_path / "stable-seed3").gan.step_count == 15

    def trained(*args, **settings):
        raise AssertionError("a finished run was trained again")

    monkeypatch.setattr(mg.GAN, "step", trained)
    image_recipes.measure(job)  # finished: only scored again


def test_runs_of_another_recipe_are_refused(tmp_path):
    job = image_recipes.Job("mnist", "stable", TINY["mnist"], 0, tmp_path, None)
    image_recipes.measure(job)
    other = job._replace(recipe=dataclasses.replace(job.recipe, fake_target=0.1))
    with pytest.raises(mg.ConfigError, match="another recipe"):
        image_recipes.measure(other)


def test_rates_are_a_factor_on_both():
    recipe = image_recipes.changed(CONVOLUTIONS, "stable, rates doubled", {"rates": 2.0})
    own = CONVOLUTIONS["stable"]
    assert (recipe.d_lr, recipe.g_lr) == (2.0 * own.d_lr, 2.0 * own.g_lr)
    assert (recipe.name, recipe.data, recipe.epochs) == ("stable", "mnist", 10)


@pytest.mark.parametrize("bench", [cgan, dcgan, infogan, mnist_recipes, wgan])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--out", "x.txt"], "must be a .md file"),
        (["--out", "no/such/x.md"], "must be a .md file"),
    ],
)
def test_refusals_come_before_the_work(bench, words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        bench.main(words)
    assert end.value.code == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# -- classes ----------------------------------------------------------------------------

CLASSES = {
    "case": "stable",
    "seed": 1,
    "gan_test": 0.9931,
    "gan_test_real": 0.9939,
    "worst": 0.985,
    "worst_real": 0.989,
    "class_variance": 90.0,
    "class_variance_real": 100.0,
    "gan_train": 0.981,
    "gan_train_real": 0.992,
    "frechet": 3.456,
    "frechet_floor": 1.46,
}
CODES = {
    "case": "stable",
    "seed": 1,
    "category_accuracy": 0.97,
    "slant": [0.1, -0.8],
    "width": [0.5, 0.2],
    "frechet": 4.0,
}


def test_the_table_of_the_conditional_gan():
    """Variance is a fraction of that of real images; the last row is theirs."""
    assert cgan.table([CLASSES])[2:] == [
        "| stable | 1 | 99.31 % | 98.50 % | 0.90 | 98.10 % | 3.46 |",
        "| real images |  | 99.39 % | 98.90 % | 1.00 | 99.20 % | 1.46 |",
    ]


def test_the_table_of_the_infogan():
    """Of several codes, the correlation that is largest without its sign, and with it."""
    assert infogan.table([CODES])[2:] == ["| stable | 1 | 97.00 % | -0.80 | +0.50 | 4.00 |"]


def test_the_summary_of_the_infogan_is_that_of_stable():
    rows = [CODES | {"category_accuracy": share} for share in (0.97, 0.61, 0.98)]
    other = CODES | {"case": "stable, without consistency", "category_accuracy": 0.3}
    text = infogan.summary([*rows, other])
    assert text.startswith("The 3 seeds of `stable`: median accuracy 97.00 %, worst 61.00 %")


@pytest.mark.parametrize(("bench", "rows"), [(cgan, CLASSES), (infogan, CODES)])
def test_a_page_of_classes(bench, rows, tmp_path, monkeypatch):
    """The whole command, its runs replaced: a row for each case and seed, also in the CSV."""
    asked = []

    def measure(jobs, at_a_time):
        asked.extend(jobs)
        more = {"n": 10_000}
        return [
            rows | more | {"case": job.case, "seed": job.seed, "epochs": job.recipe.epochs}
            for job in jobs
        ]

    monkeypatch.setattr(bench, "measure_all", measure)
    assert bench.main(["--out", str(tmp_path / "x.md")]) == 0
    page, table = ((tmp_path / f"x.{end}").read_text() for end in ("md", "csv"))
    assert {job.recipe.data for job in asked} == {"mnist"}
    assert {(job.case, job.seed) for job in asked} >= {("stable", 0), ("stable", 2)}
    assert f"{asked[0].recipe.epochs} epochs" in page
    for job in asked:
        assert f"\n| {job.case} | {job.seed} |" in page
    named = [*csv.DictReader(io.StringIO(table))]
    assert [(row["case"], int(row["seed"])) for row in named] == [
        (job.case, job.seed) for job in asked
    ]
    column = "gan_train" if bench is cgan else "category_accuracy"
    assert {float(row[column]) for row in named} == {rows[column]}


# -- recipes at equal time, and the critic's estimate ------------------------------------


class Judge:
    """A classifier that cost no training: its features are some pixels."""

    def features(self, images):
        return images.reshape(len(images), -1)[:, 20:24].astype(np.float64)


@pytest.fixture
def small_wgan(monkeypatch):
    """The bench on scikit-learn's digits, with few stops and samples."""
    scores = dict.fromkeys(image_recipes.COLUMNS, 1.0) | {"histogram": [0.1], "n": 20}

    def score(words):
        print(json.dumps(scores))
        return 0

    monkeypatch.setattr(image_recipes, "minigan", score)
    monkeypatch.setattr(wgan, "load_classifier", lambda images: Judge())
    for name, value in {"DATA": "digits", "FEW": 4, "FIRST": 1, "SAMPLES": 20}.items():
        monkeypatch.setattr(wgan, name, value)


def test_the_stops_of_a_run_are_evenly_spaced_in_its_logarithm():
    stops = wgan.stops_of(40_000, 60)
    assert (stops[0], stops[-1]) == (10, 40_000)
    assert np.ptp(np.diff(np.log(stops[20:]))) < 0.01
    assert wgan.stops_of(3, 60) == [3]


@pytest.mark.usefixtures("small_wgan")
def test_a_course_that_was_stopped_goes_on(tmp_path, monkeypatch):
    whole = wgan.Settings(0.0, 1, 4, 4, tmp_path / "whole", None)
    scores, course = wgan.measure("gradient_penalty", whole)
    assert course.steps == [1, 2, 3, 5] == [row["step"] for row in course.rows]
    assert (scores["epochs"], scores["steps"], scores["case"]) == (1, 5, "gradient_penalty")
    step = mg.GAN.step

    def stopped(self, real=None):
        if self.step_count == 4:
            raise KeyboardInterrupt
        step(self, real)

    monkeypatch.setattr(mg.GAN, "step", stopped)
    cut = whole._replace(runs=tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        wgan.measure("gradient_penalty", cut)
    monkeypatch.setattr(mg.GAN, "step", step)
    scores, again = wgan.measure("gradient_penalty", cut)
    assert again == course
    time_taken = scores["minutes"]

    def trained(*args, **settings):
        raise AssertionError("a finished run was trained again")

    monkeypatch.setattr(mg.GAN, "step", trained)
    scores, again = wgan.measure("gradient_penalty", cut)
    assert again == course
    assert time_taken <= scores["minutes"] < time_taken + 1


def test_the_beginning_of_a_course_is_left_out():
    """And a row's weight in the mean slope is its number of steps."""
    steps = [1, 5, 50, 100]
    rows = [{"estimate": e, "slope": s} for e, s in ((0, 9.0), (1, 9.0), (5, 1.0), (4, 2.0))]
    correlation, slope = wgan.judged(wgan.Course(steps, [9.0, 8.0, 7.0, 6.0], rows))
    assert correlation == pytest.approx(1.0)
    assert slope == pytest.approx((45 * 1.0 + 50 * 2.0) / 95)


@pytest.mark.usefixtures("small_wgan")
def test_the_time_of_a_step_decides_how_many_epochs_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(wgan, "seconds_a_step", lambda *args: 0.25)
    settings = wgan.Settings(10.0, 1, 4, 4, tmp_path, None)
    assert wgan.recipe_of("gradient_penalty", settings).epochs == 8  # of 5 steps
    assert wgan.recipe_of("plain GAN, stable", settings).epochs == 3  # of 15


@pytest.mark.usefixtures("small_wgan")
def test_the_pages_of_the_critics(tmp_path, monkeypatch):
    verdicts = iter([(0.5, 1.15), (0.9, 1.05)])  # of gradient_penalty, of stable
    monkeypatch.setattr(wgan, "judged", lambda course: next(verdicts))
    words = ["--quick", "--out", str(tmp_path / "x.md"), "--runs", str(tmp_path / "runs")]
    assert wgan.main(words) == 0  # only stable is held to the bars
    assert "| gradient_penalty | 0 | 1.00 | 1 |" in (tmp_path / "x.md").read_text()
    page = (tmp_path / "x_course.md").read_text()
    assert "`gradient_penalty`: correlation 0.500, mean slope 1.150. A bar is missed." in page
    assert "`stable`: correlation 0.900, mean slope 1.050. Both bars are cleared." in page
    assert "bench.wgan --quick --threads 2 --cases gradient_penalty stable`" in page
    for case in wgan.FOLLOWED:
        course = json.loads((tmp_path / "runs" / f"{case}-seed0" / wgan.COURSE).read_text())
        rows = [line for line in page.splitlines() if line.startswith(f"| {case} |")]
        assert [int(row.split("|")[2]) for row in rows] == [*map(int, course["frechet"])]
    lines = (tmp_path / "x_course.csv").read_text().splitlines()
    assert len(lines) == 1 + page.count("\n| gradient_penalty |") + page.count("\n| stable |")
    for missed in ((0.79, 1.0), (0.9, 1.11), (0.9, 0.89)):
        monkeypatch.setattr(wgan, "judged", lambda course, missed=missed: missed)
        assert wgan.main(words) == 1


@pytest.mark.usefixtures("small_wgan")
def test_no_bar_without_stable(tmp_path, monkeypatch):
    monkeypatch.setattr(wgan, "judged", lambda course: (0.0, 2.0))
    words = ["--quick", "--out", str(tmp_path / "x.md"), "--runs", str(tmp_path / "runs")]
    assert wgan.main([*words, "--cases", "gradient_penalty"]) == 0
    assert (tmp_path / "x_course.csv").exists()
