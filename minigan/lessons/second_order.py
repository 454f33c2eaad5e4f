"""Explain the second order of a layer: its tangent, and the gradients through it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from minigan.backend import Array
from minigan.errors import ConfigError, DataError
from minigan.lessons.example_numbers import condition, normal, tidy
from minigan.lessons.explanation import LayerTopic, Sections, Topic, both_columns, grid
from minigan.lessons.quoted_code import formulas, kernels_of, source, with_helpers, with_methods
from minigan.nn import Pass
from minigan.nn.differences import Differences, Evaluation, sides_of
from minigan.nn.gradcheck import BothGradients, both_gradients
from minigan.nn.second_order import check_tangent, has_curvature
from minigan.text import wrapped

METHODS = ("tangent", "tangent_gradients", "curvature")
CALLED = "apply_backward"  # by the tangent of an activation

IN_BRIEF = """\
If X moves by U, Y moves by the tangent J U, with J the derivative of Y by X. A
penalty of a network's input gradient g has the gradient of <v, g>, and <v, g>
is what a forward pass of tangents makes of v. In each layer it depends on dY,
of the first backward pass, as <dY, J U> does, with U and dY constant. So
    tangent_gradients: the gradients of <dY, J U> by the parameters
    curvature:         the gradient of <dY, J U> by X, since J depends on X"""


@dataclass(frozen=True)
class SecondOrderTopic(LayerTopic):
    """The second order of a layer, at the numbers of its own topic."""

    @classmethod
    def of(cls, topic: Topic) -> SecondOrderTopic:
        """The second order of the same layer.

        Raises:
            ConfigError: the topic is no layer.
        """
        if not isinstance(topic, LayerTopic):
            raise ConfigError(f"--second-order is for layers, and {topic.name} is none")
        return cls(**{field.name: getattr(topic, field.name) for field in fields(LayerTopic)})

    @property
    def name(self) -> str:
        return f"{super().name}, second order"

    def where_next(self) -> str:
        return "The whole derivation: docs/second_order.md"

    def sections(self, seed: int) -> tuple[Sections, int]:
        net, X, dY = self.numbers(seed)
        U = normal(seed, "U", X.shape)
        U = tidy(U) if self.page else U
        C = condition(net, self.rows)
        bound = net.bind(self.rows, apart=True, condition=C)
        kind = type(bound.layers[0])
        try:
            check_tangent(self.subject, bound.layers[0])
        except ConfigError as error:
            return [("No second order", wrapped(f"{error}."))], 1
        tangent, gradients = compare_second_order(bound, X, U, dY)
        methods = [vars(kind)[name] for name in METHODS if name in vars(kind)]
        called = [vars(kind)[name] for name in (CALLED, *METHODS) if name in vars(kind)]
        code = with_methods(kind, called)
        parameters = net.parameters.named().items()
        arrays = {"X": X} if C is None else {"X": X, "condition": C}
        arrays |= {name.partition(".")[2]: view for name, view in parameters}
        arrays |= {"U": U, "J U": tangent.analytic, "dY": dY}
        images = dict.fromkeys(("X", "U"), getattr(self.subject, "image", None))
        images |= dict.fromkeys(("J U", "dY"), getattr(self.subject, "output_image", None))
        first, wrong = both_columns([tangent], ("tangent", "differences"), prefix="")
        second, more = both_columns(gradients, ("by hand", "differences"))
        kernels = with_helpers(kernels_of(code), self.helpers)
        return [
            ("Formula", formulas(methods, by_name=True)),
            ("In brief", IN_BRIEF),
            ("Our code" if self.page else "The code", source(code)),
            ("The backend functions that it calls", source(kernels)),
            (
                f"Live numbers: {self.subject}, seed {seed}",
                "\n\n".join(grid(name, A, images.get(name)) for name, A in arrays.items()),
            ),
            ("J U, and differences of Y where X moves along U", first),
            ("Gradients of <dY, J U>; that by X is the curvature", second),
        ], wrong + more


def compare_second_order(
    bound: Pass, X: Array, U: Array, dY: Array
) -> tuple[BothGradients, list[BothGradients]]:
    """The second order of one layer, by its own formulas and by differences.

    Args:
        bound: a pass of a network of that layer, in float64. Its masks and means are held.
        X, U: (rows, features).
        dY: (rows out, features out).

    Returns:
        J U, called "JU"; and the gradients of <dY, J U> by X and by each parameter.

    Raises:
        DataError: Y is not finite, or a number sits on a kink.
    """
    net, (layer,) = bound.net, bound.layers
    if not np.isfinite(bound.forward(X, train=True)).all():
        raise DataError("forward makes NaN or infinity of this X")
    bound.hold(True)
    moves = np.zeros(dY.shape)  # for each number of Y, how far X moves along U
    JU = np.full(dY.shape, np.nan)  # (rows out, features out)

    def moved() -> Evaluation:
        """The sum of Y[p], each where X has moved by moves[p] U. Its gradient is J U."""
        values: list[float] = []
        sides: list[bytes] = []
        for p, move in np.ndenumerate(moves):
            values.append(float(bound.forward(X + move * U, train=True)[p]))
            sides += sides_of(bound)
        return Evaluation(math.fsum(values), float(np.abs(values).sum()), tuple(sides))

    def product() -> Evaluation:
        """<dY, J U>"""
        bound.forward(X, train=True)
        layer.tangent(U, out=JU)
        terms = dY * JU
        return Evaluation(math.fsum(terms.ravel()), float(np.abs(terms).sum()), sides_of(bound))

    product()
    along_U = Differences(net.ops, moved)
    along_U.tensors["JU"] = moves, JU.copy()
    product()
    bound.backward(dY, parameter_grads=False)  # in a network it runs before what follows
    net.parameters.grad[...] = 0.0
    for _ in range(2):  # gradients are written, not added to
        layer.tangent_gradients(U, dY)
    curvature = np.zeros(X.shape)  # (rows, features)
    if has_curvature(layer):
        curvature.fill(np.nan)
        layer.curvature(U, dY, out=curvature)
    found = {"X": (X, curvature)}
    grads = net.parameters.named_grads()
    found |= {name: (p, grads[name].copy()) for name, p in net.parameters.named().items()}
    of_product = Differences(net.ops, product)
    of_product.tensors |= found
    return both_gradients(along_U, "JU"), [both_gradients(of_product, name) for name in found]
