"""One adversarial step under the microscope: what flows through each layer, there and back.

The step is `gan.step()` itself, the one that training would take next; only the layers are made
to say what they saw. Of every layer, its activations Y and the gradient dY that reaches them on the
way back stand in one row, since they are about the same numbers. Then comes what moved: of
every weight and bias the norm, the norm of its gradient, and the norm of its update.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigan.backend import Array
from minigan.data import DataSource
from minigan.errors import ConfigError, ShapeError
from minigan.gan import Game
from minigan.gan.losses import SCORE
from minigan.nn import ELU, Layer, LayerPass, Sigmoid
from minigan.nn.layers.activations import ActivationPass
from minigan.text import columns, loss_title
from minigan.training.attach import replace

#: An activation is flat where its slope is below this share of the steepest slope there is.
FLAT = 0.05
#: What is worth a note at the end.
MUCH_DEAD = 0.5  # of a layer's units
LARGE, SMALL = 0.1, 1e-6  # of |update| / |value|
WEAK = 0.01  # of what G's loss can send into D's logits
FADED = 1e-3  # of the gradient's size at the first layer, beside that at the last


@dataclass
class LayerRow:
    """What one layer saw in one pass.

    Attributes:
        layer: "0 Linear".
        shape: of Y, without a population.
        mean, std: of Y.
        flat: the share of activations whose slope is below `FLAT` of the steepest: saturated,
            or switched off. None for layers that are no activations.
        dead: the share of units that are flat in every row of the batch; None as above.
        grad_rows: the rows of dY, the gradient that came back; 0 if none did.
        grad_mean, grad_std: of dY; None if there was none.
    """

    layer: str
    shape: tuple[int, ...]
    mean: float
    std: float
    flat: float | None = None
    dead: float | None = None
    grad_rows: int = 0
    grad_mean: float | None = None
    grad_std: float | None = None


@dataclass
class PassRows:
    """One pass of a network, forward and, if there was one, backward.

    Attributes:
        network: the title of the pass, such as "G", "D in its half" or "D as judge".
        rows: a row for each layer.
    """

    network: str
    rows: list[LayerRow] = field(default_factory=list)


@dataclass(frozen=True)
class MovedRow:
    """A parameter over the step: Euclidean norms.

    Attributes:
        name: "D 0.weight".
        value: before the step.
        gradient: the last one of the step.
        update: what the step added.
    """

    name: str
    value: float
    gradient: float
    update: float

    @property
    def ratio(self) -> float:
        """|update| / |value|; infinite for a value of zeros that moved."""
        if self.value:
            return self.update / self.value
        return math.inf if self.update else 0.0


@dataclass(frozen=True)
class StepWalk:
    """A whole step. `print(walk)` shows it.

    Attributes:
        step: its number, from 1.
        batch: real samples in it.
        passes: in the order in which they ran.
        moved: every parameter of D, then of G.
        rates: the learning rate of each in this step: {"D": ..., "G": ...}.
        message: the size of the gradient at D's logits in G's half, as a share of the largest that
            cross-entropy can send; None for another loss.
        losses: of this step, by name.
    """

    step: int
    batch: int
    passes: tuple[PassRows, ...]
    moved: tuple[MovedRow, ...]
    rates: dict[str, float]
    message: float | None
    losses: dict[str, float]

    def __str__(self) -> str:
        sections = [_pass_table(one) for one in self.passes]
        sections += [_moved_table(self.moved, self.rates), _loss_line(self.losses)]
        remarks = self.remarks()
        if remarks:
            sections.append("Worth a look\n" + "\n".join(f"  {remark}" for remark in remarks))
        return "\n\n".join([*sections, LEGEND])

    def remarks(self) -> list[str]:
        """What a practised eye would stop at, one sentence each."""
        said = []
        for one in self.passes:
            rows = _up_to_the_logits(one)
            for row in rows:
                if row.dead is not None and row.dead >= MUCH_DEAD and row.shape[0] > 1:
                    said.append(
                        f"{one.network}, {row.layer}: {row.dead:.0%} of its units are flat for the "
                        "whole batch, and pass almost no gradient on"
                    )
            sizes = [_size(row) for row in rows if row.grad_std is not None]
            if len(sizes) > 1 and sizes[-1] and sizes[0] < FADED * sizes[-1]:
                said.append(
                    f"{one.network}: the gradient fades on its way back, to "
                    f"{sizes[0] / sizes[-1]:.0e} of its size"
                )
        if self.message is not None and self.message < WEAK:
            said.append(
                f"D as judge: into D's logits G's loss sends {self.message:.1e} of the largest "
                "gradient there is. Either D takes G's samples for real, or the game is one in "
                "which a sure D silences G"
            )
        for role, rate in self.rates.items():
            if rate == 0.0:
                said.append(
                    f"{role} does not learn: its learning rate is 0, as at the end of many runs "
                    "(an earlier checkpoint shows it at work)"
                )
        for moved in self.moved:
            if self.rates[moved.name[0]] == 0.0 or not moved.value:  # a bias that begins at 0
                continue
            if moved.ratio > LARGE:
                said.append(f"{moved.name}: one step moved it by {moved.ratio:.0%} of its size")
            elif moved.ratio < SMALL:
                said.append(f"{moved.name}: hardly moves, by {moved.ratio:.0e} of its size a step")
        return said


LEGEND = f"""\
mean, σ    mean and standard deviation of the layer's output Y, and of the gradient dY that came
           back to it (none, where nobody asked for it)
