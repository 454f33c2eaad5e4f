"""Recordings of a run: what their frames hold, and how they are shown."""

from __future__ import annotations

from typing import Any

from minigan.data import DataSource
from minigan.errors import ConfigError
from minigan.evaluation import form_of
from minigan.gan import Game
from minigan.replay.camera import Camera
from minigan.replay.images import ImageCamera
from minigan.replay.number import NumberCamera
from minigan.replay.plane import PlaneCamera, VectorCamera
from minigan.replay.recorder import Recorder
from minigan.training.callbacks import call_named

__all__ = ["CAMERAS", "Camera", "Recorder", "camera_of"]

CAMERAS: dict[str, Any] = {
    kind.form: kind for kind in (NumberCamera, ImageCamera, VectorCamera, PlaneCamera)
}


def camera_of(game: Game, data: DataSource) -> Camera:
    """What records a game on these data, by their form.

    Raises:
        ConfigError: a population; or data of an unknown form, or without what their form needs.
        CallbackError: a method of the data, or of another class of a user's, failed.
    """
    if game.population:
        raise ConfigError("a population cannot be recorded: record the run of one GAN")
    form_of(data)
    # It calls what training may never call, such as the density of a user's data.
    camera: Camera = call_named(CAMERAS[data.form], "called before training", game, data)
    return camera
