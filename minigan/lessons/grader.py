"""The grader of the exercises: is a gradient right, and if not, what could be wrong?

Finite differences decide: an answer is right if it agrees with the differences of the library's
forward pass.

A wrong answer deserves more than a verdict. Each exercise lists the mistakes that people make in
it, as formulas: an answer that equals one of them gets its hint. Mistakes that fit any exercise,
such as a wrong shape, sign or factor, are recognised here.
"""

from __future__ import annotations

import ast
import contextlib
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TimeoutError  # another one before Python 3.11
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from minigan.backend import Array
from minigan.errors import ConfigError, FileError
from minigan.lessons.user_code import blame, importable, load_module
from minigan.text import count

PATIENCE = 30.0  # seconds for an exercise
RIGHT = 1e-4  # relative to the gradient's largest entry: close enough to be right
#: How close an answer must be to a known mistake to get its hint.
SAME = 1e-6

Grads = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One set of numbers that an exercise is graded with."""

    # takes the module of an answer; returns its gradients by name, as it gives them
    answer: Callable[[ModuleType], Grads]
    numeric: Grads  # the right gradients, by finite differences
    # the wrong gradients of each known mistake, with a hint. A mistake is recognised if all of its
    # gradients are in the answer.
    mistakes: Sequence[tuple[Grads, str]] = ()
    # the sizes that a mean could be taken over, by name
    sizes: Mapping[str, float] = field(default_factory=dict)
    # the names in groups; a later group is checked when the earlier ones are right. By default all
    # are one group.
    stages: Sequence[Sequence[str]] = ()
    returned: Sequence[str] = ()  # the names of what the function must return, in order
    # what could be behind NaN or infinity in an answer
    undefined: str = "a division by 0, or an exponential that is too large"


@dataclass(frozen=True)
class Exercise:
    """An exercise: its file, and the cases that it is graded with."""

    file: str  # in `minigan.lessons.exercises`
    case: Callable[..., Case]  # (number of the case, *its sizes) -> the case
    sizes: Sequence[tuple[int, ...]]  # of each case

    @property
    def name(self) -> str:
        """Without .py."""
        return self.file.removesuffix(".py")

    def cases(self) -> Iterator[Case]:
        """All cases, each made when it is its turn."""
        return (self.case(number, *sizes) for number, sizes in enumerate(self.sizes))


@dataclass(frozen=True)
class Grade:
    """The verdict on one exercise."""

    exercise: str  # its name
    verdict: str  # "right", "wrong", "blank" or "missing"
    lines: tuple[str, ...] = ()  # the explanation, one sentence each
    ended: bool = True  # False if its code was still running when the grader gave up

    @property
    def right(self) -> bool:
        """Whether it passed."""
        return self.verdict == "right"


def grade(exercise: Exercise, file: Path) -> Grade:
    """Grade an answer; if it still has blanks, grade what has been written so far.

    What the answer prints goes to stderr. The grader gives up after `PATIENCE` seconds, unless the
    answer has called the debugger.
    """
    if not file.is_file():
        return Grade(exercise.name, "missing")
    found: Future[Grade] = Future()
    debugger_was_there = "pdb" in sys.modules

    def work() -> None:
        try:
            with np.errstate(all="ignore"):  # NaN and infinity are reported below
                found.set_result(_grade(exercise, file))
        except BaseException as error:  # a fault of the grader
            found.set_exception(error)

    with contextlib.redirect_stdout(sys.stderr):
        threading.Thread(target=work, daemon=True).start()
        try:
            return found.result(PATIENCE)
        except TimeoutError:
            if "pdb" in sys.modules and not debugger_was_there:
                return found.result()
            said = f"it was still running after {PATIENCE:g} seconds: is there an endless loop?"
            return Grade(exercise.name, "wrong", (said,), ended=False)


def _grade(exercise: Exercise, file: Path) -> Grade:
    try:
        module = load_module(file)
        left = blanks(file.read_bytes())
    except (ConfigError, FileError) as error:
        return Grade(exercise.name, "wrong", (str(error),))
    for case in exercise.cases():
        try:
            with importable(file.parent):
                got = case.answer(module)
        except BaseException as error:  # whatever the answer raises, including SystemExit
            said = _crash(error, file)
            if left:  # a blank may be to blame
                lines = [] if "ellipsis" in said else [said]
                return Grade(exercise.name, "blank", (_left(left), *lines))
            return Grade(exercise.name, "wrong", (said,))
        lines = _check(case, got)
        empty = [name for name, value in got.items() if value is ...]
        if empty:
            good = [name for name in case.numeric if name not in empty]
            so_far = [f"right so far: {', '.join(good)}"] if good and not lines else []
            return Grade(exercise.name, "blank", (_left(max(left, len(empty))), *so_far, *lines))
        if lines:
            return Grade(exercise.name, "wrong", tuple(lines))
    return Grade(exercise.name, "right")


def _left(blanks: int) -> str:
    return f"{count(blanks, 'blank')} left"


def blanks(code: bytes) -> int:
    """How many `...` a file has in the places of values: x = ... and return ..."""
    try:
        tree = ast.parse(code)
    except (RecursionError, MemoryError, ValueError):  # Python can run it, but not parse it here
        return 0
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Assign | ast.AnnAssign | ast.Return)]
    return sum(isinstance(n.value, ast.Constant) and n.value.value is ... for n in nodes)


#: Patterns in the message of an exception, and what is often behind them.
CAUSES = {
    "matmul|not aligned": "The shapes of a product do not fit: is a transpose missing?",
    "object is not callable": "Python takes a (b) for a call: is a * missing?",
    "'(backward|step)'": "The grader calls this function. Has it been renamed?",
    r"dY has shape \((\d+), \1\)": (
        "NumPy broadcasts (n, 1) and (n,) to (n, n): give all the shape (n, 1)"
    ),
}


def _crash(error: BaseException, file: Path) -> str:
    hints = [hint for pattern, hint in CAUSES.items() if re.search(pattern, str(error))]
    return ". ".join([f"it does not run: {blame(error, file)}", *hints[-1:]])


def _check(case: Case, got: Grads) -> list[str]:
    """A line for each wrong gradient; gradients that are still `...` are left out."""
    stages = case.stages or (tuple(case.numeric),)
    for at, stage in enumerate(stages, 1):
        lines: list[str] = []
        hints = {""}
        for name in stage:
            if got.get(name) is ...:
                continue
            try:
                value = _as_array(name, got.get(name))
                if not np.isfinite(value).all():
                    raise ValueError(f"{name} contains NaN or infinity: {case.undefined}")
                _check_place_and_shape(case, name, got, value)
            except ValueError as error:
                lines.append(str(error))
                continue
            right = case.numeric[name]
            if _close(value, right, right, RIGHT):
                continue
            off = np.abs(value - right)  # (like the gradient)
            place = np.unravel_index(int(off.argmax()), off.shape)
            hint = _hint(case, name, got)
            lines.append(
                f"{name} is off by {off.max():.2e} at [{', '.join(str(int(i)) for i in place)}]: "
                f"yours is {value[place]:+.6f}, finite differences give {right[place]:+.6f}"
                + (f". {hint}" if hint not in hints else "")
            )
            hints.add(hint)
        if lines:
            later = [name for stage in stages[at:] for name in stage]
            if later:
                lines.append(f"{', '.join(later)}: not checked until the above is right")
            return lines
    return []


def _as_array(name: str, given: Any) -> Array:
    """An answer as float64; `ValueError` says why it is none."""
    if given is None:
        raise ValueError(f"{name} is missing: the function returns None, or too few arrays")
    try:
        array = np.asarray(given)
        value = array.astype("float64") if array.dtype.kind in "fiubO" else None
    except BaseException:  # a ragged list, or an object of the answer's own class
        value = None
    if value is None:
        raise ValueError(f"{name} is not an array of numbers, but {type(given).__name__}")
    return value


def _check_place_and_shape(case: Case, name: str, got: Grads, value: Array) -> None:
    """`ValueError` for another gradient in this one's place, and for a wrong shape."""
    right = case.numeric[name]
    for other in case.returned:
        its = case.numeric[other]
        if other != name and _close(value, its, its, SAME) and not _close(right, its, its, SAME):
            raise ValueError(
                f"{name} holds {other}: return {', '.join(case.returned)}, in this order"
            )
    if value.shape == right.shape:
        return
    hint = _known(case, name, got)
    if not hint and value.shape == right.shape[::-1]:
        hint = "It looks transposed: (A B)^T = B^T A^T"
    elif not hint and set(value.shape) <= {1}:
        hint = "One number is not enough: each entry has its own derivative"
    elif not hint and right.shape[0] == 1:  # a bias
        if value.shape == right.shape[1:]:
            hint = "A sum takes an axis away; keepdims=True keeps it"
        elif value.shape[1:] == right.shape[1:]:
            hint = "Forward added one row to all rows, so backward sums the rows"
        elif value.shape[-1] == 1:
            hint = "The sum runs along the wrong axis"
    shapes = f"{value.shape}; a gradient has the shape of its array, {right.shape}."
    raise ValueError(f"{name} has shape {shapes} {hint}".rstrip())


