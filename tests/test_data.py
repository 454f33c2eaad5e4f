"""Where real samples come from."""

from __future__ import annotations

import numpy as np
import pytest

import minigan as mg
from minigan.config import rebuild


def test_gaussian_has_the_mean_and_spread_it_names():
    out = np.empty((200_000, 1), "float32")
    mg.Gaussian(4.0, 1.25, seed=0).next_batch(out)
    assert abs(out.mean() - 4.0) < 0.02
    assert abs(out.std() - 1.25) < 0.01


def test_gaussian_continues_from_a_position_and_from_a_config():
    data = mg.Gaussian(seed=3)
    out, again = np.empty((7, 1), "float32"), np.empty((7, 1), "float32")
    data.next_batch(out)
    state = data.state()
    data.next_batch(out)
    twin = rebuild("data", data.to_config(), "cpu")
    twin.load_state(state)
    twin.next_batch(again)
    np.testing.assert_array_equal(out, again)


def served(data: mg.Samples, batch: int, batches: int) -> np.ndarray:
    out = np.empty((batch, data.features), "float32")
    rows = []
    for _ in range(batches):
        data.next_batch(out)
        rows.append(out.copy())
    return np.concatenate(rows)


def test_every_sample_is_served_once_an_epoch_in_a_new_order():
    X = np.arange(10.0)[:, None]
    rows = served(mg.Samples(X, seed=1), 4, 5)[:, 0]  # two epochs of ten in five batches of four
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert list(rows[:10]) != list(rows[10:])
    assert list(rows[:10]) != list(range(10))


@pytest.mark.parametrize("batch", [1, 3, 10, 25])
def test_order_depends_on_seed_and_epoch_alone(batch):
    X = np.arange(10.0)[:, None]
    whole = served(mg.Samples(X, seed=1), 1, 100)[:, 0]
    np.testing.assert_array_equal(served(mg.Samples(X, seed=1), batch, 4)[:, 0], whole[: 4 * batch])
    assert (served(mg.Samples(X, seed=2), 10, 1)[:, 0] != whole[:10]).any()
    resumed = mg.Samples(X, seed=1)
    resumed.load_state({"position": 17})
    np.testing.assert_array_equal(served(resumed, batch, 2)[:, 0], whole[17 : 17 + 2 * batch])


def test_going_back_serves_the_same_again():
    """A position is the whole state, also of an object that has been elsewhere."""
    X = np.arange(10.0)[:, None]
    whole = served(mg.Samples(X, seed=1), 1, 60)[:, 0]
    data = mg.Samples(X, seed=1)
    for position in (35, 0, 9, 10, 29, 28, 11, 50, 5, 20, 19):
        data.load_state({"position": position})
        assert data.state() == {"position": position}
        np.testing.assert_array_equal(served(data, 3, 2)[:, 0], whole[position : position + 6])
        assert data.state() == {"position": position + 6}


def test_an_index_is_what_a_batch_would_hold():
    X = np.arange(10.0)[:, None]
    rows, index = mg.Samples(X, seed=1), mg.Samples(X, seed=1)
    for count in (4, 7, 1, 25):
        np.testing.assert_array_equal(served(rows, count, 1)[:, 0], X[index.next_index(count), 0])
        assert index.position == rows.position


@pytest.mark.parametrize("n", [0, 1, 3, 4, 9, 10, 99])
def test_reference_samples_are_spread_evenly_over_the_data(n):
    """Sorted data, say: the first ones alone would be of one kind."""
    X = np.arange(20.0).reshape(10, 2)
    samples = mg.Samples(X, seed=1)
    images = mg.Images(np.arange(10, dtype=np.uint8)[:, None, None], seed=1)
    taken = {0: [], 1: [0], 3: [0, 3, 6], 4: [0, 2, 5, 7], 9: [0, 1, 2, 3, 4, 5, 6, 7, 8]}
    rows = taken.get(n, [*range(10)])
    for data in (samples, images):
        data.load_state({"position": 3})
        reference = data.reference(n)
        assert reference.shape == (len(rows), data.features)
        assert reference.dtype == np.float32
        assert data.state() == {"position": 3}
    np.testing.assert_array_equal(samples.reference(n), X[rows])
    expected = (np.array(rows)[:, None] - 127.5) / 127.5
    np.testing.assert_allclose(images.reference(n), expected, rtol=1e-6)


def test_reference_samples_of_a_gaussian_are_always_the_same():
    data = mg.Gaussian(4.0, 0.5, seed=3)
    first = data.reference(1000)
    assert data.state() == {"position": 0}
    data.next_batch(np.empty((7, 1)))
    np.testing.assert_array_equal(data.reference(1000), first)
    assert first.shape == (1000, 1)
    assert first.dtype == np.float64
    z = np.empty((1000, 1))
    mg.backend.numpy_backend.fill_normal(mg.Stream(0, "data/reference"), 4.0, 0.5, out=z)
    np.testing.assert_array_equal(first, z)


def test_bad_data_are_refused():
    with pytest.raises(mg.DataError, match="NaN"):
        mg.Samples(np.array([[1.0, np.nan]]))
    with pytest.raises(mg.DataError):
        mg.Samples(np.array([["a"]]))
    for X in (np.zeros(3), np.zeros((0, 2)), np.zeros((2, 0))):
        with pytest.raises(mg.ShapeError):
            mg.Samples(X)
    with pytest.raises(mg.DataError, match="float32"):
        mg.Samples(np.array([[1e300]]))
    for options, error in (
        ({"dtype": "int8"}, mg.DTypeError),
        ({"dtype": "abc"}, mg.DTypeError),
        ({"seed": -1}, mg.ConfigError),
        ({"seed": [0, 1]}, mg.ConfigError),
    ):
        with pytest.raises(error):
            mg.Samples(np.zeros((3, 2)), **options)
    for out in (np.zeros((2, 2)), np.zeros((3, 2, 2), "float32")):
        with pytest.raises(mg.DTypeError, match="float32"):
            mg.Samples(np.zeros((3, 2))).next_batch(out)
    with pytest.raises(mg.ConfigError, match="position"):
        mg.Samples(np.zeros((3, 2))).load_state({"position": 1.5})
    with pytest.raises(mg.ConfigError, match="std"):
        mg.Gaussian(std=0.0)
    with pytest.raises(mg.ConfigError, match="rebuilt"):
        rebuild("data", mg.Samples(np.zeros((2, 2))).to_config(), "cpu")
    with pytest.raises(mg.ConfigError, match="definition"):
        rebuild("data", {"data": "Gaussian", "colour": 3}, "cpu")


def test_epochs_do_not_share_random_words():
    # Five words a permutation take two blocks of four: epoch 1 begins at block 2.
    data = mg.Samples(np.zeros((5, 1)), seed=7)
    for epoch in (0, 1, 2):
        words = mg.Stream(7, "data", position=2 * epoch).words(5)[0]
        np.testing.assert_array_equal(data.order(epoch), np.argsort(words))
    few = mg.Samples(np.zeros((3, 1)), seed=7)
    assert len({tuple(few.order(epoch)) for epoch in range(60)}) == 6


def test_numpy_numbers_are_numbers():
    import json

    json.dumps(mg.Gaussian(np.float32(4), np.float64(1), seed=np.int64(1)).to_config())
    json.dumps(mg.Samples(np.zeros((3, 1)), seed=np.int64(1)).to_config())
