"""The exercises about networks, and the cases that each one is graded with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

import minigan.lessons.typical_mistakes as typical
import minigan.nn as nn
from minigan.backend import Array
from minigan.lessons.cases import case_of, numbers
from minigan.lessons.grader import Case, Grads
from minigan.lessons.typical_mistakes import wrong_gradients
from minigan.nn.differences import differences

RATE = 1.0  # of plain gradient descent, so that a network's move is its gradient


def network(case: int, B: int, fan_in: int, hidden: int) -> Case:
    X = numbers(case, "X", (B, fan_in))
    t = (numbers(case, "t", (B, 1)) > 0).astype("float64")  # (B, 1)
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

    return case_of(
        *(given, numeric, typical.NETWORK),
        {"dlogits": dlogits, "B": B},
        {"dlogits": linear(2, H), "dA": linear(1, X)},
        sizes={"B": B},
        stages=(("dW2", "db2"), ("dW1", "db1")),
        returned=("dW1", "db1", "dW2", "db2"),
    )


def gan_step(case: int, B: int, dim: int, features: int) -> Case:
    real = numbers(case, "real", (B, features))
    z_for_D, z_for_G = (numbers(case, f"z{k}", (B, dim)) for k in (1, 2))
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


def gradient_penalty(case: int, B: int, fan_in: int, hidden: int) -> Case:
    X = numbers(case, "X", (B, fan_in))
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

    return case_of(
        *(given, numeric, typical.GRADIENT_PENALTY, made),
        {"V": of_seed, "U_H": of_tangent, "C": of_curvature},
        sizes={"B": B},
        stages=(("dW2",), ("dW1", "db1")),
        undefined="is there a root? ||g|| has no derivative where g is 0, and ||g||^2 has no root",
    )


def two_heads(case: int, B: int, fan_in: int, hidden: int, K: int, m: int) -> Case:
    """D's loss on generated samples plus InfoGAN's term: its gradients by D and by Q."""
    X, std = numbers(case, "X", (B, fan_in)), (0.7, 1.6)[case]
    labels = np.arange(B) ** 2 % K  # (B,)
    category, code = np.eye(K)[labels], numbers(case, "code", (B, m))  # (B, K), (B, m)
    layers = nn.Linear(fan_in, hidden), nn.Tanh(), nn.Linear(hidden, 1)
    D = nn.Sequential(*layers, seed=case, dtype="float64")
    Q = nn.Sequential(nn.Linear(hidden, K + m), seed=case, name="recogniser", dtype="float64")
    trunk, head = D.split(2)

    def loss() -> float:
        H = trunk.forward(X)  # (B, hidden)
        guess = Q.forward(H)  # (B, K + m)
        term = nn.softmax_cross_entropy(guess[:, :K].copy(), labels)[0]
        term += float(((guess[:, K:] - code) ** 2).sum()) / (2 * std**2 * B)
        return nn.bce_with_logits(head.forward(H), 0.0)[0] + term

    of_D = D.parameters.views(differences(loss, D.parameters.data))
    of_Q = Q.parameters.views(differences(loss, Q.parameters.data))
    numeric = {"dW2": of_D["2.weight"], "dW3": of_Q["0.weight"]}
    numeric |= {"dW1": of_D["0.weight"], "db1": of_D["0.bias"]}
    H = trunk.forward(X).copy()  # (B, hidden)
    y, guess = head.forward(H).copy(), Q.forward(H).copy()  # (B, 1), (B, K + m)
    W2, W3 = D.parameters.named()["2.weight"].copy(), Q.parameters.named()["0.weight"].copy()
    given = {"X": X, "H": H, "y": y, "guess": guess, "category": category, "code": code}
    given |= {"std": std, "W2": W2, "W3": W3}

    def of_trunk(dA: Array) -> Grads:
        return {"dW1": X.T @ dA, "db1": dA.sum(axis=0, keepdims=True)}

    return case_of(
        *(given, numeric, typical.TWO_HEADS, {"B": B, "K": K, "m": m}),
        {
            "dy": lambda dy: {"dW2": H.T @ dy},
            "dguess": lambda dguess: {"dW3": H.T @ dguess},
            "dH": lambda dH: of_trunk(dH * (1 - H**2)),
            "dA": of_trunk,
        },
        sizes={"B": B},
        stages=(("dW2", "dW3"), ("dW1", "db1")),
    )
