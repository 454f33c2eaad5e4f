"""The exercises, and the cases that each one is graded with.

The sizes that a product could mix up differ in every case, so that a forgotten transpose cannot
pass for right. What is right comes from differences of the library's forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np

import minigan.lessons.typical_mistakes as typical
import minigan.nn as nn
from minigan.backend import Array
from minigan.lessons.example_numbers import argument, normal
from minigan.lessons.grader import Case, Exercise, Grads
from minigan.lessons.typical_mistakes import Effects, wrong_gradients
from minigan.nn.differences import differences
from minigan.nn.gradcheck import compare, compare_function

ALPHA = 1.5  # of ELU: not 1, so that forgetting it shows
RATE = 1.0  # of plain gradient descent, so that a network's move is its gradient


def _numbers(case: int, name: str, shape: tuple[int, ...]) -> Array:
    """Standard normal numbers, none closer to 0 than 0.05, to keep away from kinks."""
    X = normal(case, f"ninja/{name}", shape)
    return np.where(np.abs(X) < 0.05, 0.05, X)


def _case(
    given: Mapping[str, Any],
    numeric: Grads,
    mistakes: str,
    helpers: Mapping[str, Any] = MappingProxyType({}),
    effects: Effects = MappingProxyType({}),
    **settings: Any,
) -> Case:
    """A case in which `backward` gets the arrays `given` and returns the gradients of `numeric`.

    Args:
        mistakes, effects: see `wrong_gradients`; `helpers` is what formulas use besides `given`.
        settings: of `Case`.
    """
    returned: Sequence[str] = settings.setdefault("returned", tuple(numeric))

    def answer(module: ModuleType) -> Grads:
        copies = [np.array(a) if isinstance(a, np.ndarray) else a for a in given.values()]
        got = module.backward(*copies)
        several = len(returned) > 1 and isinstance(got, tuple | list)
        return dict(zip(returned, got if several else [got], strict=False))

    known = wrong_gradients(mistakes, {**given, **helpers}, numeric, effects)
    return Case(answer, numeric, known, **settings)


# -- layers ---------------------------------------------------------------------------------


def _of_layer(
    layer: nn.Layer, X: Array, dY: Array, names: Mapping[str, str], seed: int = 0
) -> tuple[nn.Sequential, Array, Grads]:
    """The network, Y, and the gradients by differences."""
    net = nn.Sequential(layer, in_features=X.shape[1], seed=seed, dtype="float64")
    Y, both = compare(net, X, dY)
    found = {one.name: one.numeric for one in both}
    return net, Y, {name: found[key] for key, name in names.items()}


def _linear(case: int, B: int, fan_in: int, fan_out: int) -> Case:
    X, dY = _numbers(case, "X", (B, fan_in)), _numbers(case, "dY", (B, fan_out))
    names = {"0.weight": "dW", "0.bias": "db", "X": "dX"}
    net, _, numeric = _of_layer(nn.Linear(fan_in, fan_out), X, dY, names, case)
    given = {"dY": dY, "X": X, "W": net.parameters.named()["0.weight"]}
    return _case(given, numeric, typical.LINEAR)


def _activation(layer: nn.Layer, mistakes: str, **given: float) -> Callable[..., Case]:
    """The cases of an activation that is differentiated from its output."""

    def make(case: int, *shape: int) -> Case:
        X, dY = _numbers(case, "X", shape), _numbers(case, "dY", shape)
        _, Y, numeric = _of_layer(layer, X, dY, {"X": "dX"})
        slope = numeric["dX"] / dY  # (B, F)
        every = mistakes + typical.ELEMENTWISE.lstrip()
        return _case({"dY": dY, "Y": Y, **given}, numeric, every, {"slope": slope})

    return make


def _dropout(case: int, *shape: int) -> Case:
    X, dY = _numbers(case, "X", shape), _numbers(case, "dY", shape)
    layer = nn.Dropout((0.25, 0.6)[case])
    _, Y, numeric = _of_layer(layer, X, dY, {"X": "dX"}, case)
    mask = Y / X  # (B, F) 0 or about 1 / (1 - rate)
    return _case({"dY": dY, "mask": mask}, numeric, typical.DROPOUT)


def _pack(case: int, packs: int, m: int, features: int) -> Case:
    X = _numbers(case, "X", (packs * m, features))
    dY = _numbers(case, "dY", (packs, 2 * m * features))
    _, _, numeric = _of_layer(nn.Pack(m), X, dY, {"X": "dX"})
    given = {"dY": dY, "X": X, "m": m}
    effects = {"dX": lambda packs: {"dX": packs.reshape(X.shape)}}  # of (P, m, F)
    return _case(given, numeric, typical.PACK, effects=effects)


def _conv2d(
    case: int, B: int, h: int, w: int, c: int, o: int, kh: int, kw: int, s: int, p: int
) -> Case:
    layer = nn.Conv2d(c, o, (kh, kw), s, p, (h, w))
    oh, ow = layer.window.places
    rows = _numbers(case, "X", (B, h * w * c)), _numbers(case, "dY", (B, oh * ow * o))
    X, dY = rows[0].reshape(B, h, w, c), rows[1].reshape(B, oh, ow, o)
    names = {"0.weight": "dW", "0.bias": "db", "X": "dX"}
    net, _, numeric = _of_layer(layer, *rows, names, case)
    W = net.parameters.named()["0.weight"].reshape(kh, kw, c, o)
    shapes = {"dW": W.shape, "db": (o,), "dX": X.shape}
    numeric = {name: numeric[name].reshape(shape) for name, shape in shapes.items()}
    P = np.pad(X, ((0, 0), (p, p), (p, p), (0, 0)))  # (B, h + 2 p, w + 2 p, c)

    def seen(P: Array, tap: tuple[int, ...], step: int) -> Array:
        """The pixels of P under a tap in all places: a view (B, oh, ow, c)."""
        i, j = tap
        return P[:, i : i + step * oh : step, j : j + step * ow : step]

    def weight_gradient(step: int = s) -> Array:
        """dW, which is right with the default."""
        dW = np.empty(W.shape)
        for tap in np.ndindex(kh, kw):
            dW[tap] = np.tensordot(seen(P, tap, step), dY, axes=((0, 1, 2), (0, 1, 2)))
        return dW

    def image_gradient(
        W: Array = W, step: int = s, add: bool = True, first: int | None = p
    ) -> Array:
        """dX, which is right with the defaults; `first` is the first row and column to keep."""
        dP = np.zeros_like(P)
        for tap in np.ndindex(kh, kw):
            x = seen(dP, tap, step)
            x[...] = add * x + dY @ W[tap].T
        return dP if first is None else dP[:, first : first + h, first : first + w]

    made = {"weight_gradient": weight_gradient, "image_gradient": image_gradient}
    given = {"dY": dY, "X": X, "W": W, "s": s, "p": p}
    return _case(given, numeric, typical.CONV2D, {**made, "B": B})


def _batch_norm(case: int, B: int, features: int) -> Case:
    X, dY = _numbers(case, "X", (B, features)), _numbers(case, "dY", (B, features))
    eps = 0.1  # large, so that forgetting it shows
    net = nn.Sequential(nn.BatchNorm(features, eps=eps), in_features=features, dtype="float64")
    net.parameters.data[:] = _numbers(case, "gamma, beta", (2 * features,))
    found = {one.name: one.numeric for one in compare(net, X, dY)[1]}
    numeric = {"dgamma": found["0.gamma"], "dbeta": found["0.beta"], "dX": found["X"]}
    given = {"dY": dY, "X": X, "gamma": net.parameters.named()["0.gamma"].copy(), "eps": eps}
    stages = ("dgamma", "dbeta"), ("dX",)  # whose formula is usually written with them
    return _case(given, numeric, typical.BATCH_NORM, {"B": B}, stages=stages)


# -- losses ---------------------------------------------------------------------------------


def _loss(
    loss: Callable[[Any, Any], tuple[float, Any]], names: tuple[str, str], mistakes: str
) -> Callable[..., Case]:
    """The cases of a loss with arguments of these names."""

    def make(case: int, B: int, K: int) -> Case:
        X, targets = (argument(name, _numbers(case, name, (B, K))) for name in names)
        if case == 2:  # the answer should be safe for logits of any size
            X = np.array([[800.0, -800.0], [-30.0, 30.0], [5.0, -90.0]])
        both = compare_function(lambda at: loss(at, targets), X)
        return _case(
            dict(zip(names, (X, targets), strict=True)),
            {f"d{names[0]}": both.numeric},
            mistakes,
            {"B": B, "K": K, "N": B * K},
            sizes={"B": B, "K": K, "B K": B * K} if "labels" in names else {"N": B * K, "B": B},
        )

    return make


# -- networks -------------------------------------------------------------------------------


def _network(case: int, B: int, fan_in: int, hidden: int) -> Case:
    X = _numbers(case, "X", (B, fan_in))
    t = (_numbers(case, "t", (B, 1)) > 0).astype("float64")  # (B, 1)
    layers = nn.Linear(fan_in, hidden), nn.ELU(), nn.Linear(hidden, 1)
    net = nn.Sequential(*layers, seed=case, dtype="float64")
    names = {"2.weight": "dW2", "2.bias": "db2", "0.weight": "dW1", "0.bias": "db1"}

    def loss() -> float:
        return nn.bce_with_logits(net.forward(X), t)[0]

    views = net.parameters.views(differences(loss, net.parameters.data))
    numeric = {name: views[key] for key, name in names.items()}
    logits = net.forward(X).copy()  # (B, 1)
    dlogits = nn.bce_with_logits(logits, t)[1]  # (B, 1)
    W1, b1, W2, _ = net.parameters.named().values()
    A = X @ W1 + b1  # (B, hidden)
    H = np.where(A > 0, A, np.exp(A) - 1)  # (B, hidden)
    given = {"X": X, "t": t, "H": H, "logits": logits, "W2": W2.copy()}

    def linear(number: int, X: Array) -> Callable[[Array], Grads]:
        """What follows from the dY of a Linear layer with this input."""
        return lambda dY: {f"dW{number}": X.T @ dY, f"db{number}": dY.sum(axis=0, keepdims=True)}

    return _case(
        *(given, numeric, typical.NETWORK),
        {"dlogits": dlogits, "B": B},
        {"dlogits": linear(2, H), "dA": linear(1, X)},
        sizes={"B": B},
        stages=(("dW2", "db2"), ("dW1", "db1")),
        returned=("dW1", "db1", "dW2", "db2"),
    )


def _gan_step(case: int, B: int, dim: int, features: int) -> Case:
    real = _numbers(case, "real", (B, features))
    z_for_D, z_for_G = (_numbers(case, f"z{k}", (B, dim)) for k in (1, 2))
    targets = np.repeat([[1.0], [0.0]], B, axis=0)  # (2 B, 1)

    def networks() -> tuple[nn.Sequential, nn.Sequential]:
        layers_of_G = nn.Linear(dim, 4), nn.Tanh(), nn.Linear(4, features)
        G = nn.Sequential(*layers_of_G, seed=case, name="generator", dtype="float64")
        layers_of_D = nn.Linear(features, 5), nn.LeakyReLU(0.2), nn.Linear(5, 1)
        return G, nn.Sequential(*layers_of_D, seed=case, name="discriminator", dtype="float64")

    def named(D: nn.Sequential, of_D: Array, G: nn.Sequential, of_G: Array) -> Grads:
        """Two flat gradients by the names of their parameters, "D 0.weight"."""
        both = (("D", D, of_D), ("G", G, of_G))
        return {
            f"{role} {name}": view
            for role, net, flat in both
            for name, view in net.parameters.views(flat).items()
        }

    def answer(module: ModuleType) -> Grads:
        G, D = networks()
        before = [net.parameters.data.copy() for net in (D, G)]
        optimizers = nn.SGD(G.parameters, lr=RATE), nn.SGD(D.parameters, lr=RATE)
        module.step(G, D, *optimizers, *(a.copy() for a in (real, z_for_D, z_for_G)))
        of_D, of_G = (
            (old - net.parameters.data) / RATE for old, net in zip(before, (D, G), strict=True)
        )
        return named(D, of_D, G, of_G)

    def play(
        d_factor: float = 1.0,
        d_targets: Any = targets,
        g_target: float = 1.0,
        g_factor: float = 1.0,
        d_moves: bool = True,
    ) -> Grads:
        """The library's gradients of a step, which is right with the defaults."""
        G, D = networks()
        logits = D.forward(np.concatenate([real, G.forward(z_for_D)]))
        D.backward(2 * d_factor * nn.bce_with_logits(logits, d_targets)[1])
        of_D = D.parameters.grad.copy()  # (n,)
        D.parameters.data[:] -= RATE * of_D * d_moves
        logits = D.forward(G.forward(z_for_G))
        G.backward(D.backward(g_factor * nn.bce_with_logits(logits, g_target)[1]))
        return named(D, of_D, G, G.parameters.grad)

    G, D = networks()
    both = np.concatenate([real, G.forward(z_for_D)])  # (2 B, features)

    def loss_of_D() -> float:
        return 2 * nn.bce_with_logits(D.forward(both), targets)[0]

    def loss_of_G() -> float:
        return nn.bce_with_logits(D.forward(G.forward(z_for_G)), 1.0)[0]

    of_D = differences(loss_of_D, D.parameters.data)  # (n,)
    D.parameters.data[:] -= RATE * of_D
    of_G = differences(loss_of_G, G.parameters.data)  # (n,)
    numeric = named(D, of_D, G, of_G)
    still = {name: np.zeros_like(g) for name, g in numeric.items()}
    stages = {role: tuple(name for name in numeric if name[0] == role) for role in "DG"}

    def only(names: Sequence[str]) -> Callable[[Grads], Grads]:
        return lambda grads: {name: grads[name] for name in names}

    effects = {role: only(names) for role, names in stages.items()}
    scope = {"play": play, "still": still, "targets": targets, "B": B}
    known = wrong_gradients(typical.GAN_STEP, scope, numeric, effects)
    return Case(answer, numeric, known, {"B": B}, tuple(stages.values()))


