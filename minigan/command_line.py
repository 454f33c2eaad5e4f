"""What all command lines share: types of arguments, and how errors are reported."""

from __future__ import annotations

import argparse
import errno
import math
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from minigan.errors import (
    CallbackError,
    ConfigError,
    FileError,
    Interrupted,
    MiniganError,
    NonFiniteError,
)
from minigan.files import as_path
from minigan.text import is_open, printable

MOST = 10**9  # the largest count on the command line
LONGEST = 1000  # characters of an error
PIPE_CLOSED = 141  # as shells report a program that ended because its reader did: 128 + SIGPIPE
#: Reasons why files cannot be written any more: the disk is full, or a pipe was closed.
STOPPED = {errno.EPIPE, errno.ENOSPC, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.EIO)}


def guard(name: str, work: Callable[[], int], interrupted: Callable[[], str] | None = None) -> int:
    """Do the work; turn errors into one sentence on stderr and an exit code.

    A process may have no standard streams (`>&-`, a daemon, pythonw): then the output is dropped.
    If the reader of the output has ended, as in `| head`, so does the work, without a message.

    Returns:
        what `work` returned; 2 for invalid input or files, 1 for training that failed or a full
        disk, 130 after Ctrl-C, 143 after SIGTERM, 141 if the reader of the output has ended.
    """
    for missing, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        # In this order each gets its own file descriptor. Otherwise the next file that is opened
        # could get that of stderr, and what a C library prints would go into it.
        if not is_open(getattr(sys, missing)):
            setattr(sys, missing, open(os.devnull, mode))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a console may lack a character of the output
            stream.reconfigure(errors="replace")
    try:
        return _end(name, work, interrupted)
    except BrokenPipeError:
        # Python's exit would try again to write what is left.
        sys.stdout, sys.stderr = open(os.devnull, "w"), open(os.devnull, "w")  # noqa: SIM115
        return PIPE_CLOSED


def _end(name: str, work: Callable[[], int], interrupted: Callable[[], str] | None) -> int:
    """The work's exit code; reports errors, except that of a closed pipe."""
    try:
        try:
            return work()
        finally:
            sys.stdout.flush()  # a failure of this is reported, too
    except NonFiniteError as error:
        say(f"{name}: training stopped: {error}")
        return 1
    except CallbackError as error:
        cause = error.__cause__
        frames = [] if cause is None else list(traceback.extract_tb(cause.__traceback__))
        place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
        say(f"{name}: error: {error}{place}")
        return 2
    except MiniganError as error:
        say(f"{name}: error: {error}")
        return 1 if isinstance(error, FileError) and error.errno in STOPPED else 2
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
        if error.filename and error.errno not in STOPPED:
            say(f"{name}: error: {reason}")
            return 2
        say(f"{name}: stopped: {reason}")
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  or Python's exit would fail, too
        return 1
    except MemoryError:
        say(f"{name}: error: this needs more memory than there is")
        return 2
    except Interrupted as error:
        say(f"{error}; {interrupted() if interrupted else 'interrupted'}")
        return 128 + error.signum
    except KeyboardInterrupt:
        print("\n" + ("interrupted" if interrupted is None else interrupted()), file=sys.stderr)
        return 130


def say(text: str) -> None:
    """Print an error on stderr, in one line. It may quote names from a file."""
    text = printable(text)
    print(text if len(text) <= LONGEST else f"{text[:LONGEST]} ...", file=sys.stderr)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add --device."""
    parser.add_argument(
        "--device",
        default="cpu",
        help="cpu, cuda (the first GPU), cuda:N, or auto: cuda if it works, else cpu "
        "(default: cpu)",
    )


def positive(text: str) -> int:
    """An integer from 1 to `MOST`, for argparse."""
    return _integer(text, 1, MOST)


def natural(text: str) -> int:
    """An integer from 0 to `MOST`, for argparse."""
    return _integer(text, 0, MOST)


def seed(text: str) -> int:
    """An integer >= 0, for argparse."""
    return _integer(text, 0, None)


def path(text: str) -> Path:
    """The path of a file or folder, for argparse; not empty, which would be the current folder."""
    try:
        return as_path(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _integer(text: str, least: int, most: int | None) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"must be an integer >= {least}, not {text!r}")
    if most is not None and value > most:
        raise argparse.ArgumentTypeError(f"must be at most {most:,}")
    return value


def real(text: str) -> float:
    """A finite number, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be a number, not {text!r}")
    return value
