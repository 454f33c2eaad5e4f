"""A game: networks that learn against each other, and all that is the same whatever they play.

A game of one's own is a subclass with two methods. `bind_step(batch)` makes the passes and buffers
of a step; `play()` is the kernels of a step, in the order of the paper. Both are found in gan.py
for the plain GAN. Networks, loss, noise, penalty and constraint are parts that are handed in.

No kernel of a step reads anything back or takes fresh memory, and a step is the same sequence of
kernels every time. So it can be captured: `capture` lets the next step be recorded, and the ones
after it are replayed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

import numpy as np

from minigan.backend import Array, Seeds, Stream
from minigan.checks import flag, whole
from minigan.config import Part, rebuild, require_readable
from minigan.errors import ConfigError, DataError, NonFiniteError, OrderError, ShapeError
from minigan.fixed import Fixed
from minigan.gan.average import MovingAverage
from minigan.gan.constraints import Constraint
from minigan.gan.definition import arguments_of, require_readable_parts, settings_of
from minigan.gan.fit import check_output, check_parts, check_plain
from minigan.gan.losses import Loss, NonSaturating
from minigan.gan.noise import Noise
from minigan.gan.penalties import Penalty, PenaltyPass
from minigan.gan.recording import Recording
from minigan.gan.records import Formula, Records
from minigan.gan.state import load_state, state_of
from minigan.nn import Adam, LayerPass, Optimizer, Pass, Sequential

_ANOTHER = "make another GAN: what a step does is fixed when it is bound"
_MISSING = object()
Found = TypeVar("Found")


class Game(Fixed, Part):
    """A generator, a discriminator, and the step that trains them against each other.

    Args:
        generator: noise (B, dim) -> samples (B, features). Give the two networks different
            names (or seeds): layers of one shape start with one set of weights otherwise.
        discriminator: samples -> verdicts (B, 1); or (B/m, 1) if it begins with a `Pack`.
        noise: the distribution of the generator's input.
        loss: what each player wants; by default `NonSaturating()`, on logits.
        generator_optimizer, discriminator_optimizer: by default Adam with its defaults.
            Two learning rates make it TTUR (Heusel et al. 2017).
        penalty: a term added to D's loss, or None.
        constraint: on D's parameters after each of its updates, or None.
        average: decay of the moving average of G's weights that samples are drawn with,
            or None to sample from G itself.
        same_noise: G's half reuses the noise of D's half, so G runs once a step.
        d_steps, g_steps: updates of each player in one step, >= 1. Each of D's sees fresh
            generated samples (unless `same_noise`).
        fresh_real: each of D's updates sees real samples of its own, too: a step then takes
            d_steps B of them. By default all of them see the same B.
        seed: of the noise streams; a sequence for a population. By default the generator's.

    Attributes:
        networks, optimizers: by role, "generator" and "discriminator".
        real: (samples_per_step, features), once bound: where a step expects its real samples.
        records: the losses so far.
        step_count: steps taken.
        columns: the names of the losses, each with what to look at if it is the first to become
            NaN; those of the penalty are added. A class names its own.
        titles: what a pass is for, by the attribute that `bind_step` keeps it in.
        capturable: whether `play` is calls of passes, parts and `self.ops` on the same arrays each
            time. It counts only in the very class that has it.

    Raises:
        ConfigError, ShapeError: parts that do not fit each other.
    """

    kind: ClassVar[str] = "game"
    capturable: ClassVar[bool] = False
    columns: Mapping[str, str] = {}
    titles: ClassVar[Mapping[str, str]] = {}
    fixed: ClassVar[dict[str, str]] = {
        **dict.fromkeys(
            (
                *("networks", "optimizers", "generator", "discriminator", "generator_optimizer"),
                *("discriminator_optimizer", "noise", "penalty", "constraint", "average"),
                *("same_noise", "d_steps", "g_steps", "fresh_real", "seed", "streams", "records"),
                "recording",
                *("ops", "population", "sampler", "columns"),
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
        # Read-only: what a bound step has taken hold of is not exchanged.
        self.networks = MappingProxyType({"generator": generator, "discriminator": discriminator})
        for role, net in self.networks.items():
            if not isinstance(net, Sequential):
                raise ConfigError(f"{name}: {role} must be a Sequential, not {net!r}")
        self.optimizers = MappingProxyType(
            {
                "generator": generator_optimizer or Adam(generator.parameters),
                "discriminator": discriminator_optimizer or Adam(discriminator.parameters),
            }
        )
        self.noise = noise
        self.loss = NonSaturating() if loss is None else loss
        self.penalty = penalty
        self.constraint = constraint
        self.average = None if average is None else MovingAverage(generator, average)
        self.same_noise = flag(f"{name}: same_noise", same_noise)
        self.d_steps = whole(f"{name}: d_steps", d_steps, 1)
        self.g_steps = whole(f"{name}: g_steps", g_steps, 1)
        self.fresh_real = flag(f"{name}: fresh_real", fresh_real)
        self.seed = generator.seed if seed is None else seed
        self.ops = generator.ops
        self.population = generator.population
        check_parts(self)
        self.check_fit()
        self.columns = {**type(self).columns, **(penalty.columns if penalty else {})}
        names = ["discriminator_noise", "generator_noise", "sample"]
        names += ["penalty"] if penalty else []
        self.streams = MappingProxyType({name: Stream(self.seed, f"gan/{name}") for name in names})
        self.batch = 0  # B, once bound
        self.step_count = 0
        self.records = self._new_records()
        self._bound: dict[str, Any] = {}  # what `bind_step` has set, and what was there before
        self._since = 0  # the step at which the totals of the losses were last cleared
        self._finite = self.ops.zeros((*self.population, len(self.networks)), "float64")  # (R,)
        self.recording = Recording(self.ops, (Game, Pass))

    def _new_records(self) -> Records:
        return Records(self.ops, self.generator.dtype, self.population, tuple(self.columns))

    @property
    def generator(self) -> Sequential:
        """The network that makes samples."""
        return self.networks["generator"]

    @property
    def discriminator(self) -> Sequential:
        """The network that judges samples."""
        return self.networks["discriminator"]

    @property
    def generator_optimizer(self) -> Optimizer:
        """The optimizer of the generator."""
        return self.optimizers["generator"]

    @property
    def discriminator_optimizer(self) -> Optimizer:
        """The optimizer of the discriminator."""
        return self.optimizers["discriminator"]

    def check_loss(self, loss: Loss) -> None:
        """Raise `ConfigError` unless it is a registered `Loss` that fits D."""
        if not isinstance(loss, Loss):
            raise ConfigError(f"GAN: loss must be a Loss, not {loss!r}")
        require_readable(loss)
        check_output(self.discriminator, loss)

    def set_loss(self, loss: Loss) -> None:
        """Go on with another loss. A checkpoint keeps it, and the losses so far keep their own.

        Raises:
            ConfigError: as `check_loss`.
        """
        self.check_loss(loss)
        self.records.make()  # of the steps so far, by what was aimed at
        vars(self)["loss"] = loss
        self._bind_again()

    # -- what a game says ---------------------------------------------------------------

    def check_fit(self) -> None:
        """Raise `ConfigError` or `ShapeError` unless the parts fit each other.

        By default G makes of the noise what D takes, and D ends in one number.
        """
        check_plain(self)

    def bind_step(self, batch: int) -> None:
        """Make the passes (as attributes) and buffers of a step of B = `batch` samples.

        It sets `self.real`, and calls `keep` for the losses, in the order of `columns`.
        """
        raise NotImplementedError

    def play(self) -> None:
        """The kernels of a step: all updates of D and of G, and of the averaged G."""
        raise NotImplementedError

    def buffers(self) -> dict[str, Array]:
        """By name, the arrays that outlive a step of a game of your own: they are saved with it.

        `bind_step` makes them, and writes what they begin with. Nothing else is kept from one step
        to the next.
        """
        return {}

    def keep(self, arrays: Sequence[Array], formula: Formula, columns: int | None = None) -> None:
        """Let each step's losses be made of what it leaves in some arrays.

        Args:
            arrays: any (rows, features) of the step.
            formula: (kept, out): kept has an array (K, rows * features) for each of `arrays`;
                the losses of these K steps go to out (K, columns).
            columns: how many; by default those of the class.
        """
        self.records.keep(arrays, len(type(self).columns) if columns is None else columns, formula)

    # -- binding ------------------------------------------------------------------------

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
        """
        unit = self.discriminator.rows_multiple
        batch = whole("GAN: the batch", batch, 0)
        if batch < 1 or batch % unit:
            raise ShapeError(f"the batch must be a positive multiple of {unit}, not {batch}")
        if batch == self.batch:
            return
        self.records.make()
        self.records.clear()
        self.recording.begin(())
        self._unbind()
        before = dict(vars(self))
        vars(self)["batch"] = batch
        try:
            self.bind_step(batch)
        finally:
            made = {name: before.get(name, _MISSING) for name in vars(self) if name != "batch"}
            self._bound = {name: old for name, old in made.items() if vars(self)[name] is not old}
            vars(self)["batch"] = 0  # until all of it is bound
        if not hasattr(self, "real"):
            self._unbind()
            raise ConfigError(f"{type(self).__name__}: bind_step must set self.real")
        if self.records.taken != len(self.columns):
            self._unbind()
            raise ConfigError(
                f"{type(self).__name__}: bind_step keeps {self.records.taken} losses; "
                f"the columns are {', '.join(self.columns)}"
            )
        vars(self)["batch"] = batch
        self.recording.begin([*self._parts_of_a_step()])
        self.ops.fill(float("nan"), out=self.real)  # a step without data must not go unnoticed

    def _unbind(self) -> None:
        """Let go of what `bind_step` has made."""
        for name, old in self._bound.items():
            vars(self).pop(name, None)
            if old is not _MISSING:
                vars(self)[name] = old
        self._bound = {}

    def _bind_again(self) -> None:
        """Make the passes and buffers of a step once more, if there are any; keep `real`."""
        if self.batch:
            batch, real, buffers = self.batch, self.real, self.buffers()
            vars(self)["batch"] = 0
            self.bind(batch)
            self._take_over(real, buffers)

    def _take_over(self, real: Array, buffers: Mapping[str, Array]) -> None:
        """Copy what outlives a binding."""
        self.ops.copy(real, out=self.real)
        for name, array in self.buffers().items():
            self.ops.copy(buffers[name], out=array)

    def passes(self) -> list[tuple[str, Pass]]:
        """The passes of a step, once it is bound, with their titles; of a whole, not its parts."""
        found: dict[int, tuple[str, Pass]] = {}
        for name in self._bound:
            for bound in _among(vars(self)[name], Pass):
                found.setdefault(id(bound), (self.titles.get(name, name.strip("_")), bound))
        parts = {id(part) for _, bound in found.values() for part in bound.parts}
        return [entry for key, entry in found.items() if key not in parts]

    # -- training -----------------------------------------------------------------------

    def step(self, real: Any = None) -> None:
        """One training step: `d_steps` updates of D, then `g_steps` of G.

        Args:
            real: real samples (samples_per_step, features), copied. None if they are in `gan.real`
                already, which is how a data source delivers them without a copy.

        Raises:
            ShapeError: wrong number of features, or no real samples yet.
            DataError: the real samples hold NaN or infinity.
        """
        if real is not None:
            self._load(real)
        elif not self.batch:
            raise ShapeError("the first step needs real samples: step(real), or bind(batch)")
        self.recording.run(self.play)
        self.records.add()
        self.step_count += 1

    def capture(self, on: bool = True) -> None:
        """Record the next step and replay it from then on (True), or run each (False).

        A replayed step is the same to the bit, and saves the Python between the kernels. It
        also repeats the settings that it was recorded with: call this again after a change of a
        part's attribute. If nothing has changed, nothing is recorded again.

        What a layer, a noise, a loss or an optimizer of your own computes can be recorded only if
        it is calls of the backend, the same ones every time. Its class says so by
        `capturable = True`. A GAN with a part that does not is run at each step.
        """
        self.recording.ask(on)

    def _parts_of_a_step(self) -> Iterator[tuple[Any, type]]:
        """Everything that computes in a step, each with minigan's class of such parts."""
        yield self, Game
        yield self.noise, Noise
        yield self.loss, Loss
        for optimizer in self.optimizers.values():
            yield optimizer, Optimizer
        if self.constraint is not None:
            yield self.constraint, Constraint
        for penalty in _among([vars(self)[name] for name in self._bound], PenaltyPass):
            yield penalty, PenaltyPass
        for _, bound in self.passes():
            yield bound, Pass
            for layer in bound.layers:
                yield layer, LayerPass

    # -- losses -------------------------------------------------------------------------

    def losses(self) -> dict[str, Any]:
        """The mean of each loss since the last call: {"d_real": ..., "d_fake": ..., "g": ...}.

        Each is a float, or (S,) for a population. This reads from the device; call it when
        you print, not at every step.

        Raises:
            NonFiniteError: a loss became NaN or infinite; it names the step and the network.
            OrderError: there were no steps since the last call.
        """
        steps = self.step_count - self._since
        if steps == 0:
            raise OrderError("there were no steps since the losses were last read")
        self.check_finite()
        means = self.records.read()[0] / steps  # (C,)
        self.records.reset()
        self._since = self.step_count
        named = {name: means[..., i] for i, name in enumerate(self.columns)}
        return named if self.population else {name: float(mean) for name, mean in named.items()}

    def check_finite(self) -> None:
        """Raise `NonFiniteError` if any loss or parameter is, or has been, non-finite.

        The parameters stay on the device; only flags are read.
        """
        _, counts = self.records.read()  # (C,)
        first = int(np.argmin(counts))
        if counts[first] < self.step_count - self._since:
            step = self._since + int(counts[first]) + 1
            column, suspect = list(self.columns.items())[first]
            raise NonFiniteError(
                f"step {step}: the loss {column} is no longer finite; look at {suspect}"
            )
        for i, net in enumerate(self.networks.values()):
            self.ops.record_finite(net.parameters.data, out=self._finite[..., i])
        flags = self.ops.to_host(self._finite).reshape(-1, len(self.networks)).min(axis=0)  # (R,)
        for role, finite in zip(self.networks, flags, strict=True):
            if not finite:
                raise NonFiniteError(
                    f"step {self.step_count}: the {role} holds a parameter that is not finite"
                )

    # -- sampling -----------------------------------------------------------------------

    @property
    def sampler(self) -> Sequential:
        """The network that samples are drawn with: the averaged G if there is one, else G."""
        return self.generator if self.average is None else self.average.network

    def sample(self, n: int, seed: int | None = None) -> Array:
        """Draw n samples (n, features) in evaluation mode (no dropout).

        Args:
            n: how many, >= 0.
            seed: draw the same samples each time; by default go on along the GAN's stream.

        Returns:
            (n, features), a copy; (S, n, features) for a population.

        Raises:
            ConfigError: n or seed is not an integer >= 0.
        """
        return self.sampler.predict(self.draw_noise(n, seed))

    def draw_noise(self, n: int, seed: int | None = None) -> Array:
        """The noise (n, dim) that `sample(n, seed)` turns into samples; same arguments."""
        n = whole("sample: n", n, 0)
        stream = self.streams["sample"]
        if seed is not None:
            seed = whole("sample: seed", seed, 0)
            # Every member of a population gets the same noise.
            members = self.population[0] if self.population else 1
            stream = Stream([seed] * members, "gan/sample")
        Z = self.ops.empty((*self.population, n, self.noise.dim), self.generator.dtype)
        if n:
            self.noise.fill(self.ops, stream, out=Z)
        return Z

    # -- state and definition -----------------------------------------------------------

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
    def from_config(cls, config: dict[str, Any], device: str = "cpu") -> Game:
        """Rebuild an untrained game from `to_config()`; `ConfigError` if it is not one.

        The class is the one that the definition names, whichever this is called on.
        """
        game = rebuild("game", config, device)
        assert isinstance(game, Game)
        return game

    def require_readable(self) -> None:
        """Raise `ConfigError` unless every part can be written down and read back as itself."""
        require_readable_parts(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Game:
        """A copy of everything that training changes, bound to the same batch."""
        self.records.make()
        bound, left_out = self._bound, {name: vars(self)[name] for name in self._bound}
        left_out |= {name: vars(self).pop(name) for name in ("records", "recording")}
        self._unbind()
        try:
            twin = super().__deepcopy__(memo)
        finally:
            vars(self).update(left_out)
            self._bound = bound
        vars(twin).update(records=self._new_records(), recording=Recording(self.ops, (Game, Pass)))
        self.ops.copy(self.records.totals, out=twin.records.totals)
        if self.batch:
            vars(twin)["batch"] = 0
            twin.bind(self.batch)
            twin._take_over(self.real, self.buffers())
        return twin

    # -- checks -------------------------------------------------------------------------

    def _load(self, real: Any) -> None:
        with np.errstate(over="ignore"):  # too large for the dtype: infinite, and refused
            real = self.ops.from_host(
                self.discriminator.accept(real, "the real data"), self.discriminator.dtype
            )
        if not np.isfinite(self.ops.to_host(real)).all():
            raise DataError("the real samples hold NaN or infinity")
        rows, updates = real.shape[-2], self.d_steps if self.fresh_real else 1
        if rows % updates:
            raise ShapeError(
                f"{updates} updates of D need a multiple of {updates} rows, not {rows}"
            )
        self.bind(rows // updates)
        self.ops.copy(real, out=self.real)


def _among(value: Any, kind: type[Found]) -> Iterator[Found]:
    """The objects of a kind in an attribute: itself, or in the lists and dictionaries there."""
    if isinstance(value, kind):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _among(one, kind)
    elif isinstance(value, dict):
        yield from _among(list(value.values()), kind)
