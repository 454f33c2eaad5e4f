"""How the kernel's shared memory is divided. gaussian1d/memory.cuh says what the pieces hold."""

from __future__ import annotations

import numpy as np

from minigan.gan import GAN
from minigan.nn import Adam
from minigan.training.fused.form import (
    ACTIVATIONS,
    TERMS,
    activation_of,
    pack_of,
    term_of,
    width_of,
)

#: Bytes of shared memory that a block can have on an H100 or H200.
SHARED_MEMORY = 227 * 1024
THREADS = {"float32": 512, "float64": 256}  # of the block, at most: see gaussian1d/memory.cuh
FEWEST_THREADS = 96  # two warps keep the clocks, the others draw the numbers


def plan(gan: GAN, batch: int, shared_memory: int = SHARED_MEMORY) -> dict[str, int]:
    """The sizes of a launch, and where each piece of its shared memory begins.

    Args:
        gan: one of the kernel's form.
        batch: B, real samples per step.
        shared_memory: bytes that there are.

    Returns:
        a value for each field of the kernel's struct `Sizes`, in numbers where it is a place or a
        size of memory; and the "threads" of the block. If the memory does not suffice, "total" is
        the least that would.
    """
    G, D = gan.generator, gan.discriminator
    pack = pack_of(D)
    H, F = width_of(G), pack.output_shape((pack.size, 1))[1]
    S, wide = _stride(H), _stride(F)
    B, P = batch, batch // pack.size
    R = B if gan.same_noise else 2 * B
    packs = P + R // pack.size
    few = 4 * wide > 2 * P
    most_threads = THREADS[G.dtype]
    capacity = shared_memory // np.dtype(G.dtype).itemsize // 4 * 4  # numbers

    at: dict[str, int] = {}
    total = 0

    def place(name: str, size: int) -> None:
        nonlocal total
        at[name] = total
        total += -(-size // 4) * 4

    place("g_weights", (4 + S + 1) * S)
    place("d_weights", (wide + S + 1) * S)
    place("numbers", 8)
    place("noise", R * 4)
    place("samples", packs * wide)
    place("means", packs if pack.deviations else 0)
    place("drawn", R + B)
    place("output_gradients", max(2 * P, B))
    place("terms", 3 * P)
    place("dots", max(max(R, 2 * P) * S // 4, S))
    place("d_first", 2 * P * S)
    place("d_second", 2 * P * S)
    if few:
        place("d_first_gradient", 2 * P * S)
    else:
        at["d_first_gradient"] = at["d_first"]
    if wide > 2 * S:
        place("pack_gradients", P * wide)
    else:
        at["pack_gradients"] = at["d_second"]
    # The rows of D's half, the first ones, end where D's activations end, or behind them.
    at["g_first"] = max(at["d_first"], total - (R - B) * S)
    total = at["g_first"] + R * S
    place("g_second", B * S)
    room = (H + 1) * S  # the least that `scratch` needs; twice that is better
    for letter, optimizer in (("g", gan.generator_optimizer), ("d", gan.discriminator_optimizer)):
        assert isinstance(optimizer, Adam)
        n = optimizer.parameters.size
        for name in ("g_sum", "g2_sum"):
            used = name == "g2_sum" or optimizer.betas[0] != 0.0
            if used and total + n + 2 * room <= capacity:
                place(f"{letter}_{name}", n)
            else:
                at[f"{letter}_{name}"] = 0  # it stays in global memory
    # Sums are split among the threads as far as there is room; more than a tile each is no use.
    room = max(room, min(capacity - total, 16 * most_threads))
    place("scratch", room)
    tiles = -(-R // 4) * S // 4  # of the largest product
    return {
        "hidden": H,
        "stride": S,
        "batch": B,
        "noises": R,
        "pack": pack.size,
        "deviations": int(pack.deviations),
        "features": F,
        "wide": wide,
        "activation": ACTIVATIONS[type(activation_of(D))],
        "loss": TERMS[term_of(gan.loss)],
        "few": int(few),
        "room": room,
        "total": total,
        "threads": min(most_threads, max(FEWEST_THREADS, -(-tiles // 32) * 32)),
        **at,
    }


def _stride(n: int) -> int:
    """The least 4 (2 k + 1) above n: a row of n numbers and a one."""
    fours = n // 4 + 1
    return 4 * (fours | 1)
