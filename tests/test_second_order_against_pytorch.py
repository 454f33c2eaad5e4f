"""The gradient of a penalty against PyTorch's double backward, in float64, in random networks.

Skipped where torch is not installed; it is no dependency of ours. test_second_order.py compares the
same gradients with finite differences.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import test_second_order as proofs
from test_second_order import PENALTIES, Layers, N, added, condition, network, samples

import minigan as mg
from minigan.backend.window import as_pair

torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
F = torch.nn.functional

TOLERANCE = 1e-10  # relative to the largest entry of a gradient


def any_activation(random: np.random.Generator) -> mg.Layer:
    return random.choice([
        mg.ReLU(), mg.LeakyReLU(0.2), mg.ELU(float(random.uniform(0.3, 2.0))), mg.Sigmoid(),
        mg.Tanh(), mg.Dropout(0.3),
    ])  # fmt: skip


def any_dense(random: np.random.Generator, features: int, packs: bool) -> Layers:
    """Linear layers and activations, from `features` numbers to one output."""
    layers: list[mg.Layer] = []
    if random.random() < 0.4:
        both = mg.AppendCondition(features, 3), mg.Embedding(features, 3, 2)
        layers.append(random.choice(both))
        features = layers[0].output_shape((1, features))[1]
    pack_at = int(random.integers(0, 3)) if packs else -1
    for place in range(int(random.integers(1, 4))):
        if place == pack_at:
            deviations = bool(random.random() < 0.5)
            layers.append(mg.Pack(2, deviations=deviations))
            features *= 4 if deviations else 2
        out = int(random.integers(2, 7))
        layers += mg.Linear(features, out, bias=bool(random.random() < 0.8)), any_activation(random)
        features = out
    return *layers, mg.Linear(features, 1) if packs else any_last(random, features)


def any_last(random: np.random.Generator, features: int) -> mg.Layer:
    return mg.Projection(features, 3) if random.random() < 0.4 else mg.Linear(features, 1)


def any_convolutional(random: np.random.Generator) -> Layers:
    labels = [mg.AppendChannels(2, 3, size=(5, 4))] if random.random() < 0.4 else []
    first = mg.Conv2d(5 if labels else 2, 3, 3, int(random.integers(1, 3)), 1, size=(5, 4))
    size, layers = first.output_image[:2], [*labels, first, any_activation(random)]
    if random.random() < 0.5:
        up = mg.Upsample2d(3, (1, 2), size)
        layers.append(up)
        size = up.output_image[:2]
    kind = mg.Conv2d if random.random() < 0.5 else mg.ConvTranspose2d
    second = kind(3, 2, (2, 3), 2, 1, size=size)
    layers += second, any_activation(random)
    features = second.output_image.features
    return *layers, *any_dense(random, features, packs=bool(random.random() < 0.3))


def output(layers: Layers, passes: Any, parameters: dict[str, Any], X: Any, C: Any) -> Any:
    """D(x) in PyTorch, of our parameters by name, with the masks and means of our passes."""
    for i, (layer, bound) in enumerate(zip(layers, passes, strict=True)):
        weight, bias = (parameters.get(f"{i}.{name}") for name in ("weight", "bias"))
        if isinstance(layer, mg.Linear):
            X = X @ weight + (0.0 if bias is None else bias)
        elif isinstance(layer, mg.AppendCondition):
            X = torch.cat([X, C], 1)
        elif isinstance(layer, mg.Embedding):
            X = torch.cat([X, C @ weight], 1)
        elif isinstance(layer, mg.Projection):
            X = X @ weight[:, :1] + (X * (C @ weight[:, 1:].T)).sum(1, keepdim=True) + bias
        elif isinstance(layer, mg.AppendChannels):
            images = X.reshape(N, *layer.image)
            planes = C[:, None, None, :].expand(-1, *layer.image[:2], -1)
            X = torch.cat([images, planes], 3).flatten(1)
        elif isinstance(layer, mg.Dropout):
            X = X * torch.tensor(bound.mask)
        elif isinstance(layer, mg.Pack):
            packed = X.reshape(bound.packed)
            squares = [(packed - torch.tensor(bound.mean)) ** 2] if layer.deviations else []
            X = torch.cat([one.flatten(1) for one in (packed, *squares)], 1)
        elif isinstance(layer, (mg.Conv2d, mg.ConvTranspose2d, mg.Upsample2d)):
            images = X.reshape(-1, *layer.image).permute(0, 3, 1, 2)
            if isinstance(layer, mg.Upsample2d):
                fh, fw = as_pair(layer.factor)
                images = images.repeat_interleave(fh, 2).repeat_interleave(fw, 3)
            else:
                kernel = weight.reshape(*as_pair(layer.kernel), -1, weight.shape[-1])
                kernel = kernel.permute(3, 2, 0, 1)
                convolve = F.conv2d if isinstance(layer, mg.Conv2d) else F.conv_transpose2d
                images = convolve(images, kernel, bias[0], layer.stride, layer.padding)
            X = images.permute(0, 2, 3, 1).flatten(1)
        else:
            X = eval(layer.pytorch(), {"torch": torch})(X)
    return X


def by_double_backward(penalty: mg.Penalty, net: mg.Sequential, made: Any) -> np.ndarray:
    X, fake = (torch.tensor(one) for one in samples(net))
    if isinstance(penalty, mg.GradientPenalty):
        alpha = torch.tensor(made.alpha).repeat_interleave(net.rows_multiple, 0)
        X = alpha * X + (1 - alpha) * fake
    X.requires_grad_()
    parameters = {
        name: torch.tensor(view, requires_grad=True)
        for name, view in net.parameters.named().items()
    }
    C = torch.tensor(condition(net)) if net.condition_features else None
    Y = output(net.layers, made.second.layers, parameters, X, C)
    (g,) = torch.autograd.grad(Y.sum(), X, create_graph=True)
    norms = g.reshape(N // net.rows_multiple, -1).norm(dim=1)
    if isinstance(penalty, mg.R1):
        loss = penalty.gamma / 2 * (norms**2).mean()
    else:
        over = (norms - 1).clamp(min=0) if penalty.one_sided else norms - 1
        loss = penalty.weight * (over**2).mean()
    given = torch.autograd.grad(loss, [*parameters.values()], allow_unused=True)
    views = zip(parameters.values(), given, strict=True)
    return np.concatenate([(torch.zeros_like(p) if g is None else g).ravel() for p, g in views])


def any_layers(seed: int) -> Layers:
    random = np.random.default_rng(seed)
    convolutional = random.random() < 0.5
    return any_convolutional(random) if convolutional else any_dense(random, 3, seed % 10 % 3 == 0)


def test_the_networks_have_every_layer_that_has_a_tangent():
    kinds = {type(layer) for seed in range(100, 200) for layer in any_layers(seed)}
    assert kinds == proofs.KINDS - {mg.LayerNorm}


@pytest.mark.parametrize("first", range(100, 200, 10))
def test_the_double_backward_of_ten_networks(first):
    for k in range(10):
        layers = any_layers(first + k)
        penalty = [*PENALTIES.values()][k % 3]
        net = network(layers, seed=k)
        given, made = added(penalty, net)
        right = by_double_backward(penalty, net, made)
        assert np.abs(given - right).max() <= TOLERANCE * np.abs(right).max(), net
        assert np.abs(right).max() > 0.0, net
