"""Frames of images: a grid of samples, what D says of each, and how hard it pushes it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minigan.backend.float_errors import ignore_float_errors
from minigan.data import Images
from minigan.evaluation.grids import SEED, shown_classes
from minigan.evaluation.grids import SHOWN as WITHOUT_CLASSES
from minigan.evaluation.response import as_shown
from minigan.gan import Game
from minigan.replay.camera import COARSE, GREY, Camera, Shown, output_of

OF_A_CLASS = 4  # images


class ImageCamera(Camera):
    """Grey images, of the network that samples are drawn with: the averaged G if there is one.

    The arrays of a frame, all of the images after the step:

    after: (N, h w), in [-1, 1]: 25 images, or 4 of each class, class after class. Image i of every
        class is of the same noise.
    score: (N,) D's output for each.
    push: (N,) the norm of the gradient of G's loss by each.
    """

    form: ClassVar[str] = "image"

    def __init__(self, game: Game, data: Images) -> None:
        super().__init__(game, data)
        labels, to_host = shown_classes(game), game.ops.to_host
        if labels:
            drawn = [game.draw_condition(OF_A_CLASS, SEED, label) for label in labels]
            noise = np.tile(to_host(game.draw_noise(OF_A_CLASS, SEED)), (len(labels), 1))
            self.shown = Shown(game, game.sampler, noise, np.concatenate([*map(to_host, drawn)]))
        else:
            self.shown = Shown.drawn(game, game.sampler, WITHOUT_CLASSES)
        output, ends = output_of(game)
        n = self.shown.n
        self.array("after", (n, data.features), GREY, (-1.0, 1.0))
        self.array("score", (n,), COARSE, ends)
        self.array("push", (n,), COARSE)
        self.scene |= {
            "shape": [*data.shape],
            "columns": OF_A_CLASS if labels else 5,
            "labels": np.repeat(labels, OF_A_CLASS).tolist() if labels else None,
            "output": output,
        }

    def before(self, game: Game) -> None:
        """Nothing: only the images after a step are shown."""

    @ignore_float_errors
    def take(self, game: Game) -> tuple[dict[str, float], dict[str, Any]]:
        self.shown.hold()
        after, push, Y = self.shown.pushed()  # (N, h w), (N, h w), (N,)
        norms = np.sqrt((push**2).sum(axis=1))  # (N,)
        return {}, {"after": after, "score": as_shown(Y, game.loss.output)[0], "push": norms}
