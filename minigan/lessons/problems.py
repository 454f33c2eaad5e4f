"""The exercises: for each one a few cases with numbers, and the mistakes that people make in it.

The sizes that a product could mix up are different in every case, so that a forgotten transpose
cannot pass for right.
What is right comes from differences of the library's forward pass; the library's own gradient, its
solution, only tells an exact answer from one that is right to fewer digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from minigan.backend import Array
from minigan.errors import DataError
from minigan.lessons.judge import Exercise, Grads, Problem
from minigan.lessons.numbers import normal
from minigan.nn import (
    ELU,
    SGD,
    Dropout,
    Layer,
    LeakyReLU,
    Linear,
    Pack,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
    bce,
    bce_with_logits,
    mean_squared_error,
    softmax_cross_entropy,
)
from minigan.nn.gradcheck import compare, compare_function, differences

ALPHA = 1.5  # of ELU: not 1, so that nobody forgets it unnoticed
RATE = 1.0  # of plain gradient descent, so that a network's move is its gradient


def _numbers(case: int, name: str, shape: tuple[int, ...]) -> Array:
    """Standard normal numbers, none nearer to 0 than 0.05: no kink is in reach."""
    X = normal(case, f"ninja/{name}", shape)
    return np.where(np.abs(X) < 0.05, 0.05, X)


def _call(function: str, names: Sequence[str], *arguments: Any) -> Callable[[ModuleType], Grads]:
    """An answer is a function of the module, which gets copies and returns one or more arrays."""

    def answer(module: ModuleType) -> Grads:
        written = getattr(module, function, None)
        if not callable(written):
            raise DataError(f"the function {function} is gone")
        fresh = [np.array(a) if isinstance(a, np.ndarray) else a for a in arguments]
        got = written(*fresh)
        if len(names) == 1:
            return {names[0]: got}
        if not isinstance(got, tuple | list):
            raise DataError(f"{function} must return {', '.join(names)}")
        return dict(zip(names, got, strict=False))

    return answer


def _of_layer(
    layer: Layer, X: Array, dY: Array, names: Mapping[str, str], seed: int
) -> tuple[Sequential, Array, Grads, Grads]:
    """The network, Y, and the gradients by differences and by the library."""
    net = Sequential(layer, in_features=X.shape[1], seed=seed, dtype="float64")
    Y, both = compare(net, X, dY)
    numeric = {names[one.name]: one.numeric for one in both}
    library = {names[one.name]: one.analytic for one in both}
    return net, Y, numeric, library


def _linear() -> Iterator[Problem]:
    for case, (B, fan_in, fan_out) in enumerate([(4, 2, 3), (3, 5, 2)]):
        X, dY = _numbers(case, "X", (B, fan_in)), _numbers(case, "dY", (B, fan_out))
        names = {"X": "dX", "0.weight": "dW", "0.bias": "db"}
        net, _, numeric, library = _of_layer(Linear(fan_in, fan_out), X, dY, names, case)
        W = net.parameters.named()["0.weight"]
        order = ("dW", "db", "dX")
        averaged = (
            "It is divided by B. The 1/N of the mean is in dY already, put there by the loss; a "
            "layer only sums"
        )
        yield Problem(
            _call("backward", order, dY, X, W),
            {name: numeric[name] for name in order},
            library,
            [
                ({"dW": X.T @ dY / B}, averaged),
                ({"db": dY.mean(axis=0, keepdims=True)}, averaged),
                ({"dX": dY @ W.T / B}, averaged),
                ({"db": dY[:1]}, "That is the first row alone: the bias was added to every row"),
                (
                    {"db": np.full((1, fan_out), dY.sum())},
                    "That is the sum of all entries: each column has a bias of its own",
                ),
                ({"dX": X}, "That is X itself, not the gradient of the loss with respect to it"),
                ({"dW": W}, "That is W itself, not the gradient of the loss with respect to it"),
            ],
            returned=order,
        )


def _elementwise(
    layer: Layer,
    extra: tuple[Any, ...],
    mistakes: Callable[[Array, Array], Sequence[tuple[Array, str]]],
) -> Callable[[], Iterator[Problem]]:
    """The problems of an activation that is differentiated from its output."""

    def problems() -> Iterator[Problem]:
        for case, shape in enumerate([(4, 3), (2, 5)]):
            X, dY = _numbers(case, "X", shape), _numbers(case, "dY", shape)
            _, Y, numeric, library = _of_layer(layer, X, dY, {"X": "dX"}, case)
            known = [*mistakes(dY, Y), *_local(dY, numeric["dX"])]
            yield Problem(
                _call("backward", ("dX",), dY, Y, *extra),
                numeric,
                library,
                [({"dX": wrong}, hint) for wrong, hint in known],
            )

    return problems


def _local(dY: Array, right: Array) -> list[tuple[Array, str]]:
    """Mistakes with the two factors of an elementwise backward, dX = dY f'."""
    slope = right / dY
    return [
        (dY, "That is dY itself: it has not been multiplied by the layer's slope"),
        (slope, "That is the layer's slope alone: the chain rule multiplies it by dY"),
        (dY + slope, "The chain rule multiplies dY by the slope; it does not add them"),
    ]


