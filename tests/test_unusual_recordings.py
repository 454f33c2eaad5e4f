"""Cameras and data that are far from 0, huge, tiny, all the same, or of a user's own class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_cameras import known, look, net

import minigan as mg
from minigan.data import Distribution
from minigan.replay import camera_of
from minigan.replay.scene import check_scene
from minigan.training.frame_format import LEVELS, as_line, parse_header

NOISE, FAR = mg.Normal(), np.array([1e8, -1e8])


def scene_of(camera: Any) -> dict[str, Any]:
    """The scene of a recording as it is read back, if it can be drawn."""
    header = {"form": camera.form, "every": 1, "arrays": camera.arrays, "scene": camera.scene}
    read = parse_header(as_line({"frames": 1, **header}))
    check_scene(read)
    return read["scene"]


class Peak(Distribution):
    """A density that is infinite at 0: sign(z) z^2, z normal with variance 1 / sqrt(3)."""

    mean, std = 0.0, 1.0

    def density(self, x: Any) -> Any:
        with np.errstate(divide="ignore"):
            return 0.525 * np.exp(-np.abs(x) * np.sqrt(0.75)) / np.sqrt(np.abs(x))

    def cdf(self, x: Any) -> Any:
        from scipy import stats

        return stats.norm.cdf(np.sign(x) * np.sqrt(np.abs(x) * np.sqrt(3.0)))


class Unfinished(Peak):
    def cdf(self, x: Any) -> Any:
        raise NotImplementedError("cdf")


@pytest.mark.parametrize(("mean", "std"), [(1e6, 1e-3), (-3e5, 0.01), (0.0, 1e37), (0.0, 1e-30)])
def test_numbers_that_are_far_away_or_huge_or_tiny(mean, std):
    scene = scene_of(camera_of(known(NOISE)[0], mg.Gaussian(mean, std)))
    low, high = scene["span"]
    assert (high - low) / std == pytest.approx(9.0, rel=1e-6)
    exact = (np.array(scene["exact"]) - mean) / std
    np.testing.assert_allclose(exact, scene["z"], atol=1e-3)  # both are standard normal


def test_a_density_that_is_infinite_somewhere():
    camera, _, arrays = look(known(NOISE)[0], Peak())
    density = np.array(scene_of(camera)["density"])
    assert density.argmax() == 60  # at 0
    assert density[60] < 10 * density[59]  # the others can be seen next to it
    assert np.isfinite(arrays["optimal"]).all()


def test_an_error_of_a_users_data_is_named_before_training():
    game = known(NOISE)[0]
    told = "^NumberCamera, called before training: "
    with pytest.raises(mg.CallbackError, match=told + "NotImplementedError: cdf"):
        camera_of(game, Unfinished())
    for std in (0.0, np.nan):
        data = type("Flat", (Peak,), {"std": std})()
        with pytest.raises(mg.ConfigError, match=told + "the standard deviation of the data must"):
            camera_of(game, data)


def rows(X: Any) -> Any:
    """The camera of rows (n, 2), and its scene."""
    game = mg.GAN(net(mg.Linear(1, 2), name="g"), net(mg.Linear(2, 1), name="d"), NOISE)
    camera = camera_of(game, mg.Samples(X, dtype="float64"))
    return camera, scene_of(camera)


@pytest.mark.parametrize("X", [
    np.full((9, 2), 7.0), np.zeros((1, 2)), np.random.default_rng(0).normal(size=(9, 2)) * 1e37,
    np.random.default_rng(0).normal(size=(9, 2)) + FAR,
], ids=["same", "one", "huge", "far"])  # fmt: skip
def test_rows_that_are_the_same_or_huge_or_far_away(X):
    _, scene = rows(X)
    width = scene["span"][0][1] - scene["span"][0][0]
    np.testing.assert_allclose((scene["real"] - X) / width, 0.0, atol=1e-4)


def test_points_of_a_map_are_told_apart():
    """Degrees of longitude and latitude, within half a degree: 160 times as far apart."""
    X = np.random.default_rng(0).uniform(0.0, 0.5, (50, 2)) + np.array([-122.0, 37.0])
    camera, scene = rows(X)
    (after,) = (one for one in camera.arrays if one["name"] == "after")
    low, high = after["range"]
    assert low <= min(ends[0] for ends in scene["span"])
    assert high >= max(ends[1] for ends in scene["span"])
    width = scene["span"][0][1] - scene["span"][0][0]
    assert after["levels"] <= LEVELS
    assert width * (after["levels"] - 1) / (high - low) > 200  # levels within the picture
