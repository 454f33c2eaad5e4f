"""A network is a list of layers; a pass is that list bound to an input shape.

    net = Sequential(Linear(200, 50), ELU(), Linear(50, 1), seed=0)
    Y = net.forward(X)         # binds on first sight of a shape
    dX = net.backward(dY)      # fills net.parameters.grad

Whoever trains in earnest binds explicitly, once for each role a network plays:

    real_and_fake = net.bind(rows=200)
    judge = net.bind(rows=100)             # same weights, its own activations
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from minigan.backend import Array, Seeds, Stream, as_seeds, check_dtype, get_backend, plain_seeds
from minigan.checks import whole
from minigan.errors import ConfigError, DTypeError, OrderError, ShapeError
from minigan.nn.layers import Layer, LayerPass, Needs, Pack, layer_from_config
from minigan.nn.layers.base import Binding
from minigan.nn.parameters import Parameters

PASSES_KEPT = 8  # shapes that `forward` keeps bound at a time
PREDICT_ROWS = 1024  # rows that `predict` evaluates at a time


class Pass:
    """One binding of a network: shared parameters, its own activations and gradients.

    Args:
        net: the network.
        rows: the batch size B this pass is for.
        out: where the last layer writes its output, (B_out, features); by default a new buffer.

    Attributes:
        Y: the output (B_out, features), which each forward overwrites.
    """

    def __init__(self, net: Sequential, rows: int, out: Array | None = None) -> None:
        ops, population = net.ops, net.population
        shapes = [(rows, net.in_features)]  # shapes[i] goes into layer i
        for layer in net.layers:
            shapes.append(layer.output_shape(shapes[-1]))
        self.net = net
        self.input_shape = (*population, *shapes[0])
        self.output_shape = (*population, *shapes[-1])
        self.ready = False  # whether backward may be called
        self._parts: list[tuple[Pass, slice]] = []

        new = _buffer_starts(net.layers)
        last_new = max(i for i, is_new in enumerate(new) if is_new)
        outputs: list[Array] = []  # outputs[i] (rows, features) is Y of layer i
        for i, is_new in enumerate(new):
            if not is_new:
                outputs.append(outputs[-1])
            elif i == last_new and out is not None:
                if out.shape != self.output_shape:
                    raise ShapeError(f"out has shape {out.shape}; expected {self.output_shape}")
                outputs.append(out)
            else:
                outputs.append(ops.empty((*population, *shapes[i + 1]), net.dtype))
        # dX of an elementwise layer overwrites its dY, unless that dY is the caller's.
        input_grads: list[Array] = [None] * len(net.layers)  # [i] (rows, features): dX of layer i
        for i in reversed(range(len(net.layers))):
            if net.layers[i].in_place and i + 1 < len(net.layers):
                input_grads[i] = input_grads[i + 1]
            else:
                input_grads[i] = ops.empty((*population, *shapes[i]), net.dtype)

        parameters, gradients = net.parameters.named(), net.parameters.named_grads()
        self.layers: list[LayerPass] = []
        for i, layer in enumerate(net.layers):
            binding = Binding(
                ops=ops,
                dtype=net.dtype,
                population=population,
                Y=outputs[i],
                dX=input_grads[i],
                parameters=_of_layer(i, parameters),
                gradients=_of_layer(i, gradients),
                stream=net.streams[i],
            )
            bound = layer.bind(binding)
            if not isinstance(bound, LayerPass):
                raise ConfigError(f"{layer}: bind must return a LayerPass, not {bound!r}")
            self.layers.append(bound)
        self.Y = outputs[-1]  # (B_out, out)
        has_parameters = [bool(layer.parameter_shapes()) for layer in net.layers]
        #: Nobody reads the gradient of what goes into this layer, unless the input's is asked for.
        self._first_with_parameters = [*has_parameters, True].index(True)

    @cached_property
    def X(self) -> Array:
        """An input buffer (B, features) for callers that have none of their own."""
        return self.net.ops.empty(self.input_shape, self.net.dtype)  # (B, in)

    @property
    def divisible(self) -> bool:
        """Whether `part` is possible: no layer mixes rows, and each knows how to be cut."""
        return self.net.rows_multiple == 1 and all(layer.divisible for layer in self.layers)

    def part(self, start: int, stop: int) -> Pass:
        """The rows from `start` to `stop` as a pass of their own, in the same arrays.

        After a forward of the whole, a part can run backward for its rows alone. It can also
        run forward alone, and leaves the other rows as they are.

        Raises:
            ConfigError: a layer of the network mixes rows (a `Pack`), or does not say which of
                its arrays have a row for each sample (see `LayerPass.divisible`).
        """
        if self.net.rows_multiple != 1:
            raise ConfigError("rows that are packed together cannot be told apart again")
        for layer in self.layers:
            if not layer.divisible:
                raise ConfigError(
                    f"a part of the rows needs to know which arrays of {type(layer).__name__} have "
                    "rows: name them in its `by_rows`"
                )
        rows = slice(start, stop)
        part = copy.copy(self)
        vars(part).pop("X", None)
        part._parts = []
        part.layers = [layer.part(rows) for layer in self.layers]
        part.Y = part.layers[-1].Y  # (rows, out)
        part.input_shape = (*self.net.population, stop - start, self.input_shape[-1])
        part.output_shape = (*self.net.population, stop - start, self.output_shape[-1])
        self._parts.append((part, rows))
        if self.ready:
            part._follow(self, rows)
        return part

    def _into_place(self, X: Array) -> Array:
        """Copy a result to where this pass has promised it."""
        if X is None:
            raise ShapeError("forward returned None; it must return the array that it wrote into")
        if X.shape != self.Y.shape:
            raise ShapeError(f"forward returned an array {X.shape}; expected {self.Y.shape}")
        self.net.ops.copy(self.net.ops.asarray(X), out=self.Y)
        return self.Y

    def _follow(self, whole: Pass, rows: slice) -> None:
        """Be where `whole`, of which this is a part, is after its forward."""
        self.ready = True
        for mine, theirs in zip(self.layers, whole.layers, strict=True):
            mine.follow(theirs, rows)
        for part, own in self._parts:
            part._follow(self, own)

    def forward(self, X: Array, train: bool = True) -> Array:
        """Y = net(X), written into a buffer of this pass that the next forward overwrites.

        Args:
            X: (B, in) in the network's dtype, on its device. It is kept by reference for
                backward, so it must not change in between.
            train: whether dropout drops.

        Returns:
            Y (B, out).

        Raises:
            ShapeError, DTypeError: X is not of the bound shape, or not in the network's dtype.
        """
        if X.shape != self.input_shape:
            raise ShapeError(f"this pass is bound to input {self.input_shape}, not {X.shape}")
        if X.dtype != self.Y.dtype:
            raise DTypeError(f"this pass computes in {self.Y.dtype}; X is {X.dtype}")
        for layer in self.layers:
            X = layer.forward(X, train)
        if X is not self.Y:  # a layer of somebody else's, which returned an array of its own
            X = self._into_place(X)
        self.ready = True
        for part, rows in self._parts:
            part._follow(self, rows)
        return X

    def backward(
        self, dY: Array, *, parameter_grads: bool = True, input_grad: bool = True
    ) -> Array | None:
        """The chain rule, last layer first, for the latest `forward` of this pass.

        Args:
            dY: (B, out), the gradient of the loss with respect to Y. Not modified.
            parameter_grads: fill `net.parameters.grad` (overwriting it). Without it the
                gradients are not even computed.
            input_grad: return dX (B, in). Without it the first layer's product is skipped.

        Raises:
            OrderError: there was no forward yet.
            ShapeError, DTypeError: dY is not of the output's shape, or not in its dtype.
        """
        if not self.ready:
            raise OrderError("backward was called before forward; call forward(X) first")
        if dY.shape != self.output_shape:
            raise ShapeError(f"dY has shape {dY.shape}; expected {self.output_shape}")
        if dY.dtype != self.Y.dtype:
            raise DTypeError(f"this pass computes in {self.Y.dtype}; dY is {dY.dtype}")
        last = -1 if input_grad else self._first_with_parameters
        for i in reversed(range(max(last, 0), len(self.layers))):
            dY = self.layers[i].backward(dY, parameter_grads=parameter_grads, input_grad=i > last)
        return dY if input_grad else None

    def hold(self, on: bool) -> None:
        """Repeat the last forward's dropout masks and pack means (True), or draw new ones."""
        for layer in self.layers:
            layer.hold = on


