"""A network in PyTorch computes the same: with PyTorch itself, and with its modules in NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan.nn.pytorch import pytorch_sequential

DOUBLE = {"dtype": "float64"}


# -- what the modules of PyTorch compute, after its documentation -----------------------


class Module:
    """Settings by position and by name, and tensors by name."""

    def __init__(self, *settings, **named):
        self.settings, self.named = settings, named
        self.state: dict[str, Any] = {}

    def pairs(self):
        """Kernel, stride and padding of a convolution."""
        return [one if isinstance(one, tuple) else (one, one) for one in self.settings[2:5]]


class Linear(Module):
    def __call__(self, X):
        return X @ self.state["weight"].T + self.state.get("bias", 0.0)


class Conv2d(Module):
    def __call__(self, X):
        (kh, kw), (sh, sw), (ph, pw) = self.pairs()
        X = np.pad(X, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
        windows = np.lib.stride_tricks.sliding_window_view(X, (kh, kw), (2, 3))[:, :, ::sh, ::sw]
        Y = np.einsum("ncyxij,ocij->noyx", windows, self.state["weight"])
        return Y + self.state.get("bias", np.zeros(1))[:, None, None]


class ConvTranspose2d(Module):
    def __call__(self, X):
        (kh, kw), (sh, sw), (ph, pw) = self.pairs()
        more = self.named.get("output_padding", 0)
        oph, opw = more if isinstance(more, tuple) else (more, more)
        h, w = X.shape[2:]
        o = self.state["weight"].shape[1]
        Y = np.zeros((len(X), o, (h - 1) * sh + kh + oph, (w - 1) * sw + kw + opw))
        for y, x in np.ndindex(h, w):
            stamp = np.einsum("nc,coij->noij", X[:, :, y, x], self.state["weight"])
            Y[:, :, y * sh : y * sh + kh, x * sw : x * sw + kw] += stamp
        Y = Y[:, :, ph : Y.shape[2] - ph, pw : Y.shape[3] - pw]
        return Y + self.state.get("bias", np.zeros(1))[:, None, None]


class BatchNorm1d(Module):
    rank = 2

    def __call__(self, X):
        assert X.ndim == self.rank
        mean, var, weight, bias = (
            self.state[name].reshape(-1, *[1] * (self.rank - 2))
            for name in ("running_mean", "running_var", "weight", "bias")
        )
        assert self.state["num_batches_tracked"].shape == ()
        return (X - mean) / np.sqrt(var + self.named["eps"]) * weight + bias


class BatchNorm2d(BatchNorm1d):
    rank = 4


class LayerNorm(Module):
    def __call__(self, X):
        assert X.shape[1:] == self.settings == self.state["weight"].shape
        std = np.sqrt(X.var(1, keepdims=True) + self.named["eps"])
        return (X - X.mean(1, keepdims=True)) / std * self.state["weight"] + self.state["bias"]


class GroupNorm(Module):
    def __call__(self, X):
        groups, channels = self.settings
        assert groups == 1
        assert X.shape[1] == channels
        rows = X.reshape(len(X), -1)
        std = np.sqrt(rows.var(1, keepdims=True) + self.named["eps"])
        normalised = ((rows - rows.mean(1, keepdims=True)) / std).reshape(X.shape)
        weight, bias = (self.state[name][:, None, None] for name in ("weight", "bias"))
        return normalised * weight + bias


class Flatten(Module):
    def __call__(self, X):
        return X.reshape(len(X), -1)


class Unflatten(Module):
    def __call__(self, X):
        assert self.settings[0] == 1
        return X.reshape(len(X), *self.settings[1])


class ChannelShuffle(Module):
    def __call__(self, X):
        assert X.ndim > 2
        grouped = X.reshape(len(X), *self.settings, -1, *X.shape[2:])
        return grouped.swapaxes(1, 2).reshape(X.shape)


class Upsample(Module):
    def __call__(self, X):
        factor = self.named["scale_factor"]
        fh, fw = factor if isinstance(factor, tuple) else (factor, factor)
        return X.repeat(fh, axis=2).repeat(fw, axis=3)


class Sequential(Module):
    def double(self):
        return self

    def load_state_dict(self, state):
        for name, array in state.items():
            i, _, rest = name.partition(".")
            self.settings[int(i)].state[rest] = array

    def __call__(self, X):
        for module in self.settings:
            X = module(X)
        return X


def elementwise(formula):
    return lambda *settings: lambda X: formula(X, *settings)


IN_NUMPY = SimpleNamespace(
    nn=SimpleNamespace(
        **{kind.__name__: kind for kind in (*Module.__subclasses__(), BatchNorm2d)},
        ReLU=elementwise(lambda X: np.maximum(X, 0)),
        LeakyReLU=elementwise(lambda X, slope: np.where(X > 0, X, slope * X)),
        ELU=elementwise(lambda X, alpha: np.where(X > 0, X, alpha * np.expm1(X))),
        Sigmoid=elementwise(lambda X: 1 / (1 + np.exp(-X))),
        Tanh=elementwise(np.tanh),
        AvgPool1d=elementwise(lambda X, kernel, stride, padding: neighbours(X)),
        Dropout=elementwise(lambda X, rate: X),
    )
)


@pytest.fixture(params=["numpy", "torch"])
def predict(request):
    """The rows that a network makes of X in PyTorch, or in what stands in for it here."""

    def with_numpy(net, X):
        source, state = pytorch_sequential(net)
        theirs = eval(source, {"torch": IN_NUMPY})
        theirs.load_state_dict(state)
        return theirs(X)

    def with_torch(net, X):
        source, state = pytorch_sequential(net)
        theirs = eval(source, {"torch": torch}).eval()
        theirs.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
        with torch.no_grad():
            return theirs(torch.from_numpy(X)).numpy()

    if request.param == "numpy":
        return with_numpy
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    return with_torch


def trained(*layers, **options):
    """A network whose numbers all differ from those of other places."""
    net = mg.Sequential(*layers, **DOUBLE | options)
    rng = np.random.default_rng(0)
    net.parameters.data = rng.normal(0, 0.5, net.parameters.size)
    net.buffers.data = rng.uniform(0.5, 2, net.buffers.size)
    return net


# -- networks ---------------------------------------------------------------------------


def neighbours(X):
    """The mean of each feature and the two next to it; outside there are zeros."""
    X = np.pad(X, ((0, 0), (1, 1)))
    return (X[:, :-2] + X[:, 1:-1] + X[:, 2:]) / 3


@dataclass(frozen=True)
class Neighbours(mg.Layer):
    """A user's layer to which the order of the features matters."""

    def pytorch(self):
        return "torch.nn.AvgPool1d(3, 1, 1)"

    def bind(self, binding):
        return NeighboursPass(binding)


