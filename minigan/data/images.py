"""Images: four files of a dataset, or a small one that needs no file; pixels as samples.

Pixels are bytes, and stay bytes: 60,000 images of 28 x 28 are 47 MB so, and 188 MB as
float32. A batch is turned into numbers in [-1, 1] as it is served, which is the range of the
generator's tanh.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minigan.backend import Array, Stream, get_backend
from minigan.backend.base import on_host
from minigan.config import register
from minigan.data.download import PUBLISHED, fetch
from minigan.data.idx import UNSIGNED_BYTE, read_idx
from minigan.data.samples import Shuffled
from minigan.data.source import ANOTHER_SOURCE
from minigan.errors import ConfigError, DataError, DownloadError, FileError

#: What `load_images` knows by name.
DATASETS = ("mnist", "fashion", "digits")
TITLES = {
    "mnist": "MNIST",
    "fashion": "Fashion-MNIST",
    "digits": "scikit-learn's embedded 8 x 8 digits",
}
CLASSES = 10
DATA_DIR = "MINIGAN_DATA_DIR"  # the environment variable that means the same as --data-dir
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
#: SHA-256 of MNIST's unpacked files, by which it is known whatever its archives look like.
MNIST_UNPACKED = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
DIGITS_TRAIN = 1437  # of the 1,797 embedded digits; the other 360 are the test set


@dataclass(frozen=True)
class ImageSet:
    """Grey images with labels, split into training and test set.

    Attributes:
        name: "mnist", "fashion", "digits", or "idx" for files of unknown origin.
        train, test: (N, height, width) uint8, 0 black to 255 white.
        train_labels, test_labels: (N,) uint8, each below 10.
        source: where it came from, for people.
        note: one line about a choice that was made for the user, or "".
    """

    name: str
    train: Any
    train_labels: Any
    test: Any
    test_labels: Any
    source: str
    note: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of an image."""
        return int(self.train.shape[1]), int(self.train.shape[2])

    @functools.cached_property
    def sha256(self) -> str:
        """Of all four arrays, with their shapes."""
        digest = hashlib.sha256()
        for array in (self.train, self.train_labels, self.test, self.test_labels):
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


@register
class Images(Shuffled):
    """Images as samples of height x width numbers in [-1, 1], shuffled anew every epoch.

    Args:
        pixels: (N, height, width) uint8; kept as bytes, not copied on the CPU.
        seed: of the order.
        device, dtype: where batches are filled, and as what.
        dataset: the name of the set, for the description.

    Raises:
        DataError: not such an array, or an empty one.
    """

    fixed: ClassVar[Mapping[str, str]] = {
        **Shuffled.fixed,
        **dict.fromkeys(("shape", "dataset"), ANOTHER_SOURCE),
    }

    def __init__(
        self,
        pixels: Any,
        seed: int = 0,
        device: str = "cpu",
        dtype: str = "float32",
        dataset: str = "images",
    ) -> None:
        pixels = np.asarray(on_host(pixels))
        if pixels.ndim != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
            raise DataError(
                f"images must be (N, height, width) uint8 and at least one, "
                f"not {pixels.shape} {pixels.dtype}"
            )
        self.shape = (int(pixels.shape[1]), int(pixels.shape[2]))
        self.dataset = dataset
        rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1)  # (N, h w), a view
        super().__init__(get_backend(device).asarray(rows), seed, device, dtype)

    def serve(self, index: Array, out: Array) -> None:
        """Write the images at index (B,) into `out` (B, h w), as numbers in [-1, 1]."""
        self.ops.take_pixels(self.X, index, out=out)

    def settings(self) -> dict[str, Any]:
        """A description as JSON. The images themselves are known by their SHA-256."""
        return {
            **super().settings(),
            "shape": [self.size, *self.shape],
            "dataset": self.dataset,
        }


def to_floats(pixels: Any) -> Any:
    """Pixels (N, h, w) uint8 as samples (N, h w) float32 in [-1, 1]: (x - 127.5) / 127.5."""
    flat = np.asarray(pixels).reshape(len(pixels), -1)
    result = flat.astype(np.float32)
    result -= np.float32(127.5)
    result *= np.float32(1 / 127.5)
    return result


def to_pixels(samples: Any, shape: tuple[int, int]) -> Any:
    """Samples (N, h w) in [-1, 1] as pixels (N, h, w) uint8; values outside are clipped."""
    values = np.clip(np.asarray(samples, dtype=np.float32), -1.0, 1.0)
    return np.rint((values + 1.0) * 127.5).astype(np.uint8).reshape(-1, *shape)


