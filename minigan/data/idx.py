"""IDX, the format of the MNIST files: a header of big-endian integers, then raw bytes.

    offset  bytes     meaning
    0       2         zero
    2       1         element type; 0x08 is an unsigned byte, the only one read here
    3       1         rank r
    4       4 r       the dimensions, unsigned
    4+4r    product   the elements, last dimension fastest

Such a file comes from a stranger. Nothing that its header claims is believed before it has
been compared with what is there, and nothing is unpacked past what it claims: a gzip file of
a megabyte can hold a gigabyte.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from minigan.errors import DataError, FileError

UNSIGNED_BYTE = 0x08
#: Bytes of elements accepted by default. The largest of the MNIST files holds 47,040,000.
MAX_BYTES = 64 << 20
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: Path | str, rank: int, max_bytes: int = MAX_BYTES) -> Any:
    """Read an IDX file of unsigned bytes, gzipped or not (its first bytes tell, not its name).

    Args:
        path: the file.
        rank: the dimensions it must have: 3 for images (N, height, width), 1 for labels (N,).
        max_bytes: refuse a file that promises more elements than this.

    Returns:
        A uint8 array of that rank, read only once into its own memory.

    Raises:
        FileError: the file is missing or cannot be opened.
        DataError: it is not what it should be; the sentence says what was found.
    """
    path = Path(path)
    try:
        with path.open("rb") as raw:
            if not os.path.isfile(path):
                raise DataError(f"{path} is not a regular file")
            packed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if packed:
                with gzip.GzipFile(fileobj=raw, mode="rb") as file:
                    return _read(path, cast(BinaryIO, file), rank, max_bytes, None)
            return _read(path, raw, rank, max_bytes, os.fstat(raw.fileno()).st_size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is a damaged gzip file: {error}") from None
    except (DataError, FileError):
        raise
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error


def _read(path: Path, file: BinaryIO, rank: int, max_bytes: int, file_size: int | None) -> Any:
    """Header, elements, end of file; `file_size` is None where only unpacking would tell."""
    header = _exactly(path, file, 4)
    if header[:2] != b"\0\0" or header[2] != UNSIGNED_BYTE:
        raise DataError(
            f"{path} is not an IDX file of unsigned bytes: it begins with {header.hex(' ')}, "
            f"not 00 00 08"
        )
    if header[3] != rank:
        raise DataError(f"{path} has {header[3]} dimensions; expected {rank}")
    shape = struct.unpack(f">{rank}I", _exactly(path, file, 4 * rank))
    count = math.prod(shape)  # a Python integer: it cannot overflow
    size = " x ".join(str(n) for n in shape)
    if count == 0:
        raise DataError(f"{path} promises no elements ({size})")
    if count > max_bytes:
        raise DataError(
            f"{path} promises {size} = {count:,} bytes, more than the {max_bytes:,} accepted"
        )
    if file_size is not None and file_size != 4 + 4 * rank + count:
        raise DataError(
            f"{path} promises {size} = {count:,} bytes after its header; "
            f"there are {file_size - 4 - 4 * rank:,}"
        )
    elements = np.empty(shape, np.uint8)
    target = elements.reshape(-1).data  # the same memory, byte by byte
    done = 0
    while done < count:
        # A piece at a time: gzip's reader would unpack a larger request beside the array.
        got = file.readinto(target[done : done + (1 << 20)])  # type: ignore[attr-defined]
        if not got:
            raise DataError(
                f"{path} promises {size} = {count:,} bytes after its header; there are {done:,}"
            )
        done += got
    if file.read(1):
        raise DataError(f"{path} goes on after the {count:,} bytes that its header promises")
    return elements


def _exactly(path: Path, file: BinaryIO, n: int) -> bytes:
    data = file.read(n)
    if len(data) != n:
        raise DataError(f"{path} ends within its header")
    return data
