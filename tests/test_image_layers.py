"""The layers of images: sizes, first weights, and the rows that `predict` takes."""

from __future__ import annotations

import numpy as np
import pytest

import minigan as mg


def test_one_number_stands_for_both():
    assert mg.Conv2d(1, 2, 3, 2, 1, 8) == mg.Conv2d(1, 2, (3, 3), (2, 2), (1, 1), (8, 8))
    assert mg.Conv2d(1, 2, [3, 4]).kernel == (3, 4)  # as a file has it
    assert mg.Upsample2d(1, 3, 2) == mg.Upsample2d(1, (3, 3), (2, 2))
    layers = [mg.ConvTranspose2d(1, 2, output_padding=more) for more in (1, (1, 1))]
    assert layers[0] == layers[1]


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
        (mg.ConvTranspose2d, "kaiming_normal", (2 / (32 * 16 / 4)) ** 0.5),  # added in a pixel
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
