"""InfoGAN: the generator's codes must be recognisable in its samples.

G turns noise z and a code c into a sample, and a third network Q guesses the code from the sample.
The information I(c; G(z, c)) is what a sample says about its code. It is at least

    E[log Q(c | x)] + H(c),   x = G(z, c),

whatever Q is, and equal to it if Q(c | x) is the true posterior (Chen et al., "InfoGAN", 2016,
equation 4). G and Q maximise this bound, so G learns to draw something different for each code; D
keeps it realistic. No label says what a code should mean.

    D's half                                       G's half

                   +--head--> output                              +--head--> output
    x --trunk--> phi                      z', c' --G--> x --trunk--> phi
                   +--Q--> guess of c                             +--Q--> guess of c'

phi is what D's first layers, the *trunk*, make of x: see two_heads.py. Real samples have no code.
They have a term of their own if there is a `Consistency`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from minigan.backend import Array, checked_array
from minigan.backend.float_errors import ignore_float_errors
from minigan.checks import number, whole
from minigan.config import Part, rebuild, register
from minigan.errors import ConfigError, ShapeError
from minigan.gan.consistency import Consistency, ConsistencyPass
from minigan.gan.fit import check_conditions, check_plain, one_hot
from minigan.gan.gan import GAN
from minigan.gan.losses import Loss
from minigan.gan.noise import Noise
from minigan.gan.two_heads import TwoHeads
from minigan.nn import Optimizer, Pass, Sequential

LOW, HIGH = -1.0, 1.0  # the range of a continuous code


@register
class InfoGAN(GAN):
    """A GAN with codes: one category, and continuous numbers.

    The code of a sample is a row [category, continuous codes] of k = categories + continuous
    numbers: 1 at the category and 0 elsewhere, each category equally likely; and numbers uniform in
    [-1, 1). G reads it as its condition (`AppendCondition`).

    Args:
        generator, discriminator, noise, loss: as for `Game`.
        recogniser: Q: what the trunk makes of a sample (B, H) -> (B, k): logits of the categories,
            and the means of the continuous codes.
        generator_optimizer, discriminator_optimizer: as for `Game`.
        recogniser_optimizer: by default one with the settings of G's.
        categories: how many, >= 2.
        continuous: how many continuous codes, >= 0.
        trunk: how many of D's layers Q shares; by default all but the last one.
        weight: of the term, lambda > 0.
        std: Q(c | x) of a continuous code is normal with this standard deviation. A small one gives
            these codes a large weight.
        consistency: the term for real images and their moved copies, or None.
        **settings: those of `Game`.

    Attributes:
        recogniser, recogniser_optimizer: Q and its optimizer.
        classes: the categories.
    """

    capturable: ClassVar[bool] = True
    more_streams: ClassVar[Sequence[str]] = (
        "discriminator_codes",
        "generator_codes",
        "sample_codes",
        "consistency",
    )
    letters: ClassVar[Mapping[str, str]] = {"recogniser": "Q"}
    titles: ClassVar[Mapping[str, str]] = {
        **GAN.titles,
        "_trunks": "D's trunk",
        "_heads": "D's head",
        "_recognisers": "Q",
        "_still_q": "Q on real images",
        "_moved_trunk": "D's trunk on moved copies",
        "_moved_q": "Q on moved copies",
    }
    fixed: ClassVar[dict[str, str]] = {
        **GAN.fixed,
        **dict.fromkeys(
            (
                *("recogniser", "recogniser_optimizer", "categories", "continuous", "trunk"),
                *("weight", "std", "consistency"),
            ),
            "make another InfoGAN",
        ),
    }

    def __init__(
        self,
        generator: Sequential,
        discriminator: Sequential,
        recogniser: Sequential,
        noise: Noise,
        loss: Loss | None = None,
        generator_optimizer: Optimizer | None = None,
        discriminator_optimizer: Optimizer | None = None,
        recogniser_optimizer: Optimizer | None = None,
        *,
        categories: int = 10,
        continuous: int = 2,
        trunk: int | None = None,
        weight: float = 1.0,
        std: float = 1.0,
        consistency: Consistency | None = None,
        **settings: Any,
    ) -> None:
        self.categories = whole("InfoGAN: categories", categories, 2)
        self.continuous = whole("InfoGAN: continuous", continuous, 0)
        self.weight = number("InfoGAN: weight", weight, above=0.0)
        self.std = number("InfoGAN: std", std, above=0.0)
        self.consistency = consistency
        last = len(getattr(discriminator, "layers", ())) - 1
        self.trunk = last if trunk is None else whole("InfoGAN: trunk", trunk, 1)
        alike = isinstance(recogniser, Sequential) and recogniser_optimizer is None
        if alike and isinstance(generator_optimizer, Optimizer):
            same = generator_optimizer.to_config()
            recogniser_optimizer = rebuild("optimizer", same, recogniser.parameters)
        self.more_networks = {"recogniser": (recogniser, recogniser_optimizer)}
        super().__init__(
            generator,
            discriminator,
            noise,
            loss,
            generator_optimizer,
            discriminator_optimizer,
            **settings,
        )

    @property
    def classes(self) -> int:
        """The number of categories."""
        return self.categories

    @property
    def recogniser(self) -> Sequential:
        """Q, the network that guesses a sample's code."""
        return self.networks["recogniser"]

    @property
    def recogniser_optimizer(self) -> Optimizer:
        """The optimizer of Q."""
        return self.optimizers["recogniser"]

    def name_columns(self) -> dict[str, str]:
        """Those of a GAN, then the bound in nats: of the category, of the continuous codes."""
        cause = "the recogniser"
        information = {"information": cause}
        if self.continuous:
            information["code_information"] = cause
        if self.consistency is not None:
            information["consistency"] = cause
        return super().name_columns() | information

    def parts(self) -> list[Part]:
        """Those of a GAN, and the consistency."""
        return [*super().parts(), *([self.consistency] if self.consistency else [])]

    def check_fit(self) -> None:
        check_plain(self)
        D, Q, k = self.discriminator, self.recogniser, self.categories + self.continuous
        check_conditions(self, generator=k, discriminator=0, recogniser=0)
        if len(D.layers) < 2:
            raise ConfigError("InfoGAN: the discriminator needs two layers: a trunk, and its head")
        if not 1 <= self.trunk < len(D.layers):
            raise ConfigError(
                f"InfoGAN: the trunk is the first 1 to {len(D.layers) - 1} layers of the "
                f"discriminator, not {self.trunk}"
            )
        if D.rows_multiple != 1 or Q.rows_multiple != 1:
            raise ConfigError("a Pack mixes the codes of several samples, so InfoGAN has none")
        if self.consistency is not None:
            if not isinstance(self.consistency, Consistency):
                raise ConfigError(
                    f"InfoGAN: consistency must be a Consistency, not {self.consistency!r}"
                )
            self.consistency.check_fit(D)
        H = D.shapes(1)[self.trunk][1]
        if (Q.in_features, Q.out_features) != (H, k):
            raise ShapeError(
                f"the recogniser takes {Q.in_features} features and makes {Q.out_features}; the "
                f"trunk makes {H}, and a code has {k}"
            )

    def bind_step(self, batch: int) -> None:
        ops, dtype, pop = self.ops, self.generator.dtype, self.population
        self._trunks: list[Pass] = []
        self._heads: list[Pass] = []
        self._recognisers: list[Pass] = []
        self._category = ops.empty((*pop, batch, self.categories), dtype)  # (B, K)
        self._continuous = ops.empty((*pop, batch, self.continuous), dtype)  # (B, m)
        self._unit_rows = ops.from_host(np.eye(self.categories), dtype)  # (K, K)
        self._split = self.discriminator.split(self.trunk)  # the trunk, and D's head
        super().bind_step(batch)
        ceilings = [math.log(self.categories)]  # the entropy H of the category, in nats
        if self.continuous:
            spread = (HIGH - LOW) / (self.std * math.sqrt(2 * math.pi))
            ceilings.append(self.continuous * math.log(spread))
        self._ceilings = ops.from_host(np.array([ceilings]), dtype)  # (1, columns)
        guess = self._d_for_g.guess  # (B, k)
        code = self._condition[..., -batch:, :]  # (B, k)
        K, arrays = self.categories, []
        arrays += [guess[..., :K], code[..., :K]]
        if self.continuous:
            arrays += [guess[..., K:], code[..., K:]]
        self.keep(arrays, self._information, len(ceilings))
        if self.consistency is not None:
            self._consistency = ConsistencyPass(
                self.consistency,
                self._split[0],
                self.recogniser,
                self._real,
                self._trunk_of_real().Y[..., :batch, :],
                self.categories,
                self.streams["consistency"],
            )
            self._still_q = self._consistency.still
            self._moved_trunk = self._consistency.trunk
            self._moved_q = self._consistency.moved
            self.keep(self._consistency.keeps, self._consistency.values, 1)

    def _trunk_of_real(self) -> Pass:
        """The trunk's pass over the real samples of D's half (and perhaps the generated ones)."""
        first: Any = self._half[0][0]
        trunk: Pass = first.trunk
        return trunk

    def bind_rows(self, net: Sequential, rows: slice, **options: Any) -> Any:
        """As for a GAN; a pass of D is one of its trunk, with its head and with Q behind."""
        if net is not self.discriminator:
            return super().bind_rows(net, rows, **options)
        return TwoHeads(self, rows, **options)

    def draw(self, half: str) -> None:
        """Draw fresh noise and codes for a half of a step."""
        super().draw(half)
        B, K = self.rows, self.categories
        first = B if half == "discriminator" or self.same_noise else 2 * B
        code = self._condition[..., first : first + B, :]  # (B, k)
        stream = self.streams[f"{half}_codes"]
        self.ops.fill_mixture(stream, self._unit_rows, 0.0, out=self._category)
        self.ops.copy(self._category, out=code[..., :K])
        if self.continuous:
            self.ops.fill_uniform(stream, LOW, HIGH, out=self._continuous)
            self.ops.copy(self._continuous, out=code[..., K:])

    def add_to_gradients(self) -> None:
        """Those of the penalty, and of the term for real images."""
        super().add_to_gradients()
        if self.consistency is not None:
            self._consistency.add_to_gradients()

    def update_generator(self) -> None:
        """One update of G, and one of Q on the same samples."""
        super().update_generator()
        if self.consistency is not None:
            self._consistency.moved.add_gradients()
        self.update("recogniser")

    def code_gradient(self, guess: Array, code: Array, out: Array) -> None:
        """out (B, k) = the gradient of the term by Q's output, guess (B, k), of these codes (B, k).

        weight / B (softmax(logits) - category), and weight / (B std^2) (mean - code)
        """
        ops, K, B = self.ops, self.categories, guess.shape[-2]
        logits, means = out[..., :K], out[..., K:]
        ops.softmax_cross_entropy_gradient(guess[..., :K], code[..., :K], B, out=logits)
        ops.scale(logits, self.weight, out=logits)
        if self.continuous:
            ops.mean_squared_error_gradient(guess[..., K:], code[..., K:], 2 * B, out=means)
            ops.scale(means, self.weight / self.std**2, out=means)

    def _information(self, kept: Sequence[Array], out: Array) -> None:
        """The bound, of Q's guesses and the codes in G's half of n steps: (n, B K) and (n, B m).

        H - cross-entropy of the category; for the continuous codes m log(2 / (std sqrt(2 pi))) -
        (squared errors) / (2 std^2), of which m log 2 is their entropy.
        """
        ops = self.ops
        logits, categories = (one.reshape(*one.shape[:-1], self.rows, -1) for one in kept[:2])
        ops.softmax_cross_entropy_loss(logits, categories, out=out[..., 0])
        if self.continuous:
            means, codes = kept[2:]  # (n, B m) each
            ops.mean_squared_error_loss(means, codes, out=out[..., 1])
            ops.scale(out[..., 1], self.continuous / (2 * self.std**2), out=out[..., 1])
        ops.negate(out, out=out)
        ops.add_rows(out, self._ceilings, out=out)

    @ignore_float_errors
    def draw_condition(
        self, n: int, seed: int | None = None, labels: Any = None, codes: Any = None
    ) -> Array:
        """The codes (n, k) of n samples; `labels` are the categories."""
        ops, dtype, K, m = self.ops, self.generator.dtype, self.categories, self.continuous
        condition = ops.empty((*self.population, n, K + m), dtype)
        ops.copy(one_hot(self, labels, n), out=condition[..., :K])
        if codes is not None:
            if not m:
                raise ConfigError("this InfoGAN has no continuous codes")
            # What is too large for the dtype becomes infinite, and is refused.
            given = ops.from_host(checked_array("codes", codes), dtype)
            shapes = ((m,), (n, m), (*self.population, n, m))
            if given.shape not in shapes or not np.isfinite(ops.to_host(given)).all():
                raise ConfigError(f"codes must be {m} finite numbers, or {n} rows of them")
            ops.copy(given, out=condition[..., K:])
        elif m and n:
            drawn = ops.empty((*self.population, n, m), dtype)  # (n, m)
            ops.fill_uniform(self.sample_stream("sample_codes", seed), LOW, HIGH, out=drawn)
            ops.copy(drawn, out=condition[..., K:])
        return condition
