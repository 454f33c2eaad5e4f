"""What every command line shares: how errors end, and which numbers are taken."""

from __future__ import annotations

import argparse
import errno
import sys
from pathlib import Path

import pytest

import minigan as mg
from minigan.command_line import MOST, guard, natural, path, positive, real, seed

ENDS: list[tuple[BaseException, int, str]] = [
    (mg.ConfigError("no such thing"), 2, "mine: error: no such thing"),
    (mg.CallbackError("mine failed"), 2, "mine: error: mine failed"),
    (mg.NonFiniteError("step 3"), 1, "mine: training stopped: step 3"),
    (mg.FileError(errno.ENOSPC, "cannot write x"), 1, "mine: error: cannot write x"),
    (mg.FileError(errno.EPIPE, "cannot write x"), 1, "mine: error: cannot write x"),
    (mg.FileError(errno.EACCES, "cannot write x"), 2, "mine: error: cannot write x"),
    (mg.FileError("there is no x"), 2, "mine: error: there is no x"),
    (mg.DownloadError("no mirror"), 2, "mine: error: no mirror"),
    (FileNotFoundError(errno.ENOENT, "No such file", "x"), 2, "mine: error: No such file: x"),
    (OSError(errno.ENOSPC, "No space left", "x"), 1, "mine: stopped: No space left: x"),
    (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, "mine: stopped: Broken pipe"),
    (OSError("odd"), 1, "mine: stopped: odd"),
    (MemoryError(), 2, "mine: error: this needs more memory than there is"),
    (mg.Interrupted("saved at step 3", 15), 143, "saved at step 3; go on so"),
    (KeyboardInterrupt(), 130, "go on so"),
]


@pytest.mark.parametrize(("error", "code", "told"), ENDS, ids=lambda value: repr(value)[:40])
def test_how_an_error_ends(error, code, told, monkeypatch, capsys):
    """One sentence on stderr, which leaves stdout to the results; and a code that says why."""
    before = sys.stdout
    monkeypatch.setattr(sys, "stdout", before)  # to be given back

    def work() -> int:
        raise error

    assert guard("mine", work, lambda: "go on so") == code
    if told.startswith("mine: stopped"):  # so that Python does not try once more
        sys.stdout.close()
    else:
        assert sys.stdout is before
    out, err = capsys.readouterr()
    assert (out, err.strip()) == ("", told)


@pytest.mark.parametrize("error", [mg.Interrupted("saved at step 3", 2), KeyboardInterrupt()])
def test_without_a_run_there_is_nothing_to_go_on_with(error, capsys):
    def work() -> int:
        raise error

    assert guard("mine", work) == 130
    assert capsys.readouterr().err.strip().removeprefix("saved at step 3; ") == "interrupted"


def test_work_that_ends_well_has_its_own_code(capsys):
    assert [guard("mine", lambda code=code: code) for code in (0, 3)] == [0, 3]
    assert capsys.readouterr() == ("", "")


def test_what_is_nobodys_mistake_but_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        guard("mine", lambda: 1 // 0)


def test_of_a_function_that_failed_the_line_is_told(capsys):
    def work() -> int:
        try:
            return 1 // 0
        except ZeroDivisionError as error:
            raise mg.CallbackError("mine failed") from error

    assert guard("mine", work) == 2
    place = f"({Path(__file__).name}, line {work.__code__.co_firstlineno + 2})"
    assert capsys.readouterr().err == f"mine: error: mine failed {place}\n"


def test_a_cause_that_was_never_raised_has_no_line(capsys):
    def work() -> int:
        raise mg.CallbackError("mine failed") from ValueError("no")

    assert guard("mine", work) == 2
    assert capsys.readouterr().err == "mine: error: mine failed\n"


TAKEN = [
    (positive, "1", 1),
    (positive, str(MOST), MOST),
    (natural, "0", 0),
    (natural, " 7 ", 7),
    (seed, "0", 0),
    (seed, "1" + "0" * 30, 10**30),
    (real, "-2.5", -2.5),
    (path, "a/b", Path("a/b")),
    (path, "~", Path.home()),
]


@pytest.mark.parametrize(("kind", "text", "value"), TAKEN)
def test_what_an_argument_can_be(kind, text, value):
    assert kind(text) == value
    assert type(kind(text)) is type(value)


REFUSED = [
    *[(positive, text, "must be an integer >= 1, not") for text in ("0", "-3", "2.0", "x", "")],
    *[(natural, text, "must be an integer >= 0, not") for text in ("-1", "1e3", "inf")],
    *[(seed, text, "must be an integer >= 0, not") for text in ("-1", "0.5")],
    *[(kind, str(MOST + 1), "must be at most 1,000,000,000") for kind in (positive, natural)],
    *[(real, text, "must be a number") for text in ("nan", "-inf", "x", "")],
    (path, "", "must not be empty"),
]


@pytest.mark.parametrize(("kind", "text", "told"), REFUSED)
def test_what_an_argument_cannot_be(kind, text, told):
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{told}"):
        kind(text)
