"""Trace one training step: what flows through each layer, forward and backward.

The step is `gan.step()` itself, the one that training would take next; its layers only record what
they see. A layer's output Y and the gradient dY that comes back to it stand in one row, since both
belong to the same array. Then comes what moved: the norm of each weight and bias, of its gradient
and of its update.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from minigan.backend import Array
from minigan.data import DataSource
from minigan.errors import ConfigError
from minigan.gan import Game
from minigan.gan.fit import check_data
from minigan.gan.losses import SCORE
from minigan.nn import BatchNorm, Layer, LayerPass, Sequential
from minigan.nn.layers.activations import ActivationPass
from minigan.text import columns, loss_title, times, wrapped
from minigan.training.health import SAMPLES, SEED, Failure, diagnose

#: An activation is flat where its slope is below this share of its steepest slope.
FLAT = 0.05
#: What is worth a remark at the end.
MUCH_DEAD = 0.5  # of a layer's units
LARGE, SMALL = 0.1, 1e-6  # of |update| / |value|
WEAK = 0.01  # of what G's loss can send into D's logits
FAR = 3.0  # of the means of samples and data, in standard deviations of the data
FADED = 1e-3  # of the gradient's size at the last layer, when it arrives at the first


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

    @property
    def for_G(self) -> bool:
        """Whether D runs for G to learn from."""
        return self.network.startswith("D") and self.network not in TITLES

    def up_to_the_logits(self) -> list[LayerRow]:
        """The rows without a sigmoid at D's end, which turns logits into probabilities.

        Its small slope cancels against the loss's large gradient.
        """
        of_D, last = self.network.startswith("D"), self.rows[-1].layer
        return self.rows[:-1] if of_D and last.endswith(" Sigmoid") else self.rows


@dataclass(frozen=True)
class ParameterRow:
    """A parameter in the step: Euclidean norms."""

    name: str  # "D 0.weight"
    value: float  # before the step
    gradient: float  # the last one of the step
    update: float  # what the step added
    cancelled: bool  # a bias that the BatchNorm after it subtracts again

    @property
    def ratio(self) -> float:
        """|update| / |value|; infinite for a value of zeros that moved."""
        if self.value:
            return self.update / self.value
        return math.inf if self.update else 0.0

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        numbers = (self.value, self.gradient, self.update, self.ratio)
        return (f"  {self.name}", *(f"{x:.3g}" for x in numbers), "")


@dataclass(frozen=True)
class StepTrace:
    """A whole step. `print(trace)` shows it."""

    step: int  # its number, from 1
    passes: tuple[PassTrace, ...]  # in the order in which they ran
    moved: tuple[ParameterRow, ...]  # every parameter of D, then of G
    rates: dict[str, float]  # the learning rate of each in this step: {"D": ..., "G": ...}
    # the size of the gradient at D's logits in G's half, as a share of the largest that
    # cross-entropy can send; None for another loss
    message: float | None
    losses: dict[str, float]  # of this step, by name
    samples: tuple[float, float]  # mean and standard deviation of all numbers of 1,000 samples
    real: tuple[float, float]  # the same of real ones
    failures: tuple[Failure, ...]  # that the run's history shows

    def __str__(self) -> str:
        losses = (f"{loss_title(name)} {loss:.4f}" for name, loss in self.losses.items())
        sections = [self._pass_table(one) for one in self.passes]
        sections += [self._moved_table(), f"Losses of this step: {', '.join(losses)}"]
        remarks = self.remarks()
        if remarks:
            lines = (wrapped(f"  {remark}", 4) for remark in remarks)
            sections.append("\n".join([WORTH_A_LOOK, *lines]))
        return "\n\n".join([*sections, LEGEND])

    def _pass_table(self, one: PassTrace) -> str:
        title = MESSAGE if one.for_G else TITLES.get(one.network, one.network)
        back = next((row.grad_rows for row in one.rows if row.grad_rows), 0)
        if one.network == "G" and not back:
            title += ", for D to learn from"
        elif back not in (0, one.rows[0].shape[0]):
            title += f" (dY of the last {back} rows)"
        head = ("", "shape", "mean", "σ", "flat", "dead", "dY: mean", "σ", "")
        return title + "\n" + columns([head, *(row.cells() for row in one.rows)])

    def _moved_table(self) -> str:
        head = ("", "|value|", "|gradient|", "|update|", "update / value", "")
        rates = ", ".join(f"{rate:.3g} of {role}" for role, rate in self.rates.items())
        return f"What moved (learning rate {rates})\n" + columns(
            [head, *(row.cells() for row in self.moved)]
        )

    def remarks(self) -> list[str]:
        """What an experienced reader would notice, one sentence each."""
        said = [f"{failure}: {failure.advice}" for failure in self.failures]
        (mean, std), (real_mean, real_std) = self.samples, self.real
        if abs(mean - real_mean) > FAR * real_std:
            said.append(
                f"G's samples are far from the data: mean {mean:.3g} and σ {std:.3g}, of the real "
                f"ones {real_mean:.3g} and {real_std:.3g}"
            )
        for one in self.passes:
            rows = one.up_to_the_logits()
            for row in rows:
                if row.dead >= MUCH_DEAD and row.shape[0] > 1:
                    said.append(
                        f"{one.network}, {row.layer}: {row.dead:.0%} of its units are flat for the "
                        "whole batch, and pass almost no gradient on"
                    )
            sizes = [row.grad_size for row in rows if row.grad_rows]
            if len(sizes) > 1 and sizes[-1] and sizes[0] < FADED * sizes[-1]:
                left = f"{sizes[0] / sizes[-1]:.0e} of its size"
                said.append(f"{one.network}: the gradient fades on its way back, to {left}")
        if self.message is not None and self.message < WEAK:
            said.append(
                f"G's loss sends only {self.message:.1e} of the largest possible gradient into D's "
                "logits. Either D takes G's samples for real, or in this game a D that is sure "
                "silences G"
            )
        for role, rate in self.rates.items():
            if rate == 0.0:
                said.append(
                    f"{role} does not learn: its learning rate is 0, as at the end of many runs "
                    "(an earlier checkpoint shows it at work)"
                )
        cancelled = [moved.name for moved in self.moved if moved.cancelled]
        if cancelled:
            said.append(
                f"{', '.join(cancelled)}: without effect, since BatchNorm subtracts the mean right "
                "after it (bias=False leaves it out)"
            )
        for moved in self.moved:
            if self.rates[moved.name[0]] == 0.0 or not moved.value or moved.cancelled:
                continue
            # A bias often begins at 0, of which the first steps are a large share.
            if moved.ratio > LARGE and not moved.name.endswith(("bias", "beta")):
                said.append(f"{moved.name}: one step moved it by {moved.ratio:.0%} of its size")
            elif moved.ratio < SMALL:
                said.append(f"{moved.name}: hardly moves, by {moved.ratio:.0e} of its size")
        return said


TITLES = {
    "G": "G makes samples",
    "D in its half": "D scores real and generated samples, and learns",
    "D on real samples": "D scores real samples, and learns",
    "D on generated samples": "D scores generated samples, and learns",
}
MESSAGE = "D scores G's samples; its gradient with respect to them is what G learns from"
WORTH_A_LOOK = "Worth a look"
LEGEND = f"""\
mean, σ    mean and standard deviation of the layer's output Y, and of the
           gradient dY that came back to it (empty where none was needed)
