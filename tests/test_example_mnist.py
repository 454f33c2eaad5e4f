"""The MNIST experiment as a stranger runs it: flags, files, refusals, and what comes out."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from harness import peak_memory
from running import ROOT, contents, interrupted_at, load_example, run_python

import minigan as mg
from minigan.cli.main import main as minigan
from minigan.data import download
from minigan.evaluation import pictures
from minigan.evaluation.pictures import load_png, save_png
from minigan.training.schedule import epoch_end

SCRIPT = ROOT / "examples" / "mnist.py"

example = load_example("mnist")
STEPS = 6000  # at least, if the number of epochs is "auto"


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """Run in an empty folder, without a data folder from outside."""
    monkeypatch.delenv("MINIGAN_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def films(request, monkeypatch):
    """Only tests that look at a film draw one, which takes longer than the training here."""
    if "film" not in request.node.name:
        monkeypatch.setattr(pictures, "save_film", lambda frames, path: path.write_bytes(b"GIF89a"))


def run(*flags: object, code: int = 0, **variables: str) -> subprocess.CompletedProcess:
    """The script as a subprocess."""
    return run_python(SCRIPT, *flags, code=code, **variables)


def small(*flags: object) -> list[str]:
    """Flags of a run that takes a moment."""
    return ["--data", "digits", "--hidden", "16", "--threads", "1", *map(str, flags)]


def test_from_nothing_to_pictures_without_a_network(tmp_path):
    done = run(*small("--epochs", 3, "--out", "run"))
    assert set(contents(tmp_path / "run")) == {
        "recipe.json",
        "history.csv",
        "checkpoint.safetensors",
        "checkpoint-previous.safetensors",
        "best.safetensors",
        "samples.png",
        *(f"samples/epoch-{epoch:04}.png" for epoch in range(4)),
    }
    assert "1,437 images of 8 x 8" in done.stdout
    assert "samples/s" in done.stdout
    for file in ("samples.png", "training.gif"):
        assert str(Path("run") / file) in done.stdout
    last = (tmp_path / "run" / "samples" / "epoch-0003.png").read_bytes()
    assert (tmp_path / "run" / "samples.png").read_bytes() == last


def test_the_film_shows_every_epoch(tmp_path):
    from PIL import Image

    assert example.main(small("--epochs", 3, "--out", "run")) == 0
    with Image.open(tmp_path / "run" / "training.gif") as film:
        assert film.n_frames >= 4
        assert film.info["loop"] == 0
    grids = [load_png(tmp_path / "run" / "samples" / f"epoch-{k:04}.png") for k in range(4)]
    assert all((a != b).any() for a, b in itertools.pairwise(grids))


def test_mnist_from_a_folder(mnist_folder, tmp_path, capsys):
    words = ["--data-dir", str(mnist_folder), "--hidden", "8", "--batch-size", "2000"]
    assert example.main([*words, "--epochs", "1", "--threads", "1", "--recipe", "article"]) == 0
    assert "60,000 images of 28 x 28" in capsys.readouterr().out
    folder = tmp_path / "runs" / "mnist-article-seed0"
    assert mg.load_run(folder).gan.step_count == 30


def test_mnist_from_the_environment(mnist_folder):
    done = run("--dry-run", MINIGAN_DATA_DIR=str(mnist_folder))
    assert "data mnist: 60,000 images" in done.stdout


def test_offline_auto_says_that_it_takes_the_digits(monkeypatch, tmp_path, capsys):
    mirrors = download.Published(
        "mnist", download.PUBLISHED["mnist"].archives, ("http://127.0.0.1:9/",)
    )
    monkeypatch.setitem(download.PUBLISHED, "mnist", mirrors)
    assert example.main(["--hidden", "8", "--epochs", "1", "--threads", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("no network and no MNIST here: using scikit-learn's")
    assert (tmp_path / "runs" / "digits-stable-seed0").is_dir()


def test_dry_run_writes_and_downloads_nothing(tmp_path, capsys):
    done = run(*small("--dry-run", "--out", "run"))
    assert "G has" in done.stdout
    assert not (tmp_path / "run").exists()
    assert example.main(["--dry-run", "--data", "fashion"]) == 0
    assert "from a download that is still to come" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("size", "batch", "epochs"),
    [(60_000, 100, 30), (1437, 100, STEPS), (1437, 10, STEPS), (100, 7, STEPS)],
)
def test_epochs_by_default_suit_the_number_of_images(size, batch, epochs):
    """30 epochs of the embedded digits are 432 steps, after which samples are grey smears."""
    recipe = dataclasses.replace(example.Recipe(), batch=batch)
    trained = example.images.epochs_of(recipe, size)
    if epochs == STEPS:
        assert epoch_end(trained - 1, size, batch) < STEPS <= epoch_end(trained, size, batch)
    else:
        assert trained == epochs
    assert example.images.epochs_of(dataclasses.replace(recipe, epochs=7), size) == 7


def test_the_number_of_epochs_is_said_and_kept(monkeypatch, tmp_path, capsys):
    assert example.main(["--data", "digits", "--dry-run"]) == 0
    out = capsys.readouterr().out
    said = re.search(r"(\d+) epochs = (\S+) steps", out)
    assert said is not None
    assert f"falling to 10 % at step {said[2]}" in out  # the rates, too, fall over the whole run
    assert int(said[2].replace(",", "")) == epoch_end(int(said[1]), 1437, 100) >= STEPS
    (field,) = (one for one in dataclasses.fields(example.Recipe) if one.name == "epochs")
    fewer = {**field.metadata, "type": example.images.Epochs(2, 50)}
    monkeypatch.setattr(field, "metadata", fewer)
    assert example.main(small("--out", "run", "--epochs", "auto")) == 0
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["recipe"]["epochs"] == 4
    monkeypatch.undo()  # another version's default does not change a run
    monkeypatch.chdir(tmp_path)
    assert example.main(["--out", "run", "--resume", "--threads", "1"]) == 0
    assert "nothing left to train" in capsys.readouterr().out


def test_a_long_run_of_a_small_set_has_rows_for_a_film(tmp_path):
    """Not 400 lines, grids and checkpoints: a row every third epoch, and one at the end."""
    assert example.main(small("--epochs", "200", "--batch-size", "1437", "--out", "run")) == 0
    rows = mg.read_history(tmp_path / "run" / "history.csv")
    assert [row["step"] for row in rows] == [*range(3, 200, 3), 200]
    assert len(list((tmp_path / "run" / "samples").iterdir())) == 1 + len(rows)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_first_run_without_a_network_ends_in_digits(seed, tmp_path):
    """By default; half a minute on two cores. "Real" is what training images score."""
    assert example.main(["--data", "digits", "--seed", str(seed), "--out", "run"]) == 0
    assert minigan(["score", "run"]) == 0
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert scores["frechet"] <= 2 * scores["frechet_floor"]
    assert scores["classes"] == 10


def test_help_teaches():
    text = run("--help").stdout
    for word in ("generator", "article", "stable", "--resume", "MINIGAN_DATA_DIR", "examples:"):
        assert word in text


@pytest.mark.parametrize("recipe", ["article", "stable"])
def test_stopped_at_a_random_step_and_resumed(recipe, tmp_path, capsys):
    """Byte-identical: weights, moments, streams of noise and dropout, order of the data."""
    flags = small("--epochs", 12, "--seed", 3, "--recipe", recipe)
    assert example.main([*flags, "--out", "whole"]) == 0
    stop = int(np.random.default_rng().integers(1, 172))  # a checkpoint at step 144
    with interrupted_at(stop):
        assert example.main([*flags, "--out", "cut"]) == 130
    assert "--out cut --resume" in capsys.readouterr().err
    assert example.main(["--out", "cut", "--resume", "--threads", "1"]) == 0
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole"), f"stopped at step {stop}"


def test_checkpoints_every_ten_epochs_and_at_the_end(tmp_path, monkeypatch):
    saved = []
    save = mg.Trainer.save

    def recording(self, scored=False):
        saved.append((self.epoch, scored))
        save(self, scored=scored)

    monkeypatch.setattr(mg.Trainer, "save", recording)
    assert example.main(small("--epochs", 22, "--out", "run")) == 0
    assert saved == [(0, False), (10, True), (20, True), (22, True)]
    steps = {
        name: mg.load_checkpoint(tmp_path / "run" / f"{name}.safetensors").metadata["step"]
        for name in ("checkpoint-previous", "checkpoint", "best")
    }
    assert steps["checkpoint-previous"] < steps["checkpoint"]
    assert steps["best"] in (epoch_end(epoch, 1437, 100) for epoch in (10, 20, 22))


def test_every_grid_is_of_the_same_noise(tmp_path):
    """Equal weights, equal grids: a run resumed with nothing to do draws the same one."""
    recipe = dataclasses.replace(example.RECIPES["stable"], hidden=4, batch=5, d_lr=0.0, g_lr=0.0)
    pixels = np.random.default_rng(0).integers(0, 256, (10, 8, 8), dtype=np.uint8)
    trainer = mg.Trainer(
        example.build(recipe, 64, 10), mg.Images(pixels), "run", batch=5, unit="epoch",
        print_every=1, progress=False,
    )  # fmt: skip
    grids = []
    trainer.every(1, "row", lambda t: grids.append(example.images.draw_grid(t)))
    trainer.fit(epochs=3)
    assert [file.name for file in grids] == [f"epoch-{k:04}.png" for k in (1, 2, 3)]
    assert len({file.read_bytes() for file in grids}) == 1  # rates of zero: nothing learned


def test_threads_are_limited(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "threadpoolctl.threadpool_limits",
        lambda limits, user_api: asked.append((limits, user_api)) or contextlib.nullcontext(),
    )
    assert (
        example.main(["--data", "digits", "--hidden", "8", "--epochs", "1", "--threads", "3"]) == 0
    )
    assert set(asked) == {(3, "blas")}
    asked.clear()
    words = ["--data", "digits", "--hidden", "8", "--epochs", "1", "--out", "narrow"]
    assert example.main(words) == 0  # products too small to share
    assert set(asked) == {(1, "blas")}


def test_a_finished_run_is_left_alone(tmp_path, capsys):
    assert example.main(small("--epochs", 2, "--out", "run")) == 0
    before = contents(tmp_path / "run")
    assert example.main(["--out", "run", "--resume"]) == 0
    assert contents(tmp_path / "run") == before
    assert "continuing after epoch 2" in capsys.readouterr().out


def test_an_article_run_can_be_extended_and_a_stable_one_cannot(tmp_path, capsys):
    assert example.main(small("--epochs", 2, "--recipe", "article", "--out", "a")) == 0
    assert example.main(["--out", "a", "--resume", "--epochs", "3", "--threads", "1"]) == 0
    assert example.main(small("--epochs", 3, "--recipe", "article", "--out", "b")) == 0
    a, b = contents(tmp_path / "a"), contents(tmp_path / "b")
    for name in ("checkpoint.safetensors", "samples.png"):
        assert a[name] == b[name]
    extended = json.loads(a["recipe.json"])
    assert extended.pop("changes") == {"recipe.epochs": [2, 3]}
    assert extended == json.loads(b["recipe.json"])
    assert example.main(["--out", "a", "--resume", "--threads", "1"]) == 0  # its goal is kept
    assert example.main(["--out", "a", "--resume", "--epochs", "1"]) == 2
    assert "come to epoch 3 already" in capsys.readouterr().err
    assert example.main(small("--epochs", 1, "--out", "c")) == 0
    assert example.main(["--out", "c", "--resume", "--epochs", "2"]) == 2
    assert "start a new run" in capsys.readouterr().err


def test_no_epochs_write_an_untrained_run(tmp_path):
    assert example.main(small("--epochs", 0, "--out", "run")) == 0
    run_ = mg.load_run(tmp_path / "run")
    assert run_.gan.step_count == 0
    assert (tmp_path / "run" / "samples.png").exists()
    assert mg.read_history(tmp_path / "run" / "history.csv") == []


def test_a_batch_larger_than_the_data(tmp_path):
    """A step may serve the data more than once; the epochs are still counted in samples."""
    assert example.main(small("--batch-size", 3000, "--epochs", 5, "--out", "run")) == 0
    assert mg.load_run(tmp_path / "run").gan.step_count == 3  # 5 * 1437 = 7185 samples
    rows = mg.read_history(tmp_path / "run" / "history.csv")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert example.main(["--out", "run", "--resume"]) == 0


def test_one_image_and_a_ragged_end(tmp_path):
    pixels = np.full((1, 4, 4), 200, np.uint8)
    for name, batch, steps in (("one", 1, 3), ("ten", 10, 1)):
        recipe = example.Recipe(**vars(example.RECIPES["stable"]) | {"batch": batch, "hidden": 4})
        gan = example.build(recipe, 16, 1)
        trainer = mg.Trainer(
            gan, mg.Images(pixels), tmp_path / name, batch=batch, unit="epoch", print_every=1,
            progress=False,
        )  # fmt: skip
        trainer.fit(epochs=3)
        assert gan.step_count == steps
    seven = mg.Images(np.arange(7 * 16, dtype=np.uint8).reshape(7, 4, 4))
    recipe = example.Recipe(**vars(example.RECIPES["article"]) | {"batch": 3, "hidden": 4})
    trainer = mg.Trainer(
        example.build(recipe, 16, 7), seven, tmp_path / "ragged", batch=3, unit="epoch",
        print_every=1, checkpoint_every=2, progress=False,
    )  # fmt: skip
    trainer.fit(epochs=3)  # epochs end within steps 3, 5 and 7
    rows = mg.read_history(tmp_path / "ragged" / "history.csv")
    assert [row["step"] for row in rows] == [3, 5, 7]
    assert seven.position == 21


class TestRefusals:
    """One sentence on stderr, no traceback, a non-zero exit, nothing written."""

    @pytest.mark.parametrize(
        ("flags", "told"),
        [
            (["--epochs", "-1"], "integer >= 0"),
            (["--batch-size", "0"], "integer >= 1"),
            (["--hidden", "x"], "integer >= 1"),
            (["--threads", "0"], "integer >= 1"),
            (["--threads", "1" + "0" * 20], "at most 1,000,000,000"),
            (["--epochs", "1" + "0" * 400], "at most 1,000,000,000"),
            (["--data", "digits", "--hidden", "1000000000"], "more memory than there is"),
            (["--data", "mnist", "--data-dir", "x" * 300], "x" * 300),
            (["--data", "digits", "--out", "x" * 300], "x" * 300),
            (["--data", "cifar"], "invalid choice"),
            (["--data", "digits", "--device", "cuda"], "cuda"),
            (["--data", "mnist", "--data-dir", "nowhere"], "no folder nowhere"),
            (["--data", "digits", "--out", ""], "empty"),
        ],
    )
    def test_flags(self, flags, told, tmp_path, capsys):
        try:
            code = example.main(flags)
        except SystemExit as end:  # argparse's way
            code = end.code
        assert code == 2
        assert told in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []

    def test_as_a_process(self, tmp_path):
        done = run("--data", "digits", "--device", "cuda", code=2)
        assert "cuda" in done.stderr
        assert "Traceback" not in done.stderr
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_holds_a_run(self, capsys):
        assert example.main(small("--epochs", 0, "--out", "run")) == 0
        assert example.main(small("--epochs", 0, "--out", "run")) == 2
        assert "already holds a run" in capsys.readouterr().err

    def test_a_folder_with_grids_of_a_run_that_is_gone(self, tmp_path, capsys):
        (tmp_path / "run" / "samples").mkdir(parents=True)
        assert example.main(small("--epochs", 0, "--out", "run")) == 2
        assert "already holds a part of a run (samples)" in capsys.readouterr().err

    def test_too_large_for_the_memory(self, tmp_path, capsys):
        assert example.main(["--data", "digits", "--hidden", str(10**8)]) == 2
        assert "more memory than there is" in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []

    def test_interrupted_before_anything_began(self, monkeypatch, capsys):
        def interrupted(*args, **settings):
            raise KeyboardInterrupt

        monkeypatch.setattr(example.images, "load_images", interrupted)
        assert example.main([]) == 130
        assert "nothing was begun" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("batch", 0),
            ("hidden", 10**9),
            ("epochs", "x"),
            ("epochs", 10**30),
            ("betas", 3),
            ("data", None),
        ],
    )
    def test_resume_with_a_recipe_that_was_changed(self, field, value, tmp_path, capsys):
        assert example.main(small("--epochs", 0, "--out", "run")) == 0
        file = tmp_path / "run" / "recipe.json"
        saved = json.loads(file.read_text())
        saved["recipe"][field] = value
        file.write_text(json.dumps(saved))
        assert example.main(["--out", "run", "--resume"]) == 2
        assert f"recipe.{field} is " in capsys.readouterr().err
        (tmp_path / "run" / "checkpoint.safetensors").unlink()  # nothing to compare with
        assert example.main(["--out", "run", "--resume"]) == 2
        assert "there is no checkpoint" in capsys.readouterr().err

    def test_resume_with_an_infinite_layer(self, tmp_path, capsys):
        assert example.main(small("--epochs", 0, "--out", "run")) == 0
        file = tmp_path / "run" / "recipe.json"
        saved = json.loads(file.read_text())
        saved["gan"]["generator"]["layers"][0]["out_features"] = float("inf")
        file.write_text(json.dumps(saved))
        assert example.main(["--out", "run", "--resume"]) == 2
        assert "run/recipe.json: Infinity is not a finite number" in capsys.readouterr().err

    def test_resume_what_is_not_there(self, capsys):
        assert example.main(["--resume", "--out", "nowhere"]) == 2
        assert "holds no run" in capsys.readouterr().err

    def test_resume_with_another_setting(self, capsys):
        assert example.main(small("--epochs", 0, "--out", "run")) == 0
        capsys.readouterr()
        for flag, value in (
            ("--recipe", "article"),
            ("--data", "mnist"),
            ("--batch-size", "7"),
            ("--hidden", "8"),
            ("--seed", "1"),
        ):
            assert example.main(["--out", "run", "--resume", flag, value]) == 2
            assert flag in capsys.readouterr().err

    def test_resume_on_a_folder_with_another_dataset(self, tmp_path, monkeypatch, capsys):
        """The run's images are known by their hash."""
        assert example.main(small("--epochs", 0, "--out", "run")) == 0
        digits = mg.load_images("digits")
        changed = digits.train.copy()
        changed[5, 5, 5] ^= 1
        other = mg.ImageSet("digits", changed, *list(vars(digits).values())[2:])
        monkeypatch.setattr(example.images, "load_images", lambda *args, **options: other)
        assert example.main(["--out", "run", "--resume"]) == 2
        assert "other data: sha256 differ" in capsys.readouterr().err

    def test_resume_a_run_of_the_other_experiment(self, tmp_path, capsys):
        G = mg.Sequential(mg.Linear(1, 4), mg.Linear(4, 1), name="g")
        D = mg.Sequential(mg.Linear(1, 4), mg.Linear(4, 1), name="d")
        gan = mg.GAN(G, D, mg.Uniform(0, 1))
        mg.Trainer(gan, mg.Gaussian(), "run", batch=4, progress=False)
        assert example.main(["--out", "run", "--resume"]) == 2
        assert "another experiment" in capsys.readouterr().err


