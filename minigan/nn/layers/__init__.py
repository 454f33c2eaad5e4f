"""The layers: one family a file."""

from __future__ import annotations

from typing import Any

from minigan.errors import ConfigError
from minigan.nn.layers.activations import ELU, LeakyReLU, ReLU, Sigmoid, Tanh
from minigan.nn.layers.base import Binding, Layer, LayerPass, Needs
from minigan.nn.layers.dropout import Dropout
from minigan.nn.layers.linear import Linear
from minigan.nn.layers.pack import Pack

LAYERS: dict[str, type[Layer]] = {
    layer.__name__: layer for layer in (Linear, ELU, ReLU, LeakyReLU, Sigmoid, Tanh, Dropout, Pack)
}


def layer_from_config(config: dict[str, Any]) -> Layer:
    """Rebuild a layer from `Layer.to_config()`; `ConfigError` if it is not one."""
    try:
        settings = dict(config)
        name = settings.pop("layer")
        if name in LAYERS:
            return LAYERS[name](**settings)
    except (LookupError, TypeError, ValueError) as error:
        raise ConfigError(f"not a layer's definition: {config!r}") from error
    raise ConfigError(
        f"there is no layer {name!r} here; one of your own must be put into "
        "minigan.nn.layers.LAYERS before a run that has it is opened"
    )


__all__ = [
    "ELU",
    "LAYERS",
    "Binding",
    "Dropout",
    "Layer",
    "LayerPass",
    "LeakyReLU",
    "Linear",
    "Needs",
    "Pack",
    "ReLU",
    "Sigmoid",
    "Tanh",
    "layer_from_config",
]
