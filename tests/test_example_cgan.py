"""The conditional GAN experiment: its recipes and networks, and runs that are asked for a digit."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from harness import require_no_fresh_memory
from PIL import Image
from running import load_example, require_same_when_resumed, sizes

import minigan as mg
from minigan.cli.main import main as minigan
from minigan.data import Images, load_images
from minigan.data.images import to_floats
from minigan.evaluation import class_scores, forms, load_classifier
from minigan.evaluation.classifier import ClassifierRecipe
from minigan.evaluation.pictures import SMALL_TILE
from minigan.experiment import Options

example = load_example("cgan")
RECIPES = ("canonical", "dense", "stable")
QUICK = ClassifierRecipe((2,), features=4, steps=2, batch=50)


pytestmark = pytest.mark.usefixtures("image_runs")


def small(*flags: object) -> list[str]:
    """Flags of a run that takes a moment."""
    sizes = ("--channels", 2, "--hidden", 8, "--batch-size", 100, "--threads", 1)
    return ["--data", "digits", *map(str, sizes), *map(str, flags)]


def built(name: str, **changes: object) -> tuple[mg.ConditionalGAN, Images]:
    """The game of a recipe on MNIST, or on black images of its size."""
    recipe = dataclasses.replace(example.RECIPES[name], data="mnist", epochs=1, **changes)
    return example.build(recipe, Options(dry_run=True))


def multiplications(net: mg.Sequential) -> int:
    """Those of a sample."""
    shapes = net.shapes(1)[:-1]
    return sum(layer.multiplications(one) for layer, one in zip(net.layers, shapes, strict=True))


# -- recipes ----------------------------------------------------------------------------


def test_canonical_is_the_papers():
    """Mirza and Osindero 2014, section 4.1; docs/cgan.md names what differs."""
    gan, _ = built("canonical")
    G, D = gan.generator, gan.discriminator
    assert sizes(G) == [100, 200, 1200, 1200, 784]
    assert sizes(D) == [784, 240, 290, 240, 1]
    embeddings = [layer for layer in (*G.layers, *D.layers) if isinstance(layer, mg.Embedding)]
    assert [one.size for one in embeddings] == [1000, 50]
    dropouts = [layer for layer in (*G.layers, *D.layers) if isinstance(layer, mg.Dropout)]
    assert [layer.rate for layer in dropouts] == [0.5] * 4
    assert (gan.loss, gan.average) == (mg.NonSaturating(), None)
    assert example.RECIPES["canonical"].batch == 100
    for rule in gan.optimizers.values():
        assert isinstance(rule, mg.SGD)
        assert (rule.lr, rule.momentum) == (0.1, 0.5)
        assert rule.lr * rule.decay.final == pytest.approx(1e-6)


def test_the_networks_of_stable_and_of_dense():
    G, D = built("stable")[0].networks.values()
    assert sizes(G) == [62, 128, 7 * 7 * 32, 14 * 14 * 16, 784]
    assert sizes(D) == [784, 14 * 14 * 16, 7 * 7 * 32, 128, 1]
    G, D = built("dense")[0].networks.values()
    assert (sizes(G), sizes(D)) == ([62, 400, 400, 784], [784, 400, 400, 1])


@pytest.mark.parametrize("name", RECIPES)
def test_both_networks_are_given_the_class(name):
    gan, data = built(name)
    assert gan.classes == data.classes == 10
    assert gan.generator.condition_features == gan.discriminator.condition_features == 10
    projected = isinstance(gan.discriminator.layers[-1], mg.Projection)
    assert projected == (name != "canonical")


@pytest.mark.parametrize("name", RECIPES)
def test_the_rates_fall_over_the_whole_run(name):
    gan, data = built(name)
    steps = -(-data.size // example.RECIPES[name].batch)  # of an epoch, the last one shared
    for rule in gan.optimizers.values():
        assert rule.decay == mg.LinearDecay(steps, final=example.RECIPES[name].final_rate)


@pytest.mark.parametrize("name", ["stable", "dense"])
def test_a_condition_costs_little(name):
    """At most a tenth of the multiplications, next to the same networks without it."""
    gan, _ = built(name)
    for net in gan.networks.values():
        plain, extra = multiplications(net), 0
        for layer, one in zip(net.layers, net.shapes(1)[:-1], strict=True):
            if isinstance(layer, mg.Projection):
                extra += layer.multiplications(one) - layer.in_features
            elif isinstance(layer, mg.AppendCondition):
                extra += layer.condition_features * net.layers[1].out_features
        assert 0 < extra <= 0.1 * (plain - extra)


def test_the_labels_are_those_of_the_images():
    recipe = dataclasses.replace(example.RECIPES["stable"], data="digits", epochs=1)
    gan, data = example.build(recipe, Options())
    gan.bind(100)
    gan.read(data)
    images = load_images("digits")
    known = {X.tobytes(): label for X, label in zip(images.train, images.train_labels, strict=True)}
    rows = {to_floats(np.frombuffer(key, np.uint8)).tobytes(): y for key, y in known.items()}
    expected = [rows[X.tobytes()] for X in gan.real]
    np.testing.assert_array_equal(gan.labels, np.eye(10)[expected])


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_takes_no_fresh_memory(name):
    """In the size that the experiment has."""
    require_no_fresh_memory(built(name)[0], example.RECIPES[name].batch)


# -- runs -------------------------------------------------------------------------------

#: Those of canonical, with its wide networks, take ten to twenty seconds each.
SHORT = [
    pytest.param(name, marks=pytest.mark.slow) if name == "canonical" else name for name in RECIPES
]


@pytest.mark.parametrize("name", SHORT)
def test_from_nothing_to_a_digit_that_was_asked_for(name, tmp_path, capsys):
    assert example.main(small("--recipe", name, "--epochs", 2)) == 0
    run = tmp_path / "runs" / f"cgan-digits-{name}-seed0"
    assert {"samples.png", "training.gif"} <= {file.name for file in run.iterdir()}
    with Image.open(run / "samples.png") as grid:  # a class a row
        across, down = grid.size
    assert across == down >= 10 * SMALL_TILE
    assert minigan(["sample", str(run), "--label", "7", "--n", "4", "--out", "7.npy"]) == 0
    expected = mg.load_run(run).gan.sample(4, seed=0, labels=7)
    np.testing.assert_array_equal(np.load("7.npy").reshape(4, -1), expected)
    assert minigan(["sample", str(run), "--labels", "0123456789", "--out", "all.png"]) == 0
    assert Path("all.png").read_bytes() == (run / "samples.png").read_bytes()
    assert minigan(["interpolate", str(run), "--labels", "371"]) == 0
    capsys.readouterr()
    assert minigan(["sample", str(run), "--label", "10"]) == 2
    assert "10" in capsys.readouterr().err


@pytest.mark.parametrize("name", SHORT)
def test_stopped_and_resumed(name, capsys):
    """Byte-identical: weights, embeddings, running statistics, moments, streams, labels."""
    flags = small("--epochs", 2, "--seed", 3, "--recipe", name)
    require_same_when_resumed(example, flags, 20, capsys)


def test_a_run_is_scored(monkeypatch, capsys):
    """`minigan score` of a short run, with classifiers that learn for two steps."""
    assert example.main(small("--recipe", "dense", "--epochs", 1, "--out", "run")) == 0
    quick = load_classifier(load_images("digits"), "cache", QUICK, progress=False)
    monkeypatch.setattr(forms, "load_classifier", lambda images: quick)
    monkeypatch.setattr(class_scores, "GAN_TRAIN", QUICK)
    capsys.readouterr()
    assert minigan(["score", "run", "--n", "100", "--threads", "1"]) == 0
    assert "GAN-test" in capsys.readouterr().out
    scores = json.loads(Path("run", "scores.json").read_text())
    assert 0 <= scores["worst"] <= scores["gan_test"] <= 1


def test_the_digits_take_at_least_six_thousand_steps(capsys):
    assert example.main(["--data", "digits", "--dry-run"]) == 0
    assert "268 epochs = 6,018 steps" in capsys.readouterr().out


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        example.main(["--help"])
    text = capsys.readouterr().out
    for word in ("class", "projection", "--label 7", "--resume", "canonical", "stable", "dense"):
        assert word in text


@pytest.mark.slow
def test_digits_of_a_run_without_a_network_are_those_that_were_asked_for():
    assert example.main(["--data", "digits", "--out", "run"]) == 0
    assert minigan(["score", "run"]) == 0
    assert json.loads(Path("run", "scores.json").read_text())["gan_test"] >= 0.96
