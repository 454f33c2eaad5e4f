"""IDX, the format of the MNIST files: a header of big-endian integers, then raw bytes.

    offset  bytes     meaning
    0       2         zero
    2       1         element type; 0x08 is an unsigned byte, the only one read here
    3       1         rank r
    4       4 r       the dimensions, unsigned
    4+4r    product   the elements, last dimension fastest

Such a file may come from anywhere. Its header is checked before it is used, and a gzip file is
never unpacked further than the header claims: a megabyte of it can hold a gigabyte.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minigan.errors import DataError, FileError
from minigan.files import as_path, require_regular
from minigan.text import times

UNSIGNED_BYTE = 0x08
#: Bytes of elements accepted by default. The largest of the MNIST files holds 47,040,000.
MAX_BYTES = 64 << 20
CHUNK = 1 << 12  # bytes of a gzip file that are unpacked at a time
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: Path | str, rank: int, max_bytes: int = MAX_BYTES) -> Any:
    """Read an IDX file of unsigned bytes, gzipped or not, whatever its name.

    Args:
        path: the file.
        rank: the dimensions it must have: 3 for images (N, height, width), 1 for labels (N,).
        max_bytes: refuse a file that claims more elements than this.

    Returns:
        A uint8 array of that rank.

    Raises:
        FileError: the file is missing, is no regular file, or cannot be read.
        DataError: it is damaged, or of another type, rank or size.
    """
    path = as_path(path)
    try:
        require_regular(path)
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > max_bytes + (1 << 20):
                raise DataError(f"{path} has {size:,} bytes, more than the {max_bytes:,} accepted")
            packed = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            read = _unpacking(file) if packed else file.read
            return _read(path, read, rank, max_bytes)
    except zlib.error as error:
        raise DataError(f"{path} is a damaged gzip file: {error}") from None
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error


def _unpacking(file: BinaryIO) -> Callable[[int], bytes]:
    """A function that unpacks the next n > 0 bytes of a gzip file; fewer only at the end.

    Such a file is one member or several, one after the other. `zlib.error` for a damaged one.
    """
    unpacker, packed = None, b""  # of the present member; read and not yet unpacked

    def read(n: int) -> bytes:
        nonlocal unpacker, packed
        unpacked = bytearray()
        while len(unpacked) < n:
            packed = packed or file.read(CHUNK)
            if not packed:
                if unpacker is not None:
                    raise zlib.error("it ends before its checksum")
                break
            unpacker = unpacker or zlib.decompressobj(wbits=31)  # 31: a header and a trailer
            unpacked += unpacker.decompress(packed, n - len(unpacked))
            packed = unpacker.unconsumed_tail or unpacker.unused_data
            if unpacker.eof:
                unpacker = None
        return bytes(unpacked)

    return read


def _read(path: Path, read: Callable[[int], bytes], rank: int, max_bytes: int) -> Any:
    """Header and elements, from a function that reads the next n bytes."""
    header = read(4 + 4 * rank)
    if len(header) >= 4 and header[:3] != bytes([0, 0, UNSIGNED_BYTE]):
        raise DataError(
            f"{path} is not an IDX file of unsigned bytes: it begins with {header[:4].hex(' ')}, "
            f"not 00 00 08"
        )
    if len(header) >= 4 and header[3] != rank:
        raise DataError(f"{path} has {header[3]} dimensions; expected {rank}")
    if len(header) < 4 + 4 * rank:
        raise DataError(f"{path} ends within its header")
    shape = struct.unpack(f">{rank}I", header[4:])
    count = math.prod(shape)  # a Python integer: it cannot overflow
    claim = f"{path} claims {times(shape)} = {count:,} bytes"
    if count == 0:
        raise DataError(f"{claim}, so no elements")
    if count > max_bytes:
        raise DataError(f"{claim}, more than the {max_bytes:,} accepted")
    elements = read(count + 1)
    if len(elements) < count:
        raise DataError(f"{claim} after its header; there are {len(elements):,}")
    if len(elements) > count:
        raise DataError(f"{claim} after its header, and goes on after them")
    return np.frombuffer(elements, np.uint8).reshape(shape).copy()