def _relu_mistakes(dY: Array, Y: Array) -> list[tuple[Array, str]]:
    return [
        (
            dY,
            "That is dY itself: every unit passes. (Y >= 0 is true everywhere: Y is 0 where X was "
            "below it)",
        ),
        (dY * Y, "dY is multiplied by Y itself; the slope is 1 where Y > 0, and 0 elsewhere"),
        (
            np.maximum(dY, 0),
            "The mask is taken from dY: which units pass is decided by forward, by Y > 0",
        ),
        (dY * (Y <= 0), "The mask is turned round: units with Y > 0 pass"),
    ]


def _sigmoid_mistakes(dY: Array, Y: Array) -> list[tuple[Array, str]]:
    S = 1 / (1 + np.exp(-Y))
    return [
        (dY * S * (1 - S), "Y is the output already: the sigmoid must not be taken again"),
        (dY * Y, "The factor 1 - Y is missing"),
        (dY * (1 - Y), "The factor Y is missing"),
        (dY * (1 - Y**2), "That is tanh's slope; the sigmoid's is Y (1 - Y)"),
    ]


def _tanh_mistakes(dY: Array, Y: Array) -> list[tuple[Array, str]]:
    return [
        (dY * (1 - np.tanh(Y) ** 2), "Y is the output already: tanh must not be taken again"),
        (dY * (1 - Y), "Y must be squared: cosh^2 - sinh^2 = 1"),
        (dY * (1 - Y) ** 2, "1 - Y^2 is not (1 - Y)^2"),
        (dY * Y * (1 - Y), "That is the sigmoid's slope; tanh's is 1 - Y^2"),
        (dY / np.cosh(Y) ** 2, "1 / cosh^2 is a slope at X, and Y is not X any more"),
    ]


def _elu_mistakes(dY: Array, Y: Array) -> list[tuple[Array, str]]:
    up = Y > 0
    return [
        (
            np.where(up, dY, dY * Y),
            "Below zero Y = alpha e^X - alpha, so the slope alpha e^X is Y + alpha, not Y",
        ),
        (
            np.where(up, dY, dY * (Y + 1)),
            "alpha is forgotten: the slope alpha e^X is Y + alpha; Y + 1 is for alpha = 1 only",
        ),
        (
            np.where(up, dY, dY * ALPHA * np.exp(Y)),
            "The exponential is taken of the output: it belongs to X, and X is gone",
        ),
        (
            np.where(up, dY, dY * np.exp(Y)),
            "The exponential is taken of the output: it belongs to X, and X is gone",
        ),
        (dY * (Y + ALPHA), "Where Y > 0 the slope is 1"),
        (
            np.where(up, dY, dY * ALPHA * (Y + 1)),
            "Below zero Y = alpha e^X - alpha: add alpha to Y, and e^X comes with its factor",
        ),
        (
            np.where(up, dY, dY * (Y / ALPHA + 1)),
            "That is e^X; the slope is alpha e^X",
        ),
        (
            np.where(up, dY, dY * (ALPHA - Y)),
            "Below zero Y is negative, and the slope is Y + alpha",
        ),
        (dY * up, "Below zero ELU is not flat, as ReLU is: its slope is alpha e^X"),
    ]


