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

from minigan.errors import CallbackError, FileError, Interrupted, MiniganError, NonFiniteError

MOST = 10**9  # the largest count on the command line
#: Reasons why output cannot continue: the disk is full, or a pipe was closed, as by `| head`.
STOPPED = {errno.EPIPE, errno.ENOSPC, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.EIO)}


def guard(name: str, work: Callable[[], int], interrupted: Callable[[], str] | None = None) -> int:
    """Do the work; turn errors into one sentence on stderr and an exit code.

    Returns:
        what `work` returned; 2 for invalid input or files, 1 for training that failed, a full
        disk or a closed pipe, 130 after Ctrl-C, 143 after SIGTERM.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a console may lack a character of the output
            stream.reconfigure(errors="replace")
    try:
        return work()
    except NonFiniteError as error:
        print(f"{name}: training stopped: {error}", file=sys.stderr)
        return 1
    except CallbackError as error:
        cause = error.__cause__
        frames = [] if cause is None else list(traceback.extract_tb(cause.__traceback__))
        place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
        print(f"{name}: error: {error}{place}", file=sys.stderr)
        return 2
    except MiniganError as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return 1 if isinstance(error, FileError) and error.errno in STOPPED else 2
    except OSError as error:
        reason = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
        if error.filename and error.errno not in STOPPED:
            print(f"{name}: error: {reason}", file=sys.stderr)
            return 2
        print(f"{name}: stopped: {reason}", file=sys.stderr)
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  or Python's exit would fail, too
        return 1
    except MemoryError:
        print(f"{name}: error: this needs more memory than there is", file=sys.stderr)
        return 2
    except Interrupted as error:
        print(f"{error}; {interrupted() if interrupted else 'interrupted'}", file=sys.stderr)
        return 128 + error.signum
    except KeyboardInterrupt:
        print("\n" + ("interrupted" if interrupted is None else interrupted()), file=sys.stderr)
        return 130


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
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return Path(text).expanduser()


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
