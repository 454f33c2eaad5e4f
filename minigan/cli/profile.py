"""minigan profile: where the time of a training step goes."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from minigan.cli.common import source_of
from minigan.command_line import path, positive
from minigan.data import DataSource, Samples
from minigan.errors import ConfigError, FileError
from minigan.evaluation import plots
from minigan.experiment import Experiment, Options
from minigan.gan import Game
from minigan.lessons.user_code import importable, load_module
from minigan.text import columns, count
from minigan.training import limit_threads, load_run, suitable_threads
from minigan.training.profile import Row, StepProfile, profile_step
from minigan.training.threads import blas

REST = "outside the networks"
MOST = 2**26  # random samples for a run whose own are not known; fewer if they are large
LEAST = 0.2  # per cent of a step: shorter bars are not drawn
PRODUCTS, OTHERS, PYTHON = "matrix products", "other kernels", "Python between kernels"
COLOURS = {PRODUCTS: plots.REAL, OTHERS: plots.FAKE, PYTHON: "#BBBBBB"}


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "profile",
        help="show where the time of a training step goes",
        description="Show how often a training step calls each kernel of each layer, how long that "
        "takes, and how fast the matrix products are. The data are random, since time does not "
        "depend on them; the run is not changed. The measurement is on the CPU: for a GPU, run "
        "the training under NVIDIA's nsys profile.",
    )
    add = parser.add_argument
    add("target", type=path, metavar="TARGET", help="a run folder, or an experiment's .py file")
    add("--recipe", metavar="NAME", help="an experiment's recipe (default: its default)")
    add("--batch", type=positive, metavar="N", help="real samples per step (default: the target's)")
    add("--steps", type=positive, metavar="N", help="steps to measure (default: for two seconds)")
    add(
        "--threads",
        type=positive,
        metavar="N",
        help="of the BLAS library (default: as in training)",
    )
    add("--out", type=path, metavar="FILE", help="draw a chart: FILE.png")
    parser.set_defaults(run=run, command="profile")


def run(args: argparse.Namespace) -> int:
    """Measure, print, draw."""
    if args.out is not None and args.out.suffix != ".png":
        raise ConfigError(f"--out must end in .png, not {args.out.name!r}")
    figure = None if args.out is None else plots.new_figure()  # if it fails, then before measuring
    gan, data, batch, title = open_target(args)
    with limit_threads(args.threads or suitable_threads(gan, batch)):
        profile = profile_step(gan, data, batch, args.steps)
        library, n_threads = blas()
    title = f"{title}: batch {batch}, {gan.generator.dtype}, {count(n_threads, 'thread')}"
    print(f"{title}\nNumPy {np.__version__}, {library}\n\n{table(profile)}\n\n{summary(profile)}")
    if figure is not None:
        draw(figure, profile, title)
        plots.save_figure(figure, args.out)
        print(f"chart {args.out}")
    print(end="", flush=True)
    return 0


# -- what is measured ---------------------------------------------------------------------


def open_target(args: argparse.Namespace) -> tuple[Game, DataSource, int, str]:
    """The GAN, random data, the batch, and a title, of a run folder or an experiment's file."""
    if args.target.suffix == ".py":
        return of_experiment(args.target, args)
    if not args.target.is_dir():
        raise FileError(f"{args.target} is neither a run folder nor an experiment's .py file")
    if args.recipe is not None:
        raise ConfigError("--recipe goes with an experiment; a run has its own recipe")
    trained = load_run(args.target)
    batch = args.batch or int(trained.description["trainer"]["batch"])
    return trained.gan, random_data(trained.data, trained.gan), batch, str(args.target)


def random_data(config: dict[str, Any], gan: Game) -> DataSource:
    """Random data like those of a run, and as many or fewer. No file is needed.

    Args:
        config: the description of the run's data.
        gan: whose discriminator they are for.
    """
    source, D = source_of(config), gan.discriminator
    size, data = MOST, None
    if source is not None:
        settings = {name: value for name, value in config.items() if name != "data"}
        size = next(iter(source.shape_of(settings)), MOST)
        data = source.stand_in(settings)
    return data or Samples.stand_in({"shape": (size, D.in_features), "dtype": D.dtype})


def of_experiment(file: Path, args: argparse.Namespace) -> tuple[Game, DataSource, int, str]:
    """The same, of one of an experiment's recipes."""
    experiment = getattr(load_module(file), "experiment", None)
    if not isinstance(experiment, Experiment):
        raise ConfigError(f"{file} has no `experiment`")
    recipe = experiment.recipe(args.recipe)
    recipe = dataclasses.replace(recipe, batch=args.batch or recipe.batch)
    with importable(file.parent):
        gan, data = experiment.build(recipe, Options(dry_run=True))
    data = data.stand_in(data.settings()) or data
    return gan, data, recipe.batch, f"{file}, recipe {recipe.name}"


