"""The rows of a run, and when they are due."""

from __future__ import annotations

import errno
import io
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from harness import start
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan.cli.main import main as minigan
from minigan.training.health import LEGEND, MEASURES, diagnose
from minigan.training.history import History, columns_of, loss_columns, read_history
from minigan.training.schedule import Schedule, epoch_end

COLUMNS = ("step", "g", "mean")


def history(folder: Path, *rows: dict) -> History:
    made = History(folder / "history.csv", COLUMNS)
    made.start()
    for row in rows:
        made.append(row)
    return made


def row(step: int, g: float = 0.5, mean: float = 1.5) -> dict:
    return {"step": step, "g": g, "mean": mean}


# -- rows -------------------------------------------------------------------------------


def test_a_history_is_a_csv_file(tmp_path):
    made = history(tmp_path, {"mean": 2.25, "step": 10, "g": -0.5})
    assert made.path.read_bytes() == b"step,g,mean\n10,-0.5,2.25\n"
    assert read_history(made.path) == [{"step": 10.0, "g": -0.5, "mean": 2.25}]
    made.start()
    assert made.path.read_bytes() == b"step,g,mean\n"
    assert read_history(made.path, COLUMNS) == []


def test_every_number_comes_back_as_itself(tmp_path):
    numbers = [0.1, 1e-300, -1e300, 5e-324, 1 / 3, math.inf, -math.inf, 2.0**53 + 2]
    made = history(tmp_path, *(row(k, x) for k, x in enumerate(numbers)))
    assert [one["g"] for one in read_history(made.path)] == numbers
    made.append(row(9, math.nan))
    assert math.isnan(read_history(made.path)[-1]["g"])


