"""The layers of a workload for JAX: their parameters, and the network as a pure function.

Images are (N, h, w, c) in the network, the layout that XLA is fastest with on a CPU. Batch
normalisation uses the statistics of the batch. Running ones, which only sampling needs, are left
out.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from bench.workloads import Layers

LAYOUT = ("NHWC", "HWIO", "NHWC")
BN_EPS = 1e-5
SIMPLE = {
    "ELU": jax.nn.elu,
    "ReLU": jax.nn.relu,
    "LeakyReLU": jax.nn.leaky_relu,
    "Sigmoid": jax.nn.sigmoid,
    "Tanh": jnp.tanh,
    "Flatten": lambda X: X.reshape(len(X), -1),
}


def parameters(key: Any, layers: Layers, init_std: float | None) -> list[dict[str, Any]]:
    """The parameters of each layer, uniform as PyTorch's, or normal with a spread and biases of 0.

    Weights are (in, out), or (k, k, in, out) for a convolution; biases are (out,).
    """
    made = []
    for kind, *arguments in layers:
        key, weights, biases = jax.random.split(key, 3)
        if kind.startswith("BatchNorm"):
            c = arguments[0]
            made.append({"gamma": jnp.ones(c), "beta": jnp.zeros(c)})
        elif kind in ("Linear", "Conv2d", "ConvTranspose2d"):
            i, o, *kernel = arguments[:3]
            shape = (*kernel, *kernel, i, o)
            if init_std is None:
                bound = math.prod(shape[:-1]) ** -0.5
                W = jax.random.uniform(weights, shape, minval=-bound, maxval=bound)
                b = jax.random.uniform(biases, (o,), minval=-bound, maxval=bound)
            else:
                W, b = init_std * jax.random.normal(weights, shape), jnp.zeros(o)
            made.append({"W": W, "b": b})
        else:
            made.append({})
    return made


def network(layers: Layers, params: list[dict[str, Any]], key: Any, X: Any) -> Any:
    """The output of a network for X (N, features)."""
    keys = jax.random.split(key, len(layers))
    for (kind, *arguments), own, key in zip(layers, params, keys, strict=True):
        if kind == "Linear":
            X = X @ own["W"] + own["b"]
        elif kind == "Conv2d":
            _, _, _, stride, padding = arguments
            borders = [(padding, padding)] * 2
            X = jax.lax.conv_general_dilated(
                X, own["W"], (stride, stride), borders, dimension_numbers=LAYOUT
            )
            X = X + own["b"]
        elif kind == "ConvTranspose2d":
            _, _, kernel, stride, padding = arguments
            borders = [(kernel - 1 - padding, kernel - 1 - padding)] * 2
            X = jax.lax.conv_transpose(
                X, own["W"], (stride, stride), borders, dimension_numbers=LAYOUT
            )
            X = X + own["b"]
        elif kind.startswith("BatchNorm"):
            axes = tuple(range(X.ndim - 1))
            variance = X.var(axes)  # (c,)
            X = (X - X.mean(axes)) * jax.lax.rsqrt(variance + BN_EPS) * own["gamma"] + own["beta"]
        elif kind == "Dropout":
            kept = jax.random.bernoulli(key, 1.0 - arguments[0], X.shape)
            X = jnp.where(kept, X / (1.0 - arguments[0]), 0.0)
        elif kind == "Unflatten":
            c, h, w = arguments[1]
            X = X.reshape(len(X), h, w, c)
        else:
            X = SIMPLE[kind](X, *arguments)
    return X