def _gradient_penalty(case: int, B: int, fan_in: int, hidden: int) -> Case:
    X = _numbers(case, "X", (B, fan_in))
    if case == 1:
        X[-1] *= 1e4  # its tanh are 1 or -1, so this row of G is 0, and its norm has no derivative
    layers = nn.Linear(fan_in, hidden), nn.Tanh(), nn.Linear(hidden, 1)
    net = nn.Sequential(*layers, seed=case, dtype="float64")
    ones = np.ones((B, 1))

    def penalty() -> float:
        net.forward(X)
        G = net.backward(ones, parameter_grads=False)  # (B, in)
        assert G is not None
        return float((G**2).sum() / B)

    views = net.parameters.views(differences(penalty, net.parameters.data))
    numeric = {"dW2": views["2.weight"], "dW1": views["0.weight"], "db1": views["0.bias"]}
    W1, b1, W2, _ = net.parameters.named().values()
    H = np.tanh(X @ W1 + b1)  # (B, hidden)
    slope, bend = 1 - H**2, -2 * H * (1 - H**2)  # (B, hidden), the two derivatives of tanh
    E_H = ones @ W2.T  # (B, hidden)
    E_Z = E_H * slope  # (B, hidden)
    G = E_Z @ W1.T  # (B, in)
    V = 2 * G / B  # (B, in)
    U_Z = V @ W1  # (B, hidden)
    given = {"X": X, "H": H, "W1": W1.copy(), "W2": W2.copy()}
    made = {"G": G, "E_H": E_H, "E_Z": E_Z, "V": V, "U_Z": U_Z, "U_H": U_Z * slope}
    made |= {"C": E_H * U_Z * bend, "slope": slope, "bend": bend, "B": B}

    def of_tangent(U_H: Array) -> Grads:
        return {"dW2": U_H.T @ ones}

    def of_curvature(C: Array, V: Array = V) -> Grads:
        return {"dW1": V.T @ E_Z + X.T @ C, "db1": C.sum(axis=0, keepdims=True)}

    def of_seed(V: Array) -> Grads:
        return of_tangent(V @ W1 * slope) | of_curvature(E_H * (V @ W1) * bend, V)

    return _case(
        *(given, numeric, typical.GRADIENT_PENALTY, made),
        {"V": of_seed, "U_H": of_tangent, "C": of_curvature},
        sizes={"B": B},
        stages=(("dW2",), ("dW1", "db1")),
        undefined="is there a root? ||g|| has no derivative where g is 0, and ||g||^2 has no root",
    )