def test_the_article_recipe_is_the_articles():
    recipe = example.RECIPES["article"]
    gan = example.build(recipe, 784, 60_000)
    layers = [layer.to_config()["layer"] for layer in gan.generator.layers]
    assert layers == ["Linear", "ReLU", "Dropout"] * 2 + ["Linear", "Tanh"]
    layers = [layer.to_config()["layer"] for layer in gan.discriminator.layers]
    assert layers == ["Linear", "ReLU", "Dropout"] * 2 + ["Linear", "Sigmoid"]
    assert gan.generator.layers[2].rate == gan.discriminator.layers[2].rate == 0.2
    for net in (gan.generator, gan.discriminator):
        assert {layer.init for layer in net.layers if isinstance(layer, mg.Linear)} == {"pytorch"}
    assert gan.noise == mg.Uniform(-1, 1, dim=100)
    assert gan.same_noise
    assert gan.average is None
    assert gan.loss == mg.NonSaturating(real_target=0.9, probabilities=True)
    for optimizer in (gan.generator_optimizer, gan.discriminator_optimizer):
        assert (optimizer.lr, optimizer.betas, optimizer.decay) == (2e-4, (0.9, 0.999), None)


def test_stable_takes_as_many_steps_of_the_same_size_as_article():
    stable, article = example.RECIPES["stable"], example.RECIPES["article"]
    for field in ("epochs", "batch", "hidden", "noise"):
        assert getattr(stable, field) == getattr(article, field)
    gan = example.build(stable, 784, 60_000)
    assert (gan.d_steps, gan.g_steps) == (1, 1)


