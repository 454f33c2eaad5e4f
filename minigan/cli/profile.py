"""minigan profile: where the time of a training step goes."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import itertools
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from minigan.backend.costs import KINDS
from minigan.cli.common import source_of
from minigan.command_line import add_device, path, positive
from minigan.data import DataSource, Samples
from minigan.errors import CheckpointError, ConfigError, FileError, MiniganError
from minigan.evaluation import plots
from minigan.experiment import Experiment, Options
from minigan.files import write_whole
from minigan.gan import Game
from minigan.lessons.code import importable, load_module
from minigan.text import columns, count, times
from minigan.training import limit_threads, load_run, suitable_threads
from minigan.training.profile import Line, StepProfile, profile_step, total

MOST = 2**26  # random samples for a run whose own are not known; fewer if they are large
BUSY = 0.9  # below so many seconds of CPU a second, other programs were in the way
PYTHON = "Python around them"
HEADINGS = ("calls", "MFLOP", "MB", "µs", "% step", "% limit")
COLUMNS = (
    *("network", "layer", "direction", "kernel", "result", "kind", "calls", "flops", "bytes"),
    *("seconds", "share_of_step", "share_of_limit"),
)
OF_KINDS = (plots.REAL, plots.FAKE, plots.JUDGE, "#56B4E9", "#CC79A7", "#D55E00")
COLOURS = dict(zip(KINDS, OF_KINDS, strict=True))
GREY = "#BBBBBB"


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "profile",
        help="show where the time of a training step goes",
        description="Take a training step apart: what each kernel of each layer computes, moves "
        "and takes, forward and backward, beside what this machine could do at best. The data "
        "are random, since time does not depend on them; nothing of the run is changed.",
    )
    parser.add_argument(
        "target",
        type=path,
        metavar="TARGET",
        help="a run folder, or an example: examples/mnist.py, or mnist for short where that is",
    )
    parser.add_argument(
        "--recipe", metavar="NAME", help="of an example: article or stable (default: stable)"
    )
    parser.add_argument(
        "--steps",
        type=positive,
        metavar="N",
        help="steps to measure; more than 64 are rounded to a multiple of 64 (default: as many as "
        "take about two seconds)",
    )
    parser.add_argument(
        "--batch", type=positive, metavar="N", help="real samples a step (default: the target's)"
    )
    parser.add_argument(
        "--hidden",
        type=positive,
        metavar="N",
        help="of an example: the width of the hidden layers (default: the recipe's)",
    )
    parser.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="threads for matrix products (default: as in training, what the BLAS library "
        "chooses, but one for small networks)",
    )
    add_device(parser)
    parser.add_argument("--out", type=path, metavar="FILE", help="draw a chart: FILE.png")
    parser.add_argument("--csv", type=path, metavar="FILE", help="write the table: FILE.csv")
    parser.set_defaults(run=run, command="profile")


def run(args: argparse.Namespace) -> int:
    """Measure, print, draw."""
    for flag, file, ending in (("--out", args.out, ".png"), ("--csv", args.csv, ".csv")):
        if file is not None and file.suffix != ending:
            raise ConfigError(f"{flag} must end in {ending}, not {file.name!r}")
    figure = None if args.out is None else plots.new_figure()  # better known now if it cannot be
    gan, data, batch, title = open_target(args)
    with limit_threads(args.threads or suitable_threads(gan, batch)):
        profile = profile_step(gan, data, batch, args.steps)
        library, n_threads = blas()
    title = f"{title}: batch {batch}, {profile.dtype}, {count(n_threads, 'thread')}"
    machine = f"NumPy {np.__version__}, {library}; {limits(profile)}"
    print(f"{title}\n{machine}\n\n{table(profile)}\n\n{notes(profile)}")
    if args.csv is not None:
        write_whole(args.csv, as_csv(profile).encode())
        print(f"table {args.csv}")
    if figure is not None:
        draw(figure, profile, title, machine)
        plots.save_figure(figure, args.out)
        print(f"chart {args.out}")
    sys.stdout.flush()
    return 0


# -- what is measured ---------------------------------------------------------------------


def open_target(args: argparse.Namespace) -> tuple[Game, DataSource, int, str]:
    """The GAN, random data, the batch, and a title.

    Raises:
        ConfigError, FileError: there is no such target, or it is no example.
        CheckpointError: it is a folder, but no run that can be opened.
    """
    target: Path = args.target
    if target.is_dir():
        if args.recipe is not None or args.hidden is not None:
            raise ConfigError("--recipe and --hidden go with an example; a run has its own recipe")
        trained = load_run(target, args.device)
        batch = args.batch or int(trained.description["trainer"]["batch"])
        return trained.gan, random_data(trained.data, trained.gan, args.device), batch, str(target)
    if target.suffix != ".py" and target.name == str(target):
        named = Path("examples") / f"{target}.py"
        if not named.is_file():
            raise FileError(f"there is neither a run folder {target} nor an example {named} here")
        target = named
    if target.suffix != ".py":
        raise FileError(f"{target} is neither a run folder nor an example's .py file")
    gan, data, batch, recipe = of_example(target, args)
    hidden = "" if args.hidden is None else f", hidden width {args.hidden}"
    return gan, data, batch, f"{target}, recipe {recipe}{hidden}"


def random_data(config: dict[str, Any], gan: Game, device: str) -> DataSource:
    """Random data of the kind and size of a run's (or less), for which no file is needed.

    Args:
        config: the description of the run's data.
        gan: whose discriminator judges them.
        device: where batches are filled.

    Raises:
        CheckpointError: the description does not fit the GAN.
    """
    source, D = source_of(config), gan.discriminator
    settings = {name: value for name, value in config.items() if name != "data"}
    shape = () if source is None else source.shape_of(settings)
    if source is not None and shape and math.prod(shape[1:]) != D.in_features:
        raise CheckpointError(
            f"the run's {source.form}s are {times(shape[1:])}; "
            f"its discriminator takes {D.in_features} numbers"
        )
    data = None if source is None else source.stand_in(settings, device)
    rows = {"shape": (shape[0] if shape else MOST, D.in_features), "dtype": D.dtype}
    return data or Samples.stand_in(rows, device)


def of_example(file: Path, args: argparse.Namespace) -> tuple[Game, DataSource, int, str]:
    """The GAN, random data, the batch and the name of one of an example's recipes.

    Raises:
        ConfigError: the file has no experiment, or not such a recipe.
    """
    experiment = getattr(load_module(file), "experiment", None)
    if not isinstance(experiment, Experiment):
        raise ConfigError(f"{file} is not an example: it has no `experiment`")
    recipe = experiment.recipe(args.recipe)
    asked = {name: getattr(args, name) for name in ("batch", "hidden")}
    options = Options(device=args.device, dry_run=True)
    try:
        recipe = dataclasses.replace(
            recipe, **{name: value for name, value in asked.items() if value is not None}
        )
        with importable(file.parent):
            gan, data = experiment.build(recipe, options)
    except MiniganError:
        raise
    except (AttributeError, ImportError, LookupError, TypeError, ValueError) as error:
        raise ConfigError(f"{file} cannot be built with these settings: {error}") from error
    data = data.stand_in(data.settings(), args.device) or data
    return gan, data, recipe.batch, recipe.name


def blas() -> tuple[str, int]:
    """NumPy's BLAS library as a name, and how many threads it may use now."""
    from threadpoolctl import threadpool_info  # as in training, only when needed

    found = [one for one in threadpool_info() if one["user_api"] == "blas"]
    if not found:
        return "a BLAS library that threadpoolctl does not know", 1
    words = [str(found[0].get(key) or "") for key in ("internal_api", "version", "architecture")]
    return " ".join(filter(None, words)), int(found[0]["num_threads"])


