"""What a sweep is: the grid of its settings and seeds, and a run for each point of it.

OUT/sweep.json     this definition
OUT/runs/NAME/     a run folder for each run
OUT/runs.csv       a row for each run
OUT/table.csv      a row for each setting: mean, worst and best over the seeds
OUT/sweep.png      the same as a picture
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigan.errors import UNEXPECTED, CheckpointError, ConfigError
from minigan.experiment.recipe import check_recipes, to_json
from minigan.files import TEMPORARY
from minigan.reading import read_json
from minigan.text import count
from minigan.training.lock import LOCK, WRITER
from minigan.training.recipe_json import MAX_BYTES, as_json, differences, listed

SWEEP, RUNS, TABLE, PICTURE = "sweep.json", "runs.csv", "table.csv", "sweep.png"
FOLDERS = "runs"  # the folder of the run folders
MOST_RUNS = 100_000
LONGEST = 120  # characters of a run's name


@dataclass(frozen=True)
class Planned:
    """A run of a sweep: its folder's name, the values of the swept fields, and its seed."""

    name: str
    values: dict[str, Any]
    seed: int


@dataclass(frozen=True)
class Plan:
    """What a sweep is.

    Attributes:
        experiment: its name.
        recipe: the settings that all runs start from.
        settings: the values of each swept field.
        seeds: of the runs.
        threads: for the matrix products of each run. Other numbers can give other bits.
        device: where to train.
    """

    experiment: str
    recipe: Any
    settings: dict[str, tuple[Any, ...]]
    seeds: tuple[int, ...]
    threads: int
    device: str

    def __post_init__(self) -> None:
        lengths = [len(values) for values in self.settings.values()]
        total = math.prod(lengths) * len(self.seeds)
        if total > MOST_RUNS:
            raise ConfigError(f"a sweep can have {count(MOST_RUNS, 'run')}, not {total:,}")
        for values in self.points():  # before anything is written
            try:
                changed = dataclasses.replace(self.recipe, **values)
            except UNEXPECTED as error:
                raise ConfigError(f"the recipe refuses {as_text(values)}: {error}") from error
            check_recipes({changed.name: changed})

    def points(self) -> list[dict[str, Any]]:
        """The settings: every combination of the fields' values; the last field changes first."""
        return [
            dict(zip(self.settings, values, strict=True))
            for values in itertools.product(*self.settings.values())
        ]

    def runs(self) -> list[Planned]:
        """The runs in the order of the table."""
        return [
            Planned(run_name(values, seed), values, seed)
            for values in self.points()
            for seed in self.seeds
        ]

    def to_json(self) -> dict[str, Any]:
        """The content of sweep.json. Of the recipe it has the fields that are not swept."""
        fields = to_json(self.recipe, 0)
        kept = {k: v for k, v in fields.items() if k != "seed" and k not in self.settings}
        content = {**vars(self), "recipe": kept}
        result: dict[str, Any] = json.loads(as_json(content))  # tuples become lists
        return result


def as_text(values: dict[str, Any]) -> str:
    """Settings as one writes them after --set: "d_lr=0.001, betas=(0.5,0.9)"."""
    return ", ".join(f"{field}={value_text(value)}" for field, value in values.items())


def value_text(value: Any) -> str:
    """A value as one writes it after --set."""
    if isinstance(value, tuple):
        return f"({','.join(map(value_text, value))}{',' * (len(value) == 1)})"
    return str(value)


def run_name(values: dict[str, Any], seed: int) -> str:
    """The name of a run's folder: "d_lr=0.001,betas=0.5_0.9,seed=3".

    If that could be no name of a file everywhere, or that of another run, or if it is long, a part
    of a SHA-256 of the settings follows.
    """
    texts = {  # in an order that does not depend on that of --set
        field: value_text(value).strip("()").replace(",", "_")
        for field, value in sorted(values.items())
    }
    plain = ",".join(f"{field}={text}" for field, text in {**texts, "seed": str(seed)}.items())
    name = re.sub(r"[^\w=,.+-]", "-", plain, flags=re.ASCII)[:LONGEST]
    names = [value for value in values.values() if isinstance(value, str)]  # may be in capitals
    nested = [v for v in values.values() if isinstance(v, tuple) and not _all_numbers(v)]
    if name == plain and not nested and all(re.fullmatch(r"[a-z][a-z0-9_.-]*", n) for n in names):
        return name
    exact = json.dumps([values, seed], sort_keys=True).encode()
    return f"{name}-{hashlib.sha256(exact).hexdigest()[:8]}"


def _all_numbers(value: tuple[Any, ...]) -> bool:
    return len(value) > 1 and all(type(one) in (int, float) for one in value)


def read_plan(out: Path) -> dict[str, Any] | None:
    """The definition of the sweep in a folder; None if the folder is missing or empty.

    Raises:
        ConfigError: it holds something else.
        CheckpointError: its sweep.json is damaged.
    """
    try:
        plan = read_json(out / SWEEP, MAX_BYTES)
    except FileNotFoundError:
        others = [p.name for p in out.iterdir()] if out.is_dir() else []
        others = [name for name in others if name not in (LOCK, WRITER)]
        others = [name for name in others if not name.startswith(TEMPORARY)]
        if others:
            raise ConfigError(
                f"{out} holds no sweep, but {min(others)}; choose another folder"
            ) from None
        return None
    except NotADirectoryError:
        raise ConfigError(f"{out} is not a folder") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {out / SWEEP}: {error}") from error
    try:
        well = all(isinstance(values, list) for values in plan["settings"].values())
        if not well or not isinstance(plan["seeds"], list):
            raise TypeError("its grid is damaged")
        plan["recipe"].items()
    except UNEXPECTED as error:
        raise CheckpointError(f"{out / SWEEP} describes no sweep: {error!r}") from None
    found: dict[str, Any] = plan
    return found


def require_continued(out: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise `ConfigError` unless a sweep can go on as `new`: with the same or more runs."""
    if {*old["settings"]} != {*new["settings"]}:
        was, asked = (", ".join(plan["settings"]) or "no field" for plan in (old, new))
        raise ConfigError(f"{out} holds a sweep over {was}, not over {asked}")
    grid = "settings", "seeds"
    others = ({k: v for k, v in plan.items() if k not in grid} for plan in (old, new))
    changed = differences(*others)
    if changed:
        raise ConfigError(
            f"{out} holds another sweep: {listed(changed)}; choose another folder, or undo that"
        )
    for field, values in {**old["settings"], "seed": old["seeds"]}.items():
        asked = new["seeds"] if field == "seed" else new["settings"][field]
        texts = [json.dumps(value) for value in asked]
        for value in values:
            if json.dumps(value) not in texts:
                raise ConfigError(
                    f"{out} holds a sweep with {field} {value}, which this call leaves out; "
                    "values and seeds can only be added"
                )
