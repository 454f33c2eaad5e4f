"""Map where training works: both recipes of gaussian1d.py over a grid of learning rates.

Every pair of rates, G's and D's, is tried with a few seeds. The members of a group are trained side
by side as one population. Each has rates and a seed of its own, and is the run to the bit that
gaussian1d.py makes of them; or within 1e-5 in its first steps, where BLAS sums in another order.

OUT gets map.csv, a row for each member, and map.svg. Finished groups stay in OUT/groups: after an
interruption the same command goes on. docs/atlas.md shows the map.

examples:
  python examples/atlas.py --workers 2 --out runs/atlas                  half an hour on two cores
  python examples/atlas.py --size 4 --seeds 1 --steps 2000 --out runs/coarse        half a minute
"""

from __future__ import annotations

import math
import os
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gaussian1d import RECIPES, build  # the file next to this one
from joblib import Parallel, delayed
from tqdm import tqdm

from minigan.backend.numpy.subnormals import flushed_subnormals
from minigan.command_line import guard, path, positive
from minigan.errors import ConfigError
from minigan.evaluation import maps, plots, score_gaussian
from minigan.files import remove_leftovers, write_whole
from minigan.sweeps.worker import begin_worker
from minigan.training import limit_threads
from minigan.training.lock import WriterLock

#: Members of a group. More share the cost of a call, until an activation outgrows the cache.
GROUP = {"article": 8, "stable": 4}
FROM, TO = 2e-5, 5e-2  # the rates of both axes
SAMPLES, SAMPLE_SEED = 100_000, 1  # as gaussian1d.py draws for its score
#: A run is cleared if mean, std and KS are within these, as in most tables of docs/gaussian1d.md.
BAR, KS_BAR = 0.05, 0.03
HEAD = "recipe,g_lr,d_lr,seed,mean,std,ks,cleared\n"


class Member(NamedTuple):  # what one has for itself
    g_lr: float
    d_lr: float
    seed: int


class Group(NamedTuple):
    """Members that are trained side by side."""

    recipe: Any  # the rates in it are replaced by those of the members
    members: list[Member]
    file: Path  # of their rows

    def steps(self) -> int:
        """The steps of all members."""
        return len(self.members) * self.recipe.steps


def groups_of(args: Namespace) -> list[Group]:
    """The grids of both recipes, cut into groups."""
    rates = [float(f"{rate:.3g}") for rate in np.geomspace(FROM, TO, args.size)]
    grid = [Member(g, d, seed) for g in rates for d in rates for seed in range(args.seeds)]
    groups = []
    for name, size in GROUP.items():
        recipe = replace(RECIPES[name], steps=args.steps or RECIPES[name].steps)
        for k in range(0, len(grid), size):
            file = args.out / "groups" / f"{name}-{k:04d}.csv"
            groups.append(Group(recipe, grid[k : k + size], file))
    return groups


def train(group: Group) -> int:
    """Train a group and write its rows, all or none; returns its steps."""
    g_lrs, d_lrs, seeds = zip(*group.members, strict=True)
    recipe = replace(group.recipe, g_lr=g_lrs, d_lr=d_lrs)
    with limit_threads(1), flushed_subnormals():  # of which lost networks are full
        gan, data = build(recipe, seeds)
        gan.bind(recipe.batch)
        gan.capture()
        for _ in range(recipe.steps):
            data.next_batch(out=gan.real)
            gan.step()  # where a member becomes NaN, the others go on
        samples = gan.ops.to_host(gan.sample(SAMPLES, SAMPLE_SEED))  # (S, 100000, 1)
    rows = [row(recipe, *one) for one in zip(group.members, samples, strict=True)]
    write_whole(group.file, "".join(rows).encode())
    return group.steps()


def row(recipe: Any, member: Member, samples: Any) -> str:
    """A line of map.csv; NaN for samples (n, 1) that are not all finite."""
    mean = std = ks = math.nan
    if np.isfinite(samples).all():
        score = score_gaussian(samples, recipe.mean, recipe.std)
        mean, std, ks = score.mean, score.std, score.ks
    cleared = abs(mean - recipe.mean) <= BAR and abs(std - recipe.std) <= BAR and ks <= KS_BAR
    cells = [recipe.name, *member, f"{mean:.5g}", f"{std:.5g}", f"{ks:.4g}", int(cleared)]
    return ",".join(map(str, cells)) + "\n"


def atlas(args: Namespace) -> int:
    """Train the groups that have no file yet, and draw the map of all."""
    (args.out / "groups").mkdir(parents=True, exist_ok=True)
    with WriterLock(args.out):
        groups = groups_of(args)
        map_of = repr([(group.recipe, group.members) for group in groups]).encode()
        if (kept := args.out / "map_of.txt").exists() and kept.read_bytes() != map_of:
            raise ConfigError(f"{args.out} holds another map; name a new folder with --out")
        write_whole(kept, map_of)
        remove_leftovers(args.out / "groups", *(group.file.name for group in groups))
        left = [group for group in groups if not group.file.exists()]
        total, rest = (sum(map(Group.steps, some)) for some in (groups, left))
        ending = {"initializer": begin_worker, "initargs": (os.getpid(),)}  # workers end with it
        pool = Parallel(args.workers, batch_size=1, return_as="generator_unordered", **ending)
        with tqdm(total=total, initial=total - rest, unit="step", unit_scale=True) as bar:
            for steps in pool(delayed(train)(group) for group in left):
                bar.update(steps)
        rows = "".join(group.file.read_text() for group in groups)
        write_whole(args.out / "map.csv", (HEAD + rows).encode())
    table = np.genfromtxt(StringIO(rows), delimiter=",", names=HEAD, dtype=None, encoding="utf-8")
    points = {f"the rates of {name}": (RECIPES[name].g_lr, RECIPES[name].d_lr) for name in GROUP}
    plots.save_figure(maps.draw_maps(table, points), args.out / "map.svg")
    for name in GROUP:
        cleared = table["cleared"][table["recipe"] == name]
        print(f"{name}: {cleared.sum()} of {cleared.size} runs are cleared")
    print(f"map {args.out / 'map.svg'}")
    return 0


def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--size", type=positive, default=10, help="rates of each player (10)")
    add("--seeds", type=positive, default=3, help="seeds of each pair of rates (3)")
    add("--steps", type=positive, help="of each run (by default those of its recipe)")
    add("--workers", type=positive, default=1, help="processes (1)")
    add("--out", type=path, default="runs/atlas", help="folder (runs/atlas)")
    return guard("atlas.py", lambda: atlas(parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
