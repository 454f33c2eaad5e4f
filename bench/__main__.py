"""How fast minigan is, beside PyTorch, JAX, Thinc, and the matrix products alone.

    python -m bench                              everything, into bench/results/
    python -m bench --only speed --only memory   some sections
    python -m bench --quick --out DIR            does everything work? The numbers mean little

Libraries that are not installed are left out (`pip install -e ".[bench]"` brings them). Keep the
machine free of other work meanwhile. All engines of a workload are in memory at once, with every
number of threads: about 7 GB.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Mapping

from bench import machine, memory, scaling, speed, startup
from bench.engines import ENGINES
from bench.report import RESULTS, Plan
from bench.workloads import WORKLOADS
from minigan.command_line import guard, path, positive
from minigan.files import make_folder

SECTIONS: dict[str, Callable[[Plan], bool]] = {
    "speed": speed.run,
    "scaling": scaling.run,
    "memory": memory.run,
    "startup": startup.run,
}
ROUNDS, SECONDS = 11, 0.15
QUICK_ROUNDS, QUICK_SECONDS = 3, 0.03
THREADS = (1, 2)
WITH_PEERS = {"speed", "memory"}


def main(argv: list[str] | None = None) -> int:
    """Measure; 1 if an engine or a command failed, 2 for flags that cannot be."""
    sections, plan = parse(sys.argv[1:] if argv is None else argv)

    def work() -> int:
        make_folder(plan.out)
        well = [SECTIONS[name](plan) for name in sections]
        return 0 if all(well) else 1

    return guard(
        "bench", work, lambda: "interrupted; the section that was being measured is not written"
    )


def parse(argv: list[str]) -> tuple[list[str], Plan]:
    """The sections, and how to measure them."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=SECTIONS,
        help="this section; can be repeated (default: all)",
    )
    parser.add_argument(
        "--threads",
        type=thread_counts,
        default=THREADS,
        metavar="N,N",
        help="numbers of threads; all but the section speed take the first (default: 1,2)",
    )
    add_choices(parser, ROUNDS, ENGINES, WORKLOADS)
    parser.add_argument(
        "--out", type=path, metavar="DIR", help="the folder of the pages (default: bench/results)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="few short turns, few sizes: does everything work?"
    )
    args = parser.parse_args(argv)
    sections = [name for name in SECTIONS if name in (args.only or SECTIONS)]
    if max(args.threads) > machine.cpu_count():
        parser.error(
            f"--threads {max(args.threads)} needs as many CPUs; "
            f"this process may use {machine.cpu_count()}"
        )
    rounds = args.rounds or (QUICK_ROUNDS if args.quick else ROUNDS)
    if args.out is None:
        whole = (THREADS, tuple(ENGINES), tuple(WORKLOADS), False)
        if (args.threads, args.engines, args.workloads, args.quick) != whole or rounds < ROUNDS:
            parser.error("--out DIR is needed: the default folder is for the whole tables alone")
        missing = dict.fromkeys(e.needs for e in ENGINES.values() if not machine.installed(e.needs))
        if missing and WITH_PEERS & set(sections):
            parser.error(
                f"--out DIR is needed: the default folder is for the whole tables alone, and "
                f"{', '.join(missing)} cannot be imported"
            )
    return sections, Plan(
        out=args.out or RESULTS,
        rounds=rounds,
        seconds=QUICK_SECONDS if args.quick else SECONDS,
        threads=args.threads,
        engines=args.engines,
        workloads=args.workloads,
        quick=args.quick,
        origin=machine.describe(command_of(argv)),
    )


def add_choices(
    parser: argparse.ArgumentParser,
    rounds: int,
    engines: Mapping[str, object],
    workloads: Mapping[str, object],
) -> None:
    """--rounds, --engines and --workloads, by default as many and all of them."""
    parser.add_argument(
        "--rounds", type=positive, metavar="N", help=f"turns of each engine (default: {rounds})"
    )
    for what, known in (("engines", engines), ("workloads", workloads)):
        parser.add_argument(
            f"--{what}",
            type=some_of(known),
            default=tuple(known),
            metavar="A,B",
            help=f"only these, of {', '.join(known)}",
        )


def command_of(argv: list[str], module: str = "bench") -> str:
    """What was typed, but for --out: where the pages are is nothing to their readers."""
    words = iter(["python", "-m", module, *argv])
    told = []
    for word in words:
        if word == "--out":
            next(words, None)
        elif not word.startswith("--out="):
            told.append(word)
    return shlex.join(told)


def thread_counts(text: str) -> tuple[int, ...]:
    """Numbers of threads with commas between them, for argparse."""
    return tuple(dict.fromkeys(positive(word) for word in text.split(",")))


def some_of(known: Mapping[str, object]) -> Callable[[str], tuple[str, ...]]:
    """A type for argparse: names with commas between them, in the order of `known`."""

    def names(text: str) -> tuple[str, ...]:
        given = text.split(",")
        for name in given:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return tuple(name for name in known if name in given)

    return names


if __name__ == "__main__":
    sys.exit(main())
