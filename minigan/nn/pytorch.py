"""A network as a torch.nn.Sequential: a line of Python, and its state dict.

PyTorch has images in arrays (N, c, h, w): its features lie channel by channel. Here images are rows
of h w c features, pixel by pixel. Both networks take and return rows in our order. In between, the
features have PyTorch's order: the tensors of the layers next to an image are reordered.

    Linear(1024, 6272)             Linear(1024, 6272), with its columns and its bias reordered
    BatchNorm(6272)                BatchNorm1d(6272), with its vectors reordered
    ReLU()                         ReLU()
                                   Unflatten(1, (128, 7, 7))
    ConvTranspose2d(128, 64, ...)  ConvTranspose2d(128, 64, ...)

A Linear after an image likewise has its rows reordered. Where no Linear takes or makes the rows,
such as in front of a first convolution of several channels, an nn.ChannelShuffle reorders features.

An nn.Sequential has one input. If a network begins with AppendCondition, the layers after it are
exported, and rows [x, c] are what they take. Other layers that read a condition are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minigan.backend.window import as_pair
from minigan.errors import ConfigError
from minigan.nn.image import Image
from minigan.nn.layer import Layer, Shape
from minigan.nn.layers import (
    ELU,
    AppendCondition,
    BatchNorm,
    Dropout,
    LeakyReLU,
    Linear,
    ReLU,
    Sigmoid,
    Tanh,
)
from minigan.nn.layers.convolution import Convolution
from minigan.nn.layers.image_layer import ImageLayer
from minigan.nn.layers.normalisation import Normalisation
from minigan.nn.passes import of_layer
from minigan.nn.sequential import Sequential

ELEMENTWISE = (ELU, LeakyReLU, ReLU, Sigmoid, Tanh, Dropout)
NAMES = {"gamma": "weight", "beta": "bias", "running_variance": "running_var"}  # new names
#: What takes images in place of a module that takes rows.
OF_IMAGES = {"BatchNorm1d(": "BatchNorm2d(", "LayerNorm(": "GroupNorm(1, "}


def pytorch_sequential(net: Sequential) -> tuple[str, dict[str, Any]]:
    """The same network in PyTorch: an expression, and what its load_state_dict takes.

    Of a network that begins with `AppendCondition` it takes rows [x, c] (B, in + condition
    features): the input, and after it the condition.

    Returns:
        "torch.nn.Sequential(...)", and {"0.weight": array (out, in), "0.bias": array (out,), ...}.

    Raises:
        ConfigError: PyTorch lacks one of the layers, another layer reads a condition, or a tensor
            is neither a weight nor a row.
    """
    tensors = net.parameters.named() | net.buffers.named()
    first = 1 if type(net.layers[0]) is AppendCondition else 0
    walk = _Walk(net.shapes(net.rows_multiple)[first])
    for i, layer in enumerate(net.layers[first:], first):
        if getattr(layer, "condition_features", 0):
            raise ConfigError(
                f"layer {i}, {type(layer).__name__}, reads a condition, and a torch.nn.Sequential "
                "has one input: only an AppendCondition as the first layer can be exported"
            )
        own = {name: net.ops.to_host(view) for name, view in of_layer(i, tensors).items()}
        walk.add(layer, own, net.layers[i + 1 :])
    walk.restore_order()
    double = ".double()" if net.dtype == "float64" else ""
    return f"torch.nn.Sequential({', '.join(walk.modules)}){double}", walk.state


class _Walk:
    """A walk over the layers that records how PyTorch has the features at each point.

    Attributes:
        modules: their expressions, so far.
        state: their tensors, so far.
        shape: (rows, features) at this point.
        channels: PyTorch's features lie (channels, pixels) and ours (pixels, channels), which is
            the same for one channel.
        image: the image that PyTorch has as (N, c, h, w), or None: it has rows (N, features).
    """

    def __init__(self, shape: Shape) -> None:
        self.modules: list[str] = []
        self.state: dict[str, Any] = {}
        self.shape = shape
        self.channels = 1
        self.image: Image | None = None

    def add(self, layer: Layer, tensors: Mapping[str, Any], later: Sequence[Layer]) -> None:
        """Add a layer with its tensors; `later` are the layers after it."""
        # An inherited `pytorch` does not count: the subclass may compute something else.
        module: str = vars(type(layer)).get("pytorch", Layer.pytorch)(layer)
        self.prepare(layer, later)
        if self.image is not None and isinstance(layer, Normalisation):
            for of_rows, of_images in OF_IMAGES.items():
                module = module.replace(of_rows, of_images)
        before = self.order()
        self.shape = layer.output_shape(self.shape)
        if isinstance(layer, ImageLayer):
            self.image = layer.output_image
            self.channels = self.image.channels
        elif isinstance(layer, Linear):
            image = _image_ahead(later, layer.out_features)
            self.channels = 1 if image is None else image.channels
        after = self.order()
        place = f"{len(self.modules)}."
        self.modules.append(module)
        for name, array in tensors.items():
            theirs = NAMES.get(name, name) if isinstance(layer, Normalisation) else name
            self.state[place + theirs] = _tensor(layer, name, array, before, after)
        if isinstance(layer, BatchNorm):
            self.state[f"{place}num_batches_tracked"] = np.array(0, np.int64)

    def prepare(self, layer: Layer, later: Sequence[Layer]) -> None:
        """Add what makes PyTorch's features those that a layer takes."""
        image = _image_ahead((layer, *later), self.shape[1])
        has = self.image
        if isinstance(layer, ELEMENTWISE):
            return
        if isinstance(layer, Linear) or _is_per_feature(layer, self.shape[1]):
            self.make_rows()
        elif image is None:  # the layer is defined outside minigan
            self.restore_order()
        elif not (isinstance(layer, Normalisation) and has and has.channels == layer.channels):
            self.make_image(image)

    def order(self) -> Any:
        """The index in our rows of each feature in PyTorch's rows; of each channel, in images."""
        if self.image is not None or self.channels == 1:
            return slice(None)
        return np.arange(self.shape[1]).reshape(-1, self.channels).T.ravel()

    def make_rows(self) -> None:
        """From here on PyTorch has rows, in its order."""
        if self.image is not None:
            self.modules.append("torch.nn.Flatten()")
            self.image = None

    def make_image(self, image: Image) -> None:
        """From here on PyTorch has images."""
        if self.image == image:
            return
        if self.channels != image.channels:
            self.restore_order()
            self.shuffle(image.height * image.width)
        self.make_rows()
        self.modules.append(f"torch.nn.Unflatten(1, {(image.channels, image.height, image.width)})")
        self.image, self.channels = image, image.channels

    def restore_order(self) -> None:
        """From here on PyTorch has our rows."""
        self.make_rows()
        self.shuffle(self.channels)
        self.channels = 1

    def shuffle(self, groups: int) -> None:
        """Features (groups, n), one group after the other, become (n, groups)."""
        if 1 < groups < self.shape[1]:
            self.modules += [
                f"torch.nn.Unflatten(1, ({self.shape[1]}, 1))",
                f"torch.nn.ChannelShuffle({groups})",
                "torch.nn.Flatten()",
            ]


