"""A game: networks that learn against each other, and what is the same in every such game.

A game of your own is a subclass with two methods. `bind_step(batch)` makes the passes and buffers
of a step; `play()` is the kernels of a step, in the order of the paper. gan.py has both for the
plain GAN. Networks, loss, noise, penalty and constraint are arguments.

No kernel of a step reads a value back or allocates memory, and every step is the same sequence of
kernels. So a step can be recorded and replayed (`capture`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from minigan.backend import Array, Seeds, Stream
from minigan.backend.float_errors import ignore_float_errors
from minigan.checks import flag, whole
from minigan.config import Part, rebuild, require_readable
from minigan.errors import ConfigError, OrderError, ShapeError
from minigan.gan.average import MovingAverage
from minigan.gan.binding import Bound, bind_again, make_binding, parts_of_a_step, passes_of
from minigan.gan.constraints import Constraint
from minigan.gan.definition import arguments_of, require_readable_parts, settings_of
from minigan.gan.fit import (
    check_conditions,
    check_output,
    check_parts,
    check_plain,
    checked_inputs,
)
from minigan.gan.losses import Loss, NonSaturating
from minigan.gan.noise import Noise
from minigan.gan.penalties import Penalty
from minigan.gan.recording import Recording
from minigan.gan.records import Formula, Records
from minigan.gan.sampling import Sampling
from minigan.gan.state import load_state, require_finite, state_of
from minigan.nn import Adam, Optimizer, Pass, Sequential

MOST_UPDATES = 1000  # of a player in one step
_ANOTHER = "make another GAN: what a step does is fixed when it is bound"


class Game(Sampling, Bound, Part):
    """A generator, a discriminator, and the step that trains them against each other.

    Args:
        generator: noise (B, dim) -> samples (B, features). Give the two networks different names
            or seeds; otherwise their layers of the same shape start with the same weights.
        discriminator: samples -> logits or scores (B, 1); (B/m, 1) if it begins with a `Pack`.
        noise: the distribution of the generator's input.
        loss: of both players; by default `NonSaturating()`, on logits.
        generator_optimizer, discriminator_optimizer: by default Adam with its defaults.
            Two learning rates make it TTUR (Heusel et al. 2017).
        penalty: a term added to D's loss, or None.
        constraint: on D's parameters after each of its updates, or None.
        average: decay of the moving average of G's weights that samples are drawn with,
            or None to sample from G itself.
        same_noise: G's half reuses the noise of D's half, so G runs once per step.
        d_steps, g_steps: updates of each player in one step, 1 to 1,000. Every update of D gets
            new generated samples (unless `same_noise`).
        fresh_real: every update of D also gets new real samples, d_steps B in a step. By default
            all updates of a step get the same B.
        seed: of the noise streams; a sequence for a population. By default the generator's.

    Attributes:
        networks, optimizers: by role: "generator", "discriminator", and those of `more_networks`.
        real: (samples_per_step, features), once bound: where a step expects its real samples.
        takes_labels: whether a step takes the labels of its real samples.
        records: the losses so far.
        step_count: steps taken.
        columns: the names of the losses, each with the likely cause if it is the first to become
            NaN. A class lists its own; those of the loss and of the penalty are added.
        titles: the title of each pass, by the attribute that `bind_step` sets to it.
        more_networks: further networks of a subclass with their optimizers, by role. It sets them
            before it calls `Game.__init__`.
        more_streams: the names of its further random streams.
        letters: what a network is called in texts, by role; by default the role's first letter.
        capturable: whether `play` only calls passes, parts and `self.ops`, on the same arrays each
            time. A subclass does not inherit it.

    Raises:
        ConfigError, ShapeError: parts that do not fit each other.
    """

    kind: ClassVar[str] = "game"
    capturable: ClassVar[bool] = False
    columns: Mapping[str, str] = {}
    titles: ClassVar[Mapping[str, str]] = {}
    takes_labels: ClassVar[bool] = False
    more_networks: Mapping[str, tuple[Sequential, Optimizer | None]] = {}
    more_streams: ClassVar[Sequence[str]] = ()
    letters: ClassVar[Mapping[str, str]] = {}
    fixed: ClassVar[dict[str, str]] = {
        **dict.fromkeys(
            (
                *("networks", "optimizers", "generator", "discriminator", "generator_optimizer"),
                *("discriminator_optimizer", "noise", "penalty", "constraint", "average", "seed"),
                *("same_noise", "d_steps", "g_steps", "fresh_real", "streams", "records", "ops"),
                *("recording", "population", "sampler", "columns"),
            ),
            _ANOTHER,
        ),
        "real": "write into it, gan.real[...] = samples, or use gan.step(samples)",
        "loss": "use gan.set_loss(loss)",
        "batch": "use gan.bind(batch)",
    }
    not_copied: ClassVar[dict[str, Any]] = {"_bound": {}}
    real: Array

    def __init__(
        self,
        generator: Sequential,
        discriminator: Sequential,
        noise: Noise,
        loss: Loss | None = None,
        generator_optimizer: Optimizer | None = None,
        discriminator_optimizer: Optimizer | None = None,
        *,
        penalty: Penalty | None = None,
        constraint: Constraint | None = None,
        average: float | None = None,
        same_noise: bool = False,
        d_steps: int = 1,
        g_steps: int = 1,
        fresh_real: bool = False,
        seed: Seeds | None = None,
    ) -> None:
        name = type(self).__name__
        players = {
            "generator": (generator, generator_optimizer),
            "discriminator": (discriminator, discriminator_optimizer),
            **self.more_networks,
        }
        for role, (net, _) in players.items():
            if not isinstance(net, Sequential):
                raise ConfigError(f"{name}: {role} must be a Sequential, not {net!r}")
        # Read-only: a bound step holds references to them.
        self.networks = MappingProxyType({role: net for role, (net, _) in players.items()})
        self.optimizers = MappingProxyType(
            {
                role: Adam(net.parameters) if optimizer is None else optimizer
                for role, (net, optimizer) in players.items()
            }
        )
        self.noise = noise
        self.loss = NonSaturating() if loss is None else loss
        self.penalty = penalty
        self.constraint = constraint
        self.average = None if average is None else MovingAverage(generator, average)
        self.same_noise = flag(f"{name}: same_noise", same_noise)
        self.d_steps = whole(f"{name}: d_steps", d_steps, 1, MOST_UPDATES)
        self.g_steps = whole(f"{name}: g_steps", g_steps, 1, MOST_UPDATES)
        self.fresh_real = flag(f"{name}: fresh_real", fresh_real)
        self.seed = generator.seed if seed is None else seed
        self.ops = generator.ops
        self.population = generator.population
        check_parts(self)
        self.check_fit()
        if penalty is not None:
            penalty.check_fit(discriminator)
        self.columns = self.name_columns()
        names = ["discriminator_noise", "generator_noise", "sample", *self.more_streams]
        names += ["penalty"] if penalty else []
        self.streams = MappingProxyType({name: Stream(self.seed, f"gan/{name}") for name in names})
        self.batch = 0  # B, once bound
        self.rows = 0  # those of a batch that this process computes: B, unless a team shares it
        self.team: Any = None  # the `minigan.parallel.Team` that takes the steps, during training
        self.step_count = 0
        self._bound: dict[str, Any] = {}  # what `bind_step` has set, and what was there before
        self.prepare_records()

    def prepare_records(self) -> None:
        """Begin new records of the losses, and let the next step be recorded, not replayed."""
        self.records = Records(self.ops, self.generator.dtype, self.population, [*self.columns])
        self.recording = Recording(self.ops, (Game, Pass))

    @property
    def generator(self) -> Sequential:
        """The network that makes samples."""
        return self.networks["generator"]

    @property
    def discriminator(self) -> Sequential:
        """The network that learns to distinguish real samples from generated ones."""
        return self.networks["discriminator"]

    @property
    def generator_optimizer(self) -> Optimizer:
        """The optimizer of the generator."""
        return self.optimizers["generator"]

    @property
    def discriminator_optimizer(self) -> Optimizer:
        """The optimizer of the discriminator."""
        return self.optimizers["discriminator"]

    def letter(self, role: str) -> str:
        """What the network of a role is called in texts: "G", "D"."""
        return self.letters.get(role, role[0].upper())

    def check_loss(self, loss: Loss) -> None:
        """Raise `ConfigError` unless it is a registered `Loss` that fits D."""
        if not isinstance(loss, Loss):
            raise ConfigError(f"{type(self).__name__}: loss must be a Loss, not {loss!r}")
        require_readable(loss)
        check_output(self.discriminator, loss)
        if loss.columns != self.loss.columns:
            raise ConfigError(
                f"{loss} reports other columns than {self.loss}; make another {type(self).__name__}"
            )

    def set_loss(self, loss: Loss) -> None:
        """Continue with another loss, which is part of the state from now on.

        Raises:
            ConfigError: as `check_loss`.
        """
        self.check_loss(loss)
        self.records.make()  # with the old loss
        vars(self)["loss"] = loss
        bind_again(self)

    # -- what a subclass defines --------------------------------------------------------

    def check_fit(self) -> None:
        """Raise `ConfigError` or `ShapeError` unless the parts fit each other.

        By default D must take the samples that G makes of the noise, and end in one number; and no
        network may read a condition.
        """
        check_plain(self)
        check_conditions(self, generator=0, discriminator=0)

    def name_columns(self) -> dict[str, str]:
        """`columns` of this object: those of the class, of the loss and of the penalty."""
        penalty = {} if self.penalty is None else self.penalty.columns
        return {**type(self).columns, **self.loss.columns, **penalty}

    def bind_step(self, batch: int) -> None:
        """Make the passes (as attributes) and buffers of a step, for `batch` rows of its samples.

        It sets `self.real`, and calls `keep` for the losses, in the order of `columns`.
        """
        raise NotImplementedError

    def play(self) -> None:
        """The kernels of a step: all updates of D and of G, and of the averaged G."""
        raise NotImplementedError

    def buffers(self) -> dict[str, Array]:
        """By name, the arrays of a game of your own that keep a value from step to step.

        They are saved with the game. `bind_step` makes them and writes their first values.
        """
        return {}

    def parts(self) -> list[Part]:
        """The noise, the loss, and the other parts that there are."""
        parts = (self.noise, self.loss, self.penalty, self.constraint)
        return [part for part in parts if part is not None]

    def inputs(self) -> dict[str, Array]:
        """By name, the arrays where a step expects its data, once bound."""
        return {"real": self.real}

    def read(self, data: Any) -> None:
        """Write the next samples of a data source to where a step expects them."""
        data.next_batch(out=self.real)

    def keep(self, arrays: Sequence[Array], formula: Formula, columns: int | None = None) -> None:
        """Compute losses from the values of some arrays after each step.

        Args:
            arrays: any (rows, features) of the step.
            formula: (kept, out): kept has an array (K, rows * features) for each of `arrays`;
                the losses of these K steps go to out (K, columns).
            columns: how many; by default all of the class and of its loss.
        """
        if columns is None:
            columns = len(type(self).columns) + len(self.loss.columns)
        self.records.keep(arrays, columns, formula)

    def own_rows(self, samples: Array, repeat: int) -> Array:
        """Of samples (samples_per_step, features), those that update `repeat` of D computes with.

        They are (rows, features): a batch, or this process's share of it.
        """
        start = repeat * self.batch if self.fresh_real else 0
        start += 0 if self.team is None else self.team.share.start
        return samples[..., start : start + self.rows, :]

    def update(self, role: str) -> None:
        """Update a network from its gradient, of which a team first takes the average."""
        parameters = self.networks[role].parameters
        if self.team is not None:
            self.team.average_gradient(parameters.grad)
        self.optimizers[role].step()
        if self.team is not None:
            self.team.gather(parameters.data)

    @property
    def samples_per_step(self) -> int:
        """The real samples that a step takes, once bound."""
        return self.samples_of(self.batch)

    def samples_of(self, batch: int) -> int:
        """The real samples that a step of B = `batch` takes."""
        return batch * (self.d_steps if self.fresh_real else 1)

    def bind(self, batch: int) -> None:
        """Allocate every buffer of a training step for B = `batch` real samples.

        Raises:
            ShapeError: B is not a positive multiple of the discriminator's pack size.
            ConfigError: there is not enough memory for such a batch.
        """
        unit = self.discriminator.rows_multiple
        batch = whole(f"{type(self).__name__}: the batch", batch, 0)
        if batch < 1 or batch % unit:
            raise ShapeError(f"the batch must be a positive multiple of {unit}, not {batch}")
        if batch != self.batch:
            self.recording.begin(())
            try:
                make_binding(self, batch)
            except MemoryError:
                raise ConfigError(f"a batch of {batch:,} needs more memory than there is") from None
            self.recording.begin([(self, Game), *parts_of_a_step(self)])

    def passes(self) -> list[tuple[str, Pass]]:
        """The passes of a step, once it is bound, with their titles; of a whole, not its parts."""
        return passes_of(self)

    @ignore_float_errors
    def step(self, real: Any = None, labels: Any = None) -> None:
        """One training step: `d_steps` updates of D, then `g_steps` of G. For one thread at a time.

        Args:
            real: real samples (samples_per_step, features), copied. None if they are already in
                `gan.real`, where a data source writes them.
            labels: the class of each real sample, integers (samples_per_step,), if the game
                `takes_labels`; (S, samples_per_step) for a population, or the same for all members.

        Raises:
            ShapeError: wrong number of features, or no real samples yet.
            DataError: the real samples hold NaN or infinity.
            DTypeError: the real samples are no floats, or the labels no integers.
            ConfigError: labels are missing or invalid, or the game takes none.
        """
        if real is not None or labels is not None:
            given = checked_inputs(self, real, labels)
            self.bind(given["real"].shape[-2] // self.samples_of(1))
            for name, array in given.items():
                self.ops.copy(array, out=self.inputs()[name])
        elif not self.batch:
            raise ShapeError("the first step needs real samples: step(real), or bind(batch)")
        self.recording.run(self.play)
        self.records.add()
        self.step_count += 1

    def capture(self, on: bool = True) -> None:
        """Record the next step and replay it from then on (True), or run each (False).

        A replayed step gives the same bits, without the Python between the kernels. It repeats the
        settings that it was recorded with: call this again after you changed a part's attribute.
        If nothing has changed, nothing is recorded again.

        A layer, noise, loss or optimizer of your own can be recorded only if it makes the same
        backend calls every time; its class declares that by `capturable = True`. A GAN with a part
        that does not is run normally.
        """
        self.recording.ask(flag("capture: on", on))

    def losses(self) -> dict[str, Any]:
        """The mean of each loss since the last call: {"d_real": ..., "d_fake": ..., "g": ...}.

        Each is a float, or (S,) for a population. This reads from the device, so do not call it at
        every step.

        Raises:
            NonFiniteError: a loss became NaN or infinite; it names the step and the network.
            OrderError: there were no steps since the last call.
        """
        if self.step_count == self.records.since:
            raise OrderError("there were no steps since the losses were last read")
        self.check_finite()
        return self._named(self.records.means(self.step_count))

    def latest_losses(self) -> dict[str, Any]:
        """The losses of the latest step alone, named as those of `losses`, whose means it leaves.

        They are NaN before the first step, and in a resumed game before the next one. This reads
        from the device, too.
        """
        return self._named(self.records.latest())

    def _named(self, losses: Any) -> dict[str, Any]:
        """Losses (C,) by name, as floats; of a population (S, C), as arrays (S,)."""
        named = {name: losses[..., i] for i, name in enumerate(self.columns)}
        return named if self.population else {name: float(loss) for name, loss in named.items()}

    @ignore_float_errors
    def check_finite(self) -> None:
        """Raise `NonFiniteError` if a loss was not finite in any step, or the state is not now.

        The state is all of the arrays that `state()` returns.
        """
        self.records.check_finite(self.step_count, self.columns)
        require_finite(self)

    def state(self) -> tuple[dict[str, Array], dict[str, int]]:
        """Everything that training changes: arrays (views, not copies) and integers.

        Returns:
            tensors: {"generator/0.weight": ..., "generator.adam.g_sum/0.weight": ..., ...}.
            counters: {"step": ..., "stream/gan/discriminator_noise": position, ...}.
        """
        return state_of(self)

    def load_state(self, tensors: dict[str, Any], counters: dict[str, int]) -> None:
        """Restore what `state()` returned. Everything is checked before anything changes.

        Raises:
            CheckpointError: a tensor or counter is missing, unknown, of another shape or
                dtype, or not finite.
        """
        load_state(self, tensors, counters)

    def settings(self) -> dict[str, Any]:
        """The definition as JSON: the arguments that the class is made with."""
        return settings_of(self)

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *context: Any) -> Game:
        """Make an untrained game of `settings()`, on the device that `context` names."""
        return cls(**arguments_of(settings, *context))

    @classmethod
    def from_config(cls, config: dict[str, Any], *, device: str = "cpu") -> Game:
        """Rebuild an untrained game from `to_config()`; `ConfigError` if it is not one.

        It is of the class that the definition names.
        """
        game = rebuild("game", config, device)
        assert isinstance(game, Game)
        return game

    def require_readable(self) -> None:
        """Raise `ConfigError` unless every part can be saved and read back as itself."""
        require_readable_parts(self)