def _dropout() -> Iterator[Problem]:
    for case, shape in enumerate([(4, 3), (3, 5)]):
        X, dY = _numbers(case, "X", shape), _numbers(case, "dY", shape)
        rate = (0.25, 0.6)[case]
        _, Y, numeric, library = _of_layer(Dropout(rate), X, dY, {"X": "dX"}, case)
        mask = Y / X  # (B, F) 0 or about 1 / (1 - rate)
        known = [
            (dY, "The mask is forgotten: a dropped unit passes nothing on"),
            (
                dY * (mask > 0),
                "The scale is forgotten: kept units were multiplied by 1 / (1 - rate)",
            ),
            (dY * (mask == 0), "The mask is turned round: kept units pass"),
            (dY * mask**2, "The mask is applied twice"),
            (mask, "That is the mask alone: the chain rule multiplies it by dY"),
        ]
        yield Problem(
            _call("backward", ("dX",), dY, mask),
            numeric,
            library,
            [({"dX": wrong}, hint) for wrong, hint in known],
        )


def _of_loss(
    loss: Callable[[Any, Any], tuple[float, Any]],
    result: str,
    X: Array,
    targets: Array,
    known: Sequence[tuple[Array, str]],
    sizes: Mapping[str, float],
) -> Problem:
    both = compare_function(lambda at: loss(at, targets), X)
    return Problem(
        _call("backward", (result,), X, targets),
        {result: both.numeric},
        {result: both.analytic},
        [({result: wrong}, hint) for wrong, hint in known],
        sizes,
    )


LOSS_SHAPES = ((4, 3), (5, 2))


def _mean_squared_error() -> Iterator[Problem]:
    for case, shape in enumerate(LOSS_SHAPES):
        Y, t = _numbers(case, "Y", shape), _numbers(case, "t", shape)
        N = Y.size
        known = [
            (2 * (Y - t) / shape[0], "The mean runs over all N = B O entries, not over B rows"),
            (2 * (Y - t), "1/N is missing: the loss is a mean over all entries"),
            ((Y - t) / N, "The 2 of the square's derivative is missing"),
            ((Y - t) ** 2 / N, "That is the loss's own term; its derivative is 2 (Y - t)"),
            (2 * (t - Y) / N, "The sign is turned round: the loss grows where Y is above t"),
        ]
        yield _of_loss(mean_squared_error, "dY", Y, t, known, {"N": N, "B": shape[0]})


def _bce() -> Iterator[Problem]:
    for case, shape in enumerate(LOSS_SHAPES):
        P = 1 / (1 + np.exp(-_numbers(case, "P", shape)))
        t = 0.1 + 0.8 * (_numbers(case, "t", shape) > 0)
        N = P.size
        known = [
            (
                (P - t) / N,
                "The denominator P (1 - P) is missing: it cancels for logits only",
            ),
            ((P - t) / (P * (1 - P)), "1/N is missing: the loss is a mean over all entries"),
            ((P - t) / (P * (1 - P)) / shape[0], "The mean runs over all N = B O entries"),
            (-t / P / N, "The term (1 - t) log(1 - P) depends on P, too"),
            (
                (-t / P - (1 - t) / (1 - P)) / N,
                "The derivative of log(1 - P) is -1 / (1 - P): one more sign",
            ),
            ((P - t) * P * (1 - P) / N, "P (1 - P) belongs under the line, not above it"),
        ]
        yield _of_loss(bce, "dP", P, t, known, {"N": N, "B": shape[0]})