def test_weight_decay_is_normalised_to_the_length_of_the_run():
    """lambda = lambda_norm / sqrt(steps): four times the steps, half the decay."""
    stable = dataclasses.replace(example.RECIPES["stable"], hidden=4)
    decays = {}
    for epochs in (0, 30, 120):
        gan = example.build(dataclasses.replace(stable, epochs=epochs), 4, 1000)
        assert gan.discriminator_optimizer.weight_decay == 0.0
        decays[epochs] = gan.generator_optimizer.weight_decay
    assert decays[30] == pytest.approx(stable.g_weight_decay / 300**0.5)
    assert decays[30] == pytest.approx(2 * decays[120])
    assert decays[0] == stable.g_weight_decay  # a run without a step counts as one of one


def test_dry_run_of_a_resume_checks_what_the_resume_would(tmp_path, capsys):
    assert example.main(small("--epochs", 2, "--out", "run")) == 0
    before = contents(tmp_path / "run")
    capsys.readouterr()
    assert example.main(["--out", "run", "--resume", "--dry-run"]) == 0
    assert "continuing after epoch 2" in capsys.readouterr().out
    for name in ("checkpoint.safetensors", "history.csv"):
        (tmp_path / "run" / name).write_bytes(b"rubbish")
        previous = tmp_path / "run" / "checkpoint-previous.safetensors"
        previous.unlink()
        assert example.main(["--out", "run", "--resume", "--dry-run"]) == 2
        assert f"{name} is not a" in capsys.readouterr().err
        (tmp_path / "run" / name).write_bytes(before[name])
        previous.write_bytes(before[previous.name])
    assert contents(tmp_path / "run") == before


