"""Copies: `copy.deepcopy` and `pickle` make them in one way, and a copy goes on as the original."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import test_additions
from conditional_games import conditional, info, labelled
from stand_in import emulator, install

import minigan as mg
from minigan.backend import get_backend
from minigan.backend.numpy import recording


def pickled(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


both_ways = pytest.mark.parametrize("duplicate", [copy.deepcopy, pickled])


def gan(**settings: Any) -> mg.GAN:
    device = settings.pop("device", "cpu")
    G = mg.Sequential(mg.Linear(2, 4), mg.ELU(), mg.Linear(4, 2), name="G", device=device)
    D = mg.Sequential(
        *(mg.Linear(2, 8), mg.LeakyReLU(), mg.Dropout(0.3), mg.Linear(8, 1)),
        name="D",
        device=device,
    )
    return mg.GAN(G, D, mg.Normal(dim=2), average=0.9, **settings)


def train(game: mg.GAN, steps: int) -> None:
    for k in range(steps):
        game.step(np.random.default_rng(k).normal(size=(6, 2)))


def same_state(one: mg.GAN, other: mg.GAN) -> bool:
    (mine, my_counters), (theirs, their_counters) = one.state(), other.state()
    host = one.ops.to_host
    return my_counters == their_counters and all(
        np.array_equal(host(mine[name]), host(theirs[name])) for name in mine
    )


@both_ways
@pytest.mark.parametrize("seed", [3, [0, 1]])
def test_the_views_of_a_copy_lie_in_its_own_buffer(duplicate, seed):
    net = mg.Sequential(mg.Linear(3, 4), mg.Tanh(), mg.Linear(4, 2), seed=seed, dtype="float64")
    X = np.ones((*net.population, 5, 3))
    Y = net.forward(X).copy()
    net.predict(X)
    net.backward(np.ones_like(Y))
    twin = duplicate(net)
    np.testing.assert_array_equal(twin.parameters.data, net.parameters.data)
    np.testing.assert_array_equal(twin.parameters.grad, net.parameters.grad)
    np.testing.assert_array_equal(twin.forward(X), Y)
    assert twin.parameters.data.dtype == twin.dtype == "float64"
    assert twin.ops is net.ops
    assert not np.shares_memory(twin.parameters.data, net.parameters.data)
    for view in twin.parameters.named().values():
        assert np.shares_memory(view, twin.parameters.data)
        view[...] = 0.0
    assert not twin.parameters.data.any()
    assert net.parameters.data.any()
    with pytest.raises(mg.ConfigError, match="cannot be replaced"):
        twin.layers = ()


@both_ways
def test_a_copy_has_none_of_the_passes(duplicate):
    net = mg.Sequential(mg.Linear(3, 2))
    net.forward(np.ones((5, 3)))
    net.predict(np.ones((5, 3)))
    twin = duplicate(net)
    assert not twin._passes
    assert not twin._predictors
    with pytest.raises(mg.OrderError, match="before forward"):
        twin.backward(np.ones((5, 2)))
    small = len(pickle.dumps(net))
    net.bind(10_000)
    net.forward(np.ones((10_000, 3)))
    assert len(pickle.dumps(net)) == small


def test_shallow_copies_have_passes_of_their_own():
    net = mg.Sequential(mg.Linear(3, 2))
    one, other = copy.copy(net), copy.copy(net)
    one.forward(np.ones((5, 3)))
    with pytest.raises(mg.OrderError, match="before forward"):
        other.backward(np.ones((5, 2)))


@both_ways
def test_a_network_and_its_optimizer_stay_together(duplicate):
    net = mg.Sequential(mg.Linear(3, 2))
    optimizer = mg.Adam(net.parameters, lr=0.1)
    twin, its = duplicate((net, optimizer))
    assert its.parameters is twin.parameters
    for one, trained in ((optimizer, net), (its, twin)):
        trained.parameters.grad = np.ones(net.parameters.size)
        one.step()
        one.step()
    np.testing.assert_array_equal(net.parameters.data, twin.parameters.data)
    assert its.step_count == 2
    assert its.rate == optimizer.rate


@both_ways
@pytest.mark.parametrize("steps", [0, 3, 70])
def test_a_copy_of_a_game_goes_on_to_the_bit(duplicate, steps):
    """Also past the random numbers that the original had drawn ahead."""
    game = gan(penalty=mg.Drift(0.1))
    train(game, steps)
    twin = duplicate(game)
    assert same_state(game, twin)
    assert twin.batch == game.batch
    for one in (game, twin):
        train(one, 100)
    assert same_state(game, twin)
    assert game.losses() == twin.losses()


@both_ways
@pytest.mark.parametrize("case", test_additions.CASES)
def test_any_game_is_copied(duplicate, case):
    game = test_additions.CASES[case][0]()
    real = np.random.default_rng(0).normal(4.0, 1.25, (24, 1))
    game.step(real)
    if duplicate is pickled and "<locals>" in type(game.loss).__qualname__:
        pytest.skip("Python pickles no class that is defined in a function")
    twin = duplicate(game)
    for one in (game, twin):
        one.step(real)
        one.step()
    assert same_state(game, twin)


@both_ways
@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("make", [conditional, info])
def test_labels_and_codes_go_on_in_a_copy(duplicate, make, steps):
    """Also without new samples: the labels are copied with the real ones."""
    game, data = make(average=0.9), labelled()
    game.bind(6)
    for _ in range(steps):
        game.read(data)
        game.step()
    if not steps:
        game.read(data)
    twin = duplicate(game)
    assert not np.shares_memory(twin.real, game.real)
    for one in (game, twin):
        one.step()
        one.generator_step()
    assert same_state(game, twin)
    for name, array in game.inputs().items():
        np.testing.assert_array_equal(array, twin.inputs()[name])
    np.testing.assert_array_equal(game.sample(4), twin.sample(4))


def test_to_copy_a_game_does_not_touch_it():
    game = gan()
    train(game, 2)
    before = dict(vars(game))
    pickled(game)
    copy.deepcopy(game)
    assert vars(game).keys() == before.keys()
    assert all(vars(game)[name] is value for name, value in before.items())


@both_ways
def test_a_stream_is_copied_without_what_it_has_drawn_ahead(duplicate):
    ops, stream = get_backend("cpu"), mg.Stream([1, 2], "x")
    out = np.empty((2, 3, 4))
    for _ in range(5):
        ops.fill_normal(stream, 0.0, 1.0, out=out)
    assert stream.ahead is not None
    twin = duplicate(stream)
    assert (twin.position, twin.seeds, twin.name) == (stream.position, (1, 2), "x")
    assert twin.ahead is None
    its = np.empty_like(out)
    for _ in range(200):
        ops.fill_normal(stream, 0.0, 1.0, out=out)
        ops.fill_normal(twin, 0.0, 1.0, out=its)
        np.testing.assert_array_equal(out, its)


@both_ways
def test_data_are_copied_with_their_position(duplicate):
    data = mg.Samples(np.arange(10.0)[:, None], seed=3, labels=np.arange(10) % 3)
    out, its = np.empty((4, 1), "float32"), np.empty((4, 1), "float32")
    data.next_batch(out)
    twin = duplicate(data)
    for _ in range(5):
        data.next_batch(out)
        twin.next_batch(its)
        np.testing.assert_array_equal(out, its)
    assert twin.sha256 == data.sha256


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickled])
def test_a_pass_is_not_copied(duplicate):
    bound = mg.Sequential(mg.Linear(3, 2)).bind(5)
    with pytest.raises(mg.ConfigError, match="copy the network, and bind that"):
        duplicate(bound)


def test_a_module_that_is_no_backend_is_not_copied():
    net = mg.Sequential(mg.Linear(3, 2))
    net.module = recording  # type: ignore[attr-defined]
    with pytest.raises(mg.ConfigError, match=r"the module minigan\.backend\.numpy\.recording"):
        copy.deepcopy(net)


@pytest.mark.parametrize(
    "method",
    [name for name in ("fork", "spawn") if name in multiprocessing.get_all_start_methods()],
)
@pytest.mark.skipif(sys.platform == "darwin", reason="a fork on macOS may crash in its libraries")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork of a process with threads
def test_a_network_goes_to_a_pool_and_comes_back(method):
    net = mg.Sequential(mg.Linear(3, 4), mg.Dropout(0.5), mg.Linear(4, 2), dtype="float64")
    X = np.random.default_rng(0).normal(size=(5, 3))
    game = gan()
    train(game, 2)
    with multiprocessing.get_context(method).Pool(1) as pool:
        back, its = pool.apply(copy.deepcopy, ((net, game),))
        np.testing.assert_array_equal(pool.apply(net.predict, (X,)), net.predict(X))
    assert back.to_config() == net.to_config()
    assert back.ops is net.ops
    np.testing.assert_array_equal(back.forward(X), net.forward(X))  # with the same masks
    for one in (game, its):
        train(one, 2)
    assert same_state(game, its)


# -- on a device ----------------------------------------------------------------------------


@pytest.fixture
def cuda() -> Iterator[Any]:
    with install():
        yield get_backend("cuda")


@pytest.mark.skipif(not emulator.available(), reason=emulator.missing())
@both_ways
def test_a_copy_is_on_the_same_device(duplicate, cuda):
    game = gan(device="cuda")
    game.capture()
    train(game, 2)
    twin = duplicate(game)
    assert twin.ops is cuda
    assert isinstance(twin.discriminator.parameters.data, cuda.cupy.ndarray)
    for one in (game, twin):
        train(one, 3)
    assert same_state(game, twin)
