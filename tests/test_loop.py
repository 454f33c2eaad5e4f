"""The trainer's loop: what it looks at and when, the bar, the speed, signals, threads."""

from __future__ import annotations

import builtins
import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import half_a_second_a_step, poisoned, start

import minigan as mg
from minigan.training import signals, suitable_threads, threads
from minigan.training.signals import StopRequest

# -- when -------------------------------------------------------------------------------


@pytest.mark.parametrize(("print_every", "noticed"), [(1000, 100), (30, 30), (100, 100)])
def test_nan_is_looked_for_every_hundred_steps_and_before_each_row(print_every, noticed, tmp_path):
    trainer = start(tmp_path, data=poisoned(7), print_every=print_every, checkpoint_every=1000)
    with np.errstate(all="ignore"), pytest.raises(mg.NonFiniteError, match="step 7"):
        trainer.fit(steps=500)
    assert trainer.gan.step_count == noticed


@pytest.mark.parametrize(("stretch", "captured"), [(9, False), (10, True), (50, True)])
def test_a_stretch_of_ten_steps_is_worth_capturing(stretch, captured, tmp_path, monkeypatch):
    asked = []
    capture = mg.GAN.capture
    monkeypatch.setattr(
        mg.GAN, "capture", lambda self, on=True: asked.append(on) or capture(self, on)
    )
    start(tmp_path / "a", print_every=stretch, checkpoint_every=1000).fit(steps=2 * stretch)
    assert asked == [captured, captured]
    asked.clear()
    start(tmp_path / "b", print_every=50).fit(steps=50, capture=False)
    assert not any(asked)


def test_rows_and_checkpoints_come_when_they_are_due(tmp_path, monkeypatch):
    saved, rows = [], []
    save = mg.Trainer.save
    monkeypatch.setattr(
        mg.Trainer,
        "save",
        lambda self, scored=False: (
            saved.append((self.gan.step_count, scored)) or save(self, scored=scored)
        ),
    )
    trainer = start(tmp_path, print_every=6, checkpoint_every=4)
    trainer.every(1, "row", lambda t: rows.append(t.gan.step_count))
    trainer.fit(steps=15)
    assert rows == [6, 12, 15]
    assert saved == [(0, False), (4, True), (8, True), (12, True), (15, True)]
    trainer.fit(steps=15)  # nothing to do
    assert (rows, len(saved)) == ([6, 12, 15], 5)


