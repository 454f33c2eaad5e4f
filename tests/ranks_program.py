"""A run that mpiexec starts, for the tests that interrupt, disturb and kill it:

    mpiexec -n 2 python tests/ranks_program.py FOLDER [--steps N]

starts the run in FOLDER, or goes on with the one that is there. The environment variable FAIL names
a rank that fails.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from pathlib import Path
from typing import Any

from harness import networks

import minigan as mg
from minigan.command_line import guard
from minigan.parallel.launch import launched
from minigan.training.recipe_json import RECIPE

FAILS_AT = 60  # the batch that one rank cannot make
batches = itertools.count(1)  # of this process


@mg.register
class Numbered(mg.Gaussian):
    """Normal numbers; only this program knows the class."""

    def next_batch(self, out: Any) -> None:
        launch, failing = launched(), os.environ.get("FAIL")
        if next(batches) == FAILS_AT and launch is not None and str(launch.rank) == failing:
            raise mg.DataError("there is no batch 60")
        super().next_batch(out)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=150)
    args = parser.parse_args()
    if (args.folder / RECIPE).exists():
        trainer = mg.Trainer.resume(args.folder)
    else:
        settings = {"batch": 8, "print_every": 10, "checkpoint_every": 10}
        trainer = mg.Trainer(networks(), Numbered(), args.folder, **settings)
    trainer.fit(steps=args.steps)
    return 0


if __name__ == "__main__":
    sys.exit(mg.mpi_main(lambda: guard("program", main)))