class NeighboursPass(mg.LayerPass):
    def forward(self, X, train):
        self.Y[...] = neighbours(X)
        return self.Y


def dcgan_generator(h, w, c):
    """The networks of the DCGAN example, for images of 4 h x 4 w."""
    return (
        *(mg.Linear(5, 12), mg.BatchNorm(12), mg.ReLU()),
        *(mg.Linear(12, h * w * 6), mg.BatchNorm(h * w * 6), mg.ReLU()),
        *(mg.ConvTranspose2d(6, 4, size=(h, w)), mg.BatchNorm(4), mg.ReLU()),
        *(mg.ConvTranspose2d(4, c, size=(2 * h, 2 * w)), mg.Tanh()),
    )


def dcgan_discriminator(h, w, c):
    return (
        *(mg.Conv2d(c, 3, size=(4 * h, 4 * w)), mg.LeakyReLU(0.2)),
        *(mg.Conv2d(3, 5, size=(2 * h, 2 * w)), mg.BatchNorm(5), mg.LeakyReLU(0.2)),
        *(mg.Linear(h * w * 5, 9), mg.BatchNorm(9), mg.LeakyReLU(0.2), mg.Linear(9, 1)),
    )


IMAGE = {"kernel": 3, "stride": 1, "size": (2, 3)}
NETS = {
    "G of digits": dcgan_generator(2, 2, 1),
    "D of digits": dcgan_discriminator(2, 2, 1),
    "G of MNIST": dcgan_generator(7, 7, 1),
    "D of MNIST": dcgan_discriminator(7, 7, 1),
    "G of colours": dcgan_generator(2, 3, 3),
    "D of colours": dcgan_discriminator(2, 3, 3),
    "pairs": (
        mg.Linear(2, 5 * 6 * 2, bias=False),
        mg.Conv2d(2, 3, (3, 2), (2, 1), (1, 0), (5, 6), bias=False),
        mg.ELU(0.7),
        mg.ConvTranspose2d(3, 2, (3, 4), (2, 3), (0, 1), (3, 5), output_padding=(1, 2)),
    ),
    "no bias": (mg.ConvTranspose2d(2, 3, size=2, bias=False), mg.Sigmoid(), mg.Linear(48, 2)),
    "upsampling": (
        *(mg.Linear(2, 18), mg.Dropout(), mg.Upsample2d(3, (2, 3), (2, 3)), mg.Dropout()),
        *(mg.Conv2d(3, 1, 3, 1, 1, (4, 9)),),
    ),
    "upsampling alone": (mg.Upsample2d(3, 2, (2, 3)),),
    "pixels behind a Linear": (mg.Linear(2, 18), mg.BatchNorm(3), mg.Conv2d(3, 2, **IMAGE)),
    "pixels without a convolution": (mg.Linear(2, 12), mg.BatchNorm(3), mg.Linear(12, 2)),
    "pixels at the ends": (mg.BatchNorm(3), mg.Linear(6, 6), mg.BatchNorm(2)),
    "pixels in front": (mg.BatchNorm(3), mg.ReLU(), mg.Conv2d(3, 2, **IMAGE)),
    "features of images": (
        *(mg.Conv2d(3, 2, **IMAGE), mg.BatchNorm(12), mg.Conv2d(2, 2, **IMAGE)),
        *(mg.BatchNorm(12), mg.BatchNorm(2), mg.BatchNorm(12), mg.Dropout()),
    ),
    "pixels of two kinds": (
        *(mg.Linear(2, 12), mg.BatchNorm(3), mg.BatchNorm(2), mg.ReLU()),
        *(mg.ConvTranspose2d(1, 2, size=(4, 3)), mg.BatchNorm(2)),
    ),
    "a critic": (
        *(mg.Conv2d(2, 3, size=4), mg.LayerNorm(3), mg.LeakyReLU(0.2)),
        *(mg.Linear(12, 8), mg.LayerNorm(8, eps=0.3), mg.LeakyReLU(0.2), mg.Linear(8, 1)),
    ),
    "rows normalised as they are": (
        *(mg.Conv2d(3, 2, **IMAGE), mg.LayerNorm(12), mg.LayerNorm(2)),
        *(mg.Linear(12, 12), mg.LayerNorm(12), mg.LayerNorm(3), mg.LayerNorm(4), mg.Tanh()),
        *(mg.Conv2d(2, 2, **IMAGE), mg.LayerNorm(12), mg.BatchNorm(2), mg.LayerNorm(12)),
    ),
    "one pixel": (mg.Conv2d(3, 4, 2, size=1), mg.BatchNorm(4), mg.Linear(4, 1)),
    "a layer of a user": (
        *(mg.Conv2d(1, 2, **IMAGE), Neighbours(), mg.ConvTranspose2d(2, 1, **IMAGE)),
        *(mg.Linear(6, 18), Neighbours(), mg.Conv2d(3, 1, **IMAGE)),
    ),
}