def _bce_with_logits() -> Iterator[Problem]:
    for case, shape in enumerate((*LOSS_SHAPES, (3, 2))):
        x = _numbers(case, "logits", shape)
        if case == len(LOSS_SHAPES):  # it is asked to be safe for logits of any size
            x = np.array([[800.0, -800.0], [-30.0, 30.0], [5.0, -90.0]])
        t = 0.1 + 0.8 * (_numbers(case, "t", shape) > 0)
        N, P = x.size, 1 / (1 + np.exp(-x))
        known = [
            ((x - t) / N, "The sigmoid is forgotten: probabilities are compared with targets"),
            (P - t, "1/N is missing: the loss is a mean over all entries"),
            ((P - t) / shape[0], "The mean runs over all N = B O entries"),
            (
                (P - t) * P * (1 - P) / N,
                "The slope of the sigmoid is there once too often: it has cancelled against BCE's "
                "denominator",
            ),
            (
                (P - t) / (P * (1 - P)) / N,
                "That is the gradient by the probability; times the sigmoid's slope P (1 - P) it "
                "is that by the logit",
            ),
            (
                (t - P) / N,
                "The sign is turned round: the loss grows where sigmoid(logits) is above t",
            ),
        ]
        yield _of_loss(bce_with_logits, "dlogits", x, t, known, {"N": N, "B": shape[0]})


def _softmax_cross_entropy() -> Iterator[Problem]:
    for case, (B, K) in enumerate([(3, 4), (5, 3)]):
        x = _numbers(case, "logits", (B, K))
        labels = np.arange(B) * 2 % K  # (B,)
        onehot = np.eye(K)[labels]  # (B, K)
        E = np.exp(x)
        P = E / E.sum(axis=1, keepdims=True)
        known = [
            (P - onehot, "1/B is missing: the loss is a mean over the rows"),
            ((P - onehot) / x.size, "The mean runs over the B rows, not over all B K entries"),
            (P / B, "The term -logits[label] is forgotten: subtract 1 at each row's label"),
            (
                (onehot - P) / B,
                "The sign is turned round: the loss falls as the label's logit grows",
            ),
            (
                (E / E.sum(axis=0, keepdims=True) - onehot) / B,
                "The softmax runs along the wrong axis: each row adds up to 1",
            ),
            (
                (E / E.sum() - onehot) / B,
                "The softmax runs over all entries: each row adds up to 1",
            ),
            (
                (P - labels[:, None]) / B,
                "The labels are class numbers: 1 is subtracted in the label's column only",
            ),
            (
                (E - onehot) / B,
                "The exponentials must be divided by their sum: each row adds up to 1",
            ),
            ((x - onehot) / B, "The softmax is forgotten: probabilities are compared with labels"),
        ]
        yield _of_loss(
            softmax_cross_entropy, "dlogits", x, labels, known, {"B": B, "K": K, "B K": x.size}
        )


def _pack() -> Iterator[Problem]:
    for case, (packs, m, F) in enumerate([(4, 3, 2), (3, 2, 4)]):
        X = _numbers(case, "X", (packs * m, F))
        dY = _numbers(case, "dY", (packs, 2 * m * F))
        _, _, numeric, library = _of_layer(Pack(m), X, dY, {"X": "dX"}, case)
        parts = dY.reshape(packs, 2, m, F)
        straight, squared = parts[:, 0], parts[:, 1]  # (P, m, F) each
        samples = X.reshape(packs, m, F)
        off = samples - samples.mean(axis=1, keepdims=True)  # (P, m, F)
        term = 2 * off * squared
        known = [
            (straight, "The squared deviations are forgotten: each x_i is in two places of Y"),
            (term, "The samples themselves are forgotten: each x_i is in two places of Y"),
            (straight + off * squared, "The 2 of the square's derivative is missing"),
            (
                straight + term - term.mean(axis=1, keepdims=True),
                "The pack's mean c is differentiated, too; here it counts as a constant",
            ),
            (
                straight + 2 * samples * squared,
                "The square is of x_i - c, not of x_i: c is missing",
            ),
            (
                squared + 2 * off * straight,
                "The halves are exchanged: the samples come first, then their squared deviations",
            ),
            (
                straight + 2 * (samples - X.mean(axis=0)) * squared,
                "The mean is of the whole batch: each pack has its own",
            ),
            (straight + squared, "The square's slope 2 (x_i - c) is missing"),
            (straight - term, "The sign of the deviations' term is turned round"),
        ]
        yield Problem(
            _call("backward", ("dX",), dY, X, m),
            numeric,
            library,
            [({"dX": wrong.reshape(X.shape)}, hint) for wrong, hint in known],
        )


