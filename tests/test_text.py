"""Text for people: columns, lines, colours, shapes, numbers with nouns, names of losses."""

from __future__ import annotations

import contextlib
import io
import os

import pytest

from minigan.text import (
    BOLD,
    RED,
    coloured,
    columns,
    count,
    loss_title,
    printable_output,
    times,
    wrapped,
)


def test_the_first_column_begins_at_the_left_and_the_others_end_at_the_right():
    rows = [("name", "a", "bb", ""), ("x", "1000", "2", "")]
    assert columns(rows) == "name     a  bb\nx     1000   2"
    assert columns(rows, left=2) == "name  a     bb\nx     1000   2"
    assert columns(rows, left=0) == "name     a  bb\n   x  1000   2"


def test_the_last_cell_of_a_row_is_a_remark_of_any_length():
    rows = [("a", "1", "a long remark"), ("b", "2", "")]
    assert columns(rows) == "a  1  a long remark\nb  2"
    assert columns([("alone",)]) == "alone"


def test_no_line_ends_in_spaces():
    assert columns([("a", "", ""), ("bbb", "1", "")]) == "a\nbbb  1"


@pytest.mark.parametrize(("terminal", "longest"), [(60, 80), (80, 80), (91, 91), (200, 100)])
def test_prose_fits_the_terminal(terminal, longest, monkeypatch):
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((terminal, 24)))
    lines = wrapped("  " + "a " * 199 + "a", 4).splitlines()
    assert max(map(len, lines)) in (longest - 1, longest)
    assert lines[0].startswith("  a ")
    assert all(line.startswith("    a") for line in lines[1:])
    assert wrapped("name       a value") == "name       a value"
    assert wrapped("b" * 300) == "b" * 300  # a path stays whole
    layers = ", ".join(["Linear(32, 1)"] * 20)
    assert all(line.startswith("Linear") for line in wrapped(layers).splitlines())
    flags = ", ".join(["--data-dir"] * 40)
    assert all(line.startswith("--data-dir") for line in wrapped(flags).splitlines())


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    def shown(terminal=True, **environment):
        stdout = io.StringIO()
        stdout.isatty = lambda: terminal
        with monkeypatch.context() as patch:
            for name in ("NO_COLOR", "TERM"):
                patch.delenv(name, raising=False)
            patch.setenv("WT_SESSION", "1")  # a terminal on Windows, too
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.setattr("sys.stdout", stdout)
            return coloured("Title\n1 WRONG\n2", {"WRONG": RED, r"^\w+$(?=\n1)": BOLD})

    plain = "Title\n1 WRONG\n2"
    assert shown(TERM="xterm") == "\x1b[1mTitle\x1b[0m\n1 \x1b[31mWRONG\x1b[0m\n2"
    assert shown(NO_COLOR="") == shown()  # an empty NO_COLOR does not count
    assert shown(NO_COLOR="1") == shown(TERM="dumb") == shown(terminal=False) == plain
    monkeypatch.setattr("sys.stdout", None)  # closed
    assert coloured(plain, {"WRONG": RED}) == plain


def test_an_old_console_of_windows_gets_no_colours(monkeypatch):
    monkeypatch.setattr("minigan.text.sys.platform", "win32")
    for name in ("NO_COLOR", "TERM", "WT_SESSION"):
        monkeypatch.delenv(name, raising=False)
    console = io.StringIO()
    console.isatty = lambda: True
    assert coloured("WRONG", {"WRONG": RED}, console) == "WRONG"


def test_printable_output_is_flushed_to_the_stream_below():
    """Otherwise an error on stderr would be shown before the lines that it follows."""
    shown = io.BytesIO()
    with contextlib.redirect_stdout(io.TextIOWrapper(shown, newline="\n")) as below:
        with printable_output():
            print("a\x1b", flush=True)
        assert shown.getvalue() == b"a?\n"
        below.detach()


@pytest.mark.parametrize(
    ("shape", "told"), [((4, 3), "4 x 3"), ((7,), "7"), ([2, 3, 5], "2 x 3 x 5"), ((), "")]
)
def test_a_shape(shape, told):
    assert times(shape) == told


@pytest.mark.parametrize(
    ("n", "told"),
    [(0, "0 epochs"), (1, "1 epoch"), (2, "2 epochs"), (2000, "2,000 epochs")],
)
def test_a_number_and_its_noun(n, told):
    assert count(n, "epoch") == told


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ("d_real", "D real"),
        ("d_fake", "D fake"),
        ("g", "G"),
        ("critic", "critic"),
        ("drift", "drift"),
        ("gradient_penalty_of_d", "gradient penalty of d"),
    ],
)
def test_the_name_of_a_loss(column, told):
    assert loss_title(column) == told
