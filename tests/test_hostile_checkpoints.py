"""Checkpoints from strangers and from failing disks: one typed error, quickly, and no change."""

from __future__ import annotations

import hashlib
import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from harness import networks

import minigan as mg
from minigan.cli.main import main as minigan
from minigan.training.checkpoint import MAX_HEADER, encode

MB = 1 << 20


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> bytes:
    """The bytes of a real run's checkpoint."""
    folder = tmp_path_factory.mktemp("run")
    mg.Trainer(networks(), mg.Gaussian(), folder, batch=8, progress=False).fit(steps=7)
    return (folder / "checkpoint.safetensors").read_bytes()


@pytest.fixture
def refused(tmp_path):
    """A function that checks that these bytes are refused, cheaply."""
    file = tmp_path / "x.safetensors"

    def check(data: bytes) -> str:
        file.write_bytes(data)
        with pytest.raises(mg.CheckpointError) as caught:
            mg.load_checkpoint(file)
        return str(caught.value)

    return check


def header_end(data: bytes) -> int:
    return 8 + int.from_bytes(data[:8], "little")


def with_header(table: object, payload: bytes) -> bytes:
    """A safetensors file with a header of our own."""
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    return len(text).to_bytes(8, "little") + text + payload


def resigned(data: bytes) -> bytes:
    """The same file with the SHA-256 that fits it: damage on purpose, not by accident."""
    end = header_end(data)
    place = data.index(b'{\\"sha256\\": \\"', 0, end) + len(b'{\\"sha256\\": \\"')
    zeroed = data[:place] + b"0" * 64 + data[place + 64 :]
    return data[:place] + hashlib.sha256(zeroed).hexdigest().encode() + data[place + 64 :]


def test_the_sha256_is_that_of_the_file(good):
    """As the module's docstring says it, so that other programs can check it, too."""
    assert resigned(good) == good
    damaged = bytearray(good)
    damaged[-1] ^= 1
    assert resigned(bytes(damaged)) != bytes(damaged)


def test_truncated_at_every_byte_of_the_header(good, refused):
    for length in range(header_end(good)):
        refused(good[:length])


def test_truncated_in_the_payload(good, refused):
    end = header_end(good)
    for length in np.linspace(end, len(good) - 1, 200).astype(int):
        assert "is damaged" in refused(good[:length])


def test_bytes_too_many(good, refused):
    for more in (b"\0", b" ", good):
        assert "is damaged" in refused(good + more)


def test_a_thousand_flipped_bits(good, refused):
    """Half of them in the header, which is smaller, and where the parser is."""
    random = np.random.default_rng(0)
    end = header_end(good)
    places = [*random.integers(0, end, 500), *random.integers(end, len(good), 500)]
    for place in places:
        damaged = bytearray(good)
        damaged[place] ^= 1 << int(random.integers(8))
        refused(bytes(damaged))


def test_random_bytes(refused):
    random = np.random.default_rng(1)
    for size in (0, 1, 7, 8, 9, 100, 10_000):
        for _ in range(20):
            refused(random.bytes(size))


HUGE = {
    "nothing but zeros": lambda good: b"",
    "a good file before them": lambda good: good,
    "a header as long as the file": lambda good: ((1 << 30) - 8).to_bytes(8, "little"),
}


@pytest.mark.parametrize("begin", HUGE)
def test_a_gigabyte_of_zeros(begin, good, tmp_path):
    file = tmp_path / "zeros.safetensors"
    with file.open("wb") as handle:
        handle.write(HUGE[begin](good))
        handle.truncate(1 << 30)
    tracemalloc.start()
    with pytest.raises(mg.CheckpointError, match=r"not a checkpoint|is damaged"):
        mg.load_checkpoint(file)
    assert tracemalloc.get_traced_memory()[1] < MB
    tracemalloc.stop()


