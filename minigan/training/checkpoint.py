"""Checkpoints: the whole state of a run in one safetensors file, without code.

The tensors are the file's tensors. Everything else is JSON in the file's metadata, under the key
"minigan". Equal states give equal bytes.

    8 bytes        n, the length of the header
    n bytes        the header: {"__metadata__": {"minigan": TEXT}, name: {dtype, shape, place}}
    the rest       the tensors

TEXT begins with the SHA-256 of the whole file, computed with its own 64 digits as zeros. So one
flipped bit is noticed anywhere in the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

import minigan.version
from minigan.backend.base import on_host
from minigan.errors import CheckpointError, ConfigError, DamagedError, DTypeError
from minigan.files import as_path, require_regular, write_whole
from minigan.reading import parse_json

FORMAT_VERSION = 2
KEY = "minigan"
#: Bytes of the longest header that is read or written. A tensor takes about 100 of them.
MAX_HEADER = 4 << 20
#: Bytes of the largest checkpoint that is read or written: 500 million parameters with Adam.
MAX_BYTES = 8 << 30
_ZEROS = "0" * 64
_TEXT = '{"sha256": "'  # the beginning of TEXT
_MARK = b'"minigan":"{\\"sha256\\": \\"'  # the same in the header, as a string in JSON


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file."""

    tensors: dict[str, Any]  # name -> NumPy array
    metadata: dict[str, Any]


def save_checkpoint(path: Path | str, tensors: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Write tensors and JSON metadata to a safetensors file, completely or not at all.

    Args:
        path: the file.
        tensors: name -> NumPy array.
        metadata: plain JSON. "sha256", "format", and the versions of minigan and NumPy are added.

    Raises:
        FileError: the file cannot be written; the old file is untouched.
        ConfigError, DTypeError: the metadata or a tensor cannot be stored.
    """
    write_whole(as_path(path), *encode(tensors, metadata))


def encode(tensors: dict[str, Any], metadata: dict[str, Any]) -> tuple[bytes, memoryview]:
    """The bytes of a checkpoint file: its header, and its tensors. Raises as `save_checkpoint`."""
    added = {
        "format": FORMAT_VERSION,
        "versions": {"minigan": minigan.version.__version__, "numpy": np.__version__},
    }
    try:
        text = json.dumps({**metadata, **added}, sort_keys=True, allow_nan=False)
        parse_json(text)  # what no reader accepts is not written
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"the metadata of a checkpoint must be plain JSON: {error}") from None
    text = f'{_TEXT}{_ZEROS}", {text[1:]}'
    try:
        if "__metadata__" in tensors:
            raise ValueError("the name __metadata__ belongs to the format")
        arrays = {name: np.asarray(on_host(array), order="C") for name, array in tensors.items()}
        for name, array in arrays.items():
            if array.dtype.kind not in "fiub":
                raise DTypeError(
                    f"tensor {name!r} must hold numbers or booleans, not {array.dtype}"
                )
        data = safetensors.numpy.save(arrays, metadata={KEY: text})
    except DTypeError:
        raise
    except (TypeError, ValueError, AttributeError, safetensors.SafetensorError) as error:
        raise ConfigError(f"these tensors cannot be stored: {error}") from error
    end = 8 + int.from_bytes(data[:8], "little")
    if end > MAX_HEADER:
        raise ConfigError(f"the header of a checkpoint can have {MAX_HEADER:,} bytes, not {end:,}")
    if len(data) > MAX_BYTES:
        raise ConfigError(f"a checkpoint can have {MAX_BYTES:,} bytes, not {len(data):,}")
    header, payload = data[:end], memoryview(data)[end:]
    place = header.index(_MARK) + len(_MARK)
    return header[:place] + _digest(header, payload).encode() + header[place + 64 :], payload


def load_checkpoint(path: Path | str) -> Checkpoint:
    """Read a checkpoint. Nothing in it is executed, and everything in it is checked.

    Takes at most twice the file's size in memory. A file that is not a checkpoint is not read.

    Raises:
        DamagedError: it is damaged, or not a checkpoint.
        CheckpointError: it is missing, cannot be read, or has another format.
    """
    path = as_path(path)
    data, tensors = _read(path)
    end = 8 + int.from_bytes(data[:8], "little")
    header, payload = data[:end], memoryview(data)[end:]
    table = json.loads(header[8:]).get("__metadata__") or {}
    text = table.get(KEY, "")
    stated = re.match(_TEXT + "([0-9a-f]{64})", text)
    if stated is None or header.count(_MARK) != 1:
        raise DamagedError(f"{path} was not written by minigan, or its header is damaged")
    place = header.index(_MARK) + len(_MARK)
    zeroed = header[:place] + _ZEROS.encode() + header[place + 64 :]
    if _digest(zeroed, payload) != stated[1]:
        raise DamagedError(f"{path} is damaged: its bytes are not those that were written")
    try:
        metadata = parse_json(text)
    except ValueError as error:
        raise DamagedError(f"{path} has damaged metadata: {error}") from error
    version = metadata.get("format")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format {version}; this version of minigan reads format {FORMAT_VERSION}"
        )
    del metadata["sha256"]
    return Checkpoint(tensors, metadata)


def _read(path: Path) -> tuple[bytes, dict[str, Any]]:
    """The bytes of a safetensors file, and its tensors. Raises as `load_checkpoint`."""
    try:
        require_regular(path)
        # safe_open compares the header with the file's size.
        with path.open("rb") as file, safetensors.safe_open(path, "numpy"):
            if int.from_bytes(file.read(8), "little") + 8 > MAX_HEADER:
                raise ValueError(f"its header is damaged: more than {MAX_HEADER:,} bytes")
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
            file.seek(0)
            data = file.read()
        return data, safetensors.numpy.load(data)
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint at {path}") from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    except MemoryError as error:
        raise CheckpointError(f"{path} is larger than this machine's free memory") from error
    except (safetensors.SafetensorError, LookupError, TypeError, ValueError) as error:
        raise DamagedError(f"{path} is not a checkpoint, or is damaged: {error}") from error


def _digest(header: bytes, payload: memoryview) -> str:
    """SHA-256 of a file in which the digits are zeros, as text."""
    digest = hashlib.sha256(header)
    digest.update(payload)
    return digest.hexdigest()
