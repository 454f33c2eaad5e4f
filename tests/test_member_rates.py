"""Learning rates for each member of a population."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan.backend.numpy.optimizers import OPTIMIZER_BLOCK
from minigan.config import rebuild, require_readable

RATES = [0.1, 0.0, 2.0, 1e-3]
DECAY = mg.LinearDecay(end=4, start=1, final=0.25)
RULES: list[Callable[..., mg.Optimizer]] = [
    lambda p, lr: mg.SGD(p, lr, 0.9, DECAY),
    lambda p, lr: mg.RMSprop(p, lr, alpha=0.9, decay=DECAY),
    lambda p, lr: mg.Adam(p, lr, (0.5, 0.9), decay=DECAY, weight_decay=0.3),
    lambda p, lr: mg.Adam(p, lr, (0.0, 0.9)),
]


def members(n_in: int = 2, n_out: int = 1, seeds: Any = (0, 1, 2, 3)) -> mg.Parameters:
    return mg.Sequential(mg.Linear(n_in, n_out), seed=seeds).parameters


@pytest.mark.parametrize("make", RULES)
@pytest.mark.parametrize(("width", "in_a_block"), [(3, 3), (150, 2), (300, 0)])
def test_each_member_takes_the_steps_of_a_single_network_with_its_rate(make, width, in_a_block):
    """To the bit: all members in a block, two (with one left over), or several blocks for each."""
    p = members(width, width, seeds=range(3))
    assert min(OPTIMIZER_BLOCK // p.size, 3) == in_a_block
    one, rng = make(p, RATES[:3]), np.random.default_rng(0)
    alone = [make(members(width, width, seeds=k), RATES[k]) for k in range(3)]
    for _ in range(6):
        p.grad = rng.normal(size=p.data.shape)
        one.step()
        for k, single in enumerate(alone):
            single.parameters.grad = p.grad[k]
            single.step()
            assert one.rate[k] == single.rate
    for k, single in enumerate(alone):
        np.testing.assert_array_equal(p.data[k], single.parameters.data)
        for name, buffer in one.buffers().items():
            np.testing.assert_array_equal(buffer[k], single.buffers()[name])
    assert one.step_count == 6


def test_the_rates_can_be_read_and_set():
    opt = mg.SGD(members(), np.array(RATES))
    assert opt.clock.shape == (4, 3)
    np.testing.assert_array_equal(opt.lr, RATES)
    np.testing.assert_array_equal(opt.rate, RATES)  # before the first step: the base rates
    opt.step()
    opt.lr *= 0.5
    np.testing.assert_array_equal(opt.lr, np.array(RATES) / 2)
    np.testing.assert_array_equal(opt.rate, RATES)  # it takes effect with the next step
    opt.lr = 3.0
    np.testing.assert_array_equal(opt.lr, [3.0] * 4)
    opt.step()
    np.testing.assert_array_equal(opt.rate, [3.0] * 4)
    assert opt.step_count == 2


@pytest.mark.parametrize(
    ("lr", "reason"),
    [
        ([0.1, 0.2, 0.3], r"Adam: lr has 3 rates; this population has 4 members"),
        ([], "Adam: lr has 0 rates"),
        ([0.1, 0.2, -0.3, 0.4], r"Adam: lr\[2\] must be a finite number and >= 0"),
        ([0.1, 0.2, float("nan"), 0.4], r"Adam: lr\[2\] must be a finite number"),
        (["0.1"] * 4, r"Adam: lr\[0\] must be a finite number"),
        ("0.1", "Adam: lr must be a finite number"),
    ],
)
def test_wrong_rates_are_refused(lr, reason):
    with pytest.raises(mg.ConfigError, match=reason):
        mg.Adam(members(), lr)
    opt = mg.Adam(members(), RATES)
    with pytest.raises(mg.ConfigError, match=reason):
        opt.lr = lr
    np.testing.assert_array_equal(opt.lr, RATES)


def test_a_single_network_and_a_shared_clock_have_one_rate():
    with pytest.raises(mg.ConfigError, match="one number, since this is a single network"):
        mg.Adam(members(seeds=0), [0.1])
    opt = mg.Adam(members(), 0.1)
    with pytest.raises(mg.ConfigError, match="one number, since it was made with one for all"):
        opt.lr = RATES
    assert opt.lr == 0.1


@pytest.mark.parametrize("make", RULES)
def test_rates_are_written_to_json_and_read_back(make):
    opt = make(members(), RATES)
    require_readable(opt, opt.parameters)
    config = json.loads(json.dumps(opt.to_config()))
    assert config["lr"] == RATES
    twin = rebuild("optimizer", config, members())
    np.testing.assert_array_equal(twin.clock, opt.clock)
    with pytest.raises(mg.ConfigError, match="4 rates; this population has 2 members"):
        rebuild("optimizer", config, members(seeds=(0, 1)))


def game(seeds: Any, g_lr: Any, d_lr: Any) -> mg.GAN:
    G = mg.Sequential(mg.Linear(1, 5), mg.Tanh(), mg.Linear(5, 1), seed=seeds, name="g")
    D = mg.Sequential(mg.Linear(1, 5), mg.LeakyReLU(), mg.Linear(5, 1), seed=seeds, name="d")
    rules = (
        mg.Adam(G.parameters, g_lr, (0.5, 0.9), decay=DECAY),
        mg.RMSprop(D.parameters, d_lr, decay=DECAY),
    )
    return mg.GAN(G, D, mg.Uniform(), mg.LeastSquares(), *rules, penalty=mg.R1(), average=0.9)


def train(gan: mg.GAN, steps: int) -> mg.GAN:
    for step in range(gan.step_count, gan.step_count + steps):
        real = np.random.default_rng(step).normal(size=(8, 1))
        gan.step(np.broadcast_to(real, (*gan.population, 8, 1)))
    return gan


def test_members_of_a_captured_game_are_the_single_games_with_their_rates():
    """To the bit, seeds and both rates apart."""
    d_rates = [0.01, 0.02, 0.03, 0.0]
    gan = game([5, 6, 5, 5], RATES, d_rates)
    gan.capture()
    samples = train(gan, 6).sample(9)
    for k, seed in enumerate([5, 6, 5, 5]):
        alone = train(game(seed, RATES[k], d_rates[k]), 6)
        np.testing.assert_array_equal(alone.sample(9), samples[k])
        for name, loss in alone.latest_losses().items():
            assert loss == gan.latest_losses()[name][k]


def test_a_game_with_rates_is_saved_and_restored():
    gan = train(game([0, 1], [0.1, 0.2], [0.01, 0.0]), 3)
    kept = {name: array.copy() for name, array in gan.state()[0].items()}
    assert kept["generator.adam/clock"].shape == (2, 3)
    twin = mg.GAN.from_config(json.loads(json.dumps(gan.to_config())))
    twin.load_state(kept, gan.state()[1])
    for one in (gan, twin):
        train(one, 2)
    for name, array in gan.state()[0].items():
        np.testing.assert_array_equal(array, twin.state()[0][name])


@pytest.mark.parametrize(
    "clock",
    [
        [[3, 0.1, 0.1], [4, 0.2, 0.2]],  # members that have taken different numbers of steps
        [[2.5, 0.1, 0.1], [2.5, 0.2, 0.2]],
        [[3, 0.1, 0.1], [3, -0.2, 0.2]],
        [3, 0.1, 0.1],
        [[3, 0.1, 0.1]],
    ],
)
def test_a_forged_clock_is_refused(clock):
    gan = train(game([0, 1], [0.1, 0.2], 0.01), 3)
    tensors, counters = gan.state()
    forged = {**tensors, "generator.adam/clock": np.array(clock, float)}
    with pytest.raises(mg.CheckpointError, match=r"generator\.adam/clock"):
        gan.load_state(forged, counters)
    gan.load_state(dict(tensors), counters)
