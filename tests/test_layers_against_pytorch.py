"""Layers of images, normalisation and conditions against PyTorch, in float64, with all gradients.

Skipped where torch is not installed; it is no dependency of ours. Other tests compare the same
layers with plain loops and with finite differences.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan.backend.window import as_pair

torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
F = torch.nn.functional

CONFIGURATIONS = 200
TOLERANCE = 1e-10  # relative to the largest number of a result


def pair(random: np.random.Generator, low: int, high: int) -> Any:
    """Two numbers below `high` for rows and columns, or one for both."""
    both = tuple(random.integers(low, high, 2).tolist())
    return both if random.random() < 0.5 else both[0]


def to_images(rows: Any, size: tuple[int, int]) -> Any:
    """Our rows (B, h w c) as a tensor (B, c, h, w)."""
    images = rows.reshape(len(rows), *size, -1).transpose(0, 3, 1, 2)
    return torch.tensor(np.ascontiguousarray(images), requires_grad=True)


def to_rows(images: Any) -> Any:
    """A tensor (B, c, h, w) as our rows (B, h w c)."""
    return images.detach().numpy().transpose(0, 2, 3, 1).reshape(len(images), -1)


def to_kernel(weight: Any, kernel: int | tuple[int, int]) -> Any:
    """Our weight (kh kw c, o) as PyTorch's (o, c, kh, kw); of both convolutions."""
    images = weight.reshape(*as_pair(kernel), -1, weight.shape[-1]).transpose(3, 2, 0, 1)
    return np.ascontiguousarray(images)


def agree(ours: Any, theirs: Any, what: Any) -> None:
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape, what
    assert np.abs(ours - theirs).max() <= TOLERANCE * np.abs(theirs).max(), what


def run(layer: mg.Layer, seed: int, train: bool = True) -> Iterator[tuple[Any, ...]]:
    """Forward and backward of a network of one layer, in a population for some seeds.

    Yields:
        For each member: X, its parameters by name, dY, Y, dX, the gradients by name, the buffers
        by name before and after, and the labels of the rows, if the layer reads a condition.
    """
    random = np.random.default_rng(seed)
    B = int(random.integers(1, 5)) if not isinstance(layer, mg.BatchNorm) else 3 + seed % 4
    features = getattr(layer, "in_features", None) or layer.channels * int(random.integers(1, 9))
    population = seed % 5 == 0
    net = mg.Sequential(
        layer, in_features=features, seed=[seed, 1] if population else seed, dtype="float64"
    )
    net.parameters.data = random.normal(size=net.parameters.data.shape)
    net.buffers.data = random.uniform(0.5, 2.0, size=net.buffers.data.shape)
    before = {name: view.copy() for name, view in net.buffers.named().items()}
    X = random.normal(size=(*net.population, B, features))
    k = net.condition_features
    labels = random.integers(0, k, (*net.population, B)) if k else None
    Y = net.forward(X, train=train, condition=np.eye(k)[labels] if k else None)
    dY = random.normal(size=Y.shape)
    dX = net.backward(dY)
    named = net.parameters.named(), net.parameters.named_grads(), before, net.buffers.named()
    for k in [0, 1] if population else [...]:
        of_member = ({name[2:]: view[k] for name, view in some.items()} for some in named)
        parameters, gradients, first, last = of_member
        of_rows = None if labels is None else labels[k]
        yield X[k], parameters, dY[k], Y[k], dX[k], gradients, first, last, of_rows


def check_convolution(layer: Any, call: Callable[..., Any], seed: int) -> None:
    for X, parameters, dY, Y, dX, gradients, *_ in run(layer, seed):
        x = to_images(X, layer.image[:2])
        weight = torch.tensor(to_kernel(parameters["weight"], layer.kernel), requires_grad=True)
        bias = torch.tensor(parameters["bias"][0], requires_grad=True) if layer.bias else None
        y = call(x, weight, bias, layer.stride, layer.padding)
        y.backward(to_images(dY, layer.output_image[:2]))
        agree(Y, to_rows(y), layer)
        agree(dX, to_rows(x.grad), layer)
        agree(to_kernel(gradients["weight"], layer.kernel), weight.grad, layer)
        if layer.bias:
            agree(gradients["bias"][0], bias.grad, layer)


