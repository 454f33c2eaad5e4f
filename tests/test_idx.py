"""IDX files from strangers: whatever they hold, a typed error, quickly and in little memory."""

from __future__ import annotations

import gzip
import os
import struct
import tempfile
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigan as mg
from minigan.data.idx import MAX_BYTES, read_idx

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
MEMORY = 100 << 20  # bytes that reading may take beside what was there


def idx(array: np.ndarray, shape: tuple[int, ...] | None = None, kind: int = 8) -> bytes:
    """An IDX file; `shape` is what the header claims, if that is to be a lie."""
    shape = array.shape if shape is None else shape
    return (
        bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()
    )


def bomb(header: bytes, size: int) -> bytes:
    """A gzip file of that header and then `size` zeros.

    A megabyte is packed once and repeated; only the checksum at the far end is wrong.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = packer.compress(header) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + block * (size >> 20) + packer.flush()


def io_file(data: bytes) -> Path:
    """A file for a property test, which tmp_path does not serve; one a process, written anew."""
    path = Path(tempfile.gettempdir()) / f"minigan-test-{os.getpid()}.idx"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("name", ["images", "images.gz"])  # the name means nothing
def test_what_was_written_is_read(pack, name, tmp_path):
    (tmp_path / name).write_bytes(pack(idx(IMAGES)))
    read = read_idx(tmp_path / name, rank=3)
    np.testing.assert_array_equal(read, IMAGES)
    assert read.dtype == np.uint8
    assert read.flags.writeable


@pytest.mark.parametrize("cuts", [(20,), (1, 2, 3, 16, 17, 39), (16, 16, 40), (0, 5)])
def test_a_gzip_file_of_several_members(cuts, tmp_path):
    """As parallel packers write it; a member may be empty."""
    data = idx(IMAGES)  # 40 bytes, 16 of them the header
    pieces = np.split(np.frombuffer(data, np.uint8), cuts)
    packed = b"".join(gzip.compress(piece.tobytes(), mtime=0) for piece in pieces)
    (tmp_path / "x.gz").write_bytes(packed)
    np.testing.assert_array_equal(read_idx(tmp_path / "x.gz", rank=3), IMAGES)


def test_a_file_of_just_the_size_that_is_accepted(tmp_path):
    """Elements up to the limit, and up to 1 MiB of other bytes."""
    path = tmp_path / "images"
    path.write_bytes(idx(IMAGES))
    np.testing.assert_array_equal(read_idx(path, rank=3, max_bytes=IMAGES.size), IMAGES)
    with pytest.raises(mg.DataError, match="more than the 23 accepted"):
        read_idx(path, rank=3, max_bytes=IMAGES.size - 1)
    room = 1 << 20
    for size, told in ((24 + room, "goes on after them"), (25 + room, "1,048,601 bytes, more")):
        path.write_bytes(idx(IMAGES).ljust(size, b"!"))
        assert path.stat().st_size == size
        with pytest.raises(mg.DataError, match=told):
            read_idx(path, rank=3, max_bytes=IMAGES.size)


@pytest.mark.parametrize("more", [0, 1, -1])
@pytest.mark.parametrize("tail", [b"!", bytes(1), bytes(1 << 16)], ids=["a byte", "0", "zeros"])
def test_bytes_behind_a_gzip_file_that_ends_where_a_piece_does(more, tail, tmp_path):
    """They were not read with the last piece, but are still in the file."""
    noise = np.random.default_rng(0).integers(0, 256, 70_000, dtype=np.uint8)
    size = (1 << 16) + more
    for n in range(size, size - 200, -1):  # what does not compress takes about its own size
        packed = gzip.compress(idx(noise[:n]), compresslevel=0, mtime=0)
        if len(packed) == size:
            break
    assert len(packed) == size
    (tmp_path / "x").write_bytes(packed)
    np.testing.assert_array_equal(read_idx(tmp_path / "x", rank=1), noise[:n])
    (tmp_path / "x").write_bytes(packed + tail)
    with pytest.raises(mg.DataError, match="damaged gzip"):
        read_idx(tmp_path / "x", rank=1)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=9)))
def test_every_array_survives(array):
    path = io_file(idx(array))
    np.testing.assert_array_equal(read_idx(path, rank=array.ndim), array)


HOSTILE = {
    "empty": (b"", "ends within its header"),
    "half a header": (idx(IMAGES)[:9], "ends within its header"),
    "not IDX": (b"\x89PNG\r\n\x1a\n" + bytes(40), "not 00 00 08"),
    "floats": (idx(IMAGES, kind=0x0D), "not 00 00 08"),
    "labels for images": (idx(IMAGES.ravel()), "1 dimensions; expected 3"),
    "rank 255": (bytes([0, 0, 8, 255]) + bytes(2000), "255 dimensions; expected 3"),
    "too little": (idx(IMAGES)[:-1], "there are 23"),
    "too much": (idx(IMAGES) + b"!", "goes on after"),
    "no images": (idx(IMAGES[:0]), "no elements"),
    "zero width": (idx(IMAGES, (2, 3, 0)), "no elements"),
    "huge": (idx(IMAGES, (2**32 - 1,) * 3), "more than the"),
    "a product that wraps to 24": (idx(IMAGES, (2**31 + 12, 2, 1)), "more than the"),
    "a little too large": (idx(IMAGES, (MAX_BYTES + 1, 1, 1)), "more than the"),
    "one image more": (idx(IMAGES, (3, 3, 4)), "there are 24"),
    "one image less": (idx(IMAGES, (1, 3, 4)), "goes on after"),
    "gzip, too little": (gzip.compress(idx(IMAGES)[:-1]), "there are 23"),
    "gzip, too much": (gzip.compress(idx(IMAGES) + b"!"), "goes on after"),
    "gzip, one image more": (gzip.compress(idx(IMAGES, (3, 3, 4))), "there are 24"),
    "gzip, truncated": (gzip.compress(idx(IMAGES))[:-12], "damaged gzip"),
    "gzip, no checksum": (gzip.compress(idx(IMAGES))[:-8], "damaged gzip"),
    "gzip, only its magic": (b"\x1f\x8b", "damaged gzip"),
    "gzip, wrong checksum": (gzip.compress(idx(IMAGES))[:-8] + bytes(8), "damaged gzip"),
    "gzip, rubbish behind": (gzip.compress(idx(IMAGES)) + b"rubbish", "damaged gzip"),
    "gzip, two in one": (gzip.compress(idx(IMAGES)) * 2, "goes on after"),
    "gzip, zeros behind": (gzip.compress(idx(IMAGES)) + bytes(99), "damaged gzip"),
    "gzip, half a member behind": (
        gzip.compress(idx(IMAGES)) + gzip.compress(b"")[:-1],
        "damaged gzip",
    ),
    "gzip in gzip": (gzip.compress(gzip.compress(idx(IMAGES))), "not 00 00 08"),
    "promises 48 MB, holds 24 bytes": (
        gzip.compress(idx(IMAGES, (60_000, 28, 28))),
        "there are 24",
    ),
    "a bomb behind a small header": (bomb(idx(IMAGES), 1 << 30), "goes on after"),
    "a bomb that says so": (bomb(idx(IMAGES[:0], (1 << 20, 32, 32)), 1 << 30), "more than the"),
    "a bomb behind MNIST's header": (
        bomb(idx(IMAGES[:0], (60_000, 28, 28)), 1 << 30),
        "goes on after",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_a_typed_error_in_little_memory(case, tmp_path):
    data, told = HOSTILE[case]
    path = tmp_path / "images"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(mg.DataError, match=told) as caught:
            read_idx(path, rank=3)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert peak <= MEMORY


def test_nothing_is_unpacked_past_what_the_header_promises(tmp_path, monkeypatch):
    """What keeps a bomb quick, without a clock: the bytes that leave the unpacker."""
    path = tmp_path / "images"
    path.write_bytes(bomb(idx(IMAGES), 1 << 28))
    sizes = []

    class Counting:
        """zlib's unpacker, whose methods cannot be replaced."""

        def __init__(self, **options):
            self.real = real(**options)

        def decompress(self, data, max_length):
            sizes.append(len(unpacked := self.real.decompress(data, max_length)))
            return unpacked

        def __getattr__(self, name):
            return getattr(self.real, name)

    real = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", Counting)
    with pytest.raises(mg.DataError, match="goes on after"):
        read_idx(path, rank=3)
    assert sum(sizes) == len(idx(IMAGES)) + 1