def _network() -> Iterator[Problem]:
    names = {"0.weight": "dW1", "0.bias": "db1", "2.weight": "dW2", "2.bias": "db2"}
    for case, (B, fan_in, hidden) in enumerate([(5, 2, 3), (4, 3, 6)]):
        X = _numbers(case, "X", (B, fan_in))
        t = (_numbers(case, "t", (B, 1)) > 0).astype("float64")  # (B, 1)
        net = Sequential(
            Linear(fan_in, hidden), ELU(), Linear(hidden, 1), seed=case, dtype="float64"
        )
        W1, b1, W2, _ = net.parameters.named().values()
        A = X @ W1 + b1  # (B, hidden)
        H = np.where(A > 0, A, np.exp(A) - 1)  # (B, hidden)

        def loss(net: Sequential = net, X: Array = X, t: Array = t) -> float:
            return bce_with_logits(net.forward(X), t)[0]

        flat = differences(loss, net.parameters.data)  # (n,)
        numeric = {names[key]: view for key, view in net.parameters.views(flat).items()}
        logits = net.forward(X).copy()  # (B, 1)
        dlogits = bce_with_logits(logits, t)[1]  # (B, 1)
        net.backward(dlogits)
        library = {names[k]: g.copy() for k, g in net.parameters.named_grads().items()}
        dH = dlogits @ W2.T  # (B, hidden)
        slope = np.where(A > 0, 1.0, np.exp(A))  # (B, hidden)

        def first(dA: Array, X: Array = X) -> Grads:
            return {"dW1": X.T @ dA, "db1": dA.sum(axis=0, keepdims=True)}

        net.backward((logits - t) / B)
        without_sigmoid = {names[k]: g.copy() for k, g in net.parameters.named_grads().items()}
        net.backward(dlogits + t / B)
        without_targets = {names[k]: g.copy() for k, g in net.parameters.named_grads().items()}
        averaged = "That is a mean of rows: the 1/B is in dlogits already, a layer only sums"
        after = "dlogits lacks its 1/B, and everything after it is B times too large"
        known = [
            ({name: B * library[name] for name in ("dW2", "db2")}, after),
            (first(dH), "ELU's slope is forgotten: dA is dH times the slope"),
            (first(dH * slope / B), "dH is divided by B: the 1/B is in dlogits already"),
            ({"dW1": X.T @ dH}, "It is made of dH: the first layer's dY is dA"),
            (
                {"db1": dH.sum(axis=0, keepdims=True)},
                "It is made of dH: the first layer's dY is dA",
            ),
            ({"dW1": H.T @ dH}, "The first layer's input is X, not H"),
            ({"dW1": H.T @ (dH * slope)}, "The first layer's input is X, not H"),
            (first(dH * (A > 0)), "That is ReLU's slope: below zero ELU's is e^A = H + 1"),
            (
                first(dH * np.where(H > 0, 1.0, np.exp(H))),
                "The exponential is of H: e^A is wanted, and that is H + 1",
            ),
            (first(slope), "That is ELU's slope alone: the chain rule multiplies it by dH"),
            (first(dH * H), "dH is multiplied by H; ELU's slope is 1, or H + 1 below zero"),
            (first(dH * (H + 1)), "Where H > 0 ELU's slope is 1"),
            (first(np.broadcast_to(dlogits, dH.shape) * slope), "dH = dlogits W2^T: W2 is missing"),
            ({"db1": library["db1"] / B}, averaged),
            ({"db2": library["db2"] / B}, averaged),
            (without_sigmoid, "dlogits lacks the sigmoid: probabilities are compared with targets"),
            (without_targets, "dlogits lacks the targets: they are subtracted"),
            ({"dW2": X.T @ dlogits}, "The second layer's input is H, not X"),
        ]
        yield Problem(
            _call("backward", ("dW1", "db1", "dW2", "db2"), X, t, H, logits, W2.copy()),
            {name: numeric[name] for name in ("dW2", "db2", "dW1", "db1")},
            library,
            known,
            {"B": B},
            (("dW2", "db2"), ("dW1", "db1")),
            ("dW1", "db1", "dW2", "db2"),
        )