def make_any(make: Callable[[np.random.Generator], mg.Layer]) -> list[mg.Layer]:
    """Random layers, without settings that are refused because they do not fit each other."""
    random, layers = np.random.default_rng(0), []
    while len(layers) < CONFIGURATIONS:
        with contextlib.suppress(mg.ConfigError):
            layers.append(make(random))
    return layers


def any_convolution(kind: type, random: np.random.Generator, **options: Any) -> mg.Layer:
    c, o = random.integers(1, 7, 2).tolist()
    return kind(
        *(c, o, pair(random, 1, 6), pair(random, 1, 5), pair(random, 0, 4), pair(random, 1, 8)),
        bias=bool(random.random() < 0.5),
        **options,
    )


def test_convolution():
    for seed, layer in enumerate(make_any(lambda r: any_convolution(mg.Conv2d, r))):
        check_convolution(layer, F.conv2d, seed)


def test_transposed_convolution():
    def make(random: np.random.Generator) -> mg.Layer:
        return any_convolution(mg.ConvTranspose2d, random, output_padding=pair(random, 0, 4))

    layers = make_any(make)
    assert sum(max(as_pair(layer.output_padding)) > 0 for layer in layers) > 50
    for seed, layer in enumerate(layers):

        def call(*arguments: Any, more: Any = layer.output_padding) -> Any:
            return F.conv_transpose2d(*arguments, more)

        check_convolution(layer, call, seed)


