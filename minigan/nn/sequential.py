"""The definition of a network: a list of layers.

    net = Sequential(Linear(200, 50), ELU(), Linear(50, 1), seed=0)
    Y = net.forward(X)         # binds a pass for each new batch size
    dX = net.backward(dY)      # fills net.parameters.grad

Code that trains binds explicitly, once for each role of a network:

    real_and_fake = net.bind(rows=200)
    other = net.bind(rows=100)             # same weights, its own activations
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from minigan.backend import (
    FLOATS,
    Array,
    Seeds,
    Stream,
    as_seeds,
    check_dtype,
    checked_array,
    get_backend,
    plain_seeds,
)
from minigan.backend.float_errors import ignore_float_errors
from minigan.backend.share import Team
from minigan.checks import whole
from minigan.config import Part, rebuild, register
from minigan.errors import ConfigError, OrderError, ShapeError
from minigan.fixed import Fixed
from minigan.nn.fit import find_condition_features, find_in_features, output_image_of
from minigan.nn.image import Image, as_rows
from minigan.nn.layer import Layer, Shape
from minigan.nn.parameters import FlatBuffer, Parameters
from minigan.nn.passes import Pass, of_layer

PASSES_KEPT = 8  # that `forward` keeps bound at a time; and `predict`
PREDICT_ROWS = 1024  # rows that `predict` evaluates at a time, at most
PREDICT_BYTES = 16 * 2**20  # of the largest array between two layers, unless a row is larger
_ANOTHER = "make another network, or net.astype(...), and whatever trains it"


@register
class Sequential(Fixed, Part):
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
        in_features: the input's features, if no layer fixes them.

    Attributes:
        parameters: what is learned (see `Parameters`), and its gradient.
        buffers: what is not learned but belongs to the network, such as running means.
        rows_multiple: the batch must be a multiple of this many rows.
        condition_features: of the condition, a second input (see `AppendCondition`); 0 if none.

    Raises:
        ConfigError, DTypeError, DeviceError: an invalid setting.
        ShapeError: layers that do not fit each other.
    """

    kind: ClassVar[str] = "network"
    fixed: ClassVar[dict[str, str]] = {
        **dict.fromkeys(
            (
                *("layers", "seed", "device", "dtype", "name", "ops", "population", "streams"),
                *("in_features", "out_features", "image", "output_image", "rows_multiple"),
                "condition_features",
            ),
            _ANOTHER,
        ),
        "parameters": "assign to net.parameters.data, which copies into the buffer",
        "buffers": "assign to net.buffers.data, which copies into the buffer",
    }
    not_copied: ClassVar[dict[str, Any]] = {"_passes": {}, "_predictors": [], "team": None}

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
        self.population = tuple([len(as_seeds(seed))] if isinstance(seed, Sequence) else [])
        self.rows_multiple = math.prod(layer.rows_multiple for layer in layers)
        self.in_features = find_in_features(layers, self.rows_multiple, in_features)
        self.image: Image | None = getattr(layers[0], "image", None)
        self.output_image = output_image_of(layers, (self.rows_multiple, self.in_features))
        shapes = self.shapes(self.rows_multiple)
        self.out_features = shapes[-1][1]
        self.condition_features = find_condition_features(layers, shapes)
        self.streams = tuple(
            Stream(seed, f"{name}/{i}.{type(layer).__name__.lower()}")
            for i, layer in enumerate(layers)
        )
        learned = _by_layer([layer.parameter_shapes() for layer in layers])
        kept = _by_layer([layer.buffer_shapes() for layer in layers])
        both = sorted(learned.keys() & kept.keys())
        if both:
            raise ConfigError(f"a parameter and a buffer are both called {both[0]}")
        self.parameters = Parameters(self.ops, learned, dtype, self.population)
        self.buffers = FlatBuffer(self.ops, kept, dtype, self.population)
        #: The processes that share each batch of the passes that are bound now.
        self.team: Team | None = None
        self._passes: dict[int, Pass] = {}  # by rows, the most recently used last
        self._predictors: list[Pass] = []  # not in use
        self.initialise()

    @property
    def mixes_rows(self) -> bool:
        """Whether batches may neither be cut nor joined: rows are mixed, or statistics kept."""
        return self.buffers.size > 0 or any(layer.mixes_rows for layer in self.layers)

    @ignore_float_errors
    def initialise(self) -> None:
        """Draw every parameter from the seed: on the host, so all devices start the same."""
        host = get_backend("cpu")
        weights = Stream(self.seed, f"{self.name}/weights")
        flat = (self.parameters, self.buffers)
        starts = [host.zeros(one.data.shape, self.dtype) for one in flat]  # (n,) each
        named = flat[0].views(starts[0]) | flat[1].views(starts[1])
        for i, layer in enumerate(self.layers):
            layer.initialise(host, weights, MappingProxyType(of_layer(i, named)))
        for one, start in zip(flat, starts, strict=True):
            self.ops.copy(self.ops.asarray(start), out=one.data)

    def shapes(self, rows: int) -> list[Shape]:
        """(rows, features) of the input, and of each layer's output."""
        shapes = [(rows, self.in_features)]
        for layer in self.layers:
            shapes.append(layer.output_shape(shapes[-1]))
        return shapes

    def bind(self, rows: int, out: Array | None = None, **options: Any) -> Pass:
        """Make a pass for batches of `rows` rows; `Pass` explains `out` and the options."""
        rows = whole("bind: rows", rows, 0)
        if rows < 1 or rows % self.rows_multiple:
            raise ShapeError(
                f"a batch must be a positive multiple of {self.rows_multiple} rows, not {rows}"
            )
        return Pass(self, rows, out, **options)

    @ignore_float_errors
    def forward(self, X: Any, *, train: bool = True, condition: Any = None) -> Array:
        """Y = net(X): X (B, in) -> Y (B, out), a view that the next forward overwrites.

        One thread at a time may call `forward` and `backward` of a network; any may call `predict`.

        Args:
            X: (B, in), any B, floating point; copied once, in the network's dtype.
            train: whether dropout drops. `predict` is the short form for evaluation.
            condition: (B, condition features), if the network reads one; copied.

        Raises:
            ShapeError: X or the condition has the wrong shape; or the condition is missing, or not
                read.
            DTypeError: X or the condition is not an array of floating-point numbers.
            ConfigError: `train` is neither True nor False.
        """
        X = self.accept(X)
        rows = X.shape[-2]
        C = self.accept_condition(condition, rows)
        bound = self._passes.pop(rows, None) or self.bind(rows)
        self._passes[rows] = bound
        if len(self._passes) > PASSES_KEPT:
            self._passes.pop(next(iter(self._passes)))
        self.ops.copy(X, out=bound.X)
        if C is not None:
            self.ops.copy(C, out=bound.condition)
        return bound.forward(bound.X, train=train)

    @ignore_float_errors
    def backward(
        self, dY: Any, *, parameter_grads: bool = True, input_grad: bool = True
    ) -> Array | None:
        """Fill `parameters.grad` and return dX (B, in), for the latest `forward`.

        The gradients are overwritten, not added to: there is no zero_grad to forget.

        Raises:
            OrderError: there was no forward yet.
            ShapeError: dY is not of the output's shape.
            DTypeError: dY is not an array of numbers.
            ConfigError: a flag is neither True nor False.
        """
        if not self._passes:
            raise OrderError("backward was called before forward; call forward(X) first")
        dY = self.ops.from_host(checked_array("dY", dY, ops=self.ops), self.dtype)
        latest = next(reversed(self._passes.values()))
        return latest.backward(dY, parameter_grads=parameter_grads, input_grad=input_grad)

    @ignore_float_errors
    def predict(self, X: Any, condition: Any = None) -> Array:
        """Y = net(X) in evaluation mode: a copy, for any number of rows, in bounded memory.

        It takes a fixed number of rows at a time: 1,024, or fewer if the largest array between two
        layers would be more than 16 MiB. So a row's result does not depend on the number of rows. A
        layer that mixes rows even in evaluation mixes the rows that are taken together. Several
        threads may predict at the same time: each has a pass of its own.

        Args:
            X: (N, in); N any number >= 0 that is a multiple of the pack size.
            condition: (N, condition features), if the network reads one.

        Returns:
            Y (N, out), or (N/m, out) behind a `Pack` of m.

        Raises:
            ShapeError: wrong features, rows that are no multiple of the pack size, or a condition
                that is missing, not read, or of another shape.
            DTypeError: X or the condition is not an array of floating-point numbers.
        """
        X = self.accept(X)
        C = self.accept_condition(condition, X.shape[-2])
        unit = self.rows_multiple
        if X.shape[-2] % unit:
            raise ShapeError(f"predict was given {X.shape[-2]} rows; expected a multiple of {unit}")
        try:
            bound = self._predictors.pop()
        except IndexError:  # the first, or all are in use by other threads
            bound = self.bind(self._predict_rows())
        try:
            return self._predict(X, C, bound)
        finally:
            if len(self._predictors) < PASSES_KEPT:
                self._predictors.append(bound)

    def _predict_rows(self) -> int:
        """How many rows `predict` takes at a time."""
        unit = self.rows_multiple
        numbers = max(map(math.prod, self.shapes(unit))) * math.prod(self.population)
        fit = PREDICT_BYTES // (numbers * np.dtype(self.dtype).itemsize)
        return unit * max(1, min(PREDICT_ROWS // unit, fit))

    def _predict(self, X: Array, C: Array | None, bound: Pass) -> Array:
        n, rows, unit = X.shape[-2], bound.input_shape[-2], self.rows_multiple
        made, rest = divmod(bound.output_shape[-2] * unit, rows)  # rows out for `unit` rows in
        if rest:
            raise ShapeError(f"predict: {self.name} makes no whole number of rows of {unit} rows")
        shape = (*self.population, n // unit * made, bound.output_shape[-1])
        Y = self.ops.empty(shape, self.dtype)
        mixed = any(layer.mixes_rows_in_evaluation for layer in self.layers)
        for start in range(0, n, rows):
            stop = min(start + rows, n)
            count = stop - start
            if count < rows and mixed:  # no row may depend on an unused one
                bound = self.bind(count)
            self.ops.copy(X[..., start:stop, :], out=bound.X[..., :count, :])
            if C is not None:
                self.ops.copy(C[..., start:stop, :], out=bound.condition[..., :count, :])
            if count < bound.input_shape[-2]:  # the unused rows must hold something finite
                self.ops.fill(0.0, out=bound.X[..., count:, :])
                if C is not None:
                    self.ops.fill(0.0, out=bound.condition[..., count:, :])
            bound.forward(bound.X, train=False)
            first, last = start // unit * made, stop // unit * made
            self.ops.copy(bound.Y[..., : last - first, :], out=Y[..., first:last, :])
        return Y

    def split(self, at: int) -> tuple[Sequential, Sequential]:
        """The layers before number `at`, and the others, as two networks in the same memory.

        They share this network's parameters, gradients, buffers and streams: what one of them
        learns, this one has learned.
        (In a population their parameters have gaps in memory, which optimizers on a GPU refuse.)

        Raises:
            ConfigError: one of the two would have no layer.
        """
        if len(self.layers) == 1:
            raise ConfigError(f"{self.name} has one layer, and cannot be split")
        at = whole("split: at", at, 1, len(self.layers) - 1)
        return self._part(0, at), self._part(at, len(self.layers))

    def _part(self, start: int, stop: int) -> Sequential:
        features = self.shapes(self.rows_multiple)[start][1]
        where: dict[str, Any] = {"device": self.device, "dtype": self.dtype, "name": self.name}
        part = Sequential(*self.layers[start:stop], seed=self.seed, in_features=features, **where)
        vars(part)["streams"] = self.streams[start:stop]
        part.team = self.team
        for name in ("parameters", "buffers"):
            mine: FlatBuffer = getattr(self, name)
            names = {
                slot.name: f"{int(i) - start}.{rest}"
                for slot in mine.slots
                for i, _, rest in [slot.name.partition(".")]
                if start <= int(i) < stop
            }
            vars(part)[name] = mine.part(names)
        return part

    @ignore_float_errors
    def astype(self, dtype: str) -> Sequential:
        """The same network, weights and stream positions in another dtype, as a copy."""
        twin = copy.deepcopy(self)
        vars(twin).update(dtype=check_dtype(dtype), layers=self.layers)
        for name in ("parameters", "buffers"):
            mine = getattr(self, name)
            shapes = {slot.name: slot.shape for slot in mine.slots}
            vars(twin)[name] = type(mine)(self.ops, shapes, twin.dtype, self.population)
            self.ops.copy(mine.data, out=getattr(twin, name).data)
        return twin

    def settings(self) -> dict[str, Any]:
        """The settings as JSON."""
        return {
            "layers": [layer.to_config() for layer in self.layers],
            "seed": plain_seeds(self.seed),
            "dtype": self.dtype,
            "name": self.name,
            "in_features": self.in_features,
        }

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *context: Any) -> Sequential:
        """Make a network of `settings()`, untrained, on the device that `context` names."""
        settings = dict(settings)
        layers = [rebuild("layer", layer) for layer in settings.pop("layers")]
        (device,) = context or ("cpu",)
        return cls(*layers, device=device, **settings)

    @classmethod
    def from_config(cls, config: dict[str, Any], *, device: str = "cpu") -> Sequential:
        """Rebuild a network from `to_config()`; `ConfigError` if it is not one."""
        net = rebuild("network", config, device)
        assert isinstance(net, Sequential)
        return net

    def accept(self, X: Any, *, name: str = "X") -> Array:
        """Check an array from outside and return it on this device, in its own dtype.

        Args:
            X: anything array-like.
            name: what to call it in an error.

        Raises:
            DTypeError: not an array of floating-point numbers.
            ShapeError: not (batch, in), or (S, batch, in) for a population of S.
        """
        X = checked_array(name, X, FLOATS, self.ops)
        if X.ndim < 2 or X.shape[:-2] != self.population or X.shape[-1] != self.in_features:
            expected = ", ".join(str(n) for n in (*self.population, "batch", self.in_features))
            hint = "" if self.image is None else as_rows(X.shape, self.image)
            raise ShapeError(f"{name} has shape {X.shape}; expected ({expected}){hint}")
        return X

    def accept_condition(self, condition: Any, rows: int) -> Array | None:
        """Check the condition (rows, condition features) of a forward; None if there is none.

        Raises:
            ShapeError: it is missing, not read by this network, or of another shape.
            DTypeError: not an array of floating-point numbers.
        """
        k = self.condition_features
        if condition is None and not k:
            return None
        if not k:
            raise ShapeError(f"no layer of {self.name} reads a condition")
        expected = (*self.population, rows, k)
        if condition is None:
            raise ShapeError(f"{self.name} reads a condition {expected}: give condition=...")
        C = checked_array("the condition", condition, FLOATS, self.ops)
        if C.shape != expected:
            raise ShapeError(f"the condition has shape {C.shape}; expected {expected}")
        return C

    def __repr__(self) -> str:
        layers = ", ".join(repr(layer) for layer in self.layers)
        return f"Sequential({layers}, seed={self.seed}, dtype={self.dtype!r})"


def _by_layer(shapes: list[dict[str, Shape]]) -> dict[str, Shape]:
    """{"0.weight": (in, out), ...} of the shapes that each layer names."""
    return {f"{i}.{name}": s for i, named in enumerate(shapes) for name, s in named.items()}
