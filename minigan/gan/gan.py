"""One adversarial step: who sees what, and which gradients anybody wants.

    the discriminator's half                      the generator's half

    z --G--> fake --+                             z' --G--> fake --D--> verdict
                    +--D--> verdicts              dD of D's own weights: not computed
    data --> real --+                             dX of D: the message to G
    dG: not computed                              G steps
    D steps

D judges real and fake in one pass, so its two gradients are added by the matrix product
itself. G does not change in D's half, so the samples of both halves come from one pass of G
over both noises, and backward is run for the second half of its rows alone (or from two passes,
where a layer from elsewhere cannot be cut). In G's half D is only
a messenger. The losses themselves are read by nobody during a step, only their gradients are:
the verdicts are kept, and a loss is made of them when somebody asks.

All buffers are bound once: a step takes no fresh memory that grows with the batch, reads
nothing back, and is the same sequence of kernels every time. So it can be captured: `capture`
lets the next step be noted down, and the ones after it are repeated from the notes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.backend import Array, Seeds, Stream, as_seeds, plain_seeds
from minigan.checks import whole
from minigan.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    NonFiniteError,
    OrderError,
    ShapeError,
)
from minigan.gan.average import MovingAverage
from minigan.gan.noise import Noise, noise_from_config
from minigan.gan.objectives import Objective, objective_from_config
from minigan.nn import Adam, Optimizer, Pass, Sequential, Sigmoid
from minigan.nn.optim import optimizer_from_config

LOSSES = ("d_real", "d_fake", "g")
PENDING = 64  # steps whose losses are made at a time
#: Which network is to blame when a loss is the first to become non-finite, and why.
_BLAME = {
    "d_real": "the discriminator (or the real data it was shown)",
    "d_fake": "the generator, whose samples the discriminator judged",
    "g": "the discriminator, after its own update",
}


class GAN:
    """A generator, a discriminator, and the step that trains them against each other.

    Args:
        generator: noise (B, dim) -> samples (B, features). Give the two networks different
            names (or seeds): layers of one shape start with one set of weights otherwise.
        discriminator: samples -> verdicts (B, 1); or (B/m, 1) if it begins with a `Pack`.
        noise: the distribution of the generator's input.
        objective: the losses; by default non-saturating, on logits, without smoothing.
        generator_optimizer, discriminator_optimizer: by default Adam with its defaults.
            Two learning rates make it TTUR (Heusel et al. 2017).
        average: decay of the moving average of G's weights that samples are drawn with,
            or None to sample from G itself.
        same_noise: G's half reuses the noise of D's half, so G runs once a step.
        d_steps, g_steps: updates of each player in one step, >= 1. All of D's see the same
            real samples, and fresh generated ones (unless `same_noise`).
        seed: of the noise streams; a sequence for a population. By default the generator's.

    Raises:
        ConfigError, ShapeError: parts that do not fit each other.
    """

    def __init__(
        self,
        generator: Sequential,
        discriminator: Sequential,
        noise: Noise,
        objective: Objective | None = None,
        generator_optimizer: Optimizer | None = None,
        discriminator_optimizer: Optimizer | None = None,
        *,
        average: float | None = None,
        same_noise: bool = False,
        d_steps: int = 1,
        g_steps: int = 1,
        seed: Seeds | None = None,
    ) -> None:
        self.generator = generator
        self.discriminator = discriminator
        self.noise = noise
        self.batch = 0  # B, once bound
        self.objective = Objective() if objective is None else objective
        for role, net in (("generator", generator), ("discriminator", discriminator)):
            if not isinstance(net, Sequential):
                raise ConfigError(f"GAN: {role} must be a Sequential, not {net!r}")
        self.generator_optimizer = generator_optimizer or Adam(generator.parameters)
        self.discriminator_optimizer = discriminator_optimizer or Adam(discriminator.parameters)
        self.average = None if average is None else MovingAverage(generator, average)
        self.same_noise = same_noise
        self.d_steps = whole("GAN: d_steps", d_steps, 1)
        self.g_steps = whole("GAN: g_steps", g_steps, 1)
        self.seed = generator.seed if seed is None else seed
        self.ops = generator.ops
        self.population = generator.population
        self._check()
        self.streams = {
            name: Stream(self.seed, f"gan/{name}")
            for name in ("discriminator_noise", "generator_noise", "sample")
        }
        self.step_count = 0
        self._losses = self.ops.zeros((*self.population, PENDING, 3), generator.dtype)  # (K, 3)
        self._pending = 0  # steps whose verdicts wait to be made into losses
        self._capturing = False
        self._replay: Callable[[], None] | None = None  # a captured step
        self._noted: tuple[Any, ...] | None = None  # what was decided in it
        self._asked_anew = False  # whether `capture` was called since the last step
        self._totals = self.ops.zeros((*self.population, 2, 3), "float64")  # (2, 3) sums, counts
        self._finite = self.ops.zeros((*self.population, 2), "float64")  # (2,) flags of G, D
        self._totals_since = 0  # the step at which the totals were last cleared

    @property
    def objective(self) -> Objective:
        """The losses of both players, and the targets they aim at."""
        return self._objective

    @objective.setter
    def objective(self, objective: Objective) -> None:
        if self.batch:
            self.make_losses()  # of the steps so far, by what was aimed at
        self._objective = objective
        if self.batch:
            objective.targets(self.ops, out=self._targets)

    # -- binding --------------------------------------------------------------------

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
        self.make_losses()
        self._replay = self._noted = None
        G, D, ops = self.generator, self.discriminator, self.ops
        # D's input, three batches of rows: real samples, and the fake ones of both halves. With
        # the same noise in both halves, two batches of fakes are one.
        fakes = batch if self.same_noise else 2 * batch
        samples = ops.empty((*self.population, batch + fakes, D.in_features), D.dtype)
        self.real = samples[..., :batch, :]  #: (B, features): where the next step expects its data
        ops.fill(float("nan"), out=self.real)  # a step without data must not go unnoticed
        self._judged = samples[..., : 2 * batch, :]  # (2B, features), what D sees in its half
        self._fake = samples[..., -batch:, :]  # (B, features), what D judges in G's half
        self._both = D.bind(2 * batch)  # real and fake in one pass
        self._judge = D.bind(batch)  # D as the judge of G's samples
        self._sampler = G.bind(fakes, out=samples[..., batch:, :])  # straight into D's input
        self._z = self._sampler.X  # (fakes, dim)
        self._d_sampler = self._g_sampler = self._sampler
        #: Whether one pass of G makes the samples of both halves, each of which is a part of it.
        self._together = not self.same_noise and self._sampler.divisible
        if self._together:
            self._d_sampler = self._sampler.part(0, batch)  # the rows of D's half
            self._g_sampler = self._sampler.part(batch, 2 * batch)  # and of G's
        elif not self.same_noise:  # a layer of somebody else's, which cannot be cut
            self._d_sampler = G.bind(batch, out=samples[..., batch : 2 * batch, :])
            self._g_sampler = self._sampler = G.bind(batch, out=self._fake)
        self._d_z = self._z[..., :batch, :]  # (B, dim)
        self._g_z = self._z[..., -batch:, :]  # (B, dim)
        packs = self._judge.output_shape[-2]  # P = B/m
        self._dboth = ops.empty(self._both.output_shape, D.dtype)  # (2P, 1)
        self._djudge = ops.empty(self._judge.output_shape, D.dtype)  # (P, 1)
        self._targets = ops.empty(self._both.output_shape, D.dtype)  # (2P, 1)
        self.objective.targets(ops, out=self._targets)
        self._verdicts = ops.empty((*self.population, PENDING, 3 * packs), D.dtype)  # (K, 3P)
        columns = self._verdicts[..., None]  # (K, 3P, 1)
        self._verdict_rows = [  # K pairs of views (2P, 1), (P, 1)
            (columns[..., k, : 2 * packs, :], columns[..., k, 2 * packs :, :])
            for k in range(PENDING)
        ]
        self.batch = batch

    # -- training -------------------------------------------------------------------

    def step(self, real: Any = None) -> None:
        """One training step: `d_steps` updates of D, then `g_steps` of G.

        Args:
            real: real samples (B, features), copied. None if they are in `gan.real`
                already, which is how a data source delivers them without a copy.

        Raises:
            ShapeError: wrong number of features, or no real samples yet.
            DataError: the real samples hold NaN or infinity.
        """
        if real is not None:
            self._load(real)
        elif not self.batch:
            raise ShapeError("the first step needs real samples: step(real), or bind(batch)")
        if self._asked_anew:
            self._asked_anew, decided = False, self._decided()
            if decided is None or decided != self._noted:
                self._replay, self._noted = None, decided
        if self._replay is not None:
            self._replay()
        elif self._capturing:
            self._replay = self.ops.capture(self._play)
        else:
            self._play()
        self._keep_verdicts()
        self.step_count += 1

    def capture(self, on: bool = True) -> None:
        """Note down the next step and repeat it from then on (True), or run each anew (False).

        A repeated step is the same to the bit, and saves the Python between the kernels. It
        also repeats what was decided when it was noted down: call this again after a change
        of the objective, of an optimizer's settings other than `lr`, or of a layer; if nothing
        has changed, nothing is noted down anew.

        What a layer, a noise, an objective or an optimizer of your own computes cannot be heard
        and noted down. A GAN that has one is run anew at each step, unless its class says
        `captured = True`: that it computes by the backend's kernels alone, the same ones every
        time.
        """
        self._capturing, self._asked_anew = on and self._can_be_captured(), True
        if not self._capturing:
            self._replay = None

    def _decided(self) -> tuple[Any, ...] | None:
        """All that a step decides in Python; None if parts that are not minigan's decide, too."""
        if not all(type(part).__module__.startswith("minigan.") for part in self._parts()):
            return None
        optimizers = (self.generator_optimizer, self.discriminator_optimizer)
        return (
            self.batch,
            self.objective,
            self.noise,
            (*optimizers, self.average),  # themselves: another one has other arrays
            *(optimizer.settings() for optimizer in optimizers),
            *(optimizer.decay for optimizer in optimizers),
            None if self.average is None else self.average.decay,
            (self.same_noise, self.d_steps, self.g_steps),
            [layer.hold for bound in self.passes() for layer in bound.layers],
            [*self.streams.values()],
        )

    def passes(self) -> tuple[Pass, ...]:
        """The bindings of a step, once it is bound: D's half, D as judge, G."""
        if not self.batch:
            return ()
        samplers = [self._sampler]
        if not (self.same_noise or self._together):
            samplers = [self._d_sampler, self._g_sampler]
        return (self._both, self._judge, *samplers)

    def _can_be_captured(self) -> bool:
        """Whether every part of a step is minigan's own, or says that it can be captured."""
        return all(
            type(part).__module__.startswith("minigan.") or getattr(part, "captured", False)
            for part in self._parts()
        )

    def _parts(self) -> list[Any]:
        """Everything that has a say in a step."""
        parts: list[Any] = [self, self.noise, self.objective]
        parts += [self.generator_optimizer, self.discriminator_optimizer]
        parts += [self.generator, self.discriminator]
        return [*parts, *self.generator.layers, *self.discriminator.layers]

    def _play(self) -> None:
        """The kernels of a step, whatever its number."""
        for repeat in range(self.d_steps):
            if repeat == self.d_steps - 1 and self._together:
                # G stays as it is until its own half, whose samples are made along.
                self.noise.fill(self.ops, self.streams["discriminator_noise"], out=self._d_z)
                self.noise.fill(self.ops, self.streams["generator_noise"], out=self._g_z)
                self._sampler.forward(self._z, train=True)
            elif repeat == 0 or not self.same_noise:
                self._generate("discriminator_noise", self._d_z, self._d_sampler)
            self._teach_discriminator()
        for repeat in range(self.g_steps):
            if repeat > 0 or not (self.same_noise or self._together):
                self._generate_for_generator()
            self._teach_generator()
        if self.average is not None:
            self.average.update()

    def discriminator_step(self) -> None:
        """D's half of a step alone: teach D to tell `real` from freshly generated samples."""
        self._generate("discriminator_noise", self._d_z, self._d_sampler)
        self._teach_discriminator()

    def generator_step(self) -> None:
        """G's half of a step alone: teach G, on fresh samples, what D now takes for real."""
        self._generate_for_generator()
        self._teach_generator()

    def _generate(self, stream: str, z: Array, sampler: Pass) -> None:
        """Draw fresh noise z, and make samples of it."""
        self.noise.fill(self.ops, self.streams[stream], out=z)
        sampler.forward(z, train=True)

    def _generate_for_generator(self) -> None:
        """The samples of an update of G: with G as it is now, whatever the noise."""
        if self.same_noise:
            self._g_sampler.forward(self._g_z, train=True)
        else:
            self._generate("generator_noise", self._g_z, self._g_sampler)

    def _teach_discriminator(self) -> None:
        """One update of D, from the samples that are there."""
        Y = self._both.forward(self._judged, train=True)  # (2P, 1)
        packs = Y.shape[-2] // 2
        self.objective.discriminator_gradient(self.ops, Y, self._targets, packs, dY=self._dboth)
        self._both.backward(self._dboth, input_grad=False)
        self.discriminator_optimizer.step()

    def _teach_generator(self) -> None:
        """One update of G: through D, without D's own gradients."""
        Y = self._judge.forward(self._fake, train=True)  # (P, 1)
        self.objective.generator_gradient(self.ops, Y, dY=self._djudge)
        dfake = self._judge.backward(self._djudge, parameter_grads=False)  # (B, features)
        self._g_sampler.backward(dfake, input_grad=False)
        self.generator_optimizer.step()

    def _keep_verdicts(self) -> None:
        """Keep what D said in this step, to make losses of it later."""
        of_both, of_g = self._verdict_rows[self._pending]
        self.ops.copy(self._both.Y, out=of_both)
        self.ops.copy(self._judge.Y, out=of_g)
        self._pending += 1
        if self._pending == PENDING:
            self.make_losses()

    def make_losses(self) -> None:
        """Add the losses of the steps whose verdicts were kept to the totals."""
        if self._pending:
            losses = self._losses[..., : self._pending, :]  # (K, 3)
            self.objective.losses(self.ops, self._verdicts[..., : self._pending, :], out=losses)
            self.ops.record_losses(losses, self._totals)
            self._pending = 0

    def losses(self) -> dict[str, Any]:
        """The mean of each loss since the last call: {"d_real": ..., "d_fake": ..., "g": ...}.

        Each is a float, or (S,) for a population. This reads from the device; call it when
        you print, not at every step.

        Raises:
            NonFiniteError: a loss became NaN or infinite; it names the step and the network.
            OrderError: there were no steps since the last call.
        """
        steps = self.step_count - self._totals_since
        if steps == 0:
            raise OrderError("there were no steps since the losses were last read")
        self.check_finite()
        means = self.ops.to_host(self._totals)[..., 0, :] / steps  # (3,)
        self.ops.fill(0.0, out=self._totals)
        self._totals_since = self.step_count
        if self.population:
            return {name: means[..., i] for i, name in enumerate(LOSSES)}
        return {name: float(means[i]) for i, name in enumerate(LOSSES)}

    def check_finite(self) -> None:
        """Raise `NonFiniteError` if any loss or parameter is, or has been, non-finite.

        The parameters stay on the device; only flags are read.
        """
        self.make_losses()
        counts = self.ops.to_host(self._totals)[..., 1, :].reshape(-1, 3).min(axis=0)  # (3,)
        first = int(np.argmin(counts))
        if counts[first] < self.step_count - self._totals_since:
            step = self._totals_since + int(counts[first]) + 1
            raise NonFiniteError(
                f"step {step}: the loss {LOSSES[first]} is no longer finite; "
                f"look at {_BLAME[LOSSES[first]]}"
            )
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        for i, net in enumerate(networks.values()):
            self.ops.record_finite(net.parameters.data, out=self._finite[..., i])
        flags = self.ops.to_host(self._finite).reshape(-1, 2).min(axis=0)  # (2,)
        for role, flag in zip(networks, flags, strict=True):
            if not flag:
                raise NonFiniteError(
                    f"step {self.step_count}: the {role} holds a parameter that is not finite"
                )

    # -- sampling -------------------------------------------------------------------

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

    # -- state ----------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Array], dict[str, int]]:
        """Everything that training changes: arrays (views, not copies) and integers.

        Returns:
            tensors: {"generator/0.weight": ..., "generator.adam.g_sum/0.weight": ..., ...}.
            counters: {"step": ..., "stream/gan/discriminator_noise": position, ...}.
        """
        self.make_losses()
        tensors: dict[str, Array] = {"losses/totals": self._totals}
        counters = {"step": self.step_count, "losses_since": self._totals_since}
        for role, net, optimizer in (
            ("generator", self.generator, self.generator_optimizer),
            ("discriminator", self.discriminator, self.discriminator_optimizer),
        ):
            for name, view in net.parameters.named().items():
                tensors[f"{role}/{name}"] = view
            kind = type(optimizer).__name__.lower()
            tensors[f"{role}.{kind}/clock"] = optimizer.clock
            for buffer, flat in optimizer.buffers().items():
                for name, view in net.parameters.views(flat).items():
                    tensors[f"{role}.{kind}.{buffer}/{name}"] = view
            for stream in net.streams:
                counters[f"stream/{role}/{stream.name}"] = stream.position
        if self.average is not None:
            tensors["generator.average/clock"] = self.average.clock
            for name, view in self.average.network.parameters.named().items():
                tensors[f"generator.average/{name}"] = view
        for name, stream in self.streams.items():
            counters[f"stream/gan/{name}"] = stream.position
        return tensors, counters

    def load_state(self, tensors: dict[str, Any], counters: dict[str, int]) -> None:
        """Restore what `state()` returned. Everything is checked before anything changes.

        Raises:
            CheckpointError: a tensor or counter is missing, unknown, of another shape or
                dtype, or not finite.
        """
        if not isinstance(tensors, dict) or not isinstance(counters, dict):
            raise CheckpointError("a state is two dictionaries: tensors and counters")
        for role, optimizer in (
            ("generator", self.generator_optimizer),
            ("discriminator", self.discriminator_optimizer),
        ):
            if isinstance(optimizer, Adam):
                tensors = _with_sums(tensors, f"{role}.adam", optimizer.betas)
        mine, my_counters = self.state()
        _check_same("tensors", set(tensors), set(mine))
        _check_same("counters", set(counters), set(my_counters))
        for name, array in tensors.items():
            want = mine[name]
            if tuple(array.shape) != tuple(want.shape) or array.dtype != want.dtype:
                raise CheckpointError(
                    f"tensor {name!r} is {array.dtype} {tuple(array.shape)}; "
                    f"expected {want.dtype} {tuple(want.shape)}"
                )
            if not np.isfinite(array).all():
                raise CheckpointError(f"tensor {name!r} holds NaN or infinity")
        for name, value in counters.items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise CheckpointError(f"counter {name!r} is {value!r}; expected an integer >= 0")

        for name, array in tensors.items():
            self.ops.copy(self.ops.from_host(array, str(array.dtype)), out=mine[name])
        self._pending = 0  # verdicts of another state
        self.step_count = counters["step"]
        self._totals_since = counters["losses_since"]
        for role, net in (("generator", self.generator), ("discriminator", self.discriminator)):
            for stream in net.streams:
                stream.position = counters[f"stream/{role}/{stream.name}"]
        for name, stream in self.streams.items():
            stream.position = counters[f"stream/gan/{name}"]

    def to_config(self) -> dict[str, Any]:
        """The definition as JSON, enough for `from_config` to rebuild the GAN."""
        return {
            "generator": self.generator.to_config(),
            "discriminator": self.discriminator.to_config(),
            "noise": self.noise.to_config(),
            "objective": self.objective.to_config(),
            "generator_optimizer": self.generator_optimizer.to_config(),
            "discriminator_optimizer": self.discriminator_optimizer.to_config(),
            "average": None if self.average is None else self.average.decay,
            "same_noise": self.same_noise,
            "d_steps": self.d_steps,
            "g_steps": self.g_steps,
            "seed": plain_seeds(self.seed),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], device: str = "cpu") -> GAN:
        """Rebuild an untrained GAN from `to_config()`; `ConfigError` if it is not one."""
        try:
            settings = dict(config)
            G = Sequential.from_config(settings.pop("generator"), device)
            D = Sequential.from_config(settings.pop("discriminator"), device)
            return cls(
                G,
                D,
                noise_from_config(settings.pop("noise")),
                objective_from_config(settings.pop("objective")),
                optimizer_from_config(settings.pop("generator_optimizer"), G.parameters),
                optimizer_from_config(settings.pop("discriminator_optimizer"), D.parameters),
                **settings,
            )
        except (LookupError, TypeError) as error:
            raise ConfigError(f"not a GAN's definition: {config!r}") from error

    # -- checks ---------------------------------------------------------------------

    def _load(self, real: Any) -> None:
        with np.errstate(over="ignore"):  # too large for the dtype: infinite, and refused
            real = self.ops.from_host(
                self.discriminator.accept(real, "the real data"), self.discriminator.dtype
            )
        if not np.isfinite(self.ops.to_host(real)).all():
            raise DataError("the real samples hold NaN or infinity")
        self.bind(real.shape[-2])
        self.ops.copy(real, out=self.real)

    def _check(self) -> None:
        G, D = self.generator, self.discriminator
        for what, part, kind in (
            ("noise", self.noise, Noise),
            ("objective", self.objective, Objective),
            ("generator_optimizer", self.generator_optimizer, Optimizer),
            ("discriminator_optimizer", self.discriminator_optimizer, Optimizer),
        ):
            if not isinstance(part, kind):
                raise ConfigError(f"GAN: {what} must be a {kind.__name__}, not {part!r}")
        if G is D:
            raise ConfigError("generator and discriminator must be two networks")
        sigmoid = isinstance(D.layers[-1], Sigmoid)
        if self.objective.loss == "bce" and not sigmoid:
            raise ConfigError(
                "the loss 'bce' takes probabilities: end the discriminator in a Sigmoid, or use "
                "the loss 'bce_with_logits'"
            )
        if self.objective.loss == "bce_with_logits" and sigmoid:
            raise ConfigError(
                "the loss 'bce_with_logits' has a sigmoid of its own: end the discriminator in a "
                "Linear, or use the loss 'bce'"
            )
        if G.dtype != D.dtype or G.population != D.population or G.ops is not D.ops:
            raise ConfigError(
                "generator and discriminator must share dtype, device and population size"
            )
        if len(as_seeds(self.seed)) != (G.population[0] if G.population else 1):
            raise ConfigError("GAN: give one noise seed for each member of the population")
        if G.rows_multiple != 1:
            raise ConfigError("the generator must make one sample a row; Pack is for D")
        if G.in_features != self.noise.dim:
            raise ShapeError(
                f"the generator takes {G.in_features} features; the noise has {self.noise.dim}"
            )
        if G.out_features != D.in_features:
            raise ShapeError(
                f"the generator makes {G.out_features} features; "
                f"the discriminator takes {D.in_features}"
            )
        if D.out_features != 1:
            raise ShapeError(f"the discriminator must end in 1 feature, not {D.out_features}")
        for role, optimizer, net in (
            ("generator", self.generator_optimizer, G),
            ("discriminator", self.discriminator_optimizer, D),
        ):
            if optimizer.parameters is not net.parameters:
                raise ConfigError(f"{role}_optimizer was made for another network's parameters")


def _with_sums(tensors: dict[str, Any], adam: str, betas: tuple[float, float]) -> dict[str, Any]:
    """Tensors in which an Adam of version 0.1.0 kept its means m and v, with the sums instead."""
    result = dict(tensors)
    for old, new, beta in (("m", "g_sum", betas[0]), ("v", "g2_sum", betas[1])):
        # Without momentum no sum of g is kept.
        scale = 0.0 if (old, beta) == ("m", 0.0) else 1.0 / (1.0 - beta)
        for name, array in tensors.items():
            today = name.replace(f"{adam}.{old}/", f"{adam}.{new}/", 1)
            if today == name or today in tensors or array.dtype.kind != "f":
                continue
            with np.errstate(over="ignore"):  # infinite, and refused
                result[today] = result.pop(name) * array.dtype.type(scale)
    return result


def _check_same(what: str, given: set[str], expected: set[str]) -> None:
    missing, unknown = sorted(expected - given), sorted(given - expected)
    if missing or unknown:
        raise CheckpointError(
            f"the checkpoint's {what} do not fit this model"
            + (f"; missing: {', '.join(missing[:4])}" if missing else "")
            + (f"; unknown: {', '.join(unknown[:4])}" if unknown else "")
        )