flat       share of activations whose slope is below {FLAT:.0%} of the steepest: saturated, or off
dead       share of units that are flat in every row of the batch
|  |       Euclidean norm of all entries"""


def walk(gan: Game, data: DataSource) -> StepWalk:
    """Take the next step of a GAN's training, and tell what every layer saw.

    The step changes the GAN as any step does, reads its losses, and ends its being captured; so
    take one for it that nobody needs, such as a run that was opened with `load_run`.

    Args:
        gan: bound to its batch.
        data: where its real samples come from.

    Raises:
        ConfigError: a population, or a GAN that was not bound.
        ShapeError: the data do not fit the discriminator.
        NonFiniteError: the step ended in NaN or infinity.
    """
    if gan.population:
        raise ConfigError("one network is looked at, not a population")
    if not gan.batch:
        raise ConfigError("bind the GAN to its batch first: gan.bind(batch)")
    if data.features != gan.discriminator.in_features:
        raise ShapeError(
            f"the data have {data.features} features; "
            f"the discriminator takes {gan.discriminator.in_features}"
        )
    gan.capture(False)
    networks = [(role[0].upper(), net) for role, net in gan.networks.items()][::-1]  # D, then G
    before = {role: gan.ops.to_host(net.parameters.data) for role, net in networks}
    if gan.step_count > gan.state()[1]["losses_since"]:
        gan.losses()  # so that the ones below are of this step
    seen: list[PassRows] = []
    data.next_batch(out=gan.real)
    with listening(gan, seen):
        gan.step()
    losses = gan.losses()
    moved = []
    for role, net in networks:
        old = net.parameters.views(before[role])
        now = {name: gan.ops.to_host(view) for name, view in net.parameters.named().items()}
        grads = {name: gan.ops.to_host(g) for name, g in net.parameters.named_grads().items()}
        for name in now:
            moved.append(
                MovedRow(
                    f"{role} {name}",
                    _norm(old[name]),
                    _norm(grads[name]),
                    _norm(now[name].astype("float64") - old[name]),
                )
            )
    rates = {role[0].upper(): gan.optimizers[role].rate for role in [*gan.optimizers][::-1]}
    return StepWalk(
        gan.step_count, gan.batch, tuple(seen), tuple(moved), rates, _message(gan, seen), losses
    )


def _message(gan: Game, seen: list[PassRows]) -> float | None:
    """See `StepWalk.message`. By a logit, the gradient of a mean of n terms is at most 1/n."""
    judge = next((one for one in reversed(seen) if one.network == JUDGE), None)
    if gan.loss.output == SCORE or judge is None:
        return None
    logits = _up_to_the_logits(judge)[-1]
    return _size(logits) * logits.grad_rows


@contextlib.contextmanager
def listening(gan: Game, seen: list[PassRows]) -> Iterator[None]:
    """Inside, every layer of the GAN's passes adds what it sees to `seen`.

    Only attributes of the passes' layers are replaced, and they are put back.
    """
    last: dict[str, PassRows] = {}  # by network, the pass that backward belongs to
    with contextlib.ExitStack() as stack:

        def listen(network: str, i: int, definition: Layer, layer: LayerPass) -> None:
            forward, backward = layer.forward, layer.backward
            label = f"{i} {type(definition).__name__}"

            def heard_forward(X: Array, train: bool) -> Array:
                Y = forward(X, train)
                if i == 0:
                    last[network] = PassRows(network)
                    seen.append(last[network])
                last[network].rows.append(_forward_row(gan, label, definition, layer, Y))
                return Y

            def heard_backward(dY: Array, **wanted: bool) -> Array | None:
                _note_gradient(last[network].rows[i], gan.ops.to_host(dY))
                return backward(dY, **wanted)

            replace(stack, layer, "forward", heard_forward)
            replace(stack, layer, "backward", heard_backward)

        for network, whole in gan.passes():
            for bound in (whole, *whole.parts):
                for i, layer in enumerate(bound.layers):
                    listen(network, i, bound.net.layers[i], layer)
        yield


def _forward_row(gan: Game, label: str, definition: Layer, layer: LayerPass, Y: Array) -> LayerRow:
    """What a layer's forward made."""
    host = gan.ops.to_host(Y).astype("float64")  # (B, F)
    row = LayerRow(label, host.shape, float(host.mean()), float(host.std()))
    formula = getattr(type(layer), "apply_backward", ActivationPass.apply_backward)
    if isinstance(layer, ActivationPass) and formula is not ActivationPass.apply_backward:
        ops, dtype = gan.ops, str(Y.dtype)
        ones, slope = ops.empty(Y.shape, dtype), ops.empty(Y.shape, dtype)  # (B, F) each
        ops.fill(1.0, out=ones)
        layer.apply_backward(ones, Y, out=slope)  # the slope f'(X), whatever f is
        flat = np.abs(ops.to_host(slope)) < FLAT * _steepest(definition)  # (B, F)
        row.flat, row.dead = float(flat.mean()), float(flat.all(axis=0).mean())
    return row


