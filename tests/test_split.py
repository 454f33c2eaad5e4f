"""A network in two halves, which are views of it: the same memory, streams and bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigan as mg

F, K, B = 4, 3, 8  # features, condition features, rows
IMAGES = (
    *(mg.Conv2d(1, 2, 3, 2, 1, size=2), mg.BatchNorm(2), mg.LeakyReLU(0.2)),
    *(mg.Linear(2, 5), mg.BatchNorm(5), mg.Dropout(0.4), mg.Linear(5, 2)),
)
CONDITIONED = (
    *(mg.AppendCondition(F, K), mg.Linear(F + K, 5), mg.Tanh(), mg.Dropout(0.4)),
    *(mg.Embedding(5, K, 2), mg.Linear(7, 4), mg.ELU(), mg.Projection(4, K)),
)
PACKED = (mg.Linear(F, 3), mg.Tanh(), mg.Pack(2), mg.Linear(12, 5), mg.ELU(), mg.Linear(5, 1))
NETS = {"images": IMAGES, "condition": CONDITIONED, "packs": PACKED}
SEEDS = {"one": 1, "population": [1, 2]}


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def network(name: str, seed: Any = 1, dtype: str = "float64") -> mg.Sequential:
    net = mg.Sequential(*NETS[name], seed=seed, dtype=dtype)
    net.parameters.data = normal(*net.parameters.data.shape, seed=2)
    net.buffers.data = np.abs(normal(*net.buffers.data.shape, seed=3)) + 0.5
    return net


def step(passes: list[Any], X: Any, dY: Any, train: bool = True) -> tuple[Any, Any]:
    """Y and dX of passes, each of which takes what the one before it makes."""
    Y = X
    for one in passes:
        Y = one.forward(Y, train=train)
    Y, dX = Y.copy(), dY
    for one in reversed(passes):
        dX = one.backward(dX)
    return Y, dX.copy()


def condition_of(net: mg.Sequential, condition: Any) -> dict[str, Any]:
    return {"condition": condition} if net.condition_features else {}


@pytest.mark.parametrize("seed", SEEDS.values(), ids=SEEDS.keys())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETS)
def test_two_halves_are_the_whole_to_the_bit(name, dtype, seed):
    """Outputs, gradients, running statistics, and the masks that are drawn next."""
    for at in range(1, len(NETS[name])):
        whole, cut = network(name, seed, dtype), network(name, seed, dtype)
        C = normal(*whole.population, B, K, seed=4).astype(dtype)
        halves = cut.split(at)
        for half in halves:
            assert half.dtype == dtype
            assert half.population == whole.population
        rows = [B, cut.shapes(B)[at][0]]
        passes = [
            half.bind(n, **condition_of(half, C)) for half, n in zip(halves, rows, strict=True)
        ]
        bound = whole.bind(B, **condition_of(whole, C))
        for train in (True, False, True):
            X = normal(*whole.population, B, whole.in_features, seed=5 + train).astype(dtype)
            dY = normal(*bound.output_shape, seed=7).astype(dtype)
            right, made = step([bound], X, dY, train), step(passes, X, dY, train)
            for one, other in zip(right, made, strict=True):
                np.testing.assert_array_equal(one, other)
            np.testing.assert_array_equal(whole.parameters.grad, cut.parameters.grad)
            np.testing.assert_array_equal(whole.buffers.data, cut.buffers.data)


@pytest.mark.parametrize("seed", SEEDS.values(), ids=SEEDS.keys())
def test_halves_share_the_memory_of_the_whole(seed):
    net = network("images", seed)
    trunk, head = net.split(3)
    named = net.parameters.named()
    names = {"0.weight": "3.weight", "0.bias": "3.bias", "1.gamma": "4.gamma", "3.bias": "6.bias"}
    for mine, whole in names.items():
        view = head.parameters.named()[mine]
        np.testing.assert_array_equal(view, named[whole])
        view[...] = 7.0
        assert (named[whole] == 7.0).all()
    head.parameters.grad[...] = 2.0
    trunk.parameters.grad = np.full_like(trunk.parameters.grad, 3.0)
    assert {*net.parameters.named_grads()["0.weight"].ravel()} == {3.0}
    assert {*net.parameters.named_grads()["6.weight"].ravel()} == {2.0}
    assert trunk.parameters.size + head.parameters.size == net.parameters.size
    net.parameters.data = 0.5 * net.parameters.data
    np.testing.assert_array_equal(trunk.parameters.data, net.parameters.data[..., : 18 + 2 + 2 + 2])
    head.buffers.data = 5.0 * np.ones_like(head.buffers.data)
    assert (net.buffers.named()["4.running_mean"] == 5.0).all()
    assert (net.buffers.named()["1.running_mean"] != 5.0).all()
    assert head.streams[2] is net.streams[5]


def test_what_a_half_learns_the_whole_has_learned():
    """An optimizer of one half leaves the other alone."""
    net = network("condition")
    trunk, head = net.split(4)
    before = trunk.parameters.data.copy()
    optimizer = mg.Adam(head.parameters, 0.1)
    net.forward(normal(B, F), condition=normal(B, K))
    net.backward(np.ones((B, 1)))
    optimizer.step()
    np.testing.assert_array_equal(trunk.parameters.data, before)
    first = normal(net.parameters.size, seed=2)
    moved = np.abs(net.parameters.data - first)[before.size :]
    assert (moved > 0.05).all()


def test_a_half_knows_what_it_reads():
    net = mg.Sequential(mg.Linear(3, 4), mg.Tanh(), mg.Projection(4, K))
    trunk, head = net.split(2)
    assert (trunk.condition_features, head.condition_features) == (0, K)
    assert (trunk.in_features, trunk.out_features) == (3, 4)
    assert (head.in_features, head.out_features) == (4, 1)
    images, rest = network("images").split(3)
    assert images.image == (2, 2, 1)
    assert images.output_image == (1, 1, 2)
    assert rest.output_image is None


def test_a_half_in_another_dtype_is_a_copy():
    net = network("condition")
    trunk, _ = net.split(4)
    twin = trunk.astype("float32")
    before = net.parameters.data.copy()
    twin.parameters.data = 0.0 * twin.parameters.data
    np.testing.assert_array_equal(net.parameters.data, before)


def test_gradients_of_a_pass_with_its_own_are_added():
    """Of two passes of the halves, and once more; a pass without its own adds nothing."""
    net = network("packs")
    X, dY = normal(B, F), normal(B // 2, 1)
    net.forward(X)
    net.backward(dY)
    once = net.parameters.grad.copy()
    trunk, head = net.split(3)
    passes = [trunk.bind(B, own_gradients=True), head.bind(B // 2, own_gradients=True)]
    step(passes, X, dY)
    np.testing.assert_array_equal(net.parameters.grad, once)
    for _ in range(2):
        for one in passes:
            one.add_gradients()
    np.testing.assert_allclose(net.parameters.grad, 3.0 * once, rtol=1e-12)
    net.bind(B).add_gradients()
    np.testing.assert_allclose(net.parameters.grad, 3.0 * once, rtol=1e-12)


def test_where_a_network_cannot_be_split():
    net = network("packs")
    for at in (0, 6, -1, 2.5, True, None):
        with pytest.raises(mg.ConfigError, match="split: at must be an integer from 1 to 5, not"):
            net.split(at)
    with pytest.raises(mg.ConfigError, match="D has one layer, and cannot be split"):
        mg.Sequential(mg.Linear(2, 1), name="D").split(1)
