"""The settings of the layers of images: sizes, first weights, and what is said about a misfit."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan.nn import LayerPass


@dataclasses.dataclass(frozen=True)
class Halves(mg.Layer):
    """Takes half of the features: other features, but of one sample."""

    def output_shape(self, shape):
        return shape[0], shape[1] // 2

    def bind(self, binding):
        return LayerPass(binding)


CONV = mg.Conv2d(1, 64)  # 28 x 28 x 1 -> 14 x 14 x 64
PACKED = "takes the image of one sample; put the Pack behind the last such layer"
#: Layers that do not fit, and what is said: what came in, what was expected, what would fit.
MISFITS: dict[str, tuple[list[mg.Layer], dict[str, Any], str]] = {
    "another size": (
        [mg.Linear(2, 100), mg.Conv2d(1, 2)],
        {},
        "layer 1 does not fit the one before it: Conv2d expects images of 28 x 28 x 1 "
        "(height x width x channels), 784 features, and was given 100; size=(10, 10) would fit",
    ),
    "other channels": (
        [mg.Linear(2, 784 * 3), mg.Conv2d(1, 2)],
        {},
        "784 features, and was given 2352; in_channels=3 would fit",
    ),
    "no image at all": (
        [mg.Linear(2, 77), mg.Upsample2d(2, size=(3, 5))],
        {},
        "Upsample2d expects images of 3 x 5 x 2 (height x width x channels), 30 features, and was "
        "given 77",
    ),
    "size of the input": (
        [mg.Conv2d(3, 2)],
        {"in_features": 48},
        "layer 0 does not fit in_features=48: Conv2d expects images of 28 x 28 x 3 "
        "(height x width x channels), 2352 features, and was given 48; size=(4, 4) would fit",
    ),
    "size behind a convolution": (
        [CONV, mg.ReLU(), mg.Conv2d(64, 128)],
        {},
        "layer 2 does not fit the one before it, which makes images of 14 x 14 x 64: Conv2d "
        "expects images of 28 x 28 x 64 (height x width x channels); size=(14, 14) would fit",
    ),
    "as many features, but another image": (
        [CONV, mg.Dropout(0.5), mg.ConvTranspose2d(256, 1, size=7)],
        {},
        "which makes images of 14 x 14 x 64: ConvTranspose2d expects images of 7 x 7 x 256 "
        "(height x width x channels); size=(14, 14) and in_channels=64 would fit",
    ),
    "channels of batch norm": (
        [CONV, mg.BatchNorm(32)],
        {},
        "layer 1 does not fit the one before it, which makes images of 14 x 14 x 64: BatchNorm "
        "expects 32 channels; channels=64 would fit, or channels=12544 to normalise each feature",
    ),
    "Linear": (
        [CONV, mg.Linear(64, 1)],
        {},
        "which makes images of 14 x 14 x 64: Linear(in_features=64, out_features=1, bias=True, "
        "init='pytorch') was given 12544 features; it expects 64",
    ),
    "Pack": ([mg.Pack(2), mg.Conv2d(4, 3)], {"in_features": 784}, PACKED),
    "Pack, and others between": (
        [mg.Pack(2), mg.ReLU(), mg.BatchNorm(4), mg.Conv2d(4, 3)],
        {"in_features": 784},
        PACKED,
    ),
    "Pack, and other features between": (
        [mg.Pack(2, deviations=False), Halves(), mg.Conv2d(2, 1, size=2)],
        {"in_features": 8},
        PACKED,
    ),
    "Pack behind a convolution": (
        [mg.Upsample2d(1), mg.Pack(2, deviations=False), mg.Conv2d(2, 3, size=56)],
        {},
        PACKED,
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_a_misfit_is_explained_in_sizes(case):
    layers, options, said = MISFITS[case]
    with pytest.raises(mg.ShapeError) as error:
        mg.Sequential(*layers, **options)
    assert str(error.value).endswith(said)


def test_layers_that_fit_are_not_refused():
    for layers in (
        [CONV, mg.BatchNorm(64), mg.LeakyReLU(), mg.Conv2d(64, 2, size=14), mg.Linear(98, 1)],
        [CONV, mg.BatchNorm(12544)],  # each feature has its own statistics
        [mg.Linear(2, 98), mg.BatchNorm(49), mg.Conv2d(2, 1, size=7)],
        [CONV, mg.Pack(2, deviations=False), mg.Linear(2 * 12544, 1)],
        [mg.Pack(2), mg.Linear(8, 784), CONV],
        [mg.Pack(1, deviations=False), CONV],
        [Halves(), mg.Conv2d(1, 1, size=2)],
    ):
        mg.Sequential(*layers, in_features=8 if isinstance(layers[0], Halves) else None)


SETTINGS = {
    "Conv2d: a kernel of 5 x 5 does not fit into images of 3 x 4 with a padding of 0 x 0": (
        lambda: mg.Conv2d(1, 2, 5, 1, 0, (3, 4))
    ),
    "ConvTranspose2d: a padding of 3 x 3 on each side leaves no pixel of an output of 3 x 3": (
        lambda: mg.ConvTranspose2d(1, 2, 2, 1, 3, 2)
    ),
    "ConvTranspose2d: an output_padding of 0 x 2 must be less than the stride, 2 x 2": (
        lambda: mg.ConvTranspose2d(1, 2, output_padding=(0, 2))
    ),
    "Conv2d: size must be an integer >= 1, or two of them for rows and columns, not (1, 2, 3)": (
        lambda: mg.Conv2d(1, 2, size=(1, 2, 3))
    ),
    "Conv2d: kernel must be an integer >= 1, or two of them for rows and columns, not (3, 0)": lambda: (
        mg.Conv2d(1, 2, (3, 0))
    ),
    "ConvTranspose2d: padding must be an integer >= 0, or two of them for rows and columns, not -1": (
        lambda: mg.ConvTranspose2d(1, 2, padding=-1)
    ),
    "Conv2d: stride must be an integer >= 1, or two of them for rows and columns, not 1.5": lambda: (
        mg.Conv2d(1, 2, stride=1.5)
    ),
    "Conv2d: in_channels must be an integer >= 1, not 0": lambda: mg.Conv2d(0, 2),
    "Upsample2d: factor must be an integer >= 1, or two of them for rows and columns, not 0": lambda: (
        mg.Upsample2d(1, 0)
    ),
    "BatchNorm: channels must be an integer >= 1, not 0": lambda: mg.BatchNorm(0),
    "BatchNorm: eps must be a finite number and > 0, not 0": lambda: mg.BatchNorm(1, eps=0),
    "BatchNorm: momentum must be a finite number and >= 0 and <= 1, not 1.5": (
        lambda: mg.BatchNorm(1, momentum=1.5)
    ),
}


@pytest.mark.parametrize("said", SETTINGS)
def test_an_invalid_setting_is_named(said):
    with pytest.raises(mg.ConfigError) as error:
        SETTINGS[said]()
    assert str(error.value) == said


def test_one_number_stands_for_both():
    assert mg.Conv2d(1, 2, 3, 2, 1, 8) == mg.Conv2d(1, 2, (3, 3), (2, 2), (1, 1), (8, 8))
    assert mg.Conv2d(1, 2, [3, 4]).kernel == (3, 4)  # as a file has it
    assert mg.Upsample2d(1, 3, 2) == mg.Upsample2d(1, (3, 3), (2, 2))
    layer = mg.ConvTranspose2d(1, 2, output_padding=1)
    assert layer.output_padding == (1, 1)


def test_sizes_of_the_outputs():
    for layer, image in (
        (mg.Conv2d(1, 5), (14, 14, 5)),
        (mg.Conv2d(1, 5, size=(28, 27)), (14, 13, 5)),
        (mg.Conv2d(1, 5, (3, 5), 1, (1, 2)), (28, 28, 5)),
        (mg.ConvTranspose2d(5, 1, size=7), (14, 14, 1)),
        (mg.ConvTranspose2d(5, 1, 3, size=(7, 8), output_padding=(0, 1)), (13, 16, 1)),
        (mg.Upsample2d(5, (2, 3), 4), (8, 12, 5)),
    ):
        assert layer.output_image == image
        net = mg.Sequential(layer)
        assert (net.in_features, net.out_features) == (layer.image.features, np.prod(image))
        assert net.forward(np.ones((2, net.in_features))).shape == (2, net.out_features)


@pytest.mark.parametrize(
    ("layer", "init", "std"),
    [
        (mg.Conv2d, "normal", 0.02),
        (mg.ConvTranspose2d, "normal", 0.02),
        (mg.Linear, "normal", 0.02),
        (mg.Conv2d, "pytorch", (3 * 32 * 16) ** -0.5),  # uniform in +-1 / sqrt(kh kw c)
        (mg.ConvTranspose2d, "pytorch", (3 * 48 * 16) ** -0.5),  # of the numbers of an output
        (mg.Conv2d, "kaiming_normal", (2 / (32 * 16)) ** 0.5),
        (mg.ConvTranspose2d, "kaiming_normal", (2 / (32 * 16 / 4)) ** 0.5),  # they meet in a pixel
        (mg.Conv2d, "xavier_uniform", (2 / (32 * 16 + 48 * 16)) ** 0.5),
    ],
)
def test_first_weights(layer, init, std):
    net = mg.Sequential(layer(32, 48, init=init), seed=3)
    weight, bias = (net.parameters.named()[f"0.{name}"] for name in ("weight", "bias"))
    assert weight.std() == pytest.approx(std, rel=0.03)
    assert abs(weight.mean()) < 0.03 * std
    assert bias.any() == (init == "pytorch")


def test_the_multiplications_of_a_convolution():
    """Of its matrix product: places times kernel times channels, for each image."""
    for layer in (mg.Conv2d(3, 5), mg.ConvTranspose2d(5, 3, size=14)):
        assert layer.multiplications((2, layer.in_features)) == 2 * 14 * 14 * (4 * 4 * 3) * 5


@pytest.mark.parametrize(
    ("options", "rows"),
    [({}, 256), ({"dtype": "float64"}, 128), ({"seed": [0, 1]}, 128), ({"in_features": 8}, 1024)],
)
def test_predict_takes_fewer_rows_of_large_images(options, rows):
    """The largest array takes 16 MiB: 256 images of 128 x 128 pixels in float32."""
    small = "in_features" in options
    layer = mg.ReLU() if small else mg.Upsample2d(1, 32, size=4)
    net = mg.Sequential(layer, **options)
    X = np.ones((*net.population, 300, net.in_features))
    assert (net.predict(X) == 1.0).all()
    (bound,) = net._predictors
    assert bound.input_shape[-2] == rows
