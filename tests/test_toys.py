"""Points in the plane: the sources that draw them, and the file that holds one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minigan as mg
from minigan.config import read_back, rebuild
from minigan.data import Plane
from minigan.data.source import require_complete

TOYS = {"ring": mg.Ring, "grid": mg.Grid, "spiral": mg.Spiral, "moons": mg.Moons}


def nearest(X: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each point, the nearest centre and the distance to it."""
    distances = np.hypot(*(X[:, None, :] - centres).transpose(2, 0, 1))  # (n, K)
    return distances.argmin(axis=1), distances.min(axis=1)


@pytest.mark.parametrize("data", [mg.Ring(), mg.Ring(3, 1.0, 0.1), mg.Grid(), mg.Grid(2, 9.0, 1.0)])
def test_modes_are_equally_likely_and_normal(data):
    X, K, n = data.reference(20_000), len(data.modes), 20_000
    which, distance = nearest(X, data.modes)
    assert np.abs(np.bincount(which, minlength=K) / n - 1 / K).max() < 5 * np.sqrt(1 / K / n)
    assert np.sqrt((distance**2).mean() / 2) == pytest.approx(data.std, rel=0.03)
    share = (distance < 3 * data.std).mean()  # 1 - exp(-9/2) of a true Gaussian
    assert share == pytest.approx(1 - np.exp(-4.5), abs=0.005)


def test_where_the_modes_are():
    side = np.sqrt(2.0)
    ring = [[2, 0], [side, side], [0, 2], [-side, side], [-2, 0], [-side, -side], [0, -2]]
    np.testing.assert_allclose(mg.Ring().modes, [*ring, [side, -side]], atol=1e-12)
    places = [-4.0, -2.0, 0.0, 2.0, 4.0]
    assert sorted(mg.Grid().modes.tolist()) == [[x, y] for x in places for y in places]
    assert sorted(mg.Grid(2, 1.0).modes.tolist()) == [
        [x, y] for x in (-0.5, 0.5) for y in (-0.5, 0.5)
    ]
    assert mg.Spiral().modes is mg.Moons().modes is None


def test_a_spiral_is_evenly_covered():
    """Its noise is normal across the curve, and pieces of equal length are equally likely."""
    data = mg.Spiral(turns=2.0, radius=2.0, std=0.001)
    X = data.reference(20_000)
    radius = np.hypot(*X.T)
    turned = np.arctan2(X[:, 1], X[:, 0]) / (2 * np.pi) - radius  # r = 2 t, 2 turns: a = r turns
    far = radius > 0.1  # at the centre the angle is not known
    assert np.abs(turned - np.rint(turned))[far].max() < 0.01
    t = np.linspace(0.0, 1.0, 100_001)
    length = np.cumsum(np.hypot(2.0, 2.0 * t * 4 * np.pi))  # |d(x, y)/dt|, of r = 2 t
    half = np.interp(length[-1] / 2, length, 2.0 * t)
    assert (radius < half).mean() == pytest.approx(0.5, abs=0.015)


def test_moons_are_two_half_circles():
    X = mg.Moons(radius=2.0, std=0.001).reference(20_000)
    centres = np.array([[-1.0, -0.5], [1.0, 0.5]])
    near = np.abs(np.hypot(*(X[:, None, :] - centres).transpose(2, 0, 1)) - 2.0) < 0.01  # (n, 2)
    upper, lower = near[:, 0] & (X[:, 1] > -0.51), near[:, 1] & (X[:, 1] < 0.51)
    assert (upper | lower).all()
    assert upper.mean() == pytest.approx(0.5, abs=0.02)
    assert X[:, 0].min() == pytest.approx(-3.0, abs=0.01)
    assert X[:, 1].max() == pytest.approx(1.5, abs=0.01)


