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

import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minigan.errors import DataError, FileError

UNSIGNED_BYTE = 0x08
#: Bytes of elements accepted by default. The largest of the MNIST files holds 47,040,000.
MAX_BYTES = 64 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_PIECE = 1 << 16  # bytes that are read, or unpacked, at a time


def read_idx(path: Path | str, rank: int, max_bytes: int = MAX_BYTES) -> Any:
    """Read an IDX file of unsigned bytes, gzipped or not (its first bytes tell, not its name).

    Args:
        path: the file.
        rank: the dimensions it must have: 3 for images (N, height, width), 1 for labels (N,).
        max_bytes: refuse a file that promises more elements than this.

    Returns:
        A uint8 array of that rank, in memory of its own.

    Raises:
        FileError: the file is missing, is no regular file, or cannot be read.
        DataError: it is not what it should be; the sentence says what was found.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise FileError(f"cannot read {path}: it is not a regular file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > max_bytes + (1 << 20):
                raise DataError(f"{path} has {size:,} bytes, more than the {max_bytes:,} accepted")
            packed = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            return _read(path, _Unpacking(file) if packed else file, rank, max_bytes)
    except zlib.error as error:
        raise DataError(f"{path} is a damaged gzip file: {error}") from None
    except (DataError, FileError):
        raise
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error


class _Unpacking:
    """The content of a gzip file, unpacked no further than it is asked for.

    (The standard library's reader goes on through any number of members and of zeros behind
    them, byte by byte; here a file has one member, and what follows it is an error.)
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.unpacker = zlib.decompressobj(wbits=31)  # 31: a gzip header and trailer

    def read(self, n: int) -> bytes:
        """Up to n bytes, fewer only at the end; `zlib.error` where the file is damaged."""
        unpacked = b""
        while len(unpacked) < n and not self.unpacker.eof:
            packed = self.unpacker.unconsumed_tail or self.file.read(_PIECE)
            if not packed:
                raise zlib.error("it ends before its checksum")
            unpacked += self.unpacker.decompress(packed, n - len(unpacked))
        if self.unpacker.eof and (self.unpacker.unused_data or self.file.read(1)):
            raise zlib.error("something follows its end")
        return unpacked


def _read(path: Path, file: BinaryIO | _Unpacking, rank: int, max_bytes: int) -> Any:
    """Header, elements, end of file."""
    header = file.read(4)
    if len(header) == 4 and (header[:2] != b"\0\0" or header[2] != UNSIGNED_BYTE):
        raise DataError(
            f"{path} is not an IDX file of unsigned bytes: it begins with {header.hex(' ')}, "
            f"not 00 00 08"
        )
    if len(header) == 4 and header[3] != rank:
        raise DataError(f"{path} has {header[3]} dimensions; expected {rank}")
    dimensions = file.read(4 * rank)
    if len(header) + len(dimensions) < 4 + 4 * rank:
        raise DataError(f"{path} ends within its header")
    shape = struct.unpack(f">{rank}I", dimensions)
    count = math.prod(shape)  # a Python integer: it cannot overflow
    promise = f"{path} promises {' x '.join(str(n) for n in shape)} = {count:,} bytes"
    if count == 0:
        raise DataError(f"{promise}, so no elements")
    if count > max_bytes:
        raise DataError(f"{promise}, more than the {max_bytes:,} accepted")
    elements = np.empty(shape, np.uint8)
    target = elements.reshape(-1).data  # the same memory, byte by byte
    done = 0
    while done < count:
        piece = file.read(min(_PIECE, count - done))
        if not piece:
            raise DataError(f"{promise} after its header; there are {done:,}")
        target[done : done + len(piece)] = piece
        done += len(piece)
    if file.read(1):
        raise DataError(f"{promise} after its header, and goes on after them")
    return elements
