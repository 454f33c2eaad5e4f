"""The numbers that the pages quote are those of the measured results in bench/results."""

from __future__ import annotations

import csv
import re
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from running import load_script

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = (".md", ".zh-CN.md")


def results(name: str) -> list[dict[str, str]]:
    """The rows of a file of results."""
    with open(ROOT / "bench" / "results" / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def numbers(text: str) -> list[str]:
    """The numbers in a text, as they stand."""
    return re.findall(r"-?\d+(?:\.\d+)?", text.replace(",", " "))


def table(page: str, link: str) -> list[list[str]]:
    """The cells, by row, of the first table after the link to a file of results."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    after = text[text.index(f"bench/results/{link}.md") :]
    lines = re.search(r"(?:^\|.*\n)+", after, re.MULTILINE)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def group(rows: list[dict[str, str]], key: str) -> dict[str, list[dict[str, float]]]:
    """Rows by the text in one column, their other entries as numbers, in the file's order."""
    groups: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        entries = {name: float(value) for name, value in row.items() if name != key}
        groups.setdefault(row[key], []).append(entries)
    return groups


def mean(rows: list[dict[str, float]], name: str) -> float:
    return statistics.fmean(row[name] for row in rows)


@pytest.mark.parametrize("language", LANGUAGES)
def test_scores_of_the_mnist_recipes(language):
    cases = group(results("mnist_recipes"), "case")
    article = [row["frechet"] for row in cases["article"]]
    shown = table(f"mnist{language}", "mnist_recipes")
    for (name, rows), cells in zip(cases.items(), shown, strict=False):
        frechet = [row["frechet"] for row in rows]
        ratio = max(own / other for own, other in zip(frechet, article, strict=True))
        expected = [
            [f"{value:.2f}" for value in frechet],
            [] if name == "article" else ["1", f"{1 / ratio:.0f}"],
            [f"{100 * min(row['smallest_class'] for row in rows):.1f}"],
            [f"{mean(rows, 'speckle'):.2f}"],
            [f"{mean(rows, 'classifier_score'):.2f}"],
            [f"{mean(rows, 'parzen'):.0f}"],
        ]
        assert [numbers(cell) for cell in cells[1:]] == expected, name
    real = cases["article"][0]
    expected = [
        f"{real['frechet_floor']:.2f}",
        f"{real['speckle_real']:.2f}",
        f"{real['classifier_score_real']:.2f}",
        f"{real['parzen_real']:.0f}",
    ]
    assert [shown[-1][i] for i in (1, 4, 5, 6)] == expected
    assert len(shown) == len(cases) + 1


def test_scores_of_the_dcgan():
    rows, dense = results("dcgan"), results("mnist_recipes")
    excess = {
        row["seed"]: float(row["frechet"]) - float(row["frechet_floor"])
        for row in dense
        if row["case"] == "stable"
    }
    shown = table("dcgan.md", "dcgan")
    for row, cells in zip(rows, shown, strict=False):
        own = float(row["frechet"]) - float(row["frechet_floor"])
        assert cells[:2] == [row["case"], row["seed"]]
        assert cells[2:] == [
            f"{float(row['frechet']):.2f}",
            f"{own:.2f}",
            f"{own / excess[row['seed']]:.2f}",
            f"{100 * float(row['smallest_class']):.1f} %",
            f"{float(row['speckle']):.2f}",
            f"{float(row['classifier_score']):.2f}",
        ]
    real = rows[0]
    names = ("frechet_floor", "speckle_real", "classifier_score_real")
    assert [shown[-1][i] for i in (2, 6, 7)] == [f"{float(real[name]):.2f}" for name in names]
    assert len(shown) == len(rows) + 1


def measured(*arguments: str) -> Any:
    """A case of a test; the last argument is a file of results, without which it is skipped."""
    file = ROOT / "bench" / "results" / f"{arguments[-1]}.csv"
    missing = pytest.mark.skipif(not file.exists(), reason=f"{file.name} is not measured yet")
    return pytest.param(*arguments, marks=missing)


@pytest.mark.parametrize("name", [measured("cgan"), measured("infogan")])
def test_scores_of_classes(name):
    """The table is the one that the bench has written."""
    text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    shown = text.partition(f"<!-- table: {name} -->\n")[2].partition("<!-- end -->")[0]
    page = (ROOT / "bench" / "results" / f"{name}.md").read_text(encoding="utf-8")
    assert shown == re.search(r"(?:^\|.*\n)+", page, re.MULTILINE)[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_scores_of_single_changes(language):
    rows = [row for row in results("mnist_changes") if row["case"] != "article"]
    shown = table(f"mnist{language}", "mnist_changes")
    for row, cells in zip(rows, shown, strict=True):
        expected = [f"{float(row['frechet']):.2f}", f"{float(row['speckle']):.2f}"]
        expected.append(f"{float(row['parzen']):.0f}")
        assert [number for cell in cells[1:] for number in numbers(cell)] == expected, row["case"]


def test_scores_of_points_in_the_plane():
    shown = table("toy2d.md", "toy2d_stable")
    for data, cells in zip(("ring", "grid"), shown, strict=False):
        rows = [row for row in results("toy2d_stable") if row["data"] == data]
        of = {name: [float(row[name]) for row in rows] for name in ("high_quality", "reverse_kl")}
        quality, kl = of["high_quality"], of["reverse_kl"]
        assert cells == [
            data,
            str(sum(row["modes"] == row["of_modes"] for row in rows)),
            f"{100 * statistics.median(quality):.1f} % ({100 * min(quality):.1f} %)",
            f"{statistics.median(kl):.4f} ({max(kl):.4f})",
            f"{statistics.median(float(row['spread']) for row in rows):.2f}",
        ]


def test_the_courses_of_two_critics():
    """The page's rank correlations and mean slopes are those of the measured steps."""
    cases = group(results("wgan_course"), "case")
    for (case, rows), cells in zip(cases.items(), table("wgan.md", "wgan_course"), strict=True):
        step, frechet, estimate, slope = (
            np.array([row[name] for row in rows])
            for name in ("step", "frechet", "estimate", "slope")
        )
        late = step > step[-1] / 20
        places = [np.argsort(np.argsort(values[late])) for values in (estimate, frechet)]
        steps = np.diff(step, prepend=0.0)  # a row is the mean over the steps since the one before
        assert cells == [
            case,
            f"{step[-1]:,.0f}",
            f"{frechet[-1]:.1f}",
            f"{np.corrcoef(*places)[0, 1]:.2f}",
            f"{np.average(slope[late], weights=steps[late]):.3f}",
        ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_scores_of_the_gaussian_on_many_seeds(language):
    measured = group(results("gaussian1d_seeds"), "recipe")
    measured["held out"] = group(results("gaussian1d_seeds_held_out"), "recipe")["stable"]
    shown = table(f"gaussian1d{language}", "gaussian1d_seeds_held_out")
    for (name, rows), cells in zip(measured.items(), shown, strict=True):
        off = [abs(row["mean"] - 4) for row in rows]
        wide = [abs(row["std"] - 1.25) for row in rows]
        ks = [row["ks"] for row in rows]
        tv = [row["tv"] for row in rows]
        cleared = [
            a <= 0.015 and b <= 0.015 and c <= 0.012 and d <= 0.05
            for a, b, c, d in zip(off, wide, ks, tv, strict=True)
        ]
        assert numbers(cells[2]) == [str(sum(cleared)), str(len(rows))], name
        values = (max(off), max(wide), max(ks), statistics.median(ks), max(tv))
        for value, cell in zip(values, cells[3:], strict=True):
            digits = len(cell.split(".")[1])
            assert cell == f"{value:.{digits}f}", name


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_readme_quotes_the_scores(language):
    text = (ROOT / f"README{language}").read_text(encoding="utf-8")
    cases = group(results("mnist_recipes"), "case")
    for case, digits in (("article", 0), ("stable", 1)):
        quoted = [f"{row['frechet']:.{digits}f}" for row in cases[case]]
        pattern = r"{}(?:, |、){}(?: and | 和 ){}\b".format(*map(re.escape, quoted))
        assert re.search(pattern, text), quoted
    assert f"{cases['article'][0]['frechet_floor']:.1f}" in text


@pytest.mark.parametrize("name", ["stable", "article-lost", "article-near"])
def test_a_figure_shows_the_run_of_the_results(name):
    svg = (ROOT / "docs" / "figures" / f"gaussian1d-{name}.svg").read_text(encoding="utf-8")
    recipe, seed = re.search(r"recipe '(\w+)', seed (\d+)", svg).groups()
    shown = re.search(r"mean (\S+) \(real 4\), std (\S+) \(real 1.25\), KS (\d\.\d+)", svg).groups()
    runs = {(row["recipe"], row["seed"]): row for row in results("gaussian1d_seeds")}
    run = runs[recipe, seed]
    assert shown == tuple(f"{float(run[column]):.3f}" for column in ("mean", "std", "ks"))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        *(("mnist", "mnist_recipes"), ("dcgan", "dcgan")),
        *(measured("cgan", "cgan"), measured("infogan", "infogan")),
    ],
)
def test_the_kept_samples_are_those_of_the_results(name, file):
    with np.load(ROOT / "docs" / "figures" / f"{name}.npz") as kept:
        for row in results(file):
            if row["case"] in kept and row["seed"] == "0":
                assert f"{kept[row['case'] + '_speckle']:.3f}" == f"{float(row['speckle']):.3f}"
        assert f"{kept['real_speckle']:.3f}" == f"{float(row['speckle_real']):.3f}"


@pytest.mark.parametrize("experiment", ["mnist", "dcgan", "cgan", "infogan"])
def test_the_figures_are_drawn_from_the_kept_samples(experiment, tmp_path, monkeypatch):
    figures = load_script(ROOT / "docs" / "figures.py")
    committed = figures.FIGURES
    monkeypatch.setattr(figures, "FIGURES", tmp_path)
    figures.draw_samples(experiment)
    for name in (f"{experiment}-comparison.png", f"{experiment}-interpolation.png"):
        with Image.open(tmp_path / name) as new, Image.open(committed / name) as old:
            new, old = np.asarray(new), np.asarray(old)
        rows = slice(figures.BAND if "comparison" in name else 0, None)  # not the font's pixels
        np.testing.assert_array_equal(new[rows], old[rows])
