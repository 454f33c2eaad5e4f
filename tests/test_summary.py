"""What a game consists of, in a few lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from harness import networks

import minigan as mg
from minigan.config import Part
from minigan.gan.summary import short, summary


def game(**settings: Any) -> mg.GAN:
    G = mg.Sequential(mg.Linear(2, 3), mg.ReLU(), mg.Linear(3, 1), name="g")
    D = mg.Sequential(mg.Linear(1, 2), mg.LeakyReLU(0.2), mg.Linear(2, 1), name="d")
    made = {name: make(G, D) for name, make in settings.items() if callable(make)}
    return mg.GAN(G, D, **{"noise": mg.Normal(dim=2)} | settings | made)


LOSS = "NonSaturating(real_target=1.0, fake_target=0.0, generator_target=1.0, probabilities=False)"


def test_a_game_of_every_part():
    assert summary(networks()) == [
        "G has 33 parameters: Linear(2, 8), ReLU, Dropout(0.2), Linear(8, 1)",
        "D has 25 parameters: Linear(1, 8), ELU, Dropout(0.2), Linear(8, 1)",
        "G learns by Adam: lr 0.001, betas (0.5, 0.9), falling to 0 % at step 10,000",
        "D learns by SGD: lr 0.01, momentum 0.5, falling to 0 % at step 10,000",
        f"{LOSS}; noise {mg.Normal(dim=2)}; samples from averaged G (0.9)",
    ]


def test_a_game_of_defaults():
    assert summary(game()) == [
        "G has 13 parameters: Linear(2, 3), ReLU, Linear(3, 1)",
        "D has 7 parameters: Linear(1, 2), LeakyReLU(0.2), Linear(2, 1)",
        "G learns by Adam: lr 0.001, betas (0.9, 0.999)",
        "D learns by Adam: lr 0.001, betas (0.9, 0.999)",
        f"{LOSS}; noise {mg.Normal(dim=2)}; samples from G as it is",
    ]


def test_the_updates_of_a_step():
    lines = summary(game(d_steps=5, fresh_real=True))
    assert lines[-2] == "a step is 5 updates of D, each on real samples of its own, and 1 of G"
    assert summary(game(g_steps=2))[-2] == "a step is 1 update of D, and 2 of G"


def test_a_penalty_and_a_constraint_are_told_and_thousands_are_parted():
    G = mg.Sequential(mg.Linear(2, 400), mg.Linear(400, 1), name="g")
    D = mg.Sequential(mg.Linear(1, 1), name="d")
    noise = mg.Uniform(-1, 1, dim=2)
    lines = summary(
        mg.GAN(G, D, noise, penalty=mg.Drift(0.5), constraint=mg.Clip(), average=0.9999)
    )
    assert lines[0] == "G has 1,601 parameters: Linear(2, 400), Linear(400, 1)"
    assert lines[-1] == (
        f"{LOSS}, Drift(epsilon=0.5), Clip(limit=0.01); noise {noise}; "
        "samples from averaged G (0.9999)"
    )


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda p: mg.SGD(p, 0.5), "SGD: lr 0.5"),
        (lambda p: mg.SGD(p, 1e-5, momentum=0.875), "SGD: lr 1e-05, momentum 0.875"),
        (lambda p: mg.SGD(p, 0.0), "SGD: lr 0"),
        (
            lambda p: mg.Adam(p, 2 / 3, (0.0, 0.99), weight_decay=1 / 3),
            "Adam: lr 0.6667, betas (0, 0.99), weight decay 0.3333",
        ),
        (lambda p: mg.RMSprop(p, 5e-5), "RMSprop: lr 5e-05, alpha 0.99"),
        (lambda p: mg.Adam(p, 0.25, eps=0.5), "Adam: lr 0.25, betas (0.9, 0.999)"),
        (
            lambda p: mg.SGD(p, 0.5, decay=mg.LinearDecay(end=1234, final=0.125)),
            "SGD: lr 0.5, falling to 12.5 % at step 1,234",
        ),
    ],
)
def test_how_a_network_learns(make, told):
    lines = summary(game(discriminator_optimizer=lambda G, D: make(D.parameters)))
    assert lines[2:4] == ["G learns by Adam: lr 0.001, betas (0.9, 0.999)", f"D learns by {told}"]
    lines = summary(game(generator_optimizer=lambda G, D: make(G.parameters)))
    assert lines[2] == f"G learns by {told}"


def test_a_rate_that_was_changed_is_that_of_now():
    gan = game()
    gan.generator_optimizer.lr = 0.25
    assert "G learns by Adam: lr 0.25, betas (0.9, 0.999)" in summary(gan)


@dataclass(frozen=True)
class Wavelet(mg.Layer):
    """A layer of one's own."""

    order: int
    widths: tuple[float, ...] = (1.0, 2.0)
    gain: float = 1.0
    even: bool = True


class Plain(Part):
    """A part of one's own that is no dataclass."""

    kind = "noise"

    def __init__(self, *values: Any) -> None:
        self.values = values

    def settings(self) -> dict[str, Any]:
        return {f"v{i}": value for i, value in enumerate(self.values)}


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (mg.ReLU(), "ReLU"),
        (mg.LeakyReLU(), "LeakyReLU"),
        (mg.LeakyReLU(0.123456), "LeakyReLU(0.1235)"),
        (mg.Linear(2, 3), "Linear(2, 3)"),
        (mg.Linear(2, 3, bias=False), "Linear(2, 3, bias=False)"),
        (mg.Linear(2, 3, init="kaiming_uniform"), "Linear(2, 3, init=kaiming_uniform)"),
        (mg.Pack(5), "Pack(5)"),
        (mg.Conv2d(1, 64), "Conv2d(1, 64)"),
        (mg.Conv2d(1, 64, (4, 4), size=28), "Conv2d(1, 64)"),
        (mg.Conv2d(64, 9, (3, 5), 2, 1, 14), "Conv2d(64, 9, (3, 5), size=(14, 14))"),
        (
            mg.ConvTranspose2d(2, 1, 3, output_padding=1),
            "ConvTranspose2d(2, 1, 3, output_padding=1)",
        ),
        (mg.Upsample2d(8, size=(7, 6)), "Upsample2d(8, size=(7, 6))"),
        (mg.BatchNorm(8), "BatchNorm(8)"),
        (mg.LayerNorm(8, eps=1e-3), "LayerNorm(8, eps=0.001)"),
        (mg.Uniform(), "Uniform"),
        (mg.Uniform(high=2.0), "Uniform(high=2)"),
        (mg.Uniform(-1.0, 0.5, 3), "Uniform(-1, 0.5, 3)"),
        (Wavelet(3), "Wavelet(3)"),
        (Wavelet(3, (0.5, 2.0)), "Wavelet(3, (0.5, 2))"),
        (Wavelet(3, even=False), "Wavelet(3, even=False)"),
        (Wavelet(3, gain=2.0, even=False), "Wavelet(3, gain=2, even=False)"),
        (Plain(), "Plain"),
        (Plain(0.5, 0, [1, 2.0]), "Plain(v0=0.5, v1=0, v2=(1, 2))"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_part_in_short(part, told):
    """Settings that are the defaults are left out, and those behind them have names."""
    assert short(part) == told