class Sequential:
    """Layers in a row, their parameters in one flat buffer.

    Args:
        layers: definitions such as `Linear(200, 50)`. At least one must fix the number of
            input features (a Linear), unless `in_features` says it.
        seed: a non-negative integer; or a sequence of S of them for a population of S
            networks trained side by side, whose arrays all gain a first axis S.
        device: "cpu", "cuda", "cuda:N" or "auto"; see `minigan.backend.get_backend`.
        dtype: "float32" or "float64".
        name: prefix of the random streams: two networks with the same seed and name start
            with the same weights.
        in_features: the input's features, if no layer tells.

    Raises:
        ConfigError, DTypeError, DeviceError: a setting that cannot be.
        ShapeError: layers that do not fit each other.
    """

    def __init__(
        self,
        *layers: Layer,
        seed: Seeds = 0,
        device: str = "cpu",
        dtype: str = "float32",
        name: str = "net",
        in_features: int | None = None,
    ) -> None:
        if not layers:
            raise ConfigError("Sequential needs at least one layer")
        for layer in layers:
            if not isinstance(layer, Layer):
                raise ConfigError(f"Sequential takes layers such as Linear(2, 3), not {layer!r}")
        self.layers = layers
        self.seed = seed
        self.device = device
        self.dtype = check_dtype(dtype)
        self.name = name
        self.ops = get_backend(device)
        #: () for one network, (S,) for a population
        self.population = (len(as_seeds(seed)),) if isinstance(seed, Sequence) else ()
        self.rows_multiple = 1  # the batch must be a multiple of this many rows
        for layer in layers:
            if isinstance(layer, Pack):
                self.rows_multiple *= layer.size
        self.in_features = _in_features(layers, in_features)
        self.out_features = self._check_fit()
        self.streams = [
            Stream(seed, f"{name}/{i}.{type(layer).__name__.lower()}")
            for i, layer in enumerate(layers)
        ]
        self.parameters = Parameters(
            self.ops,
            {
                f"{i}.{key}": shape
                for i, layer in enumerate(layers)
                for key, shape in layer.parameter_shapes().items()
            },
            dtype,
            self.population,
        )
        self._passes: dict[int, Pass] = {}
        self._predictor: Pass | None = None
        self._last: Pass | None = None
        self.initialise()

    def initialise(self) -> None:
        """Draw every parameter from the seed: on the host, so all devices start the same."""
        host = get_backend("cpu")
        weights = Stream(self.seed, f"{self.name}/weights")
        flat = host.zeros(self.parameters.data.shape, self.dtype)  # (n,)
        named = self.parameters.views(flat)
        for i, layer in enumerate(self.layers):
            layer.initialise(host, weights, _of_layer(i, named))
        self.ops.copy(self.ops.asarray(flat), out=self.parameters.data)

    def bind(self, rows: int, out: Array | None = None) -> Pass:
        """Make a pass for batches of `rows` rows; see `Pass`."""
        rows = whole("bind: rows", rows, 0)
        if rows < 1 or rows % self.rows_multiple:
            raise ShapeError(
                f"a batch must be a positive multiple of {self.rows_multiple} rows, not {rows}"
            )
        return Pass(self, rows, out)

    def forward(self, X: Any, train: bool = True) -> Array:
        """Y = net(X): X (B, in) -> Y (B, out), a view that the next forward overwrites.

        Args:
            X: (B, in), any B, floating point; copied once, in the network's dtype.
            train: whether dropout drops. `predict` is the short form for evaluation.

        Raises:
            ShapeError: X is not two-dimensional or has the wrong number of features.
            DTypeError: X is not an array of floating-point numbers.
        """
        X = self.accept(X)
        rows = X.shape[-2]
        bound = self._passes.pop(rows, None) or self.bind(rows)
        self._passes[rows] = bound  # most recently used last
        if len(self._passes) > PASSES_KEPT:
            self._passes.pop(next(iter(self._passes)))
        self._last = bound
        self.ops.copy(X, out=bound.X)
        return bound.forward(bound.X, train)

    def backward(
        self, dY: Any, *, parameter_grads: bool = True, input_grad: bool = True
    ) -> Array | None:
        """Fill `parameters.grad` and return dX (B, in), for the latest `forward`.

        The gradients are overwritten, not added to: there is no zero_grad to forget.

        Raises:
            OrderError: there was no forward yet.
            ShapeError: dY is not of the output's shape.
        """
        if self._last is None:
            raise OrderError("backward was called before forward; call forward(X) first")
        dY = self.ops.from_host(self.ops.asarray(dY), self.dtype)
        return self._last.backward(dY, parameter_grads=parameter_grads, input_grad=input_grad)

    def predict(self, X: Any) -> Array:
        """Y = net(X) in evaluation mode: a copy, for any number of rows, in bounded memory.

        Args:
            X: (N, in); N any number >= 0 that is a multiple of the pack size.

        Returns:
            Y (N, out), or (N/m, out) behind a `Pack` of m.

        Raises:
            ShapeError: wrong features, or rows that are no multiple of the pack size.
            DTypeError: X is not an array of floating-point numbers.
        """
        X = self.accept(X)
        n, unit = X.shape[-2], self.rows_multiple
        if n % unit:
            raise ShapeError(f"predict was given {n} rows; expected a multiple of {unit}")
        if self._predictor is None:
            self._predictor = self.bind(max(1, PREDICT_ROWS // unit) * unit)
        bound = self._predictor
        rows = bound.input_shape[-2]
        Y = self.ops.empty((*self.population, n // unit, bound.output_shape[-1]), self.dtype)
        for start in range(0, n, rows):
            stop = min(start + rows, n)
            count = stop - start
            self.ops.copy(X[..., start:stop, :], out=bound.X[..., :count, :])
            if count < rows:  # the unused rows must hold something finite
                self.ops.fill(0.0, out=bound.X[..., count:, :])
            bound.forward(bound.X, train=False)
            self.ops.copy(
                bound.Y[..., : count // unit, :], out=Y[..., start // unit : stop // unit, :]
            )
        return Y

    def astype(self, dtype: str) -> Sequential:
        """The same network, weights and stream positions in another dtype, as a copy."""
        twin = Sequential(
            *self.layers,
            seed=self.seed,
            device=self.device,
            dtype=dtype,
            name=self.name,
            in_features=self.in_features,
        )
        self.ops.copy(self.parameters.data, out=twin.parameters.data)
        for mine, theirs in zip(self.streams, twin.streams, strict=True):
            theirs.position = mine.position
        return twin

    def to_config(self) -> dict[str, Any]:
        """The definition as JSON, enough for `from_config` to rebuild it."""
        return {
            "layers": [layer.to_config() for layer in self.layers],
            "seed": plain_seeds(self.seed),
            "dtype": self.dtype,
            "name": self.name,
            "in_features": self.in_features,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], device: str = "cpu") -> Sequential:
        """Rebuild a network from `to_config()`; `ConfigError` if it is not one."""
        try:
            settings = dict(config)
            layers = [layer_from_config(layer) for layer in settings.pop("layers")]
            return cls(*layers, device=device, **settings)
        except (LookupError, TypeError) as error:
            raise ConfigError(f"not a network's definition: {config!r}") from error

    def accept(self, X: Any, name: str = "X") -> Array:
        """Check an array from outside and return it on this device, in its own dtype.

        Args:
            X: anything array-like.
            name: what to call it in an error.

        Raises:
            DTypeError: not an array of floating-point numbers.
            ShapeError: not (batch, in), or (S, batch, in) for a population of S.
        """
        try:
            X = self.ops.asarray(X)
        except (TypeError, ValueError) as error:  # a ragged list, say
            raise DTypeError(f"{name} is not an array: {error}") from None
        if X.dtype.kind != "f":
            raise DTypeError(f"{name} must be floating-point numbers, not {X.dtype}")
        if X.ndim < 2 or X.shape[:-2] != self.population or X.shape[-1] != self.in_features:
            expected = ", ".join(str(n) for n in (*self.population, "batch", self.in_features))
            raise ShapeError(f"{name} has shape {X.shape}; expected ({expected})")
        return X

    def _check_fit(self) -> int:
        """The number of output features; `ShapeError` where two layers do not fit."""
        shape = (self.rows_multiple, self.in_features)
        for i, layer in enumerate(self.layers):
            try:
                shape = layer.output_shape(shape)
            except ShapeError as error:
                before = "the one before it" if i else f"in_features={self.in_features}"
                raise ShapeError(f"layer {i} does not fit {before}: {error}") from None
        return shape[1]

    def __repr__(self) -> str:
        layers = ", ".join(repr(layer) for layer in self.layers)
        return f"Sequential({layers}, seed={self.seed}, dtype={self.dtype!r})"


def _in_features(layers: tuple[Layer, ...], given: int | None) -> int:
    """The number of input features, told by the caller or the first layer that fixes it."""
    if given is not None:
        return whole("Sequential: in_features", given, 1)
    factor = 1  # how the layers so far multiply the number of features
    for layer in layers:
        shapes = layer.parameter_shapes()
        if "weight" in shapes:
            features = shapes["weight"][0]
            if features % factor:
                raise ShapeError(
                    f"{layer} takes {features} features; "
                    f"the packing before it makes a multiple of {factor}"
                )
            return features // factor
        if isinstance(layer, Pack):
            factor *= layer.output_shape((layer.size, 1))[1]
    raise ConfigError("no layer tells the number of input features; pass in_features=...")


def _buffer_starts(layers: tuple[Layer, ...]) -> list[bool]:
    """For each layer: whether its output needs a buffer of its own.

    A layer writes over its input if it can, and if every layer that shares the buffer can
    still run backward: it needs nothing of its output, or only signs, which are kept.
    """
    starts = []
    needs = Needs.VALUES  # the network's input belongs to the caller
    for layer in layers:
        shares = layer.in_place and (
            needs is Needs.NOTHING or (needs is Needs.SIGNS and layer.keeps_signs)
        )
        needs = max(needs, layer.needs) if shares else layer.needs
        starts.append(not shares)
    return starts


def _of_layer(i: int, named: dict[str, Array]) -> dict[str, Array]:
    """The parameters of layer i by their short names: {"weight": ..., "bias": ...}."""
    prefix = f"{i}."
    return {name[len(prefix) :]: a for name, a in named.items() if name.startswith(prefix)}
