"""How fast minigan is, next to PyTorch, JAX, Thinc, and the matrix products alone.

    python -m bench                              everything, into bench/results/
    python -m bench --only scaling               one section
    python -m bench --quick --out DIR            does everything work? The numbers mean little

Libraries that are not installed are left out (`pip install -e ".[bench]"` installs them). Keep the
machine free of other work meanwhile. All engines of a workload are in memory at once, with every
number of threads: about 7 GB.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from bench import machine, scaling, speed
from bench.engines import ENGINES
from bench.report import Plan, arguments, parser_of, plan_of
from bench.workloads import WORKLOADS
from minigan.command_line import guard, positive
from minigan.files import make_folder

SECTIONS: dict[str, Callable[[Plan], bool]] = {
    "speed": speed.run,
    "scaling": scaling.run,
}
FULL, QUICK = (11, 0.15), (3, 0.03)  # rounds, and seconds of a turn
THREADS = (1, 2)


def main(argv: list[str] | None = None) -> int:
    """Measure; 1 if an engine or a command failed, 2 for invalid flags."""
    sections, plan = parse(arguments(argv))

    def work() -> int:
        make_folder(plan.out)
        succeeded = [SECTIONS[name](plan) for name in sections]
        return 0 if all(succeeded) else 1

    return guard(
        "bench", work, lambda: "interrupted; the section that was being measured is not written"
    )


def parse(argv: list[str]) -> tuple[list[str], Plan]:
    """The sections, and how to measure them."""
    parser = parser_of("bench", __doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=SECTIONS,
        help="this section; can be repeated (default: all)",
    )
    parser.add_argument(
        "--threads",
        type=thread_counts,
        default=",".join(map(str, THREADS)),
        metavar="N,N",
        help="numbers of threads; scaling takes the first (default: 1,2)",
    )
    args, plan = plan_of(parser, argv, ENGINES, WORKLOADS, FULL, QUICK, THREADS)
    sections = [name for name in SECTIONS if name in (args.only or SECTIONS)]
    missing = dict.fromkeys(e.needs for e in ENGINES.values() if not machine.installed(e.needs))
    if args.out is None and missing and "speed" in sections:
        parser.error(
            f"--out DIR is needed: the default folder is only for the whole tables, and "
            f"{', '.join(missing)} cannot be imported"
        )
    return sections, plan


def thread_counts(text: str) -> tuple[int, ...]:
    """Numbers of threads with commas between them, for argparse."""
    counts = tuple(dict.fromkeys(positive(word) for word in text.split(",")))
    available = machine.cpu_count()
    if max(counts) > available:
        raise argparse.ArgumentTypeError(
            f"{max(counts)} threads need as many CPUs; this process may use {available}"
        )
    return counts


if __name__ == "__main__":
    sys.exit(main())
