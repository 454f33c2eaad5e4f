"""Trace one training step: what flows through each layer, forward and backward.

The step is `gan.step()` itself, the one that training would take next; its layers only record what
they see (layer_trace.py). In an InfoGAN, the gradients follow that meet at the end of D's trunk.
Then comes what moved: the norm of each weight and bias, of its gradient and of its update.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minigan.backend import Array
from minigan.data import DataSource
from minigan.errors import ConfigError
from minigan.gan import Game
from minigan.gan.fit import check_data
from minigan.gan.losses import SCORE
from minigan.lessons.layer_trace import FLAT, PassTrace, Q, mean_and_std, observed_layers
from minigan.nn import BatchNorm, Sequential
from minigan.text import columns, loss_title, wrapped
from minigan.training.health import SAMPLES, SEED, Failure, diagnose

#: What is worth a remark at the end.
MUCH_DEAD = 0.5  # of a layer's units
LARGE, SMALL = 0.1, 1e-6  # of |update| / |value|
WEAK = 0.01  # of what G's loss can send into D's logits
FAR = 3.0  # of the means of samples and data, in standard deviations of the data
FADED = 1e-3  # of the gradient's size at the last layer, when it arrives at the first


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
class Meeting:
    """The gradients that meet at the end of D's trunk, for the generated samples of a half."""

    half: str  # "D's half" or "G's half"
    rows: int  # the generated samples
    from_head: float  # root mean square of what D's head sent down
    from_q: float  # the same of Q
    both: float  # of their sum
    cosine: float  # of the angle between the two, taken as vectors of all their numbers

    @classmethod
    def of(cls, q: PassTrace, head: PassTrace) -> Meeting:
        """From the traces of Q and of D's head on the same samples."""
        from_q = np.asarray(q.dX)  # (B, H)
        from_head = np.asarray(head.dX)[-len(from_q) :]  # (B, H), real samples come first
        head_size, q_size, both = map(_size, (from_head, from_q, from_head + from_q))
        product = float((from_head * from_q).mean())
        cosine = product / (head_size * q_size) if head_size * q_size else math.nan
        half = head.title.partition(" in ")[2]
        return cls(half, len(from_q), head_size, q_size, both, cosine)

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        sizes = (f"{x:.1e}" for x in (self.from_head, self.from_q, self.both))
        cosine = round(self.cosine, 2) + 0.0  # without a negative zero
        return (f"  {self.half}", str(self.rows), *sizes, f"{cosine:+.2f}", "")