def test_what_the_last_fit_could_not_save_is_saved_and_scored(tmp_path, monkeypatch):
    trainer = start(tmp_path, score=lambda gan: -float(gan.step_count))
    with monkeypatch.context() as disk:
        disk.setattr(mg.Trainer, "save", lambda self, scored=False: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            trainer.fit(steps=5)
    trainer.fit(steps=5)
    for best in (True, False):
        run = mg.load_run(tmp_path, best=best)
        assert (run.gan.step_count, run.metadata["score"]) == (5, -5.0)


def test_a_run_in_which_no_row_is_due_lacks_none(tmp_path, caplog):
    start(tmp_path)
    mg.Trainer.resume(tmp_path, progress=False).fit(steps=3)
    assert caplog.text == ""


def test_a_resumed_run_says_what_its_history_lacks(tmp_path, caplog):
    start(tmp_path).fit(steps=30)
    path = tmp_path / "history.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    for kept, lacks in ((4, False), (3, True), (1, True)):
        path.write_bytes(b"".join(lines[:kept]))
        caplog.clear()
        mg.Trainer.resume(tmp_path, progress=False).fit(steps=30)
        assert ("lacks rows up to step 30" in caplog.text) == lacks


# -- what a terminal shows --------------------------------------------------------------


class Bar:
    """Stands in for tqdm's bar."""

    made: list[Bar] = []  # noqa: RUF012
    written: list[str] = []  # noqa: RUF012

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.n = settings["initial"]
        self.seen = [self.n]
        self.words: list[str] = []
        Bar.made.append(self)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def update(self, n: int) -> None:
        self.n += n
        self.seen.append(self.n)

    def set_postfix_str(self, words: str) -> None:
        self.words.append(words)

    @staticmethod
    def write(line: str, file: object) -> None:
        Bar.written.append(line)


@pytest.fixture
def bars(monkeypatch) -> list[Bar]:
    monkeypatch.setattr("tqdm.tqdm", Bar)
    Bar.made.clear()
    Bar.written.clear()
    return Bar.made


def test_the_bar_counts_samples(tmp_path, bars):
    trainer = start(tmp_path, progress=True, print_every=10, checkpoint_every=4)
    trainer.fit(steps=20)
    mg.Trainer.resume(tmp_path).fit(steps=30)
    first, second = bars
    assert first.settings == {
        "total": 160, "initial": 0, "unit": " samples", "unit_scale": True,
        "disable": None, "leave": False,
    }  # fmt: skip
    assert (second.settings["total"], second.settings["initial"]) == (240, 160)
    assert first.seen == [8 * step for step in (0, 4, 8, 10, 12, 16, 20)]
    assert [line[:15] for line in Bar.written] == [f"step {k:>7}   " for k in (10, 20, 30)]
    for bar, lines in ((first, Bar.written[:2]), (second, Bar.written[2:])):
        assert len(bar.words) == len(lines)
        for words, line in zip(bar.words, lines, strict=True):
            assert words in line
            assert words.startswith("D real ")


def test_without_progress_there_is_no_bar(tmp_path, bars):
    start(tmp_path).fit(steps=20)
    assert bars[0].settings["disable"] is True
    assert bars[0].words == Bar.written == []


def two_features(folder: Path, **settings: Any) -> mg.Trainer:
    G, D = mg.Sequential(mg.Linear(1, 2), name="g"), mg.Sequential(mg.Linear(2, 1), name="d")
    data = mg.Samples(np.random.default_rng(0).normal(size=(40, 2)))
    return mg.Trainer(mg.GAN(G, D, mg.Normal()), data, folder, batch=8, **settings)


def test_the_speed_is_that_since_the_row_before(tmp_path, bars, monkeypatch):
    """Of training alone: what is done after a row does not count."""
    now = half_a_second_a_step(monkeypatch)

    def picture(trainer: mg.Trainer) -> None:
        now[0] += 100.0

    trainer = two_features(tmp_path, print_every=20)
    trainer.every(1, "row", picture)
    trainer.fit(steps=50)
    assert [line.split()[-2:] for line in Bar.written] == [["16", "samples/s"]] * 3


# -- signals ----------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_the_first_signal_is_a_wish_and_the_second_an_order(monkeypatch, capfd):
    assert [s.name for s in signals.SIGNALS] == ["SIGINT", "SIGTERM", "SIGHUP"]
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    before = {s: signal.signal(s, signal.default_int_handler) for s in signals.SIGNALS}
    try:
        for number in signals.SIGNALS:
            with StopRequest() as stop:
                assert stop.signum is None
                signal.raise_signal(number)
                assert stop.signum == number
                assert ended == []
                assert "once more to end at once" in capfd.readouterr().err
                signal.raise_signal(number)
                assert ended == [128 + number]
            ended.clear()
            assert signal.getsignal(number) is signal.default_int_handler
        monkeypatch.setattr(builtins, "__IPYTHON__", True, raising=False)
        with StopRequest() as stop:  # in a notebook, whose other work goes on
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert ended == []
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_in_another_thread_signals_are_left_alone():
    handlers = []

    def work() -> None:
        with StopRequest() as stop:
            handlers.append((signal.getsignal(signal.SIGINT), stop.signum))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [(before, None)]
    assert signal.getsignal(signal.SIGINT) is before


# -- threads ----------------------------------------------------------------------------


@pytest.mark.parametrize(("outputs", "expected"), [(999, 1), (1000, None)])
def test_two_million_multiplications_are_worth_sharing(outputs, expected):
    G = mg.Sequential(mg.Linear(1000, outputs), name="g")
    D = mg.Sequential(mg.Linear(outputs, 1), name="d")
    gan = mg.GAN(G, D, mg.Normal(dim=1000))
    assert threads.largest_product(gan, 1) == 2 * 1000 * outputs  # G, for both noises
    assert suitable_threads(gan, 1) == expected
