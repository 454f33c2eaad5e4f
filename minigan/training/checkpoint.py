"""Checkpoints: the whole state of a run in one safetensors file, no code in it.

The tensors are the file's tensors, one for each named view; everything else is JSON in
the file's metadata under the one key "minigan". Equal states give equal bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from minigan.errors import CheckpointError, ConfigError, DTypeError
from minigan.files import write_whole

FORMAT_VERSION = 1
KEY = "minigan"


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
        metadata: anything JSON can hold. "format" is added.

    Raises:
        FileError: the file cannot be written.
        ConfigError, DTypeError: something in it cannot be stored.
    """
    try:
        text = json.dumps({**metadata, "format": FORMAT_VERSION}, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the metadata of a checkpoint must be plain JSON: {error}") from None
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise DTypeError(f"tensor {name!r} must hold numbers or booleans, not {array.dtype}")
    write_whole(path, safetensors.numpy.save(arrays, metadata={KEY: text}))


def load_checkpoint(path: Path | str) -> Checkpoint:
    """Read a checkpoint. Nothing in it is ever executed.

    Raises:
        CheckpointError: the file is missing, not a checkpoint, or of another version.
    """
    path = Path(path)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(KEY)
            # get_tensor gives read-only or shared memory on some versions; copies are ours.
            tensors = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint at {path}") from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    except (safetensors.SafetensorError, AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is not a checkpoint: {error}") from error
    if text is None:
        raise CheckpointError(f"{path} is a safetensors file, but not one of minigan's")
    try:
        metadata = json.loads(text)
        version = metadata["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} has damaged metadata") from error
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format {version}; this version of minigan reads format {FORMAT_VERSION}"
        )
    return Checkpoint(tensors, metadata)
