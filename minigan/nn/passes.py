"""A pass: a network bound to a number of rows, and the chain rule through it.

All passes of a network share its parameters; each has its own activations. A pass keeps the buffers
that it hands to its layers, in order. So some of its rows can become a pass of their own (`part`):
the layers are bound again, to those rows of the same buffers.
"""

from __future__ import annotations

import functools
from typing import Any, NoReturn

from minigan.backend import FLOATS, Array, Stream, checked_array
from minigan.backend.base import may_be_captured, span
from minigan.backend.float_errors import ignore_float_errors
from minigan.checks import flag
from minigan.config import Part
from minigan.errors import ConfigError, DTypeError, OrderError, ShapeError
from minigan.nn.layer import Binding, LayerPass
from minigan.nn.memory_plan import Memory


class Pass:
    """One binding of a network: shared parameters, its own activations and gradients.

    Args:
        net: the network, a `Sequential`.
        rows: the batch size B this pass is for.
        out: where the last layer writes its output, (B_out, features); by default a new buffer.
        own_gradients: give this pass its own gradient buffer, so that the gradients of several
            passes can be added; by default it fills the network's.
        keep_buffers: leave the network's buffers (running statistics) as they were.
        apart: give the Y and dX of every layer its own memory, so that all can be inspected.
        condition: (B, condition features), if a layer reads it; by default a new buffer. Forward
            and backward read what it holds at the time.

    Attributes:
        Y: the output (B_out, features), which each forward overwrites.
        grad: (n,) where backward writes the gradient by the parameters.
        layers: a `LayerPass` for each layer.
    """

    def __init__(
        self,
        net: Any,
        rows: int,
        out: Array | None = None,
        *,
        own_gradients: bool = False,
        keep_buffers: bool = False,
        apart: bool = False,
        condition: Array | None = None,
    ) -> None:
        self.net = net
        self.apart = flag("bind: apart", apart)
        self.memory = Memory(functools.partial(net.ops.empty, dtype=net.dtype))
        self.grad = net.parameters.grad  # (n,)
        if flag("bind: own_gradients", own_gradients):
            self.grad = net.ops.zeros(self.grad.shape, net.dtype)  # (n,)
        self._spare: Array | None = None  # (n,), a copy of the network's buffers during forward
        if flag("bind: keep_buffers", keep_buffers) and net.buffers.size:
            self._spare = net.ops.empty(net.buffers.data.shape, net.dtype)
        if condition is not None and not net.condition_features:
            raise ShapeError(f"no layer of {net.name} reads a condition")
        if condition is None and net.condition_features:
            shape = (*net.population, rows, net.condition_features)
            condition = net.ops.zeros(shape, net.dtype)  # (B, condition features)
        self._bind(rows, out, condition)

    def _bind(self, rows: int, out: Array | None, condition: Array | None) -> None:
        """Hand every layer its buffers, in the order that `Memory.rows` relies on."""
        net, memory = self.net, self.memory
        layers, population = net.layers, net.population
        shapes = net.shapes(rows)  # shapes[i] goes into layer i
        self.input_shape = (*population, *shapes[0])
        self.output_shape = (*population, *shapes[-1])
        self.ready = False  # whether backward may be called
        self._trained = False  # whether there was a forward with train=True
        self._held = False
        self._parts: list[tuple[Pass, slice]] = []
        self._X: Array = None  # (B, in) of the latest forward

        if out is not None and out.shape != self.output_shape:
            raise ShapeError(f"out has shape {out.shape}; expected {self.output_shape}")
        with_members = [(*population, *shape) for shape in shapes]
        outputs, input_grads = memory.lay_out(layers, with_members, out, self.apart)
        self._outputs = outputs
        self.Y = outputs[-1]  # (B_out, out)
        self.condition: Array = condition  # (B, condition features)
        if condition is not None:
            self._check("the condition", condition, (*population, rows, net.condition_features))
        parameters = net.parameters.named()
        gradients = net.parameters.views(self.grad)
        buffers = net.buffers.named()
        self.layers: list[LayerPass] = []
        for i, layer in enumerate(layers):
            binding = Binding(
                ops=net.ops,
                dtype=net.dtype,
                population=population,
                Y=outputs[i],
                dX=input_grads[i],
                parameters=of_layer(i, parameters),
                gradients=of_layer(i, gradients),
                buffers=of_layer(i, buffers),
                stream=net.streams[i],
                memory=memory,
                condition=condition,
                team=net.team,
            )
            bound = layer.bind(binding)
            if not isinstance(bound, LayerPass):
                raise ConfigError(f"{layer}: bind must return a LayerPass, not {bound!r}")
            bound.X = outputs[i - 1] if i else None
            self.layers.append(bound)
        has_parameters = [bool(layer.parameter_shapes()) for layer in layers]
        #: The dX of this layer is read only if the gradient of the network's input is wanted.
        self._first_with_parameters = [*has_parameters, True].index(True)

    @functools.cached_property
    def X(self) -> Array:
        """An input buffer (B, features) for callers that have none of their own."""
        return self.net.ops.empty(self.input_shape, self.net.dtype)  # (B, in)

    # -- some of the rows -------------------------------------------------------------

    @property
    def divisible(self) -> bool:
        """Whether `part` is possible: rows are independent, and no layer has unknown arrays."""
        return not self.net.mixes_rows and all(
            may_be_captured(layer, LayerPass) and self._knows_all_of(layer) for layer in self.layers
        )

    def _knows_all_of(self, layer: LayerPass) -> bool:
        """Whether a layer has only settings, and arrays that this pass handed out."""
        net = self.net
        handed = [span(array) for array in self.memory.arrays]
        handed += [] if self.condition is None else [span(self.condition)]
        handed += [span(flat) for flat in (net.parameters.data, self.grad, net.buffers.data)]

        def known(value: Any) -> bool:
            if isinstance(value, (list, tuple)):
                return all(map(known, value))
            if isinstance(value, dict):
                return all(map(known, value.values()))
            if hasattr(value, "strides"):
                first, end = span(value)
                return any(start <= first and end <= stop for start, stop in handed)
            plain = (bool, int, float, str, type(None), Part, Stream)
            return isinstance(value, plain) or value is net.ops

        # The pass itself sets X.
        return all(known(value) for name, value in vars(layer).items() if name != "X")

    def part(self, start: int, stop: int) -> Pass:
        """The rows from `start` to `stop` as a pass of their own, in the same arrays.

        After a forward of the whole pass, a part can run backward for its rows alone. It can also
        run forward alone, which leaves the other rows as they are.

        Raises:
            ShapeError: there are no such rows.
            ConfigError: a layer mixes rows; or a layer is not `capturable`, so that it may have
                arrays that cannot be cut; or the cut would separate rows that are packed together.
        """
        whole, unit = self.input_shape[-2], self.net.rows_multiple
        if not 0 <= start < stop <= whole:
            raise ShapeError(f"there are no rows {start} to {stop} in a pass of {whole}")
        if self.net.mixes_rows or start % unit or stop % unit:
            raise ConfigError("rows that a layer mixes, or packs together, cannot be separated")
        if not self.divisible:
            raise ConfigError(
                "a part of the rows can be taken only if every layer is capturable, and has no "
                "arrays but those that its binding handed out"
            )
        part = Pass.__new__(Pass)
        part.net, part.apart, part.grad, part._spare = self.net, self.apart, self.grad, None
        part.memory = self.memory.rows(start, whole)
        rows = slice(start, stop)
        condition = None if self.condition is None else self.condition[..., rows, :]
        part._bind(stop - start, None, condition)
        self._parts.append((part, rows))
        part.hold(self._held)
        if self.ready:
            part._follow(self, rows)
        return part

    @property
    def parts(self) -> list[Pass]:
        """The passes over some of these rows that `part` has made."""
        return [part for part, _ in self._parts]

    def _follow(self, whole: Pass, rows: slice) -> None:
        """Take over the state of `whole`, of which this is a part, after its forward."""
        self.ready, self._trained = True, whole._trained
        self._take(whole._X[..., rows, :], whole.layers[0].train)
        for part, own in self._parts:
            part._follow(self, own)

    # -- the chain rule ---------------------------------------------------------------

    @ignore_float_errors
    def forward(self, X: Array, *, train: bool = True) -> Array:
        """Y = net(X), written into a buffer of this pass that the next forward overwrites.

        Args:
            X: (B, in) in the network's dtype, on its device. It is kept by reference for
                backward, so it must not change in between.
            train: whether dropout drops, and running statistics are updated.

        Returns:
            Y (B, out).

        Raises:
            ShapeError, DTypeError: X is not of the bound shape, or not in the network's dtype, or
                not an array of the device's library. (`net.forward` converts those.)
            ConfigError: `train` is neither True nor False.
            OrderError: masks are held, and there are none yet.
        """
        train = flag("forward: train", train)
        if X is not self._X or not self.ready:
            self._check("X", X, self.input_shape)
        if self._held and not (self._trained if train else self.ready):
            raise OrderError("hold() repeats the masks of a forward; there was none yet")
        if X is not self._X or train != self.layers[0].train:
            self._take(X, train)
        net, ops = self.net, self.net.ops
        if self._spare is not None:
            ops.copy(net.buffers.data, out=self._spare)
        try:
            for layer, Y in zip(self.layers, self._outputs, strict=True):
                made = layer.forward(X, train)
                X = Y if made is Y else self._into_place(made, Y)
        finally:
            if self._spare is not None:
                ops.copy(self._spare, out=net.buffers.data)
        self.ready, self._trained = True, self._trained or train
        for part, rows in self._parts:
            part._follow(self, rows)
        return X

    def _check(self, name: str, given: Array, shape: tuple[int, ...]) -> None:
        """Whether an array may be used as it is: nothing is converted here."""
        if type(given) is not type(self.Y):
            raise DTypeError(
                f"{name} is a {type(given).__name__}, and a pass takes a {type(self.Y).__name__} "
                f"of {self.Y.dtype}; the network's own forward and backward convert"
            )
        if given.shape != shape:
            raise ShapeError(f"{name} has shape {given.shape}; expected {shape}, as it is bound")
        if given.dtype != self.Y.dtype:
            raise DTypeError(f"this pass computes in {self.Y.dtype}; {name} is {given.dtype}")

    def _take(self, X: Array, train: bool) -> None:
        """Set the input and the mode of a forward in all layers."""
        self._X = self.layers[0].X = X  # (B, in); the others have the output before
        for layer in self.layers:
            layer.train = train

    def _into_place(self, made: Array, Y: Array) -> Array:
        """Copy a layer's output to the buffer that the next layer and the caller read."""
        if made is None:
            raise ShapeError("forward returned None; it must return the array that it wrote into")
        made = checked_array("forward's result", made, FLOATS, self.net.ops)
        if made.shape != Y.shape:
            raise ShapeError(f"forward returned an array {made.shape}; expected {Y.shape}")
        self.net.ops.copy(made, out=Y)
        return Y

    @ignore_float_errors
    def backward(
        self, dY: Array, *, parameter_grads: bool = True, input_grad: bool = True
    ) -> Array | None:
        """The chain rule, last layer first, for the latest `forward` of this pass.

        Args:
            dY: (B, out), the gradient of the loss with respect to Y. Not modified.
            parameter_grads: overwrite `pass.grad`; if False, these gradients are not computed.
            input_grad: return dX (B, in); if False, the first layer's product is skipped.

        Raises:
            OrderError: there was no forward yet.
            ShapeError, DTypeError: dY is not of the output's shape, or not in its dtype.
            ConfigError: a flag is neither True nor False.
        """
        if not self.ready:
            raise OrderError("backward was called before forward; call forward(X) first")
        self._check("dY", dY, self.output_shape)
        parameter_grads = flag("backward: parameter_grads", parameter_grads)
        input_grad = flag("backward: input_grad", input_grad)
        last = -1 if input_grad else self._first_with_parameters
        for i in reversed(range(max(last, 0), len(self.layers))):
            dY = self.layers[i].backward(dY, parameter_grads=parameter_grads, input_grad=i > last)
        return dY if input_grad else None

    def add_gradients(self) -> None:
        """Add the gradients of a pass that has its own to the network's; of others, nothing."""
        grad = self.net.parameters.grad  # (n,)
        if self.grad is not grad:
            self.net.ops.add(grad, self.grad, out=grad)

    def __reduce__(self) -> NoReturn:
        raise ConfigError("a pass cannot be copied or pickled: copy the network, and bind that")

    def hold(self, on: bool) -> None:
        """Repeat the last forward's dropout masks and pack means (True), or draw new ones."""
        self._held = on = flag("hold: on", on)
        for layer in self.layers:
            layer.hold = on
        for part, _ in self._parts:
            part.hold(on)


def of_layer(i: int, named: dict[str, Array]) -> dict[str, Array]:
    """The tensors of layer i by their short names: {"weight": ..., "bias": ...}."""
    prefix = f"{i}."
    return {name[len(prefix) :]: a for name, a in named.items() if name.startswith(prefix)}
