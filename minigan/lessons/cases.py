"""The cases of an exercise: their numbers, and what is known to be wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np

from minigan.backend import Array
from minigan.lessons.example_numbers import normal
from minigan.lessons.grader import Case, Grads
from minigan.lessons.typical_mistakes import Effects, wrong_gradients


def numbers(case: int, name: str, shape: tuple[int, ...]) -> Array:
    """Standard normal numbers, none closer to 0 than 0.05, to keep away from kinks."""
    X = normal(case, f"ninja/{name}", shape)
    return np.where(np.abs(X) < 0.05, 0.05, X)


def case_of(
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
