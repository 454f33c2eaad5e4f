"""A trunk with two heads: a pass of an InfoGAN's D, and Q behind D's first layers.

D and Q share D's first layers, the *trunk*. Its gradient is the sum of those that Q and D's other
layers, its *head*, send down. The term -weight (E[log Q(c | x)] + H(c)) is over generated samples.
It reaches

    the trunk   in D's half, with D's optimizer: Q's parameters are left alone;
    G and Q     in G's half, each with its own optimizer: D's parameters are left alone.
"""

from __future__ import annotations

from typing import Any

from minigan.backend import Array
from minigan.nn import Pass


class TwoHeads:
    """A pass of D, with Q behind its trunk: Q sees the generated ones among its rows.

    It is used like a `Pass` of D.

    Args:
        game: the InfoGAN whose networks these are.
        rows: of the step's rows: B real samples, then generated ones.
        out, own_gradients, keep_buffers: as of `Pass`. With `keep_buffers` D only passes gradients
            on, and Q learns; without it is the other way round.

    Attributes:
        Y: (rows, 1), D's output.
        guess: Q's output for the generated samples among the rows, (generated rows, k).
    """

    def __init__(self, game: Any, rows: slice, out: Array | None = None, **options: bool):
        self.game = game
        count, batch = rows.stop - rows.start, game.rows
        trunk, head = game._split
        self.trunk, self.head = trunk.bind(count, **options), head.bind(count, out, **options)
        self.Y, self.output_shape = self.head.Y, self.head.output_shape
        game._trunks.append(self.trunk)
        game._heads.append(self.head)
        self.generated = slice(max(0, batch - rows.start), count)
        self.recogniser: Pass | None = None
        if self.generated.start < count:
            learns = options.get("keep_buffers", False)
            n = count - self.generated.start
            self.recogniser = game.recogniser.bind(n, keep_buffers=not learns)
            game._recognisers.append(self.recogniser)
            self.features = self.trunk.Y[..., self.generated, :]  # (generated rows, H)
            first = rows.start + self.generated.start
            self.code = game._condition[..., first : first + n, :]  # (generated rows, k)
            self.guess = self.recogniser.Y
            self.dguess = game.ops.empty(self.guess.shape, game.generator.dtype)

    def forward(self, X: Array, *, train: bool = True) -> Array:
        """D's output (rows, 1); Q's is `guess`."""
        features = self.trunk.forward(X, train=train)  # (rows, H)
        if self.recogniser is not None:
            self.recogniser.forward(self.features, train=train)
        return self.head.forward(features, train=train)

    def backward(
        self, dY: Array, *, parameter_grads: bool = True, input_grad: bool = True
    ) -> Array | None:
        """dX: the trunk gets the sum of the gradients that D's head and Q send down.

        `parameter_grads` is about D's parameters; Q's gradients are computed where D's are not.
        """
        dfeatures: Any = self.head.backward(dY, parameter_grads=parameter_grads)  # (rows, H)
        if self.recogniser is not None:
            self.game.code_gradient(self.guess, self.code, out=self.dguess)
            from_q = self.recogniser.backward(self.dguess, parameter_grads=not parameter_grads)
            generated = dfeatures[..., self.generated, :]  # (generated rows, H)
            self.game.ops.add(generated, from_q, out=generated)
        return self.trunk.backward(
            dfeatures, parameter_grads=parameter_grads, input_grad=input_grad
        )

    def add_gradients(self) -> None:
        """As of a `Pass`."""
        self.trunk.add_gradients()
        self.head.add_gradients()