def test_headers_that_lie(good, refused):
    end = header_end(good)
    table, payload = json.loads(good[8:end]), good[end:]
    name = "generator/0.weight"

    def changed(**entry: object) -> bytes:
        return with_header({**table, name: {**table[name], **entry}}, payload)

    begin, stop = table[name]["data_offsets"]
    for lie in (
        changed(shape=[10**12, 8]),
        changed(shape=[2, -8]),
        changed(shape=[3, 8]),
        changed(shape="x"),
        changed(dtype="F64"),
        changed(dtype="F16"),
        changed(dtype="OBJ"),
        changed(dtype=7),
        changed(data_offsets=[begin, stop + 4]),
        changed(data_offsets=[0, 10**15]),
        changed(data_offsets=[-4, stop]),
        changed(data_offsets=[begin]),
        changed(data_offsets=None),
        with_header([], payload),
        with_header({}, payload),
        with_header({"__metadata__": table["__metadata__"]}, payload),
        with_header({**table, "__metadata__": {"minigan": 5}}, payload),
        with_header({**table, "__metadata__": None}, payload),
        with_header({**table, "__metadata__": {"minigan": "[" * 100_000}}, payload),
        with_header(b"[" * 100_000, payload),
        with_header(b"\xff" * 1000, payload),
        (1 << 63).to_bytes(8, "little") + good[8:],
        (len(good) - 8).to_bytes(8, "little") + good[8:],
        (MAX_HEADER + 1).to_bytes(8, "little") + b" " * (MAX_HEADER + 1),
    ):
        refused(lie)


def test_at_most_twice_the_files_size_in_memory(tmp_path):
    file = tmp_path / "big.safetensors"
    mg.save_checkpoint(file, {f"t{k}": np.ones((1 << 20,), "float32") for k in range(8)}, {})
    size = file.stat().st_size
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "damaged.safetensors").write_bytes(damaged)
    del damaged
    for name in ("big", "damaged"):
        tracemalloc.start()
        if name == "big":
            mg.load_checkpoint(file)
        else:
            with pytest.raises(mg.CheckpointError, match="bytes are not those"):
                mg.load_checkpoint(tmp_path / "damaged.safetensors")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2 * size + MB, name


def _tensors(good: bytes) -> dict[str, np.ndarray]:
    return safetensors.numpy.load(good)


def _metadata(good: bytes) -> dict:
    text = json.loads(good[8 : header_end(good)])["__metadata__"]["minigan"]
    return json.loads(text)


WRONG_STATES = {
    "a tensor is missing": lambda t, m: t.pop("generator/0.weight"),
    "a tensor is unknown": lambda t, m: t.update(extra=np.zeros(3, "float32")),
    "another shape": lambda t, m: t.update({"generator/0.weight": np.zeros((8, 2), "float32")}),
    "another dtype": lambda t, m: t.update({"generator/0.weight": np.zeros((2, 8))}),
    "NaN": lambda t, m: t.update({"generator/0.weight": np.full((2, 8), np.nan, "float32")}),
    "infinity, last": lambda t, m: t.update(
        {"discriminator/3.bias": np.full((1, 1), np.inf, "float32")}
    ),
    "a counter is missing": lambda t, m: m["counters"].popitem(),
    "a counter is negative": lambda t, m: m["counters"].update(step=-1),
    "a counter is a float": lambda t, m: m["counters"].update(step=1.5),
    "no counters": lambda t, m: m.pop("counters"),
    "counters of another kind": lambda t, m: m.update(counters=[1]),
    "no data": lambda t, m: m.pop("data"),
    "a position of another kind": lambda t, m: m["data"].update(position="x"),
    "a negative position": lambda t, m: m["data"].update(position=-5),
    "no rollbacks": lambda t, m: m.pop("rollbacks"),
    "a loss of another kind": lambda t, m: m.update(loss=7),
    "a loss that is none": lambda t, m: m["loss"].update(loss="Exec"),
    "a loss with a setting more": lambda t, m: m["loss"].update(colour=3),
    "a loss that does not fit": lambda t, m: m["loss"].update(probabilities=True),
    "another run": lambda t, m: m["run"]["gan"]["noise"].update(dim=9),
    "no run": lambda t, m: m.pop("run"),
}


