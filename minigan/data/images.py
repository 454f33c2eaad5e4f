"""Images as samples: pixels stay bytes until a batch is served, as numbers in [-1, 1].

60,000 images of 28 x 28 take 47 MB as bytes, and 188 MB as float32. [-1, 1] is the range of the
generator's tanh.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minigan.backend import ANY, Array, checked_array, get_backend
from minigan.config import register
from minigan.data.datasets import DATASETS, ImageSet, load_images
from minigan.data.samples import MOST_RANDOM, Shuffled
from minigan.data.source import ANOTHER_SOURCE
from minigan.errors import DataError
from minigan.text import count, times


@register
class Images(Shuffled):
    """Images as samples of height x width numbers in [-1, 1], in a new order every epoch.

    Args:
        pixels: (N, height, width) uint8; kept as bytes, not copied on the CPU.
        seed: of the order.
        device, dtype: of the batches.
        dataset: the name of the set, for the description.
        labels: (N,) integers >= 0, the class of each image, or None.

    Attributes:
        image_set: the set whose training images these are, or None. Scores need it.

    Raises:
        DataError: not such an array, an empty one, or invalid labels.
        DTypeError: the pixels or the labels cannot be read as an array.
    """

    form: ClassVar[str] = "image"
    fixed: ClassVar[Mapping[str, str]] = {
        **Shuffled.fixed,
        **dict.fromkeys(("shape", "dataset"), ANOTHER_SOURCE),
    }
    image_set: ImageSet | None = None

    def __init__(
        self,
        pixels: Any,
        seed: int = 0,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        dataset: str = "images",
        labels: Any | None = None,
    ) -> None:
        pixels = checked_array("images", pixels, ANY)
        if pixels.ndim != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
            raise DataError(
                f"images must be (N, height, width) uint8 and at least one, "
                f"not {pixels.shape} {pixels.dtype}"
            )
        self.shape = (int(pixels.shape[1]), int(pixels.shape[2]))
        self.dataset = dataset
        rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1)  # (N, h w), a view
        super().__init__(get_backend(device).asarray(rows), seed, device, dtype, labels)

    @classmethod
    def of(cls, images: ImageSet, seed: int = 0, *, device: str = "cpu", **settings: Any) -> Images:
        """The training images of a set."""
        source = cls(images.train, seed, device=device, dataset=images.name, **settings)
        source.image_set = images
        return source

    def serve(self, index: Array, out: Array) -> None:
        """Write the images at index (B,) into `out` (B, h w), as numbers in [-1, 1]."""
        self.ops.take_pixels(self.X, index, out=out)

    def settings(self) -> dict[str, Any]:
        """A description as JSON, with the SHA-256 of the images."""
        shape = [self.size, *self.shape]
        return {**super().settings(), "shape": shape, "dataset": self.dataset}

    def describe(self) -> str:
        """What the images are, for people: "mnist: 60,000 images of 28 x 28, from ...\"."""
        origin = "" if self.image_set is None else f", from {self.image_set.source}"
        return f"{self.dataset}: {count(self.size, 'image')} of {times(self.shape)}{origin}"

    @classmethod
    def shape_of(cls, settings: dict[str, Any]) -> tuple[int, ...]:
        """(N, height, width)"""
        n, height, width = settings["shape"]
        return n, height, width

    @classmethod
    def find(
        cls, settings: dict[str, Any], folder: Path | None = None, *, device: str = "cpu"
    ) -> Images:
        """The training images of a set that `load_images` knows by name.

        Args:
            settings: what `settings()` returned.
            folder: a data folder, as for `load_images`.
            device: where batches are written.

        Raises:
            DataError: they are not of such a set, or differ from its images.
        """
        dataset = settings["dataset"]
        if dataset not in DATASETS:
            raise DataError(
                f"the images {dataset!r} cannot be found by their name; only those of "
                f"{', '.join(DATASETS)} can"
            )
        images = load_images(dataset, folder)
        labels = images.train_labels if "labels_sha256" in settings else None
        seed, dtype = settings["seed"], settings["dtype"]
        found = cls.of(images, seed, device=device, dtype=dtype, labels=labels)
        marks = ("sha256", "labels_sha256")
        if any(found.settings().get(mark) != settings.get(mark) for mark in marks):
            raise DataError(
                f"it was trained on other images or labels than those of {images.source}"
            )
        return found

    @classmethod
    def stand_in(cls, settings: dict[str, Any], *, device: str = "cpu") -> Images:
        """Random pixels (N, height, width), at most `MOST_RANDOM` bytes of them."""
        size, *shape = settings["shape"]
        rows = min(size, max(1, MOST_RANDOM // math.prod(shape)))
        pixels = np.random.default_rng(0).integers(0, 256, (rows, *shape), dtype=np.uint8)
        labels = cls.stand_in_labels(settings, rows)
        return cls(pixels, device=device, dtype=settings["dtype"], labels=labels)


def to_floats(pixels: Any) -> Any:
    """Pixels (N, h, w) uint8 as samples (N, h w) float32 in [-1, 1]: (x - 127.5) / 127.5."""
    pixels = checked_array("images", pixels)
    flat = pixels.reshape(len(pixels), -1)
    result = flat.astype(np.float32)
    result -= np.float32(127.5)
    result *= np.float32(1 / 127.5)
    return result


def to_pixels(samples: Any, shape: tuple[int, int]) -> Any:
    """Samples (N, h w) in [-1, 1] as pixels (N, h, w) uint8; values outside are clipped."""
    values = np.clip(checked_array("samples", samples).astype(np.float32), -1.0, 1.0)
    return np.rint((values + 1.0) * 127.5).astype(np.uint8).reshape(-1, *shape)
