"""What every command line shares: how errors end, and which numbers are taken."""

from __future__ import annotations

import argparse
import errno
import io
import logging
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness import start

import minigan as mg
from minigan import command_line
from minigan.cli.main import main as minigan
from minigan.command_line import MOST, guard, natural, path, positive, real, seed
from minigan.training.signals import StopRequest

STREAMS = ("stdin", "stdout", "stderr")


@pytest.fixture(autouse=True)
def opened(monkeypatch):
    """What `guard` opens in the place of streams is closed, and the streams are given back."""
    files: list[Any] = []

    def recording(*args: Any) -> Any:
        files.append(open(*args))  # noqa: SIM115
        return files[-1]

    monkeypatch.setattr(command_line, "open", recording, raising=False)
    yield
    for file in files:
        file.close()


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
    (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, ""),
    (OSError("odd"), 1, "mine: stopped: odd"),
    (MemoryError(), 2, "mine: error: this needs more memory than there is"),
    (mg.Interrupted("saved at step 3", 15), 143, "saved at step 3; go on so"),
    (KeyboardInterrupt(), 130, "go on so"),
]


@pytest.mark.parametrize(("error", "code", "told"), ENDS, ids=lambda value: repr(value)[:40])
def test_how_an_error_ends(error, code, told, monkeypatch, capsys):
    """One sentence on stderr, which leaves stdout to the results; and a code that says why."""
    keep_streams(monkeypatch)
    before = sys.stdout

    def work() -> int:
        raise error

    assert guard("mine", work, lambda: "go on so") == code
    # A stream that failed is replaced, so that Python does not try once more.
    assert (sys.stdout is before) == (code != 141 and not told.startswith("mine: stopped"))
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


# -- standard streams ---------------------------------------------------------------------


class Failing(io.StringIO):
    """A stream whose reader has ended, or whose disk is full, from the given line on."""

    def __init__(self, number: int, after: int = 0) -> None:
        super().__init__()
        self.number, self.after = number, after

    def flush(self) -> None:
        if self.getvalue().count("\n") > self.after:
            raise OSError(self.number, os.strerror(self.number))  # of EPIPE: a BrokenPipeError


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


def take_streams(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """As pythonw starts a program, with None; or as a daemon closes them."""
    for name in (*STREAMS, "__stdout__", "__stderr__"):
        monkeypatch.setattr(sys, name, None if kind == "none" else closed())


def keep_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the streams back at the end."""
    for name in STREAMS:
        monkeypatch.setattr(sys, name, getattr(sys, name))


@pytest.mark.parametrize("kind", ["none", "closed"])
def test_a_command_without_standard_streams(kind, monkeypatch):
    take_streams(monkeypatch, kind)

    def work() -> int:
        print("a result", flush=True)
        print("a remark", file=sys.stderr)
        sys.stdout.flush()
        raise mg.ConfigError("no such thing")

    assert guard("mine", work) == 2


@pytest.mark.parametrize("kind", ["none", "closed"])
@pytest.mark.parametrize("argv", [["--help"], ["explain", "Linear"], ["nosuch"]])
def test_the_command_without_standard_streams(argv, kind, monkeypatch):
    take_streams(monkeypatch, kind)
    try:
        code = minigan(argv)
    except SystemExit as end:  # argparse's way
        code = end.code
    assert code == (2 if argv == ["nosuch"] else 0)


@pytest.mark.skipif(os.name == "nt", reason="a shell of another kind")
def test_files_do_not_get_the_numbers_of_missing_streams(tmp_path):
    """Or what a C library prints would go into a checkpoint."""
    program = (
        "import os; from minigan.command_line import guard; "
        "guard('mine', lambda: os._exit(os.open('x', os.O_CREAT | os.O_WRONLY)))"
    )
    command = f"exec {shlex.quote(sys.executable)} -c {shlex.quote(program)} <&- >&- 2>&-"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    assert subprocess.run(command, shell=True, cwd=tmp_path, env=environment).returncode >= 3


def test_a_full_disk_is_noticed_at_the_end(monkeypatch, capsys):
    """What was printed and not written yet."""
    monkeypatch.setattr(sys, "stdout", Failing(errno.ENOSPC))
    assert guard("mine", lambda: print("a result") or 0) == 1
    assert capsys.readouterr().err == "mine: stopped: No space left on device\n"


@pytest.mark.parametrize("broken", [("stdout",), ("stderr",), ("stdout", "stderr")])
def test_a_reader_that_has_ended_is_no_error(broken, monkeypatch, capsys):
    """Whether it read the results, the error or both; nothing is left for Python's exit."""
    for name in ("stdout", "stderr"):
        stream = Failing(errno.EPIPE) if name in broken else getattr(sys, name)
        monkeypatch.setattr(sys, name, stream)

    def work() -> int:
        print("a result", flush=True)
        print("a remark", file=sys.stderr, flush=True)
        return 0

    assert guard("mine", work) == 141
    assert capsys.readouterr().err.replace("a remark\n", "") == ""
    for name in ("stdout", "stderr"):
        getattr(sys, name).flush()


@pytest.mark.parametrize("kind", ["none", "closed"])
def test_training_without_standard_streams(kind, tmp_path, monkeypatch):
    """From Python, where no command has opened others."""
    take_streams(monkeypatch, kind)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's
    (tmp_path / "writer.json").touch()  # of a killed process: this is warned about
    trainer = start(tmp_path, progress=True)
    trainer.change({"print_every": 20})
    with StopRequest() as stop:
        trainer.fit(steps=40)
        signal.raise_signal(signal.SIGINT)  # its message goes nowhere
    assert stop.signum == signal.SIGINT
    assert [row["step"] for row in trainer.history.recent][-1] == 40


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal of this kind")
def test_when_the_reader_of_its_lines_ends_training_is_saved(tmp_path, monkeypatch):
    """As after Ctrl-C: `| head` ends it, and it can continue as if it had never stopped."""
    called: list[int] = []
    for name in ("whole", "cut"):
        trainer = start(tmp_path / name, progress=True, checkpoint_every=40)
        trainer.every(10, "step", lambda t: called.append(t.gan.step_count))
        if name == "whole":
            trainer.fit(steps=40)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Failing(errno.EPIPE, after=1))
        with pytest.raises(mg.Interrupted, match="SIGPIPE: saved at step 20") as caught:
            trainer.fit(steps=40)
    assert caught.value.signum == signal.SIGPIPE
    assert called == [10, 20, 30, 40, 10, 20]
    mg.Trainer.resume(tmp_path / "cut", progress=False).fit(steps=40)
    for name in ("checkpoint.safetensors", "history.csv"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_training_continues_when_its_lines_cannot_be_printed(tmp_path, monkeypatch, caplog):
    """A full disk behind `> log`, or a terminal that was closed: history.csv has the rows."""
    monkeypatch.setattr(sys, "stdout", Failing(errno.EIO, after=1))
    trainer = start(tmp_path, progress=True)
    trainer.fit(steps=40)
    assert sys.stdout.getvalue().count("\n") == 2
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "training continues" in caplog.text
    assert trainer.history.count == 4


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
    (path, "", "a path must not be empty"),
    (path, "~nosuchuser/x", "cannot find ~nosuchuser/x: "),
]


@pytest.mark.parametrize(("kind", "text", "told"), REFUSED)
def test_what_an_argument_cannot_be(kind, text, told):
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{told}"):
        kind(text)
