"""A recipe: a frozen dataclass with the settings of an experiment. Some fields are flags.

    @dataclass(frozen=True)
    class Recipe:
        name: str
        epochs: int = flag(30, natural, "passes over the data")
        hidden: int = 256

`name` is the recipe's name. Either `steps` or `epochs` is the goal of the training, and `batch` is
the number of real samples per step. The values are numbers, strings, None, and tuples of these.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from minigan.errors import CheckpointError, ConfigError

GOALS = ("steps", "epochs")
AUTO = "auto"  # the value of a field that is decided when a run begins
#: Names of the command line's own flags and settings.
TAKEN = {
    *("changes", "data_dir", "device", "dry_run", "no_graph", "on_nan", "out", "recipe", "resume"),
    *("seed", "set", "show", "threads", "print_every", "checkpoint_every", "help", "record"),
    *("camera", "workers"),
}


def flag(
    default: Any,
    kind: Callable[[str], Any],
    help: str,
    *,
    name: str = "",
    choices: Sequence[str] | None = None,
    const: Any = None,
) -> Any:
    """A field of a recipe that is also a flag of the command line.

    Args:
        default: of the field.
        kind: turns the flag's text into a value, like `type` of argparse.
        help: of the flag; the default is added.
        name: of the flag; by default "--" and the field's name.
        choices: the values it can have.
        const: the value that the flag, which then takes none itself, gives the field.
    """
    if kind is bool:
        raise ConfigError("bool makes True of any text; give a kind that reads it, or choices")
    about = {"flag": name, "type": kind, "help": help, "choices": choices, "const": const}
    return dataclasses.field(default=default, metadata=about)


def flags_of(recipe: Any) -> dict[str, str]:
    """The flags of a recipe (or its class) by the name of the field: {"batch": "--batch-size"}."""
    return {
        field.name: field.metadata["flag"] or f"--{field.name.replace('_', '-')}"
        for field in dataclasses.fields(recipe)
        if "flag" in field.metadata
    }


def goal_of(recipe: Any) -> str:
    """The field that is the goal: "steps" or "epochs"."""
    return next(field.name for field in dataclasses.fields(recipe) if field.name in GOALS)


def check_recipes(recipes: Mapping[str, Any]) -> None:
    """Raise `ConfigError` unless these are recipes, all of one class, under their names."""
    kind = type(next(iter(recipes.values()), None))
    if not dataclasses.is_dataclass(kind) or any(type(one) is not kind for one in recipes.values()):
        raise ConfigError(f"recipes must be objects of one dataclass, not {dict(recipes)!r}")
    names = {field.name for field in dataclasses.fields(kind)}
    if names & TAKEN:
        raise ConfigError(
            f"a recipe cannot have the field {min(names & TAKEN)!r}: every run has it"
        )
    if not {"name", "batch"} <= names or len(names & {*GOALS}) != 1:
        raise ConfigError("a recipe needs the fields name, batch, and either steps or epochs")
    for key, recipe in recipes.items():
        if recipe.name != key:
            raise ConfigError(f"the recipe under {key!r} has the name {recipe.name!r}")
        goal = goal_of(kind)
        if type(getattr(recipe, goal)) is not int and getattr(recipe, goal) != AUTO:
            raise ConfigError(f"{goal} of the recipe {key!r} must be an integer or {AUTO!r}")
        kept = dataclasses.replace(recipe, **{goal: 1})  # with a number instead of "auto"
        if from_json(Path(), json.loads(json.dumps(to_json(kept, 0))), recipes)[0] != kept:
            raise ConfigError(f"{recipe!r} is not kept by JSON: use numbers, strings and tuples")


def add_flags(parser: argparse.ArgumentParser, recipes: Mapping[str, Any]) -> None:
    """Add the flags of recipes. A flag that was not given is None."""
    first = next(iter(recipes.values()))
    about = {field.name: field.metadata for field in dataclasses.fields(first)}
    for field, name in flags_of(first).items():
        values = [getattr(recipe, field) for recipe in recipes.values()]
        default = values[0] if all(value == values[0] for value in values) else "the recipe's"
        if about[field]["const"] is not None:
            settings = {"action": "store_const", "const": about[field]["const"]}
        else:
            settings = {key: about[field][key] for key in ("type", "choices")}
            settings["metavar"] = None if settings["choices"] else "N"
        help = f"{about[field]['help']} (default: {default})".replace("%", "%%")
        parser.add_argument(name, dest=field, help=help, **settings)


def with_flags(recipe: Any, args: argparse.Namespace) -> Any:
    """The recipe with the values of the flags that were given."""
    values = {field: getattr(args, field) for field in flags_of(recipe)}
    return dataclasses.replace(recipe, **{k: v for k, v in values.items() if v is not None})


def require_same_flags(out: Path, args: argparse.Namespace, recipe: Any, seed: int) -> None:
    """Raise `ConfigError` if a flag was given that differs from the run being resumed."""
    run = {"--recipe": (args.recipe, recipe.name), "--seed": (args.seed, seed)}
    for field, name in flags_of(recipe).items():
        if field not in GOALS:
            run[name] = (getattr(args, field), getattr(recipe, field))
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

    A field that was added to the recipe after the run began has its default.

    Args:
        out: the run folder, for errors.
        saved: "recipe" of its recipe.json.
        recipes: those of the experiment, by name.

    Raises:
        CheckpointError: it is not a recipe of this experiment.
    """
    kind = type(next(iter(recipes.values())))
    fields = dataclasses.fields(kind)
    needed = {"seed", "name", "batch", goal_of(kind)}
    needed |= {field.name for field in fields if field.default is dataclasses.MISSING}
    known = {"seed", *(field.name for field in fields)}
    least = {"seed": 0, goal_of(kind): 0, "batch": 1}
    reasons = [
        *(f"its recipe has {name!r}" for name in sorted(saved.keys() - known)),
        *(f"its recipe lacks {name!r}" for name in sorted(needed - saved.keys())),
        *(
            f"{name} is {saved.get(name)!r}"
            for name in least
            if type(saved.get(name)) is not int or saved[name] < least[name]
        ),
    ]
    if reasons:
        raise CheckpointError(f"{out} holds a run of another experiment: {reasons[0]}")
    settings = {name: _tuple(value) for name, value in saved.items() if name != "seed"}
    return kind(**settings), saved["seed"]


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value