@pytest.mark.parametrize("train", [True, False])
def test_batch_normalisation(train):
    """Of rows of features and of pixels; the running statistics, too."""
    random = np.random.default_rng(0)
    for seed in range(CONFIGURATIONS // 2):
        c, momentum, eps = int(random.integers(1, 7)), random.random(), 10 ** random.uniform(-6, 0)
        layer = mg.BatchNorm(c, eps=eps, momentum=momentum)
        for X, parameters, dY, Y, dX, gradients, before, after, _ in run(layer, seed, train):
            size = 1, X.shape[1] // c
            x = to_images(X, size)
            mean, variance = (
                torch.tensor(before[name][0]) for name in ("running_mean", "running_variance")
            )
            gamma, beta = (
                torch.tensor(parameters[name][0], requires_grad=True) for name in ("gamma", "beta")
            )
            y = F.batch_norm(x, mean, variance, gamma, beta, train, momentum, eps)
            y.backward(to_images(dY, size))
            agree(Y, to_rows(y), layer)
            agree(dX, to_rows(x.grad), layer)
            agree(gradients["gamma"][0], gamma.grad, layer)
            agree(gradients["beta"][0], beta.grad, layer)
            agree(after["running_mean"][0], mean, layer)
            agree(after["running_variance"][0], variance, layer)


def test_layer_normalisation():
    """Of rows of features as `layer_norm`, and of pixels as `group_norm` with one group."""
    random = np.random.default_rng(0)
    for seed in range(CONFIGURATIONS // 2):
        c, eps = int(random.integers(2, 7)), 10 ** random.uniform(-6, 0)
        layer = mg.LayerNorm(c, eps=eps)
        for X, parameters, dY, Y, dX, gradients, *_ in run(layer, seed):
            size = 1, X.shape[1] // c
            x = to_images(X, size)
            gamma, beta = (
                torch.tensor(parameters[name][0], requires_grad=True) for name in ("gamma", "beta")
            )
            if size == (1, 1):
                y = F.layer_norm(x.flatten(1), [c], gamma, beta, eps)[..., None, None]
            else:
                y = F.group_norm(x, 1, gamma, beta, eps)
            y.backward(to_images(dY, size))
            agree(Y, to_rows(y), layer)
            agree(dX, to_rows(x.grad), layer)
            agree(gradients["gamma"][0], gamma.grad, layer)
            agree(gradients["beta"][0], beta.grad, layer)


def test_upsampling():
    random = np.random.default_rng(0)
    for seed in range(CONFIGURATIONS // 4):
        c, size, factor = int(random.integers(1, 5)), pair(random, 1, 6), pair(random, 1, 5)
        layer = mg.Upsample2d(c, factor, size)
        for X, _, dY, Y, dX, *_ in run(layer, seed):
            x = to_images(X, layer.image[:2])
            y = F.interpolate(x, scale_factor=layer.factor, mode="nearest")
            y.backward(to_images(dY, layer.output_image[:2]))
            agree(Y, to_rows(y), layer)
            agree(dX, to_rows(x.grad), layer)


def any_condition(random: np.random.Generator) -> tuple[int, int, int]:
    """Features, classes, and the size of an embedding."""
    features, classes, size = random.integers(1, 8, 3).tolist()
    return features, classes, size


def test_a_condition_that_is_appended():
    """To the features of a row: `cat` with the one-hot labels."""
    random = np.random.default_rng(0)
    for seed in range(CONFIGURATIONS // 4):
        features, classes, _ = any_condition(random)
        layer = mg.AppendCondition(features, classes)
        for X, _, dY, Y, dX, *_, labels in run(layer, seed):
            x = torch.tensor(X, requires_grad=True)
            y = torch.cat([x, F.one_hot(torch.tensor(labels), classes)], 1)
            y.backward(torch.tensor(dY))
            agree(Y, y.detach(), layer)
            agree(dX, x.grad, layer)


def test_a_condition_as_channels():
    """`cat` with a constant plane for each class."""
    random = np.random.default_rng(0)
    for seed in range(CONFIGURATIONS // 4):
        channels, classes, _ = any_condition(random)
        layer = mg.AppendChannels(channels, classes, pair(random, 1, 6))
        for X, _, dY, Y, dX, *_, labels in run(layer, seed):
            x = to_images(X, layer.image[:2])
            planes = F.one_hot(torch.tensor(labels), classes)[:, :, None, None]
            y = torch.cat([x, planes.expand(-1, -1, *layer.image[:2])], 1)
            y.backward(to_images(dY, layer.image[:2]))
            agree(Y, to_rows(y), layer)
            agree(dX, to_rows(x.grad), layer)


def test_an_embedding():
    """Looked up by label, as `torch.nn.Embedding` does."""
    random = np.random.default_rng(0)
    for seed in range(CONFIGURATIONS // 2):
        features, classes, size = any_condition(random)
        layer = mg.Embedding(features, classes, size)
        for X, parameters, dY, Y, dX, gradients, *_, labels in run(layer, seed):
            x = torch.tensor(X, requires_grad=True)
            table = torch.nn.Embedding.from_pretrained(
                torch.tensor(parameters["weight"]), freeze=False
            )
            y = torch.cat([x, table(torch.tensor(labels))], 1)
            y.backward(torch.tensor(dY))
            agree(Y, y.detach(), layer)
            agree(dX, x.grad, layer)
            agree(gradients["weight"], table.weight.grad, layer)


def test_a_projection():
    """linear(x) + sum(embedding(label) * x), as in the code of Miyato and Koyama."""
    random = np.random.default_rng(0)
    for seed in range(CONFIGURATIONS // 2):
        features, classes, _ = any_condition(random)
        layer = mg.Projection(features, classes)
        for X, parameters, dY, Y, dX, gradients, *_, labels in run(layer, seed):
            x = torch.tensor(X, requires_grad=True)
            weight, bias = (
                torch.tensor(parameters[name], requires_grad=True) for name in ("weight", "bias")
            )
            shared, of_classes = weight[:, :1], weight[:, 1:]
            y = F.linear(x, shared.T, bias[0])
            y = y + (F.embedding(torch.tensor(labels), of_classes.T) * x).sum(1, keepdim=True)
            y.backward(torch.tensor(dY))
            agree(Y, y.detach(), layer)
            agree(dX, x.grad, layer)
            agree(gradients["weight"], weight.grad, layer)
            agree(gradients["bias"], bias.grad, layer)
