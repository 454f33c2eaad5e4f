"""A recorded run: its frames are those of the states that it went through, and it is unchanged."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import test_health
from running import contents as files
from running import differing, interrupted_at, load_example
from test_experiment import elsewhere, own  # noqa: F401  fixtures
from test_training import start

import minigan as mg
from minigan.experiment import recorded as experiment_recorded
from minigan.experiment.experiment import Options
from minigan.replay import camera_of
from minigan.replay.recorder import Recorder
from minigan.replay.schedule import FrameSteps, default_gap
from minigan.training import run_folder
from minigan.training.frames import Frames, Recording, read_frames

# -- which steps ------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 2, 3, 7, 50, 999])
def test_the_steps_of_frames(every):
    steps = [0]
    while steps[-1] < 5000:
        steps.append(steps[-1] + min(max(steps[-1] // 20, 1), every))
    found = FrameSteps(every)
    expected = (next(step for step in steps if step > at) for at in range(-1, 5000))
    assert [found.after(at) for at in range(-1, 5000)] == [*expected]


def test_a_run_has_about_190_frames():
    for goal in (1000, 12_500, 100_000):
        steps, at = FrameSteps(default_gap(goal)), 0
        for count in itertools.count(1):  # noqa: B007
            at = steps.after(at)
            if at >= goal:
                break
        assert 130 <= count <= 240
    assert default_gap(3) == 1


# -- what a frame holds -----------------------------------------------------------------


class Eye:
    """A camera that sees eight samples, before and after."""

    form = "number"

    def __init__(self) -> None:
        about = {"shape": [8], "levels": 65535, "range": None}
        self.arrays = [{"name": name, **about} for name in ("before", "after")]
        self.scene = {"eight": 8}
        self.held: Any = None

    def before(self, game: mg.GAN) -> None:
        self.held = samples(game)

    def take(self, game: mg.GAN) -> tuple[dict[str, float], dict[str, Any]]:
        before, self.held = self.held, None
        return {"mean": float(samples(game).mean())}, {"before": before, "after": samples(game)}


def samples(game: mg.GAN) -> Any:
    """Eight of G's samples (8,); those of its moving average do not jump."""
    return game.sample(8, seed=1).ravel()


def record(trainer: mg.Trainer, every: int | None = 4) -> Recorder:
    return Recorder(trainer, Eye(), every)


def frames_of(folder: Path) -> Recording:
    return read_frames(folder / "frames.jsonl")