def _tensor(layer: Layer, name: str, array: Any, before: Any, after: Any) -> Any:
    """A layer's tensor as PyTorch has it, for rows whose features have these orders."""
    if name == "weight" and isinstance(layer, Convolution):
        # (kh kw i, o) becomes (o, i, kh, kw). A transposed convolution goes from o channels to i.
        kernel = array.reshape(*as_pair(layer.kernel), -1, array.shape[1])  # (kh, kw, i, o)
        array = kernel.transpose(3, 2, 0, 1)
    elif name.endswith("weight"):
        array = array[before][:, after].T  # (out, in)
    elif array.shape[0] == 1:
        array = array[0, after]  # (out,)
    else:
        raise ConfigError(
            f"{name} {array.shape} of {layer} cannot be exported: only weights and rows can"
        )
    return np.ascontiguousarray(array)


def _is_per_feature(layer: Layer, features: int) -> bool:
    """Whether it computes the same for any order of the features, with its tensors reordered."""
    if isinstance(layer, Normalisation):
        return layer.channels == features
    return isinstance(layer, ELEMENTWISE)


def _image_ahead(layers: Sequence[Layer], features: int) -> Image | None:
    """The image that the first layer to which the order matters takes; None if that takes rows."""
    later = [layer for layer in layers if not _is_per_feature(layer, features)]
    if not later:
        return None
    if isinstance(later[0], Normalisation):  # any image with its channels will do
        image, channels = _image_ahead(later[1:], features), later[0].channels
        same = image is not None and image.channels == channels
        return image if same else Image(features // channels, 1, channels)
    return later[0].image if isinstance(later[0], ImageLayer) else None
