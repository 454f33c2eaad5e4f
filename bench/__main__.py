"""How fast minigan is, next to PyTorch, JAX, and the matrix products alone.

    python -m bench                              everything, into bench/results/
    python -m bench --workloads dcgan dcgan-half --out DIR      these alone, eight minutes
    python -m bench --quick --out DIR            does everything work? The numbers mean little

Libraries that are not installed are left out (`pip install -e ".[bench]"` installs them). Keep the
machine free of other work meanwhile. All engines of a workload are in memory at once, with every
number of threads: about 12 GB.
"""

from __future__ import annotations

import sys

from bench import machine, speed
from bench.engines import ENGINES
from bench.report import Plan, arguments, parser_of, plan_of
from bench.workloads import WORKLOADS
from minigan.command_line import guard
from minigan.files import make_folder

FULL, QUICK = (11, 0.15), (3, 0.03)  # rounds, and seconds of a turn


def main(argv: list[str] | None = None) -> int:
    """Measure; 1 if an engine failed, 2 for invalid flags."""
    plan, workloads = parse(arguments(argv))

    def work() -> int:
        make_folder(plan.out)
        return 0 if speed.run(plan, workloads) else 1

    return guard("bench", work, lambda: "interrupted; nothing is written")


def parse(argv: list[str]) -> tuple[Plan, list[str]]:
    """How to measure (with one thread and, where there are two CPUs, with two), and what."""
    parser = parser_of("bench", __doc__)
    parser.add_argument(
        "--workloads",
        nargs="+",
        choices=sorted(WORKLOADS),
        metavar="NAME",
        help=f"only these: {', '.join(WORKLOADS)}",
    )
    threads = (1, 2) if machine.cpu_count() > 1 else (1,)
    args, plan = plan_of(parser, argv, FULL, QUICK, threads)
    missing = dict.fromkeys(e.needs for e in ENGINES.values() if not machine.installed(e.needs))
    if args.out is None and missing:
        parser.error(
            f"--out DIR is needed: the default folder is only for the whole tables, and "
            f"{', '.join(missing)} cannot be imported"
        )
    if args.out is None and args.workloads:
        parser.error("--out DIR is needed: the default folder is only for the whole tables")
    return plan, args.workloads or list(WORKLOADS)


if __name__ == "__main__":
    sys.exit(main())
