"""Shares of a batch: which rows, and that the shares of every random fill make up the whole one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_games import GAMES

import minigan as mg
from minigan.backend import numpy as ops
from minigan.backend.share import Share, shares
from minigan.parallel.team import drawn_in_a_step

#: By name, every kind of fill: (stream, out).
FILLS: dict[str, Callable[[mg.Stream, np.ndarray], None]] = {
    "uniform": lambda stream, out: ops.fill_uniform(stream, -1.0, 2.0, out=out),
    "stratified": lambda stream, out: ops.fill_stratified(stream, -1.0, 2.0, out=out),
    "normal": lambda stream, out: ops.fill_normal(stream, 1.0, 2.0, out=out),
    "mixture": lambda stream, out: ops.fill_mixture(
        stream, CENTRES[:, : out.shape[1]].astype(out.dtype), 0.3, out
    ),
    "dropout": lambda stream, out: ops.fill_dropout_mask(stream, 0.4, out=out),
}
CENTRES = np.arange(2000.0).reshape(5, 400) ** 2  # (5, 400)


# -- which rows -------------------------------------------------------------------------


@given(units=st.integers(1, 60), unit=st.integers(1, 7), size=st.integers(1, 9))
def test_shares_are_whole_units_as_equal_as_possible(units, unit, size):
    batch = units * unit
    if units < size:
        with pytest.raises(mg.ConfigError, match=f"{size} processes cannot share a batch of"):
            shares(batch, unit, size)
        return
    found = shares(batch, unit, size)
    assert [k for share in found for k in range(share.start, share.stop)] == [*range(batch)]
    assert all(share.batch == batch and share.rows % unit == 0 for share in found)
    rows = [share.rows for share in found]
    assert max(rows) - min(rows) <= unit


def test_a_hundred_rows_among_three():
    assert shares(100, 1, 3) == [Share(0, 33, 100), Share(33, 66, 100), Share(66, 100, 100)]
    assert shares(100, 4, 3) == [Share(0, 32, 100), Share(32, 64, 100), Share(64, 100, 100)]
    assert shares(100, 4, 3)[1].in_packs(4) == Share(8, 16, 25)


def test_too_few_packs_are_named():
    with pytest.raises(mg.ConfigError, match=r"a batch of 100, 2 packs of 50$"):
        shares(100, 50, 3)
    with pytest.raises(mg.ConfigError, match=r"a batch of 2$"):
        shares(2, 1, 3)


# -- random fills -----------------------------------------------------------------------


@given(
    kind=st.sampled_from(sorted(FILLS)),
    size=st.integers(2, 5),
    units=st.integers(5, 12),
    unit=st.integers(1, 3),
    batches=st.integers(1, 3),
    columns=st.integers(1, 4) | st.just(400),  # also of more words than are drawn at a time
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_the_shares_of_a_fill_make_up_the_whole(kind, size, units, unit, batches, columns, dtype):
    """Of k batches in a row, too; and the next fills, some of which are drawn ahead."""
    batch, fill = units * unit, FILLS[kind]
    parts = shares(batch, unit, size)
    whole = mg.Stream(3, "x")
    streams = [mg.Stream(3, "x") for _ in parts]
    for stream, share in zip(streams, parts, strict=True):
        stream.share = share
    for _ in range(3):
        expected = np.empty((batches * batch, columns), dtype)
        fill(whole, expected)
        for stream, share in zip(streams, parts, strict=True):
            fill(mg.Stream(4, "x"), np.empty_like(expected))  # into the same temporaries
            out = np.empty((batches * share.rows, columns), dtype)
            fill(stream, out)
            rows = expected.reshape(batches, batch, columns)[:, share.start : share.stop]
            np.testing.assert_array_equal(out.reshape(rows.shape), rows)
            assert stream.position == whole.position


@pytest.mark.parametrize("kind", ["uniform", "normal", "dropout"])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_share_draws_hardly_more_than_it_keeps(kind, rank, monkeypatch):
    """Of a mask that holds for two batches; one of one batch needs every byte for both halves."""
    drawn = []

    class Generator:
        """One that counts words."""

        def __init__(self, real: np.random.Generator) -> None:
            self.real, self.bit_generator = real, self
            self.advance = real.bit_generator.advance

        def random_raw(self, n: int) -> np.ndarray:
            drawn.append(n)
            return self.real.bit_generator.random_raw(n)

        def random(self, out: np.ndarray, dtype: type) -> None:
            drawn.append(out.size // 2)  # two in a word
            self.real.random(out=out, dtype=dtype)

    real = mg.Stream.generators
    monkeypatch.setattr(
        mg.Stream, "generators", lambda stream, n: [Generator(one) for one in real(stream, n)]
    )
    stream = mg.Stream(0, "x")
    stream.share = shares(100, 1, 2)[rank]
    FILLS[kind](stream, np.empty((100, 320), "f"))
    words = 100 * 320 // (8 if kind == "dropout" else 2)
    assert words <= sum(drawn) <= words + 8


@pytest.mark.parametrize("kind", FILLS)
def test_rows_that_are_no_share_are_an_error(kind):
    stream = mg.Stream(0, "x")
    stream.share = Share(2, 5, 10)
    with pytest.raises(mg.ShapeError, match="7 rows cannot be drawn for a share of 3 rows"):
        FILLS[kind](stream, np.empty((7, 2)))
    with pytest.raises(mg.ShapeError, match="contiguous"):
        FILLS[kind](stream, np.empty((3, 6))[:, :4])


def test_a_large_fill_is_cut_as_a_small_one():
    """Small fills are drawn ahead, large ones are not."""
    share = Share(100, 300, 1000)
    for columns in (1, 5):
        whole = np.empty((1000, columns))
        ops.fill_uniform(mg.Stream(1, "x"), 0.0, 1.0, out=whole)
        stream = mg.Stream(1, "x")
        stream.share = share
        out = np.empty((200, columns))
        ops.fill_uniform(stream, 0.0, 1.0, out=out)
        np.testing.assert_array_equal(out, whole[100:300])


# -- the streams of a step --------------------------------------------------------------


@pytest.mark.parametrize("name", GAMES)
def test_every_stream_that_moves_in_a_step_has_a_share(name):
    """Those of samples do not move, and have none."""
    game, data = (make() for make in GAMES[name])
    game.bind(10)
    game.read(data)
    every = {id(stream): stream for stream in game.streams.values()}
    for net in game.networks.values():
        every |= {id(stream): stream for stream in net.streams}
    game.step()
    moved = {key for key, stream in every.items() if stream.position}
    drawn: dict[int, int] = {id(stream): unit for stream, unit in drawn_in_a_step(game)}
    assert moved <= drawn.keys()
    assert not any(id(game.streams[n]) in drawn for n in game.streams if n.startswith("sample"))


def test_behind_a_pack_a_row_stands_for_several():
    G = mg.Sequential(mg.Linear(2, 2), name="g")
    layers: list[Any] = [mg.Dropout(0.1), mg.Pack(5), mg.Dropout(0.2), mg.Linear(20, 1)]
    D = mg.Sequential(*layers, in_features=2, name="d")
    game = mg.GAN(G, D, mg.Normal(dim=2), penalty=mg.GradientPenalty())
    units = {id(stream): unit for stream, unit in drawn_in_a_step(game)}
    assert [units[id(stream)] for stream in D.streams] == [1, 5, 5, 5]
    assert [units[id(stream)] for stream in G.streams] == [1]
    assert units[id(game.streams["penalty"])] == 5
    for half in ("generator", "discriminator"):
        assert units[id(game.streams[f"{half}_noise"])] == 1
