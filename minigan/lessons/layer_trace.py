"""What every layer of a game's passes sees in a step: numbers of Y and of dY.

A layer's output Y and the gradient dY that comes back to it stand in one row, since both belong to
the same array.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from minigan.backend import Array
from minigan.gan import Game
from minigan.nn import Layer, LayerPass, Pass, Sequential
from minigan.nn.layers.activations import ActivationPass
from minigan.text import times

#: An activation is flat where its slope is below this share of its steepest slope.
FLAT = 0.05
#: The titles of an InfoGAN's passes of D, of which both halves of a step have one.
TRUNK, HEAD, Q = "D's trunk", "D's head", "Q"


@dataclass
class LayerRow:
    """What one layer saw in one pass."""

    layer: str  # "0 Linear"
    shape: tuple[int, ...]  # of Y
    mean: float  # of Y
    std: float  # of Y
    # the share of activations whose slope is below `FLAT` of the steepest: saturated, or switched
    # off. NaN for layers that are not activations.
    flat: float
    # the share of units that are flat in every row of the batch; after a convolution the units are
    # channels, which are dead if they are flat in every pixel, too. NaN as above.
    dead: float
    grad_rows: int = 0  # the rows of dY, the gradient that came back; 0 if none did
    grad_mean: float = math.nan  # of dY; NaN if none came back
    grad_std: float = math.nan

    @property
    def grad_size(self) -> float:
        """The root mean square of dY."""
        return math.hypot(self.grad_mean, self.grad_std)

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        mean = round(self.mean, 4) + 0.0  # without a negative zero
        activations = f"{mean:+.4f}", f"{self.std:.4f}", f"{self.flat:.0%}", f"{self.dead:.0%}"
        gradients = f"{self.grad_mean:+.1e}", f"{self.grad_std:.1e}"
        texts = ("" if "nan" in text else text for text in (*activations, *gradients))
        return (f"  {self.layer}", times(self.shape), *texts, "")


@dataclass
class PassTrace:
    """One pass of a network: forward and, if there was one, backward."""

    network: str  # the title of the pass, such as "G" or "D in its half"
    rows: list[LayerRow] = field(default_factory=list)  # a row for each layer
    learns: bool = False  # whether backward made the gradients of its parameters
    given: str = ""  # the condition that it was given, in words
    dX: Array | None = None  # (B, H) on the host, what a head of D's trunk sent into it

    @property
    def title(self) -> str:
        """As `network`, with the half of the step if both halves have such a pass."""
        if self.network not in (TRUNK, HEAD, Q):
            return self.network
        # In D's half the trunk and the head learn, and Q does not; in G's half Q alone learns.
        return f"{self.network} in {'D' if self.learns != (self.network == Q) else 'G'}'s half"

    @property
    def for_G(self) -> bool:
        """Whether D's output is that which G learns from."""
        return self.title in ("D in G's half", "D's head in G's half")

    def up_to_the_logits(self) -> list[LayerRow]:
        """The rows without a sigmoid at D's end, which turns logits into probabilities.

        Its small slope cancels against the loss's large gradient.
        """
        of_D, last = self.network.startswith("D") and TRUNK not in self.network, self.rows[-1].layer
        return self.rows[:-1] if of_D and last.endswith(" Sigmoid") else self.rows


