"""Where D pushes samples: minus the gradient of G's loss by each of them.

It is the gradient that G's half of a step sends back through D to G, whose samples follow it as far
as G's weights allow.
"""

from __future__ import annotations

from typing import Any, cast

from minigan.backend import Array
from minigan.backend.float_errors import ignore_float_errors
from minigan.gan import Game
from minigan.nn import Sequential


class Push:
    """The pass of D that G's half of a step makes, in evaluation mode, bound once.

    D stays as it is: dropout drops nothing, and running statistics and gradients are not touched.
    Further terms of a game, such as the one for the codes of an InfoGAN, are left out.

    Args:
        game: D and the loss are its own.
        n: how many samples; a multiple of D's pack size.
        condition: (n, condition features), if D reads one.

    Attributes:
        X: (n, features), where the samples are written.
        Y: (P, 1), D's outputs at the latest call; P = n, or n / m for packs of m.
    """

    def __init__(self, game: Game, n: int, condition: Array | None = None) -> None:
        self.game = game
        D = game.discriminator
        self._pass = looking(D, n, condition)
        self.X: Array = self._pass.X  # (n, features)
        self.Y: Array = self._pass.Y  # (P, 1)
        self._dY = game.ops.empty(self.Y.shape, D.dtype)  # (P, 1)

    @ignore_float_errors
    def __call__(self) -> Any:
        """Minus the gradient of G's loss, a mean over P outputs, by X: (n, features) float64."""
        ops, loss = self.game.ops, cast(Any, self.game.loss)
        Y = self._pass.forward(self.X, train=False)  # (P, 1)
        loss.generator_gradient(ops, Y, self._dY)
        return -ops.to_host(self._pass.backward(self._dY, parameter_grads=False)).astype("float64")


def looking(net: Sequential, rows: int, condition: Array | None = None) -> Any:
    """A pass of a network that leaves its gradients and running statistics alone."""
    return net.bind(rows, own_gradients=True, keep_buffers=True, condition=condition)
