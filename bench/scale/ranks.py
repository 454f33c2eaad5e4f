"""What the two ranks of MPI do for the measurement: rank 0 measures, and writes its numbers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mpi4py import MPI

from bench.scale.measure import build, measure_team, one_thread
from bench.scale.teams import SlowRanks
from minigan.parallel.ranks import Ranks


def main(out: str, rounds: str, seconds: str) -> None:
    """In all ranks."""
    one_thread()
    game, data = build()
    ranks = Ranks(MPI)
    team = SlowRanks(ranks, game)
    if ranks.rank:
        team.follow(game, data)
        return
    team.engage(game)
    rows = measure_team(team, game, data, "mpi", int(rounds), float(seconds))
    ranks.send(None)
    Path(out).write_text(json.dumps(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
