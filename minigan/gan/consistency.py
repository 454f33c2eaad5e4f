"""Consistency: a real image is in the same category as a moved copy of it.

The information about an InfoGAN's category is as large for any split of the data into ten equal
parts, by slant as by digit. What the digits have, and other splits lack, is that small movements do
not change them. So Q's guess for a real image should be that for a copy which was zoomed, sheared
and shifted at random:

    term = weight ( E[-sum_k p_k log q_k] + K / 2 sum_k m_k^2 ),   m = E[q],

with the guesses p for the image, sharpened and held constant, and q for its copy. The second part
keeps all K categories in use: it is smallest if they are equally likely. Near there it is a
constant minus the entropy H(m), to second order. With H(m) the term would be the InfoGAN's bound
once more: the code is what Q says of a real image, and Q guesses it from the copy. The term reaches

    the trunk   in D's half, with D's optimizer: Q's parameters are left alone;
    Q           in G's half, with its own optimizer: the gradient of the latest update of D.

No labels are used. The InfoGAN paper has no such term; its parts are known. Moved copies and H(m):
Hu et al., "Learning discrete representations via information maximizing self-augmented training",
2017. Real images and their copies in an InfoGAN: Ojha et al., "Elastic-InfoGAN", 2020. Sharpened
guesses: Berthelot et al., "MixMatch", 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from minigan.backend import Array, Stream
from minigan.backend.window import Pair, as_pair
from minigan.checks import number, pair, set_fields
from minigan.config import Part, register
from minigan.errors import ShapeError
from minigan.nn import Pass, Sequential

AMOUNTS = 5  # random numbers of a moved image


@register
@dataclass(frozen=True)
class Consistency(Part):
    """The term of an InfoGAN for real images and their moved copies.

    The pixel of a copy in column j and row i, counted from the middle, is that of the image in
    column j (1 + zoom a) + shear b i + shift c and row i (1 + zoom d) + shift e, rounded, with five
    uniform numbers in [-1, 1) for each image.

    Args:
        size: (h, w) of the images; one number stands for both.
        weight: > 0.
        temperature: p is the softmax of Q's logits divided by it, > 0; below 1 it is sharper.
        zoom: the largest change of the scale, in [0, 1).
        shear: the largest shift of a row against the next one, in pixels, >= 0.
        shift: the largest shift, in pixels, >= 0.
        background: what is outside of an image.

    Raises:
        ConfigError: an invalid setting.
    """

    kind: ClassVar[str] = "consistency"
    size: int | Pair = (28, 28)
    _: KW_ONLY
    weight: float = 1.0
    temperature: float = 0.5
    zoom: float = 0.15
    shear: float = 0.4
    shift: float = 2.0
    background: float = -1.0

    def __post_init__(self) -> None:
        set_fields(self, size=as_pair(pair("Consistency: size", self.size, 1)))
        for name, bounds in (
            *(("weight", {"above": 0.0}), ("temperature", {"above": 0.0})),
            *(("zoom", {"at_least": 0.0, "below": 1.0}), ("shear", {"at_least": 0.0})),
            *(("shift", {"at_least": 0.0}), ("background", {})),
        ):
            value = number(f"Consistency: {name}", getattr(self, name), **bounds)
            set_fields(self, **{name: value})

    def check_fit(self, D: Sequential) -> None:
        """Raise `ShapeError` unless D takes images of this size."""
        h, w = as_pair(self.size)
        if D.image is not None and D.image[:2] != (h, w):
            takes = f"images of {D.image.height} x {D.image.width}"
        elif D.in_features % (h * w):
            takes = f"{D.in_features} features"
        else:
            return
        raise ShapeError(f"Consistency moves images of {h} x {w}; D takes {takes}")


class ConsistencyPass:
    """A `Consistency` bound to a step of an InfoGAN.

    Args:
        consistency: the definition.
        trunk, recogniser: the networks.
        real: (B, features), the real images of an update of D.
        features: (B, H), what the trunk made of them.
        categories: K.
        stream: of the movements.

    Attributes:
        moved: Q's pass over the copies, with gradients of its own.
        keeps: arrays that `values` is computed from.
    """

    def __init__(
        self,
        consistency: Consistency,
        trunk: Sequential,
        recogniser: Sequential,
        real: Array,
        features: Array,
        categories: int,
        stream: Stream,
    ) -> None:
        self.settings, self.ops, self.stream = consistency, trunk.ops, stream
        self.team = trunk.team
        self.real, self.features = real, features
        batch, K = real.shape[-2], categories

        def empty(*shape: int) -> Array:
            return self.ops.empty((*trunk.population, *shape), trunk.dtype)

        apart = {"own_gradients": True, "keep_buffers": True}
        self.trunk = trunk.bind(batch, **apart)  # over the copies
        self.moved: Pass = recogniser.bind(batch, **apart)
        self.still = recogniser.bind(batch, keep_buffers=True)  # over the images
        self.amounts = empty(batch, AMOUNTS)  # (B, 5)
        self.copies = empty(*real.shape[-2:])  # (B, features)
        self.logits = self.moved.Y[..., :K]  # (B, K), a view
        self.p, self.q = empty(batch, K), empty(batch, K)  # (B, K)
        self.zeros = empty(batch, K)  # (B, K)
        self.dguess = empty(*self.moved.Y.shape[-2:])  # (B, k)
        self.dlogits = self.dguess[..., :K]  # (B, K), a view
        self.share = empty(1, K)  # (1, K), K m
        self.along = empty(batch, 1)  # (B, 1)
        self.ones = empty(1, K)  # (1, K)
        for array, value in ((self.zeros, 0.0), (self.dguess, 0.0), (self.ones, 1.0)):
            self.ops.fill(value, out=array)
        self.keeps = (self.logits, self.p)

    def add_to_gradients(self) -> None:
        """Add the term's gradient to D's: the trunk's share. Q's is in `moved.grad`."""
        ops, own = self.ops, self.settings
        ops.fill_uniform(self.stream, -1.0, 1.0, out=self.amounts)
        ops.move_images(
            self.real,
            self.amounts,
            as_pair(own.size),
            own.zoom,
            own.shear,
            own.shift,
            own.background,
            out=self.copies,
        )
        guess = self.still.forward(self.features, train=True)  # (B, k)
        ops.scale(guess[..., : self.p.shape[-1]], 1.0 / own.temperature, out=self.p)
        self._softmax(self.p, self.p)
        self.moved.forward(self.trunk.forward(self.copies, train=True), train=True)
        self._softmax(self.logits, self.q)
        self._logit_gradient()
        dfeatures = self.moved.backward(self.dguess)  # (B, H)
        self.trunk.backward(dfeatures, input_grad=False)
        self.trunk.add_gradients()

    def _softmax(self, logits: Array, out: Array) -> None:
        """out (B, K) = softmax(logits): the gradient of a cross-entropy with a target of zeros"""
        self.ops.softmax_cross_entropy_gradient(logits, self.zeros, 1, out=out)

    def _logit_gradient(self) -> None:
        """dlogits (B, K) = weight / B (q - p + q (K m - sum_j q_j K m_j))"""
        ops, (batch, K) = self.ops, self.q.shape[-2:]
        ops.sum_rows(self.q, out=self.share)
        ops.scale(self.share, K / batch, out=self.share)
        if self.team is not None:
            self.team.average(self.share)
        ops.matmul(self.q, self.share, out=self.along, transpose_B=True)  # sum_j q_j K m_j
        ops.matmul(self.along, self.ones, out=self.dlogits)
        ops.negate(self.dlogits, out=self.dlogits)
        ops.add_rows(self.dlogits, self.share, out=self.dlogits)
        ops.add_rows(self.dlogits, self.ones, out=self.dlogits)  # q times 1 is the first q
        ops.multiply(self.dlogits, self.q, out=self.dlogits)
        ops.negate(self.p, out=self.q)  # q is not needed any more
        ops.add(self.dlogits, self.q, out=self.dlogits)
        ops.scale(self.dlogits, self.settings.weight / batch, out=self.dlogits)

    def values(self, kept: Sequence[Any], out: Array) -> None:
        """The cross-entropy of q with p, in nats, of K steps: out (K, 1)"""
        batch = self.real.shape[-2]
        logits, p = (one.reshape(*one.shape[:-1], batch, -1) for one in kept)
        self.ops.softmax_cross_entropy_loss(logits, p, out=out[..., 0])
