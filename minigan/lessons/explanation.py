"""Explain a layer, loss or optimizer: formula, derivation, our code, and live numbers.

The numbers are computed when the text is made, by the code that is printed. Next to each gradient
from backward stands the one from finite differences of forward (see `minigan.nn.gradcheck`), and
an entry where the two disagree is marked: a change to a backward pass shows its effect at once.
"""

from __future__ import annotations

import inspect
import itertools
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from minigan.backend import Array, get_backend
from minigan.errors import ConfigError
from minigan.lessons.contract_checks import check_contract
from minigan.lessons.example_numbers import argument, condition, normal, tidy
from minigan.lessons.exercise_definitions import EXERCISES
from minigan.lessons.lookup import plain
from minigan.lessons.quoted_code import (
    first_paragraph,
    formulas,
    kernels_of,
    source,
    with_helpers,
    with_methods,
)
from minigan.nn import Layer, Optimizer, Parameters, Sequential
from minigan.nn.gradcheck import BothGradients, compare, compare_function
from minigan.nn.image import Image
from minigan.text import columns, wrapped

MARK = "<-- WRONG"
DIGITS = 6  # after the point, of every number that is compared
STEPS = 3  # of an optimizer
#: Attempts at an input of a user's layer, which may have kinks; from `POSITIVE` on without numbers
#: below 0, for layers such as a logarithm.
ATTEMPTS, POSITIVE = 4, 2
UNDER = "Under other conditions, each tried once"
#: Methods of a pass that hold a formula.
FORMULAS = ("forward", "apply", "backward", "apply_backward")

#: Titles and texts of an explanation's sections; one with an empty text is left out.
Sections = list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Topic(ABC):
    """Something that can be explained."""

    group: ClassVar[str]  # "layers", "losses", "optimizers" or "games"
    subject: Any = field(kw_only=False)  # what is explained
    aliases: tuple[str, ...] = ()  # what else people call it
    page: str = ""  # its page in the book, below docs/ and without .md; "" if it has none
    derivation: str = ""  # in brief, as lines of text
    helpers: tuple[str, ...] = ()  # functions that its kernels call, shown with them

    @property
    def name(self) -> str:
        """What it is called in code."""
        return getattr(self.subject, "__name__", type(self.subject).__name__)

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.subject) or "").partition("\n")[0]

    @property
    def exercise(self) -> str:
        """The file of its exercise in `minigan ninja`; "" if there is none."""
        name = plain(self.name)
        return next((e.file for e in EXERCISES if plain(e.name.partition("_")[2]) == name), "")

    @abstractmethod
    def sections(self, seed: int) -> tuple[Sections, int]:
        """The sections, and the number of wrong results in them."""

    def explain(self, seed: int = 0) -> tuple[str, bool]:
        """The whole text, and whether all gradients (of an optimizer: updates) are right.

        Raises:
            ConfigError: Python has removed the docstrings, which hold the formulas.
        """
        if sys.flags.optimize > 1:
            raise ConfigError("the formulas are in the docstrings: run Python without -OO")
        sections, wrong = self.sections(seed)
        parts = [f"{self.name}\n{'=' * len(self.name)}", wrapped(self.summary)]
        for title, text in sections:
            title = wrapped(title)
            width = max(map(len, title.splitlines()))
            parts += [f"{title}\n{'-' * width}\n{text}"] if text else []
        return "\n\n".join(filter(None, [*parts, self.where_next()])), wrong == 0

    def where_next(self) -> str:
        """Its page and its exercise, as lines."""
        more = []
        if self.page:
            more.append(f"The whole derivation, and an exercise on paper: docs/{self.page}.md")
        if self.exercise:
            more.append(f"Write it yourself: minigan ninja new FOLDER, then {self.exercise}")
        return "\n".join(more)

    def _introduction(self, formula: str, functions: Iterable[Callable[..., Any]]) -> Sections:
        """The first sections, where the formula is a paragraph of one docstring."""
        doc = inspect.getdoc(self.subject) or ""
        found = [part for part in doc.split("\n\n") if formula in part and "Args:" not in part]
        return [
            ("Formula", "\n".join(found)),
            ("Derivation, in brief", self.derivation),
            ("Our code", source(functions)),
        ]


