"""The rows of a run, and when they are due."""

from __future__ import annotations

import errno
import io
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan.training.history import History, read_history
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

    def unreadable(self: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", unreadable)
    with pytest.raises(mg.CheckpointError, match=r"is not a history: .*Permission denied"):
        read_history(made.path)


def test_a_history_that_is_not_there_or_no_file(tmp_path):
    with pytest.raises(mg.CheckpointError, match="there is no history at"):
        read_history(tmp_path / "history.csv")
    with pytest.raises(mg.CheckpointError, match="it is not a regular file"):
        read_history(tmp_path)


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
