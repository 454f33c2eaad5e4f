"""How samples are drawn from a game: which network makes them, and what it is given."""

from __future__ import annotations

from typing import Any

from minigan.backend import Array, Stream
from minigan.backend.float_errors import ignore_float_errors
from minigan.checks import whole
from minigan.errors import ConfigError
from minigan.nn import Sequential


class Sampling:
    """The part of a `Game` that draws samples. A subclass may define `draw_condition`."""

    @property
    def sampler(self: Any) -> Sequential:
        """The network that samples are drawn with: the averaged G if there is one, else G."""
        found: Sequential = self.generator if self.average is None else self.average.network
        return found

    @property
    def classes(self) -> int:
        """How many classes of samples one can ask for; 0 if one cannot."""
        return 0

    def sample(
        self, n: int, seed: int | None = None, *, labels: Any = None, codes: Any = None
    ) -> Array:
        """Draw n samples (n, features) in evaluation mode (no dropout).

        Args:
            n: how many, >= 0.
            seed: draw the same samples each time; by default continue the GAN's stream. With a
                seed, several threads may sample at the same time.
            labels: of a game with `classes`: the class of all samples, or n of them. By default the
                classes take turns: sample i is of class i mod `classes`.
            codes: of a game with continuous codes: their values, one row for all samples or n rows.
                By default they are drawn.

        Returns:
            (n, features), a copy; (S, n, features) for a population.

        Raises:
            ConfigError: n or seed is not an integer >= 0; or labels or codes that the game does not
                have, or of another number.
            DTypeError: labels are no integers, or codes no numbers.
        """
        Z = self.draw_noise(n, seed)
        return self.sampler.predict(Z, self.draw_condition(n, seed, labels, codes))

    @ignore_float_errors
    def draw_noise(self: Any, n: int, seed: int | None = None) -> Array:
        """The noise (n, dim) that `sample(n, seed)` turns into samples; same arguments."""
        n = whole("sample: n", n, 0)
        stream = self.sample_stream("sample", seed)
        Z = self.ops.empty((*self.population, n, self.noise.dim), self.generator.dtype)
        if n:
            self.noise.fill(self.ops, stream, out=Z)
        return Z

    def draw_condition(
        self, n: int, seed: int | None = None, labels: Any = None, codes: Any = None
    ) -> Array | None:
        """The condition that `sample` gives G next to the noise; same arguments. None if none.

        Returns:
            (n, condition features), or (S, n, condition features) for a population.
        """
        if labels is not None or codes is not None:
            raise ConfigError(
                f"the generator of a {type(self).__name__} takes noise alone, no labels or codes"
            )
        return None

    def sample_stream(self: Any, name: str, seed: int | None) -> Stream:
        """The game's stream of that name; with a seed, a new one that starts at the beginning."""
        if seed is None:
            stream: Stream = self.streams[name]
            return stream
        # Every member of a population gets the same numbers.
        members = self.population[0] if self.population else 1
        return Stream([whole("sample: seed", seed, 0)] * members, f"gan/{name}")