def load_images(
    name: str,
    data_dir: Path | str | None = None,
    cache: Path | str | None = None,
    progress: bool = True,
    download: bool = True,
) -> ImageSet:
    """Load a dataset by name.

    MNIST and Fashion-MNIST come from `data_dir`, if one is given here or by the environment
    variable MINIGAN_DATA_DIR; otherwise from the cache, and into it by download if need be.
    A folder that is given must exist.
    They must be what their name says: MNIST is known by the SHA-256 of its unpacked files.
    Of Fashion-MNIST only the archives have published hashes, which are checked in downloads;
    files from a folder are taken for it if none of them is MNIST's.

    Args:
        name: "mnist"; "fashion"; "digits", 8 x 8, which comes with scikit-learn and needs no
            file; or "auto": MNIST from `data_dir` if it is there, else from the cache, else
            by download, and without a network the embedded digits. `ImageSet.note` says it
            if that was not the first choice.
        data_dir: a folder with the four IDX files, gzipped or not, in it or in its folder
            `mnist` or `fashion`.
        cache: the folder for downloads; see `minigan.data.download.cache_folder`.
        progress: show a bar while downloading.
        download: False stays off the network, and is a DownloadError if it would be needed.

    Raises:
        ConfigError: an unknown name, files that belong to another dataset, or a folder for
            the embedded digits.
        FileError, DataError: files that are missing, unreadable or damaged.
        DownloadError: no mirror gave the files.
    """
    if name not in (*DATASETS, "auto"):
        raise ConfigError(f"unknown data {name!r}; choose from auto, {', '.join(DATASETS)}")
    if name == "digits":
        if data_dir is not None:
            raise ConfigError("the digits are embedded; they are not read from a folder")
        return embedded_digits()
    wanted = "mnist" if name == "auto" else name
    folder = data_dir if data_dir is not None else os.environ.get(DATA_DIR) or None
    missing = note = ""
    if folder is not None:
        found = find_idx_folder(folder, wanted)
        if found is not None:
            return _named(read_idx_folder(found), wanted)
        missing = (
            f"{folder} does not hold the four files of {TITLES[wanted]}, "
            f"{FILES[0]}[.gz] and so on, neither itself nor in its folder {wanted}"
        )
        if name != "auto":
            raise FileError(missing)
        note = f"{missing}: using the cached or downloaded {TITLES[wanted]} instead"
    try:
        folder = fetch(PUBLISHED[wanted], cache, progress, download)
    except DownloadError as error:
        if name != "auto" or not error.offline or not download:
            raise DownloadError(
                f"{error}; --data-dir takes files you have", error.offline
            ) from error
        digits = embedded_digits()
        reason = missing or "--data-dir takes files you have"
        note = f"no network and no MNIST here: using {TITLES['digits']} instead ({reason})"
        return dataclasses.replace(digits, note=note)
    return dataclasses.replace(_named(read_idx_folder(folder), wanted), note=note)


def embedded_digits() -> ImageSet:
    """The 1,797 handwritten 8 x 8 digits that scikit-learn carries (from the UCI repository).

    They come in one piece; a fixed shuffle parts them into 1,437 to train on and 360 to test.
    """
    from sklearn.datasets import load_digits  # slow to import, and only this needs it

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8), from 0..16
    labels = bunch.target.astype(np.uint8)  # (1797,)
    order = np.argsort(Stream(0, "digits/split").words(len(images))[0], kind="stable")
    train, test = order[:DIGITS_TRAIN], order[DIGITS_TRAIN:]
    return ImageSet(
        "digits", images[train], labels[train], images[test], labels[test], TITLES["digits"]
    )


def find_idx_folder(folder: Path | str, name: str) -> Path | None:
    """The subfolder `name`, or `folder` itself, whichever holds any of the four; else None.

    Raises:
        FileError: there is no such folder, or one may not look into it.
    """
    folder = Path(folder).expanduser()
    try:
        if not folder.is_dir():
            there = folder.exists()
            raise FileError(
                f"{folder} is not a folder" if there else f"there is no folder {folder}"
            )
        for candidate in (folder / name, folder):
            if any(_file(candidate, file) is not None for file in FILES):
                return candidate
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"cannot read {folder}: {error.strerror or error}") from error
    return None


def read_idx_folder(folder: Path | str) -> ImageSet:
    """Read any four files in the format and with the names of MNIST's.

    Raises:
        FileError: a file is missing or unreadable.
        DataError: one is damaged, counts differ, sizes differ, or a label is above 9.
    """
    folder = Path(folder)
    arrays = []
    for name in FILES:
        path = _file(folder, name)
        if path is None:
            raise FileError(f"{folder} lacks {name} (or {name}.gz)")
        arrays.append(read_idx(path, rank=3 if "images" in name else 1))
    train, train_labels, test, test_labels = arrays
    for split, images, labels in (
        ("training", train, train_labels),
        ("test", test, test_labels),
    ):
        if len(images) != len(labels):
            raise DataError(f"{folder}: {len(images):,} {split} images, but {len(labels):,} labels")
        if labels.max() >= CLASSES:
            raise DataError(f"{folder}: a {split} label is {labels.max()}; expected 0 to 9")
    if train.shape[1:] != test.shape[1:]:
        raise DataError(
            f"{folder}: training images are {train.shape[1]} x {train.shape[2]}, "
            f"test images {test.shape[1]} x {test.shape[2]}"
        )
    return ImageSet("idx", train, train_labels, test, test_labels, str(folder))


def _file(folder: Path, name: str) -> Path | None:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None


def _named(images: ImageSet, name: str) -> ImageSet:
    """The set under its name, if it is what that name says."""
    arrays = (images.train, images.train_labels, images.test, images.test_labels)
    of_mnist = [
        unpacked_sha256(array) == MNIST_UNPACKED[file]
        for file, array in zip(FILES, arrays, strict=True)
    ]
    if name == "mnist" and not all(of_mnist):
        file = FILES[of_mnist.index(False)]
        raise ConfigError(f"{file} in {images.source} is not that of MNIST (by its SHA-256)")
    if name != "mnist" and any(of_mnist):
        file = FILES[of_mnist.index(True)]
        raise ConfigError(f"{file} in {images.source} is that of MNIST, not of {TITLES[name]}")
    return dataclasses.replace(images, name=name)


def unpacked_sha256(array: Any) -> str:
    """SHA-256 of the IDX file, unpacked, that an array of unsigned bytes was read from."""
    digest = hashlib.sha256(bytes([0, 0, UNSIGNED_BYTE, array.ndim]))
    digest.update(np.asarray(array.shape, dtype=">u4").tobytes())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
