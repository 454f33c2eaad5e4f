"""Whether the layers of a network fit each other: features, images and packed samples."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from minigan.checks import whole
from minigan.errors import ConfigError, ShapeError
from minigan.nn.image import Image
from minigan.nn.layer import Layer, Shape


def find_in_features(layers: Sequence[Layer], rows: int, given: int | None) -> int:
    """The number of input features, from the caller or the first layer that fixes it.

    Raises:
        ConfigError: neither says it.
        ShapeError: a layer takes a number of features that the layers before it cannot make.
    """
    if given is not None:
        return whole("Sequential: in_features", given, 1)
    shape = (rows, 1)  # of what reaches a layer, if the network is given one feature
    for layer in layers:
        features, each = getattr(layer, "in_features", None), shape[1]
        if features is not None and each:
            if features % each:
                raise ShapeError(
                    f"{layer} takes {features} features; "
                    f"the layers before it make a multiple of {each}"
                )
            return int(features) // each
        with contextlib.suppress(ShapeError):  # `output_image_of` checks the number that is found
            shape = layer.output_shape(shape)
    raise ConfigError("no layer fixes the number of input features; pass in_features=...")


def find_condition_features(layers: Sequence[Layer], shapes: Sequence[Shape]) -> int:
    """The features of the condition that layers read; 0 if none does.

    Args:
        layers: of a network.
        shapes: (rows, features) of what goes into each, and of the output.

    Raises:
        ShapeError: two layers read conditions of different sizes, or packed samples have come
            between, which have no condition each.
    """
    found = 0
    for layer, (rows, _) in zip(layers, shapes, strict=False):
        features = getattr(layer, "condition_features", 0)
        if features and rows != shapes[0][0]:
            raise ShapeError(f"{layer} reads a condition for each sample: put it before the Pack")
        if features and found not in (0, features):
            raise ShapeError(
                f"{layer} reads a condition of {features} features; a layer before it, of {found}"
            )
        found = features or found
    return found


def output_image_of(layers: Sequence[Layer], shape: Shape) -> Image | None:
    """The image that the last layer makes of an input of this shape; None if it makes none.

    Raises:
        ShapeError: a layer does not fit what it gets.
    """
    image: Image | None = None  # what the features are, where that is known
    packed = False  # whether a row has several samples, one after the other
    for i, layer in enumerate(layers):
        if packed and hasattr(layer, "image"):
            raise ShapeError(
                f"layer {i} does not fit the packed samples before it: {type(layer).__name__} "
                "takes the image of one sample; put the Pack after the last such layer"
            )
        rows, features = shape
        try:
            if image is not None:
                layer.check_image(image)
            shape = layer.output_shape(shape)
        except ShapeError as error:
            before = "the one before it" if i else f"in_features={features}"
            before += "" if image is None else f", which makes images of {image}"
            raise ShapeError(f"layer {i} does not fit {before}: {error}") from None
        if hasattr(layer, "in_features"):  # it makes new features, of all that a row has
            image, packed = getattr(layer, "output_image", None), False
        elif shape[1] != features:
            image, packed = None, packed or shape[0] < rows
    return image