@pytest.mark.parametrize("kind", TOYS)
def test_a_toy_continues_and_is_read_back(kind):
    data = TOYS[kind](seed=3)
    assert isinstance(data, Plane)
    require_complete(data)
    first, again = np.empty((7, 2), "float32"), np.empty((7, 2), "float32")
    data.next_batch(out=first)
    state = data.state()
    data.next_batch(out=first)
    twin = read_back(data, "cpu")
    twin.load_state(state)
    twin.next_batch(out=again)
    np.testing.assert_array_equal(first, again)
    reference = data.reference(5)
    assert reference.shape == (5, 2)
    np.testing.assert_array_equal(TOYS[kind](seed=9).reference(5), reference)


def test_a_population_of_toys():
    both, alone = np.empty((2, 9, 2), "float32"), np.empty((9, 2), "float32")
    mg.Ring(seed=[3, 4]).next_batch(out=both)
    mg.Ring(seed=4).next_batch(out=alone)
    np.testing.assert_array_equal(both[1], alone)


@pytest.mark.parametrize("make", [
    lambda: mg.Ring(count=0),
    lambda: mg.Ring(radius=-1.0),
    lambda: mg.Ring(std=0.0),
    lambda: mg.Grid(side=1.5),
    lambda: mg.Grid(side=1000),
    lambda: mg.Grid(spacing=float("nan")),
    lambda: mg.Spiral(turns=0.0),
    lambda: mg.Moons(std=-1.0),
    lambda: rebuild("data", {"data": "Ring", "colour": 3}, "cpu"),
])  # fmt: skip
def test_invalid_settings_are_refused(make):
    with pytest.raises(mg.ConfigError):
        make()


# -- points of one's own ----------------------------------------------------------------


def write(text: str, name: str = "points.csv") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


@pytest.mark.parametrize("text", ["1,2\n3,4.5\n", "x,y\r\n1,2\r\n3,4.5", "\ufeff1, 2\n\n 3 ,4.5\n"])
def test_points_are_read_with_or_without_names(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = mg.Points(write(text))
    np.testing.assert_array_equal(data.reference(9), [[1.0, 2.0], [3.0, 4.5]])
    assert (data.size, data.form, data.modes) == (2, "plane", None)
    assert data.describe() == "points.csv: 2 points"
    halves = mg.Points("points.csv", unit=2.0)
    np.testing.assert_array_equal(halves.reference(9), [[0.5, 1.0], [1.5, 2.25]])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no points"),
        ("x,y\n", "has no points"),
        ("1,2\n3\n", "line 2: must be two finite numbers with a comma between them, not '3'"),
        ("1,2\n3,4,5\n", "line 2: .*'3,4,5'"),
        ("1;2\n3;4\n", "line 2: .*'3;4'"),
        ("x,2\n", "line 1: .*'x,2'"),
        ("1,2\nx,y\n", "line 2: .*'x,y'"),
        ("1,2\n\n1,nan\n", "line 3: .*'1,nan'"),
        ("1,1e999\n", "line 1: "),
        ("1,1e300\n", "finite as float32"),
    ],
)
def test_a_bad_file_is_refused_in_a_sentence(text, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(mg.DataError, match=said) as error:
        mg.Points(write(text))
    assert "\n" not in str(error.value)


def test_what_is_no_file_of_text_is_refused(tmp_path):
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff\x00")
    with pytest.raises(mg.DataError, match=r"image\.png is not a CSV file"):
        mg.Points(tmp_path / "image.png")
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(mg.FileError, match="cannot read"):
            mg.Points(path)


def test_points_are_found_again_if_they_are_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = mg.Points(write("1,2\n3,4\n"), 5, unit=2.0)
    settings = {name: value for name, value in data.to_config().items() if name != "data"}
    found = mg.Points.find(settings)
    assert found.to_config() == data.to_config()
    monkeypatch.chdir(tmp_path.parent)
    with pytest.raises(mg.DataError, match=r"cannot read points\.csv"):
        mg.Points.find(settings)
    assert mg.Points.find(settings, tmp_path).sha256 == data.sha256
    write("1,2\n3,5\n", f"{tmp_path.name}/points.csv")
    with pytest.raises(mg.DataError, match="trained on other points"):
        mg.Points.find(settings, tmp_path)
    assert mg.Points.stand_in(settings).features == 2