def _gan_step() -> Iterator[Problem]:
    for case, (B, dim, features) in enumerate([(4, 2, 3), (5, 3, 2)]):
        real = _numbers(case, "real", (B, features))
        z_for_D, z_for_G = (_numbers(case, f"z{k}", (B, dim)) for k in (1, 2))

        def networks(
            dim: int = dim, features: int = features, case: int = case
        ) -> tuple[Sequential, Sequential]:
            G = Sequential(
                *(Linear(dim, 4), Tanh(), Linear(4, features)),
                seed=case,
                name="generator",
                dtype="float64",
            )
            D = Sequential(
                *(Linear(features, 5), LeakyReLU(0.2), Linear(5, 1)),
                seed=case,
                name="discriminator",
                dtype="float64",
            )
            return G, D

        def answer(
            module: ModuleType,
            networks: Any = networks,
            given: tuple[Array, ...] = (real, z_for_D, z_for_G),
        ) -> Grads:
            G, D = networks()
            before = {"D": D.parameters.data.copy(), "G": G.parameters.data.copy()}
            optimizers = SGD(G.parameters, lr=RATE), SGD(D.parameters, lr=RATE)
            written = getattr(module, "step", None)
            if not callable(written):
                raise DataError("the function step is gone")
            written(G, D, *optimizers, *(a.copy() for a in given))
            moved = {}
            for role, net in (("D", D), ("G", G)):
                gradient = (before[role] - net.parameters.data) / RATE  # (n,)
                for name, view in net.parameters.views(gradient).items():
                    moved[f"{role} {name}"] = view
            return moved

        yield _gan_problem(answer, networks, real, z_for_D, z_for_G)


