"""How a stream's words become numbers, written the plain way (see minigan/backend/random.py)."""

from __future__ import annotations

import numpy as np

import minigan as mg


def uniforms(stream: mg.Stream, n: int) -> np.ndarray:
    """The next n uniform numbers (n,): the high 24 bits of each half of a word, low half first."""
    words = stream.words(-(-n // 2))[0]
    halves = np.stack([words & 0xFFFFFFFF, words >> 32], axis=1).reshape(-1)
    return (halves >> 8)[:n] / 2**24


def normals(stream: mg.Stream, n: int) -> np.ndarray:
    """The next n standard normal numbers (n,): Box and Muller's of pairs of uniforms."""
    pairs = uniforms(stream, n + n % 2).reshape(-1, 2)
    r, a = np.sqrt(-2 * np.log(1 - pairs[:, 0])), 2 * np.pi * pairs[:, 1]
    return np.stack([r * np.cos(a), r * np.sin(a)], axis=1).reshape(-1)[:n]
