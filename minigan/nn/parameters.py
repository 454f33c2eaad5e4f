"""Parameters as one flat buffer, with a named view for every weight and bias.

        data  [ 0.weight ...... | 0.bias | 2.weight .... | 2.bias ]     (n,)
        grad  [ 0.weight ...... | 0.bias | 2.weight .... | 2.bias ]     (n,)

Because the views share the buffer's memory, writing a gradient into its view fills the flat buffer,
an optimizer step is one pass over contiguous numbers, and the norm of the whole gradient is one
reduction. A population of S networks adds an axis in front: data (S, n), and every view (S, ...).

Layers and optimizers keep such views, so the buffer is never replaced: an assignment to `data` or
`grad` copies into it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from minigan.backend import Array, Backend, checked_array
from minigan.backend.float_errors import ignore_float_errors
from minigan.errors import ShapeError
from minigan.fixed import Fixed

Flat = TypeVar("Flat", bound="FlatBuffer")


@dataclass(frozen=True)
class Slot:
    """The place of one tensor in the flat buffer."""

    name: str  # "0.weight"
    shape: tuple[int, ...]  # (in, out)
    offset: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class FlatBuffer(Fixed):
    """Named tensors in one flat buffer, such as a network's state that is not learned.

    Args:
        ops: the backend that owns the memory.
        shapes: names and shapes, in order.
        dtype: "float32" or "float64".
        population: () for one network, (S,) for S of them side by side.
    """

    fixed: ClassVar[dict[str, str]] = dict.fromkeys(
        ("ops", "dtype", "population", "slots", "size"), "make another network"
    )

    def __init__(
        self,
        ops: Backend,
        shapes: Mapping[str, tuple[int, ...]],
        dtype: str,
        population: tuple[int, ...] = (),
    ) -> None:
        self.ops = ops
        self.dtype = dtype
        self.population = population
        slots, offset = [], 0
        for name, shape in shapes.items():
            slots.append(Slot(name, shape, offset))
            offset += slots[-1].size
        self.slots = tuple(slots)
        self.size = offset  # n
        self._data = ops.zeros((*population, offset), dtype)  # (n,)

    @property
    def data(self) -> Array:
        """(n,), or (S, n) for a population. An assignment copies into it.

        Raises:
            ShapeError, DTypeError: the assigned values have another shape, or are no numbers.
        """
        return self._data

    @data.setter
    def data(self, values: Any) -> None:
        self._copy("data", values, self._data)

    def named(self) -> dict[str, Array]:
        """{"0.weight": view (in, out), "0.bias": view (1, out), ...} into `data`."""
        return self.views(self._data)

    def views(self, flat: Array) -> dict[str, Array]:
        """Named views into any buffer laid out like `data`, such as a moment of Adam."""
        return {
            slot.name: flat[..., slot.offset : slot.offset + slot.size].reshape(
                *self.population, *slot.shape
            )
            for slot in self.slots
        }

    def part(self: Flat, names: Mapping[str, str]) -> Flat:
        """Neighbouring tensors as a buffer of their own, in the same memory.

        Args:
            names: of each such tensor, here and there.
        """
        slots = [slot for slot in self.slots if slot.name in names]
        shapes = {names[slot.name]: slot.shape for slot in slots}
        part = type(self)(self.ops, shapes, self.dtype, self.population)
        start = slots[0].offset if slots else 0
        for name, flat in self._flats().items():
            vars(part)[name] = flat[..., start : start + part.size]
        return part

    def _flats(self) -> dict[str, Array]:
        """The attributes that are arrays (n,)."""
        return {"_data": self._data}

    @ignore_float_errors
    def _copy(self, name: str, values: Any, out: Array) -> None:
        if values is out:  # what `data *= 2` assigns
            return
        values = checked_array(f"{type(self).__name__}.{name}", values, ops=self.ops)
        if values.shape != out.shape:
            raise ShapeError(
                f"{type(self).__name__}.{name} has shape {out.shape}; "
                f"an array {values.shape} was assigned"
            )
        # Through a copy, since the values may be a view of the buffer itself.
        self.ops.copy(self.ops.from_host(values, self.dtype), out=out)


class Parameters(FlatBuffer):
    """What a network learns: its flat buffer `data`, and another one for the gradient, `grad`.

    Args:
        ops, shapes, dtype, population: as for `FlatBuffer`.

    Attributes:
        own: which of the n numbers an update changes: all, unless several processes share it.
    """

    own = slice(None)
    not_copied: ClassVar[dict[str, Any]] = {"own": slice(None)}  # a copy is updated by one process

    def own_of(self, *flats: Array) -> list[Array]:
        """The numbers that an update changes, of buffers laid out like `data`: views."""
        return [flat[..., self.own] for flat in flats]

    @property
    def grad(self) -> Array:
        """The gradient with respect to `data`, (n,) or (S, n). An assignment copies into it."""
        own = vars(self)
        if "_grad" not in own:  # of two threads, both take the array of the first
            own.setdefault("_grad", self.ops.zeros(self._data.shape, self.dtype))  # (n,)
        return own["_grad"]

    @grad.setter
    def grad(self, values: Any) -> None:
        self._copy("grad", values, self.grad)

    def _flats(self) -> dict[str, Array]:
        return {"_data": self._data, "_grad": self.grad}

    def named_grads(self) -> dict[str, Array]:
        """{"0.weight": view (in, out), "0.bias": view (1, out), ...} into `grad`."""
        return self.views(self.grad)

    def __repr__(self) -> str:
        of = f" x {self.population[0]} members" if self.population else ""
        return f"Parameters({self.size} numbers{of}, {self.dtype})"