def test_a_damaged_old_grid_costs_one_frame_of_the_film(tmp_path, capsys):
    assert example.main(small("--epochs", 3, "--recipe", "article", "--out", "run")) == 0
    (tmp_path / "run" / "samples" / "epoch-0001.png").write_bytes(b"rubbish")
    save_png(np.zeros((5, 5), np.uint8), tmp_path / "run" / "samples" / "epoch-0003.png")
    for stranger in ("epoch-0009.png", "epoch-mine.png"):  # of a later epoch, and of none
        (tmp_path / "run" / "samples" / stranger).write_bytes(b"rubbish")
    assert example.main(["--out", "run", "--resume", "--epochs", "4"]) == 0
    said = capsys.readouterr().err
    assert "left out of the film: cannot read the picture" in said
    assert "epoch-0003.png has another size than the picture before it" in said
    assert said.count("left out of the film") == 2


@pytest.mark.parametrize("recipe", ["article", "stable"])
def test_an_epoch_takes_no_fresh_memory(recipe):
    """64 KiB a step, and an epoch's order when it begins; the pixels stay bytes, once."""
    pixels = np.random.default_rng(0).integers(0, 256, (2000, 28, 28), dtype=np.uint8)
    data = mg.Images(pixels)
    gan = example.build(example.RECIPES[recipe], 784, 2000)
    gan.bind(100)

    def step() -> None:
        data.next_batch(out=gan.real)
        gan.step()

    for _ in range(20):  # the first epoch fills the pools
        step()
    begins, *others = np.reshape([peak_memory(step, times=1) for _ in range(60)], (3, 20)).min(0)
    assert max(others) <= 64 * 1024
    assert begins <= 64 * 1024 + 8 * 8 * len(pixels)
    assert np.shares_memory(data.X, pixels)
