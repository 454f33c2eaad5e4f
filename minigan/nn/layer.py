"""What a layer is: a frozen definition, and a pass over bound buffers that never allocates.

A `Layer` holds sizes and rates. It owns no arrays, so it can be printed, compared and written to a
file. Binding it to an input shape makes a `LayerPass`, which is given its buffers and has the two
formulas. To write a layer, this file is enough; `minigan explain FILE` checks the result.
The smallest layer there is:

    @mg.register                                    # so that a run that has it can be resumed
    @dataclass(frozen=True)
    class Double(mg.Layer):
        def bind(self, binding):
            return DoublePass(binding)

    class DoublePass(mg.LayerPass):
        capturable = True                           # it computes with self.ops alone

        def forward(self, X, train):
            self.ops.add(X, X, out=self.Y)
            return self.Y

        def backward(self, dY, *, parameter_grads=True, input_grad=True):
            self.ops.add(dY, dY, out=self.dX)
            return self.dX
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from minigan.backend import Array, Backend, Stream
from minigan.backend.share import Team
from minigan.config import Part
from minigan.errors import ConfigError
from minigan.nn.image import Image

Shape = tuple[int, int]  # (rows, features) of one member's array


class Needs(enum.IntEnum):
    """How much of its own output a layer's backward reads."""

    NOTHING = 0
    SIGNS = 1
    VALUES = 2


@dataclass(frozen=True)
class Layer(Part):
    """A layer's definition. Subclasses are frozen dataclasses of plain settings.

    A layer that fixes its number of input features has the attribute `in_features`. One that reads
    the network's condition has `condition_features`, their number.

    Attributes:
        rows_multiple: the batch must be a multiple of it; such groups of rows stay together.
        mixes_rows: whether a row of Y depends on rows of X outside its group. If so, batches are
            neither cut nor joined.
        mixes_rows_in_evaluation: the same with train=False; by default as `mixes_rows`.
        in_place: whether forward may be given Y in X's memory, and backward dX in dY's.
        needs: what backward (and `kinks`) read of Y, which the next layer may overwrite.
        keeps_signs: whether Y has X's signs wherever backward does not return zeros, so that it
            may overwrite an output of which only the signs are needed.
    """

    kind: ClassVar[str] = "layer"
    rows_multiple: ClassVar[int] = 1
    mixes_rows: ClassVar[bool] = False
    in_place: ClassVar[bool] = False
    needs: ClassVar[Needs] = Needs.NOTHING
    keeps_signs: ClassVar[bool] = False

    @property
    def mixes_rows_in_evaluation(self) -> bool:
        """Whether rows are mixed with train=False, too; see above."""
        return self.mixes_rows

    def output_shape(self, shape: Shape) -> Shape:
        """(rows, features) out for (rows, features) in; `ShapeError` if it does not fit."""
        return shape

    def check_image(self, image: Image) -> None:
        """Raise `ShapeError` if the image that the layer before makes does not fit."""

    def parameter_shapes(self) -> dict[str, Shape]:
        """Names and shapes of what is learned, in order."""
        return {}

    def buffer_shapes(self) -> dict[str, Shape]:
        """Names and shapes of state that is not learned, such as running means.

        A forward with train=True updates it.
        """
        return {}

    def multiplications(self, shape: Shape) -> int:
        """The multiplications of forward's largest matrix product, for an input of that shape.

        The number of threads of a run is chosen by it.
        """
        return 0

    def pytorch(self) -> str:
        """The layer as a PyTorch expression, such as "torch.nn.Tanh()". It is not inherited.

        If the layer is defined outside minigan, that module takes and returns rows, as here.

        Raises:
            ConfigError: PyTorch has no such layer.
        """
        raise ConfigError(f"PyTorch has no layer like {type(self).__name__}; it cannot be exported")

    def initialise(self, ops: Backend, stream: Stream, tensors: Mapping[str, Array]) -> None:
        """Write the initial parameters and buffers, which are zeros, into their views by name."""

    def bind(self, binding: Binding) -> LayerPass:
        """Make a pass with these buffers."""
        raise NotImplementedError


class Binding(NamedTuple):
    """Everything a layer is given when it is bound to an input shape."""

    ops: Backend
    dtype: str
    population: tuple[int, ...]  # () or (S,)
    Y: Array  # (rows out, features out): where forward writes
    dX: Array  # (rows in, features in): where backward writes
    parameters: dict[str, Array]  # "weight" -> view into the flat data
    gradients: dict[str, Array]  # "weight" -> view into the flat grad
    buffers: dict[str, Array]  # "running_mean" -> view into the network's buffers
    stream: Stream  # the layer's own randomness
    memory: Callable[[tuple[int, ...]], Array]
    condition: Array = None  # (rows in, condition features), if the network has one
    team: Team | None = None  # the processes that share the batch, if it is not all here

    def empty(self, *shape: int) -> Array:
        """A new buffer of this pass, with the population's axis in front."""
        return self.memory((*self.population, *shape))


class LayerPass:
    """One layer's forward and backward, with its own buffers.

    Attributes:
        capturable: whether both formulas make the same calls of `self.ops` on the same arrays each
            time, so that a step can be recorded and replayed, and forward keeps nothing else. A
            subclass that overrides a formula must set it again.
        X: (rows in, features in) of the latest forward, kept for backward. (A layer that works in
            place finds Y there.)
        train: whether the latest forward ran in training mode.
        hold: repeat the last forward's random mask and constant statistics instead of making new
            ones, so that the network is one fixed function (for gradient checks).
    """

    capturable: ClassVar[bool] = False

    def __init__(self, binding: Binding) -> None:
        self.ops = binding.ops
        self.Y = binding.Y  # (rows out, features out)
        self.dX = binding.dX  # (rows in, features in)
        self.X: Array = None  # (rows in, features in)
        self.train = True
        self.hold = False

    def forward(self, X: Array, train: bool) -> Array:
        """Compute Y from X (rows, features) and return the buffer it is in."""
        raise NotImplementedError

    def backward(
        self, dY: Array, *, parameter_grads: bool = True, input_grad: bool = True
    ) -> Array | None:
        """Fill the parameter gradients and return dX; skip either on request."""
        raise NotImplementedError

    def kinks(self) -> Array | None:
        """An array whose signs show which side of a kink each unit is on, or None."""
        return None

    # -- second order, optional: what minigan/nn/second_order.py makes of J, the derivative of Y by
    #    X at the latest forward. A layer without parameters or without curvature leaves that out.

    def tangent(self, U: Array, out: Array) -> None:
        """out (like Y) = J U, with U like X: how Y changes if X moves by U"""
        raise NotImplementedError

    def tangent_gradients(self, U: Array, dY: Array) -> None:
        """Write the gradients of <dY, J U> by the parameters; those left out stay zero."""

    def curvature(self, U: Array, dY: Array, out: Array) -> None:
        """out (like X) = the gradient of <dY, J U> by X, with U and dY constant"""
        raise NotImplementedError
