"""The DCGAN experiment: its networks, and runs that are stopped, killed and resumed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
from harness import require_no_fresh_memory
from running import ROOT, differing, load_example, require_same_when_resumed, sizes

import minigan as mg
from minigan.cli.main import main as minigan

SCRIPT = ROOT / "examples" / "dcgan.py"

example = load_example("dcgan")


pytestmark = pytest.mark.usefixtures("image_runs")


def small(*flags: object) -> list[str]:
    """Flags of a run that takes a moment."""
    sizes = ("--channels", 2, "--hidden", 8, "--batch-size", 100)
    return ["--data", "digits", *map(str, sizes), "--threads", "1", *map(str, flags)]


def test_canonical_is_the_network_of_the_literature():
    gan = example.build(example.RECIPES["canonical"], (28, 28), 60_000)
    G, D = gan.generator, gan.discriminator
    assert sizes(G) == [62, 1024, 7 * 7 * 128, 14 * 14 * 64, 784]
    assert sizes(D) == [784, 14 * 14 * 64, 7 * 7 * 128, 1024, 1]
    assert [layer.channels for layer in G.layers if isinstance(layer, mg.BatchNorm)] == [
        *(1024, 6272, 64)
    ]
    assert [layer.channels for layer in D.layers if isinstance(layer, mg.BatchNorm)] == [128, 1024]
    weights = D.parameters.named()["0.weight"]
    assert abs(weights.std() - 0.02) < 0.002
    assert {layer.init for layer in (*G.layers, *D.layers) if hasattr(layer, "init")} == {"normal"}
    for adam in gan.optimizers.values():
        assert (adam.lr, adam.betas, adam.decay) == (2e-4, (0.5, 0.999), None)
    assert gan.average is None
    assert example.RECIPES["canonical"].batch == 64


def test_stable_costs_less_than_canonical():
    def multiplications(recipe: str) -> int:
        gan = example.build(example.RECIPES[recipe], (28, 28), 60_000)
        total = 0
        for net in gan.networks.values():
            rows = 1, net.in_features
            for layer in net.layers:
                total += layer.multiplications(rows)
                rows = layer.output_shape(rows)
        return total * example.RECIPES[recipe].batch

    assert multiplications("stable") < multiplications("canonical")


@pytest.mark.parametrize("recipe", ["canonical", "stable"])
def test_stopped_in_the_second_epoch_and_resumed(recipe, capsys):
    """Byte-identical: weights, running statistics, moments, streams, order of the data."""
    flags = small("--epochs", 3, "--seed", 3, "--recipe", recipe)
    require_same_when_resumed(example, flags, 20, capsys)


def test_killed_and_resumed(tmp_path):
    """SIGKILL (on Windows TerminateProcess) between two checkpoints; then the same bytes."""
    flags = small("--epochs", 12, "--seed", 1, "--recipe", "canonical")
    assert example.main([*flags, "--out", "whole"]) == 0
    words = [sys.executable, str(SCRIPT), *flags, "--out", "cut"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (tmp_path / "cut" / "checkpoint-previous.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    if hasattr(signal, "SIGKILL"):
        assert process.returncode in (-signal.SIGKILL, 0)  # 0: it was done already
    assert example.main(["--out", "cut", "--resume", "--threads", "1"]) == 0
    assert differing(tmp_path / "cut", tmp_path / "whole") == []


@pytest.mark.parametrize("recipe", ["canonical", "stable"])
def test_a_step_takes_no_fresh_memory(recipe):
    """In the size that the experiment has."""
    require_no_fresh_memory(example.build(example.RECIPES[recipe], (28, 28), 60_000), 64)


def test_the_digits_take_at_least_three_thousand_steps(capsys):
    assert example.main(["--data", "digits", "--dry-run"]) == 0
    assert "134 epochs = 3,009 steps" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_first_run_without_a_network_ends_in_digits(seed, tmp_path):
    """By default. "Real" is what training images score."""
    assert example.main(["--data", "digits", "--seed", str(seed), "--out", "run"]) == 0
    assert minigan(["score", "run"]) == 0
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert scores["frechet"] <= 2 * scores["frechet_floor"]
    assert scores["classes"] == 10