# -- what is shown ------------------------------------------------------------------------


def in_order(profile: StepProfile) -> list[list[list[Row]]]:
    """The rows of each place, of each network; last those that belong to no network."""
    networks: dict[str, dict[tuple[str, str], list[Row]]] = {}
    for row in profile.rows:
        places = networks.setdefault(row.key.network, {})
        places.setdefault((row.key.part, row.key.method), []).append(row)
    rest = networks.pop("")  # at least the data
    return [list(places.values()) for places in (*networks.values(), rest)]


def table(profile: StepProfile) -> str:
    """Each kernel in each place, then all calls of each kernel, in columns."""

    def cells(place: str, kernel: str, rows: Iterable[Row]) -> tuple[str, ...]:
        calls, seconds, flops = map(sum, zip(*(row[1:] for row in rows), strict=True))
        return (
            place,
            kernel,
            f"{calls:.0f}" if calls == int(calls) else f"{calls:.3f}",
            *times(seconds),
            f"{flops / 1e6:.3f}" if flops else "",
            f"{flops / seconds / 1e9:.1f}" if kernel and flops and seconds else "",
            "",
        )

    def times(seconds: float) -> tuple[str, str]:
        return f"{seconds * 1e6:,.1f}", f"{100 * seconds / profile.step:.1f}"

    lines: list[tuple[str, ...]] = [("", "", "calls", "µs", "%", "MFLOP", "GFLOP/s", "")]
    kernels: dict[str, list[Row]] = {}
    for places in in_order(profile):
        rows = list(itertools.chain(*places))
        lines.append(cells(rows[0].key.network or REST, "", rows))
        for of_place in places:
            label = f"  {of_place[0].key.part:<12} {of_place[0].key.method}"
            for row in of_place:
                result = row.key.result and f" -> {row.key.result}"
                lines.append(cells(label, row.key.kernel + result, [row]))
                label = ""
                kernels.setdefault(row.key.kernel, []).append(row)
    lines += [("",) * 8, ("by kernel", *("",) * 7)]
    seconds = {name: sum(row.seconds for row in rows) for name, rows in kernels.items()}
    slowest_first = sorted(kernels, key=lambda name: -seconds[name])
    lines += [cells("", name, kernels[name]) for name in slowest_first]
    lines.append((PYTHON, "", "", *times(profile.python), "", "", ""))
    lines.append(("a step", "", "", *times(profile.step), "", "", ""))
    return columns(lines, left=2)


def summary(profile: StepProfile) -> str:
    """How the times were taken; and in the last line, the step in short."""
    seconds = profile.step, profile.kernels, profile.python, profile.captured
    step, kernels, python, captured = (f"{1e6 * each:,.0f} µs" for each in seconds)
    return (
        f"Medians over {count(profile.steps, 'step')}; means of work that differs between steps.\n"
        f"a step takes {step}: kernels {kernels}, Python between them {python}; "
        f"captured, as in training, {captured}"
    )


def draw(figure: Any, profile: StepProfile, title: str) -> None:
    """A bar for each place in a step that takes at least 0.2 % of it, in the order of the table.

    Args:
        figure: a Matplotlib figure, whose size is changed.
        profile: what was measured.
        title: the headline.
    """
    bars: list[tuple[str, dict[str, float]]] = []  # a label; each colour's per cent of a step
    for places in in_order(profile):
        bars.append((places[0][0].key.network or REST, {}))
        for rows in places:
            shares = dict.fromkeys((PRODUCTS, OTHERS), 0.0)
            for row in rows:
                shares[PRODUCTS if row.flops else OTHERS] += 100 * row.seconds / profile.step
            if sum(shares.values()) >= LEAST:
                bars.append((f"{rows[0].key.part} {rows[0].key.method}".strip(), shares))
    bars.append((PYTHON, {PYTHON: 100 * profile.python / profile.step}))
    figure.set_size_inches(plots.SIZE[0], 2.0 + 0.25 * len(bars))
    figure.suptitle(title, fontsize=15, color=plots.INK)
    axes, handles = figure.subplots(), {}
    for y, (_, shares) in enumerate(bars):
        left = 0.0
        for name, share in shares.items():
            handles[name] = axes.barh(y, share, left=left, color=COLOURS[name])
            left += share
        if shares:
            axes.text(left, y, f" {left:.1f} %", va="center", fontsize=9, color=plots.INK)
    axes.set_yticks(range(len(bars)), [label for label, _ in bars], fontsize=10)
    for tick, (_, shares) in zip(axes.get_yticklabels(), bars, strict=True):
        tick.set_fontweight("normal" if shares else "bold")
    axes.set_ylim(len(bars) - 0.3, -0.7)
    axes.margins(x=0.06)
    axes.set_xlabel(f"% of a step; {summary(profile).splitlines()[-1]}", fontsize=11)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3, frameon=False)