# -- what is told -------------------------------------------------------------------------


def limits(profile: StepProfile) -> str:
    """What this machine can do at best."""
    best = profile.limits
    return (
        f"best seen here: {best.flops / 1e9:.1f} GFLOP/s in products, "
        f"{best.bandwidth / 1e9:.1f} GB/s of memory"
    )


def sections(profile: StepProfile) -> list[tuple[str, list[Line]]]:
    """The lines in the order of a step, cut where another network takes over."""
    return [
        (network, list(lines))
        for network, lines in itertools.groupby(profile.lines, lambda line: line.network)
    ]


def table(profile: StepProfile) -> str:
    """Every kernel in the order of a step, then the kinds of kernels, in columns."""
    rows: list[tuple[str, str, Line]] = []
    for network, lines in sections(profile):
        rows.append((network, "", total(lines)))
        before = ""
        for line in lines:
            place = f"  {line.layer:<12} {line.direction}"
            rows.append((place if place != before else "", kernel_name(line), line))
            before = place
    by_kind = [(f"  {kind}", "", line) for kind, line in profile.by_kind().items()]

    def share(seconds: float) -> str:
        return percent(seconds / profile.step)

    def cells(place: str, kernel: str, line: Line) -> tuple[str, ...]:
        whole = line.calls == int(line.calls)
        return (
            place,
            kernel,
            f"{line.calls:.0f}" if whole else f"{line.calls:.3f}",
            f"{line.flops / 1e6:.3f}",
            f"{line.bytes / 1e6:.3f}",
            f"{line.seconds * 1e6:.1f}",
            share(line.seconds),
            percent(share_of_limit(line), 1.0),
            "",
        )

    microseconds = f"{profile.python * 1e6:.1f}"
    python = (f"  {PYTHON}", "", "", "", "", microseconds, share(profile.python), "", "")
    step = dataclasses.replace(total(profile.lines), seconds=profile.step)
    empty = ("",) * 9
    return columns(
        [
            ("", "", *HEADINGS, ""),
            *(cells(*row) for row in rows),
            empty,
            ("by kind", *empty[1:]),
            *(cells(*row) for row in by_kind),
            python,
            cells("a step", "", step),
        ],
        left=2,
    )


