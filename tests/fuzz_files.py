"""Coverage-guided fuzzing of everything that reads a file from a stranger.

    make fuzz                                      ten minutes of each, needs Linux
    python tests/fuzz_files.py checkpoint -max_total_time=60

An input may be refused with a `MiniganError`, or taken; anything else is a finding, which the
fuzzer writes to a file crash-... . Flags with one dash are libFuzzer's. Without Atheris there is a
plain random search, which knows three of them:

    python tests/fuzz_files.py folder -max_total_time=600 [-seed=N] [-start=N]
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[variable] = "1"  # before BLAS is loaded
os.environ["MPLBACKEND"] = "agg"

try:
    import atheris
except ImportError:
    atheris = None

with (
    atheris.instrument_imports(include=["minigan", "json"]) if atheris else contextlib.nullcontext()
):
    from forging import Change, description_of, drive, dumps, forge, genuine, put, state_of
    from harness import networks
    from random_forgeries import Choices, changes_of

    import minigan as mg
    from minigan.data.idx import read_idx
    from minigan.training.checkpoint import encode
    from minigan.training.frames import read_frames
    from minigan.training.recipe_json import RECIPE, differences
    from minigan.training.run import build_gan, restore

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


def frames(data: bytes) -> None:
    """A frames.jsonl."""
    file = FOLDER / "frames.jsonl"
    file.write_bytes(data)
    with contextlib.suppress(mg.MiniganError):
        found = read_frames(file)
        for name in found.codes:
            found.array(name)


# -- whole run folders ----------------------------------------------------------------------

MOST_MEMORY = 3 << 30  # bytes of address space that a command may take beyond what is there
MOST_SECONDS = 20  # for all commands on one folder


def sources() -> dict[str, Path]:
    """Genuine run folders, by example; made once."""
    made = {name: FOLDER / f"genuine-{name}" for name in ("gaussian1d", "mnist", "dcgan")}
    if not made["dcgan"].exists():
        images = ("--data", "digits", "--epochs", "1")
        genuine("gaussian1d", made["gaussian1d"], "--steps", "6")
        genuine("mnist", made["mnist"], *images)
        genuine("dcgan", made["dcgan"], *images, "--channels", "2", "--hidden", "4")
    return made


def _too_long(signum: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"more than {MOST_SECONDS} seconds")


def _consistent(changes: list[Change], source: Path) -> list[Change]:
    """The same changes, with the untrained state of the game that they describe, if it is small."""
    description = description_of(source)
    try:
        for part, place, value in changes:
            if part == "recipe":
                description = put(description, place, value)
        description = json.loads(dumps(description))
        if _largest(description) > LARGEST:
            return changes
        tensors, counters = mg.GAN.from_config(description["gan"]).state()
    except (mg.MiniganError, Exception):  # the game is what is being tested
        return changes
    mine: list[Change] = [("tensor", name, None) for name in state_of(source)[0]]
    mine += [("tensor", name, array) for name, array in tensors.items()]
    return [*mine, ("metadata", ("counters",), counters), *changes]


def folder(data: bytes) -> list[str]:
    """A run folder, forged and signed, and every command."""
    choose = Choices(data)
    name = choose.of(("gaussian1d", "gaussian1d", "mnist", "dcgan"))
    source, out = sources()[name], FOLDER / "forged"
    changes = changes_of(choose, source)
    if choose.below(2):
        changes = _consistent(changes, source)
    shutil.rmtree(out, ignore_errors=True)
    try:
        forge(source, out, *changes)
    except (LookupError, TypeError, OSError, UnicodeError, AttributeError):
        return []  # it cannot be written
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(MOST_SECONDS)
    try:
        skip, all_of_them = () if choose.below(8) == 0 else ("resume",), choose.below(8) == 0
        found = drive(out, name, skip, all_of_them)
    finally:
        signal.alarm(0)
    if found and atheris:
        raise AssertionError(found)
    return found


def search(target: Callable[[bytes], Any], flags: dict[str, int]) -> int:
    """Random inputs without Atheris; returns the number of findings."""
    start = time.monotonic()
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MOST_MEMORY,) * 2)
    number, tried, kinds = flags.get("-start", 0), 0, dict[str, int]()
    while time.monotonic() - start < flags.get("-max_total_time", 60):
        data = random.Random(f"{flags.get('-seed', 0)}/{number}").randbytes(64)
        for finding in target(data) or ():
            kinds[finding] = kinds.get(finding, 0) + 1
            if kinds[finding] == 1:
                print(f"-start={number}: {finding}", flush=True)
        number, tried = number + 1, tried + 1
        if tried % 500 == 0 or tried == flags.get("-runs"):
            print(f"{tried:,} tried, {sum(kinds.values())} findings", flush=True)
        if tried == flags.get("-runs"):
            break
    print(
        f"{tried:,} tried, {sum(kinds.values())} findings of {len(kinds)} kinds; "
        f"to continue: -start={number}"
    )
    return len(kinds)


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
        "frames": [
            b'{"frames":1,"form":"number","every":1,"arrays":[{"name":"x","shape":[2],"levels":9,'
            b'"range":null}],"scene":{}}\n{"step":1,"values":{"g":0.5},"ranges":{"x":[0,1]},'
            b'"data":"eAFjZAIAAAYABA=="}\n'
        ],
        "folder": [random.Random(i).randbytes(64) for i in range(20)],
    }[target]


TARGETS = {f.__name__: f for f in (checkpoint, signed, idx, recipe, history, frames, folder)}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: fuzz_files.py {{{','.join(TARGETS)}}} [libFuzzer's flags]")
    name = sys.argv.pop(1)
    if atheris is None:
        given = dict(flag.split("=") for flag in sys.argv[1:])
        sys.exit(1 if search(TARGETS[name], {k: int(v) for k, v in given.items()}) else 0)
    corpus = FOLDER / "corpus"
    corpus.mkdir()
    for i, seed in enumerate(seeds(name)):
        (corpus / str(i)).write_bytes(seed)
    atheris.Setup([*sys.argv, str(corpus)], TARGETS[name])
    atheris.Fuzz()
