"""Checkpoints: the whole state of a run in one safetensors file, no code in it.

The tensors are the file's tensors, one for each named view; everything else is JSON in
the file's metadata under the one key "minigan". Equal states give equal bytes.

    8 bytes        n, the length of the header
    n bytes        the header: {"__metadata__": {"minigan": TEXT}, name: {dtype, shape, place}}
    the rest       the tensors

TEXT begins with the SHA-256 of the whole file, in which those 64 digits themselves count as
zeros. So one flipped bit anywhere is noticed, in the header as well as in the tensors.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

import minigan.version
from minigan.backend.base import on_host
from minigan.errors import (
    CheckpointError,
    ConfigError,
    DamagedError,
    DTypeError,
    NonFiniteError,
)
from minigan.files import write_whole

FORMAT_VERSION = 2
KEY = "minigan"
#: The longest header that is read or written. (A tensor takes about 100 bytes in it.)
MAX_HEADER = 4 << 20
_ZEROS = "0" * 64
_TEXT = '{"sha256": "'  # what TEXT begins with,
_MARK = b'"minigan":"{\\"sha256\\": \\"'  # and how that looks in the header
_PIECE = 1 << 20  # bytes hashed at a time


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds."""

    tensors: dict[str, Any]  # name -> NumPy array
    metadata: dict[str, Any]


def save_checkpoint(path: Path | str, tensors: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Write tensors and JSON metadata to a safetensors file, whole or not at all.

    Args:
        path: the file.
        tensors: name -> NumPy array.
        metadata: anything JSON can hold. "sha256", "format", and the versions of minigan and
            NumPy are added.

    Raises:
        FileError: the file cannot be written; the one that was there is untouched.
        ConfigError, DTypeError: something in it cannot be stored.
    """
    write_whole(path, *encode(tensors, metadata))


def require_finite(arrays: dict[str, Any], step: int) -> None:
    """Raise `NonFiniteError` if an array of a game's state holds NaN or infinity."""
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise NonFiniteError(f"step {step:,}: {name} holds NaN or infinity")


def encode(tensors: dict[str, Any], metadata: dict[str, Any]) -> tuple[bytes, memoryview]:
    """The bytes of a checkpoint file: its header, and its tensors. Raises as `save_checkpoint`."""
    added = {
        "format": FORMAT_VERSION,
        "versions": {"minigan": minigan.version.__version__, "numpy": np.__version__},
    }
    try:
        text = json.dumps({**metadata, **added}, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"the metadata of a checkpoint must be plain JSON: {error}") from None
    text = f'{_TEXT}{_ZEROS}", {text[1:]}'
    arrays = {name: np.asarray(on_host(array), order="C") for name, array in tensors.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise DTypeError(f"tensor {name!r} must hold numbers or booleans, not {array.dtype}")
    data = safetensors.numpy.save(arrays, metadata={KEY: text})
    end = 8 + int.from_bytes(data[:8], "little")
    if end > MAX_HEADER:
        raise ConfigError(f"the header of a checkpoint can have {MAX_HEADER:,} bytes, not {end:,}")
    header, payload = data[:end], memoryview(data)[end:]
    place = _place_of_digest(header)
    assert place is not None
    digest = _digest(header, payload)
    return header[:place] + digest.encode() + header[place + 64 :], payload


def load_checkpoint(path: Path | str) -> Checkpoint:
    """Read a checkpoint. Nothing in it is executed, and nothing is believed unchecked.

    Takes at most twice the file's size in memory, and of a file that is no checkpoint not
    more than its header.

    Raises:
        DamagedError: it is damaged, or not a checkpoint.
        CheckpointError: it is missing, cannot be read, or is of another version.
    """
    path = Path(path)
    try:
        data, end, text = _read(path)
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint at {path}") from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    header = data[:end]
    place = _place_of_digest(header)
    stated = re.match(_TEXT + "([0-9a-f]{64})", text)
    if place is None or stated is None:
        raise DamagedError(f"{path} has damaged metadata: no SHA-256 where it should be")
    zeroed = header[:place] + _ZEROS.encode() + header[place + 64 :]
    if _digest(zeroed, memoryview(data)[end:]) != stated[1]:
        raise DamagedError(f"{path} is damaged: its bytes are not those that were written")
    metadata = json.loads(text)
    version = metadata.get("format")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format {version}; this version of minigan reads format {FORMAT_VERSION}"
        )
    try:
        tensors = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, LookupError, TypeError, ValueError) as error:
        raise DamagedError(f"{path} is not a checkpoint: {error}") from error
    del metadata["sha256"]
    return Checkpoint(tensors, metadata)


def _read(path: Path) -> tuple[bytes, int, str]:
    """The file's bytes, the end of its header, and TEXT, once they fit each other."""
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path} is not a regular file")
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(8)
        end = 8 + int.from_bytes(head, "little")
        if len(head) < 8 or end <= 8 or end > min(size, MAX_HEADER):
            raise DamagedError(
                f"{path} is not a checkpoint: no header that fits its {size:,} bytes"
            )
        try:
            table = _table(head + file.read(end - 8))
            places = [
                entry["data_offsets"][1] for name, entry in table.items() if name != "__metadata__"
            ]
            told = end + max(places, default=0)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise DamagedError(f"{path} is not a checkpoint: a damaged header") from error
        if told != size:
            raise DamagedError(
                f"{path} is damaged: it has {size:,} bytes, and its header tells of {told:,}"
            )
        try:
            text = table["__metadata__"][KEY]
            json.loads(text)["format"]
        except (LookupError, TypeError):
            raise DamagedError(f"{path} is a safetensors file, but not one of minigan's") from None
        except (ValueError, RecursionError) as error:
            raise DamagedError(f"{path} has damaged metadata") from error
        file.seek(0)
        return file.read(size), end, text


def _table(data: bytes) -> dict[str, Any]:
    """The header's JSON. (The library that reads tensors keeps it to itself.)"""
    end = 8 + int.from_bytes(data[:8], "little")
    table = json.loads(data[8:end].decode("utf-8"))
    if not isinstance(table, dict):
        raise TypeError("the header is no JSON object")
    return table


def _place_of_digest(header: bytes) -> int | None:
    """Where the 64 digits stand in a header; None if not in one place."""
    return header.index(_MARK) + len(_MARK) if header.count(_MARK) == 1 else None


def _digest(header: bytes, payload: memoryview) -> str:
    """SHA-256 of a file whose digits are zeros, as text."""
    digest = hashlib.sha256(header)
    for start in range(0, len(payload), _PIECE):
        digest.update(payload[start : start + _PIECE])
    return digest.hexdigest()
