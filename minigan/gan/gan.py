"""The plain GAN: who sees what, and which gradients are needed.

    the discriminator's half                      the generator's half

    z --G--> fake --+                             z' --G--> fake --D--> output
                    +--D--> outputs               dD of D's own weights: not computed
    data --> real --+                             dX of D: the gradient that G learns from
    dG: not computed                              G steps
    D steps

D evaluates real and fake samples in one pass, so the matrix product itself adds its two gradients.
Where a layer of D mixes rows, there are two passes, and their gradients are added. G does not
change in D's half, so one pass of G over both noises makes the samples of both halves, and backward
runs for the second half of its rows alone. Where a layer of G mixes rows, or keeps what cannot be
cut, G runs twice. In G's half D only passes the gradient on: its running statistics stay as they
are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from minigan.backend import Array
from minigan.backend.float_errors import ignore_float_errors
from minigan.config import register
from minigan.errors import OrderError
from minigan.gan.game import Game
from minigan.gan.penalties import DiscriminatorUpdate
from minigan.nn import Pass, Sequential


@register
class GAN(Game):
    """A generator and a discriminator (Goodfellow et al. 2014); its arguments are those of `Game`.

    Wasserstein GANs differ in their parts alone: the loss, the constraint, `d_steps`, `fresh_real`.
    """

    capturable: ClassVar[bool] = True
    columns: Mapping[str, str] = {
        "d_real": "the discriminator (or the real data it was shown)",
        "d_fake": "the generator, whose samples the discriminator evaluated",
        "g": "the discriminator, after its own update",
    }
    titles: ClassVar[Mapping[str, str]] = {
        "_sampler": "G",
        "_d_sampler": "G",
        "_g_sampler": "G",
        "_both": "D in its half",
        "_on_real": "D on real samples",
        "_on_fake": "D on generated samples",
        "_d_for_g": "D in G's half",
        "_averaged": "averaged G",
    }

    def bind_step(self, batch: int) -> None:
        # Three batches of rows: real samples, and the fake ones of both halves. With the same noise
        # in both halves, two batches of fakes are one.
        rows = 2 * batch if self.same_noise else 3 * batch
        self._bind_condition(rows)
        self._bind_discriminator(rows)
        self._bind_generator(rows)
        self.keep([self._Y, self._d_for_g.Y], self._losses)
        if self.penalty is not None:
            P = self._Y.shape[-2] // 2
            self._penalty = self.penalty.bind(
                DiscriminatorUpdate(
                    self.discriminator,
                    self._real,
                    self._samples[..., batch : 2 * batch, :],
                    *(self._Y[..., :P, :], self._Y[..., P:, :]),
                    *(self._dY[..., :P, :], self._dY[..., P:, :]),
                    self.streams["penalty"],
                    # Generated samples have the same labels as the real ones.
                    self._condition[..., :batch, :]
                    if self.discriminator.condition_features
                    else None,
                )
            )
            if self.penalty.columns:
                self.keep(self._penalty.keeps, self._penalty.values, len(self.penalty.columns))

    def bind_rows(self, net: Sequential, rows: slice, **options: Any) -> Pass:
        """A pass of a network over some of a step's rows, with their condition if it reads one.

        The rows are B real samples, B fake ones of D's half, B fake ones of G's.
        """
        if net.condition_features:
            options["condition"] = self._condition[..., rows, :]
        return net.bind(rows.stop - rows.start, **options)

    def _bind_condition(self, rows: int) -> None:
        """The condition of each row, which a subclass writes; None if G reads none."""
        G, k = self.generator, self.generator.condition_features
        shape = (*self.population, rows, k)
        self._condition: Array = self.ops.zeros(shape, G.dtype) if k else None  # (3B, k)

    def _bind_discriminator(self, rows: int) -> None:
        D, ops, batch = self.discriminator, self.ops, self.rows
        samples = ops.empty((*self.population, rows, D.in_features), D.dtype)  # (3B, features)
        self._samples = samples  # D's input
        self._real = samples[..., :batch, :]  # (B, features)
        shape = (*self.population, self.samples_per_step, D.in_features)
        together = self.samples_per_step == batch  # all real samples of the step are D's input
        self.real = self._real if together else ops.empty(shape, D.dtype)  # (d_steps B, features)
        of_g = slice(rows - batch, rows)
        self._d_for_g: Any = self.bind_rows(D, of_g, keep_buffers=True)  # D in G's half
        self._fake = samples[..., -batch:, :]  # (B, features), its input
        P = self._d_for_g.output_shape[-2]  # B, or B/m for packs of m
        self._Y = ops.empty((*self.population, 2 * P, 1), D.dtype)  # (2P, 1), on real and fake
        self._dY = ops.empty(self._Y.shape, D.dtype)  # (2P, 1)
        self._targets = ops.zeros(self._Y.shape, D.dtype)  # (2P, 1)
        self.loss.targets(ops, out=self._targets)
        self._dY_for_g = ops.empty(self._d_for_g.output_shape, D.dtype)  # (P, 1)
        #: The passes of D in its half, each with its input and its dY.
        self._half: list[tuple[Pass, Array, Array]]
        if D.mixes_rows:
            first, second = slice(0, P), slice(P, 2 * P)
            real, fake = slice(0, batch), slice(batch, 2 * batch)
            self._on_real = self.bind_rows(D, real, out=self._Y[..., first, :])
            self._on_fake = self.bind_rows(D, fake, out=self._Y[..., second, :], own_gradients=True)
            self._half = [
                (self._on_real, self._real, self._dY[..., first, :]),
                (self._on_fake, samples[..., fake, :], self._dY[..., second, :]),
            ]
        else:
            both = slice(0, 2 * batch)
            self._both = self.bind_rows(D, both, out=self._Y)  # real and fake in one pass
            self._half = [(self._both, samples[..., : 2 * batch, :], self._dY)]

    def _bind_generator(self, rows: int) -> None:
        G, samples, batch = self.generator, self._samples, self.rows
        fakes = rows - batch
        self._z = self.ops.empty((*self.population, fakes, self.noise.dim), G.dtype)  # (fakes, dim)
        self._d_z = self._z[..., :batch, :]  # (B, dim)
        self._g_z = self._z[..., -batch:, :]  # (B, dim)
        of_d, of_g = slice(batch, 2 * batch), slice(rows - batch, rows)
        both = slice(batch, rows)
        sampler = self.bind_rows(G, both, out=samples[..., both, :])  # straight into D's input
        #: Whether one pass of G makes the samples of both halves, each of which is a part of it.
        self._together = not self.same_noise and sampler.divisible
        if self._together:
            self._sampler = sampler
            self._d_sampler = sampler.part(0, batch)  # the rows of D's half
            self._g_sampler = sampler.part(batch, 2 * batch)  # and of G's
        elif self.same_noise:
            self._d_sampler = self._g_sampler = sampler
        else:
            self._d_sampler = self.bind_rows(G, of_d, out=samples[..., of_d, :])
            self._g_sampler = self.bind_rows(G, of_g, out=self._fake)
        # Averaged weights make other activations, hence other running statistics, than G's own
        # (Izmailov et al., "Averaging weights leads to wider optima", 2018, section 3.2).
        averaged = None if self.average is None else self.average.network
        keeps = averaged is not None and averaged.buffers.size > 0
        self._averaged = self.bind_rows(averaged, of_g) if averaged and keeps else None

    def play(self) -> None:
        for repeat in range(self.d_steps):
            self.take_real(repeat)
            if repeat == self.d_steps - 1 and self._together:
                # G stays as it is until its own half, whose samples are made along.
                self.draw("discriminator")
                self.draw("generator")
                self._sampler.forward(self._z, train=True)
            elif repeat == 0 or not self.same_noise:
                self._generate_for_discriminator()
            self.update_discriminator()
        for repeat in range(self.g_steps):
            if repeat > 0 or not (self.same_noise or self._together):
                self._generate_for_generator()
            self.update_generator()
        if self.average is not None:
            self.average.update()
            if self._averaged is not None:
                if self.team is not None:  # of the average, too, each process updates its part
                    self.team.gather(self.average.network.parameters.data)
                self._averaged.forward(self._g_z, train=True)

    @ignore_float_errors
    def discriminator_step(self, repeat: int = 0) -> None:
        """D's half of a step alone: one update of D, on `real` and on new generated samples.

        Args:
            repeat: which of the step's batches of real samples, if they are several (`fresh_real`).
        """
        self.take_real(repeat)
        self._generate_for_discriminator()
        self.update_discriminator()

    @ignore_float_errors
    def generator_step(self) -> None:
        """G's half of a step alone: one update of G, on new samples and with D as it is now.

        Raises:
            OrderError: the noise is that of D's half (`same_noise`), and there was none yet.
        """
        if self.same_noise and not self._d_sampler.ready:
            raise OrderError("with same_noise G reuses the noise of D's half: take that half first")
        self.take_real(self.d_steps - 1)  # whose labels, if any, G is given
        self._generate_for_generator()
        self.update_generator()

    def take_real(self, repeat: int) -> None:
        """Put the real samples of an update of D where D expects them."""
        if self.real is not self._real:
            self.ops.copy(self.own_rows(self.real, repeat), out=self._real)

    def draw(self, half: str) -> None:
        """Draw fresh noise for a half of a step, "discriminator" or "generator"."""
        z = self._d_z if half == "discriminator" else self._g_z  # (B, dim)
        self.noise.fill_batch(self.ops, self.streams[f"{half}_noise"], out=z)

    def _generate_for_discriminator(self) -> None:
        """The samples of an update of D, of fresh noise."""
        self.draw("discriminator")
        self._d_sampler.forward(self._d_z, train=True)

    def _generate_for_generator(self) -> None:
        """The samples of an update of G: with G as it is now, whatever the noise."""
        if not self.same_noise:
            self.draw("generator")
        self._g_sampler.forward(self._g_z, train=True)

    def update_discriminator(self) -> None:
        """One update of D, from the samples that are there."""
        for D, X, _ in self._half:
            D.forward(X, train=True)
        self.loss.discriminator_gradient(self.ops, self._Y, self._targets, self._dY)
        if self.penalty is not None:
            self._penalty.add_to_dY()
        for D, _, dY in self._half:
            D.backward(dY, input_grad=False)
            D.add_gradients()
        self.add_to_gradients()
        self.update("discriminator")
        if self.constraint is not None:
            self.constraint.apply(self.ops, self.discriminator.parameters)

    def add_to_gradients(self) -> None:
        """Add the gradients of further terms of D's loss to those of its parameters."""
        if self.penalty is not None:
            self._penalty.add_to_gradients()

    def update_generator(self) -> None:
        """One update of G: through D, without D's own gradients."""
        Y = self._d_for_g.forward(self._fake, train=True)  # (P, 1)
        self.loss.generator_gradient(self.ops, Y, self._dY_for_g)
        dfake = self._d_for_g.backward(self._dY_for_g, parameter_grads=False)  # (B, features)
        self._g_sampler.backward(dfake, input_grad=False)
        self.update("generator")

    def _losses(self, kept: Sequence[Array], out: Array) -> None:
        """The losses of K steps, of D's outputs (K, 2P) in its half and (K, P) in G's."""
        Y, for_g = kept
        P = for_g.shape[-1]
        self.loss.values(self.ops, Y[..., :P], Y[..., P:], for_g, out)