SHAPES = ((4, 3), (2, 5))
LOSS_SHAPES = ((4, 3), (5, 2))
#: Windows that overlap, and end before the image does; without padding; with gaps between them.
CONVOLUTIONS = (
    (2, 4, 6, 2, 3, 3, 4, 2, 1),
    (3, 4, 3, 1, 2, 2, 3, 1, 0),
    (2, 3, 5, 3, 2, 1, 2, 3, 2),
)
_mse = _loss(nn.mean_squared_error, ("Y", "t"), typical.MEAN_SQUARED_ERROR)
_bce = _loss(nn.bce, ("P", "t"), typical.BCE)
_on_logits = _loss(nn.bce_with_logits, ("logits", "t"), typical.BCE_WITH_LOGITS)
_softmax = _loss(nn.softmax_cross_entropy, ("logits", "labels"), typical.SOFTMAX_CROSS_ENTROPY)

#: All of them, in their order.
EXERCISES: tuple[Exercise, ...] = (
    Exercise("ex01_linear.py", _linear, ((4, 2, 3), (3, 5, 2))),
    Exercise("ex02_relu.py", _activation(nn.ReLU(), typical.RELU), SHAPES),
    Exercise("ex03_sigmoid.py", _activation(nn.Sigmoid(), typical.SIGMOID), SHAPES),
    Exercise("ex04_tanh.py", _activation(nn.Tanh(), typical.TANH), SHAPES),
    Exercise("ex05_elu.py", _activation(nn.ELU(ALPHA), typical.ELU, alpha=ALPHA), SHAPES),
    Exercise("ex06_dropout.py", _dropout, ((4, 3), (3, 5))),
    Exercise("ex07_mean_squared_error.py", _mse, LOSS_SHAPES),
    Exercise("ex08_bce.py", _bce, LOSS_SHAPES),
    Exercise("ex09_bce_with_logits.py", _on_logits, (*LOSS_SHAPES, (3, 2))),
    Exercise("ex10_softmax_cross_entropy.py", _softmax, ((3, 4), (5, 3))),
    Exercise("ex11_pack.py", _pack, ((4, 3, 2), (3, 2, 4))),
    Exercise("ex12_network.py", _network, ((5, 2, 3), (4, 3, 6))),
    Exercise("ex13_gan_step.py", _gan_step, ((4, 2, 3), (5, 3, 2))),
    Exercise("ex14_conv2d.py", _conv2d, CONVOLUTIONS),
    Exercise("ex15_batch_norm.py", _batch_norm, ((4, 3), (5, 2))),
    Exercise("ex16_gradient_penalty.py", _gradient_penalty, ((4, 3, 2), (3, 2, 5))),
)
