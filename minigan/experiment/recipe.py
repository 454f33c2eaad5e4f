"""A recipe: a frozen dataclass of an experiment's settings. Some of its fields are flags.

    @dataclass(frozen=True)
    class Recipe:
        name: str
        epochs: int = flag(30, natural, "passes over the data")
        hidden: int = 256

`name` is that of the recipe. One of `steps` and `epochs` is the goal of the training, and `batch`
is the number of real samples a step. The values are JSON: numbers, strings, None, and tuples.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigan.errors import CheckpointError, ConfigError

GOALS = ("steps", "epochs")
AUTO = "auto"  # of a field: what it is, is decided when a run begins
#: Names that the command line uses itself.
TAKEN = {
    *("changes", "data_dir", "device", "dry_run", "no_graph", "on_nan", "out", "recipe", "resume"),
    *("seed", "set", "show", "threads", "print_every", "checkpoint_every", "help"),
}


@dataclass(frozen=True)
class Flag:
    """How a field of a recipe is given on the command line; see `flag`."""

    kind: Callable[[str], Any]
    help: str
    name: str
    choices: tuple[str, ...] | None


def flag(
    default: Any,
    kind: Callable[[str], Any],
    help: str,
    *,
    name: str = "",
    choices: Sequence[str] | None = None,
) -> Any:
    """A field of a recipe that is a flag of the command line, too.

    Args:
        default: of the field.
        kind: makes a value of the flag's text, as `type` of argparse does.
        help: what it is; the default is added.
        name: of the flag; by default "--" and the field's name.
        choices: what it can be.
    """
    if kind is bool:
        raise ConfigError("bool makes True of any text; give a kind that reads it, or choices")
    there = Flag(kind, help, name, None if choices is None else tuple(choices))
    return dataclasses.field(default=default, metadata={"flag": there})


def flags_of(recipe: Any) -> dict[str, Flag]:
    """The flags of a recipe (or its class) by the name of the field."""
    return {
        field.name: field.metadata["flag"]
        for field in dataclasses.fields(recipe)
        if "flag" in field.metadata
    }


def flag_name(field: str, one: Flag) -> str:
    """As "--batch-size"."""
    return one.name or f"--{field.replace('_', '-')}"


def goal_of(recipe: Any) -> str:
    """The field that is the goal: "steps" or "epochs"."""
    return next(field.name for field in dataclasses.fields(recipe) if field.name in GOALS)


def check_recipes(recipes: Mapping[str, Any]) -> None:
    """Raise `ConfigError` unless these are recipes, all of one class, under their names."""
    kind = type(next(iter(recipes.values()), None))
    if not dataclasses.is_dataclass(kind) or any(type(one) is not kind for one in recipes.values()):
        raise ConfigError(f"recipes must be objects of one dataclass, not {dict(recipes)!r}")
    names = {field.name for field in dataclasses.fields(kind)}
    for wrong, reason in (
        (names & TAKEN, "cannot have the field {!r}: every run has one already"),
        ({"name", "batch"} - names, "needs the field {!r}"),
        (set() if len(names & {*GOALS}) == 1 else {*GOALS}, "has either steps or epochs"),
    ):
        if wrong:
            raise ConfigError("a recipe " + reason.format(min(wrong)))
    for key, recipe in recipes.items():
        if recipe.name != key:
            raise ConfigError(f"the recipe under {key!r} has the name {recipe.name!r}")
        if type(getattr(recipe, goal_of(kind))) is not int:
            raise ConfigError(f"{goal_of(kind)} of the recipe {key!r} must be an integer")
        if from_json(Path(), json.loads(json.dumps(to_json(recipe, 0))), recipes)[0] != recipe:
            raise ConfigError(f"{recipe!r} is not kept by JSON: use numbers, strings and tuples")


def add_flags(parser: argparse.ArgumentParser, recipes: Mapping[str, Any]) -> None:
    """Add the flags of recipes. None stands for one that was not given."""
    for field, one in flags_of(next(iter(recipes.values()))).items():
        values = [getattr(recipe, field) for recipe in recipes.values()]
        default = values[0] if all(value == values[0] for value in values) else "the recipe's"
        shown = {"choices": one.choices} if one.choices else {"metavar": "N"}
        parser.add_argument(
            flag_name(field, one),
            dest=field,
            type=one.kind,
            help=f"{one.help} (default: {default})".replace("%", "%%"),
            **shown,
        )


def with_flags(recipe: Any, args: argparse.Namespace) -> Any:
    """The recipe of a new run: with what the flags say."""
    given = {
        field: value for field in flags_of(recipe) if (value := getattr(args, field)) is not None
    }
    return dataclasses.replace(recipe, **given)


def require_same_flags(out: Path, args: argparse.Namespace, recipe: Any, seed: int) -> None:
    """Raise `ConfigError` if a flag was given that differs from the run being resumed."""
    run = {"--recipe": (args.recipe, recipe.name), "--seed": (args.seed, seed)}
    for field, one in flags_of(recipe).items():
        if field not in GOALS:
            run[flag_name(field, one)] = (getattr(args, field), getattr(recipe, field))
    for name, (given, own) in run.items():
        if given not in (None, AUTO, own):
            raise ConfigError(
                f"{out} holds a run with {name} {own}, not {given}; "
                "leave the flag out, or choose another folder"
            )


def to_json(recipe: Any, seed: int) -> dict[str, Any]:
    """A recipe and the seed of a run, as recipe.json keeps them."""
    return dataclasses.asdict(recipe) | {"seed": seed}


def from_json(out: Path, saved: Any, recipes: Mapping[str, Any]) -> tuple[Any, int]:
    """The recipe and the seed of a run.

    A field that the recipe had not when the run began has its default.

    Args:
        out: the run folder, for errors.
        saved: "recipe" of its recipe.json.
        recipes: those of the experiment, by name.

    Raises:
        CheckpointError: it is no recipe of this experiment.
    """
    kind = type(next(iter(recipes.values())))
    fields = dataclasses.fields(kind)
    needed = {"seed", "name", "batch", goal_of(kind)}
    needed |= {field.name for field in fields if field.default is dataclasses.MISSING}
    unknown = sorted(saved.keys() - {"seed", *(field.name for field in fields)})
    lacking = sorted(needed - saved.keys())
    reason = ""
    if unknown or lacking:
        reason = f"its recipe has {unknown[0]!r}" if unknown else f"its recipe lacks {lacking[0]!r}"
    else:
        for name in ("seed", goal_of(kind)):
            if not isinstance(saved[name], int) or isinstance(saved[name], bool):
                reason = f"{name} is {saved[name]!r}"
    if reason:
        raise CheckpointError(f"{out} holds a run of another experiment: {reason}")
    settings = {name: _tuple(value) for name, value in saved.items() if name != "seed"}
    return kind(**settings), saved["seed"]


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value