def _steepest(layer: Layer) -> float:
    """The steepest slope that an activation has anywhere."""
    if isinstance(layer, Sigmoid):
        return 0.25
    return max(1.0, layer.alpha) if isinstance(layer, ELU) else 1.0


def _note_gradient(row: LayerRow, dY: Any) -> None:
    dY = dY.astype("float64")  # (B, F)
    row.grad_rows, row.grad_mean, row.grad_std = dY.shape[0], float(dY.mean()), float(dY.std())


def _norm(X: Any) -> float:
    return float(np.linalg.norm(np.asarray(X, dtype="float64")))


def _size(row: LayerRow) -> float:
    """The root of the mean square of the gradient."""
    assert row.grad_mean is not None
    assert row.grad_std is not None
    return math.hypot(row.grad_mean, row.grad_std)


# -- text -----------------------------------------------------------------------------------

JUDGE = "D as judge"
WHO = {
    "G": "G makes samples",
    "D in its half": "D judges real and generated samples, and learns",
    "D on real samples": "D judges real samples, and learns",
    "D on generated samples": "D judges generated samples, and learns",
    JUDGE: "D judges G's samples; its gradient by them is the message to G",
}


def _up_to_the_logits(one: PassRows) -> list[LayerRow]:
    """The rows of a pass without a sigmoid that turns logits into probabilities at its end.

    That one is no part of the way: its small slope cancels against the loss's large gradient.
    """
    ends_in_one = one.network != "G" and one.rows[-1].layer.endswith(" Sigmoid")
    return one.rows[:-1] if ends_in_one else one.rows


def _pass_table(one: PassRows) -> str:
    table: list[tuple[str, ...]] = [("", "shape", "mean", "σ", "flat", "dead", "dY: mean", "σ", "")]
    back = next((row.grad_rows for row in one.rows if row.grad_rows), 0)
    part = f"(dY of the last {back} rows)" if back not in (0, one.rows[0].shape[0]) else ""
    for row in one.rows:
        table.append(
            (
                f"  {row.layer}",
                " x ".join(str(n) for n in row.shape),
                f"{row.mean:+.4f}",
                f"{row.std:.4f}",
                _share(row.flat),
                _share(row.dead),
                "" if row.grad_mean is None else f"{row.grad_mean:+.2e}",
                "" if row.grad_std is None else f"{row.grad_std:.2e}",
                "",
            )
        )
    return " ".join(filter(None, (WHO.get(one.network, one.network), part))) + "\n" + columns(table)


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _moved_table(moved: tuple[MovedRow, ...], rates: dict[str, float]) -> str:
    table: list[tuple[str, ...]] = [("", "|value|", "|gradient|", "|update|", "update / value", "")]
    for row in moved:
        cells = (row.value, row.gradient, row.update, row.ratio)
        table.append((f"  {row.name}", *(f"{x:.3g}" for x in cells), ""))
    told = ", ".join(f"{rate:.3g} of {role}" for role, rate in rates.items())
    return f"What moved (learning rate {told})\n" + columns(table)


def _loss_line(losses: dict[str, float]) -> str:
    told = ", ".join(f"{loss_title(name)} {loss:.4f}" for name, loss in losses.items())
    return f"Losses of this step: {told}"