def kernel_name(line: Line) -> str:
    """The kernel, and which of the layer's arrays it makes: "matmul -> dX"."""
    return f"{line.word} -> {line.result}" if line.result else line.word


def share_of_limit(line: Line) -> float:
    """The time at the machine's limits over the time taken; 0 for what took no time."""
    return line.limit / line.seconds if line.seconds > 0.0 else 0.0


def percent(share: float, most: float | None = None) -> str:
    """A share as per cent; one above `most` as ">100"."""
    return f"{100 * share:.1f}" if most is None or share <= most else f">{100 * most:.0f}"


def notes(profile: StepProfile) -> str:
    """How to read the table; and in the last line, the step in short."""
    lines = [
        f"Means over the faster half of {count(profile.steps, 'step')}; of what is not alike in "
        "every step, over all. A",
        "kernel's time has the Python inside it, which a captured step saves, too. % limit: the",
        "time that its operations (of products) or bytes would take at the best seen here, over",
        "its time. Arrays that stay in a cache can be faster than memory: >100.",
    ]
    if profile.cpu < BUSY:
        lines += [
            f"Other programs were in the way: this one had {100 * profile.cpu:.0f} % of a CPU. A "
            "step, and the Python in it,",
            "takes less time than it seems.",
        ]
    summary = (
        f"a step takes {profile.step * 1e6:,.0f} µs: kernels {profile.kernels * 1e6:,.0f} µs, "
        f"Python around them {profile.python * 1e6:,.0f} µs; "
        f"captured, as in training, {profile.captured * 1e6:,.0f} µs"
    )
    return "\n".join([*lines, "", summary])


def as_csv(profile: StepProfile) -> str:
    """The lines as CSV with a header, in plain units: operations, bytes, seconds, fractions."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for line in profile.lines:
        shares = line.seconds / profile.step, share_of_limit(line)
        writer.writerow([*dataclasses.astuple(line)[:-1], *shares])
    return text.getvalue()


def draw(figure: Any, profile: StepProfile, title: str, machine: str) -> None:
    """A bar for each layer and direction in the order of a step, a colour for each kind.

    Args:
        figure: a Matplotlib figure, whose size is changed.
        profile: what was measured.
        title: the headline.
        machine: the line below it.
    """
    bars: list[tuple[str, list[Line]]] = []  # a label, and what the bar is made of
    for network, lines in sections(profile):
        bars.append((network, []))
        for place, of_place in itertools.groupby(lines, lambda one: (one.layer, one.direction)):
            bars.append((" ".join(filter(None, place)), list(of_place)))
    figure.set_size_inches(plots.SIZE[0], 1.8 + 0.2 * (len(bars) + 1))
    figure.suptitle(title, fontsize=15, color=plots.INK)
    axes = figure.subplots()
    axes.set_title(machine, fontsize=10.5)
    handles: dict[str, Any] = {}  # of the legend
    for y, (_, lines) in enumerate(bars):
        left = 0.0
        for line in lines:
            width = line.seconds * 1e6
            handles[line.kind] = axes.barh(y, width, left=left, color=COLOURS[line.kind])
            left += width
        if lines:
            limit = min(total(lines).limit * 1e6, left)  # that of a cache would lie outside
            ends = [y - 0.4, y + 0.4]
            (handles["at the limits"],) = axes.plot([limit] * 2, ends, color=plots.INK, lw=1.6)
            write_share(axes, y, left * 1e-6, profile)
    axes.barh(len(bars), profile.python * 1e6, color=GREY)
    write_share(axes, len(bars), profile.python, profile)
    ticks = [label for label, _ in bars] + [PYTHON]
    axes.set_yticks(range(len(ticks)), ticks, fontsize=8)
    for tick, (_, lines) in zip(axes.get_yticklabels(), bars, strict=False):
        if not lines:
            tick.set_fontweight("bold")
    axes.set_ylim(len(bars) + 0.7, -0.7)
    axes.margins(x=0.06)
    axes.set_xlabel(f"µs; {notes(profile).splitlines()[-1]}")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.2, lw=0.5)
    names = sorted(handles, key=[*KINDS, "at the limits"].index)
    figure.legend(
        [handles[name] for name in names], names, loc="outside right upper", frameon=False
    )


def write_share(axes: Any, y: float, seconds: float, profile: StepProfile) -> None:
    """The share of the step, at the end of a bar."""
    share = f" {percent(seconds / profile.step)} %"
    axes.text(seconds * 1e6, y, share, va="center", fontsize=7.5, color=plots.INK)
