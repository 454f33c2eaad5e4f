"""What a layer is: a definition that is bound once, and a pass that never allocates.

A `Layer` is a frozen definition: sizes, rates. It owns no arrays, so it can be printed,
compared and written to a file. Binding it to an input shape makes a `LayerPass`, which
owns the buffers of one forward and one backward and holds views of the parameters. A GAN
binds one discriminator twice: both passes share weights and nothing else.

To save memory and time an activation may write its output over its input. That is safe
when nobody needs the overwritten values in backward, which each layer declares:

    in_place      it can write Y over X, and dX over dY
    needs         what its own backward reads of its output Y: nothing, signs or values
    keeps_signs   writing over Y leaves every sign that a `needs = SIGNS` layer reads
"""

from __future__ import annotations

import copy
import enum
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from minigan.backend import Array, Backend, Stream
from minigan.errors import ConfigError

Shape = tuple[int, int]  # (rows, features) of one member's array


class Needs(enum.IntEnum):
    """How much of its own output a layer's backward reads."""

    NOTHING = 0
    SIGNS = 1
    VALUES = 2


@dataclass(frozen=True)
class Binding:
    """Everything a layer is handed when it is bound to an input shape."""

    ops: Backend
    dtype: str
    population: tuple[int, ...]  # () or (S,)
    Y: Array  # (rows out, features out): where forward writes
    dX: Array  # (rows in, features in): where backward writes
    parameters: dict[str, Array]  # "weight" -> view into the flat data
    gradients: dict[str, Array]  # "weight" -> view into the flat grad
    stream: Stream  # the layer's own randomness

    def empty(self, *shape: int) -> Array:
        """A buffer of this pass, with the population's axis in front."""
        return self.ops.empty((*self.population, *shape), self.dtype)


class LayerPass:
    """One layer's forward and backward, with its own buffers.

    Attributes:
        by_rows: the names of its arrays that have a row for each row of the batch.
        hold: repeat the last forward's random mask and constant statistics instead of
            making new ones, so that the network is one fixed function (for gradient checks).
    """

    by_rows: ClassVar[tuple[str, ...]] = ("Y", "dX")

    def __init__(self, binding: Binding) -> None:
        self.ops = binding.ops
        self.Y = binding.Y  # (rows out, features out)
        self.dX = binding.dX  # (rows in, features in)
        self.hold = False

    def forward(self, X: Array, train: bool) -> Array:
        """Compute Y from X (rows, features) and return the buffer it is in."""
        raise NotImplementedError

    def backward(
        self, dY: Array, *, parameter_grads: bool = True, input_grad: bool = True
    ) -> Array | None:
        """Fill the parameter gradients and return dX; skip what is not asked for."""
        raise NotImplementedError

    def part(self, rows: slice) -> LayerPass:
        """A pass over some of the rows, in the same arrays."""
        twin = copy.copy(self)
        for name in self.by_rows:
            if not hasattr(self, name):
                raise ConfigError(
                    f"{type(self).__name__}: `by_rows` names {name}, which there is not after "
                    "__init__; what forward keeps is taken over by `follow`"
                )
            setattr(twin, name, getattr(self, name)[..., rows, :])
        return twin

    @property
    def divisible(self) -> bool:
        """Whether `part` knows all that has to be cut.

        A pass of somebody else's says so by naming its arrays in a `by_rows` of its own (those of
        `LayerPass`, if it has no more), or by a `follow` of its own.
        """
        outside = [c for c in type(self).__mro__ if not c.__module__.startswith("minigan.")]
        outside.remove(object)
        return not outside or any({"by_rows", "follow"} & set(vars(c)) for c in outside)

    def follow(self, whole: LayerPass, rows: slice) -> None:
        """Take over what `whole`, of which this is a part, remembers of its last forward."""

    def kinks(self) -> Array | None:
        """An array whose signs tell which side of a kink each unit is on, or None."""
        return None


@dataclass(frozen=True)
class Layer:
    """A layer's definition. Subclasses are frozen dataclasses of plain settings."""

    in_place: ClassVar[bool] = False
    needs: ClassVar[Needs] = Needs.NOTHING
    keeps_signs: ClassVar[bool] = False

    def output_shape(self, shape: Shape) -> Shape:
        """(rows, features) out for (rows, features) in; `ShapeError` if it does not fit."""
        return shape

    def parameter_shapes(self) -> dict[str, Shape]:
        """Names and shapes of the layer's parameters, in order."""
        return {}

    def initialise(self, ops: Backend, stream: Stream, parameters: dict[str, Array]) -> None:
        """Draw the initial parameters into their views."""

    def bind(self, binding: Binding) -> LayerPass:
        """Make a pass with the buffers handed over."""
        raise NotImplementedError

    def to_config(self) -> dict[str, Any]:
        """The definition as JSON: {"layer": "Linear", "in_features": 200, ...}."""
        return {"layer": type(self).__name__, **asdict(self)}