@dataclass(frozen=True)
class LayerTopic(Topic):
    """A layer, bound to a batch of a few rows."""

    group: ClassVar[str] = "layers"
    subject: Layer
    rows: int = 4  # of its input
    features: int = 3  # of its input
    # in place of those that it starts with
    parameters: tuple[float, ...] = field(default=(), kw_only=True)
    attempt: int = 0  # which of the random inputs of a user's layer is shown

    @property
    def summary(self) -> str:
        return first_paragraph(type(self.subject))

    def numbers(self, seed: int) -> tuple[Sequential, Array, Array]:
        """A network of the layer, X (rows, features), and dY (rows out, features out)."""
        net = Sequential(self.subject, seed=seed, in_features=self.features, dtype="float64")
        own = not self.page  # a user's layer: its kinks may lie at round numbers
        X = normal(seed, f"X {self.attempt}" if own else "X", (self.rows, self.features))
        dY = normal(seed, "dY", net.shapes(self.rows)[-1])
        if own and self.attempt >= POSITIVE:
            X = np.abs(X) + 0.1
        elif not own:
            X, dY = tidy(X), tidy(dY)
            net.parameters.data[:] = self.parameters or tidy(net.parameters.data)
        return net, X, dY

    def sections(self, seed: int) -> tuple[Sections, int]:
        net, X, dY = self.numbers(seed)
        C = condition(net, self.rows)
        own = not self.page
        Y, gradients = compare(net, X, dY, condition=C)
        kind = type(net.bind(self.rows).layers[0])
        methods = [vars(kind)[name] for name in FORMULAS if name in vars(kind)]
        code = with_methods(kind, methods)
        parameters = net.parameters.named().items()
        arrays = {"X": X} if C is None else {"X": X, "condition": C}
        arrays |= {name.partition(".")[2]: view for name, view in parameters}
        arrays |= {"Y": Y, "dY": dY}
        images = {"X": getattr(self.subject, "image", None)}
        images |= dict.fromkeys(("Y", "dY"), getattr(self.subject, "output_image", None))
        table, wrong = both_columns(gradients)
        sections = [
            ("Formula", formulas(methods)),
            ("Derivation, in brief", self.derivation),
            ("The code" if own else "Our code", source(code)),
            (
                "The backend functions that it calls",
                source(with_helpers(kernels_of(code), self.helpers)),
            ),
            (
                f"Live numbers: {self.subject}, seed {seed}",
                "\n\n".join(grid(name, X, images.get(name)) for name, X in arrays.items()),
            ),
            ("Gradients of the loss sum(Y * dY), whose gradient with respect to Y is dY", table),
        ]
        if own and wrong:
            sections.append((UNDER, "Not tried, since the gradients above do not agree yet."))
        elif own:
            lines, remarks = check_contract(self.subject, X, dY, seed)
            tried = [(f"{name}:", off or "right", MARK if off else "") for name, off in lines]
            text = "\n\n".join([columns(tried, left=2), *remarks])
            sections.append((UNDER, text))
            wrong = sum(bool(off) for _, off in lines)
        return sections, wrong


@dataclass(frozen=True)
class LossTopic(Topic):
    """A loss of a few numbers."""

    group: ClassVar[str] = "losses"
    # (its first argument, targets) -> (loss, gradient)
    subject: Callable[[Any, Any], tuple[float, Any]]
    arguments: tuple[str, str]  # their names; see `argument`
    shape: tuple[int, int] = (4, 1)  # of the first argument

    def sections(self, seed: int) -> tuple[Sections, int]:
        numbers = tidy(normal(seed, "X", self.shape))
        X, targets = (argument(name, numbers) for name in self.arguments)
        value, _ = self.subject(X, targets)
        both = compare_function(lambda at: self.subject(at, targets), X)
        table, wrong = both_columns([replace(both, name=self.arguments[0])])
        names = (self.name, f"{self.name}_loss", f"{self.name}_gradient")
        ops = get_backend("cpu")
        kernels = [getattr(ops, name) for name in names if hasattr(ops, name)]
        sections = self._introduction("loss =", kernels)
        arrays = map(grid, self.arguments, (X, targets))
        live = "\n\n".join([*arrays, f"loss = {value:.6f}"])
        sections += [(f"Live numbers: seed {seed}", live), ("Gradients", table)]
        return sections, wrong


@dataclass(frozen=True)
class OptimizerTopic(Topic):
    """An optimizer, and its published formula written out in plain arithmetic."""

    group: ClassVar[str] = "optimizers"
    subject: Callable[..., Optimizer]  # its class
    settings: Mapping[str, Any]  # of the one that is shown
    # (parameters, state, gradients, step from 1) -> the parameters after the step; `state` is a
    # dictionary for what it keeps between steps
    by_the_formula: Callable[[Array, dict[str, Array], Array, int], Array]

    def sections(self, seed: int) -> tuple[Sections, int]:
        parameters = Parameters(get_backend("cpu"), {"p": (2,)}, "float64")
        optimizer = self.subject(parameters, **self.settings)
        p = tidy(normal(seed, "p", (2,)))
        gradients = [tidy(normal(seed, f"gradient {i}", (2,))) for i in range(1, STEPS + 1)]
        live = [grid("p", p), grid(f"gradients of {STEPS} steps", np.array(gradients))]
        parameters.data[:] = p
        state: dict[str, Array] = {}
        ours, right = np.empty((STEPS, 2)), np.empty((STEPS, 2))
        for i, gradient in enumerate(gradients):
            parameters.grad[:] = gradient
            optimizer.step()
            ours[i] = parameters.data
            right[i] = p = self.by_the_formula(p, state, gradient, i + 1)
        wrong = ~(np.abs(ours - right) <= 10.0**-12 * np.maximum(1.0, np.abs(right)))
        both = BothGradients("p", ours, right, wrong)
        table, count = both_columns([both], ("our code", "by the formula"), prefix="")
        kernel = getattr(get_backend("cpu"), self.name.lower())
        sections = self._introduction("data =", with_helpers([kernel], self.helpers))
        settings = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        sections += [
            (f"Live numbers: {self.name}({settings}), seed {seed}", "\n\n".join(live)),
            ("p[step, place] after each step, both counted from 0", table),
        ]
        return sections, count