@dataclass(frozen=True)
class StepTrace:
    """A whole step. `print(trace)` shows it."""

    step: int  # its number, from 1
    passes: tuple[PassTrace, ...]  # in the order in which they ran
    meetings: tuple[Meeting, ...]  # of an InfoGAN, for each backward pass of Q
    moved: tuple[ParameterRow, ...]  # every parameter of D, then of G, and of Q
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
        if self.meetings:
            head = ("", "rows", "from D's head", "from Q", "their sum", "cosine", "")
            rows = [head, *(meeting.cells() for meeting in self.meetings)]
            sections.append(f"{MEETING}\n{columns(rows)}")
        sections += [self._moved_table(), wrapped(f"Losses of this step: {', '.join(losses)}", 2)]
        remarks = self.remarks()
        if remarks:
            lines = (wrapped(f"  {remark}", 4) for remark in remarks)
            sections.append("\n".join([WORTH_A_LOOK, *lines]))
        return "\n\n".join([*sections, LEGEND])

    def _pass_table(self, one: PassTrace) -> str:
        title = TITLES.get(one.title, one.title)
        back = next((row.grad_rows for row in one.rows if row.grad_rows), 0)
        if one.network == "G" and not back:
            title += ", for D to learn from"
        elif back not in (0, one.rows[0].shape[0]):
            title += f" (dY of the last {back} rows)"
        given = [wrapped(f"  {one.given}", 4)] if one.given else []
        head = ("", "shape", "mean", "σ", "flat", "dead", "dY: mean", "σ", "")
        table = columns([head, *(row.cells() for row in one.rows)])
        return "\n".join([wrapped(title, 4), *given, table])

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
                        f"{one.title}, {row.layer}: {row.dead:.0%} of its units are flat for the "
                        "whole batch, and pass almost no gradient on"
                    )
            sizes = [row.grad_size for row in rows if row.grad_rows]
            if len(sizes) > 1 and sizes[-1] and sizes[0] < FADED * sizes[-1]:
                left = f"{sizes[0] / sizes[-1]:.0e} of its size"
                said.append(f"{one.title}: the gradient fades on its way back, to {left}")
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
            letter = moved.name.partition(" ")[0]
            if self.rates[letter] == 0.0 or not moved.value or moved.cancelled:
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
    "D in G's half": (
        "D scores G's samples; its gradient with respect to them is what G learns from"
    ),
    "D's trunk in D's half": "D's trunk: the layers that D's head and Q share; they learn",
    "D's head in D's half": "D's head scores the samples, and learns",
    "Q in D's half": "Q guesses the codes; only D's trunk learns from that, Q stays as it is",
    "Q on real images": "Q guesses the categories of real images, as targets for their copies",
    "D's trunk on moved copies": "D's trunk on moved copies of the real images; it learns",
    "Q on moved copies": "Q guesses the categories of the copies; it learns from them in G's half",
    "D's trunk in G's half": "D's trunk on G's samples; G learns from its gradient by them",
    "D's head in G's half": "D's head scores G's samples; only G learns from that",
    "Q in G's half": "Q guesses the codes; G learns from that, and so does Q",
}
MEETING = """\
What meets at the end of D's trunk: the gradients of the generated samples (root
mean square; cosine: 1 if both point the same way, -1 if they are opposite)"""
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
    in_order = ("discriminator", *(role for role in gan.networks if role != "discriminator"))
    roles = {role: gan.letter(role) for role in in_order}  # D moves first
    before = {role: gan.ops.to_host(gan.networks[role].parameters.data) for role in roles}
    if gan.step_count > gan.state()[1]["losses_since"]:
        gan.losses()  # so that those read below are of this step alone
    seen: list[PassTrace] = []
    gan.read(data)
    with observed_layers(gan, seen):
        gan.step()
    losses = gan.losses()
    moved = []
    for role, letter in roles.items():
        net = gan.networks[role]
        cancelled = _cancelled(net)
        grads = net.parameters.named_grads()
        old_values = net.parameters.views(before[role])
        for name, view in net.parameters.named().items():
            old, now = old_values[name], gan.ops.to_host(view)
            arrays = (old, gan.ops.to_host(grads[name]), now.astype("float64") - old)
            value, gradient, update = map(_norm, arrays)
            lost = name in cancelled
            moved.append(ParameterRow(f"{letter} {name}", value, gradient, update, lost))
    rates = {letter: gan.optimizers[role].rate for role, letter in roles.items()}
    meetings = [
        Meeting.of(q, head)  # D's head runs after Q
        for q, head in itertools.pairwise(seen)
        if q.network == Q and q.dX is not None and head.dX is not None
    ]
    message = None
    for one in filter(lambda one: one.for_G and gan.loss.output != SCORE, seen):
        logits = one.up_to_the_logits()[-1]
        # With respect to a logit, the gradient of a mean of n terms is at most 1/n.
        message = logits.grad_size * logits.grad_rows
    samples = mean_and_std(gan, gan.sample(SAMPLES, seed=SEED))
    real = mean_and_std(gan, data.reference(SAMPLES))
    failures = tuple(diagnose(history, gan.loss))
    return StepTrace(
        *(gan.step_count, tuple(seen), tuple(meetings), tuple(moved), rates, message, losses),
        *(samples, real, failures),
    )


def _cancelled(net: Sequential) -> set[str]:
    """The biases with a value for each channel of the BatchNorm right after them."""
    return {
        f"{i}.bias"
        for i, (layer, after) in enumerate(itertools.pairwise(net.layers))
        if isinstance(after, BatchNorm)
        and layer.parameter_shapes().get("bias") == (1, after.channels)
    }


def _size(X: Array) -> float:
    """The root mean square."""
    return math.sqrt(float((X**2).mean()))


def _norm(X: Array) -> float:
    return float(np.linalg.norm(X.astype("float64")))