def test_a_file_is_not_read_past_what_could_be_in_it(tmp_path):
    """A sparse file costs nothing to make: a gigabyte of file name, or of anything."""
    path = tmp_path / "images"
    for start in (
        gzip.compress(idx(IMAGES)),
        b"\x1f\x8b\x08\x08" + bytes(6) + b"name",
        idx(IMAGES),
    ):
        with path.open("wb") as file:
            file.write(start)
            file.truncate(1 << 30)
        with pytest.raises(mg.DataError, match=r"1,073,741,824 bytes, more than"):
            read_idx(path, rank=3)


def test_files_that_are_none(tmp_path):
    with pytest.raises(mg.FileError, match="No such file"):
        read_idx(tmp_path / "nothing", rank=3)
    with pytest.raises(mg.FileError, match="it is a folder"):
        read_idx(tmp_path, rank=3)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a Unix thing")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(mg.FileError, match="not a regular file"):
        read_idx(tmp_path / "pipe", rank=3)


@given(st.data())
def test_any_corruption_is_noticed_or_harmless(data):
    """Bytes changed, dropped or added anywhere: an array of the right form, or a DataError."""
    packed = data.draw(st.booleans(), "gzipped")
    original = gzip.compress(idx(IMAGES), mtime=0) if packed else idx(IMAGES)
    damaged = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4), "changes")):
        where = data.draw(st.integers(0, len(damaged)), "where")
        kind = data.draw(st.sampled_from(["change", "cut", "insert"]), "kind")
        if kind == "insert":
            damaged[where:where] = data.draw(st.binary(min_size=1, max_size=8), "bytes")
        elif kind == "cut":
            del damaged[where : where + data.draw(st.integers(1, 8), "length")]
        elif where < len(damaged):
            damaged[where] ^= data.draw(st.integers(1, 255), "flip")
    path = io_file(bytes(damaged))
    try:
        array = read_idx(path, rank=3)
    except mg.DataError:
        return
    assert array.dtype == np.uint8
    assert array.ndim == 3
    if packed and bytes(damaged) != original:  # a checksum guards what is packed
        assert array.tobytes() == IMAGES.tobytes()


