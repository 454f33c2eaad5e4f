"""Coverage-guided fuzzing of everything that reads a file from a stranger.

    make fuzz                                      ten minutes of each, needs Linux
    python tests/fuzz_files.py checkpoint -max_total_time=60

An input may be refused with a `MiniganError`, or taken; anything else is a finding, which the
fuzzer writes to a file crash-... . Flags with one dash are libFuzzer's.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["minigan", "json"]):
    import minigan as mg
    from minigan.data.idx import read_idx
    from minigan.training.checkpoint import encode
    from minigan.training.recipe_json import RECIPE, differences
    from minigan.training.run import build_gan, restore

from harness import networks

LARGEST = 1000  # sizes of layers above this take memory, which is no finding
FOLDER = Path(tempfile.mkdtemp(prefix="minigan-fuzz-"))


def checkpoint(data: bytes) -> None:
    """A checkpoint file; if it is taken, its state is offered to a GAN."""
    file = FOLDER / "x.safetensors"
    file.write_bytes(data)
    with contextlib.suppress(mg.MiniganError):
        loaded = mg.load_checkpoint(file)
        networks().load_state(loaded.tensors, loaded.metadata.get("counters"))


def signed(data: bytes) -> None:
    """The text of a checkpoint's metadata, in a file whose SHA-256 is right."""
    try:
        metadata = json.loads(data)
    except (ValueError, RecursionError):
        return
    if not isinstance(metadata, dict):
        return
    gan = networks()
    file = FOLDER / "x.safetensors"
    with contextlib.suppress(mg.MiniganError):
        file.write_bytes(b"".join(encode(gan.state()[0], metadata)))
        loaded = mg.load_checkpoint(file)
        differences(loaded.metadata, {})
        restore(gan, file, loaded)


def idx(data: bytes) -> None:
    """An IDX file, plain and gzipped."""
    file = FOLDER / "x.idx"
    for content in (data, gzip.compress(data, 1, mtime=0)):
        for rank in (1, 3):
            file.write_bytes(content)
            with contextlib.suppress(mg.MiniganError):
                read_idx(file, rank, max_bytes=1 << 16)


def recipe(data: bytes) -> None:
    """A recipe.json, and the GAN that it describes, unless that is a large one."""
    file = FOLDER / RECIPE
    file.write_bytes(data)
    try:
        if _largest(json.loads(data)) > LARGEST:
            return
    except (ValueError, RecursionError):
        pass
    with contextlib.suppress(mg.MiniganError):
        build_gan(FOLDER, mg.read_recipe(FOLDER), "cpu")


def history(data: bytes) -> None:
    """A history.csv."""
    file = FOLDER / "history.csv"
    file.write_bytes(data)
    with contextlib.suppress(mg.MiniganError):
        mg.read_history(file)


def _largest(value: object) -> float:
    """The largest of the sizes in a JSON value."""
    if isinstance(value, dict):
        sizes = [v for k, v in value.items() if "features" in k or k in ("dim", "m", "size")]
        numbers = [float(v) for v in sizes if isinstance(v, int | float)]
        return max([*numbers, *map(_largest, value.values())], default=0.0)
    if isinstance(value, list):
        return max(map(_largest, value), default=0.0)
    return 0.0


def seeds(target: str) -> list[bytes]:
    """Good files to begin from."""
    gan = networks()
    tensors, counters = gan.state()
    metadata = {"step": 0, "counters": counters, "data": {"position": 0}, "run": {}}
    metadata["loss"] = gan.loss.to_config()
    description = {
        "gan": gan.to_config(), "data": mg.Gaussian().to_config(), "recipe": {},
        "trainer": {"batch": 8},
    }  # fmt: skip
    header = bytes([0, 0, 8])
    return {
        "checkpoint": [b"".join(encode(tensors, metadata))],
        "signed": [json.dumps(metadata).encode()],
        "idx": [
            header + bytes([1, 0, 0, 0, 2, 3, 4]),
            header + bytes([3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 5, 6]),
        ],
        "recipe": [json.dumps(description).encode()],
        "history": [b"step,d_real\n10,0.5\n20,0.25\n"],
    }[target]


TARGETS = {f.__name__: f for f in (checkpoint, signed, idx, recipe, history)}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: fuzz_files.py {{{','.join(TARGETS)}}} [libFuzzer's flags]")
    name = sys.argv.pop(1)
    corpus = FOLDER / "corpus"
    corpus.mkdir()
    for i, seed in enumerate(seeds(name)):
        (corpus / str(i)).write_bytes(seed)
    atheris.Setup([*sys.argv, str(corpus)], TARGETS[name])
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    atheris.Fuzz()
