"""A hundred run folders of a stranger, properly signed: one sentence or success, in every command.

`tests/fuzz_files.py folder` makes up others at random.
"""

from __future__ import annotations

import json
import logging
import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forging import MISSING, Change, Raw, drive, forge, genuine

import minigan as mg
from minigan.cli.main import main as minigan
from minigan.reading import DEEPEST, parse_json
from minigan.training.lock import describe

#: Left to the random search: these read no more of a folder than the others, and take long.
SKIPPED = ("picture", "best", "interpolate", "export", "explain previous", "resume")
HUGE = 10**400
DEEP = Raw("[" * 400 + "]" * 400)
ESCAPE = "\x1b[2J"
G, D = ("gan", "generator"), ("gan", "discriminator")
ADAM, LAYER = ("gan", "generator_optimizer"), (*G, "layers", 0)


def everywhere(value: Any, *names: str) -> list[Change]:
    """One value in many places of recipe.json, a forgery for each."""
    return [("recipe", tuple(_key(key) for key in name.split(".")), value) for name in names]


def _key(text: str) -> str | int:
    return int(text) if text.isdigit() else text


NUMBERS = (
    *("trainer.batch", "trainer.print_every", "recipe.steps", "recipe.d_lr", "recipe.seed"),
    *("gan.noise.dim", "gan.noise.high", "gan.loss.real_target", "gan.average", "gan.d_steps"),
    *("gan.generator.layers.0.out_features", "gan.generator.layers.1.alpha", "gan.generator.seed"),
    *("gan.generator_optimizer.lr", "gan.generator_optimizer.betas.1", "gan.seed", "data.mean"),
    *("gan.generator_optimizer.decay.end", "gan.generator.in_features", "data.seed", "data.std"),
)
NUMBER_PLACES = everywhere(HUGE, *NUMBERS)
OTHERS: list[Change] = [
    *everywhere(Raw("NaN"), "recipe.mean", "data.mean", "gan.average", "trainer.batch"),
    *everywhere(Raw("-Infinity"), "recipe.d_lr", "gan.noise.low", "gan.generator_optimizer.eps"),
    *everywhere(Raw("1e999"), "recipe.std", "data.std", "gan.discriminator.layers.1.slope"),
    *everywhere(1e308, "gan.noise.high", "data.mean", "gan.generator_optimizer.lr"),
    *everywhere(2**127, "gan.seed", "trainer.batch", "gan.g_steps"),
    *everywhere(2**31 - 1, "trainer.batch", "gan.d_steps", "gan.generator.layers.0.out_features"),
    *everywhere(DEEP, "recipe", "recipe.mean", "gan.noise", "gan.generator.layers", "minigan"),
    *everywhere([], "recipe.steps", "gan.generator", "gan.generator.layers.0", "data.seed"),
    *everywhere([5, 6], "gan.seed", "gan.generator.seed", "recipe.batch", "gan.noise.low"),
    *everywhere({}, "recipe.name", "gan.loss", "gan.generator.seed", "gan.generator.name"),
    *everywhere("x", "recipe.batch", "recipe.steps", "gan.average", "gan.generator.dtype"),
    *everywhere(True, "trainer.batch", "gan.noise.dim", "gan.d_steps", "recipe.steps"),
    *everywhere(None, "recipe.batch", "recipe.name", "gan.seed", "data.mean", "trainer.unit"),
    *everywhere(-1, "recipe.batch", "recipe.steps", "gan.generator_optimizer.lr", "data.seed"),
    *everywhere(MISSING, "minigan", "trainer.unit", "gan.seed", "gan.noise.dim", "recipe.hidden"),
    *everywhere(ESCAPE, "recipe.name", "gan.generator.name", "gan.game", "minigan"),
    *everywhere("\ud800", "recipe.name", "gan.generator.name", "recipe.loss"),
    *everywhere({"data": "Images", "shape": [5, 3, 3], "dtype": "float32"}, "data"),
    *everywhere({"data": "Images", "shape": [5, 10**9, 10**9], "dtype": "float32"}, "data"),
    *everywhere({"data": "Samples", "shape": [10**9, 10**6], "dtype": "float32"}, "data"),
    *everywhere({"data": "Samples", "shape": [2, 1], "dtype": "int7"}, "data"),
    ("recipe", ("recipe", ESCAPE), 1),
    ("recipe", ("recipe", "a" * 5000), 1),
    ("recipe", (ESCAPE,), {}),
    ("recipe", ("changes",), {f"recipe.{ESCAPE}": [1, 2]}),
    ("recipe", ("gan", "noise"), Raw('{"noise": "Uniform", "dim": 1, "dim": [], "low": 0}')),
    ("recipe", LAYER, {"layer": "Linear", "in_features": 1, "out_features": 10**6}),
    *[("metadata", ("counters", "step"), value) for value in (HUGE, -1, 2**300, 1.5, True, [])],
    *[("metadata", ("counters", "stream/gan/sample"), value) for value in (2**64, 2**300, HUGE)],
    *[("metadata", ("data", "position"), value) for value in (2**64, 2**300, -1, None)],
    *[("metadata", ("rollbacks",), value) for value in (HUGE, Raw("NaN"), ESCAPE, [])],
    *[("metadata", ("score",), value) for value in (HUGE, Raw("NaN"), ESCAPE, DEEP, {})],
    *[("metadata", ("step",), value) for value in (HUGE, ESCAPE, None, MISSING)],
    *[("metadata", ("loss", "real_target"), value) for value in (HUGE, Raw("Infinity"), "x")],
    ("metadata", ("rates",), [{"step": 1, "rate": ESCAPE, "lr": [HUGE, 2]}]),
    ("metadata", ("rates",), [{"step": 2**300, "rate": "g_lr", "lr": [1, 2]}]),
    ("metadata", (), []),
    ("metadata", ("format",), ESCAPE),
    ("metadata", (ESCAPE,), DEEP),
    ("tensor", "generator.adam/clock", np.array([-5.0, -1.0, -1.0])),
    ("tensor", "generator.adam/clock", np.array([1e300, 1.0, 1.0])),
    ("tensor", "generator.adam/clock", np.array([0.5, 1.0, 1.0])),
    ("tensor", "generator.average/clock", np.array([-10.0])),
    ("tensor", "losses/totals", np.full((2, 3), -1e308)),
    ("tensor", f"generator/{ESCAPE}", np.zeros(3, "float32")),
    ("tensor", "generator/0.weight", None),
    ("tensor", "generator/0.weight", np.full((1, 50), 3e38, "float32")),
    ("tensor", "generator.average/0.weight", np.full((1, 50), 3e38, "float32")),
    ("tensor", "generator.adam.g2_sum/0.weight", np.full((1, 50), -1.0, "float32")),
    ("file", "history.csv", f"step,{ESCAPE}\n1,2\n".encode()),
    ("file", "history.csv", b"step,d_real,g\n1,1e400,nan\n" + b"inf,-inf,1e308\n" * 9),
    ("file", "history.csv", b"step,d_real\n" + b"1" * 5000 + b",2\n"),
    ("file", "history.csv", b"step," + b"x" * 200_000 + b"\n"),
    ("file", "scores.json", b'{"step": 1e999, "ks": NaN}'),
    ("file", "scores.json", b'{"step": 4, "ks": 1' + b"0" * 400 + b', "\\u001b[2J": 3}'),
    ("file", "writer.json", b'{"pid": "\\u001b[2J", "host": 1, "command": 2}'),
    pytest.param(
        ("file", f"{ESCAPE}.png", b""), marks=pytest.mark.skipif(os.name == "nt", reason="names")
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """The folder of a genuine run of the 1-D example."""
    return genuine("gaussian1d", tmp_path_factory.mktemp("genuine") / "run", "--steps", "6")


@pytest.mark.parametrize("change", [*NUMBER_PLACES, *OTHERS], ids=lambda change: ascii(change)[:70])
def test_every_command_answers_a_forged_run_in_one_sentence(change, source, tmp_path):
    forged = forge(source, tmp_path / "run", change)
    assert drive(forged, "gaussian1d", SKIPPED, all_of_them=False) == []


OF_G, OF_D = (*G, "layers"), (*D, "layers")


def settings(*place: str | int, **values: Any) -> list[Change]:
    """Several settings of one layer."""
    return [("recipe", (*place, name), value) for name, value in values.items()]


def upsampled(side: int) -> list[Change]:
    """A generator with the same parameters and output, and images of this side in between."""
    upsample = {"layer": "Upsample2d", "channels": 4, "factor": side // 2, "size": 2}
    return [
        ("recipe", (*OF_G, 5), upsample),
        *settings(*OF_G, 6, size=[side, side]),
        *settings(*OF_G, 9, size=[2 * side, 2 * side], stride=1, padding=side - 3),
    ]


OF_IMAGES: list[list[Change]] = [
    settings(*OF_D, 0, kernel=10**9),
    settings(*OF_D, 0, kernel=10**9, padding=10**9),
    settings(*OF_D, 0, kernel=[4, 4, 4]),
    settings(*OF_D, 0, size=[10**9, 10**9]),
    settings(*OF_D, 0, size=DEEP),
    settings(*OF_D, 0, in_channels=2**40),
    settings(*OF_D, 0, stride=10**9),
    # The output has the right size; its windows have a border that no machine can hold.
    *[settings(*OF_D, 0, stride=2 * n, padding=3 * n - 2) for n in (10**6, 10**9, 10**20)],
    *[settings(*OF_G, 9, stride=2 * n, padding=3 * n - 2) for n in (10**6, 10**9, 10**20)],
    settings(*OF_G, 9, stride=10**9, output_padding=10**9 - 1),
    *[upsampled(side) for side in (10**9, 10**20)],
    settings(*OF_D, 3, channels=2**40),
    settings(*OF_D, 3, eps=1e-300),
    settings(*OF_D, 3, momentum=HUGE),
    [("tensor", "generator.buffers/1.running_variance", np.full((1, 4), -1.0, "float32"))],
    [("tensor", "generator.buffers/1.running_mean", np.full((1, 4), 3e38, "float32"))],
    [("tensor", "generator.buffers/1.running_mean", None)],
]


@pytest.fixture(scope="module")
def of_images(tmp_path_factory) -> Path:
    """The folder of a genuine run of the DCGAN, as small as it can be."""
    flags = ("--recipe", "canonical", "--data", "digits", "--epochs", "1")
    small = ("--channels", "2", "--hidden", "4", "--batch-size", "8")
    return genuine("dcgan", tmp_path_factory.mktemp("genuine") / "images", *flags, *small)


@pytest.mark.parametrize("changes", OF_IMAGES, ids=lambda changes: ascii(changes)[:70])
def test_every_command_answers_forged_convolutions_in_one_sentence(changes, of_images, tmp_path):
    forged = forge(of_images, tmp_path / "run", *changes)
    assert drive(forged, "dcgan", SKIPPED, all_of_them=False) == []


TB = 1 << 40
BEGINNINGS = {
    "recipe.json": ["", "{"],
    "history.csv": ["", "step,d_real,d_fake,g\n1,2,3,4\n"],
    "scores.json": ["", '{"step": 4}'],
    "checkpoint.safetensors": ["", "one tensor"],
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_a_sparse_terabyte_is_refused_before_it_is_read(name, source, tmp_path, capsys):
    for number, beginning in enumerate(BEGINNINGS[name]):
        forged = forge(source, tmp_path / f"run-{number}")
        begin = beginning.encode()
        if beginning == "one tensor":  # a header that fits the file
            entry = {"dtype": "U8", "shape": [TB], "data_offsets": [0, TB]}
            table = {"__metadata__": {"minigan": '{"sha256": "'}, "x": entry}
            begin = json.dumps(table).encode()
            begin = len(begin).to_bytes(8, "little") + begin
        sparse(forged / name, begin)
        (forged / "checkpoint-previous.safetensors").unlink()
        tracemalloc.start()
        assert minigan(["show", str(forged)]) == 2
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 50 << 20
        assert name in capsys.readouterr().err.splitlines()[-1]


def test_a_sparse_terabyte_that_names_the_writer_names_nobody(source, tmp_path):
    forged = forge(source, tmp_path / "run")
    sparse(forged / "writer.json", b"{")
    assert describe(forged) == "another process"


def sparse(path: Path, beginning: bytes) -> None:
    """A file of a terabyte that takes no room on the disk."""
    try:
        with path.open("wb") as file:
            file.write(beginning)
            file.truncate(len(beginning) + TB)
    except OSError:
        pytest.skip("this file system has no such large files")


def test_a_large_history_is_read(tmp_path):
    """What a run of a million steps could have written is no forgery."""
    file = tmp_path / "history.csv"
    file.write_text("step,g\n" + "".join(f"{step},0.5\n" for step in range(20_000)) + "20000,0.")
    assert len(mg.read_history(file)) == 20_000


def test_no_more_memory_is_taken_than_the_checkpoint_proves(source, tmp_path):
    """Layers that a recipe.json describes are compared with the tensors before they are made."""
    at = ("gan", "generator", "layers")
    forged = forge(
        source,
        tmp_path / "run",
        ("recipe", (*at, 0, "out_features"), 50_000),
        ("recipe", (*at, 2, "in_features"), 50_000),
        ("recipe", (*at, 2, "out_features"), 50_000),
        ("recipe", (*at, 4, "in_features"), 50_000),
    )
    for opened in (mg.load_run, mg.Trainer.resume):
        tracemalloc.start()
        with pytest.raises(mg.CheckpointError, match="has no 1 x 50000 weight of layer 0"):
            opened(forged)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10 << 20


@pytest.mark.parametrize("text", ["1" * 40, "-" + "9" * 39, "1e999", "NaN", "[-Infinity]", "["])
def test_json_with_such_a_number_is_refused(text):
    with pytest.raises(ValueError, match=r"bits|finite|Expecting"):
        parse_json(text)


def test_json_of_a_run_is_taken():
    deep: object = "é\u200d"
    for _ in range(DEEPEST // 2):
        deep = [{"a": deep}]
    for value in (2**128 - 1, -(2**127), 1e308, -5e-324, deep, [0, True, None, "\x1b"]):
        assert parse_json(json.dumps(value)) == value
    with pytest.raises(ValueError, match="nested"):
        parse_json(json.dumps([deep]))


def test_a_seed_that_a_file_cannot_hold_is_refused_when_a_run_starts(tmp_path):
    for seed in (2**128 - 1, 2**128):
        G = mg.Sequential(mg.Linear(1, 1), seed=seed, name="g")
        gan = mg.GAN(G, mg.Sequential(mg.Linear(1, 1), name="d"), mg.Normal())
        if seed < 2**128:
            mg.Trainer(gan, mg.Gaussian(), tmp_path / "run", batch=2, progress=False)
            assert mg.load_run(tmp_path / "run").gan.seed == seed
        else:
            with pytest.raises(mg.ConfigError, match="128 bits"):
                mg.Trainer(gan, mg.Gaussian(), tmp_path / "other", batch=2, progress=False)


def test_a_warning_is_printable(caplog):
    logging.getLogger("minigan").warning("%s: é", "\x1b[2J")
    assert caplog.messages == ["?[2J: é"]
