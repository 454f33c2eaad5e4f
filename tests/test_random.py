"""Streams: the words are Philox's, names are independent, a position is the whole state."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from minigan.backend import Stream
from minigan.backend import numpy as numpy_backend
from minigan.backend.numpy import recording
from minigan.backend.random import plain_seeds, stream_key
from minigan.errors import ConfigError, ShapeError

M0, M1 = 0xD2E7470EE14C6C93, 0xCA5A826395121157  # Philox4x64's multipliers
W0, W1 = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B  # and its key increments
MASK = 2**64 - 1


def philox4x64(counter: int, key: tuple[int, int]) -> list[int]:
    """One block of Philox4x64-10, written from the paper with Python integers."""
    c = [(counter >> (64 * i)) & MASK for i in range(4)]
    k0, k1 = key
    for _ in range(10):
        p0, p1 = M0 * c[0], M1 * c[2]
        c = [(p1 >> 64) ^ c[1] ^ k0, p1 & MASK, (p0 >> 64) ^ c[3] ^ k1, p0 & MASK]
        k0, k1 = (k0 + W0) & MASK, (k1 + W1) & MASK
    return c


@given(position=st.integers(0, 2**130), seed=st.integers(0, 2**64), n=st.integers(1, 40))
def test_words_are_those_of_numpys_philox(position, seed, n):
    stream = Stream(seed, "a name", position)
    key = stream_key(seed, "a name")
    expected = np.random.Philox(key=key, counter=position).random_raw(n)
    np.testing.assert_array_equal(stream.words(n)[0], expected)
    assert stream.position == position + -(-n // 4)


def test_block_p_is_philox_at_counter_p_plus_one():
    key = tuple(int(k) for k in stream_key(7, "x"))
    for position in (0, 1, 12345, 2**64 - 1, 2**64):
        words = Stream(7, "x", position).words(4)[0]
        assert [int(w) for w in words] == philox4x64(position + 1, key)


def test_uniforms_are_the_high_24_bits_of_each_half_low_half_first():
    words = Stream(3, "u").words(8)[0]
    halves = np.stack([words & 0xFFFFFFFF, words >> 32], axis=1).reshape(-1)
    expected = (halves >> 8).astype(np.float64) / 2**24
    for dtype in ("float32", "float64"):
        out = np.empty((4, 4), dtype)
        numpy_backend.fill_uniform(Stream(3, "u"), 0.0, 1.0, out=out)
        np.testing.assert_array_equal(out.reshape(-1), expected.astype(dtype))


def test_normals_are_box_mullers_of_the_same_uniforms():
    u = np.empty((1, 16), "float64")
    numpy_backend.fill_uniform(Stream(3, "n"), 0.0, 1.0, out=u)
    u1, u2 = u[0, 0::2], u[0, 1::2]
    r = np.sqrt(-2 * np.log(1 - u1))
    z = np.stack([r * np.cos(2 * np.pi * u2), r * np.sin(2 * np.pi * u2)], axis=1).reshape(-1)
    for dtype, tolerance in (("float64", 1e-13), ("float32", 3e-6)):
        out = np.empty((1, 15), dtype)  # odd: the last pair's second number goes unused
        numpy_backend.fill_normal(Stream(3, "n"), 4.0, 1.25, out=out)
        np.testing.assert_allclose(out[0], 4.0 + 1.25 * z[:15], atol=tolerance)


def test_fills_have_the_distribution_they_promise():
    n = 200_000
    x = np.empty((n, 1), "float32")
    numpy_backend.fill_uniform(Stream(0, "u"), -1.0, 3.0, out=x)
    assert stats.ks_1samp(x[:, 0], stats.uniform(-1.0, 4.0).cdf).pvalue > 1e-3
    assert x.min() >= -1.0
    assert x.max() < 3.0
    numpy_backend.fill_normal(Stream(0, "n"), 4.0, 1.25, out=x)
    assert stats.ks_1samp(x[:, 0], stats.norm(4.0, 1.25).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(x[0::2, 0], x[1::2, 0])[0, 1]) < 0.01  # the two of a pair


def test_independent_names_and_seeds_differ():
    streams = [Stream(seed, name) for seed in (0, 1) for name in ("a", "b", "data", "weights")]
    words = np.stack([s.words(1000)[0] for s in streams])
    assert len({tuple(w) for w in words.tolist()}) == len(streams)
    bits = np.unpackbits(words.view(np.uint8), axis=1).astype(float)
    correlation = np.corrcoef(bits)
    np.fill_diagonal(correlation, 0.0)
    assert np.abs(correlation).max() < 5 / np.sqrt(bits.shape[1])


FILLS = {
    "uniform": lambda s, out: numpy_backend.fill_uniform(s, 0.0, 1.0, out=out),
    "normal": lambda s, out: numpy_backend.fill_normal(s, 0.0, 1.0, out=out),
    "dropout": lambda s, out: numpy_backend.fill_dropout_mask(s, 0.5, out=out),
}


@pytest.mark.parametrize("fill", FILLS)
@given(shapes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=2, max_size=5))
def test_a_position_saved_and_restored_continues_to_the_bit(fill, shapes):
    stream = Stream(5, "s")
    outs = []
    positions = []
    for shape in shapes:
        positions.append(stream.position)
        outs.append(np.empty(shape, "float32"))
        FILLS[fill](stream, outs[-1])
    for position, shape, out in zip(positions, shapes, outs, strict=True):
        again = np.empty(shape, "float32")
        FILLS[fill](Stream(5, "s", position), again)
        np.testing.assert_array_equal(again, out)
        stream.position = position  # and a live stream can jump back
        FILLS[fill](stream, again)
        np.testing.assert_array_equal(again, out)


@pytest.mark.parametrize("fill", FILLS)
def test_member_k_draws_what_a_single_stream_with_its_seed_draws(fill):
    seeds = [4, 0, 11]
    together = np.empty((3, 5, 3), "float32")
    population = Stream(seeds, "s")
    FILLS[fill](population, together)
    for k, seed in enumerate(seeds):
        alone = np.empty((5, 3), "float32")
        single = Stream(seed, "s")
        FILLS[fill](single, alone)
        np.testing.assert_array_equal(together[k], alone)
        assert single.position == population.position


def test_fills_are_made_ahead_only_where_the_same_follows():
    out, other = np.empty((4, 3), "float32"), np.empty((3, 3), "float32")
    stream = Stream(0, "s")
    numpy_backend.fill_uniform(stream, 0.0, 1.0, out=out)
    assert stream.ahead is None  # a fill alone, as initial weights are
    for _ in range(3):
        numpy_backend.fill_uniform(stream, 0.0, 1.0, out=other)
        numpy_backend.fill_uniform(stream, 0.0, 1.0, out=out)
    assert stream.ahead is None
    numpy_backend.fill_uniform(stream, 0.0, 1.0, out=out)
    assert stream.ahead is not None
    made, start = stream.ahead.fills.copy(), stream.ahead.start
    for turn in range(1, 9):  # and the ones after it are taken, not made
        numpy_backend.fill_uniform(stream, 0.0, 1.0, out=out)
        assert stream.ahead.start == start
        np.testing.assert_array_equal(out, made[turn])
    np.testing.assert_array_equal(stream.ahead.fills, made)
    for n, ahead in ((1024, True), (1025, False)):  # the largest that is made ahead
        stream = Stream(0, "s")
        for _ in range(3):
            numpy_backend.fill_uniform(stream, 0.0, 1.0, out=np.empty((1, n)))
        assert (stream.ahead is not None) == ahead
    many = Stream(list(range(1000)), "s")
    for _ in range(3):
        numpy_backend.fill_uniform(many, 0.0, 1.0, out=np.empty((1000, 2, 1), "float32"))
    assert many.ahead is None  # large enough to be made one at a time


def test_fills_made_ahead_are_those_made_in_turn(monkeypatch):
    rng = np.random.default_rng(0)
    stream, lazy = Stream([2, 5], "s"), Stream([2, 5], "s")
    kinds = list(FILLS.values())[:2]
    for _ in range(300):
        fill = kinds[rng.integers(2)]
        shape = (2, int(rng.integers(1, 5)), 3)
        if rng.integers(10) == 0:
            stream.position = lazy.position = int(rng.integers(200))
        for _ in range(rng.integers(1, 5)):
            one, two = np.empty(shape, "float32"), np.empty(shape, "float32")
            fill(stream, one)
            lazy.expected = ()  # never ahead
            fill(lazy, two)
            np.testing.assert_array_equal(one, two)
            assert stream.position == lazy.position
    assert stream.ahead is not None
    assert lazy.ahead is None


@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_fills_of_two_dtypes_on_one_stream(kind):
    """What was drawn ahead in one dtype or shape is not used for another."""
    stream, lazy = Stream(2, "s"), Stream(2, "s")
    variants = [
        ("float32", (4, 3)), ("float64", (4, 3)), ("float32", (3, 4)), ("float64", (3, 4)),
    ]  # fmt: skip
    for turn in range(20):
        dtype, shape = variants[turn % len(variants)]
        for _ in range(4):  # so that fills are made ahead
            one, two = np.empty(shape, dtype), np.empty(shape, dtype)
            FILLS[kind](stream, one)
            lazy.expected = ()
            FILLS[kind](lazy, two)
            np.testing.assert_array_equal(one, two)
            assert stream.position == lazy.position
        assert stream.ahead is not None
        assert stream.ahead.fills.dtype == dtype
        assert stream.ahead.fills.shape[1:] == shape


def test_an_interrupted_fill_leaves_nothing_wrong_behind(monkeypatch):
    stream, out = Stream(0, "s"), np.empty((5, 2), "float32")
    FILLS["normal"](stream, out)
    FILLS["normal"](stream, out)
    position = stream.position
    add = np.add

    def interrupted(*args, **kwargs):
        add(*args, **kwargs)  # the last kernel of a fill: the numbers are written
        raise KeyboardInterrupt

    stream.position = 1000
    with monkeypatch.context() as patch:
        patch.setattr(recording.np, "add", interrupted)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                FILLS["normal"](stream, out)
    for at in (position, 1000, 0):
        stream.position = at
        for _ in range(3):
            there = stream.position
            FILLS["normal"](stream, out)
            expected = np.empty_like(out)
            FILLS["normal"](Stream(0, "s", there), expected)
            np.testing.assert_array_equal(out, expected)


def test_bad_streams_are_refused():
    with pytest.raises(ConfigError, match="non-negative"):
        Stream(-1, "s")
    for bad in (1.5, "1", b"abc", "abc", None, [1.5], ["1"], [[1]]):
        with pytest.raises(ConfigError, match="seed must be an integer or a sequence of integers"):
            Stream(bad, "s")
    for bad in ((), [-1], [0, -1]):
        with pytest.raises(ConfigError, match="seeds must be non-negative"):
            Stream(bad, "s")
    with pytest.raises(ConfigError, match="position"):
        Stream(0, "s", -1)
    with pytest.raises(ShapeError, match="2 seeds"):
        numpy_backend.fill_uniform(Stream([0, 1], "s"), 0.0, 1.0, out=np.empty((4, 6)))
    with pytest.raises(ShapeError, match="3 networks"):
        numpy_backend.fill_normal(Stream(0, "s"), 0.0, 1.0, out=np.empty((3, 4, 6)))
    with pytest.raises(ConfigError, match="position"):
        Stream(0, "s", 1.5)
    with pytest.raises(ShapeError, match="contiguous"):
        numpy_backend.fill_uniform(Stream(0, "s"), 0.0, 1.0, out=np.empty((4, 6))[:, :3])


def test_a_stream_as_text_and_its_seeds_as_json():
    assert repr(Stream(3, "noise", 5)) == "Stream(seed=(3,), name='noise', position=5)"
    assert repr(Stream([3, 1], "noise")) == "Stream(seed=(3, 1), name='noise', position=0)"
    for seed, plain in ((3, 3), (np.int64(3), 3), ((3, 1), [3, 1]), ([np.int32(3)], [3])):
        assert plain_seeds(seed) == plain
        assert type(plain_seeds(seed)) is type(plain)


def test_a_key_is_the_beginning_of_a_hash():
    import hashlib

    digest = hashlib.sha256(b"minigan/7/a/b").digest()
    expected = [int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")]
    assert stream_key(7, "a/b").tolist() == expected
    assert stream_key(7, "a/b").dtype == np.uint64


@pytest.mark.parametrize("other", [(0.0, 2.0), (0.5, 1.0)])
@pytest.mark.parametrize("fill", [numpy_backend.fill_uniform, numpy_backend.fill_normal])
def test_fills_made_ahead_are_not_used_with_other_settings(fill, other):
    stream = Stream(2, "s")
    out, expected = np.empty((4, 3)), np.empty((4, 3))
    for _ in range(3):
        fill(stream, 0.0, 1.0, out=out)
    assert stream.ahead is not None
    there = stream.position
    fill(stream, *other, out=out)
    fill(Stream(2, "s", there), *other, out=expected)
    np.testing.assert_array_equal(out, expected)