def test_frames_are_of_the_states_around_a_step(tmp_path):
    trainer, seen = start(tmp_path, print_every=1), {}
    trainer.at(lambda step: step + 1, lambda t: seen.update({t.gan.step_count: samples(t.gan)}))
    record(trainer)
    trainer.fit(steps=103)
    found = frames_of(tmp_path)
    steps, at = [], 0
    while at < 103:
        steps.append(at)
        at += min(max(at // 20, 1), 4)
    assert found.steps == [*steps, 103]  # the last one is of the goal
    before, after = found.array("before"), found.array("after")
    for k, step in enumerate(found.steps):
        np.testing.assert_allclose(before[k], seen[max(step - 1, 0)], atol=1e-4)
        np.testing.assert_allclose(after[k], seen[step], atol=1e-4)
    assert (np.abs(after - before)[1:].max(axis=1) > 1e-4).all()
    rows = {int(row["step"]): row for row in mg.read_history(tmp_path / "history.csv")}
    for name in ("d_real", "d_fake", "g"):
        expected = [rows[step][name] if step else np.nan for step in found.steps]
        np.testing.assert_array_equal(found.values[name], expected)
    np.testing.assert_allclose(found.values["mean"], after.mean(axis=1), atol=1e-4)


def test_the_default_gap_is_one_of_the_first_goal(tmp_path):
    trainer = start(tmp_path)
    record(trainer, None)
    trainer.fit(steps=30)
    assert frames_of(tmp_path).header["every"] == default_gap(30) == 1
    trainer = mg.Trainer.resume(tmp_path, progress=False)
    assert record(trainer, None).steps.every == 1
    with pytest.raises(mg.ConfigError, match="with at most 1 steps between frames, not 4"):
        record(trainer, 4)


def test_another_camera_does_not_go_on_with_a_recording(tmp_path):
    trainer = start(tmp_path)
    record(trainer)
    trainer.fit(steps=10)
    trainer = mg.Trainer.resume(tmp_path, progress=False)
    for name, value in (("form", "plane"), ("arrays", Eye().arrays[:1])):
        other = SimpleNamespace(**{"form": Eye.form, "arrays": Eye().arrays, name: value})
        with pytest.raises(mg.ConfigError, match="has other frames than are recorded now"):
            Recorder(trainer, other)


# -- the run ----------------------------------------------------------------------------

CASES = [
    ("gaussian1d", "article", {}),
    ("gaussian1d", "stable", {}),
    ("toy2d", "stable", {}),
    ("mnist", "stable", {"data": "digits"}),
]


@pytest.mark.parametrize(("name", "recipe", "settings"), CASES)
def test_recording_changes_nothing(name, recipe, settings, tmp_path):
    """Not a byte of the run, with the cameras of the examples."""
    experiment = load_example(name).experiment
    chosen = dataclasses.replace(experiment.recipe(recipe), **settings)
    for recorded in (False, True):
        game, data = experiment.build(chosen, Options(0))
        settings = {"batch": chosen.batch, "print_every": 4, "progress": False}
        trainer = mg.Trainer(game, data, tmp_path / str(recorded), **settings)
        if recorded:
            Recorder(trainer, camera_of(game, data), 4)
        trainer.fit(steps=7, threads=1)
    assert differing(tmp_path / "False", tmp_path / "True") == ["frames.jsonl"]
    assert frames_of(tmp_path / "True").steps == [*range(8)]


def recorded(folder: Path) -> mg.Trainer:
    """A trainer that records, with a checkpoint at every seventh step."""
    trainer = start(folder, checkpoint_every=7, print_every=25)
    record(trainer)
    return trainer


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A recorded run of 66 steps."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    recorded(folder).fit(steps=66)
    return folder


# The checkpoint is that of step 0, which has a frame; of 49, the next of which has one; of 56.
@pytest.mark.parametrize("stop", [0, 3, 50, 58])
def test_a_resumed_recording_is_that_of_a_whole_run(stop, whole, tmp_path):
    """Frames that come after the checkpoint are taken again."""
    with interrupted_at(stop), pytest.raises(KeyboardInterrupt):
        recorded(tmp_path).fit(steps=66)
    trainer = mg.Trainer.resume(tmp_path, progress=False)
    assert trainer.gan.step_count == stop // 7 * 7
    record(trainer, None)
    trainer.fit(steps=66)
    assert differing(tmp_path, whole) == []
    assert frames_of(tmp_path).steps == [*range(41), *range(42, 61, 2), 63, 66]


def test_a_fit_that_failed_goes_on_in_the_same_process(whole, tmp_path):
    trainer = recorded(tmp_path)
    with interrupted_at(50), pytest.raises(KeyboardInterrupt):
        trainer.fit(steps=66)
    trainer.fit(steps=66)  # on other data: the step that failed had read its own
    assert frames_of(tmp_path).steps == frames_of(whole).steps


@pytest.mark.parametrize("step", [44, 66])  # 66 is the last one: nothing is left to train
def test_a_frame_that_did_not_fit_is_added_when_training_goes_on(
    step, whole, tmp_path, monkeypatch
):
    """The camera has taken it already, and takes no frame twice."""
    add, full = Frames.add, [True]

    def added(self: Frames, at: int, *rest: Any) -> None:
        if at == step and full:
            raise mg.FileError(errno.ENOSPC, "cannot write it: the disk is full")
        add(self, at, *rest)

    monkeypatch.setattr(Frames, "add", added)
    trainer = recorded(tmp_path)
    for _ in range(2):
        with pytest.raises(mg.FileError, match=rf"^the recorder, called after step {step}: cannot"):
            trainer.fit(steps=66)
    full.clear()
    trainer.fit(steps=66)
    assert differing(tmp_path, whole) == []


def test_a_recording_begins_in_the_middle_of_a_run(tmp_path):
    start(tmp_path).fit(steps=50)
    trainer = mg.Trainer.resume(tmp_path, progress=False)
    record(trainer)
    trainer.fit(steps=60)
    found = frames_of(tmp_path)
    assert found.steps == [52, 54, 56, 58, 60]
    assert (found.array("before") != found.array("after")).any()


def test_after_a_rollback_frames_are_those_of_the_new_steps(tmp_path):
    trainer, at = test_health.hot(tmp_path, limit=4e-4), []
    record(trainer)
    trainer.at(lambda step: step + 1, lambda t: at.append((t.gan.step_count, samples(t.gan))))
    with np.errstate(all="ignore"):
        trainer.fit(steps=60)
    assert trainer.rollbacks == 2
    assert [step for step, _ in at].count(25) == 3  # once after the step, twice after a rollback
    found, seen = frames_of(tmp_path), dict(at)  # the last state of each step
    assert found.steps == [*range(41), *range(42, 61, 2)]
    for k, step in enumerate(found.steps):
        np.testing.assert_allclose(found.array("after")[k], seen[step], atol=1e-3)
        np.testing.assert_allclose(found.array("before")[k], seen[max(0, step - 1)], atol=1e-3)


def test_frames_are_on_the_disk_before_a_checkpoint_is(tmp_path, monkeypatch):
    order, fsync, write = [], os.fsync, run_folder.write_whole
    trainer = start(tmp_path)
    record(trainer)

    def synced(handle: int) -> None:
        if os.path.samestat(os.fstat(handle), os.stat(tmp_path / "frames.jsonl")):
            order.append("frames")
        fsync(handle)

    def written(path: Path, *pieces: Any, **options: Any) -> None:
        order.append(Path(path).name)
        write(path, *pieces, **options)

    trainer.at(lambda step: max(step + 1, 1), lambda trainer: None)
    trainer.fit(steps=1)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(run_folder, "write_whole", written)
    trainer.fit(steps=20)
    names = ["frames", "checkpoint.safetensors"]
    assert order == [*names, *names]


# -- the command line -------------------------------------------------------------------


@pytest.fixture
def main(own, monkeypatch) -> Any:  # noqa: F811
    """The command line of an experiment that draws no figure and takes no score."""
    module = sys.modules[type(own.experiment).__module__]
    monkeypatch.setattr(module, "draw_figure", lambda *args: {})
    monkeypatch.setattr(module, "_score_on", lambda data: None)
    return own.experiment.main


def test_an_experiment_is_recorded_and_goes_on_without_the_flag(main, capsys):
    flags = ["--steps", "19", "--record", "3"]
    assert main([*flags, "--out", "whole"]) == 0
    assert f"replay     {Path('whole', 'replay.html')}" in capsys.readouterr().out.splitlines()
    assert "<html" in Path("whole", "replay.html").read_text(encoding="utf-8")
    assert frames_of(Path("whole")).header["every"] == 3
    with interrupted_at(11):
        assert main([*flags, "--out", "cut"]) == 130
    assert "--out cut --resume" in capsys.readouterr().err
    assert main(["--out", "cut", "--resume"]) == 0
    assert differing(Path("cut"), Path("whole")) == ["replay.html"]  # with the folder's name
    with pytest.raises(SystemExit):
        main(["--record", "0"])
    assert "--record: must be" in capsys.readouterr().err


def test_what_cannot_be_recorded_is_refused_in_a_sentence(main, monkeypatch, capsys):
    assert main(["--steps", "8", "--out", "run"]) == 0
    assert main(["--out", "run", "--resume", "--record"]) == 0
    assert "replay     none: no step was left to record" in capsys.readouterr().out
    assert not Path("run", "frames.jsonl").exists()
    assert main(["--steps", "10", "--out", "run", "--resume", "--record"]) == 0
    found = frames_of(Path("run"))
    assert (found.steps, found.header["every"]) == ([9, 10], 1)
    before = files(Path("run"))
    assert main(["--steps", "12", "--out", "run", "--resume", "--record", "7"]) == 2
    assert "at most 1 steps between frames, not 7: leave" in capsys.readouterr().err
    assert files(Path("run")) == before
    assert main(["--steps", "12", "--out", "dry", "--record", "--dry-run"]) == 0

    def refuse(game: mg.GAN, data: mg.DataSource) -> Any:
        raise mg.ConfigError("a population cannot be recorded")

    monkeypatch.setattr(experiment_recorded, "camera_of", refuse)
    assert main(["--steps", "12", "--out", "new", "--record"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not Path("new").exists()


def test_damaged_frames_end_a_run_before_it_trains(main, capsys):
    assert main(["--steps", "8", "--out", "run", "--record"]) == 0
    path = Path("run", "frames.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    for damaged in ([b"{}\n", *lines[1:]], [*lines[:3], b"rubbish\n", *lines[4:]]):
        path.write_bytes(b"".join(damaged))
        assert main(["--steps", "10", "--out", "run", "--resume"]) == 2
        assert "frames.jsonl is not a recording, or is damaged" in capsys.readouterr().err
        assert mg.load_run("run").gan.step_count == 8
        assert path.read_bytes() == b"".join(damaged)


# -- the trainer ------------------------------------------------------------------------


def test_at_calls_at_the_steps_and_where_training_begins(tmp_path):
    trainer, called = start(tmp_path), []

    def odd(step: int) -> int:
        return step + 1 + (step + 1) % 2 if step >= 0 else 0  # 0, 2, 4, ...

    trainer.at(odd, lambda t, word: called.append((t.gan.step_count, t.goal, word)), "x")
    trainer.fit(steps=5)
    trainer.fit(steps=5)  # nothing is trained
    trainer.fit(steps=6)
    assert called == [(0, 5, "x"), (2, 5, "x"), (4, 5, "x"), (6, 6, "x")]
    resumed = mg.Trainer.resume(tmp_path, progress=False)
    resumed.at(odd, lambda t: called.append(t.gan.step_count))
    resumed.fit(steps=7)
    assert called[4:] == [6]


def test_at_refuses_what_cannot_be_called(tmp_path):
    trainer = start(tmp_path)
    with pytest.raises(mg.ConfigError, match="at: next must be a function of a step, not 5"):
        trainer.at(5, print)
    with pytest.raises(mg.ConfigError, match=r"at: .* is called with the trainer and 0 more"):
        trainer.at(lambda step: step + 1, lambda: None)


def test_a_record_outlives_short_gaps(tmp_path, monkeypatch):
    """Recording a step again for each frame would cost as much as two steps."""
    gan, captured = game(), []
    capture = gan.ops.capture
    monkeypatch.setattr(gan.ops, "capture", lambda play: captured.append(1) or capture(play))
    trainer = mg.Trainer(gan, mg.Gaussian(), tmp_path, batch=4, progress=False)
    steps = [1, 2, 3, 5, 6, 30, 31, 45, 46, 60]
    play, played = type(gan).play, []
    monkeypatch.setattr(type(gan), "play", lambda self: played.append(1) or play(self))
    trainer.at(lambda step: next(s for s in [*steps, 999] if s > step), lambda trainer: None)
    trainer.fit(steps=61)
    assert (len(captured), len(played)) == (1, 1)


# -- the losses of a step ---------------------------------------------------------------


def test_the_latest_losses_are_those_of_a_step_alone():
    one, other = game(), game()
    real = np.random.default_rng(0).normal(size=(130, 6, 1)).astype("float32")
    assert np.isnan([*one.latest_losses().values()]).all()
    for batch in real:
        one.step(batch)
        other.step(batch)
        latest = one.latest_losses()
        assert latest == one.latest_losses() == pytest.approx(other.losses(), rel=1e-6)
        assert [*latest] == [*one.columns]
        assert all(type(value) is float for value in latest.values())


def game(seed: Any = 0) -> mg.GAN:
    G = mg.Sequential(mg.Linear(1, 4), mg.ReLU(), mg.Linear(4, 1), name="g", seed=seed)
    D = mg.Sequential(mg.Linear(1, 4), mg.ReLU(), mg.Linear(4, 1), name="d", seed=seed)
    return mg.GAN(G, D, mg.Normal(1))


@pytest.mark.parametrize("seed", [0, (0, 1, 2)])
def test_asking_for_them_changes_nothing(seed):
    one, other = game(seed), game(seed)
    shape = (100, *np.shape(seed), 6, 1)
    real = np.random.default_rng(0).normal(size=shape).astype("float32")
    for batch in real:
        one.step(batch)
        other.step(batch)
        latest = one.latest_losses()
    mine, expected = one.losses(), other.losses()
    for name in expected:
        np.testing.assert_array_equal(mine[name], expected[name])
    assert {np.shape(value) for value in latest.values()} == {np.shape(seed)}
    assert np.isfinite([*latest.values()]).all()
