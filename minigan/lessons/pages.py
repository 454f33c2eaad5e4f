"""One layer, loss or optimizer on a page: formula, derivation, our code, and live numbers.

The numbers are computed as the page is printed, by the code that is printed. Beside each gradient
that backward gives stands the one that differences of forward give (see
`minigan.nn.gradcheck`), and an entry where the two disagree is marked: who changes a backward pass
sees at once what it does.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import minigan
from minigan.backend import Array, get_backend, numpy_backend
from minigan.errors import ConfigError, DataError
from minigan.lessons.numbers import DIGITS, grid, normal, number, tidy
from minigan.lessons.promises import check_promises
from minigan.lessons.subjects import LayerSubject, LossSubject, OptimizerSubject, Subject
from minigan.nn import Layer, Parameters, Sequential
from minigan.nn.gradcheck import BothGradients, compare, compare_function
from minigan.text import columns

MARK = "<-- WRONG"
STEPS = 3  # of an optimizer
TRIES = 20  # at an X without kinks
#: Methods of a pass that hold a formula.
FORMULAS = ("forward", "apply", "backward", "apply_backward")
_PACKAGE = Path(minigan.__file__).parent.parent


def explain(subject: Subject, seed: int = 0) -> tuple[str, bool]:
    """The page about a subject.

    Args:
        subject: see `minigan.lessons.subjects`.
        seed: of the numbers.

    Returns:
        The text, and whether all gradients (of an optimizer: updates) agree.
    """
    if isinstance(subject, LayerSubject):
        sections, wrong = _layer(subject, seed)
    elif isinstance(subject, LossSubject):
        sections, wrong = _loss(subject, seed)
    else:
        sections, wrong = _optimizer(subject, seed)
    more = []
    if subject.page:
        more.append(f"The whole derivation, and an exercise on paper: {subject.page}")
    if subject.exercise:
        more.append(f"Write it yourself: minigan ninja new FOLDER, then {subject.exercise}")
    title = f"{subject.name}\n{'=' * len(subject.name)}"
    return "\n\n".join(filter(None, [title, *sections, "\n".join(more)])), wrong == 0


# -- the three kinds ------------------------------------------------------------------------


def _layer(subject: LayerSubject, seed: int) -> tuple[list[str], int]:
    net = Sequential(subject.layer, seed=seed, in_features=subject.features, dtype="float64")
    bound = net.bind(subject.rows)
    shape = (subject.rows, subject.features)
    own = not subject.page  # somebody's own layer: its kinks may lie at round numbers
    if own:
        dY = normal(seed, "dY", bound.output_shape)
        X, (Y, gradients) = _off_kinks(net, shape, dY, seed)
    else:
        net.parameters.data[:] = tidy(net.parameters.data)
        X, dY = tidy(normal(seed, "X", shape)), tidy(normal(seed, "dY", bound.output_shape))
        Y, gradients = compare(net, X, dY)
    kind = type(bound.layers[0])
    methods = [vars(kind)[name] for name in FORMULAS if name in vars(kind)]
    named = net.parameters.named().items()
    arrays = [("X", X), *((name.partition(".")[2], value) for name, value in named)]
    sections = [
        _doc(type(subject.layer)),
        _section("Formula", _formulas(methods)),
        _section("Derivation, in brief", subject.derivation),
        _code("Our code" if not own else "The code", methods),
        _code("The backend's words in it", _words_of(methods)),
        _section(
            f"Live numbers: {subject.layer}, seed {seed}",
            "\n\n".join(grid(name, value) for name, value in [*arrays, ("Y", Y), ("dY", dY)]),
        ),
    ]
    table, wrong = both_columns(gradients)
    lead = "the loss is sum(Y * dY), so that dY is its gradient by Y"
    sections.append(_section(f"Gradients ({lead})", table))
    if own:
        lines, remarks = check_promises(subject.layer, *shape, seed)
        tried = [(f"{what}:", off or "right", MARK if off else "") for what, off in lines]
        text = "\n\n".join([columns(tried, left=2), *remarks])
        sections.append(_section("Between other layers, which share memory with it", text))
        wrong += sum(bool(off) for _, off in lines)
    return sections, wrong


def _off_kinks(
    net: Sequential, shape: tuple[int, int], dY: Array, seed: int
) -> tuple[Array, tuple[Array, list[BothGradients]]]:
    """An X at which the network has a derivative, and what `compare` says there.

    Numbers of both signs are tried before positive ones (for a logarithm, say).
    """
    last: DataError | None = None
    for attempt in range(TRIES):
        X = normal(seed, f"X {attempt}", shape)
        X = X if attempt < TRIES - 5 else np.abs(X) + 0.1
        try:
            return X, compare(net, X, dY)
        except DataError as error:
            last = error
    assert last is not None
    raise last


def _loss(subject: LossSubject, seed: int) -> tuple[list[str], int]:
    X = tidy(normal(seed, "X", subject.shape))
    first, targets_name = "logits" if subject.name.endswith(("logits", "entropy")) else "Y", "t"
    if subject.probabilities:
        X, first = np.clip(np.round(0.5 + 0.2 * X, 2), 0.05, 0.95), "P"
    if subject.labels:
        targets: Array = np.arange(subject.shape[0]) * 2 % subject.shape[1]  # (B,)
        targets_name = "labels"
    else:
        targets = np.arange(X.size).reshape(X.shape) % 2.0  # (B, O), 0 and 1 in turn
    value, _ = subject.function(X, targets)
    gradient = compare_function(lambda at: subject.function(at, targets), X)
    shown = [(first, X), (targets_name, targets)]
    sections = [
        *_introduction(subject, subject.function, "loss ="),
        _section(
            f"Live numbers: seed {seed}",
            "\n\n".join([*(grid(name, array) for name, array in shown), f"loss = {value:.6f}"]),
        ),
    ]
    renamed = BothGradients(first, gradient.analytic, gradient.numeric, gradient.wrong)
    table, wrong = both_columns([renamed])
    return [*sections, _section("Gradients", table)], wrong


def _optimizer(subject: OptimizerSubject, seed: int) -> tuple[list[str], int]:
    parameters = Parameters(get_backend("cpu"), {"p": (1, 2)}, "float64")
    optimizer = subject.make(parameters)
    parameters.data[:] = tidy(normal(seed, "p", (1, 2)))[0]
    states: list[dict[str, float]] = [{}, {}]
    expected = [float(p) for p in parameters.data]
    rows, wrong = [("step", "gradient", "our code", "by the formula", "")], 0
    for step in range(1, STEPS + 1):
        parameters.grad[:] = tidy(normal(seed, f"gradient {step}", (1, 2)))[0]
        gradients = parameters.grad.copy()
        optimizer.step()
        for i, (state, g) in enumerate(zip(states, gradients, strict=True)):
            expected[i] = subject.by_the_formula(expected[i], state, float(g), step)
            ours = float(parameters.data[i])
            off = not abs(ours - expected[i]) <= 10.0**-12 * max(1.0, abs(expected[i]))
            wrong += off
            rows.append(
                (f"{step}  p[{i}]", f"{g:+.1f}", number(ours), number(expected[i]), MARK * off)
            )
    count = 2 * STEPS
    sections = [
        *_introduction(subject, type(optimizer), "data ="),
        _section(
            f"Live numbers: seed {seed}",
            f"Two parameters, {STEPS} steps with given gradients; {subject.formula_text}.\n\n"
            + columns(rows)
            + "\n\n"
            + (
                f"{wrong} of {count} updates differ from the published formula."
                if wrong
                else f"All {count} updates are those of the published formula, digit for digit."
            ),
        ),
    ]
    return sections, wrong


def _introduction(
    subject: LossSubject | OptimizerSubject, documented: Any, formula: str
) -> list[str]:
    """What comes before the numbers, where the formula is a paragraph of one docstring."""
    doc = inspect.getdoc(documented) or ""
    return [
        doc.partition("\n")[0],
        _section("Formula", _paragraph(doc, formula)),
        _section("Derivation, in brief", subject.derivation),
        _code("Our code", [getattr(numpy_backend, name) for name in subject.kernels]),
    ]


def layers_of(module: ModuleType) -> tuple[list[Layer], list[str]]:
    """The layers that a module of someone else's defines, by name.

    Returns:
        Instances: those in the module, and one of each class that needs no settings; and the names
        of classes that do, and have no instance there.

    Raises:
        ConfigError: there is none.
    """
    found: dict[str, Layer] = {}
    left_out = []
    for name, thing in vars(module).items():
        if isinstance(thing, Layer):
            found[name] = thing
    for name, thing in vars(module).items():
        mine = isinstance(thing, type) and issubclass(thing, Layer)
        if not mine or thing.__module__ != module.__name__ or thing.bind is Layer.bind:
            continue
        if any(type(layer) is thing for layer in found.values()):
            continue
        try:
            inspect.signature(thing).bind()
        except TypeError:
            left_out.append(name)
            continue
        found[name] = thing()
    if not found:
        raise ConfigError(
            f"{module.__file__} defines no layer, or none that can be made without settings; "
            "give its settings defaults, or put an instance of it into the file"
        )
    return list(found.values()), left_out


def explain_own(layer: Layer, seed: int = 0) -> tuple[str, bool]:
    """The page about somebody's own layer, as `explain`; with the first shape of X that it takes.

    Raises:
        whatever the layer raises, if it takes none.
    """
    shapes = layer.parameter_shapes()
    said = [n for n in (getattr(layer, "in_features", None),) if isinstance(n, int)]
    said += [shapes["weight"][0]] if "weight" in shapes else []
    said += [n for shape in shapes.values() for n in (*shape[:1], *shape[-1:]) if n > 1]
    first: Exception | None = None
    for rows, features in itertools.product((4, 6), dict.fromkeys((*said, 3, 4))):
        try:
            with np.errstate(all="ignore"):  # a logarithm is tried with negative numbers, too
                return explain(LayerSubject(type(layer).__name__, layer, rows, features), seed)
        except Exception as error:
            first = first or error
    assert first is not None
    raise first


def both_columns(gradients: Iterable[BothGradients]) -> tuple[str, int]:
    """Every entry of every gradient, both ways, and how many are wrong."""
    rows = [("", "backward", "differences", "")]
    wrong, worst, same = 0, 0.0, True
    for one in gradients:
        name = "d" + one.name.rpartition(".")[2]
        for place in np.ndindex(*one.analytic.shape):
            analytic, numeric = float(one.analytic[place]), float(one.numeric[place])
            off = bool(one.wrong[place])
            where = ", ".join(str(i) for i in place)
            cells = number(analytic), number(numeric)
            if off and cells[0] == cells[1]:  # both too small for the digits that are printed
                cells = f"{analytic:+.{DIGITS}e}", f"{numeric:+.{DIGITS}e}"
            rows.append((f"{name}[{where}]", *cells, MARK * off))
            wrong, same = wrong + off, same and cells[0] == cells[1]
            worst = np.fmax(worst, abs(analytic - numeric))  # of numbers, not of NaN
    count = len(rows) - 1
    if wrong:
        verdict = f"{wrong} of {count} DISAGREE; the largest difference is {worst:.1e}."
    else:
        verdict = f"All {count} agree " + ("to the printed digits." if same else "to rounding.")
    return columns(rows) + "\n\n" + verdict, wrong


# -- text and code --------------------------------------------------------------------------


def _section(title: str, body: str) -> str:
    return f"{title}\n{'-' * len(title)}\n{body}" if body else ""


def _doc(thing: Any) -> str:
    """The first paragraph of a docstring that its author wrote."""
    doc = thing.__doc__ or ""
    signature = str(inspect.signature(thing)).replace(" -> None", "")
    if doc == thing.__name__ + signature:  # which a dataclass without a docstring is given
        return ""
    return inspect.cleandoc(doc).partition("\n\n")[0]


def _paragraph(doc: str, start: str) -> str:
    """The paragraphs of a docstring that hold a formula."""
    found = [part for part in doc.split("\n\n") if start in part and "Args:" not in part]
    return "\n".join(found)


def _formulas(methods: Iterable[Callable[..., Any]]) -> str:
    lines = []
    for method in methods:
        way = "backward" if "backward" in method.__name__ else "forward"
        doc = inspect.getdoc(method) or "" if method.__doc__ else ""
        if doc:
            lines.append(f"{way:<10}{doc.partition(chr(10))[0]}")
    return "\n".join(lines)


def _code(title: str, functions: Iterable[Callable[..., Any]]) -> str:
    """The source of functions, each under the file that it comes from."""
    pieces, before = [], ""
    for function in functions:
        function = inspect.unwrap(function)
        try:
            source = textwrap.dedent(inspect.getsource(function)).rstrip()
            file = Path(inspect.getsourcefile(function) or "")
        except (OSError, TypeError):
            source, file = f"({function.__name__}: its source is not in a file)", Path()
        place = (
            file.relative_to(_PACKAGE).as_posix() if file.is_relative_to(_PACKAGE) else file.name
        )
        pieces.append(("" if place == before else f"# {place}\n") + source)
        before = place
    return _section(title, "\n\n".join(pieces))


def _words_of(methods: Iterable[Callable[..., Any]]) -> list[Callable[..., Any]]:
    """The backend's functions that some methods call, in the order of their calls."""
    names: list[str] = []
    for method in methods:
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(method)))
        except (OSError, TypeError, SyntaxError):
            continue
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        attributes = [f for f in calls if isinstance(f, ast.Attribute)]
        for f in sorted(attributes, key=lambda f: (f.lineno, f.col_offset)):
            if isinstance(f.value, ast.Attribute) and f.value.attr == "ops":
                names.append(f.attr)
    return [getattr(numpy_backend, n) for n in dict.fromkeys(names) if hasattr(numpy_backend, n)]
