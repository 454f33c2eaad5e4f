"""Image datasets: which files are taken, and how pixels become samples."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

import minigan as mg
from minigan.data import images as images_module
from minigan.data.datasets import DATASETS, unpacked_sha256
from minigan.data.download import PUBLISHED
from minigan.data.images import to_floats, to_pixels

FILES = {
    "train-images-idx3-ubyte": (6, 4, 4),
    "train-labels-idx1-ubyte": (6,),
    "t10k-images-idx3-ubyte": (3, 4, 4),
    "t10k-labels-idx1-ubyte": (3,),
}


def write_files(folder: Path, pack=bytes, ending="") -> None:
    """Four small files in MNIST's format that are not MNIST."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for name, shape in FILES.items():
        array = random.integers(0, 10, shape, dtype=np.uint8)
        header = bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
        (folder / (name + ending)).write_bytes(pack(header + array.tobytes()))


@pytest.fixture(autouse=True)
def no_folder_from_outside(monkeypatch):
    monkeypatch.delenv("MINIGAN_DATA_DIR", raising=False)


@pytest.mark.parametrize("below", ["", "fashion"])
@pytest.mark.parametrize(("pack", "ending"), [(bytes, ""), (gzip.compress, ".gz")])
def test_files_are_found(below, pack, ending, tmp_path):
    write_files(tmp_path / below, pack, ending)
    found = mg.load_images("fashion", tmp_path)
    assert (found.name, found.shape, found.note) == ("fashion", (4, 4), "")
    assert len(found.train) == len(found.train_labels) == 6


@pytest.mark.parametrize("name", ["fashion", "mnist"])
@pytest.mark.parametrize(
    "file",
    [
        "train-images.idx3-ubyte",  # as many archives unpack
        "TRAIN-IMAGES-IDX3-UBYTE.GZ",
        "train_images_idx3_ubyte.gz",
        "Train.Images.idx3.ubyte",
    ],
)
def test_names_are_compared_by_their_letters_and_digits(file, name, tmp_path):
    write_files(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").rename(tmp_path / file)
    (tmp_path / "train-images.txt").write_text("not one of them")
    if name == "fashion":
        assert mg.load_images(name, tmp_path).train.shape == (6, 4, 4)
    else:  # found, and recognised
        with pytest.raises(mg.ConfigError, match="not that of MNIST"):
            mg.load_images(name, tmp_path)


@pytest.mark.parametrize(
    "below", ["FashionMNIST/raw", "Fashion-MNIST", "fashion_mnist", "fashion/raw", "raw"]
)
def test_folders_as_other_libraries_keep_them(below, tmp_path):
    """torchvision's root holds MNIST/raw and FashionMNIST/raw, each with both kinds of files."""
    for pack, ending in ((bytes, ""), (gzip.compress, ".gz")):
        write_files(tmp_path / below, pack, ending)
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"of another dataset")
    place = tmp_path / below
    for given in (tmp_path, place, place.parent):
        assert mg.load_images("fashion", given).train.shape == (6, 4, 4)


def test_of_two_files_for_one_name_the_unpacked_one_is_read(tmp_path):
    write_files(tmp_path)
    for name in FILES:
        (tmp_path / f"{name}.gz").write_bytes(b"damaged")
    assert mg.load_images("fashion", tmp_path).train.shape == (6, 4, 4)


@pytest.mark.parametrize("name", ["auto", "mnist", "fashion"])
@pytest.mark.parametrize("by", ["argument", "environment"])
def test_a_folder_without_the_files_is_never_replaced_by_other_data(
    name, by, tmp_path, monkeypatch
):
    """Neither by the embedded digits, nor by a download or the cache."""
    monkeypatch.setattr("minigan.data.datasets.fetch", lambda *args: pytest.fail("a download"))
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.setenv("MINIGAN_DATA_DIR", str(folder))
    given = folder if by == "argument" else None
    for more, listed in (
        ([], "nothing"),
        (["b\u200b", "a"], "a, b?"),
        ([*"edcgf"], "a, b?, c, d, e, ..."),
    ):
        for file in more:
            (folder / file).mkdir()
        with pytest.raises(
            mg.FileError, match=r"does not hold the four files of .*MNIST"
        ) as caught:
            mg.load_images(name, given)
        assert str(caught.value).startswith(f"{folder} does not hold")
        assert str(caught.value).endswith(f"; it holds {listed}")


def test_the_environment_variable_means_the_same(tmp_path, monkeypatch):
    write_files(tmp_path)
    monkeypatch.setenv("MINIGAN_DATA_DIR", str(tmp_path))
    assert mg.load_images("fashion").train.shape == (6, 4, 4)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(mg.FileError, match="Fashion-MNIST"):
        mg.load_images("fashion", other)  # what is given beats the environment


