"""The InfoGAN experiment: its recipes and networks, and runs that find classes without labels."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from harness import require_no_fresh_memory
from running import load_example, require_same_when_resumed, sizes

import minigan as mg
from minigan.cli.main import main as minigan
from minigan.data import Images, load_images
from minigan.evaluation import forms, load_classifier
from minigan.evaluation.classifier import ClassifierRecipe
from minigan.experiment import Options

example = load_example("infogan")
RECIPES = ("canonical", "stable")
NETWORKS = ("conv", "dense")
QUICK = ClassifierRecipe((2,), features=4, steps=2, batch=50)


pytestmark = pytest.mark.usefixtures("image_runs")


def small(networks: str, *flags: object) -> list[str]:
    """Flags of a run that takes a moment."""
    sizes = ["--channels", 2, "--hidden", 8, "--batch-size", 100, "--threads", 1]
    kind = ["--dense"] if networks == "dense" else []
    return ["--data", "digits", *kind, *map(str, sizes), *map(str, flags)]


def built(name: str, data: str = "mnist", **changes: object) -> tuple[mg.InfoGAN, Images]:
    """The game of a recipe; without MNIST's files, on black images of its size."""
    recipe = dataclasses.replace(example.RECIPES[name], data=data, **{"epochs": 1} | changes)
    return example.build(recipe, Options(dry_run=True))


# -- recipes ----------------------------------------------------------------------------


def test_canonical_is_the_papers():
    """Chen et al. 2016, appendix C.1; docs/infogan.md names what differs."""
    gan, _ = built("canonical")
    G, D, Q = gan.networks.values()
    assert sizes(G) == [62, 1024, 7 * 7 * 128, 14 * 14 * 64, 784]
    assert sizes(D) == [784, 14 * 14 * 64, 7 * 7 * 128, 1024, 1]
    assert sizes(Q) == [1024, 128, 12]
    channels = [
        [layer.channels for layer in net.layers if isinstance(layer, mg.BatchNorm)]
        for net in (G, D, Q)
    ]
    assert channels == [[1024, 6272, 64], [128, 1024], [128]]
    slopes = {layer.slope for layer in (*D.layers, *Q.layers) if isinstance(layer, mg.LeakyReLU)}
    assert slopes == {0.1}
    assert (gan.categories, gan.continuous, gan.weight) == (10, 2, 1.0)
    assert (gan.loss, gan.average, gan.consistency) == (mg.NonSaturating(), None, None)
    rates = {role: rule.lr for role, rule in gan.optimizers.items()}
    assert rates == {"generator": 1e-3, "discriminator": 2e-4, "recogniser": 1e-3}
    for rule in gan.optimizers.values():
        assert isinstance(rule, mg.Adam)
        assert (rule.betas, rule.decay) == ((0.5, 0.999), None)
    recipe = example.RECIPES["canonical"]
    assert recipe.batch == 128
    assert 5_000 <= recipe.epochs * 60_000 / recipe.batch < 5_000 + 60_000 / recipe.batch


def test_the_networks_of_stable():
    G, D, Q = built("stable")[0].networks.values()
    assert sizes(G) == [62, 128, 7 * 7 * 32, 14 * 14 * 16, 784]
    assert sizes(D) == [784, 14 * 14 * 16, 7 * 7 * 32, 128, 1]
    assert sizes(Q) == [128, 128, 11]
    G, D, Q = built("stable", networks="dense")[0].networks.values()
    assert sizes(G) == [62, 128, 128, 784]
    assert sizes(D) == [784, 128, 128, 1]
    assert sizes(Q) == [128, 128, 11]


@pytest.mark.parametrize("networks", NETWORKS)
@pytest.mark.parametrize("name", RECIPES)
def test_q_reads_what_the_head_of_d_reads(name, networks):
    gan, _ = built(name, "digits", networks=networks)
    assert gan.trunk == len(gan.discriminator.layers) - 1
    assert gan.discriminator.layers[-1].in_features == gan.recogniser.in_features
    code = 10 + example.RECIPES[name].numbers
    assert gan.generator.condition_features == gan.recogniser.out_features == code
    assert gan.discriminator.condition_features == 0


@pytest.mark.parametrize("name", RECIPES)
def test_no_labels_are_used(name):
    gan, data = built(name, "digits")
    assert data.labels is None
    assert not gan.takes_labels