@given(st.binary(max_size=200))
def test_random_bytes(junk):
    path = io_file(junk)
    with pytest.raises(mg.DataError):
        read_idx(path, rank=3)


class TestFolder:
    """Four files that must fit each other."""

    def write(self, folder, **changes):
        files = {
            "train-images-idx3-ubyte": np.zeros((6, 4, 4), np.uint8),
            "train-labels-idx1-ubyte": np.arange(6, dtype=np.uint8),
            "t10k-images-idx3-ubyte": np.ones((3, 4, 4), np.uint8),
            "t10k-labels-idx1-ubyte": np.array([9, 8, 7], np.uint8),
        }
        for name, array in files.items():
            array = changes.get(name.split("-idx")[0].replace("-", "_"), array)
            if array is not None:
                (folder / name).write_bytes(idx(array))

    def test_four_files(self, tmp_path):
        self.write(tmp_path)
        images = mg.data.read_idx_folder(tmp_path)
        assert images.train.shape == (6, 4, 4)
        assert list(images.test_labels) == [9, 8, 7]

    @pytest.mark.parametrize(
        ("changes", "error", "told"),
        [
            ({"train_labels": np.full(6, 10, np.uint8)}, mg.DataError, "label is 10"),
            ({"t10k_labels": np.full(3, 255, np.uint8)}, mg.DataError, "label is 255"),
            ({"train_labels": np.zeros(5, np.uint8)}, mg.DataError, "6 training images, but 5"),
            ({"t10k_labels": np.zeros(4, np.uint8)}, mg.DataError, "3 test images, but 4"),
            ({"t10k_images": np.zeros((3, 4, 5), np.uint8)}, mg.DataError, "4 x 5"),
            ({"train_images": np.zeros(6, np.uint8)}, mg.DataError, "1 dimensions"),
            ({"t10k_labels": None}, mg.FileError, "lacks t10k-labels-idx1-ubyte"),
        ],
    )
    def test_files_that_do_not_fit(self, changes, error, told, tmp_path):
        self.write(tmp_path, **changes)
        with pytest.raises(error, match=told):
            mg.data.read_idx_folder(tmp_path)
