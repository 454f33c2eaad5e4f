"""The recipes train to the numbers that they trained to before: 50 steps in float64.

A change of the engine's form must not change what it computes. Bits depend on NumPy's version and
on the machine's BLAS, so the values are compared to within 1e-9 of each array's size. They were
written by

    PYTHONPATH=. python tests/test_golden.py

and are written again only when a change of the numbers is meant, which docs/changelog.md then says.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigan as mg
from examples import gaussian1d, mnist
from minigan.data import Images, load_images

FILE = Path(__file__).with_name("golden.json")
STEPS = 50
CASES = [
    (experiment, recipe) for experiment in ("gaussian1d", "mnist") for recipe in gaussian1d.RECIPES
]


def build(experiment: str, recipe: str) -> tuple[mg.GAN, Any, int]:
    """The GAN of a recipe in float64, its data, and its batch."""
    if experiment == "gaussian1d":
        settings = gaussian1d.RECIPES[recipe]
        gan, data = gaussian1d.build(settings)
        batch = settings.batch
    else:
        images = load_images("digits")
        data = Images(images.train, dtype="float64")
        thirty = dataclasses.replace(mnist.RECIPES[recipe], epochs=30)
        gan = mnist.build(thirty, data.features, data.size)
        batch = mnist.RECIPES[recipe].batch
    config = gan.to_config()
    for role in ("generator", "discriminator"):
        config[role]["dtype"] = "float64"
    return mg.GAN.from_config(config), data, batch


def train(experiment: str, recipe: str, captured: bool) -> dict[str, Any]:
    """Every array and counter of the state after the steps, each array as its size and one sum."""
    gan, data, batch = build(experiment, recipe)
    gan.bind(batch)
    gan.capture(captured)
    for _ in range(STEPS):
        data.next_batch(out=gan.real)
        gan.step()
    tensors, counters = gan.state()
    found = {}
    for name, array in tensors.items():
        if name == "losses/totals":
            continue
        flat = np.ravel(gan.ops.to_host(array))
        found[name] = [float(np.linalg.norm(flat)), float(flat @ np.cos(np.arange(flat.size)))]
    return {
        "tensors": found,
        "counters": counters,
        "data": data.state(),
        "losses": gan.losses(),
    }


@pytest.mark.parametrize("captured", [False, True], ids=["run", "captured"])
@pytest.mark.parametrize(("experiment", "recipe"), CASES)
def test_a_recipe_trains_to_the_stored_values(experiment, recipe, captured):
    expected = json.loads(FILE.read_text(encoding="utf-8"))[f"{experiment} {recipe}"]
    found = train(experiment, recipe, captured)
    assert found["counters"] == expected["counters"]
    assert found["data"] == expected["data"]
    assert found["losses"] == pytest.approx(expected["losses"], rel=1e-9)
    assert found["tensors"].keys() == expected["tensors"].keys()
    for name, (norm, total) in expected["tensors"].items():
        assert found["tensors"][name] == pytest.approx([norm, total], abs=1e-9 * norm), name


if __name__ == "__main__":
    sys.path.insert(0, str(FILE.parent.parent))
    values = {f"{experiment} {recipe}": train(experiment, recipe, False)
              for experiment, recipe in CASES}  # fmt: skip
    FILE.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n", encoding="utf-8")
