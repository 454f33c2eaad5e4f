"""The Wasserstein GAN experiment: its recipes and networks, and runs of both kinds of critic."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from harness import require_no_fresh_memory
from running import load_example, require_same_when_resumed, sizes

import minigan as mg
from minigan.data import Images
from minigan.experiment import Options

example = load_example("wgan")
RECIPES = ("clipping", "gradient_penalty", "stable")
NETWORKS = ("dense", "conv")


pytestmark = pytest.mark.usefixtures("image_runs")


def small(networks: str, *flags: object) -> list[str]:
    """Flags of a run that takes a moment."""
    sizes = ["--channels", 2, "--hidden", 8, "--batch-size", 50, "--threads", 1]
    kind = ["--conv"] if networks == "conv" else []
    return ["--data", "digits", *kind, *map(str, sizes), *map(str, flags)]


def built(name: str, networks: str = "dense", **changes: object) -> tuple[mg.GAN, Images]:
    """The game of a recipe on MNIST, or on black images of its size."""
    recipe = dataclasses.replace(
        example.RECIPES[name], data="mnist", networks=networks, epochs=1, **changes
    )
    return example.build(recipe, Options(dry_run=True))


def test_clipping_is_the_first_papers():
    """Arjovsky et al. 2017, algorithm 1."""
    gan, _ = built("clipping")
    assert example.RECIPES["clipping"].batch == 64
    assert (gan.loss, gan.penalty, gan.constraint) == (mg.Wasserstein(), None, mg.Clip(0.01))
    assert (gan.d_steps, gan.g_steps, gan.fresh_real, gan.average) == (5, 1, True, None)
    for rule in gan.optimizers.values():
        assert isinstance(rule, mg.RMSprop)
        assert (rule.lr, rule.decay) == (5e-5, None)


def test_gradient_penalty_is_the_second_papers():
    """Gulrajani et al. 2017, algorithm 1."""
    gan, _ = built("gradient_penalty")
    assert example.RECIPES["gradient_penalty"].batch == 64
    assert (gan.loss, gan.constraint) == (mg.Wasserstein(), None)
    assert gan.penalty == mg.GradientPenalty(10, one_sided=False)
    assert (gan.d_steps, gan.g_steps, gan.fresh_real, gan.average) == (5, 1, True, None)
    for rule in gan.optimizers.values():
        assert isinstance(rule, mg.Adam)
        assert (rule.lr, rule.betas, rule.decay) == (1e-4, (0.0, 0.9), None)


def test_stable_is_the_second_papers_game():
    """So its estimate means the same, and an update of its critic costs the same."""
    gan, paper = built("stable")[0], built("gradient_penalty")[0]
    assert (gan.loss, gan.constraint, gan.fresh_real) == (mg.Wasserstein(), None, True)
    assert isinstance(gan.penalty, mg.GradientPenalty)
    assert not gan.penalty.one_sided
    assert gan.penalty.weight > paper.penalty.weight  # nearer to a slope of 1
    assert gan.d_steps <= paper.d_steps


def test_the_rates_of_stable_fall_over_the_whole_run():
    """D's optimizer takes several steps for each of G's."""
    gan, data = built("stable")
    for rule, updates in ((gan.generator_optimizer, 1), (gan.discriminator_optimizer, gan.d_steps)):
        steps = -(-data.size // gan.samples_of(64))  # of an epoch, the last one shared
        assert rule.decay == mg.LinearDecay(steps * updates, final=0.1)


def test_the_networks():
    G, D = built("stable")[0].networks.values()
    assert (sizes(G), sizes(D)) == ([100, 256, 256, 784], [784, 256, 256, 1])
    G, D = built("stable", "conv")[0].networks.values()
    assert sizes(G) == [100, 256, 7 * 7 * 64, 14 * 14 * 32, 784]
    assert sizes(D) == [784, 14 * 14 * 32, 7 * 7 * 64, 256, 1]


@pytest.mark.parametrize("networks", NETWORKS)
def test_a_critic_scores_each_image_by_itself(networks):
    """A penalty of the slope at one image needs that (Gulrajani et al. 2017, section 4)."""
    D = built("stable", networks)[0].discriminator
    assert not D.mixes_rows
    assert not any(isinstance(layer, (mg.BatchNorm, mg.Sigmoid)) for layer in D.layers)


def test_every_image_is_seen_once_in_an_epoch(capsys):
    """A step takes a batch of real images for each update of the critic."""
    assert example.main(small("dense", "--epochs", 6, "--recipe", "clipping", "--out", "run")) == 0
    assert "6 epochs = 35 steps of 250 images" in capsys.readouterr().out  # 6 x 1437 = 34.5 x 250
    rows = mg.read_history("run/history.csv")
    assert [row["step"] for row in rows] == [6, 12, 18, 23, 29, 35]
    gan = mg.load_run("run").gan
    assert gan.discriminator_optimizer.step_count == 5 * 35
    assert gan.generator_optimizer.step_count == 35


def test_the_digits_get_at_least_12000_updates_of_the_critic(capsys):
    for recipe, steps in (("gradient_penalty", "2,403"), ("stable", "4,005")):
        assert example.main(["--data", "digits", "--recipe", recipe, "--dry-run"]) == 0
        assert f"535 epochs = {steps} steps" in capsys.readouterr().out


@pytest.mark.parametrize("networks", NETWORKS)
@pytest.mark.parametrize("name", RECIPES)
def test_from_nothing_to_pictures(name, networks, tmp_path, capsys):
    flags = small(networks, "--recipe", name, "--epochs", 2)
    assert example.main(flags) == 0
    run = tmp_path / "runs" / f"wgan-{networks}-digits-{name}-seed0"
    assert mg.load_run(run).recipe["networks"] == networks
    assert {"samples.png", "training.gif", "curves.png"} <= {file.name for file in run.iterdir()}
    shown = capsys.readouterr().out
    row = mg.read_history(run / "history.csv")[-1]
    for column in ("estimate", *(["penalty", "slope"] if name != "clipping" else [])):
        assert f"  {column} {row[column]:.3f}" in shown
        assert np.isfinite(row[column])
    weights = mg.load_run(run).gan.discriminator.parameters.data
    assert (np.abs(weights).max() == np.float32(0.01)) == (name == "clipping")


@pytest.mark.parametrize(
    ("name", "networks"), [*((n, "dense") for n in RECIPES), ("stable", "conv")]
)
def test_stopped_and_resumed(name, networks, capsys):
    """Byte-identical: weights, moments, streams (also the penalty's), order of the data."""
    flags = small(networks, "--epochs", 3, "--seed", 3, "--recipe", name)
    require_same_when_resumed(example, flags, 10, capsys)


def test_a_run_keeps_its_networks(capsys):
    assert example.main(small("dense", "--epochs", 0, "--out", "dense")) == 0
    assert example.main(["--out", "dense", "--resume", "--conv"]) == 2
    assert "--conv" in capsys.readouterr().err
    assert example.main(small("conv", "--epochs", 0, "--out", "conv")) == 0
    for again in ([], ["--conv"]):
        assert example.main(["--out", "conv", "--resume", "--threads", "1", *again]) == 0


def test_the_latest_run_is_found_by_its_networks(capsys):
    for networks in NETWORKS:
        assert example.main(small(networks, "--epochs", 0)) == 0
    for networks in NETWORKS:
        flags = small(networks, "--resume", "--dry-run")
        assert example.main(flags) == 0
        folder = Path("runs", f"wgan-{networks}-digits-stable-seed0")
        assert f"run folder {folder}\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_takes_no_fresh_memory(name):
    """In the size that the experiment has."""
    require_no_fresh_memory(built(name)[0], 64)


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        example.main(["--help"])
    text = capsys.readouterr().out
    for word in ("critic", "--conv", "An\nepoch is one pass over the real images", "--resume"):
        assert word in text