def _close(A: Array, B: Array, right: Array, tolerance: float) -> bool:
    """Whether two arrays differ by at most a tolerance, relative to the right gradient."""
    return A.shape == B.shape and bool(np.abs(A - B).max(initial=0.0) <= tolerance * _size(right))


def _size(right: Array) -> float:
    return max(float(np.abs(right).max()), 1e-12)


def _known(case: Case, name: str, got: Grads, *more: tuple[Grads, str]) -> str:
    """The hint of the first mistake that explains this gradient, and all that go with it; or ""."""

    def made(other: str, wrong: Array) -> bool:
        """Whether the answer is this wrong one, unless that happens to be right."""
        right = case.numeric[other]
        try:
            value = _as_array(other, got.get(other))
        except ValueError:
            return False
        return _close(value, wrong, right, SAME) and not _close(wrong, right, right, RIGHT)

    for mistake, hint in (*case.mistakes, *more):
        if name in mistake and all(made(other, wrong) for other, wrong in mistake.items()):
            return hint
    return ""


def _hint(case: Case, name: str, got: Grads) -> str:
    """What could be behind a wrong gradient; "" if no known mistake fits."""
    right, value = case.numeric[name], _as_array(name, got[name])
    common = [(0 * right, "It is zero everywhere: no gradient arrives here")]
    common += [(-right, "The sign is wrong"), (right.T, "It is transposed")]
    for what, n in case.sizes.items():
        common += [
            (right * n, f"It is {n:g} times too large: is 1/{what} missing, from the mean?"),
            (right / n, f"It is {n:g} times too small: is it divided by {what} twice?"),
        ]
    hint = _known(case, name, got, *(({name: wrong}, hint) for wrong, hint in common))
    factor = float((value * right).sum() / (right * right).sum())
    # A single wrong number is always a multiple of the right one; and that one parameter of a
    # network ("D 0.bias") is a multiple says little.
    if hint or value.size == 1 or " " in name or not _close(value, factor * right, value, SAME):
        return hint
    return f"It is {factor:.4g} times the right one, everywhere: a constant factor is wrong"