def test_the_rates_of_stable_fall_over_the_whole_run():
    gan, data = built("stable")
    steps = -(-data.size // example.RECIPES["stable"].batch)  # of an epoch, the last one shared
    for rule in gan.optimizers.values():
        assert rule.decay == mg.LinearDecay(steps, final=0.1)


@pytest.mark.parametrize(("data", "size", "shift"), [("mnist", 28, 2.0), ("digits", 8, 8 / 14)])
def test_images_are_shifted_by_a_fourteenth_of_their_size(data, size, shift):
    consistency = built("stable", data)[0].consistency
    assert consistency == mg.Consistency((size, size), weight=1.0, shift=shift)
    assert "consistency" in built("stable", data)[0].columns
    assert "consistency" not in built("canonical", data)[0].columns


#: Those of canonical, with its wide networks, take ten to twenty seconds each.
SHORT = [
    pytest.param(name, marks=pytest.mark.slow) if name == "canonical" else name for name in RECIPES
]


@pytest.mark.parametrize("name", SHORT)
def test_a_step_takes_no_fresh_memory(name):
    """In the size that the experiment has."""
    require_no_fresh_memory(built(name)[0], example.RECIPES[name].batch)


# -- runs -------------------------------------------------------------------------------


@pytest.mark.parametrize("networks", NETWORKS)
@pytest.mark.parametrize("name", RECIPES)
def test_from_nothing_to_a_walk_along_a_code(name, networks, tmp_path, capsys):
    assert example.main(small(networks, "--recipe", name, "--epochs", 2)) == 0
    run = tmp_path / "runs" / f"infogan-{networks}-digits-{name}-seed0"
    assert {"samples.png", "training.gif"} <= {file.name for file in run.iterdir()}
    row = mg.read_history(run / "history.csv")[-1]
    assert row["information"] <= math.log(10)
    assert np.isfinite(row["code_information"])
    assert minigan(["sample", str(run), "--labels", "0123456789", "--out", "all.png"]) == 0
    assert Path("all.png").read_bytes() == (run / "samples.png").read_bytes()
    numbers = [-1.0, 0.5][: example.RECIPES[name].numbers]
    wish = ["--label", "3", f"--codes={','.join(map(str, numbers))}", "--n", "4"]
    assert minigan(["sample", str(run), *wish, "--out", "3.npy"]) == 0
    expected = mg.load_run(run).gan.sample(4, seed=0, labels=3, codes=numbers)
    np.testing.assert_array_equal(np.load("3.npy").reshape(4, -1), expected)
    for code in range(len(numbers)):
        assert minigan(["interpolate", str(run), "--code", str(code), "--out", "walks.npy"]) == 0
        assert np.load("walks.npy").shape == (100, 8, 8)  # ten walks, a category each
    capsys.readouterr()
    assert minigan(["interpolate", str(run), "--code", str(len(numbers))]) == 2
    assert f"there is no continuous code {len(numbers)}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "networks"), [("canonical", "conv"), ("stable", "conv"), ("stable", "dense")]
)
def test_stopped_and_resumed(name, networks, capsys):
    """Byte-identical: also Q, its moments, and the streams of the codes and of the movements."""
    flags = small(networks, "--epochs", 2, "--seed", 3, "--recipe", name)
    require_same_when_resumed(example, flags, 20, capsys)


def test_a_run_keeps_its_networks(capsys):
    assert example.main(small("conv", "--epochs", 0, "--out", "conv")) == 0
    assert example.main(["--out", "conv", "--resume", "--dense"]) == 2
    assert "--dense" in capsys.readouterr().err
    assert example.main(small("dense", "--epochs", 0, "--out", "dense")) == 0
    for again in ([], ["--dense"]):
        assert example.main(["--out", "dense", "--resume", "--threads", "1", *again]) == 0


def test_the_latest_run_is_found_by_its_networks(capsys):
    for networks in NETWORKS:
        assert example.main(small(networks, "--epochs", 0)) == 0
    for networks in NETWORKS:
        assert example.main(small(networks, "--resume", "--dry-run")) == 0
        folder = Path("runs", f"infogan-{networks}-digits-stable-seed0")
        assert f"run folder {folder}\n" in capsys.readouterr().out


def test_a_run_is_scored(monkeypatch, capsys):
    """`minigan score` of a short run, by a classifier that has learned for two steps."""
    assert example.main(small("dense", "--epochs", 1, "--out", "run")) == 0
    quick = load_classifier(load_images("digits"), "cache", QUICK, progress=False)
    monkeypatch.setattr(forms, "load_classifier", lambda images: quick)
    capsys.readouterr()
    assert minigan(["score", "run", "--n", "100", "--threads", "1"]) == 0
    assert "Q's strongest category" in capsys.readouterr().out
    scores = json.loads(Path("run", "scores.json").read_text())
    assert 0 <= scores["category_accuracy"] <= 1
    assert len(scores["category_classes"]) == 10
    assert len(scores["slant"]) == len(scores["width"]) == example.RECIPES["stable"].numbers


def test_the_digits_take_at_least_three_thousand_steps(capsys):
    assert example.main(["--data", "digits", "--dry-run"]) == 0
    assert "134 epochs = 3,009 steps" in capsys.readouterr().out


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        example.main(["--help"])
    text = capsys.readouterr().out
    for word in ("without labels", "moved copy", "--dense", "--code 0", "--resume"):
        assert word in text
