"""Several ranks against one process, and against each other."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import ROOT, load_script
from shared_games import BATCH, GAMES, packed, plain, points

import minigan as mg
from minigan.gan.state import flat_state
from minigan.parallel.mpi import MPITeam
from minigan.parallel.ranks import Ranks

pytestmark = pytest.mark.usefixtures("ranks")


def trained(out: Path, game: mg.Game, data: mg.DataSource, *goals: int) -> mg.Game:
    """The game after `fit` to each goal, with a row every 10 steps."""
    settings = {"batch": BATCH, "print_every": 10, "checkpoint_every": 50, "progress": False}
    trainer = mg.Trainer(game, data, out, **settings)
    for goal in goals:
        trainer.fit(steps=goal)
    return game


def made(name: str) -> tuple[mg.Game, mg.DataSource]:
    """A game of `GAMES`, and its data."""
    game, data = GAMES[name]
    return game(), data()


def largest_difference(one: mg.Game, other: mg.Game) -> float:
    """Of all numbers of the state."""
    pairs = zip(flat_state(one), flat_state(other), strict=True)
    return max(float(np.abs(a - b).max(initial=0.0)) for (_, a, _), (_, b, _) in pairs)


def require_same_rows(folder: Path, game: mg.Game, tolerance: float) -> None:
    """Losses and the size of G's gradient are the same in all rows of both runs."""
    runs = [mg.read_history(folder / run / "history.csv") for run in ("alone", "together")]
    for column in (*game.columns, "g_grad"):
        one, other = ([row[column] for row in rows if row["step"] % 10 == 0] for rows in runs)
        kept = slice(1 if len(one) == 2 else 3, None)  # after step 23, where another row was made
        np.testing.assert_allclose(other[kept], one[kept], rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", GAMES)
def test_ranks_train_as_one_process_does(name, tmp_path):
    """50 steps, in two `fit`s, so that the others wait in between."""
    alone = trained(tmp_path / "alone", *made(name), 50)

    def main() -> None:
        together = trained(tmp_path / "together", *made(name), 23, 50)
        assert largest_difference(alone, together) <= 1e-10
        assert together.state()[1] == alone.state()[1]  # streams are where they would be
        require_same_rows(tmp_path, alone, 1e-9)

    mg.mpi_main(main)


def test_float32_losses_agree_after_twenty_steps(tmp_path):
    alone = trained(tmp_path / "alone", plain("float32"), points("float32"), 20)

    def main() -> None:
        trained(tmp_path / "together", plain("float32"), points("float32"), 20)
        require_same_rows(tmp_path, alone, 1e-4)

    mg.mpi_main(main)


def own_state(ranks: Ranks, game: mg.Game, data: mg.DataSource, steps: int) -> dict[str, str]:
    """By name, a digest of each array of this rank's own game after some steps of all ranks."""
    game.bind(BATCH)
    team = MPITeam(ranks, game)
    if ranks.rank:
        game.generator.parameters.data[...] = 7.0  # each stretch begins with the state of rank 0
        team.follow(game, data)
    else:
        team.engage(game)
        team.lead(game, data, True, lambda: game.step_count < steps)
        team.send(None)
    return {name: hashlib.sha256(flat.tobytes()).hexdigest() for name, flat, _ in flat_state(game)}


@pytest.mark.parametrize("name", ["packed", "info_norm"])
def test_all_ranks_have_the_same_bytes_and_so_has_a_second_run(name, ranks):
    first, second = (own_state(ranks, *made(name), 20) for _ in range(2))
    assert first == second
    assert ranks.comm.allgather(first) == [first] * ranks.size


def test_a_run_goes_on_with_workers_and_alone(tmp_path):
    """Its checkpoint is the same, up to the order of sums, with ranks, with workers, and alone."""
    alone = trained(tmp_path / "alone", plain(), points(), 40)
    if not mg.mpi_main(lambda: trained(tmp_path / "run", plain(), points(), 20) is not None):
        return  # another rank
    for goal, workers in ((30, 2), (40, 1)):
        run = mg.Trainer.resume(tmp_path / "run", gan=plain(), data=points(), progress=False)
        run.fit(steps=goal, workers=workers)
    assert largest_difference(alone, run.gan) <= 1e-10


def test_what_cannot_be_shared_is_an_error_in_rank_0_and_the_others_go_on(tmp_path):
    def main() -> None:
        run = mg.Trainer(packed(), points(), tmp_path / "one", batch=2, progress=False)
        with pytest.raises(mg.ConfigError, match="cannot share a batch of 2"):
            run.fit(steps=1)
        with pytest.raises(mg.ConfigError, match="workers as well: leave out one of the two"):
            run.fit(steps=1, workers=2)
        local = points()
        local.rule = lambda: None
        run = mg.Trainer(plain(), local, tmp_path / "two", batch=BATCH, progress=False)
        with pytest.raises(mg.ConfigError, match=r"cannot be sent .*: .*lambda"):
            run.fit(steps=1)
        assert trained(tmp_path / "three", plain(), points(), 2).step_count == 2

    mg.mpi_main(main)


def test_ranks_that_wait_sleep(ranks):
    """While rank 0 draws a figure, say."""
    before = time.process_time()
    mg.mpi_main(lambda: time.sleep(0.5))
    assert time.process_time() - before < 0.2


def test_the_same_call_inside_calls(tmp_path):
    def main() -> Any:
        return mg.mpi_main(lambda: trained(tmp_path, plain(), points(), 2).step_count)

    assert mg.mpi_main(main) in (2, None)


@pytest.mark.usefixtures("unpainted")
def test_an_experiment_is_that_of_rank_0(ranks, tmp_path, monkeypatch, capsys):
    """The others need no flags, print nothing and write nothing; its errors are not theirs."""
    monkeypatch.chdir(tmp_path)
    main = load_script(ROOT / "tests" / "two_peaks.py").experiment.main
    assert main(["--steps", "40"]) == 0
    assert main(["--steps", "50", "--resume", "--workers", "2"]) == (0 if ranks.rank else 2)
    out, err = capsys.readouterr()
    if ranks.rank:
        assert (out, err, [*tmp_path.iterdir()]) == ("", "", [])
    else:
        assert f"{ranks.size} MPI ranks of 1 thread" in out
        assert "leave out one of the two" in err
        assert [path.name for path in Path("runs").iterdir()] == ["two_peaks-plain-seed0"]