def test_the_folder_named_after_the_dataset_comes_first(tmp_path):
    write_files(tmp_path)
    write_files(tmp_path / "fashion")
    shape = (6, 5, 5)
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", *shape)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(header + bytes(150))
    assert mg.load_images("fashion", tmp_path).shape == (4, 4)


def test_another_dataset_is_not_mnist(tmp_path):
    write_files(tmp_path)
    with pytest.raises(mg.ConfigError, match=r"train-images-idx3-ubyte in .* is not that of MNIST"):
        mg.load_images("mnist", tmp_path)
    with pytest.raises(mg.ConfigError, match="not that of MNIST"):
        mg.load_images("auto", tmp_path)
    assert mg.data.read_idx_folder(tmp_path).name == "idx"  # without a name they are welcome


def test_some_of_the_files_are_an_error_even_for_auto(tmp_path):
    write_files(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    for name in ("mnist", "auto"):
        with pytest.raises(mg.FileError, match="lacks t10k-labels-idx1-ubyte"):
            mg.load_images(name, tmp_path)


def test_a_folder_that_one_may_not_look_into(tmp_path, monkeypatch):
    def forbidden(self: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", forbidden)
    with pytest.raises(mg.FileError, match=r"cannot read .*: Permission denied"):
        mg.load_images("fashion", tmp_path)
    monkeypatch.undo()
    for wrong, told in ((tmp_path / "none", "there is no folder"), (tmp_path / "x", "is not a")):
        (tmp_path / "x").write_bytes(b"")
        with pytest.raises(mg.FileError, match=told):
            mg.load_images("fashion", wrong)


def test_a_folder_named_like_a_file_does_not_hide_the_archive(tmp_path):
    write_files(tmp_path, gzip.compress, ".gz")
    (tmp_path / "train-images-idx3-ubyte").mkdir()
    assert mg.load_images("fashion", tmp_path).train.shape == (6, 4, 4)


def test_the_embedded_digits_are_not_read_from_a_folder(tmp_path, monkeypatch):
    with pytest.raises(mg.ConfigError, match="embedded"):
        mg.load_images("digits", tmp_path)
    monkeypatch.setenv("MINIGAN_DATA_DIR", str(tmp_path))  # set for other runs
    assert mg.load_images("digits").name == "digits"


def test_unknown_names():
    with pytest.raises(mg.ConfigError, match=f"choose from auto, {', '.join(DATASETS)}"):
        mg.load_images("cifar")


def test_real_mnist_is_known_by_its_content(mnist_folder, tmp_path):
    images = mg.load_images("mnist", mnist_folder)
    assert (images.train.shape, images.test.shape) == ((60_000, 28, 28), (10_000, 28, 28))
    np.testing.assert_array_equal(
        np.bincount(images.test_labels),
        [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],  # as published
    )
    assert mg.load_images("auto", mnist_folder).sha256 == images.sha256
    shutil.copytree(mnist_folder / "mnist", tmp_path / "fashion")
    (tmp_path / "fashion" / "t10k-labels-idx1-ubyte.gz").unlink()  # one file of another origin
    header = bytes([0, 0, 8, 1]) + struct.pack(">I", 10_000)
    (tmp_path / "fashion" / "t10k-labels-idx1-ubyte").write_bytes(header + bytes(10_000))
    (tmp_path / "fashion").rename(tmp_path / "mnist")
    with pytest.raises(mg.ConfigError, match=r"t10k-labels-idx1-ubyte in .* is not that of MNIST"):
        mg.load_images("mnist", tmp_path)
    (tmp_path / "mnist").rename(tmp_path / "fashion")
    with pytest.raises(mg.ConfigError, match="is that of MNIST, not of Fashion-MNIST"):
        mg.load_images("fashion", tmp_path)


def test_the_hash_is_that_of_the_unpacked_file(mnist_folder):
    packed = (mnist_folder / "mnist" / "t10k-labels-idx1-ubyte.gz").read_bytes()
    images = mg.load_images("mnist", mnist_folder)
    assert (
        unpacked_sha256(images.test_labels) == hashlib.sha256(gzip.decompress(packed)).hexdigest()
    )


def test_the_hash_of_any_array_is_that_of_its_file(tmp_path):
    write_files(tmp_path)
    images = mg.data.read_idx_folder(tmp_path)
    for file, array in zip(FILES, ARRAYS, strict=True):
        expected = hashlib.sha256((tmp_path / file).read_bytes()).hexdigest()
        assert unpacked_sha256(getattr(images, array)) == expected


def test_embedded_digits_need_no_file():
    digits = mg.load_images("digits")
    assert (digits.train.shape, digits.test.shape) == ((1437, 8, 8), (360, 8, 8))
    assert digits.train.dtype == np.uint8
    assert digits.train.max() == 255
    for labels in (digits.train_labels, digits.test_labels):
        assert np.bincount(labels).min() > 0.07 * len(labels)
    both = {image.tobytes() for image in digits.train} & {image.tobytes() for image in digits.test}
    assert not both
    assert mg.load_images("digits").sha256 == digits.sha256


ARRAYS = ("train", "train_labels", "test", "test_labels")


@pytest.mark.parametrize("name", ARRAYS)
def test_the_hash_of_a_set_is_of_every_byte_and_shape(name, tmp_path):
    write_files(tmp_path)
    images = mg.data.read_idx_folder(tmp_path)
    array = getattr(images, name)
    hashes = {images.sha256}
    for place in (0, -1):
        changed = array.copy()
        changed.reshape(-1)[place] ^= 1
        hashes.add(dataclasses.replace(images, **{name: changed}).sha256)
    hashes.add(dataclasses.replace(images, **{name: array[..., None]}).sha256)
    assert len(hashes) == 4
    assert dataclasses.replace(images, note="x", source="y").sha256 == images.sha256
    assert images.shape == (4, 4)


@pytest.mark.parametrize("progress", [True, False])
@pytest.mark.parametrize("download", [True, False])
def test_what_is_asked_of_a_download(progress, download, tmp_path, monkeypatch):
    """The dataset, the cache, whether to show a bar, whether the network may be used."""
    write_files(tmp_path / "cache" / "fashion")
    asked = []

    def fetch(*args, **flags):
        asked.append((*args, flags))
        return tmp_path / "cache" / "fashion"

    monkeypatch.setattr("minigan.data.datasets.fetch", fetch)
    cache = tmp_path / "cache"
    images = mg.load_images("fashion", cache=cache, progress=progress, download=download)
    flags = {"progress": progress, "download": download}
    assert asked == [(PUBLISHED["fashion"], cache, flags)]
    assert (images.name, images.note, images.source) == ("fashion", "", str(cache / "fashion"))


def test_pixels_are_rounded_in_float32():
    """Whatever the samples are in, so that equal samples make equal pictures."""
    halves = (np.arange(0, 255) + 0.5) / 127.5 - 1.0  # where rounding decides
    samples = np.concatenate([halves - 1e-10, halves, halves + 1e-10])[None]
    pixels = to_pixels(samples, (3, 255))
    np.testing.assert_array_equal(pixels, to_pixels(samples.astype("float32"), (3, 255)))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (1, 3, 255)


class TestPixels:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 4, 4)

    def test_served_in_minus_one_to_one(self):
        data = mg.Images(self.pixels, seed=1)
        out = np.empty((16, 16), "float32")
        data.next_batch(out)
        np.testing.assert_array_equal(np.sort(out.ravel()), np.sort(to_floats(self.pixels).ravel()))
        assert (out.min(), out.max()) == (-1.0, 1.0)
        expected = np.sort((np.arange(256) - 127.5) / 127.5)
        np.testing.assert_allclose(np.sort(out.ravel()), expected, atol=1e-7)

    def test_back_to_the_same_bytes(self):
        np.testing.assert_array_equal(to_pixels(to_floats(self.pixels), (4, 4)), self.pixels)
        assert list(to_pixels(np.array([[-9.0, 9.0]]), (1, 2)).ravel()) == [0, 255]

    def test_same_order_as_samples(self):
        floats = mg.Samples(to_floats(self.pixels), seed=3)
        images = mg.Images(self.pixels, seed=3)
        a, b = np.empty((5, 16), "float32"), np.empty((5, 16), "float32")
        for _ in range(8):
            floats.next_batch(a)
            images.next_batch(b)
            np.testing.assert_array_equal(a, b)

    def test_kept_as_bytes_and_once(self):
        data = mg.Images(self.pixels)
        assert data.X.dtype == np.uint8
        assert np.shares_memory(data.X, self.pixels)

    def test_float64_networks_can_have_them(self):
        out = np.empty((4, 16), "float64")
        mg.Images(self.pixels, dtype="float64").next_batch(out)
        assert -1.0 <= out.min() < out.max() <= 1.0

    def test_index_and_batch_agree(self):
        one, other = mg.Images(self.pixels, seed=5), mg.Images(self.pixels, seed=5)
        a, b = np.empty((7, 16), "float32"), np.empty((7, 16), "float32")
        for _ in range(6):  # the third batch runs across the end of the epoch
            one.next_batch(a)
            index = other.next_index(7)
            other.serve(index, out=b)
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(b, to_floats(self.pixels)[index])

    @pytest.mark.parametrize(
        "pixels",
        [
            np.zeros((3, 4), np.uint8),
            np.zeros((3, 4, 4, 1), np.uint8),
            np.zeros((0, 4, 4), np.uint8),
            np.zeros((3, 0, 4), np.uint8),
            np.zeros((3, 4, 4), np.float32),
        ],
    )
    def test_what_is_no_images(self, pixels):
        with pytest.raises(mg.DataError, match="height, width"):
            mg.Images(pixels)

    def test_images_that_are_not_square(self):
        pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
        data = mg.Images(pixels, seed=1)
        assert (data.shape, data.features, data.size) == ((3, 4), 12, 2)
        assert data.to_config()["shape"] == [2, 3, 4]
        np.testing.assert_array_equal(to_pixels(data.reference(2), data.shape), pixels)

    def test_described_by_hash_and_shape(self):
        config = mg.Images(self.pixels, seed=2, dataset="tiny").to_config()
        assert config["shape"] == [16, 4, 4]
        assert (config["data"], config["dataset"], config["seed"]) == ("Images", "tiny", 2)
        changed = self.pixels.copy()
        changed[0, 0, 0] ^= 1
        assert mg.Images(changed).to_config()["sha256"] != config["sha256"]


# -- by their description alone ------------------------------------------------------------


def test_images_of_a_known_set_are_found_again(tmp_path):
    digits = mg.load_images("digits")
    data = mg.Images.of(digits, seed=5, dtype="float64", labels=digits.train_labels)
    assert data.image_set is digits
    assert (data.dataset, data.size, data.classes) == ("digits", 1437, 10)
    assert data.describe() == f"digits: 1,437 images of 8 x 8, from {digits.source}"
    settings = data.settings()
    found = mg.Images.find(settings)
    assert (found.image_set.sha256, found.state()) == (digits.sha256, {"position": 0})
    with pytest.raises(mg.ConfigError, match="abacus"):
        mg.Images.find(settings, device="abacus")
    assert found.settings() == settings
    np.testing.assert_array_equal(found.labels, data.labels)
    for wrong in ({**settings, "sha256": "0"}, {**settings, "labels_sha256": "0"}):
        with pytest.raises(mg.DataError, match="other images or labels than those of"):
            mg.Images.find(wrong)
    plain = mg.Images.of(digits, seed=5).settings()
    assert mg.Images.find(plain).settings() == plain
    with pytest.raises(mg.ConfigError, match="embedded"):  # the folder is asked
        mg.Images.find(settings, tmp_path)
    write_files(tmp_path)
    clothes = mg.Images.of(mg.load_images("fashion", tmp_path))
    again = mg.Images.find(clothes.settings(), tmp_path)
    assert again.to_config() == clothes.to_config()


def test_other_images_under_the_name_of_a_set_are_not_taken():
    digits = mg.load_images("digits")
    changed = digits.train.copy()
    changed[5, 5, 5] ^= 1
    settings = mg.Images(changed, dataset="digits").settings()
    told = "other images or labels than those of scikit-learn"
    with pytest.raises(mg.DataError, match=told):
        mg.Images.find(settings)
    with pytest.raises(mg.DataError, match=told):
        mg.Images.find(mg.Images(digits.train[:9], dataset="digits").settings())
    assert mg.Images.find(mg.Images(digits.train, dataset="digits").settings()).size == 1437


@pytest.mark.parametrize("name", ["images", "idx", "auto", ""])
def test_images_of_an_unknown_set_cannot_be_found(name):
    data = mg.Images(np.zeros((3, 2, 2), np.uint8), dataset=name)
    assert data.describe() == f"{name}: 3 images of 2 x 2"
    told = f"'{name}' cannot be found by their name; only those of mnist, fashion, digits can"
    with pytest.raises(mg.DataError, match=told):
        mg.Images.find(data.settings())


@pytest.mark.parametrize(("memory", "rows"), [(2**26, 20), (240, 20), (239, 19), (1, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_images_can_be_stood_in_for(dtype, memory, rows, monkeypatch):
    """By as many random ones, or as fit."""
    data = mg.Images(np.zeros((20, 3, 4), np.uint8), dtype=dtype)
    assert data.describe() == "images: 20 images of 3 x 4"
    assert mg.Images.shape_of(data.settings()) == (20, 3, 4)
    monkeypatch.setattr(images_module, "MOST_RANDOM", memory)
    twin = mg.Images.stand_in(data.settings())
    assert (twin.X.shape, twin.shape, twin.dtype) == ((rows, 12), (3, 4), dtype)
    with pytest.raises(mg.ConfigError, match="abacus"):
        mg.Images.stand_in(data.settings(), device="abacus")
    np.testing.assert_array_equal(twin.X, mg.Images.stand_in(data.settings()).X)
    if rows > 1:
        assert twin.X.min() < 20 < 235 < twin.X.max()