@pytest.mark.parametrize("layers", NETS.values(), ids=NETS.keys())
def test_the_same_rows(layers, predict):
    net = trained(*layers, in_features=6 if layers is NETS["pixels at the ends"] else None)
    X = np.random.default_rng(1).normal(size=(4, net.in_features))
    Y = predict(net, X)
    assert Y.shape == (4, net.out_features)
    np.testing.assert_allclose(Y, net.predict(X), rtol=1e-10, atol=1e-10)


CONDITIONED = {
    "dense": (mg.AppendCondition(3, 2), mg.Linear(5, 4), mg.BatchNorm(4), mg.Tanh()),
    "images": (
        *(mg.AppendCondition(3, 2), mg.Linear(5, 12), mg.ConvTranspose2d(3, 2, size=2)),
        *(mg.BatchNorm(2), mg.Tanh()),
    ),
    "in front of an image": (mg.AppendCondition(10, 2), mg.Conv2d(2, 3, **IMAGE)),
    "alone": (mg.AppendCondition(3, 2),),
}


@pytest.mark.parametrize("layers", CONDITIONED.values(), ids=CONDITIONED.keys())
def test_a_network_that_begins_with_a_condition_takes_it_in_its_rows(layers, predict):
    net = trained(*layers)
    random = np.random.default_rng(1)
    X, C = random.normal(size=(4, net.in_features)), np.eye(2)[[1, 0, 0, 1]]
    Y = predict(net, np.concatenate([X, C], axis=1))
    np.testing.assert_allclose(Y, net.predict(X, C), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ((mg.AppendChannels(1, 2, 2), mg.Linear(12, 1)), "layer 0, AppendChannels, reads"),
        ((mg.Embedding(3, 2, 2), mg.Linear(5, 1)), "layer 0, Embedding, reads"),
        ((mg.AppendCondition(3, 2), mg.Projection(5, 2)), "layer 1, Projection, reads"),
        ((mg.Linear(2, 3), mg.AppendCondition(3, 2)), "layer 1, AppendCondition, reads"),
    ],
    ids=str,
)
def test_other_layers_that_read_a_condition_are_refused(layers, said):
    with pytest.raises(mg.ConfigError, match=f"{said} a condition, and a torch.nn.Sequential has"):
        pytorch_sequential(mg.Sequential(*layers))


