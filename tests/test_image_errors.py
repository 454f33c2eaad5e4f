"""The errors about images: they name what came in, what was expected and what would fit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import minigan as mg

C, T = mg.Conv2d, mg.ConvTranspose2d


@dataclasses.dataclass(frozen=True)
class Halves(mg.Layer):
    """Halves the features of one sample."""

    def output_shape(self, shape):
        return shape[0], shape[1] // 2

    def bind(self, binding):
        return mg.LayerPass(binding)


SETTINGS = [
    (lambda: C(1, 8, size=28.0), "Conv2d: size must be an integer >= 1, or two of them for rows "
     "and columns, not 28.0"),
    (lambda: C(1, 8, size=None), "not None"),
    (lambda: C(1, 8, size=True), "not True"),
    (lambda: C(1, 8, size=[28, 28, 1]), r"not \[28, 28, 1\]"),
    (lambda: C(1, 8, size=(28, 28.0)), r"not \(28, 28.0\)"),
    (lambda: C(0, 8), "Conv2d: in_channels must be an integer >= 1, not 0"),
    (lambda: mg.Upsample2d(1, 0), "Upsample2d: factor must be an integer >= 1, .* not 0"),
    (lambda: mg.BatchNorm(0), "BatchNorm: channels must be an integer >= 1, not 0"),
    (lambda: mg.BatchNorm(1, eps=0), "BatchNorm: eps must be a finite number and > 0, not 0"),
    (lambda: mg.BatchNorm(1, momentum=1.5), "momentum must be .* >= 0 and <= 1, not 1.5"),
    (lambda: mg.LayerNorm(0), "LayerNorm: channels must be an integer >= 1, not 0"),
    (lambda: mg.LayerNorm(1, eps=0), "LayerNorm: eps must be a finite number and > 0, not 0"),
    (lambda: C(1, 8, stride=0), "stride must be an integer >= 1, .* not 0"),
    (lambda: C(1, 8, padding="same"), "padding must be an integer >= 0, .* not 'same'"),
    (lambda: C(1, 8, (4, 40)), "a kernel of 4 x 40 does not fit into images of 28 x 28 with a "
     "padding of 1 x 1; the largest that does is 30 x 30"),
    (lambda: C(1, 8, 9, 1, (0, 1), (7, 6)), "the largest that does is 7 x 8"),
    (lambda: T(1, 8, output_padding=(0, 2)), "output_padding of 0 x 2 must be less than the "
     "stride, 2 x 2"),
    (lambda: T(1, 8, 2, 2, (30, 0), (2, 3)), "a padding of 30 x 0 on each side leaves no pixel "
     "of an output of 4 x 6"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), SETTINGS)
def test_a_setting(make, message):
    with pytest.raises(mg.ConfigError, match=message):
        make()


BEHIND = "layer 1 does not fit the one before it, which makes images of 14 x 14 x 64: "
PACKED = (
    " does not fit the packed samples before it: Conv2d takes the image of one sample; put "
    "the Pack after the last such layer"
)
NETS = [
    ((C(1, 64), C(64, 8)), BEHIND + "Conv2d expects images of 28 x 28 x 64 (height x width x "
     "channels); size=(14, 14) would fit"),
    ((C(1, 64), C(32, 8, size=14)), "channels); in_channels=64 would fit"),
    ((C(1, 64), C(16, 8)), "channels); size=(14, 14) and in_channels=64 would fit"),
    ((C(1, 64), mg.Upsample2d(16, 2, 28)), "size=(14, 14) and channels=64 would fit"),
    ((C(1, 64), mg.ReLU(), mg.BatchNorm(128)), "BatchNorm expects 128 channels; channels=64 would "
     "fit, or channels=12544 to treat each feature as a channel"),
    ((C(1, 64), mg.LayerNorm(32)), "LayerNorm expects 32 channels; channels=64 would fit, or"),
    ((C(1, 64), mg.Linear(64, 1)), BEHIND),
    ((mg.Linear(2, 72), T(8, 1, size=4)), "the one before it: ConvTranspose2d expects images of "
     "4 x 4 x 8 (height x width x channels), 128 features, and was given 72; size=(3, 3) would"),
    ((mg.Linear(2, 32), T(8, 1, size=4)), "size=(2, 2) or in_channels=2 would fit"),
    ((mg.Linear(2, 33), mg.Upsample2d(8, size=4)), "and was given 33"),
    ((mg.Linear(2, 4), mg.BatchNorm(3)), "given 4 features; it expects a multiple of its 3 "
     "channels"),
    ((mg.Linear(2, 4), mg.LayerNorm(3)), "given 4 features; it expects a multiple of its 3 "
     "channels"),
    ((mg.Linear(2, 1), mg.LayerNorm(1)), "LayerNorm was given rows of one number, which have no "
     "variance"),
    ((mg.Pack(2), C(2, 8)), "layer 1" + PACKED),
    ((mg.Pack(2), mg.ReLU(), mg.BatchNorm(4), C(4, 3)), "layer 3" + PACKED),
    ((mg.Pack(2, deviations=False), Halves(), C(2, 1, size=2)), "layer 2" + PACKED),
    ((mg.Upsample2d(1), mg.Pack(2, deviations=False), C(2, 3, size=56)), "layer 2" + PACKED),
    ((mg.BatchNorm(3), C(1, 8)), "layer 0 does not fit in_features=784"),
]  # fmt: skip


@pytest.mark.parametrize(("layers", "message"), NETS)
def test_a_network(layers, message):
    with pytest.raises(mg.ShapeError) as error:
        mg.Sequential(*layers)
    assert message in str(error.value)


def test_what_fits():
    """BatchNorm of each channel, or of each feature, in front of an image and behind it."""
    before, behind = (mg.BatchNorm(3), mg.BatchNorm(48)), (mg.BatchNorm(4), mg.BatchNorm(16))
    net = mg.Sequential(*before, C(3, 4, size=4), *behind, mg.Pack(2))
    assert (net.in_features, net.out_features) == (48, 64)
    assert net.image is None
    assert mg.Sequential(C(3, 4, size=6), mg.ReLU()).output_image == (3, 3, 4)
    assert mg.Sequential(C(3, 4, size=6), mg.Linear(36, 36)).output_image is None
    for layers in (
        [C(1, 64), mg.Pack(2, deviations=False), mg.Linear(2 * 12544, 1)],
        [mg.Pack(2), mg.Linear(8, 784), C(1, 64)],  # a Linear makes one sample of the pack
        [mg.Pack(1, deviations=False), C(1, 64)],
    ):
        mg.Sequential(*layers)
    mg.Sequential(Halves(), C(1, 1, size=2), in_features=8)
    with pytest.raises(mg.ConfigError, match="no layer fixes the number of input features"):
        mg.Sequential(Halves(), C(1, 1, size=2))


@pytest.mark.parametrize(
    ("shape", "channels", "hint"),
    [
        ((7, 4, 5, 3), 3, r"expected \(batch, 60\); reshape\(7, 60\) would fit$"),
        ((7, 3, 4, 5), 3, r"60\); transpose\(0, 2, 3, 1\).reshape\(7, 60\) would fit, which puts"),
        ((7, 4, 5), 1, r"20\); reshape\(7, 20\) would fit$"),
        ((7, 4, 5), 3, r"60\)$"),
        ((7, 4, 5, 4), 3, r"60\)$"),
        ((60,), 3, r"60\)$"),
        ((), 3, r"60\)$"),
    ],
)
def test_images_that_are_no_rows(shape, channels, hint):
    net = mg.Sequential(C(channels, 2, size=(4, 5)))
    with pytest.raises(mg.ShapeError, match=hint):
        net.predict(np.zeros(shape))


def test_a_batch_without_variance():
    net = mg.Sequential(mg.Linear(2, 4), mg.BatchNorm(4))
    with pytest.raises(mg.ShapeError, match=r"one number per channel .* at least two rows"):
        net.forward(np.zeros((1, 2)))
    assert net.forward(np.zeros((1, 2)), train=False).shape == (1, 4)
    pixels = mg.Sequential(mg.BatchNorm(3), in_features=6)
    assert np.isfinite(pixels.forward(np.ones((1, 6)))).all()


def test_images_of_a_game():
    G = mg.Sequential(mg.Linear(2, 4), T(1, 1, size=2), mg.Tanh())
    assert G.output_image == (4, 4, 1)
    wrong = [C(1, 2, size=5), mg.Linear(8, 1)], [C(4, 2, size=2), mg.Linear(2, 1)]
    sizes = "25 features, images of 5 x 5 x 1", "16 features, images of 2 x 2 x 4"
    for layers, taken in zip(wrong, sizes, strict=True):
        with pytest.raises(mg.ShapeError) as error:
            mg.GAN(G, mg.Sequential(*layers), mg.Normal(dim=2))
        makes = "the generator makes 16 features, images of 4 x 4 x 1; the discriminator takes "
        assert str(error.value) == makes + taken
