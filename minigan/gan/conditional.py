"""The conditional GAN: both networks are given the class of a sample.

    min over G, max over D of   E[log D(x, y)] + E[log(1 - D(G(z, y), y))],

the first mean over real samples x with their labels y, the second over noise z and labels
(Mirza and Osindero, "Conditional generative adversarial nets", 2014, equation 2). D learns whether
a sample is real *and* of its class, so G must make one of the class that it was asked for.

Generated samples get the labels of the step's real samples, in both halves. So a label alone does
not show which samples are real. If G's labels had other frequencies than the data's, it would, and
D would learn that instead of what samples look like.
"""

from __future__ import annotations

from typing import Any, ClassVar

from minigan.backend import Array
from minigan.config import register
from minigan.errors import ConfigError
from minigan.gan.fit import check_conditions, check_plain, one_hot
from minigan.gan.gan import GAN


@register
class ConditionalGAN(GAN):
    """A GAN whose networks read a condition, the class of a sample. Its arguments are `Game`'s.

    Each network has a layer that reads it: `AppendCondition` (for convolutions `AppendChannels`),
    `Embedding`, or a `Projection` as D's last layer. The data need labels.

    Attributes:
        labels: (samples_per_step, classes), once bound: where a step expects the labels of its real
            samples, each row 1 at the class and 0 elsewhere.
    """

    capturable: ClassVar[bool] = True
    takes_labels: ClassVar[bool] = True
    fixed: ClassVar[dict[str, str]] = {
        **GAN.fixed,
        "labels": "write into it, gan.labels[...] = rows, or use gan.step(samples, labels)",
    }
    labels: Array

    @property
    def classes(self) -> int:
        """How many classes there are: the features of G's condition."""
        return self.generator.condition_features

    def check_fit(self) -> None:
        check_plain(self)
        if not self.classes:
            raise ConfigError(
                "no layer of the generator reads a condition: begin it with AppendCondition"
            )
        check_conditions(self, discriminator=self.classes)

    def bind_step(self, batch: int) -> None:
        shape = (*self.population, self.samples_per_step, self.classes)
        self.labels = self.ops.empty(shape, self.generator.dtype)  # (samples_per_step, classes)
        super().bind_step(batch)

    def inputs(self) -> dict[str, Array]:
        return {**super().inputs(), "labels": self.labels}

    def read(self, data: Any) -> None:
        data.next_batch(out=self.real, labels=self.labels)

    def take_real(self, repeat: int) -> None:
        """As for a GAN; and give the labels of these samples to all rows of the step."""
        super().take_real(repeat)
        labels = self.own_rows(self.labels, repeat)[..., None, :, :]  # (1, B, classes)
        # (3, B, classes), a view: real samples, and the fake ones of both halves.
        rows = self._condition.reshape(*self.population, -1, self.rows, self.classes)
        self.ops.copy(labels, out=rows)

    def draw_condition(
        self, n: int, seed: int | None = None, labels: Any = None, codes: Any = None
    ) -> Array:
        """The labels of n samples as rows (n, classes)."""
        if codes is not None:
            raise ConfigError("a ConditionalGAN has no codes, only labels")
        return one_hot(self, labels, n)
