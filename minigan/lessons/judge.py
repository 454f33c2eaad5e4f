"""The judge of exercises: is a gradient right, and if not, what could be wrong?

Finite differences decide: an answer is right if it agrees with the differences of the forward pass
that the library runs, and *exact* if it agrees with the library's own gradient to rounding, too.

Who is wrong deserves to hear more than that. So each exercise lists the mistakes that people make
in it, as formulas: an answer that equals one of them gets the hint that fits. Beside these stand
the mistakes of every exercise: a wrong shape, sign or factor.
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
from minigan.lessons.code import blame, importable, load_module

PATIENCE = 30.0  # seconds for an exercise
#: Relative to the gradient's largest entry: rounding; and what passes as right.
EXACT, APPROXIMATE = 1e-11, 1e-4
#: How near an answer must be to a known mistake to be taken for it.
SAME = 1e-6

Grads = dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """One case of an exercise, with numbers.

    Attributes:
        answer: the module of an answer -> its gradients by name, as it gives them.
        numeric: by differences: what is right.
        library: the library's own.
        mistakes: (what is wrong, a hint) of this exercise, in numbers. A mistake that spoils
            several gradients names them all, and is recognised if all are as it says.
        sizes: of what a mean is taken over, by their names: a factor that could be missing.
        stages: the names in groups, where a later one follows from an earlier one; a later group is
            looked at when the earlier ones are right. By default all are one group.
        returned: the names of what the function must return, in their order, if there are several.
    """

    answer: Callable[[ModuleType], Grads]
    numeric: Grads
    library: Grads
    mistakes: Sequence[tuple[Grads, str]] = ()
    sizes: Mapping[str, float] = field(default_factory=dict)
    stages: Sequence[Sequence[str]] = ()
    returned: Sequence[str] = ()


@dataclass(frozen=True)
class Exercise:
    """An exercise: its file, and the cases that it is graded with."""

    file: str
    problems: Callable[[], Iterator[Problem]]

    @property
    def name(self) -> str:
        """Without .py."""
        return self.file.removesuffix(".py")


@dataclass(frozen=True)
class Grade:
    """The verdict on one exercise.

    Attributes:
        exercise: its name.
        verdict: "exact", "approximately right", "wrong", "blank" or "missing".
        lines: what there is to say, one sentence each.
        ended: False if its code was left while it still ran.
    """

    exercise: str
    verdict: str
    lines: tuple[str, ...] = ()
    ended: bool = True

    @property
    def right(self) -> bool:
        """Whether it passed."""
        return self.verdict in ("exact", "approximately right")


def grade(exercise: Exercise, file: Path) -> Grade:
    """Grade an answer. Of one that still has blanks, what has been written so far.

    What an answer prints goes to stderr. One that does not end is left after `PATIENCE` seconds,
    unless it has called the debugger.
    """
    if not file.is_file():
        return Grade(exercise.name, "missing")
    found: Future[Grade] = Future()
    debugger_was_there = "pdb" in sys.modules

    def work() -> None:
        try:
            with np.errstate(all="ignore"):  # NaN and infinity are spoken of below
                found.set_result(_grade(exercise, file))
        except BaseException as error:  # of ours
            found.set_exception(error)

    with contextlib.redirect_stdout(sys.stderr):
        threading.Thread(target=work, daemon=True).start()
        try:
            return found.result(PATIENCE)
        except TimeoutError:
            if "pdb" in sys.modules and not debugger_was_there:
                return found.result()
            said = f"it had not ended after {PATIENCE:g} seconds: is there a loop without an end?"
            return Grade(exercise.name, "wrong", (said,), ended=False)


def _grade(exercise: Exercise, file: Path) -> Grade:
    try:
        module = load_module(file)
        left = blanks(file.read_bytes())
    except (ConfigError, FileError) as error:
        return Grade(exercise.name, "wrong", (str(error),))
    exact = True
    for problem in exercise.problems():
        try:
            with importable(file.parent):
                got = problem.answer(module)
        except BaseException as error:  # whatever somebody's code raises, SystemExit among it
            said = _broken(error, file)
            if left:  # which may be to blame
                lines = [] if "ellipsis" in said else [said]
                return Grade(exercise.name, "blank", (f"{left} to be written", *lines))
            return Grade(exercise.name, "wrong", (said,))
        lines, all_exact = _judge(problem, got)
        open_ones = [name for name, value in got.items() if value is ...]
        if open_ones:
            well = [name for name in problem.numeric if name not in open_ones]
            so_far = [f"right so far: {', '.join(well)}"] if well and not lines else []
            count = max(left, len(open_ones))
            return Grade(exercise.name, "blank", (f"{count} to be written", *so_far, *lines))
        if lines:
            return Grade(exercise.name, "wrong", tuple(lines))
        exact = exact and all_exact
    if exact:
        return Grade(exercise.name, "exact")
    return Grade(
        exercise.name,
        "approximately right",
        ("differences confirm it, but not all digits are those of the library's gradient",),
    )


#: What an error's message holds, and what is often behind it.
BEHIND = (
    ("matmul", "The shapes of a product do not fit: is a transpose missing?"),
    ("not aligned", "The shapes of a product do not fit: is a transpose missing?"),
    ("object is not callable", "Python takes a (b) for a call: is a * missing?"),
)
#: What the engine says to a dY of shape (n, n).
SQUARE = re.compile(r"dY has shape \((\d+), \1\)")


def _broken(error: BaseException, file: Path) -> str:
    hints = [hint for part, hint in BEHIND if part in str(error)]
    if SQUARE.search(str(error)):
        hints = ["Of (n, 1) and (n,) NumPy makes (n, n): give all the shape (n, 1)"]
    return ". ".join([f"it does not run: {blame(error, file)}", *hints[:1]])


def _judge(problem: Problem, got: Grads) -> tuple[list[str], bool]:
    """What is wrong, a line for each gradient; and whether all are the library's to rounding.

    What is still `...` is left out.
    """
    stages = problem.stages or (tuple(problem.numeric),)
    lines: list[str] = []
    exact = True
    for at, stage in enumerate(stages):
        hints: set[str] = set()
        for name in stage:
            right = problem.numeric[name]
            if got.get(name) is ...:
                continue
            value, complaint = _as_array(name, got.get(name))
            if value is not None and (other := _belongs_to(problem, name, value)):
                lines.append(f"{name} holds {other}: return {', '.join(problem.returned)}")
                continue
            if value is not None and value.shape != right.shape:
                known = _known(problem, name, got)
                complaint = _shape_complaint(name, value.shape, right.shape, known)
            if complaint or value is None:
                lines.append(complaint)
                continue
            off = np.abs(value - right)  # (like the gradient)
            size = _size(right)
            if off.max() <= APPROXIMATE * size:
                near = np.abs(value - problem.library[name]).max() <= EXACT * size
                exact = exact and bool(near)
                continue
            place = np.unravel_index(int(off.argmax()), off.shape)
            where = ", ".join(str(int(i)) for i in place)
            hint = _hint(problem, name, got, value, right)
            lines.append(
                f"{name} is off by {off.max():.2e} at [{where}]: yours is {value[place]:+.6f}, "
                f"differences say {right[place]:+.6f}"
                + (f". {hint}" if hint and hint not in hints else "")
            )
            hints.add(hint)
        if lines and stages[at + 1 :]:
            later = [name for stage in stages[at + 1 :] for name in stage]
            lines.append(f"{', '.join(later)}: not looked at until the above is right")
            break
    return lines, exact


def _as_array(name: str, given: Any) -> tuple[Array | None, str]:
    """An answer as float64, or a complaint."""
    if given is None:
        return None, f"{name} is missing: what the function returns is None or too short"
    try:
        array = np.asarray(given)
        value = array.astype("float64") if array.dtype.kind in "fiubO" else None
    except BaseException:  # a ragged list, or an object of somebody's own
        value = None
    if value is None:
        return None, f"{name} is no array of numbers, but {type(given).__name__}"
    if not np.isfinite(value).all():
        return (
            None,
            f"{name} holds NaN or infinity: a division by 0, or an exponential that is too large",
        )
    return value, ""


def _shape_complaint(name: str, shape: tuple[int, ...], right: tuple[int, ...], known: str) -> str:
    said = f"{name} has shape {shape}; a gradient has the shape of its array, {right}."
    if known:
        return f"{said} {known}"
    if shape == right[::-1]:
        return f"{said} It looks transposed: (A B)^T = B^T A^T"
    if not shape or set(shape) == {1}:
        return f"{said} One number is not enough: each entry has a derivative of its own"
    if len(right) == 2 and right[0] == 1 and shape == right[1:]:
        return f"{said} A sum takes an axis away; keepdims=True keeps it"
    if right[0] == 1 and shape[1:] == right[1:]:
        return f"{said} Forward added one row to all rows, so backward sums the rows"
    if right[0] == 1 and shape[-1] == 1:
        return f"{said} The sum runs along the wrong axis"
    return said


def _belongs_to(problem: Problem, name: str, value: Array) -> str:
    """The name of another gradient that this one is; "" if it is none."""
    for other, right in problem.numeric.items():
        if other == name or value.shape != right.shape or other not in problem.returned:
            continue
        mine = problem.numeric[name]
        same = mine.shape == right.shape and np.abs(mine - right).max() <= APPROXIMATE
        if not same and np.abs(value - right).max() <= SAME * _size(right):
            return other
    return ""


def _known(problem: Problem, name: str, got: Grads) -> str:
    """The hint of the first known mistake that explains this gradient, and all that go with it."""
    for wrong, hint in problem.mistakes:
        if name in wrong and all(
            _is_same(got.get(other), value, problem.numeric[other])
            for other, value in wrong.items()
        ):
            return hint
    return ""


def _is_same(given: Any, wrong: Array, right: Array) -> bool:
    """Whether an answer is this wrong one, and it is not right after all."""
    value, _ = _as_array("", given)
    if value is None or value.shape != np.shape(wrong):
        return False
    size = _size(right)
    if np.shape(wrong) == right.shape and np.abs(wrong - right).max() <= APPROXIMATE * size:
        return False
    return bool(np.abs(value - wrong).max() <= SAME * size)


def _hint(problem: Problem, name: str, got: Grads, value: Array, right: Array) -> str:
    """What could be behind a wrong gradient; "" if nothing is known that fits."""
    known = _known(problem, name, got)
    if known:
        return known
    if not value.any():
        return "It is zero everywhere: nothing arrives here"
    size = _size(right)
    factor = float((value * right).sum() / (right * right).sum())
    off = np.abs(value - factor * right).max()
    if factor and off <= SAME * max(size, _size(value)):
        hint = _factor_hint(factor, problem.sizes)
        # Of one entry, any wrong one is a multiple; of one of a network's parameters ("D 0.bias")
        # it says little.
        if hint or value.size == 1 or " " in name:
            return hint
        return f"It is {factor:.4g} times the right one, everywhere: a constant factor is wrong"
    if value.shape == value.shape[::-1] and np.abs(value.T - right).max() <= SAME * size:
        return "It is transposed"
    return ""


def _factor_hint(factor: float, sizes: Mapping[str, float]) -> str:
    if abs(factor + 1.0) <= SAME:
        return "The sign is turned round"
    for what, n in sizes.items():
        if n != 1 and abs(factor - n) <= SAME * n:
            return f"It is {n:g} times too large: is 1/{what} missing, from the mean?"
        if n != 1 and abs(factor * n - 1.0) <= SAME:
            return f"It is {n:g} times too small: divided by {what} once too often?"
    return ""


def _size(right: Array) -> float:
    return max(float(np.abs(right).max()), 1e-12)


def blanks(code: bytes) -> int:
    """How many `...` a file holds in the places of values: x = ..., f(...), return ..."""
    try:
        tree = ast.parse(code)
    except (RecursionError, MemoryError, ValueError):  # Python runs it, but cannot show it
        return 0
    values: list[ast.expr | None] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.Return):
            values.append(node.value)
        elif isinstance(node, ast.Call):
            values += node.args
    return sum(isinstance(value, ast.Constant) and value.value is ... for value in values)