@pytest.mark.parametrize("wrong", WRONG_STATES)
def test_a_well_signed_file_of_a_wrong_state_changes_nothing(wrong, good, tmp_path):
    """Whoever writes the file can sign it, so what it says is checked before anything is taken."""
    mg.Trainer(networks(), mg.Gaussian(), tmp_path / "run", batch=8, progress=False).fit(steps=7)
    tensors, metadata = _tensors(good), _metadata(good)
    WRONG_STATES[wrong](tensors, metadata)
    (tmp_path / "run" / "checkpoint.safetensors").write_bytes(b"".join(encode(tensors, metadata)))
    data = mg.Gaussian()
    data.load_state({"position": 123})
    with pytest.raises(mg.CheckpointError):
        mg.Trainer.resume(tmp_path / "run", data=data, progress=False)
    assert data.state() == {"position": 123}
    gan = networks()
    before = gan.generator.parameters.data.copy(), gan.discriminator.parameters.data.copy()
    counters = gan.state()[1]
    try:
        gan.load_state(tensors, metadata.get("counters"))
    except mg.CheckpointError:
        np.testing.assert_array_equal(gan.generator.parameters.data, before[0])
        np.testing.assert_array_equal(gan.discriminator.parameters.data, before[1])
        assert gan.state()[1] == counters


