"""minigan profile: where the time of a training step goes."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigan.cli.common import output
from minigan.command_line import path, positive
from minigan.data import DataSource, Samples
from minigan.data.source import data_shape, described
from minigan.errors import ConfigError, FileError
from minigan.evaluation import plots
from minigan.experiment import Experiment, Options
from minigan.gan import Game
from minigan.lessons.user_code import importable, load_module
from minigan.text import BOLD, coloured, columns, count
from minigan.training import Run, limit_threads, load_run, suitable_threads
from minigan.training.profile import Row, StepProfile, profile_step
from minigan.training.threads import blas

REST = "outside the networks"
MOST = 2**26  # random samples for a run whose own are not known; fewer if they are large
LEAST = 0.2  # per cent of a step: shorter bars are not drawn
PYTHON = "Python between kernels"


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "profile",
        help="show where the time of a training step goes",
        description="Show how often a training step calls each kernel of each layer, how long that "
        "takes, and how fast products and convolutions are. The data are random, since time does "
        "not depend on them; the run is not changed. The measurement is on the CPU: for a GPU, run "
        "the training under NVIDIA's nsys profile.",
    )
    add = parser.add_argument
    add("target", type=path, metavar="TARGET", help="a run folder, or an experiment's .py file")
    add("--recipe", metavar="NAME", help="an experiment's recipe (default: its default)")
    add("--batch", type=positive, metavar="N", help="real samples per step (default: the target's)")
    add("--steps", type=positive, metavar="N", help="steps to measure (default: for two seconds)")
    of_blas = "of the BLAS library (default: as in training)"
    add("--threads", type=positive, metavar="N", help=of_blas)
    add("--out", type=output, metavar="FILE", help="draw a chart: FILE.png")
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
    print(f"{title}\nNumPy {np.__version__}, {library}\n")
    print(coloured(table(profile), {r"^\S.*": BOLD}))
    print(f"\n{summary(profile)}")
    if figure is not None:
        draw(figure, profile, title)
        plots.save_figure(figure, args.out)
        print(f"chart {args.out}")
    return 0


def open_target(args: argparse.Namespace) -> tuple[Game, DataSource, int, str]:
    """The GAN, random data, the batch, and a title, of a run folder or an experiment's file."""
    target: Path = args.target
    if target.suffix == ".py":
        experiment = getattr(load_module(target), "experiment", None)
        if not isinstance(experiment, Experiment):
            raise ConfigError(f"{target} has no `experiment`")
        recipe = experiment.recipe(args.recipe)
        recipe = dataclasses.replace(recipe, batch=args.batch or recipe.batch)
        with importable(target.parent):
            gan, data = experiment.build(recipe, Options(dry_run=True))
        data = data.stand_in(data.settings()) or data
        return gan, data, recipe.batch, f"{target}, recipe {recipe.name}"
    if not target.is_dir():
        raise FileError(f"{target} is neither a run folder nor an experiment's .py file")
    if args.recipe is not None:
        raise ConfigError("--recipe goes with an experiment; a run has its own recipe")
    trained = load_run(target)
    batch = args.batch or int(trained.description["trainer"]["batch"])
    return trained.gan, random_data(trained), batch, str(target)


def random_data(run: Run) -> DataSource:
    """Random data of the same form as a run's, and not more of them. No file is needed."""
    (source, settings), D = described(run.data), run.gan.discriminator
    data = None if source is None else source.stand_in(settings)
    size = next(iter(data_shape(run.data)), MOST)
    form = {"shape": (size, D.in_features), "dtype": D.dtype, "classes": settings.get("classes", 0)}
    return data or Samples.stand_in(form)


def in_order(profile: StepProfile) -> dict[str, dict[tuple[str, str], list[Row]]]:
    """{network: {(layer, direction): rows}}; last what belongs to no network."""
    networks: dict[str, dict[tuple[str, str], list[Row]]] = {}
    for row in sorted(profile.rows, key=lambda row: not row.key.network):
        places = networks.setdefault(row.key.network or REST, {})
        places.setdefault((row.key.part, row.key.method), []).append(row)
    return networks


def table(profile: StepProfile) -> str:
    """Each network, each place in it and each kernel there; then all calls of each kernel."""
    lines: list[tuple[str, ...]] = [("", "calls", "µs", "%", "MFLOP", "GFLOP/s", "")]

    def add(title: str, rows: Sequence[Row], seconds: float = 0.0) -> None:
        seconds += sum(row.seconds for row in rows)
        flops = sum(row.flops for row in rows)
        calls = f"{sum(row.calls for row in rows):.3f}".rstrip("0").rstrip(".")
        only_products = bool(rows) and all(row.flops for row in rows)
        lines.append(
            (
                title,
                calls if rows else "",
                f"{seconds * 1e6:,.1f}",
                f"{100 * seconds / profile.step:.1f}",
                f"{flops / 1e6:.3f}" if flops else "",
                f"{flops / seconds / 1e9:.1f}" if only_products and seconds else "",
                "",
            )
        )

    kernels: dict[str, list[Row]] = {}
    for network, places in in_order(profile).items():
        add(network, list(itertools.chain(*places.values())))
        for place, rows in places.items():
            add("  " + " ".join(place).rstrip(), rows)
            for row in rows:
                add(f"    {row.key.kernel}" + (row.key.result and f" -> {row.key.result}"), [row])
                kernels.setdefault(row.key.kernel, []).append(row)
    lines += [("",) * 7, ("by kernel", *("",) * 6)]
    slowest_first = sorted(kernels.items(), key=lambda one: -sum(row.seconds for row in one[1]))
    for kernel, rows in slowest_first:
        add(f"  {kernel}", rows)
    add(PYTHON, [], profile.python)
    add("a step", [], profile.step)
    return columns(lines)


def summary(profile: StepProfile) -> str:
    """How the times were taken; then the step in short, in two lines."""
    seconds = profile.step, profile.kernels, profile.python, profile.captured
    step, kernels, python, captured = (f"{1e6 * each:,.0f} µs" for each in seconds)
    return (
        f"Medians of means over up to 64 steps, {profile.steps:,} in all.\n"
        f"a step takes {step}: kernels {kernels}, Python between them {python}\n"
        f"captured, as in training, it takes {captured}"
    )


@plots.style()
def draw(figure: Any, profile: StepProfile, title: str) -> None:
    """A bar for each place in a step that takes at least 0.2 % of it, in the order of the table."""
    bars = []  # a label, and its per cent of a step
    for network, places in in_order(profile).items():
        for place, rows in places.items():
            share = 100 * sum(row.seconds for row in rows) / profile.step
            if share >= LEAST:
                bars.append((" ".join([network, *place]).removeprefix(REST).strip(), share))
    bars.append((PYTHON, 100 * profile.python / profile.step))
    labels, shares = zip(*bars, strict=True)
    figure.set_size_inches(plots.SIZE[0], 2.0 + 0.25 * len(bars))
    figure.suptitle(title, fontsize=15, color=plots.INK)
    axes = figure.subplots()
    drawn = axes.barh(range(len(bars)), shares, color=plots.REAL)
    axes.bar_label(drawn, [f" {share:.1f} %" for share in shares], fontsize=9, color=plots.INK)
    axes.set_yticks(range(len(bars)), labels, fontsize=10)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.margins(x=0.08)
    axes.set_xlabel("% of a step")
    figure.supxlabel("\n".join(summary(profile).splitlines()[1:]), fontsize=11)
