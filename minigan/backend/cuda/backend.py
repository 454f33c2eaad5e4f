"""The module that `--device cuda` stands for: the vocabulary of base.py, and three more names."""

from __future__ import annotations

import cupy

from minigan.backend.base import Backend
from minigan.backend.cuda import (
    activations,
    algebra,
    capture,
    convolution,
    fills,
    images,
    layer_norm,
    losses,
    memory,
    normalisation,
    optimizers,
    penalties,
)
from minigan.backend.cuda.launching import synchronize
from minigan.fixed import REMADE, Remade

__all__ = ["cupy", "open_device", "synchronize"]

for _subject in (
    *(activations, algebra, capture, convolution, fills, images, layer_norm, losses, memory),
    *(normalisation, optimizers, penalties),
):
    for _name in vars(Backend).keys() & vars(_subject).keys():
        if not _name.startswith("_"):
            globals()[_name] = vars(_subject)[_name]


def open_device(index: int) -> None:
    """Make a CUDA device the one that this process uses, and run a kernel on it.

    Raises:
        Whatever CuPy raises if there is no such device, or it does not work.
    """
    cupy.cuda.Device(index).use()
    probe = memory.zeros((2,), "float32")
    algebra.negate(probe, out=probe)
    synchronize()
    REMADE[cupy.ndarray] = lambda X: Remade(memory.asarray, X.get())