def test_of_two_checkpoints_the_sound_one_is_taken(tmp_path, caplog):
    whole, hit = tmp_path / "whole", tmp_path / "hit"
    for folder in (whole, hit):
        trainer = mg.Trainer(
            networks(), mg.Gaussian(), folder, batch=8, print_every=10, progress=False
        )
        trainer.fit(steps=40)
    file = hit / "checkpoint.safetensors"
    sound = file.read_bytes()
    damaged = bytearray(sound)
    damaged[len(damaged) // 2] ^= 16
    for content in (bytes(damaged), None):
        if content is None:
            file.unlink()  # killed between two renamings
        else:
            file.write_bytes(content)
        caplog.clear()
        trainer = mg.Trainer.resume(hit, progress=False)
        assert trainer.gan.step_count == 30
        assert "going back to checkpoint-previous.safetensors of step 30" in caplog.text
        trainer.fit(steps=40)
        assert file.read_bytes() == sound
        assert (hit / "history.csv").read_bytes() == (whole / "history.csv").read_bytes()
        before = mg.load_checkpoint(hit / "checkpoint-previous.safetensors")
        assert before.metadata["step"] == 30  # and not the damaged one
    for name in ("checkpoint", "checkpoint-previous"):
        (hit / f"{name}.safetensors").write_bytes(b"rubbish")
    with pytest.raises(mg.CheckpointError, match=r"checkpoint\.saf.*; and .*checkpoint-previous"):
        mg.Trainer.resume(hit)


HOSTILE = [
    (("trainer",), None),
    (("trainer",), 5),
    (("trainer",), {"batch": 8}),
    (("trainer", "batch"), 10**30),
    (("trainer", "batch"), True),
    (("recipe",), []),
    (("gan",), "x"),
    (("gan", "game"), "Exec"),
    (("gan", "game"), []),
    *[(("gan", "generator"), value) for value in (None, 5, [], {}, {"network": "GAN"})],
    *[(("gan", "noise"), value) for value in (None, 5, {"noise": "Exec"})],
    *[(("gan", "loss"), value) for value in (5, {"loss": "Exec"}, {"loss": {}})],
    *[(("gan", "penalty"), value) for value in (5, {"penalty": "Exec"})],
    (("gan", "generator_optimizer"), None),
    (("gan", "objective"), 5),
    *[(("data",), {"data": "Samples", "shape": s}) for s in ({}, 5, [], ["a", 1], [5, -1])],
    *[(("data",), {"data": "Images", "shape": s}) for s in ([5, "x", None], [5, 3], [5, 0, 2])],
    (("data",), {"data": "Images"}),
    (("data",), None),
    *[(("changes",), c) for c in ({"recipe.x": 3}, 5, [], None, "s", {"minigan.a": [1]})],
    (("changes",), {"gan.average": [0.9]}),
]


@pytest.mark.parametrize(("place", "value"), HOSTILE, ids=str)
def test_a_strangers_run_folder_is_one_sentence(place, value, good, tmp_path, capsys):
    """recipe.json and the checkpoint's copy of it are changed alike, and well signed."""
    mg.Trainer(networks(), mg.Gaussian(), tmp_path / "run", batch=8, progress=False)
    file = tmp_path / "run" / "recipe.json"
    description = json.loads(file.read_text())
    target = description
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    file.write_text(json.dumps(description))
    tensors, metadata = _tensors(good), _metadata(good) | {"run": description}
    (tmp_path / "run" / "checkpoint.safetensors").write_bytes(b"".join(encode(tensors, metadata)))
    for command in ("show", "sample", "score", "interpolate"):
        assert minigan([command, str(tmp_path / "run")]) == 2
        err = capsys.readouterr().err
        assert "recipe.json does not describe a run" in err
        assert len(err.splitlines()) == 1
        assert "\x1b" not in err
    with pytest.raises(mg.CheckpointError, match="does not describe a run"):
        mg.Trainer.resume(tmp_path / "run")


def test_a_strangers_words_do_not_reach_the_terminal(tmp_path, capsys):
    G = mg.Sequential(mg.Linear(2, 4), name="g")
    D = mg.Sequential(mg.Linear(4, 1), name="d")
    data = mg.Images(np.zeros((5, 2, 2), "uint8"), dataset="\x1b[2Jmine")
    mg.Trainer(mg.GAN(G, D, mg.Normal(dim=2)), data, tmp_path, batch=2, progress=False)
    assert minigan(["show", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "?[2Jmine" in out
    assert "\x1b" not in out


RATES = [
    *[5, "abc", [5], [None], [{}], [[1, 2]]],
    *[[{"step": 3, "rate": "g_lr", "lr": lr}] for lr in (5, [1], [1, 2, 3], ["a", "b"], None)],
    [{"step": "x", "rate": "g_lr", "lr": [1, 2]}],
    [{"step": 3, "rate": "\x1b[2J", "lr": [1, 2]}],
]


@pytest.mark.parametrize("rates", RATES, ids=str)
def test_a_strangers_rates_are_shown_or_refused_in_one_sentence(rates, good, tmp_path, capsys):
    mg.Trainer(networks(), mg.Gaussian(), tmp_path / "run", batch=8, progress=False)
    data = b"".join(encode(_tensors(good), _metadata(good) | {"rates": rates}))
    (tmp_path / "run" / "checkpoint.safetensors").write_bytes(data)
    code = minigan(["show", str(tmp_path / "run")])
    out, err = capsys.readouterr()
    assert (code, len(err.splitlines())) in [(0, 0), (2, 1)]
    assert "\x1b" not in out + err
    if rates is RATES[-1] and code == 0:
        assert "?[2J: 1 -> 2 after step 3" in out


@pytest.mark.parametrize("word", ["rollbacks", "step", "score"])
def test_what_a_stranger_says_of_a_checkpoint_does_not_command_the_terminal(
    word, good, tmp_path, capsys
):
    mg.Trainer(networks(), mg.Gaussian(), tmp_path / "run", batch=8, progress=False)
    data = b"".join(encode(_tensors(good), _metadata(good) | {word: "\x1b[2J"}))
    for name in ("checkpoint", "best"):
        (tmp_path / "run" / f"{name}.safetensors").write_bytes(data)
    assert minigan(["show", str(tmp_path / "run")]) in (0, 2)
    assert "\x1b" not in "".join(capsys.readouterr())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes")
@pytest.mark.parametrize("name", ["recipe.json", "history.csv", "checkpoint.safetensors"])
def test_a_pipe_in_a_files_place_does_not_hang(name, tmp_path, capsys):
    mg.Trainer(networks(), mg.Gaussian(), tmp_path, batch=8, progress=False).fit(steps=5)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    assert minigan(["show", str(tmp_path)]) == 2
    assert "not a regular file" in capsys.readouterr().err


def test_a_header_of_almost_four_megabytes_is_written_and_read(tmp_path):
    note = "x" * (4 * MB - 1000)
    mg.save_checkpoint(tmp_path / "x.safetensors", {"a": np.ones(2)}, {"note": note})
    assert mg.load_checkpoint(tmp_path / "x.safetensors").metadata["note"] == note


def test_a_header_longer_than_any_that_is_written_is_refused(good, refused, monkeypatch):
    monkeypatch.setattr("minigan.training.checkpoint.MAX_HEADER", header_end(good) - 1)
    assert "its header is damaged" in refused(good)


def test_a_checkpoint_that_could_not_be_read_is_not_written(tmp_path):
    with pytest.raises(mg.ConfigError, match="header"):
        mg.save_checkpoint(tmp_path / "x.safetensors", {}, {"note": "x" * MAX_HEADER})
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_a_file_is_executed():
    """No pickle anywhere in the package, and NumPy's own loader only without it."""
    for path in Path(mg.__file__).parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import pickle" not in text, path
        assert "allow_pickle=True" not in text, path
        assert "np.load(" not in text or "allow_pickle=False" in text, path