class Short(io.FileIO):
    """A disk that takes half of what it is given."""

    def write(self, data):
        return super().write(bytes(data)[: len(data) // 2])


@pytest.mark.parametrize("how", ["half", "error"])
def test_a_row_that_does_not_fit_leaves_nothing(how, tmp_path, monkeypatch):
    made = history(tmp_path, row(1))
    before = made.path.read_bytes()

    def failing(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        if how == "half":
            disk.setattr(Path, "open", lambda self, *args, **options: Short(self, "ab"))
        else:
            disk.setattr("os.fsync", failing)
        with pytest.raises(mg.FileError, match=r"history\.csv: No space left") as caught:
            made.append(row(2))
    assert caught.value.errno == errno.ENOSPC
    assert made.path.read_bytes() == before
    made.append(row(2))
    assert [one["step"] for one in read_history(made.path)] == [1, 2]


KEPT = {0: [], 9: [], 10: [10], 19: [10], 30: [10, 20, 30], 99: [10, 20, 30]}


@pytest.mark.parametrize("step", KEPT)
def test_rewinding_drops_the_rows_after_a_step(step, tmp_path):
    kept = KEPT[step]
    made = history(tmp_path, *(row(s) for s in (10, 20, 30)))
    lines = made.path.read_bytes().splitlines(keepends=True)
    inode = made.path.stat().st_ino
    made.rewind(step)
    assert made.path.read_bytes() == b"".join(lines[: 1 + len(kept)])
    assert (made.path.stat().st_ino == inode) == (len(kept) == 3)  # written only if need be


def test_rewinding_drops_a_torn_line_and_begins_what_is_missing(tmp_path):
    made = history(tmp_path, row(10))
    whole = made.path.read_bytes()
    made.path.write_bytes(whole + b"20,0.5")
    assert [one["step"] for one in read_history(made.path)] == [10]
    made.rewind(10)
    assert made.path.read_bytes() == whole
    made.path.unlink()
    made.rewind(10)
    assert made.path.read_bytes() == b"step,g,mean\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "its columns are missing"),
        (b"step,g,mean", "its columns are missing"),  # a torn header
        (b"step,g,mean\r1,2,3\r", "its columns are missing"),  # \r ends no line
        (b"g,step\n", "its columns are g, step"),
        (b"step,g\n", "its columns are step, g"),
        (b"step,g,mean,more\n", "its columns are step, g, mean, more"),
        (b"step,g,mean\n1,2\n", "zip"),
        (b"step,g,mean\n1,2,3,4\n", "zip"),
        (b"step,g,mean\n1,x,3\n", "could not convert string to float: 'x'"),
        (b"step,g,mean\n1,,3\n", "could not convert string to float: ''"),
        (b'step,g,mean\n1,"2"x,3\n', "',' expected after"),
        (b'step,g,mean\n1,"2,3\n', "unexpected end of data"),
        (b"step,g,mean\n1,\xff,3\n", "'utf-8' codec"),
    ],
)
def test_what_is_no_history(content, told, tmp_path):
    path = tmp_path / "history.csv"
    path.write_bytes(content)
    with pytest.raises(mg.CheckpointError, match=f"history.csv is not a history: {told}"):
        read_history(path, COLUMNS)
    with pytest.raises(mg.CheckpointError, match="is not a history"):
        History(path, COLUMNS).rewind(1)


def test_any_columns_will_do_if_none_are_asked_for(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("step,mine\n3,4\n")
    assert read_history(str(path)) == [{"step": 3.0, "mine": 4.0}]
    for header in ("mine,step\n", "steps\n", "\n"):
        path.write_text(header)
        with pytest.raises(mg.CheckpointError, match="its columns are"):
            read_history(path)


def test_a_history_that_cannot_be_read(tmp_path, monkeypatch):
    made = history(tmp_path, row(1))

    def unreadable(self: Path, *args: object, **settings: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", unreadable)
    with pytest.raises(mg.CheckpointError, match=r"is not a history: .*Permission denied"):
        read_history(made.path)


def test_a_history_that_is_not_there_or_no_file(tmp_path):
    with pytest.raises(mg.CheckpointError, match="there is no history at"):
        read_history(tmp_path / "history.csv")
    with pytest.raises(mg.CheckpointError, match="it is a folder"):
        read_history(tmp_path)


def test_two_columns_of_one_name_are_refused(tmp_path):
    start(tmp_path).fit(steps=10)
    path = tmp_path / "history.csv"
    path.write_text("step,g,mean,g\n1,2,3,4\n")
    told = "is not a history: two of its columns have one name: step, g, mean, g"
    for opened in (
        lambda: read_history(path),
        lambda: read_history(path, ("step", "g", "mean", "g")),
        lambda: mg.Trainer.resume(tmp_path),
    ):
        with pytest.raises(mg.CheckpointError, match=told):
            opened()


def test_two_losses_with_one_title_are_refused():
    game = SimpleNamespace(columns=("g", "G"), optimizers={})
    with pytest.raises(mg.ConfigError, match="a loss cannot be called 'g'"):
        columns_of(game)


def altered(path: Path, change: Callable[[list[str], list[list[str]]], None]) -> None:
    """Change the header and the rows of a history."""
    header, *rows = [line.split(",") for line in path.read_text().splitlines()]
    change(header, rows)
    path.write_text("".join(",".join(cells) + "\n" for cells in (header, *rows)))


def one_more(header: list[str], rows: list[list[str]]) -> None:
    for cells, value in zip((header, *rows), ("speed", *"12345"), strict=False):
        cells.insert(2, value)


def one_less(header: list[str], rows: list[list[str]]) -> None:
    place = header.index("auc")
    for cells in (header, *rows):
        del cells[place]


def in_another_order(header: list[str], rows: list[list[str]]) -> None:
    for cells in (header, *rows):
        cells[1:] = cells[:0:-1]


@pytest.mark.parametrize("change", [one_more, one_less, in_another_order])
def test_a_history_of_other_columns_is_refused(change, tmp_path):
    start(tmp_path).fit(steps=20)
    altered(tmp_path / "history.csv", change)
    with pytest.raises(mg.CheckpointError, match="is not a history: its columns are step, "):
        mg.Trainer.resume(tmp_path)


def sick(k: int) -> dict[str, float]:
    """A row in which everything has failed: wide once, then nothing."""
    first = k == 0
    measures = {"auc": 1.0, "g_grad": float(first), "diversity": float(first)}
    return {"step": 10.0 * (k + 1), "g": 0.5, **measures}


NAMED = {"auc": "D saturated", "g_grad": "G's gradient vanished", "diversity": "samples collapsed"}


@pytest.mark.parametrize("missing", [(), *[(name,) for name in NAMED], tuple(NAMED)])
@pytest.mark.parametrize("how", ["left out", "NaN"])
def test_a_measure_that_was_not_taken_shows_no_failure(how, missing, tmp_path, capsys):
    """The others are seen as ever, also by `show`."""
    rows = [sick(k) for k in range(14)]  # more than are kept in mind
    for one in rows:
        for name in missing:
            one[name] = math.nan
            if how == "left out":
                del one[name]
    expected = [NAMED[name] for name in NAMED if name not in missing]
    assert [failure.name for failure in diagnose(rows)] == expected
    start(tmp_path)
    made = History(tmp_path / "history.csv", tuple(rows[0]))
    made.start()
    for k, one in enumerate(rows):
        made.add(one)
        assert diagnose(made.recent) == diagnose(rows[: k + 1])
    capsys.readouterr()
    assert minigan(["show", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert [name for name in NAMED.values() if f"  ! {name} (" in out] == expected
    shown = {"auc": "1", "g_grad": "0", "diversity": "0"} | dict.fromkeys(missing, "nan")
    there = [name for name in NAMED if how == "NaN" or name not in missing]
    lines = [line.split(None, 2) for line in out.splitlines()]
    lines = [line for line in lines if line and line[0] in NAMED]
    assert lines == [[name, shown[name], LEGEND[name]] for name in there]
    assert ("health     not measured" in out) == (not there)


def test_losses_are_what_is_neither_a_rate_nor_a_measure(tmp_path):
    path = tmp_path / "history.csv"
    columns = ["step", "critic", "d_lr", "x_lr", *MEASURES, "g", "rollbacks", "mine"]
    assert loss_columns(path, columns) == ["critic", "g", "mine"]
    start(tmp_path)
    path.write_text("step,g_lr,auc,rollbacks\n1,2,3,4\n")
    with pytest.raises(mg.CheckpointError, match=r"history\.csv is not a .*: it has no losses$"):
        loss_columns(path, [*read_history(path)[0]])
    assert minigan(["show", str(tmp_path)]) == 2


def test_a_figure_of_a_history_without_one_of_todays_losses(tmp_path):
    from minigan.evaluation import plots

    start(tmp_path).fit(steps=30)
    altered(tmp_path / "history.csv", lambda header, rows: header.__setitem__(3, "was_g"))
    axes = plots.new_figure().subplots()
    plots.draw_losses(axes, read_history(tmp_path / "history.csv"), ("d_real", "g"), None)
    lines = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    assert np.isfinite(lines["D real"]).all()
    assert not np.isfinite(lines.get("G", [np.nan])).any()


# -- a full disk ----------------------------------------------------------------------------


def test_a_row_that_a_full_disk_keeps_out_is_counted_when_it_is_written(tmp_path, monkeypatch):
    made = history(tmp_path)
    made.add(row(1))

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("os.fsync", full)
        for again in (lambda: made.add(row(2, 0.25)), made.flush):
            with pytest.raises(mg.FileError):
                again()
            assert (made.count, made.recent) == (1, [row(1)])
    for _ in range(2):
        made.flush()
        assert (made.count, made.recent) == (2, [row(1), row(2, 0.25)])
    assert read_history(made.path) == [row(1), row(2, 0.25)]
    with monkeypatch.context() as disk:
        disk.setattr("os.fsync", full)
        with pytest.raises(mg.FileError):
            made.add(row(3))
    made.rewind(1)  # which also forgets the one that waits
    made.flush()
    assert (made.count, made.recent, read_history(made.path)) == (1, [row(1)], [row(1)])
    made.start()
    assert (made.count, made.recent) == (0, [])


def test_rows_are_counted_from_the_start_of_the_run_past_a_full_disk(tmp_path, monkeypatch):
    start(tmp_path / "whole").fit(steps=40)
    trainer, called = start(tmp_path / "cut"), []
    trainer.every(2, "row", lambda trainer: called.append(trainer.gan.step_count))

    def full(self: History, one: dict[str, Any]) -> None:
        raise mg.FileError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(History, "append", full)
        with pytest.raises(mg.FileError):
            trainer.fit(steps=40)
    trainer.fit(steps=40)
    assert called == [20, 40]
    for name in ("history.csv", "checkpoint.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_resumed_history_knows_its_rows(tmp_path):
    start(tmp_path / "a", print_every=1).fit(steps=20)
    shutil.copytree(tmp_path / "a", tmp_path / "b", ignore=shutil.ignore_patterns(".lock"))
    whole = mg.Trainer.resume(tmp_path / "a", progress=False)
    whole.fit(steps=30)
    path = tmp_path / "b" / "history.csv"
    path.write_bytes(path.read_bytes() + b"21,0.5")  # torn
    trainer = mg.Trainer.resume(tmp_path / "b", progress=False)
    trainer.fit(steps=21)
    assert trainer.history.count == 21
    trainer.fit(steps=30)
    assert trainer.history.recent == whole.history.recent
    assert path.read_bytes() == (tmp_path / "a" / "history.csv").read_bytes()


# -- when -------------------------------------------------------------------------------


def test_epochs_end_with_the_step_that_serves_their_last_sample():
    assert [epoch_end(k, 10, 5) for k in range(4)] == [0, 2, 4, 6]
    assert [epoch_end(k, 10, 4) for k in range(5)] == [0, 3, 5, 8, 10]
    assert [epoch_end(k, 2, 5) for k in range(7)] == [0, 1, 1, 2, 2, 2, 3]


@given(
    batch=st.integers(1, 12),
    size=st.none() | st.integers(1, 30),
    every=st.integers(1, 5),
    step=st.integers(0, 60),
)
def test_what_is_due_is_found_by_counting(batch, size, every, step):
    """Units are steps, or epochs: one ends with each step that serves the last of `size`."""
    schedule = Schedule(batch, size)

    def units(after: int) -> int:
        return after if size is None else after * batch // size

    def due(at: int) -> bool:  # an interval ends with this step
        return units(at) // every > units(at - 1) // every

    assert step == 0 or schedule.is_due(every, step) == due(step)
    following = next(s for s in range(step + 1, step + every * 31 + 1) if due(s))
    assert schedule.next(every, step) == following
    past = [s for s in range(1, step + 1) if due(s)]
    assert schedule.last(every, step) == (past[-1] if past else 0)
