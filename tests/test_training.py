"""Runs: the same bytes from the same seed, and from a resumed run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from harness import Poisoned
from safetensors import safe_open

import minigan as mg
from minigan.training.trainer import COLUMNS


def make(dropout: bool = True, seed: int = 0) -> mg.GAN:
    """A small GAN with every kind of state: dropout, average, decay, noise streams."""
    drop = [mg.Dropout(0.2)] if dropout else []
    G = mg.Sequential(mg.Linear(2, 8), mg.ReLU(), *drop, mg.Linear(8, 1), seed=seed, name="g")
    D = mg.Sequential(
        mg.Pack(2), mg.Linear(4, 8), mg.ELU(), *drop, mg.Linear(8, 1), seed=seed, name="d"
    )
    decay = mg.LinearDecay(end=200)
    return mg.GAN(
        G,
        D,
        mg.Normal(dim=2),
        None,
        mg.Adam(G.parameters, 1e-2, (0.5, 0.9), decay=decay),
        mg.SGD(D.parameters, 1e-2, momentum=0.5, decay=decay),
        average=0.9,
    )


def start(out: Path, **options) -> mg.Trainer:
    data = options.pop("data") if "data" in options else mg.Gaussian(seed=0)
    seed = options.pop("seed", 0)  # of the networks
    settings = {"batch": 6, "print_every": 20, "checkpoint_every": 10, "progress": False}
    return mg.Trainer(make(seed=seed), data, out, **settings | options)


FILES = ("checkpoint.safetensors", "history.csv", "recipe.json")


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def test_two_runs_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        start(tmp_path / name).fit(steps=100)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    other = mg.Trainer(make(seed=1), mg.Gaussian(), tmp_path / "c", batch=6, progress=False)
    other.fit(steps=100)
    name = "checkpoint.safetensors"
    assert (tmp_path / "c" / name).read_bytes() != (tmp_path / "a" / name).read_bytes()


class Interrupted(mg.Gaussian):
    """Data whose user presses Ctrl-C in the middle of a step."""

    def __init__(self, at_batch: int) -> None:
        super().__init__(seed=0)
        self.left = at_batch

    def next_batch(self, out):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        super().next_batch(out)


@pytest.mark.parametrize("stopped_after", [3, 10, 33, 40, 57, 99])
def test_resumed_run_gives_the_same_bytes(stopped_after, tmp_path):
    start(tmp_path / "whole").fit(steps=100)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "cut", data=Interrupted(stopped_after)).fit(steps=100)
    trainer = mg.Trainer.resume(tmp_path / "cut", progress=False)
    assert trainer.gan.step_count == stopped_after // 10 * 10  # the last checkpoint
    trainer.fit(steps=100)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_resuming_many_times_gives_the_same_bytes(tmp_path):
    start(tmp_path / "whole").fit(steps=100)
    start(tmp_path / "parts").fit(steps=20)
    for goal in (40, 60, 100):
        mg.Trainer.resume(tmp_path / "parts", progress=False).fit(steps=goal)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_resume_with_finite_data(tmp_path):
    X = np.random.default_rng(0).normal(size=(25, 1))
    start(tmp_path / "whole", data=mg.Samples(X, seed=1)).fit(epochs=12)
    start(tmp_path / "parts", data=mg.Samples(X, seed=1)).fit(steps=20)
    mg.Trainer.resume(tmp_path / "parts", data=mg.Samples(X, seed=1), progress=False).fit(epochs=12)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    with pytest.raises(mg.ConfigError, match="pass them"):
        mg.Trainer.resume(tmp_path / "whole")
    with pytest.raises(mg.ConfigError, match="other data: sha256 differ"):
        mg.Trainer.resume(tmp_path / "whole", data=mg.Samples(X + 1, seed=1))
    with pytest.raises(mg.ConfigError, match="dtype"):
        mg.Trainer.resume(tmp_path / "whole", data=mg.Samples(X, seed=1, dtype="float64"))
    with pytest.raises(mg.ConfigError, match="wrap an array"):
        mg.Trainer.resume(tmp_path / "whole", data=X)


def test_epochs_count_samples(tmp_path):
    trainer = start(tmp_path, data=mg.Samples(np.zeros((25, 1)), seed=1))
    trainer.fit(epochs=2)
    assert trainer.gan.step_count == 9  # 50 samples in batches of 6


def test_a_finished_run_is_left_alone(tmp_path):
    start(tmp_path).fit(steps=40)
    before = contents(tmp_path)
    mg.Trainer.resume(tmp_path, progress=False).fit(steps=40)
    assert contents(tmp_path) == before


def test_checkpoint_holds_the_whole_state_and_no_code(tmp_path):
    start(tmp_path).fit(steps=20)
    with safe_open(tmp_path / "checkpoint.safetensors", framework="numpy") as file:
        names = set(file.keys())
        metadata = json.loads(file.metadata()["minigan"])
    for expected in (
        "generator/0.weight",
        "discriminator/4.bias",
        "generator.adam.g_sum/0.weight",
        "generator.adam.g2_sum/0.weight",
        "discriminator.sgd.velocity/1.weight",
        "generator.average/0.weight",
        "generator.adam/clock",
    ):
        assert expected in names
    assert metadata["step"] == 20
    counters = metadata["counters"]
    assert counters["stream/generator/g/2.dropout"] > 0
    assert counters["stream/gan/discriminator_noise"] > 0
    assert metadata["data"]["position"] > 0


def test_history_is_a_readable_csv(tmp_path):
    start(tmp_path).fit(steps=50)
    rows = mg.read_history(tmp_path / "history.csv")
    assert [row["step"] for row in rows] == [20, 40, 50]
    assert tuple(rows[0]) == COLUMNS
    assert rows[0]["g_lr"] == pytest.approx(1e-2 * (1 - 19 / 200))


def test_a_torn_last_line_of_the_history_is_written_again(tmp_path):
    start(tmp_path / "whole").fit(steps=100)
    start(tmp_path / "torn").fit(steps=60)
    path = tmp_path / "torn" / "history.csv"
    path.write_bytes(path.read_bytes() + b"80,0.6931,0.")
    mg.Trainer.resume(tmp_path / "torn", progress=False).fit(steps=100)
    assert contents(tmp_path / "torn") == contents(tmp_path / "whole")
    for damaged in ("", "a,b\n1,2\n", "step,mean\n1,x\n", "step,mean\n1,2,3\n"):
        path.write_text(damaged)
        with pytest.raises(mg.CheckpointError, match="not a history"):
            mg.Trainer.resume(tmp_path / "torn")


def test_lines_are_printed_in_the_articles_spirit(tmp_path, capsys):
    start(tmp_path, progress=True).fit(steps=20)
    line = capsys.readouterr().out
    for part in ("step", "20", "D real", "D fake", "G", "mean", "std"):
        assert part in line


def test_nan_stops_the_run_names_the_step_and_spares_the_checkpoint(tmp_path):
    trainer = start(tmp_path, data=Poisoned(37))
    with np.errstate(all="ignore"), pytest.raises(mg.NonFiniteError, match=r"step 37.*d_real"):
        trainer.fit(steps=100)
    loaded = mg.load_checkpoint(tmp_path / "checkpoint.safetensors")
    assert loaded.metadata["step"] == 30
    assert all(np.isfinite(array).all() for array in loaded.tensors.values())


class TestRefusals:
    def test_settings(self, tmp_path):
        for options in ({"batch": 0}, {"print_every": -1}, {"checkpoint_every": 0}, {"batch": 2.5}):
            with pytest.raises(mg.ConfigError, match="integer >= 1"):
                start(tmp_path / "x", **options)
        assert not (tmp_path / "x").exists()
        trainer = start(tmp_path / "y")
        for goal in ({}, {"steps": 5, "epochs": 1}, {"steps": -1}, {"steps": -3}, {"epochs": 1}):
            with pytest.raises(mg.ConfigError):
                trainer.fit(**goal)

    def test_folder_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(mg.FileError, match="folder"):
            start(tmp_path / "file" / "run")

    def test_folder_that_is_taken(self, tmp_path):
        start(tmp_path)
        with pytest.raises(mg.ConfigError, match="already holds a run"):
            start(tmp_path)

    def test_folder_with_part_of_a_run(self, tmp_path):
        (tmp_path / "history.csv").write_text("mine")
        with pytest.raises(mg.ConfigError, match=r"history\.csv"):
            start(tmp_path)
        assert (tmp_path / "history.csv").read_text() == "mine"

    def test_recipe_that_is_not_json(self, tmp_path):
        with pytest.raises(mg.ConfigError, match="JSON"):
            start(tmp_path / "run", recipe={"x": object()})
        assert not (tmp_path / "run").exists()

    def test_things_that_are_no_gan_or_data(self, tmp_path):
        with pytest.raises(mg.ConfigError, match="wrap an array"):
            start(tmp_path / "x", data=np.zeros((5, 1)))
        with pytest.raises(mg.DTypeError, match="float64"):
            start(tmp_path / "x", data=mg.Samples(np.zeros((5, 1)), dtype="float64"))
        G = mg.Sequential(mg.Linear(1, 1), dtype="float64", name="g")
        D = mg.Sequential(mg.Linear(1, 1), dtype="float64", name="d")
        gan, data = mg.GAN(G, D, mg.Normal()), mg.Samples(np.zeros((5, 1)))
        with pytest.raises(mg.DTypeError, match="the data are float32, the networks float64"):
            mg.Trainer(gan, data, tmp_path / "x", batch=2)
        assert not (tmp_path / "x").exists()

    def test_data_that_do_not_fit(self, tmp_path):
        with pytest.raises(mg.ShapeError, match="2 features"):
            start(tmp_path, data=mg.Samples(np.zeros((5, 2))))

    def test_resume_from_nothing(self, tmp_path):
        with pytest.raises(mg.CheckpointError, match="no run"):
            mg.Trainer.resume(tmp_path / "missing")
        (tmp_path / "file").write_text("")
        with pytest.raises(mg.CheckpointError, match="not a folder"):
            mg.Trainer.resume(tmp_path / "file")

    def test_resume_from_damage(self, tmp_path):
        start(tmp_path).fit(steps=20)
        good = (tmp_path / "recipe.json").read_text()
        for bad in (
            "",
            "[]",
            "{}",
            good.replace('"batch"', '"botch"'),
            good.replace("ELU", "EVIL"),
        ):
            (tmp_path / "recipe.json").write_text(bad)
            with pytest.raises(mg.CheckpointError):
                mg.Trainer.resume(tmp_path)
        (tmp_path / "recipe.json").write_text(good.replace('"std": 1.25', '"std": 2.0'))
        with pytest.raises(mg.CheckpointError, match=r"data.std is 2.0, was 1.25"):
            mg.Trainer.resume(tmp_path)
        (tmp_path / "recipe.json").write_text(good.replace('"batch": 6', '"batch": 8'))
        with pytest.raises(mg.CheckpointError, match=r"trainer.batch is 8, was 6"):
            mg.Trainer.resume(tmp_path)
        with pytest.raises(mg.DeviceError, match="cuda"):
            mg.Trainer.resume(tmp_path, device="cuda")
        (tmp_path / "recipe.json").write_text(good)
        path = tmp_path / "checkpoint.safetensors"
        (tmp_path / "checkpoint-previous.safetensors").unlink()
        whole = path.read_bytes()
        for damaged in (b"", whole[:5], whole[:-7], b"\xff" * 100):
            path.write_bytes(damaged)
            with pytest.raises(mg.CheckpointError):
                mg.Trainer.resume(tmp_path)

    def test_checkpoints_of_other_makes(self, tmp_path, monkeypatch):
        from safetensors.numpy import save_file

        save_file({"x": np.zeros(3)}, tmp_path / "other.safetensors")
        with pytest.raises(mg.CheckpointError, match="minigan"):
            mg.load_checkpoint(tmp_path / "other.safetensors")
        with monkeypatch.context() as later:
            later.setattr("minigan.training.checkpoint.FORMAT_VERSION", 99)
            mg.save_checkpoint(tmp_path / "v.safetensors", {"x": np.zeros(3)}, {})
        with pytest.raises(mg.CheckpointError, match="format 99"):
            mg.load_checkpoint(tmp_path / "v.safetensors")
        with pytest.raises(mg.CheckpointError, match="no checkpoint"):
            mg.load_checkpoint(tmp_path / "none.safetensors")

    def test_a_population_has_no_run(self, tmp_path):
        G = mg.Sequential(mg.Linear(1, 1), seed=[0, 1])
        D = mg.Sequential(mg.Linear(1, 1), seed=[0, 1])
        with pytest.raises(mg.ConfigError, match="population"):
            mg.Trainer(mg.GAN(G, D, mg.Normal()), mg.Gaussian(), tmp_path, batch=2)


def test_save_and_load_any_tensors(tmp_path):
    tensors = {
        "a": np.arange(6.0).reshape(2, 3).T,
        "b": np.zeros((0, 2), "float32"),
        "c": np.array(3.0),
    }
    mg.save_checkpoint(tmp_path / "x.safetensors", tensors, {"note": "hello"})
    loaded = mg.load_checkpoint(tmp_path / "x.safetensors")
    for name, array in tensors.items():
        np.testing.assert_array_equal(loaded.tensors[name], array, strict=True)
    assert loaded.metadata == {
        "note": "hello",
        "format": 2,
        "versions": {"minigan": mg.__version__, "numpy": np.__version__},
    }
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]  # no temporary file left
    with pytest.raises(mg.DTypeError, match="object"):
        mg.save_checkpoint(tmp_path / "x.safetensors", {"a": np.array([None])}, {})
    for metadata in ({"a": object()}, {"a": float("nan")}):
        with pytest.raises(mg.ConfigError, match="JSON"):
            mg.save_checkpoint(tmp_path / "x.safetensors", tensors, metadata)


def test_a_gan_trained_by_hand_can_be_given_to_a_trainer(tmp_path):
    gan, data = make(), mg.Gaussian(seed=0)
    gan.bind(6)
    for _ in range(5):
        data.next_batch(out=gan.real)
        gan.step()
    mg.Trainer(gan, data, tmp_path, batch=6, progress=False)
    assert mg.Trainer.resume(tmp_path).gan.step_count == 5


def test_a_learning_rate_changed_by_hand_is_state_that_resumes(tmp_path):
    for name in ("whole", "parts"):
        trainer = start(tmp_path / name)
        trainer.fit(steps=20)
        trainer.gan.generator_optimizer.lr = 1e-4
        trainer.fit(steps=40)
    trainer.fit(steps=60)
    trainer = mg.Trainer.resume(tmp_path / "whole", progress=False)
    assert trainer.gan.generator_optimizer.lr == 1e-4
    trainer.fit(steps=60)
    assert contents(tmp_path / "whole") == contents(tmp_path / "parts")


def test_a_batch_changed_by_hand_does_not_last(tmp_path):
    trainer = start(tmp_path)
    trainer.gan.step(np.zeros((8, 1)))
    trainer.fit(steps=5)
    assert trainer.gan.batch == trainer.batch == 6


@pytest.mark.parametrize(
    ("size", "batch", "print_every", "save_every"),
    [(10, 5, 1, 2), (7, 3, 1, 2), (7, 3, 2, 3), (2, 9, 1, 4), (1, 1, 2, 5), (25, 6, 3, 1)],
)
def test_intervals_counted_in_epochs(size, batch, print_every, save_every, tmp_path, monkeypatch):
    """Epoch k ends with the step that serves sample k * size; several may share a step."""
    saved = []
    save = mg.Trainer.save

    def recording(self, scored=False):
        saved.append(self.gan.step_count)
        save(self, scored)

    monkeypatch.setattr(mg.Trainer, "save", recording)
    trainer = start(
        tmp_path,
        data=mg.Samples(np.zeros((size, 1)), seed=1),
        batch=batch * 2,  # packs of two
        unit="epoch",
        print_every=print_every,
        checkpoint_every=save_every,
    )
    seen = []
    trainer.fit(epochs=12, after_row=lambda t: seen.append((t.gan.step_count, t.epoch)))
    end = [-(-epoch * size // (batch * 2)) for epoch in range(13)]  # steps
    rows = [int(row["step"]) for row in mg.read_history(tmp_path / "history.csv")]
    assert rows == sorted(set(end[print_every::print_every]) | {end[12]})
    assert saved == [0, *sorted(set(end[save_every::save_every]) | {end[12]})]
    assert seen == [(step, step * batch * 2 // size) for step in rows]


def test_what_cannot_be_counted_in_epochs(tmp_path):
    with pytest.raises(mg.ConfigError, match="no epochs"):
        start(tmp_path / "a", unit="epoch")
    with pytest.raises(mg.ConfigError, match="'step' or 'epoch'"):
        start(tmp_path / "a", unit="minute")
    assert not (tmp_path / "a").exists()


def test_a_run_of_no_steps_has_a_checkpoint(tmp_path):
    start(tmp_path).fit(steps=0)
    assert mg.load_run(tmp_path).gan.step_count == 0
    before = contents(tmp_path)
    mg.Trainer.resume(tmp_path, progress=False).fit(steps=0)
    assert contents(tmp_path) == before


def test_a_run_is_opened_without_its_data(tmp_path):
    data = mg.Samples(np.random.default_rng(0).normal(size=(25, 1)), seed=1)
    trainer = start(tmp_path, data=data, recipe={"name": "mine"})
    trainer.fit(steps=30)
    opened = mg.load_run(tmp_path)
    assert opened.recipe == {"name": "mine"}
    assert opened.data["sha256"] == data.sha256
    np.testing.assert_array_equal(opened.gan.sample(9, seed=1), trainer.gan.sample(9, seed=1))
    for damage in (b"[]", b"{}", b'{"gan": 1, "data": 2, "trainer": 3}'):
        (tmp_path / "recipe.json").write_bytes(damage)
        with pytest.raises(mg.CheckpointError, match=r"recipe\.json does not describe a run"):
            mg.load_run(tmp_path)


def test_a_checkpoint_may_have_no_tensors_and_tensors_any_name(tmp_path):
    for tensors in ({}, {"__x": np.ones(2), "é/0": np.zeros(1)}):
        mg.save_checkpoint(tmp_path / "x.safetensors", tensors, {"note": "é"})
        loaded = mg.load_checkpoint(tmp_path / "x.safetensors")
        assert set(loaded.tensors) == set(tensors)
        assert loaded.metadata["note"] == "é"
