"""The `minigan` command over run folders."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import safetensors.numpy
from running import run_python

import minigan as mg
from minigan.cli.interpolate import walk
from minigan.cli.main import main
from minigan.config import CLASSES
from minigan.data.images import to_pixels
from minigan.evaluation.pictures import grid, load_png
from minigan.experiment.experiment import _score_on
from minigan.nn.pytorch import pytorch_sequential


def networks(features: int) -> tuple[mg.Sequential, mg.Sequential]:
    G = mg.Sequential(
        *(mg.Linear(5, 12), mg.ReLU(), mg.Dropout(0.2), mg.Linear(12, 9), mg.ELU(0.7)),
        *(mg.Linear(9, features), mg.Tanh()),
        name="g",
    )
    D = mg.Sequential(
        *(mg.Linear(features, 12), mg.LeakyReLU(0.2), mg.Dropout(0.3)),
        *(mg.Linear(12, 1, bias=False), mg.Sigmoid()),
        name="d",
    )
    return G, D


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A short run on the embedded digits."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    G, D = networks(64)
    gan = mg.GAN(G, D, mg.Normal(dim=5), mg.NonSaturating(probabilities=True), average=0.9)
    data = mg.Images(mg.load_images("digits").train, dataset="digits")
    recipe = {"name": "short", "epochs": 2}
    mg.Trainer(
        gan, data, folder, batch=50, unit="epoch", print_every=1, recipe=recipe, progress=False
    ).fit(epochs=2)
    return folder


@pytest.fixture(scope="module")
def bell(tmp_path_factory) -> Path:
    """A short run on the bell curve."""
    folder = tmp_path_factory.mktemp("runs") / "bell"
    G, D = networks(1)
    gan = mg.GAN(G, D, mg.Uniform(dim=5), mg.NonSaturating(probabilities=True))
    mg.Trainer(gan, mg.Gaussian(), folder, batch=50, progress=False).fit(steps=20)
    return folder


def command(*words: object) -> int:
    return main([str(word) for word in words])


class TestSample:
    def test_picture(self, run, tmp_path, capsys):
        assert command("sample", run, "--n", 7, "--out", tmp_path / "grid.png") == 0
        gan = mg.load_run(run).gan
        expected = grid(to_pixels(gan.sample(7, seed=0), (8, 8)), 3)
        np.testing.assert_array_equal(load_png(tmp_path / "grid.png"), expected)
        assert "7 samples" in capsys.readouterr().out

    def test_array(self, run, tmp_path):
        assert command("sample", run, "--n", 300, "--seed", 4, "--out", tmp_path / "a.npy") == 0
        array = np.load(tmp_path / "a.npy", allow_pickle=False)
        assert (array.shape, array.dtype) == ((300, 8, 8), np.float32)
        expected = mg.load_run(run).gan.sample(300, seed=4)
        np.testing.assert_array_equal(array.reshape(300, 64), expected)
        assert command("sample", run, "--n", 300, "--seed", 5, "--out", tmp_path / "b.npy") == 0
        assert (np.load(tmp_path / "b.npy") != array).any()

    def test_numbers(self, bell, tmp_path, capsys):
        assert command("sample", bell, "--n", 9, "--out", tmp_path / "a.npy") == 0
        assert np.load(tmp_path / "a.npy").shape == (9, 1)
        assert "9 samples" in capsys.readouterr().out
        assert command("sample", bell, "--out", tmp_path / "a.png") == 0
        assert "100,000 samples" in capsys.readouterr().out
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


class TestInterpolate:
    def test_a_row_for_each_walk(self, run, tmp_path):
        for name in ("walk.npy", "walk.png"):
            flags = ("--rows", 2, "--steps", 3, "--seed", 1, "--out", tmp_path / name)
            assert command("interpolate", run, *flags) == 0
        images = to_pixels(np.load(tmp_path / "walk.npy").reshape(6, 64), (8, 8))
        expected = grid(images, 3, tile=72)
        np.testing.assert_array_equal(load_png(tmp_path / "walk.png"), expected)

    def test_ends_are_samples(self, run, tmp_path):
        flags = ("--rows", 2, "--steps", 5, "--out", tmp_path / "walk.npy")
        assert command("interpolate", run, *flags) == 0
        walks = np.load(tmp_path / "walk.npy").reshape(2, 5, 64)
        ends = mg.load_run(run).gan.sample(3, seed=0)
        np.testing.assert_allclose(walks[:, 0], ends[:2], atol=1e-5)
        np.testing.assert_allclose(walks[:, -1], ends[1:], atol=1e-5)
        steps = np.abs(np.diff(walks, axis=1)).max(axis=2)
        assert (steps > 0).all()

    def test_picture_and_film(self, run, tmp_path):
        from PIL import Image

        for name in ("walk.png", "walk.gif"):
            out = tmp_path / name
            assert command("interpolate", run, "--rows", 2, "--steps", 3, "--out", out) == 0
        with Image.open(tmp_path / "walk.gif") as film:  # forward and backward: 1 2 3 2, and again
            assert film.n_frames == 4
            frames = []
            for k in range(4):
                film.seek(k)
                frames.append(np.asarray(film.convert("L"))[40:])  # below the title
                assert film.info["duration"] <= 130  # the last one, too
        assert (frames[1] != frames[0]).any()
        np.testing.assert_array_equal(frames[1], frames[3])

    def test_uniform_noise_stays_inside_its_cube(self):
        ends = np.random.default_rng(0).uniform(-1, 1, (4, 6))
        Z = walk(mg.Uniform(-1, 1, dim=6), ends, 9)
        assert Z.shape == (27, 6)
        assert np.abs(Z).max() <= 1.0
        np.testing.assert_allclose(Z[4], (ends[0] + ends[1]) / 2)

    def test_normal_noise_keeps_its_length(self):
        ends = np.random.default_rng(0).normal(2.0, 1.0, (2, 300))
        Z = walk(mg.Normal(2.0, 1.0, dim=300), ends, 9)
        lengths = np.linalg.norm(Z - 2.0, axis=1)
        low, high = sorted(np.linalg.norm(ends - 2.0, axis=1))
        assert (lengths >= 0.99 * low).all()
        assert (lengths <= 1.01 * high).all()
        np.testing.assert_allclose(Z[0], ends[0])
        np.testing.assert_allclose(Z[-1], ends[1])
        same = walk(mg.Normal(dim=3), np.ones((2, 3)), 4)  # no angle between them
        np.testing.assert_allclose(same, 1.0)


class TestScore:
    @pytest.fixture(autouse=True)
    def quick_judge(self, monkeypatch):
        """The command trains the real judge, which takes too long here."""
        from minigan.evaluation import forms, load_classifier
        from minigan.evaluation.classifier import ClassifierRecipe

        quick = ClassifierRecipe(channels=(8, 16), features=16, steps=100, lr=4e-3)
        monkeypatch.setattr(
            forms,
            "load_classifier",
            lambda images: load_classifier(images, None, quick, progress=False),
        )

    def test_table_and_file(self, run, capsys):
        assert command("score", run, "--n", 400, "--threads", 1) == 0
        out = capsys.readouterr().out
        assert "400 samples against the test set of digits" in out
        kept = json.loads((run / "scores.json").read_text())
        assert kept["step"] == 58
        assert f"{kept['frechet']:.3f}" in out
        assert command("show", run) == 0
        assert f"{kept['frechet']:.4g}" in capsys.readouterr().out

    def test_json(self, run, capsys):
        assert command("score", run, "--n", 50, "--json") == 0
        scores = json.loads(capsys.readouterr().out)
        assert scores["n"] == 50
        assert len(scores["histogram"]) == 10
        assert scores["frechet"] > scores["frechet_floor"]

    def test_the_same_every_time(self, run):
        files = []
        for _ in range(2):
            assert command("score", run, "--n", 100, "--threads", 1) == 0
            files.append((run / "scores.json").read_bytes())
        assert files[0] == files[1]

    def test_seed_and_threads_are_used(self, run, monkeypatch, capsys):
        from minigan.cli import score

        results = []
        for seed in (0, 1):
            assert command("score", run, "--n", 100, "--seed", seed, "--json") == 0
            results.append(json.loads(capsys.readouterr().out)["frechet"])
        assert results[0] != results[1]
        asked = []
        monkeypatch.setattr(
            score, "limit_threads", lambda n: asked.append(n) or contextlib.nullcontext()
        )
        assert command("score", run, "--n", 10, "--threads", 3) == 0
        assert asked == [3]

    def test_images_that_only_their_owner_has(self, tmp_path, capsys):
        G, D = networks(64)
        gan = mg.GAN(G, D, mg.Normal(dim=5), mg.NonSaturating(probabilities=True))
        data = mg.Images(mg.load_images("digits").train[:9])
        mg.Trainer(gan, data, tmp_path, batch=3, progress=False).fit(steps=1)
        assert command("score", tmp_path) == 2
        assert "cannot be found by their name" in capsys.readouterr().err

    def test_the_bell_curve(self, bell, capsys):
        assert command("score", bell, "--n", 1000) == 0
        assert "KS" in capsys.readouterr().out
        assert json.loads((bell / "scores.json").read_text())["n"] == 1000

    def test_too_few(self, run, capsys):
        assert command("score", run, "--n", 1) == 2
        assert "at least 2" in capsys.readouterr().err

    def test_other_images_than_in_training(self, run, monkeypatch, capsys):
        digits = mg.load_images("digits")
        other = mg.ImageSet("digits", digits.train[::-1].copy(), *list(vars(digits).values())[2:6])
        monkeypatch.setattr("minigan.data.images.load_images", lambda *args: other)
        assert command("score", run) == 2
        assert "trained on other images" in capsys.readouterr().err


class TestShow:
    def test_tells_what_is_there(self, run, capsys):
        assert command("show", run) == 0
        out = capsys.readouterr().out
        for words in ('"short"', "Linear(64, 12)", "58 steps of 50 samples", "2.0 epochs",
                      "recipe.json", "losses"):  # fmt: skip
            assert words in out

    def test_a_folder_in_it_takes_one_line(self, run, tmp_path, capsys):
        shutil.copytree(run, tmp_path / "run")
        for name in ("samples/a.png", "samples/b/c.png", "empty/.hidden"):
            path = tmp_path / "run" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(750))
        assert command("show", tmp_path / "run") == 0
        files = capsys.readouterr().out.partition("\nfiles\n")[2].splitlines()
        assert any(line.split() == ["1,500", "bytes", "samples:", "2", "files"] for line in files)
        assert not any("png" in line or "empty" in line for line in files)

    def test_a_run_that_just_began(self, tmp_path, capsys):
        G, D = networks(1)
        gan = mg.GAN(G, D, mg.Uniform(dim=5), mg.NonSaturating(probabilities=True))
        mg.Trainer(gan, mg.Gaussian(), tmp_path, batch=50, progress=False)
        assert command("show", tmp_path) == 0
        out = capsys.readouterr().out
        for words in ("trained    0 steps", "losses     none yet", "scores     none yet"):
            assert words in out

    def test_first_and_last_rows_of_the_history(self, tmp_path, capsys):
        G, D = networks(1)
        gan = mg.GAN(G, D, mg.Uniform(dim=5), mg.NonSaturating(probabilities=True))
        trainer = mg.Trainer(gan, mg.Gaussian(), tmp_path, batch=50, print_every=1, progress=False)
        for goal, shown in ((6, "1 2 3 4 5 6"), (7, "1 2 3 ... 5 6 7"), (9, "1 2 3 ... 7 8 9")):
            trainer.fit(steps=goal)
            assert command("show", tmp_path) == 0
            table = capsys.readouterr().out.split("losses")[1].split("health")[0]
            steps = [line.split()[0] for line in table.splitlines()[1:] if line.strip()]
            assert " ".join(steps) == shown

    def test_who_is_training_it(self, tmp_path, capsys):
        G, D = networks(1)
        gan = mg.GAN(G, D, mg.Uniform(dim=5), mg.NonSaturating(probabilities=True))
        trainer = mg.Trainer(gan, mg.Gaussian(), tmp_path, batch=50, progress=False)
        trainer.every(3, "step", lambda trainer: command("show", trainer.out))
        trainer.fit(steps=5)
        assert f"now        in training, by process {os.getpid()} on " in capsys.readouterr().out
        assert command("show", tmp_path) == 0
        assert "in training" not in capsys.readouterr().out

    def test_samples_and_epochs_are_those_that_were_served(self, tmp_path, capsys):
        """Three updates of D a step, each with samples of its own: three batches."""
        G, D = networks(1)
        gan = mg.GAN(
            G, D, mg.Uniform(dim=5), mg.NonSaturating(probabilities=True),
            d_steps=3, fresh_real=True,
        )  # fmt: skip
        data = mg.Samples(np.linspace(0.0, 1.0, 20)[:, None])
        mg.Trainer(gan, data, tmp_path, batch=10, unit="epoch", progress=False).fit(epochs=3)
        assert command("show", tmp_path) == 0
        assert "trained    2 steps of 30 samples, 3.0 epochs of 20" in capsys.readouterr().out

    def test_every_loss_of_a_game_is_shown(self, tmp_path, capsys):
        G, D = networks(1)
        loss = mg.NonSaturating(probabilities=True)
        gan = mg.GAN(G, D, mg.Uniform(dim=5), loss, penalty=mg.Drift())
        trainer = mg.Trainer(gan, mg.Gaussian(), tmp_path, batch=50, print_every=2, progress=False)
        trainer.fit(steps=4)
        assert command("show", tmp_path) == 0
        out = capsys.readouterr().out
        table = out[out.index("losses") : out.index("health")].splitlines()
        words = [line.split() for line in table]
        assert words[0] == ["losses", "step", "D", "real", "D", "fake", "G", "drift"]
        rows = mg.read_history(tmp_path / "history.csv")
        for line, row in zip(words[1:], rows, strict=True):
            assert line[0] == str(int(row["step"]))
            assert line[1:] == [f"{row[name]:.3f}" for name in ("d_real", "d_fake", "g", "drift")]

    def test_a_game_that_cannot_be_built_here_still_shows_its_settings(self, tmp_path, capsys):
        @dataclasses.dataclass(frozen=True)
        class Mine(mg.Tanh):
            slope: float = 0.5

        with mock.patch.dict(CLASSES["layer"]):
            mg.register(Mine)
            G = mg.Sequential(mg.Linear(1, 2), Mine(0.7), mg.Linear(2, 1), name="g")
            D = mg.Sequential(mg.Linear(1, 1), name="d")
            gan = mg.GAN(G, D, mg.Uniform(dim=1))
            trainer = mg.Trainer(
                gan, mg.Gaussian(), tmp_path, batch=5, print_every=4, progress=False,
                recipe={"why": "a try"},
            )  # fmt: skip
            trainer.fit(steps=8)
        assert command("show", tmp_path) == 2
        out, err = capsys.readouterr()
        assert "there is no layer called 'Mine' here" in err
        for words in (
            '"a try"',
            "Mine(slope=0.7), Linear(",
            "Adam(",
            "Gaussian(mean=4.0",
            "D real",
        ):
            assert words in " ".join(out.split())

    def test_the_best_checkpoint_with_the_name_of_its_score(self, tmp_path, capsys):
        def distance_of_the_mean(gan):
            return 2000 / 3

        data = mg.Gaussian()
        for score, line in (
            (distance_of_the_mean, "best       step 1,200: distance of the mean 666.7 (lower"),
            (lambda gan: 3.0, "best       step 1,200: score 3 (lower is better)"),
            (_score_on(data), "best       step 1,200: Kolmogorov-Smirnov distance 0."),
        ):
            G, D = networks(1)
            gan = mg.GAN(G, D, mg.Uniform(dim=5), mg.NonSaturating(probabilities=True))
            trainer = mg.Trainer(
                gan,
                data,
                tmp_path / line[-9:],
                batch=5,
                print_every=1200,
                progress=False,
                score=score,
            )
            trainer.fit(steps=1200)
            assert command("show", trainer.out) == 0
            assert line in capsys.readouterr().out

    def test_everything_fits_80_columns(self, run, bell, capsys):
        for folder in (run, bell):
            assert command("show", folder) == 0
            for line in capsys.readouterr().out.splitlines()[1:]:  # the first names the folder
                assert len(line) <= 80 or str(folder) in line

    def test_a_strangers_history_does_not_command_the_terminal(self, run, tmp_path, capsys):
        copy = tmp_path / "copy"
        shutil.copytree(run, copy)
        good = (copy / "history.csv").read_text()
        (copy / "history.csv").write_text(good.replace("d_real", "\x1b[2Jd_real"))
        assert command("show", copy) == 0
        assert "?[2Jd real" in (out := capsys.readouterr().out)
        assert "\x1b" not in out
        (copy / "history.csv").write_text(good.replace("step", "\x1b[2J"))
        assert command("show", copy) == 2
        out, err = capsys.readouterr()
        assert f"{copy / 'history.csv'} is not a history" in err
        assert "?[2J" in err
        assert "\x1b" not in out + err

    def test_a_damaged_checkpoint_or_history(self, run, tmp_path, capsys):
        copy = tmp_path / "copy"
        shutil.copytree(run, copy)
        (copy / "history.csv").write_text("step\n1\n")
        assert command("show", copy) == 2
        out, err = capsys.readouterr()
        assert "is not a history" in err
        assert "files" in out  # what can be shown is shown
        (copy / "checkpoint.safetensors").write_bytes(b"rubbish")
        (copy / "checkpoint-previous.safetensors").write_bytes(b"rubbish")
        assert command("show", copy) == 2
        out, err = capsys.readouterr()
        assert "is not a checkpoint" in err
        assert "is not a history" in err
        assert len(err.splitlines()) == 1

    def test_damaged_scores_are_told(self, tmp_path, run, capsys):
        copy = tmp_path / "copy"
        shutil.copytree(run, copy)
        for junk in ("{", "[]", '{"step": null}', '{"step": Infinity}', "[" * 100_000):
            (copy / "scores.json").write_text(junk)
            assert command("show", copy) == 2
            assert "scores.json is damaged" in capsys.readouterr().err


class TestExport:
    def test_the_file(self, run, tmp_path, capsys):
        assert command("export", run, "--to", "pytorch", tmp_path / "g.safetensors") == 0
        tensors = safetensors.numpy.load_file(tmp_path / "g.safetensors")
        sampler = mg.load_run(run).gan.sampler
        mine = sampler.parameters.named()
        assert set(tensors) == set(mine)
        np.testing.assert_array_equal(tensors["0.weight"], mine["0.weight"].T)
        np.testing.assert_array_equal(tensors["0.bias"], mine["0.bias"][0])
        assert "torch.nn.Linear(5, 12)" in capsys.readouterr().out

    @pytest.mark.parametrize("network", ["sampler", "generator", "discriminator"])
    def test_pytorch_computes_the_same(self, network, run, tmp_path, capsys):
        torch = pytest.importorskip("torch")
        from safetensors.torch import load_file

        out = tmp_path / "net.safetensors"
        assert command("export", run, "--to", "pytorch", out, "--network", network) == 0
        source = capsys.readouterr().out.split("net = ")[1].splitlines()[0]
        theirs = eval(source, {"torch": torch})
        theirs.load_state_dict(load_file(out))
        theirs.eval()
        ours = getattr(mg.load_run(run).gan, network)
        X = np.random.default_rng(0).normal(size=(20, ours.in_features)).astype("float32")
        with torch.no_grad():
            Y = theirs(torch.from_numpy(X)).numpy()
        np.testing.assert_allclose(ours.predict(X), Y, atol=1e-6)

    def test_a_file_of_images_and_batch_norm(self, tmp_path, capsys):
        G = mg.Sequential(mg.Linear(1, 4), mg.BatchNorm(4), mg.Conv2d(1, 1, 2, 1, 0, 2), name="g")
        D = mg.Sequential(mg.Linear(1, 1), name="d")
        gan = mg.GAN(G, D, mg.Uniform())
        mg.Trainer(gan, mg.Gaussian(), tmp_path, batch=4, progress=False).fit(steps=1)
        assert command("export", tmp_path, "--to", "pytorch", tmp_path / "g.safetensors") == 0
        assert "torch.nn.Unflatten(1, (1, 2, 2)), torch.nn.Conv2d" in capsys.readouterr().out
        tensors = safetensors.numpy.load_file(tmp_path / "g.safetensors")
        assert {name: array.shape for name, array in tensors.items()} == {
            "0.weight": (4, 1),
            "0.bias": (4,),
            "1.weight": (4,),
            "1.bias": (4,),
            "1.running_mean": (4,),
            "1.running_var": (4,),
            "1.num_batches_tracked": (),
            "3.weight": (1, 1, 2, 2),
            "3.bias": (1,),
        }
        assert tensors["1.num_batches_tracked"].dtype == "int64"

    def test_a_conditional_generator_is_said_to_take_the_label_after_the_noise(
        self, tmp_path, capsys
    ):
        G = mg.Sequential(mg.AppendCondition(2, 3), mg.Linear(5, 4), name="g")
        D = mg.Sequential(mg.Embedding(4, 3, 1), mg.Linear(5, 1), name="d")
        gan = mg.ConditionalGAN(G, D, mg.Normal(dim=2))
        X, labels = np.random.default_rng(0).normal(size=(9, 4)), np.arange(9) % 3
        data = mg.Samples(X, labels=labels)
        mg.Trainer(gan, data, tmp_path, batch=4, progress=False).fit(steps=1)
        out = ["--to", "pytorch", tmp_path / "g.safetensors"]
        assert command("export", tmp_path, *out) == 0
        said = capsys.readouterr().out
        assert "    net = torch.nn.Sequential(torch.nn.Linear(5, 4))" in said
        assert "its rows are [x, c]: 2 numbers of x, then 3 of the condition c" in said
        assert command("export", tmp_path, *out, "--network", "discriminator") == 2
        assert "layer 0, Embedding, reads a condition" in capsys.readouterr().err

    def test_pytorch_computes_the_same_without_pytorch(self, run):
        """What nn.Sequential does with such a state, spelled out."""
        net = mg.load_run(run).gan.sampler
        _, state = pytorch_sequential(net)
        X = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
        Y = np.maximum(X @ state["0.weight"].T + state["0.bias"], 0.0)
        Y = Y @ state["3.weight"].T + state["3.bias"]
        Y = np.where(Y > 0, Y, 0.7 * np.expm1(Y))
        Y = np.tanh(Y @ state["5.weight"].T + state["5.bias"])
        np.testing.assert_allclose(net.predict(X), Y, atol=1e-5)

    def test_every_layer_as_pytorch_says_it(self):
        net = mg.Sequential(
            *(mg.Linear(2, 3), mg.LeakyReLU(0.2), mg.Dropout(0.3), mg.Linear(3, 3, bias=False)),
            *(mg.ELU(0.7), mg.Linear(3, 1), mg.ReLU(), mg.Tanh(), mg.Sigmoid()),
        )
        words = [
            *("Linear(2, 3)", "LeakyReLU(0.2)", "Dropout(0.3)", "Linear(3, 3, bias=False)"),
            *("ELU(0.7)", "Linear(3, 1)", "ReLU()", "Tanh()", "Sigmoid()"),
        ]
        expected = ", ".join(f"torch.nn.{word}" for word in words)
        assert pytorch_sequential(net)[0] == f"torch.nn.Sequential({expected})"

    def test_a_discriminator_of_packs_is_refused_with_a_hint(self, tmp_path, capsys):
        G = mg.Sequential(mg.Linear(1, 2), mg.Linear(2, 1), name="g")
        D = mg.Sequential(mg.Pack(2), mg.Linear(4, 1), name="d")
        trainer = mg.Trainer(
            mg.GAN(G, D, mg.Uniform()), mg.Gaussian(), tmp_path, batch=4, progress=False
        )
        trainer.fit(steps=1)
        out = ["--to", "pytorch", tmp_path / "x.safetensors"]
        assert command("export", tmp_path, *out, "--network", "discriminator") == 2
        assert "--network sampler is the generator" in capsys.readouterr().err
        assert command("export", tmp_path, *out) == 0

    def test_a_float64_network_is_exported_as_one(self):
        """Else its numbers would be rounded to float32 when PyTorch loads them."""
        net = mg.Sequential(mg.Linear(2, 3), mg.Tanh(), dtype="float64")
        source, state = pytorch_sequential(net)
        assert source == "torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh()).double()"
        torch = pytest.importorskip("torch")
        theirs = eval(source, {"torch": torch})
        theirs.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
        X = np.random.default_rng(0).normal(size=(4, 2))
        with torch.no_grad():
            Y = theirs(torch.from_numpy(X)).numpy()
        np.testing.assert_allclose(net.predict(X), Y, rtol=1e-14)

    def test_what_pytorch_does_not_have(self):
        with pytest.raises(mg.ConfigError, match="Pack"):
            pytorch_sequential(mg.Sequential(mg.Pack(2), mg.Linear(4, 1)))

        class Steep(mg.Tanh):
            """It may compute something else than its parent."""

        with pytest.raises(mg.ConfigError, match="no layer like Steep"):
            pytorch_sequential(mg.Sequential(Steep(), in_features=1))


REFUSED = [
    (["sample", "RUN", "--out", "x.jpg"], "end in .png or .npy"),
    (["sample", "RUN", "--n", "0"], "integer >= 1"),
    (["sample", "RUN", "--n", "10001"], "at most 10,000"),
    (["sample", "nowhere"], "holds no run"),
    (["sample", "RUN", "--device", "cuda"], "cuda"),
    (["sample", "RUN", "--out", "no/such/x.png"], "cannot write"),
    (["interpolate", "RUN", "--out", "x.txt"], "end in .png, .gif or .npy"),
    (["interpolate", "RUN", "--rows", "200", "--steps", "100"], "more than 10,000"),
    (["interpolate", "RUN", "--rows", "101", "--out", "x.gif"], "at most 100 walks"),
    (["interpolate", "BELL", "--out", "x.gif"], "a film shows images, and these are numbers"),
    (["sample", "RUN", "--n", "1" + "0" * 30, "--out", "x.npy"], "at most 1,000,000,000"),
    (["score", "RUN", "--n", "1" + "0" * 30], "at most 1,000,000,000"),
    (["score", "RUN", "--threads", "1" + "0" * 30], "at most 1,000,000,000"),
    (["score", "nowhere"], "holds no run"),
    (["show", "nowhere"], "holds no run"),
    (["export", "RUN", "--to", "pytorch", "x.pt"], "end in .safetensors"),
    (["export", "RUN", "--to", "keras", "x.safetensors"], "invalid choice"),
    (["export", "nowhere", "--to", "pytorch", "x.safetensors"], "holds no run"),
    (["paint"], "invalid choice"),
]


@pytest.mark.parametrize(("words", "told"), REFUSED)
def test_refusals_are_one_sentence(words, told, run, bell, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [str({"RUN": run, "BELL": bell}.get(word, word)) for word in words]
    try:
        code = main(words)
    except SystemExit as end:  # argparse's way
        code = end.code
    assert code == 2
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


# -- where output goes ------------------------------------------------------------------


def ends(words: list[object]) -> int:
    """The exit code of a command."""
    try:
        return main([str(word) for word in words])
    except SystemExit as end:  # argparse's way
        return int(end.code)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


@pytest.mark.parametrize(
    "name",
    ["checkpoint.safetensors", "Checkpoint.safetensors", "best.safetensors", "link.safetensors"],
)
@pytest.mark.parametrize("whose", ["its own", "another run's"])
def test_a_command_does_not_write_over_a_runs_own_files(name, whose, run, bell, tmp_path, capsys):
    """Whether they are there or not: `best.safetensors` would be taken for the best checkpoint."""
    shutil.copytree(run, tmp_path / "run")
    shutil.copytree(bell, tmp_path / "bell")
    victim = tmp_path / ("run" if whose == "its own" else "bell")
    if name == "link.safetensors":
        if os.name == "nt":
            pytest.skip("Windows has no links of this kind")
        (victim / name).symlink_to("checkpoint-previous.safetensors")
    before = snapshot(victim)
    words = ["export", tmp_path / "run", "--to", "pytorch", victim / name]
    assert ends(words) == 2
    assert "belongs to a run: choose another file" in capsys.readouterr().err
    assert snapshot(victim) == before


def test_other_files_in_a_run_folder_can_be_written_again(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    words = ["export", tmp_path / "run", "--to", "pytorch"]
    for _ in range(2):
        assert ends([*words, tmp_path / "run" / "generator.safetensors"]) == 0
        assert ends([*words, tmp_path / "checkpoint.safetensors"]) == 0  # no run is here


@pytest.mark.skipif(os.name == "nt", reason="Windows has no links and pipes of this kind")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link", "second name"])
def test_what_a_command_writes_to(kind, run, tmp_path, monkeypatch, capsys):
    """A link is written through; a file that has a second name keeps its content there."""
    monkeypatch.chdir(tmp_path)
    out, other = tmp_path / "x.npy", tmp_path / "other.npy"
    if kind == "pipe":
        os.mkfifo(out)
    elif kind == "folder":
        out.mkdir()
    elif kind == "device":
        out.symlink_to("/dev/null")
    else:
        other.write_bytes(b"old")
        out.symlink_to("other.npy") if kind == "link" else os.link(other, out)
    before = out.lstat()
    code = ends(["sample", run, "--n", 4, "--out", out])
    said = capsys.readouterr()
    if kind in ("link", "second name"):
        assert code == 0
        assert said.out.endswith(f"{'other' if kind == 'link' else 'x'}.npy\n")
        assert out.is_symlink() == (kind == "link")
        assert len(np.load(out)) == 4
        assert (other.read_bytes() == b"old") == (kind == "second name")
    else:
        assert code == 2
        reason = "it is a folder" if kind == "folder" else "it is not a regular file"
        assert said.err.endswith(f"argument --out: cannot write {out}: {reason}\n")
        assert out.lstat() == before


@pytest.mark.parametrize("command_", ["sample", "score", "interpolate", "export"])
def test_a_damaged_checkpoint_is_one_sentence(command_, run, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "checkpoint.safetensors").write_bytes(b"\x08" + bytes(50))
    (copy / "checkpoint-previous.safetensors").unlink()
    more = ["--to", "pytorch", str(tmp_path / "x.safetensors")] if command_ == "export" else []
    assert main([command_, str(copy), *more]) == 2
    assert "is not a checkpoint" in capsys.readouterr().err


def test_import_may_stand_before_or_after_the_command(run, tmp_path, capsys):
    for name in ("one", "other"):
        (tmp_path / f"{name}.py").write_text(f"print('{name} imported')", encoding="utf-8")
    one, other = (["--import", str(tmp_path / f"{name}.py")] for name in ("one", "other"))
    for words, said in (
        ([*one, "show", str(run)], ["one imported"]),
        (["show", str(run), *one], ["one imported"]),
        ([*one, "show", *other, str(run)], ["one imported", "other imported"]),
    ):
        assert main(words) == 0
        assert capsys.readouterr().out.splitlines()[: len(said) + 1] == [*said, f"run        {run}"]


@pytest.mark.parametrize("words", [[], ["ninja"]])
def test_a_command_without_its_subcommand_prints_its_help(words, capsys):
    assert main(words) == 0
    bare = capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        main([*words, "--help"])
    assert end.value.code == 0
    assert bare == capsys.readouterr().out


@pytest.mark.parametrize("words", [["--help"], ["sample", "--help"]])
def test_help_by_the_other_door(words):
    assert "usage: minigan" in run_python("-m", "minigan", *words).stdout