def _gan_problem(
    answer: Callable[[ModuleType], Grads],
    networks: Callable[[], tuple[Sequential, Sequential]],
    real: Array,
    z_for_D: Array,
    z_for_G: Array,
) -> Problem:
    """The gradients of a step by differences, by the library, and with the usual mistakes."""
    B = len(real)
    ones, zeros = np.ones((B, 1)), np.zeros((B, 1))  # (B, 1) each
    targets = np.concatenate([ones, zeros])  # (2 B, 1)

    def play(
        d_factor: float = 1.0,
        d_targets: Array = targets,
        g_target: Array = ones,
        g_factor: float = 1.0,
        d_first: bool = True,
    ) -> Grads:
        """The gradients of a step that is right, but for what is asked for."""
        G, D = networks()
        fake = G.forward(z_for_D).copy()
        logits = D.forward(np.concatenate([real, fake]))
        D.backward(2 * d_factor * bce_with_logits(logits, d_targets)[1])
        grads = {f"D {k}": g.copy() for k, g in D.parameters.named_grads().items()}
        if d_first:
            D.parameters.data[:] -= RATE * D.parameters.grad
        logits = D.forward(G.forward(z_for_G))
        G.backward(D.backward(g_factor * bce_with_logits(logits, g_target)[1]))
        return {**grads, **{f"G {k}": g.copy() for k, g in G.parameters.named_grads().items()}}

    G, D = networks()
    fake = G.forward(z_for_D).copy()  # (B, features)

    def d_loss() -> float:
        logits = D.forward(np.concatenate([real, fake]))
        return bce_with_logits(logits[:B], ones)[0] + bce_with_logits(logits[B:], zeros)[0]

    def g_loss() -> float:
        return bce_with_logits(D.forward(G.forward(z_for_G)), ones)[0]

    of_d = differences(d_loss, D.parameters.data)  # (n,)
    D.parameters.data[:] -= RATE * of_d
    of_g = differences(g_loss, G.parameters.data)  # (n,)
    numeric = {f"D {k}": view for k, view in D.parameters.views(of_d).items()}
    numeric |= {f"G {k}": view for k, view in G.parameters.views(of_g).items()}

    def part(grads: Grads, role: str) -> Grads:
        return {name: g for name, g in grads.items() if name.startswith(role)}

    minimax = (
        "That is the minimax game, the gradient of -BCE(D(fake), 0), which vanishes when D is sure"
    )
    known = [
        (
            part(play(d_factor=0.5), "D"),
            "D's loss is the sum of two means, each over B samples: 1/B, not 1/(2 B)",
        ),
        (
            part(play(d_factor=B), "D"),
            "1/B is missing: each of D's two losses is a mean over B samples",
        ),
        (
            part(play(d_targets=1 - targets), "D"),
            "The targets are turned round: real samples come first, and D should say 1 of them",
        ),
        (
            part(play(d_targets=np.concatenate([ones, ones])), "D"),
            "D should say 0 of generated samples",
        ),
        (part(play(g_target=zeros), "G"), "G wants D to say 1 of its samples, not 0"),
        (part(play(g_factor=-1.0), "G"), "The sign is turned round: G's loss falls as D says 1"),
        (part(play(g_target=zeros, g_factor=-1.0), "G"), minimax),
        (part(play(g_factor=B), "G"), "1/B is missing: G's loss is a mean over B samples"),
        (
            part(play(d_first=False), "G"),
            "That is what D says before it has learned; G learns from D as it is now",
        ),
    ]
    still = {name: np.zeros_like(g) for name, g in numeric.items()}
    known += [
        (
            part(still, "D"),
            "D has not moved: its optimizer's step() was not called, or had nothing",
        ),
        (
            part(still, "G"),
            "G has not moved: its optimizer's step() was not called, or had nothing",
        ),
    ]
    stages = [tuple(name for name in numeric if name.startswith(role)) for role in ("D", "G")]
    return Problem(answer, numeric, play(), known, {"B": B}, stages)


#: All of them, in their order.
EXERCISES: tuple[Exercise, ...] = (
    Exercise("ex01_linear.py", _linear),
    Exercise("ex02_relu.py", _elementwise(ReLU(), (), _relu_mistakes)),
    Exercise("ex03_sigmoid.py", _elementwise(Sigmoid(), (), _sigmoid_mistakes)),
    Exercise("ex04_tanh.py", _elementwise(Tanh(), (), _tanh_mistakes)),
    Exercise("ex05_elu.py", _elementwise(ELU(ALPHA), (ALPHA,), _elu_mistakes)),
    Exercise("ex06_dropout.py", _dropout),
    Exercise("ex07_mean_squared_error.py", _mean_squared_error),
    Exercise("ex08_bce.py", _bce),
    Exercise("ex09_bce_with_logits.py", _bce_with_logits),
    Exercise("ex10_softmax_cross_entropy.py", _softmax_cross_entropy),
    Exercise("ex11_pack.py", _pack),
    Exercise("ex12_network.py", _network),
    Exercise("ex13_gan_step.py", _gan_step),
)
