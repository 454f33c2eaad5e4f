"""Initial weights: large enough that signals do not die out, small enough not to explode.

A layer's output has variance in * Var(w) * E[x^2]. Each scheme but "normal" picks Var(w) to hold
that (or its mirror image in the backward pass) steady. "normal" has the same Var(w) in all layers.
A uniform number in [-a, a) has variance a^2 / 3.
"""

from __future__ import annotations

import math

from minigan.backend import Array, Backend, Stream
from minigan.errors import ConfigError

#: Every scheme that `Linear(init=...)` and the convolutions accept.
SCHEMES = (
    "pytorch",
    "kaiming_uniform",
    "kaiming_normal",
    "xavier_uniform",
    "xavier_normal",
    "normal",
)
NORMAL_STD = 0.02  # of the scheme "normal"


def check_scheme(init: str) -> None:
    """Raise `ConfigError` unless `init` names a scheme."""
    if init not in SCHEMES:
        raise ConfigError(f"unknown initialisation {init!r}; choose from {', '.join(SCHEMES)}")


def initialise_affine(
    ops: Backend,
    stream: Stream,
    init: str,
    weight: Array,
    bias: Array | None,
    fan_in: int | None = None,
    fan_out: int | None = None,
) -> None:
    """Draw a layer's weight (in, out) and bias (1, out) from a stream.

    pytorch           weight and bias uniform in +-1/sqrt(in): what torch.nn.Linear does
    kaiming_uniform   +-sqrt(6 / in), kaiming_normal: std sqrt(2 / in)
                      (He et al. 2015, eq. 10; for ReLU), bias 0
    xavier_uniform    +-sqrt(6 / (in + out)), xavier_normal: std sqrt(2 / (in + out))
                      (Glorot and Bengio 2010, eq. 16; for tanh and sigmoid), bias 0
    normal            std 0.02 (Radford, Metz and Chintala 2016, section 4), bias 0

    Args:
        fan_in: how many inputs an output depends on; by default the weight's rows.
        fan_out: how many outputs depend on an input; by default the weight's columns.
    """
    fan_in = weight.shape[-2] if fan_in is None else fan_in
    fan_out = weight.shape[-1] if fan_out is None else fan_out
    if init == "pytorch":
        bound = 1.0 / math.sqrt(fan_in)
        ops.fill_uniform(stream, -bound, bound, out=weight)
        if bias is not None:
            ops.fill_uniform(stream, -bound, bound, out=bias)
        return
    fans = fan_in + fan_out if init.startswith("xavier") else fan_in
    if init.endswith("uniform"):
        bound = math.sqrt(6.0 / fans)
        ops.fill_uniform(stream, -bound, bound, out=weight)
    else:
        std = NORMAL_STD if init == "normal" else math.sqrt(2.0 / fans)
        ops.fill_normal(stream, 0.0, std, out=weight)
    if bias is not None:
        ops.fill(0.0, out=bias)
