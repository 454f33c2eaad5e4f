"""A run that mpiexec starts, for the tests that interrupt, disturb and kill it:

    mpiexec -n 2 python tests/ranks_program.py FOLDER [--steps N] [--fail RANK]

starts the run in FOLDER, or goes on with the one that is there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from harness import networks

import minigan as mg
from minigan.command_line import guard
from minigan.parallel.launch import launched
from minigan.training.recipe_json import RECIPE

FAILS_AT = 60  # the batch that one rank cannot make


@mg.register
class Numbered(mg.Gaussian):
    """Normal numbers; only this program knows the class. One rank fails after some batches."""

    failing: int | None = None
    batches = 0

    def next_batch(self, out: Any) -> None:
        self.batches += 1
        launch = launched()
        if launch is not None and launch.rank == self.failing and self.batches == FAILS_AT:
            raise mg.DataError("there is no batch 60")
        super().next_batch(out)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--fail", type=int, metavar="RANK")
    args = parser.parse_args()
    if (args.folder / RECIPE).exists():
        trainer = mg.Trainer.resume(args.folder)
    else:
        data = Numbered()
        data.failing = args.fail
        settings = {"batch": 8, "print_every": 10, "checkpoint_every": 10}
        trainer = mg.Trainer(networks(), data, args.folder, **settings)
    trainer.fit(steps=args.steps)
    return 0


if __name__ == "__main__":
    sys.exit(mg.mpi_main(lambda: guard("program", main)))
