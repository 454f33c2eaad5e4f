"""Parameters as one flat buffer, with a named view for every weight and bias.

        data  [ 0.weight ...... | 0.bias | 2.weight .... | 2.bias ]     (n,)
        grad  [ 0.weight ...... | 0.bias | 2.weight .... | 2.bias ]     (n,)

Because the views share the buffer's memory, writing a gradient into its view fills the
flat one, an optimizer step is one pass over contiguous numbers, and the norm of the
whole gradient is one reduction. A population of S networks adds an axis in front:
data (S, n), and every view (S, ...).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from minigan.backend import Array, Backend


@dataclass(frozen=True)
class Slot:
    """Where one parameter lives in the flat buffer."""

    name: str  # "0.weight"
    shape: tuple[int, ...]  # (in, out)
    offset: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class Parameters:
    """The flat buffers of a network and the named views into them.

    Args:
        ops: the backend that owns the memory.
        shapes: parameter names and their shapes, in order.
        dtype: "float32" or "float64".
        population: () for one network, (S,) for S of them side by side.

    Attributes:
        data, grad: (n,), or (S, n) for a population.
    """

    def __init__(
        self,
        ops: Backend,
        shapes: dict[str, tuple[int, ...]],
        dtype: str,
        population: tuple[int, ...] = (),
    ) -> None:
        self.ops = ops
        self.dtype = dtype
        self.population = population
        self.slots: list[Slot] = []
        offset = 0
        for name, shape in shapes.items():
            self.slots.append(Slot(name, shape, offset))
            offset += self.slots[-1].size
        self.size = offset  # n
        self.data = ops.zeros((*population, offset), dtype)  # (n,)
        self.grad = ops.zeros((*population, offset), dtype)  # (n,)

    def named(self) -> dict[str, Array]:
        """{"0.weight": view (in, out), "0.bias": view (1, out), ...} into `data`."""
        return self.views(self.data)

    def named_grads(self) -> dict[str, Array]:
        """{"0.weight": view (in, out), "0.bias": view (1, out), ...} into `grad`."""
        return self.views(self.grad)

    def views(self, flat: Array) -> dict[str, Array]:
        """Named views into any buffer laid out like `data`, such as a moment of Adam."""
        return {
            slot.name: flat[..., slot.offset : slot.offset + slot.size].reshape(
                *self.population, *slot.shape
            )
            for slot in self.slots
        }

    def __repr__(self) -> str:
        of = f" x {self.population[0]} members" if self.population else ""
        return f"Parameters({self.size} numbers{of}, {self.dtype})"