@contextlib.contextmanager
def observed_layers(game: Game, seen: list[PassTrace]) -> Iterator[None]:
    """Inside, every layer of the game's passes adds what it sees to `seen`.

    Only attributes of the passes' layers are replaced, and they are restored at the end.
    """
    last: dict[int, PassTrace] = {}  # by the whole pass, the trace that backward belongs to
    with contextlib.ExitStack() as stack:

        def record(network: str, whole: Pass, bound: Pass, i: int) -> None:
            layer, key = bound.layers[i], id(whole)
            before = bound.net.layers[:i]
            if network == HEAD:  # the network is D's end
                before = (*game.discriminator.layers[: -len(bound.net.layers)], *before)
            definition, channels = bound.net.layers[i], _channels(before)
            label = f"{len(before)} {type(definition).__name__}"
            forward, backward = layer.forward, layer.backward

            def recorded_forward(X: Array, train: bool) -> Array:
                Y = forward(X, train)
                if i == 0:
                    last[key] = PassTrace(network, given=_given(game, bound))
                    seen.append(last[key])
                of_Y = mean_and_std(game, Y)
                bent = _flat_and_dead(definition, layer, Y, channels)
                last[key].rows.append(LayerRow(label, Y.shape, *of_Y, *bent))
                return Y

            def recorded_backward(dY: Array, **wanted: bool) -> Array | None:
                trace = last[key]
                trace.learns = wanted.get("parameter_grads", True)
                row = trace.rows[i]
                row.grad_rows = dY.shape[0]
                row.grad_mean, row.grad_std = mean_and_std(game, dY)
                dX = backward(dY, **wanted)
                if i == 0 and network in (HEAD, Q):
                    trace.dX = game.ops.to_host(dX).astype("float64")
                return dX

            vars(layer)["forward"] = recorded_forward
            stack.callback(vars(layer).pop, "forward")
            vars(layer)["backward"] = recorded_backward
            stack.callback(vars(layer).pop, "backward")

        for network, whole in game.passes():
            for bound in (whole, *whole.parts):
                for i in range(len(bound.layers)):
                    record(network, whole, bound, i)
        yield


def _given(game: Game, bound: Pass) -> str:
    """The condition of a pass in words; "" if it has none."""
    if bound.condition is None:
        return ""
    C, K = game.ops.to_host(bound.condition).astype("float64"), game.classes  # (B, k)
    rows = ", ".join(f"{n:.0f}" for n in C[:, :K].sum(axis=0))
    what = "labels" if game.takes_labels else "codes: categories"
    said = f"given {what} 0 to {K - 1}, in {rows} rows"
    if C.shape[1] > K:
        mean = round(C[:, K:].mean(), 2) + 0.0  # without a negative zero
        said += f"; continuous codes of mean {mean:+.2f} and σ {C[:, K:].std():.2f}"
    return said


def mean_and_std(game: Game, X: Array) -> tuple[float, float]:
    X = game.ops.to_host(X).astype("float64")  # (B, F)
    return float(X.mean()), float(X.std())


def _channels(before: Sequence[Layer]) -> int | None:
    """The channels of an activation after these layers, if they share their weights over pixels."""
    weighted = [layer for layer in before if "weight" in layer.parameter_shapes()]
    image = getattr(weighted[-1], "output_image", None) if weighted else None
    return None if image is None else int(image.channels)


def _flat_and_dead(
    definition: Layer, layer: LayerPass, Y: Array, channels: int | None
) -> tuple[float, float]:
    """See `LayerRow`."""
    formula = getattr(type(layer), "apply_backward", ActivationPass.apply_backward)
    if not isinstance(layer, ActivationPass) or formula is ActivationPass.apply_backward:
        return math.nan, math.nan
    ops, dtype = layer.ops, str(Y.dtype)
    ones, slope = ops.empty(Y.shape, dtype), ops.empty(Y.shape, dtype)  # (B, F) each
    ops.fill(1.0, out=ones)
    layer.apply_backward(ones, Y, out=slope)  # the slope f'(X), whatever f is
    flat = np.abs(ops.to_host(slope)) < FLAT * _steepest(definition)  # (B, F)
    units = flat if channels is None else flat.reshape(-1, channels)  # (B n, c)
    return float(flat.mean()), float(units.all(axis=0).mean())


def _steepest(activation: Layer) -> float:
    """The steepest slope of an activation between -8 and 8."""
    X = np.linspace(-8.0, 8.0, 1601)[:, None]  # (n, 1)
    net = Sequential(activation, in_features=1, dtype="float64")
    net.forward(X)
    slope = np.asarray(net.backward(np.ones_like(X)))  # (n, 1)
    return float(np.abs(slope).max())