flat       share of activations whose slope is below {FLAT:.0%} of the steepest:
           saturated, or off
dead       share of units that are flat in every row of the batch; a unit of a
           convolution is a channel, with all its pixels
|  |       Euclidean norm of all entries"""


def trace_step(gan: Game, data: DataSource, history: Sequence[dict[str, float]] = ()) -> StepTrace:
    """Take the next step of a GAN's training, and return what every layer saw.

    The step changes the GAN as any step does, reads its losses, and ends its capture. So use a GAN
    that is not needed any more, such as a run that was opened with `load_run`.

    Args:
        gan: bound to its batch.
        data: where its real samples come from.
        history: the rows of its run up to this step, in which failures are looked for.

    Raises:
        ConfigError: a population, or a GAN that was not bound.
        ShapeError, DTypeError: the data do not fit the discriminator.
        NonFiniteError: the step ended in NaN or infinity.
    """
    if gan.population:
        raise ConfigError("a step of one GAN can be traced, not of a population")
    if not gan.batch:
        raise ConfigError("bind the GAN to its batch first: gan.bind(batch)")
    check_data(gan, data)
    gan.capture(False)
    networks = [(role[0].upper(), net) for role, net in gan.networks.items()][::-1]  # D, then G
    before = {role: gan.ops.to_host(net.parameters.data) for role, net in networks}
    if gan.step_count > gan.state()[1]["losses_since"]:
        gan.losses()  # so that those read below are of this step alone
    seen: list[PassTrace] = []
    gan.read(data)
    with observed_layers(gan, seen):
        gan.step()
    losses = gan.losses()
    moved = []
    for role, net in networks:
        cancelled = _cancelled(net)
        grads = net.parameters.named_grads()
        old_values = net.parameters.views(before[role])
        for name, view in net.parameters.named().items():
            old, now = old_values[name], gan.ops.to_host(view)
            arrays = (old, gan.ops.to_host(grads[name]), now.astype("float64") - old)
            value, gradient, update = map(_norm, arrays)
            lost = name in cancelled
            moved.append(ParameterRow(f"{role} {name}", value, gradient, update, lost))
    rates = {role[0].upper(): gan.optimizers[role].rate for role in [*gan.optimizers][::-1]}
    message = None
    for one in filter(lambda one: one.for_G and gan.loss.output != SCORE, seen):
        logits = one.up_to_the_logits()[-1]
        # With respect to a logit, the gradient of a mean of n terms is at most 1/n.
        message = logits.grad_size * logits.grad_rows
    samples = _mean_and_std(gan, gan.sample(SAMPLES, seed=SEED))
    real = _mean_and_std(gan, data.reference(SAMPLES))
    failures = tuple(diagnose(history))
    return StepTrace(
        gan.step_count, tuple(seen), tuple(moved), rates, message, losses, samples, real, failures
    )


def _cancelled(net: Sequential) -> set[str]:
    """The biases with a value for each channel of the BatchNorm right after them."""
    return {
        f"{i}.bias"
        for i, (layer, after) in enumerate(itertools.pairwise(net.layers))
        if isinstance(after, BatchNorm)
        and layer.parameter_shapes().get("bias") == (1, after.channels)
    }


def _norm(X: Array) -> float:
    return float(np.linalg.norm(X.astype("float64")))


@contextlib.contextmanager
def observed_layers(gan: Game, seen: list[PassTrace]) -> Iterator[None]:
    """Inside, every layer of the GAN's passes adds what it sees to `seen`.

    Only attributes of the passes' layers are replaced, and they are restored at the end.
    """
    last: dict[str, PassTrace] = {}  # by network, the pass that backward belongs to
    with contextlib.ExitStack() as stack:

        def record(network: str, i: int, net: Sequential, layer: LayerPass) -> None:
            definition, channels = net.layers[i], _channels(net.layers[:i])
            forward, backward = layer.forward, layer.backward

            def recorded_forward(X: Array, train: bool) -> Array:
                Y = forward(X, train)
                if i == 0:
                    last[network] = PassTrace(network)
                    seen.append(last[network])
                label, of_Y = f"{i} {type(definition).__name__}", _mean_and_std(gan, Y)
                bent = _flat_and_dead(definition, layer, Y, channels)
                row = LayerRow(label, Y.shape, *of_Y, *bent)
                last[network].rows.append(row)
                return Y

            def recorded_backward(dY: Array, **wanted: bool) -> Array | None:
                row = last[network].rows[i]
                row.grad_rows = dY.shape[0]
                row.grad_mean, row.grad_std = _mean_and_std(gan, dY)
                return backward(dY, **wanted)

            vars(layer)["forward"] = recorded_forward
            stack.callback(vars(layer).pop, "forward")
            vars(layer)["backward"] = recorded_backward
            stack.callback(vars(layer).pop, "backward")

        for network, whole in gan.passes():
            for bound in (whole, *whole.parts):
                for i, layer in enumerate(bound.layers):
                    record(network, i, bound.net, layer)
        yield


def _mean_and_std(gan: Game, X: Array) -> tuple[float, float]:
    X = gan.ops.to_host(X).astype("float64")  # (B, F)
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