def random_layers(rng):
    """Features, and layers for them."""
    h, w, c = map(int, rng.integers(1, 5, 3))
    features, made = h * w * c, []
    for kind in rng.integers(7, size=rng.integers(1, 6)):
        o = int(rng.integers(1, 5))
        stride = tuple(map(int, rng.integers(1, 4, 2)))
        kernel = (int(rng.integers(1, h + 3)), int(rng.integers(1, w + 3)))
        if kind == 0:
            made.append(mg.Linear(h * w * c, h * w * o))
            c = o
        elif kind == 1:
            kind = mg.BatchNorm if h * w * c == 1 else rng.choice([mg.BatchNorm, mg.LayerNorm])
            made.append(kind(int(rng.choice([c, h * w * c]))))
        elif kind == 2:
            made.append(mg.LeakyReLU(0.1))
        elif kind == 3:
            made.append(Neighbours())
        else:
            if kind == 4:
                made.append(mg.Upsample2d(c, stride, (h, w)))
            elif kind == 5:
                made.append(mg.Conv2d(c, o, kernel, stride, 1, (h, w)))
            else:
                more = tuple(int(rng.integers(n)) for n in stride)
                made.append(
                    mg.ConvTranspose2d(c, o, kernel, stride, 0, (h, w), output_padding=more)
                )
            h, w, c = made[-1].output_image
    return features, made


@pytest.mark.parametrize("seed", range(40))
def test_the_same_rows_of_random_layers(seed, predict):
    features, layers = random_layers(np.random.default_rng(seed))
    layers = [mg.Linear(3, features), *layers] if seed % 2 else layers
    net = trained(*layers, in_features=3 if seed % 2 else features)
    X = np.random.default_rng(1).normal(size=(3, net.in_features))
    Y = net.predict(X)
    np.testing.assert_allclose(predict(net, X), Y, rtol=1e-10, atol=1e-10 * np.abs(Y).max())


# -- the line of Python -----------------------------------------------------------------


def line(*words):
    return f"torch.nn.Sequential({', '.join(f'torch.nn.{word}' for word in words)})"


NORM = "eps=1e-05, momentum=0.1"