# -- layers of a user -----------------------------------------------------------------------


def layers_of(module: ModuleType) -> tuple[list[Layer], list[str]]:
    """The layers that a user's module defines.

    Returns:
        Instances: those in the module, and one of each class that needs no settings; and the names
        of classes that need settings and have no instance there.

    Raises:
        ConfigError: there is no layer.
    """
    found = [thing for thing in vars(module).values() if isinstance(thing, Layer)]
    left_out = []
    for name, cls in vars(module).items():
        if not (isinstance(cls, type) and issubclass(cls, Layer)):
            continue
        if cls.__module__ != module.__name__ or cls.bind is Layer.bind or cls in map(type, found):
            continue
        try:
            inspect.signature(cls).bind()
        except TypeError:
            left_out.append(name)
        else:
            found.append(cls())
    if not found:
        raise ConfigError(
            f"{module.__file__} defines no layer, or none that can be made without settings; "
            "give its settings defaults, or put an instance of it into the file"
        )
    return found, left_out


def explain_own(
    layer: Layer, seed: int = 0, topic: type[LayerTopic] = LayerTopic
) -> tuple[str, bool]:
    """Explain a user's layer, with the first input that it accepts.

    Args:
        layer: the definition.
        seed: of the numbers.
        topic: what of the layer.

    Raises:
        whatever the layer raises, if it accepts none.
    """
    shapes = layer.parameter_shapes()
    said = [n for n in (getattr(layer, "in_features", None),) if isinstance(n, int)]
    said += [shapes["weight"][0]] if "weight" in shapes else []
    said += [n for shape in shapes.values() for n in (*shape[:1], *shape[-1:]) if n > 1]
    errors = []
    for inputs in itertools.product((4, 6), dict.fromkeys((*said, 3, 4)), range(ATTEMPTS)):
        try:
            with np.errstate(all="ignore"):  # a logarithm is tried with negative numbers, too
                return topic(layer, *inputs).explain(seed)
        except Exception as error:
            errors.append(error)
    raise errors[0]


# -- numbers as text ------------------------------------------------------------------------


def both_columns(
    gradients: Sequence[BothGradients],
    titles: tuple[str, str] = ("backward", "differences"),
    prefix: str = "d",
) -> tuple[str, int]:
    """Every entry of every gradient, both ways, and how many are wrong."""
    rows = []
    for one in gradients:
        name = prefix + one.name.rpartition(".")[2] if prefix else one.name
        for place, wrong in np.ndenumerate(one.wrong):
            pair = float(one.analytic[place]), float(one.numeric[place])
            cells = [number(x) for x in pair]
            if wrong and cells[0] == cells[1]:  # both too small for the digits that are printed
                cells = [f"{x:+.{DIGITS}e}" for x in pair]
            where = ", ".join(str(i) for i in place)
            rows.append((f"{name}[{where}]", *cells, MARK if wrong else ""))
    count = sum(row[-1] == MARK for row in rows)
    if count:
        off = [np.fmax.reduce(np.abs(g.analytic - g.numeric), axis=None) for g in gradients]
        verdict = f"{count} of {len(rows)} DISAGREE; the largest difference is {max(off):.1e}."
    elif all(row[1] == row[2] for row in rows):
        verdict = f"All {len(rows)} agree to the printed digits."
    else:
        verdict = f"All {len(rows)} agree to rounding."
    return columns([("", *titles, ""), *rows]) + "\n\n" + verdict, count


def number(x: float) -> str:
    """With a sign and `DIGITS` digits, and no negative zero."""
    return f"{0.0 if abs(x) < 0.5 * 10.0**-DIGITS else x:+.{DIGITS}f}"


def grid(name: str, X: Array, image: Image | None = None) -> str:
    """An array as rows of numbers, under its name and shape; images as their rows of pixels."""
    title = f"{name} {X.shape}"
    if image is not None:
        title += f", images of {image}"
        X = X.reshape(-1, image.width * image.channels)  # (B h, w c)
    if X.dtype.kind in "iu":
        cells = [[str(x) for x in np.atleast_1d(row)] for row in X]
    else:
        digits = 1 if np.array_equal(X, np.round(X, 1)) else DIGITS
        cells = [[f"{x:+.{digits}f}" for x in row] for row in np.atleast_2d(X)]
    return "\n".join([title, *("    " + "  ".join(row) for row in cells)])
