"""Named data sets of images: four files, or a small set that needs no file."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigan.backend import Stream
from minigan.checks import flag
from minigan.data.download import FILES, PUBLISHED, fetch
from minigan.data.idx import UNSIGNED_BYTE, read_idx
from minigan.errors import ConfigError, DataError, DownloadError, FileError
from minigan.files import as_path

#: What `load_images` knows by name.
DATASETS = ("mnist", "fashion", "digits")
TITLES = {
    "mnist": "MNIST",
    "fashion": "Fashion-MNIST",
    "digits": "scikit-learn's embedded 8 x 8 digits",
}
CLASSES = 10
DATA_DIR = "MINIGAN_DATA_DIR"  # the environment variable that means the same as --data-dir
#: SHA-256 of MNIST's unpacked files, by which it is recognised.
MNIST_UNPACKED = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MOST_NAMES = 5  # of what a folder holds, in an error
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


def load_images(
    name: str,
    data_dir: Path | str | None = None,
    cache: Path | str | None = None,
    *,
    progress: bool = True,
    download: bool = True,
) -> ImageSet:
    """Load a dataset by name.

    MNIST and Fashion-MNIST come from `data_dir` or, by default, from the folder in the environment
    variable MINIGAN_DATA_DIR. A folder that does not hold them is an error. Without a folder they
    come from the cache, after a download if needed.
    MNIST is recognised by the SHA-256 of its unpacked files. Fashion-MNIST has published hashes of
    its archives only, which are checked in downloads; in a folder it must not be MNIST.

    Args:
        name: "mnist"; "fashion"; "digits", 8 x 8, which are part of scikit-learn; or "auto": MNIST,
            or the digits if it would have to be downloaded and there is no network.
            `ImageSet.note` says so then.
        data_dir: an existing folder that holds the four IDX files (see `find_idx_folder`), gzipped
            or not.
        cache: the folder for downloads; see `minigan.data.download.cache_folder`.
        progress: show a bar while downloading.
        download: False never uses the network; a needed download is a DownloadError then.

    Raises:
        ConfigError: an unknown name, files of another dataset, or a folder for the digits.
        FileError, DataError: files that are missing, unreadable or damaged.
        DownloadError: no mirror gave the files.
    """
    flag("load_images: progress", progress)
    flag("load_images: download", download)
    if name not in (*DATASETS, "auto"):
        raise ConfigError(f"unknown data {name!r}; choose from auto, {', '.join(DATASETS)}")
    if name == "digits":
        if data_dir is not None:
            raise ConfigError("the digits are embedded; they are not read from a folder")
        return embedded_digits()
    wanted = "mnist" if name == "auto" else name
    given = data_dir if data_dir is not None else os.environ.get(DATA_DIR) or None
    if given is not None:
        return _named(read_idx_folder(find_idx_folder(given, wanted)), wanted)
    try:
        folder = fetch(PUBLISHED[wanted], cache, progress=progress, download=download)
    except DownloadError as error:
        advice = "--data-dir takes files you have"
        if name != "auto" or not error.offline or not download:
            raise DownloadError(f"{error}; {advice}", offline=error.offline) from error
        digits = embedded_digits()
        note = f"no network and no MNIST here: using {TITLES['digits']} instead ({advice})"
        return dataclasses.replace(digits, note=note)
    return _named(read_idx_folder(folder), wanted)


def embedded_digits() -> ImageSet:
    """The 1,797 handwritten 8 x 8 digits that scikit-learn carries (from the UCI repository).

    A fixed shuffle splits them into 1,437 to train on and 360 to test.
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


def find_idx_folder(folder: Path | str, name: str) -> Path:
    """The folder that holds any of the four files of a dataset: `folder`, or one in it.

    A folder in it is named after the dataset. Either may have them in its folder `raw`, as
    torchvision does. Names are compared by `_plain`.

    Raises:
        FileError: there is no such folder, it cannot be read, or no such file is in it.
    """
    folder = as_path(folder)
    names = {_plain(name), _plain(TITLES[name])}
    try:
        there, is_folder = folder.exists(), folder.is_dir()
        content = sorted(folder.iterdir()) if is_folder else []
        below = [path for path in content if _plain(path.name) in names and path.is_dir()]
        for candidate in (*below, folder):
            for place in (candidate, candidate / "raw"):
                if place.is_dir() and idx_files(place):
                    return place
    except OSError as error:
        raise FileError(f"cannot read {folder}: {error.strerror or error}") from error
    if not is_folder:
        raise FileError(f"{folder} is not a folder" if there else f"there is no folder {folder}")
    listed = [path.name for path in content[:MOST_NAMES]] + ["..."] * (len(content) > MOST_NAMES)
    raise FileError(
        f"{folder} does not hold the four files of {TITLES[name]}, {FILES[0]}[.gz] and so on, "
        f"directly or in a folder {name} or raw; "
        f"it holds {', '.join(listed) or 'nothing'}"
    )


def idx_files(folder: Path) -> dict[str, Path]:
    """Those of the four files that are in a folder, by their published names.

    A name may have the ending .gz. Of two files for one name the shorter name is taken, which is
    the unpacked file.
    """
    published, found = {_plain(name): name for name in FILES}, {}
    for path in sorted(folder.iterdir(), key=lambda path: (-len(path.name), path.name)):
        name = published.get(_plain(path.name).removesuffix("gz"))
        if name is not None and path.is_file():
            found[name] = path
    return found


def _plain(name: str) -> str:
    """A name's letters and digits: "trainimagesidx3ubyte" for "Train-Images.idx3-ubyte"."""
    return re.sub("[^a-z0-9]", "", name.lower())


def read_idx_folder(folder: Path | str) -> ImageSet:
    """Read any four files in the format and with the names of MNIST's.

    Raises:
        FileError: a file is missing or unreadable.
        DataError: one is damaged, counts differ, sizes differ, or a label is above 9.
    """
    folder = as_path(folder)
    try:
        files = idx_files(folder)
    except OSError as error:
        raise FileError(f"cannot read {folder}: {error.strerror or error}") from error
    arrays = []
    for name in FILES:
        if name not in files:
            raise FileError(f"{folder} lacks {name} (or {name}.gz)")
        arrays.append(read_idx(files[name], rank=3 if "images" in name else 1))
    train, train_labels, test, test_labels = arrays
    for split, images, labels in (("training", train, train_labels), ("test", test, test_labels)):
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


def _named(images: ImageSet, name: str) -> ImageSet:
    """The set under a name; `ConfigError` if its files are those of another."""
    arrays = (images.train, images.train_labels, images.test, images.test_labels)
    for file, array in zip(FILES, arrays, strict=True):
        of_mnist = unpacked_sha256(array) == MNIST_UNPACKED[file]
        if name == "mnist" and not of_mnist:
            raise ConfigError(f"{file} in {images.source} is not that of MNIST (by its SHA-256)")
        if name != "mnist" and of_mnist:
            raise ConfigError(f"{file} in {images.source} is that of MNIST, not of {TITLES[name]}")
    return dataclasses.replace(images, name=name)


def unpacked_sha256(array: Any) -> str:
    """SHA-256 of the IDX file, unpacked, that an array of unsigned bytes was read from."""
    digest = hashlib.sha256(bytes([0, 0, UNSIGNED_BYTE, array.ndim]))
    digest.update(np.asarray(array.shape, dtype=">u4").tobytes())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
