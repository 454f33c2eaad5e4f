"""The buffers of a pass, and which layers may share one.

An activation may write its output over its input, which saves memory and time. That is safe when
no backward needs the overwritten values: see `in_place`, `needs` and `keeps_signs` of `Layer`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from minigan.backend import Array
from minigan.nn.layer import Layer, Needs


def shared_outputs(layers: Sequence[Layer]) -> list[bool]:
    """For each layer: whether its output Y takes the place of its input.

    A layer writes over its input if it can, and if every layer that shares the buffer can
    still run backward: it needs nothing of its output, or only signs, which are kept.
    """
    shares = []
    needs = Needs.VALUES  # the network's input belongs to the caller
    for layer in layers:
        over = layer.in_place and (
            needs is Needs.NOTHING or (needs is Needs.SIGNS and layer.keeps_signs)
        )
        needs = max(needs, layer.needs) if over else layer.needs
        shares.append(over)
    return shares


class Memory:
    """Creates the buffers of a pass, and keeps them in order.

    Args:
        create: shape -> a new array.
    """

    def __init__(self, create: Callable[[tuple[int, ...]], Array]) -> None:
        self.create = create
        self.arrays: list[Array] = []

    def __call__(self, shape: tuple[int, ...], out: Array | None = None) -> Array:
        """A buffer of that shape; `out`, if the caller has it already."""
        self.arrays.append(self.create(shape) if out is None else out)
        return self.arrays[-1]

    def lay_out(
        self,
        layers: Sequence[Layer],
        shapes: Sequence[tuple[int, ...]],
        out: Array | None,
        apart: bool,
    ) -> tuple[list[Array], list[Array]]:
        """Y and dX for each layer.

        Args:
            layers: the network's.
            shapes: of what goes into each layer, and of the output.
            out: the Y of the last layer, if the caller has it already.
            apart: whether no two of them may share memory.
        """
        n = len(layers)
        over_input = [False] * n if apart else shared_outputs(layers)
        last_new = max(i for i, over in enumerate(over_input) if not over)
        outputs: list[Array] = []
        for i, over in enumerate(over_input):
            given = out if i == last_new else None
            outputs.append(outputs[-1] if over else self(shapes[i + 1], given))
        input_grads: list[Array] = [None] * n
        for i in reversed(range(n)):
            over_dY = layers[i].in_place and i + 1 < n and not apart  # the last dY is the caller's
            input_grads[i] = input_grads[i + 1] if over_dY else self(shapes[i])
        return outputs, input_grads

    def rows(self, start: int, total: int) -> Memory:
        """Memory that hands out these buffers' rows from `start` on; `total` is all their rows."""
        whole = iter(self.arrays)

        def part(shape: tuple[int, ...]) -> Array:
            """The part, of that shape, of the next buffer. An axis of the same length is whole."""
            array = next(whole)
            firsts = [start * n // total for n in array.shape]
            return array[
                tuple(
                    slice(None) if n == length else slice(first, first + length)
                    for n, length, first in zip(array.shape, shape, firsts, strict=True)
                )
            ]

        return Memory(part)