def test_the_line_of_a_generator():
    """As one would write it in PyTorch."""
    source, state = pytorch_sequential(mg.Sequential(*dcgan_generator(7, 7, 1)))
    assert source == line(
        *("Linear(5, 12)", f"BatchNorm1d(12, {NORM})", "ReLU()"),
        *("Linear(12, 294)", f"BatchNorm1d(294, {NORM})", "ReLU()", "Unflatten(1, (6, 7, 7))"),
        *("ConvTranspose2d(6, 4, 4, 2, 1)", f"BatchNorm2d(4, {NORM})", "ReLU()"),
        *("ConvTranspose2d(4, 1, 4, 2, 1)", "Tanh()", "Flatten()"),
    )
    assert state["7.weight"].shape == (6, 4, 4, 4)
    assert {"8.running_var", "8.num_batches_tracked", "10.bias"} <= state.keys()


def test_the_line_of_a_discriminator():
    source, state = pytorch_sequential(mg.Sequential(*dcgan_discriminator(7, 7, 1)))
    assert source == line(
        *("Unflatten(1, (1, 28, 28))", "Conv2d(1, 3, 4, 2, 1)", "LeakyReLU(0.2)"),
        *("Conv2d(3, 5, 4, 2, 1)", f"BatchNorm2d(5, {NORM})", "LeakyReLU(0.2)", "Flatten()"),
        *("Linear(245, 9)", f"BatchNorm1d(9, {NORM})", "LeakyReLU(0.2)", "Linear(9, 1)"),
    )
    assert state["3.weight"].shape == (5, 3, 4, 4)
    assert state["7.weight"].shape == (9, 245)


def test_the_line_of_a_critic():
    source, state = pytorch_sequential(mg.Sequential(*NETS["a critic"]))
    modules = (
        *("Conv2d(2, 3, 4, 2, 1)", "GroupNorm(1, 3, eps=1e-05)", "LeakyReLU(0.2)", "Flatten()"),
        *("Linear(12, 8)", "LayerNorm(8, eps=0.3)", "LeakyReLU(0.2)", "Linear(8, 1)"),
    )
    assert source.endswith(line(*modules).removeprefix("torch.nn.Sequential("))
    assert {name for name, array in state.items() if array.shape == (8,)} == {
        *("8.bias", "9.weight", "9.bias"),
    }


def test_the_line_of_pixels_behind_a_linear():
    source, _ = pytorch_sequential(mg.Sequential(*NETS["pixels behind a Linear"]))
    assert source == line(
        *("Linear(2, 18)", "Unflatten(1, (3, 2, 3))", f"BatchNorm2d(3, {NORM})"),
        *("Conv2d(3, 2, 3, 1, 1)", "Flatten()"),
        *("Unflatten(1, (12, 1))", "ChannelShuffle(2)", "Flatten()"),
    )


def test_the_channels_of_a_first_image_are_shuffled():
    source, _ = pytorch_sequential(mg.Sequential(mg.Upsample2d(3, 2, (2, 3))))
    first = "torch.nn.Unflatten(1, (18, 1)), torch.nn.ChannelShuffle(6), torch.nn.Flatten(), "
    last = "torch.nn.Unflatten(1, (72, 1)), torch.nn.ChannelShuffle(3), torch.nn.Flatten())"
    assert source.startswith(f"torch.nn.Sequential({first}torch.nn.Unflatten(1, (3, 2, 3)), ")
    assert source.endswith(last)


def test_the_rows_of_a_linear_behind_an_image():
    """PyTorch's feature (channel, y, x) is our feature (y, x, channel)."""
    net = trained(mg.Conv2d(1, 2, **IMAGE), mg.Linear(12, 1))
    _, state = pytorch_sequential(net)
    ours = net.parameters.named()["1.weight"]  # (12, 1)
    for k, y, x in np.ndindex(2, 2, 3):
        assert state["3.weight"][0, k * 6 + y * 3 + x] == ours[(y * 3 + x) * 2 + k, 0]


@pytest.mark.parametrize("factor", [7, 41])
def test_upsampling_by_large_factors(factor, predict):
    """PyTorch's default mode rounds in float32: by 41 it repeats some pixel 40 times."""
    net = mg.Sequential(mg.Upsample2d(1, (factor, 1), (60, 1)))
    X = np.random.default_rng(1).normal(size=(1, 60)).astype("float32")
    np.testing.assert_array_equal(predict(net, X), net.predict(X))
